#include "config.h"

#include "launch/cloud/aws_credentials.h"

#include "core/base/alloc.h"
#include "core/base/program.h"
#include "launch/cloud/aws_endpoints.h"
#include "launch/cloud/aws_environment.h"
#include "launch/cloud/aws_profile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATH_BYTES = DT_AWS_PROFILE_PATH_BYTES,
    ANSWER_BYTES = 32768, /* of the program aws */
    ERROR_BYTES = 600
};
#define AWS_TIMEOUT_S 30.0 /* it may speak with STS or with a provider of identities */

/* Copies of the texts; `token` may be NULL. */
static dt_status fill(dt_aws_credentials *c, const char *key, const char *secret, const char *token,
                      const char *source, dt_error *err)
{
    *c = (dt_aws_credentials){.key_id = dt_strdup(key),
                              .secret = dt_strdup(secret),
                              .token = token ? dt_strdup(token) : NULL,
                              .source = dt_strdup(source),
                              .expires_unix_s = INFINITY};
    if (c->key_id && c->secret && c->source && (c->token || !token))
        return DT_OK;
    dt_aws_credentials_free(c);
    return dt_fail_memory(err, strlen(secret), "credentials");
}

/* -- the environment ------------------------------------------------------------------------------------- */

static dt_status from_environment(dt_aws_credentials *c, bool *found, dt_error *err)
{
    const char *key = dt_aws_environment("AWS_ACCESS_KEY_ID");
    const char *secret = dt_aws_environment("AWS_SECRET_ACCESS_KEY");
    *found = key != NULL;
    if (!key)
        return DT_OK;
    if (!secret)
        return dt_fail(err, DT_ERR_USAGE, "AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not");
    return fill(c, key, secret, dt_aws_environment("AWS_SESSION_TOKEN"), "the environment", err);
}

/* -- profiles -------------------------------------------------------------------------------------------- */

typedef struct profiles {
    const char *name;
    bool is_named;       /* by the user */
    const char *said_by; /* what names it, for messages */
    char paths[2][PATH_BYTES];
    dt_aws_profile files[2]; /* credentials, config */
} profiles;

/* What in the profile needs the program aws; NULL: nothing. `after_keys`: what
 * comes after a key in the file of credentials. */
static const char *needs_aws(const profiles *p, bool after_keys)
{
    const dt_aws_profile_key first = after_keys ? DT_AWS_LOGIN_SESSION : DT_AWS_ROLE_ARN;
    const dt_aws_profile_key end = after_keys ? DT_AWS_N_PROFILE_KEYS : DT_AWS_LOGIN_SESSION;
    for (dt_aws_profile_key key = first; key < end; key++)
        if (p->files[0].values[key] || p->files[1].values[key])
            return dt_aws_profile_key_name(key);
    if (!after_keys && dt_aws_environment("AWS_WEB_IDENTITY_TOKEN_FILE") &&
        dt_aws_environment("AWS_ROLE_ARN"))
        return "AWS_WEB_IDENTITY_TOKEN_FILE";
    return NULL;
}

/* The last line of what aws has printed as its error. */
static const char *last_line(char *text)
{
    size_t n = strlen(text);
    while (n > 0 && strchr(" \r\n", text[n - 1]))
        text[--n] = '\0';
    char *line = strrchr(text, '\n');
    return line ? line + 1 : text;
}

