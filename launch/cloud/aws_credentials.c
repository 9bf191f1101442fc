#include "config.h"

#include "launch/cloud/aws_credentials.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/json_limit.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MAX_VALUES = 64, MAX_DEPTH = 4 };

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    dt_free(text);
}

void dt_aws_credentials_free(dt_aws_credentials *credentials)
{
    wipe(credentials->key_id);
    wipe(credentials->secret);
    wipe(credentials->token);
    dt_free(credentials->source);
    *credentials = (dt_aws_credentials){0};
}

/* "2026-01-01T12:00:00Z" in seconds since 1970; INFINITY: not a time. */
static double parse_time(const char *text)
{
    struct tm t = {0};
    if (!text || sscanf(text, "%d-%d-%dT%d:%d:%d", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min,
                        &t.tm_sec) != 6)
        return INFINITY;
    t.tm_year -= 1900;
    t.tm_mon -= 1;
    return (double)timegm(&t);
}

static dt_status fill(const json_t *root, const char *source, dt_aws_credentials *c, dt_error *err)
{
    const char *key = json_string_value(json_object_get(root, "AccessKeyId"));
    const char *secret = json_string_value(json_object_get(root, "SecretAccessKey"));
    const char *token = json_string_value(json_object_get(root, "Token"));
    if (!token)
        token = json_string_value(json_object_get(root, "SessionToken"));
    if (!key || !key[0] || !secret || !secret[0])
        return dt_fail(err, DT_ERR_FORMAT, "%s: the answer has no AccessKeyId with a SecretAccessKey",
                       source);
    c->expires_unix_s = parse_time(json_string_value(json_object_get(root, "Expiration")));
    if (c->expires_unix_s <= dt_clock_unix_s())
        return dt_fail(err, DT_ERR_USAGE, "the credentials of %s expired at %s", source,
                       json_string_value(json_object_get(root, "Expiration")));
    c->key_id = dt_strdup(key);
    c->secret = dt_strdup(secret);
    c->token = token && token[0] ? dt_strdup(token) : NULL;
    c->source = dt_strdup(source);
    if (c->key_id && c->secret && c->source && (c->token || !token || !token[0]))
        return DT_OK;
    return dt_fail_memory(err, strlen(secret), "credentials");
}

dt_status dt_aws_credentials_parse(const char *text, const char *source, dt_aws_credentials *credentials,
                                   dt_error *err)
{
    dt_aws_credentials c = {0};
    const size_t bytes = strlen(text);
    json_t *root = NULL;
    if (dt_json_limit(text, (int64_t)bytes, MAX_VALUES, MAX_DEPTH, NULL) == DT_OK)
        root = json_loadb(text, bytes, 0, NULL); /* its message could show a part of the text */
    dt_status status =
        root ? fill(root, source, &c, err) : dt_fail(err, DT_ERR_FORMAT, "%s: the answer is no JSON", source);
    json_decref(root);
    if (status == DT_OK)
        *credentials = c;
    else
        dt_aws_credentials_free(&c);
    return status;
}
