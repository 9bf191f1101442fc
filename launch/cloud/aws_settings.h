/* aws_settings.h: what the user has set for the AWS command line, apart from credentials.
 *
 *   dt_aws_settings settings;
 *   DT_TRY(dt_aws_settings_find(NULL, "S3", &settings, err));
 */
#ifndef DT_LAUNCH_CLOUD_AWS_SETTINGS_H
#define DT_LAUNCH_CLOUD_AWS_SETTINGS_H

#include "core/base/error.h"

typedef struct dt_aws_settings {
    char region[64];        /* AWS_REGION, AWS_DEFAULT_REGION, or the profile's; "": not set */
    char endpoint_url[512]; /* AWS_ENDPOINT_URL_SERVICE, AWS_ENDPOINT_URL, or the profile's; "": not set, or
                               AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is true */
} dt_aws_settings;

/* `profile`: the user's choice; NULL: AWS_PROFILE, or "default". `service`: "S3". Errors of
 * dt_aws_profile_read. */
dt_status dt_aws_settings_find(const char *profile, const char *service, dt_aws_settings *settings,
                               dt_error *err);

#endif
