#include "core/base/json_limit.h"

#include <stdbool.h>

/* The position after the string that begins at `at`. */
static int64_t skip_string(const char *text, int64_t bytes, int64_t at)
{
    for (at++; at < bytes && text[at] != '"'; at++)
        if (text[at] == '\\')
            at++;
    return at + 1;
}

dt_status dt_json_limit(const char *text, int64_t bytes, int64_t max_values, int max_depth, dt_error *err)
{
    int64_t n_values = 1, depth = 0;
    for (int64_t at = 0; at < bytes;) {
        const char c = text[at];
        if (c == '"') {
            at = skip_string(text, bytes, at);
            continue;
        }
        const bool opens = c == '[' || c == '{', closes = c == ']' || c == '}';
        depth += opens - closes;
        n_values += opens || c == ','; /* a container's first value, and each that follows a comma */
        if (depth > max_depth)
            return dt_fail(err, DT_ERR_FORMAT, "its JSON is nested more than %d deep", max_depth);
        if (n_values > max_values)
            return dt_fail(err, DT_ERR_FORMAT, "its JSON has more than %lld values", (long long)max_values);
        at++;
    }
    return DT_OK;
}
