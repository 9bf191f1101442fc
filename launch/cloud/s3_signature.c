#include "launch/cloud/s3_signature.h"

#include "core/base/alloc.h"
#include "launch/cloud/sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { MAX_HEADERS = 10, NAMES_BYTES = 256, SCOPE_BYTES = 128 };
#define ALGORITHM "AWS4-HMAC-SHA256"

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Appends; *used grows also beyond `space`, as with snprintf. */
static void append(char *out, size_t space, size_t *used, const char *text, size_t n)
{
    if (*used + n < space) {
        memcpy(out + *used, text, n);
        out[*used + n] = '\0';
    }
    *used += n;
}

/* "name:value\n" for each header in `canonical`, "name;name" in `names`. */
static void add_headers(const char *const *headers, int n, char *canonical, size_t space, size_t *used,
                        char names[NAMES_BYTES], size_t *names_used)
{
    for (int i = 0; i < n; i++) {
        const char *colon = strchr(headers[i], ':'), *value = colon + 1 + strspn(colon + 1, " ");
        const size_t name = (size_t)(colon - headers[i]);
        append(canonical, space, used, headers[i], name + 1);
        append(canonical, space, used, value, strlen(value));
        append(canonical, space, used, "\n", 1);
        append(names, NAMES_BYTES, names_used, ";", i > 0);
        append(names, NAMES_BYTES, names_used, headers[i], name);
    }
}

/* "host: NAME[:PORT]" as curl sends it: without the port of the scheme. */
static void find_host(const char *url, char host[300], const char **path)
{
    const char *begin = strstr(url, "://") + 3;
    const size_t n = strcspn(begin, "/?");
    const char *port = strncasecmp(url, "https:", 6) == 0 ? ":443" : ":80";
    snprintf(host, 300, "host: %.*s", (int)n, begin);
    const size_t m = strlen(host), p = strlen(port);
    if (m > p && strcmp(host + m - p, port) == 0)
        host[m - p] = '\0';
    *path = begin + n;
}

static void sign_text(const dt_s3_signing_key *key, const char *day, const char *text,
                      char hex[2 * DT_SHA256_BYTES + 1])
{
    char first[256];
    unsigned char mac[DT_SHA256_BYTES];
    const char *parts[] = {key->region, "s3", "aws4_request", text};
    const int n = snprintf(first, sizeof first, "AWS4%s", key->secret);
    dt_hmac_sha256(first, (size_t)n, day, 8, mac);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        dt_hmac_sha256(mac, sizeof mac, parts[i], strlen(parts[i]), mac);
    explicit_bzero(first, sizeof first);
    dt_sha256_format(mac, hex);
}

/* The hash of the body, as a header says it. */
static const char *payload_of(const char *const *headers, int n)
{
    static const char name[] = "x-amz-content-sha256: ";
    for (int i = 0; i < n; i++)
        if (strncmp(headers[i], name, strlen(name)) == 0)
            return headers[i] + strlen(name);
    return "UNSIGNED-PAYLOAD";
}

/* The digest of the canonical request; false: out of memory. */
static bool hash_request(const char *method, const char *url, const char *const *headers, int n,
                         char names[NAMES_BYTES], char hex[2 * DT_SHA256_BYTES + 1])
{
    char host[300];
    const char *all[MAX_HEADERS], *path;
    unsigned char digest[DT_SHA256_BYTES];
    size_t space = strlen(url) + 1024, used = 0, names_used = 0;
    memcpy(all, headers, (size_t)n * sizeof *all);
    find_host(url, host, &path);
    all[n] = host;
    qsort(all, (size_t)n + 1, sizeof *all, compare);
    for (int i = 0; i <= n; i++)
        space += strlen(all[i]);
    char *canonical = dt_alloc(space);
    if (!canonical)
        return false;
    const char *query = strchr(path, '?');
    append(canonical, space, &used, method, strlen(method));
    append(canonical, space, &used, path[0] == '/' ? "\n" : "\n/", path[0] == '/' ? 1 : 2);
    append(canonical, space, &used, path, query ? (size_t)(query - path) : strlen(path));
    append(canonical, space, &used, "\n", 1);
    append(canonical, space, &used, query ? query + 1 : "", query ? strlen(query + 1) : 0);
    append(canonical, space, &used, "\n", 1);
    names[0] = '\0';
    add_headers(all, n + 1, canonical, space, &used, names, &names_used);
    append(canonical, space, &used, "\n", 1);
    append(canonical, space, &used, names, strlen(names));
    append(canonical, space, &used, "\n", 1);
    const char *payload = payload_of(headers, n);
    append(canonical, space, &used, payload, strlen(payload));
    dt_sha256(canonical, used, digest);
    dt_sha256_format(digest, hex);
    explicit_bzero(canonical, space); /* it has the session token */
    dt_free(canonical);
    return true;
}

dt_status dt_s3_sign(const dt_s3_signing_key *key, const char *method, const char *url,
                     const char *const *headers, int n_headers, double unix_s, dt_s3_signature *signature,
                     dt_error *err)
{
    char stamp[32], scope[SCOPE_BYTES], names[NAMES_BYTES], hex[2 * DT_SHA256_BYTES + 1], text[512];
    const char *all[MAX_HEADERS];
    struct tm t;
    const time_t seconds = (time_t)unix_s;
    if (n_headers > MAX_HEADERS - 2 || strlen(key->secret) > 200 || strlen(key->key_id) > 256)
        return dt_fail(err, DT_ERR_INTERNAL, "a signature of %d headers", n_headers);
    (void)gmtime_r(&seconds, &t);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &t);
    snprintf(signature->date, sizeof signature->date, "x-amz-date: %s", stamp);
    snprintf(scope, sizeof scope, "%.8s/%s/s3/aws4_request", stamp, key->region);
    for (int i = 0; i < n_headers; i++)
        all[i] = headers[i];
    all[n_headers] = signature->date;
    if (!hash_request(method, url, all, n_headers + 1, names, hex))
        return dt_fail_memory(err, strlen(url), "a signature");
    snprintf(text, sizeof text, ALGORITHM "\n%s\n%s\n%s", stamp, scope, hex);
    sign_text(key, stamp, text, hex);
    snprintf(signature->authorization, sizeof signature->authorization,
             "Authorization: " ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s", key->key_id,
             scope, names, hex);
    return DT_OK;
}
