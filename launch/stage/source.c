#include "config.h"

#include "launch/stage/source.h"

#include <strings.h>

static bool is_http(const char *text)
{
    return strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0;
}

bool dt_stage_is_address(const char *text)
{
    return dt_s3_is_url(text) || is_http(text);
}

dt_status dt_stage_source_open(const char *text, const dt_stage_source_options *options,
                               dt_stage_source **source, dt_error *err)
{
    if (dt_s3_is_url(text))
        return dt_stage_s3_open(text, options, source, err);
    if (is_http(text))
        return dt_stage_http_open(text, options, source, err);
    return dt_stage_folder_open(text, source, err);
}
