#include "config.h"

#include "launch/cloud/aws_profile.h"

#include "core/base/alloc.h"
#include "core/base/file.h"
#include "launch/cloud/aws_environment.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const key_names[DT_AWS_N_PROFILE_KEYS] = {
    [DT_AWS_KEY_ID] = "aws_access_key_id",
    [DT_AWS_SECRET] = "aws_secret_access_key",
    [DT_AWS_TOKEN] = "aws_session_token",
    [DT_AWS_PROFILE_REGION] = "region",
    [DT_AWS_PROFILE_ENDPOINT_URL] = "endpoint_url",
    [DT_AWS_ROLE_ARN] = "role_arn",
    [DT_AWS_WEB_IDENTITY] = "web_identity_token_file",
    [DT_AWS_SSO_SESSION] = "sso_session",
    [DT_AWS_SSO_START_URL] = "sso_start_url",
    [DT_AWS_LOGIN_SESSION] = "login_session",
    [DT_AWS_PROCESS] = "credential_process",
};

const char *dt_aws_profile_key_name(dt_aws_profile_key key)
{
    return key_names[key];
}

const char *dt_aws_profile_chosen(const char *given)
{
    if (!given)
        given = dt_aws_environment("AWS_DEFAULT_PROFILE"); /* botocore's order */
    return given ? given : dt_aws_environment("AWS_PROFILE");
}

void dt_aws_profile_path(bool is_config, char path[DT_AWS_PROFILE_PATH_BYTES])
{
    const char *given = dt_aws_environment(is_config ? "AWS_CONFIG_FILE" : "AWS_SHARED_CREDENTIALS_FILE");
    const char *home = dt_aws_environment("HOME");
    path[0] = '\0';
    if (given && given[0] == '~' && given[1] == '/' && home)
        snprintf(path, DT_AWS_PROFILE_PATH_BYTES, "%s%s", home, given + 1);
    else if (given)
        snprintf(path, DT_AWS_PROFILE_PATH_BYTES, "%s", given);
    else if (home)
        snprintf(path, DT_AWS_PROFILE_PATH_BYTES, "%s/.aws/%s", home, is_config ? "config" : "credentials");
}

static char *trim(char *text)
{
    text += strspn(text, " \t\r\n");
    for (size_t n = strlen(text); n > 0 && isspace((unsigned char)text[n - 1]);)
        text[--n] = '\0';
    return text;
}

/* The profile that a section's title, without its brackets, stands for; NULL: none (in config: [services x],
 * [sso-session x]). */
static char *profile_of(char *title, bool is_config)
{
    static const char word[] = "profile";
    title = trim(title);
    if (is_config && strcmp(title, "default") != 0) {
        if (strncmp(title, word, strlen(word)) != 0 || !strchr(" \t", title[strlen(word)]))
            return NULL;
        title = trim(title + strlen(word));
    }
    const size_t n = strlen(title);
    if (n >= 2 && (title[0] == '"' || title[0] == '\'') && title[n - 1] == title[0]) {
        title[n - 1] = '\0';
        title++;
    }
    return title;
}

static void add_name(dt_aws_profile *profile, const char *name)
{
    const size_t used = strlen(profile->names);
    if (used + strlen(name) + 3 < sizeof profile->names)
        snprintf(profile->names + used, sizeof profile->names - used, "%s%s", used ? ", " : "", name);
}

static dt_status keep(dt_aws_profile *profile, const char *key, const char *value, dt_error *err)
{
    for (int i = 0; i < DT_AWS_N_PROFILE_KEYS; i++) {
        if (strcasecmp(key, key_names[i]) != 0 || !value[0])
            continue;
        char *copy = dt_strdup(value);
        if (!copy)
            return dt_fail_memory(err, strlen(value), "a profile");
        dt_free(profile->values[i]);
        profile->values[i] = copy;
    }
    return DT_OK;
}

typedef struct reader {
    const char *path, *name;
    bool is_config;
    bool is_inside;   /* a section with this name */
    bool has_section; /* any */
    int line;
} reader;

static dt_status read_line(reader *r, char *line, dt_aws_profile *profile, dt_error *err)
{
    const bool is_indented = line[0] == ' ' || line[0] == '\t';
    char *text = trim(line), *end;
    r->line++;
    if (!text[0] || text[0] == '#' || text[0] == ';')
        return DT_OK;
    if (text[0] == '[') {
        if (!(end = strrchr(text, ']')))
            return dt_fail(err, DT_ERR_USAGE, "%s:%d: a section's name does not end with ]", r->path,
                           r->line);
        *end = '\0';
        const char *profile_name = profile_of(text + 1, r->is_config);
        r->has_section = true;
        r->is_inside = profile_name && strcmp(profile_name, r->name) == 0;
        if (profile_name)
            add_name(profile, profile_name);
        profile->is_there = profile->is_there || r->is_inside;
        return DT_OK;
    }
    if (is_indented && r->has_section)
        return DT_OK;
    if (!r->has_section)
        return dt_fail(err, DT_ERR_USAGE, "%s:%d: a line before the first [section]", r->path, r->line);
    if (!(end = strpbrk(text, "=:")))
        return dt_fail(err, DT_ERR_USAGE, "%s:%d: neither [section] nor name = value", r->path, r->line);
    *end = '\0';
    return r->is_inside ? keep(profile, trim(text), trim(end + 1), err) : DT_OK;
}

dt_status dt_aws_profile_read(const char *path, const char *name, bool is_config, dt_aws_profile *profile,
                              dt_error *err)
{
    reader r = {.path = path, .name = name, .is_config = is_config};
    FILE *in = NULL;
    char *line = NULL;
    size_t bytes = 0;
    *profile = (dt_aws_profile){0};
    if (strcmp(path, "/dev/null") == 0) /* how a user turns the files off */
        return DT_OK;
    dt_status status = dt_file_open_stream(path, &in, err);
    if (status != DT_OK)
        return errno == ENOENT || errno == ENOTDIR ? DT_OK : status;
    profile->has_file = true;
    while (status == DT_OK && getline(&line, &bytes, in) >= 0)
        status = read_line(&r, line, profile, err);
    if (status == DT_OK && ferror(in))
        status = dt_fail_errno(err, "%s", path);
    if (line)
        explicit_bzero(line, bytes);
    free(line);
    fclose(in);
    if (status != DT_OK)
        dt_aws_profile_free(profile);
    return status;
}

void dt_aws_profile_free(dt_aws_profile *profile)
{
    for (int i = 0; i < DT_AWS_N_PROFILE_KEYS; i++) {
        if (profile->values[i])
            explicit_bzero(profile->values[i], strlen(profile->values[i]));
        dt_free(profile->values[i]);
    }
    *profile = (dt_aws_profile){0};
}
