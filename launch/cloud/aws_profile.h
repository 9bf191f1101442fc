/* aws_profile.h: a profile in the files of the AWS command line, ~/.aws/credentials and ~/.aws/config.
 *
 *   dt_aws_profile profile;
 *   DT_TRY(dt_aws_profile_read(path, "default", false, &profile, err));
 *   if (profile.values[DT_AWS_KEY_ID]) ...
 *   dt_aws_profile_free(&profile);
 *
 * The files have sections, [NAME] in credentials, [default] and [profile NAME] in config, with lines
 * `name = value`. Lines that begin with # or ; are comments, and indented lines belong to the value above,
 * which is then none of those that are read here.
 */
#ifndef DT_LAUNCH_CLOUD_AWS_PROFILE_H
#define DT_LAUNCH_CLOUD_AWS_PROFILE_H

#include "core/base/error.h"

typedef enum dt_aws_profile_key {
    DT_AWS_KEY_ID,
    DT_AWS_SECRET,
    DT_AWS_TOKEN,
    DT_AWS_PROFILE_REGION,
    DT_AWS_PROFILE_ENDPOINT_URL,
    DT_AWS_ROLE_ARN, /* this and the next ones: what the program aws resolves */
    DT_AWS_WEB_IDENTITY,
    DT_AWS_SSO_SESSION,
    DT_AWS_SSO_START_URL,
    DT_AWS_LOGIN_SESSION,
    DT_AWS_PROCESS,
    DT_AWS_N_PROFILE_KEYS
} dt_aws_profile_key;

typedef struct dt_aws_profile {
    bool has_file, is_there;             /* the file exists; it has such a section */
    char *values[DT_AWS_N_PROFILE_KEYS]; /* NULL: not given, or empty */
    char names[256];                     /* of all profiles in the file, "a, b, c", cut */
} dt_aws_profile;

enum { DT_AWS_PROFILE_PATH_BYTES = 4096 };

/* The profile to use: `given`, if it is not NULL, or the environment's (AWS_DEFAULT_PROFILE, AWS_PROFILE);
 * NULL: none is named. */
const char *dt_aws_profile_chosen(const char *given);

/* The file of credentials, or `is_config` the one with the configuration: AWS_SHARED_CREDENTIALS_FILE and
 * AWS_CONFIG_FILE, or those in ~/.aws. "": there is no home. */
void dt_aws_profile_path(bool is_config, char path[DT_AWS_PROFILE_PATH_BYTES]);

/* The name of a key in the files: "role_arn". Static storage. */
const char *dt_aws_profile_key_name(dt_aws_profile_key key);

/* Reads the profile `name`. `is_config`: sections are called [profile NAME], as in ~/.aws/config. A file that
 * does not exist has no profiles, nor has /dev/null. The caller frees *profile. DT_ERR_USAGE "FILE:LINE:
 * ...": a line that is neither; its text is not shown, because it may be a secret. DT_ERR_IO,
 * DT_ERR_MEMORY. */
dt_status dt_aws_profile_read(const char *path, const char *name, bool is_config, dt_aws_profile *profile,
                              dt_error *err);
void dt_aws_profile_free(dt_aws_profile *profile); /* overwrites the values */

#endif
