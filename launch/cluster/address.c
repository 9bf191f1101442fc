#include "config.h"

#include "launch/cluster/address.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static bool has_only(const char *text, const char *characters)
{
    return text[strspn(text, characters)] == '\0';
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

dt_status dt_check_bucket(const char *bucket, const char *what, dt_error *err)
{
    enum { SHORTEST = 3, LONGEST = 63 };
    const size_t n = strlen(bucket);
    if (starts_with(bucket, "s3://"))
        return dt_fail(err, DT_ERR_USAGE, "%s: '%s' is an address; give the bucket's name alone: %s %.*s",
                       what, bucket, what, (int)strcspn(bucket + 5, "/"), bucket + 5);
    if (n < SHORTEST || n > LONGEST || !has_only(bucket, LOWER DIGITS ".-") || strchr(".-", bucket[0]) ||
        strchr(".-", bucket[n - 1]) || strstr(bucket, ".."))
        return dt_fail(
            err, DT_ERR_USAGE,
            "%s: '%s' cannot be a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens", what,
            bucket);
    return DT_OK;
}

dt_status dt_check_key(const char *key, const char *what, dt_error *err)
{
    const char *slash = strrchr(key, '/');
    const char *base = slash ? slash + 1 : key;
    const int n = (int)strlen(base) - (ends_with(base, ".pem") ? 4 : 0);
    if (slash || ends_with(key, ".pem"))
        return dt_fail(err, DT_ERR_USAGE, "%s: '%s' is a file; give the key pair's name in EC2: %s %.*s",
                       what, key, what, n, base);
    for (const char *s = key; *s; s++)
        if (*s < ' ' || *s > '~')
            return dt_fail(err, DT_ERR_USAGE,
                           "%s: '%s': a key pair's name has printable ASCII characters alone", what, key);
    return DT_OK;
}

dt_status dt_check_cluster_name(const char *name, const char *what, dt_error *err)
{
    enum { LONGEST = 60 };
    if (!name[0] || !strchr(LOWER UPPER, name[0]) || !has_only(name, LOWER UPPER DIGITS "-") ||
        strlen(name) > LONGEST)
        return dt_fail(
            err, DT_ERR_USAGE,
            "%s: '%s' cannot be a cluster's name: a letter, then at most 59 letters, digits and hyphens",
            what, name);
    return DT_OK;
}

dt_status dt_check_subnet(const char *subnet, const char *what, dt_error *err)
{
    const size_t n = strlen(subnet);
    if (starts_with(subnet, "subnet-") && (n == 7 + 8 || n == 7 + 17) && has_only(subnet + 7, LOWER DIGITS))
        return DT_OK;
    return dt_fail(err, DT_ERR_USAGE,
                   "%s: '%s' is not the id of one subnet, such as subnet-0123456789abcdef0", what, subnet);
}

dt_status dt_check_cidr(const char *cidr, const char *what, dt_error *err)
{
    unsigned part[5];
    char rest, again[64];
    if (sscanf(cidr, "%3u.%3u.%3u.%3u/%2u%c", &part[0], &part[1], &part[2], &part[3], &part[4], &rest) == 5 &&
        part[0] < 256 && part[1] < 256 && part[2] < 256 && part[3] < 256 && part[4] <= 32) {
        snprintf(again, sizeof again, "%u.%u.%u.%u/%u", part[0], part[1], part[2], part[3], part[4]);
        if (strcmp(again, cidr) == 0)
            return DT_OK;
    }
    return dt_fail(err, DT_ERR_USAGE,
                   "%s: '%s' is not a range of addresses, such as 203.0.113.7/32 (one) or 0.0.0.0/0", what,
                   cidr);
}

/* The letters after the generation's digit say what a family has: g is Graviton, 64-bit Arm. */
static bool is_arm(const char *type)
{
    const char *digit = strpbrk(type, DIGITS);
    if (!digit)
        return false;
    const size_t n = strcspn(digit, ".-");
    return memchr(digit, 'g', n) != NULL || starts_with(type, "a1.");
}

dt_status dt_check_head_type(const char *type, const char *what, dt_error *err)
{
    const char *dot = strchr(type, '.');
    if (!dot || dot == type || !dot[1] || strchr(dot + 1, '.') || !strchr(LOWER, type[0]) ||
        !has_only(type, LOWER DIGITS ".-"))
        return dt_fail(err, DT_ERR_USAGE, "%s: '%s' is no instance type, such as c6i.xlarge", what, type);
    if (is_arm(type))
        return dt_fail(
            err, DT_ERR_USAGE,
            "%s: %s has a processor of Arm's; the head node builds dtrain for the nodes, which are x86-64: "
            "take c6i, m6i or the like",
            what, type);
    return DT_OK;
}

dt_status dt_check_source(const char *source, const char *bucket, const char *what, dt_error *err)
{
    const size_t n = strlen(bucket);
    for (const char *s = source; *s; s++)
        if (*s <= ' ' || *s > '~')
            return dt_fail(err, DT_ERR_USAGE,
                           "%s: '%s': an address has no blanks and only ASCII: percent-encode it", what,
                           source);
    if (starts_with(source, "s3://") && (strncmp(source + 5, bucket, n) != 0 || source[5 + n] != '/'))
        return dt_fail(err, DT_ERR_USAGE, "%s: '%s' is in another bucket; the cluster can read %s alone",
                       what, source, bucket);
    if ((starts_with(source, "s3://") && strstr(source, ".tar")) ||
        (starts_with(source, "https://") && (strstr(source, ".tar") || ends_with(source, ".git"))))
        return DT_OK;
    return dt_fail(err, DT_ERR_USAGE,
                   "%s: '%s' is no archive, s3://%s/....tar.xz or https://....tar.xz, and no git repository, "
                   "https://....git",
                   what, source, bucket);
}
