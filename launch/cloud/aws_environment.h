/* aws_environment.h: environment variables as the AWS command line reads them: an empty one is not set. */
#ifndef DT_LAUNCH_CLOUD_AWS_ENVIRONMENT_H
#define DT_LAUNCH_CLOUD_AWS_ENVIRONMENT_H

#include <stdbool.h>
#include <stdlib.h>
#include <strings.h>

static inline const char *dt_aws_environment(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

/* Whether the variable is "true", in any case. */
static inline bool dt_aws_environment_is_true(const char *name)
{
    const char *value = getenv(name);
    return value && strcasecmp(value, "true") == 0;
}

#endif
