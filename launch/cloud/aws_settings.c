#include "launch/cloud/aws_settings.h"

#include "launch/cloud/aws_environment.h"
#include "launch/cloud/aws_profile.h"

#include <stdio.h>

/* Sets what is not set yet. */
static void keep(char *value, size_t bytes, const char *given)
{
    if (!value[0] && given)
        snprintf(value, bytes, "%s", given);
}

static dt_status read_profile(const char *name, bool is_config, dt_aws_settings *s, dt_error *err)
{
    char path[DT_AWS_PROFILE_PATH_BYTES];
    dt_aws_profile profile;
    dt_aws_profile_path(is_config, path);
    if (!path[0])
        return DT_OK;
    DT_TRY(dt_aws_profile_read(path, name, is_config, &profile, err));
    keep(s->region, sizeof s->region, profile.values[DT_AWS_PROFILE_REGION]);
    keep(s->endpoint_url, sizeof s->endpoint_url, profile.values[DT_AWS_PROFILE_ENDPOINT_URL]);
    dt_aws_profile_free(&profile);
    return DT_OK;
}

dt_status dt_aws_settings_find(const char *profile, const char *service, dt_aws_settings *settings,
                               dt_error *err)
{
    char variable[64];
    dt_aws_settings s = {0};
    const char *name = dt_aws_profile_chosen(profile);
    snprintf(variable, sizeof variable, "AWS_ENDPOINT_URL_%s", service);
    keep(s.endpoint_url, sizeof s.endpoint_url, dt_aws_environment(variable));
    keep(s.endpoint_url, sizeof s.endpoint_url, dt_aws_environment("AWS_ENDPOINT_URL"));
    keep(s.region, sizeof s.region, dt_aws_environment("AWS_REGION"));
    keep(s.region, sizeof s.region, dt_aws_environment("AWS_DEFAULT_REGION"));
    DT_TRY(read_profile(name ? name : "default", false, &s, err));
    DT_TRY(read_profile(name ? name : "default", true, &s, err));
    if (dt_aws_environment_is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"))
        s.endpoint_url[0] = '\0';
    *settings = s;
    return DT_OK;
}