static dt_status run_aws(const profiles *p, const char *why, char *answer, dt_aws_credentials *c,
                         dt_error *err)
{
    char *arguments[] = {(char *)"aws",
                         (char *)"configure",
                         (char *)"export-credentials",
                         (char *)"--format",
                         (char *)"process",
                         p->is_named ? (char *)"--profile" : NULL,
                         (char *)p->name,
                         NULL};
    char errors[ERROR_BYTES], source[512];
    int code = 0;
    dt_error why_not = {0};
    const dt_status status = dt_program_run(&(dt_program){.arguments = arguments,
                                                          .timeout_s = AWS_TIMEOUT_S,
                                                          .out = answer,
                                                          .out_bytes = ANSWER_BYTES,
                                                          .errors = errors,
                                                          .errors_bytes = sizeof errors},
                                            &code, &why_not);
    snprintf(source, sizeof source, "profile '%s' by the program aws", p->name);
    if (status != DT_OK)
        return dt_fail(err, status == DT_ERR_IO ? DT_ERR_USAGE : status,
                       "profile '%s' has %s, which needs the program aws (%s): install the AWS command line, "
                       "version 2, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                       p->name, why, why_not.message);
    if (code != 0)
        return dt_fail(err, DT_ERR_USAGE, "profile '%s' has %s; aws configure export-credentials: %s",
                       p->name, why, errors[0] ? last_line(errors) : "failed without a message");
    return dt_aws_credentials_parse(answer, source, c, err);
}

static dt_status by_aws(const profiles *p, const char *why, dt_aws_credentials *c, dt_error *err)
{
    char *answer = dt_alloc(ANSWER_BYTES);
    if (!answer)
        return dt_fail_memory(err, ANSWER_BYTES, "an answer");
    const dt_status status = run_aws(p, why, answer, c, err);
    explicit_bzero(answer, ANSWER_BYTES);
    dt_free(answer);
    return status;
}

/* The keys in one of the two files. */
static dt_status from_file(const profiles *p, int file, dt_aws_credentials *c, bool *found, dt_error *err)
{
    char source[PATH_BYTES + 64];
    char *const *values = p->files[file].values;
    *found = values[DT_AWS_KEY_ID] != NULL;
    if (!*found)
        return DT_OK;
    if (!values[DT_AWS_SECRET])
        return dt_fail(err, DT_ERR_USAGE,
                       "%s: profile '%s' has aws_access_key_id and no aws_secret_access_key", p->paths[file],
                       p->name);
    snprintf(source, sizeof source, "profile '%s' of %s", p->name, p->paths[file]);
    return fill(c, values[DT_AWS_KEY_ID], values[DT_AWS_SECRET], values[DT_AWS_TOKEN], source, err);
}

static dt_status search(const profiles *p, dt_aws_credentials *c, bool *found, dt_error *err)
{
    const char *why = needs_aws(p, false);
    *found = why != NULL;
    if (why)
        return by_aws(p, why, c, err);
    DT_TRY(from_file(p, 0, c, found, err));
    if (*found)
        return DT_OK;
    if ((why = needs_aws(p, true)) != NULL) {
        *found = true;
        return by_aws(p, why, c, err);
    }
    DT_TRY(from_file(p, 1, c, found, err));
    if (*found || !p->is_named || p->files[0].is_there || p->files[1].is_there)
        return DT_OK;
    const char *names[2] = {p->files[0].names, p->files[1].names};
    return dt_fail(err, DT_ERR_USAGE, "%s is '%s': neither %s (%s) nor %s (%s) has such a profile",
                   p->said_by, p->name, p->paths[0], names[0][0] ? names[0] : "no profiles", p->paths[1],
                   names[1][0] ? names[1] : "no profiles");
}

static dt_status from_profiles(profiles *p, const char *given, dt_aws_credentials *c, bool *found,
                               dt_error *err)
{
    const char *name = dt_aws_profile_chosen(given);
    p->is_named = name != NULL;
    p->said_by = given ? "--profile" : "AWS_PROFILE";
    p->name = name ? name : "default";
    for (int i = 0; i < 2; i++) {
        dt_aws_profile_path(i == 1, p->paths[i]);
        if (p->paths[i][0])
            DT_TRY(dt_aws_profile_read(p->paths[i], p->name, i == 1, &p->files[i], err));
    }
    return search(p, c, found, err);
}

/* -- all places ------------------------------------------------------------------------------------------ */

dt_status dt_aws_credentials_find(const char *profile, dt_aws_credentials *credentials, dt_error *err)
{
    dt_aws_credentials c = {0};
    bool found = false;
    if (!profile)
        DT_TRY(from_environment(&c, &found, err));
    if (!found) {
        profiles *p = dt_calloc(1, sizeof *p);
        if (!p)
            return dt_fail_memory(err, sizeof *p, "profiles");
        const dt_status status = from_profiles(p, profile, &c, &found, err);
        dt_aws_profile_free(&p->files[0]);
        dt_aws_profile_free(&p->files[1]);
        dt_free(p);
        DT_TRY(status);
    }
    if (!found)
        DT_TRY(dt_aws_container_credentials(&c, &found, err));
    if (!found)
        DT_TRY(dt_aws_instance_credentials(&c, &found, err));
    if (!found)
        return dt_fail(
            err, DT_ERR_USAGE,
            "there are no AWS credentials: not in the environment, in ~/.aws, in a container's "
            "endpoint, nor from the role of an EC2 instance: run 'aws configure', or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (launch/README.md has the policies that the "
            "user needs)");
    *credentials = c;
    return DT_OK;
}
