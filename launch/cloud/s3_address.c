#include "launch/cloud/s3_address.h"

#include "launch/cloud/s3.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define CAPITALS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static const char scheme[] = "s3://";

bool dt_s3_is_url(const char *text)
{
    return strncasecmp(text, scheme, strlen(scheme)) == 0;
}

static bool is_bucket(const char *bucket)
{
    const size_t n = strlen(bucket);
    return n > 0 && n < DT_S3_BUCKET_BYTES && strspn(bucket, LETTERS CAPITALS DIGITS "._-") == n &&
           bucket[0] != '.' && bucket[0] != '-';
}

dt_status dt_s3_parse(const char *url, dt_s3_location *location, dt_error *err)
{
    dt_s3_location l;
    if (!dt_s3_is_url(url))
        return dt_fail(err, DT_ERR_USAGE, "'%s' does not begin with s3://", url);
    const char *bucket = url + strlen(scheme);
    const size_t n = strcspn(bucket, "/");
    if (n >= sizeof l.bucket)
        return dt_fail(err, DT_ERR_USAGE, "'%.80s...': no bucket has such a long name", url);
    snprintf(l.bucket, sizeof l.bucket, "%.*s", (int)n, bucket);
    if (strncasecmp(bucket, "arn:", 4) == 0)
        return dt_fail(err, DT_ERR_USAGE, "'%s': write an access point's alias in place of its ARN", url);
    if (!is_bucket(l.bucket))
        return dt_fail(
            err, DT_ERR_USAGE,
            "'%s': '%s' is not the name of a bucket (letters, digits, '.', '-'): write s3://BUCKET/PREFIX",
            url, l.bucket);
    const char *prefix = bucket[n] ? bucket + n + 1 : "";
    if (strlen(prefix) >= sizeof l.prefix)
        return dt_fail(err, DT_ERR_USAGE, "'%.80s...': no object has such a long name", url);
    snprintf(l.prefix, sizeof l.prefix, "%s", prefix);
    *location = l;
    return DT_OK;
}

/* Whether the bucket's name can be the first part of a host's name, with a certificate for one level. */
static bool fits_host(const char *bucket)
{
    const size_t n = strlen(bucket);
    return n >= 3 && n <= 63 && strspn(bucket, LETTERS DIGITS "-") == n && bucket[n - 1] != '-';
}

static dt_status set_endpoint(dt_s3_address *a, const char *endpoint, const char *bucket, dt_error *err)
{
    const bool is_https = strncasecmp(endpoint, "https://", 8) == 0;
    const char *host = endpoint + (is_https ? 8 : 7);
    if ((!is_https && strncasecmp(endpoint, "http://", 7) != 0) || strcspn(host, "/") == 0 ||
        strpbrk(endpoint, "?# \t\r\n@"))
        return dt_fail(err, DT_ERR_USAGE,
                       "the endpoint '%s' is not an address such as https://minio.example.com:9000",
                       endpoint);
    size_t n = strlen(endpoint);
    while (endpoint[n - 1] == '/')
        n--;
    if (n + strlen(bucket) + 3 > sizeof a->base)
        return dt_fail(err, DT_ERR_USAGE, "the endpoint '%.80s...' is too long", endpoint);
    snprintf(a->base, sizeof a->base, "%.*s/%s/", (int)n, endpoint, bucket);
    return DT_OK;
}

dt_status dt_s3_address_set(dt_s3_address *address, const char *endpoint, const char *bucket,
                            const char *region, dt_error *err)
{
    dt_s3_address a;
    const size_t n = strlen(region);
    const char *end = strncmp(region, "cn-", 3) == 0 ? ".cn" : "";
    if (!is_bucket(bucket))
        return dt_fail(err, DT_ERR_USAGE, "'%s' is not the name of a bucket", bucket);
    if (n == 0 || n >= 40 || strspn(region, LETTERS CAPITALS DIGITS "-_") != n)
        return dt_fail(err, DT_ERR_USAGE, "'%s' is not the name of a region, such as us-east-1", region);
    snprintf(a.region, sizeof a.region, "%s", region);
    if (endpoint)
        DT_TRY(set_endpoint(&a, endpoint, bucket, err));
    else if (fits_host(bucket))
        snprintf(a.base, sizeof a.base, "https://%s.s3.%s.amazonaws.com%s/", bucket, region, end);
    else
        snprintf(a.base, sizeof a.base, "https://s3.%s.amazonaws.com%s/%s/", region, end, bucket);
    *address = a;
    return DT_OK;
}

bool dt_s3_encode(char **end, const char *limit, const char *text, bool with_slash)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = *end;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (limit - out < 4)
            return false;
        if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '-' ||
            *c == '.' || *c == '_' || *c == '~' || (*c == '/' && with_slash)) {
            *out++ = (char)*c;
        } else {
            *out++ = '%';
            *out++ = hex[*c >> 4];
            *out++ = hex[*c & 15];
        }
    }
    *out = '\0';
    *end = out;
    return true;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

bool dt_s3_decode(char *text)
{
    char *out = text;
    for (const char *c = text; *c; c++) {
        if (*c != '%') {
            *out++ = *c == '+' ? ' ' : *c;
            continue;
        }
        const int high = digit_of(c[1]), low = high < 0 ? -1 : digit_of(c[2]);
        if (low < 0 || high + low == 0)
            return false;
        *out++ = (char)(high << 4 | low);
        c += 2;
    }
    *out = '\0';
    return true;
}

dt_status dt_s3_address_url(const dt_s3_address *address, const char *key, const char *query,
                            char url[DT_S3_URL_BYTES], dt_error *err)
{
    char *end = url + snprintf(url, DT_S3_URL_BYTES, "%s", address->base);
    const char *limit = url + DT_S3_URL_BYTES;
    if (!key && strncmp(end - 1, "/", 1) == 0 && strchr(strstr(url, "://") + 3, '/') != end - 1)
        *--end = '\0'; /* "http://host/bucket", but "https://bucket.host/" */
    if ((key && !dt_s3_encode(&end, limit, key, true)) ||
        (query && (size_t)(limit - end) < strlen(query) + 2))
        return dt_fail(err, DT_ERR_USAGE, "%s: the name '%.80s...' is too long", address->base,
                       key ? key : query);
    if (query)
        snprintf(end, (size_t)(limit - end), "?%s", query);
    return DT_OK;
}
