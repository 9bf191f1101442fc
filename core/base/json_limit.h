/* json_limit.h: how large a JSON text becomes in memory, before it is parsed.
 *
 *   DT_TRY(dt_json_limit(text, bytes, 100000, 8, err));
 *   json_t *root = json_loadb(text, bytes, ...);
 *
 * A parser allocates some hundred bytes for a value that takes two in the text, so that a limit on the file's
 * size does not limit the memory. Call this for every JSON text that comes from outside.
 */
#ifndef DT_CORE_BASE_JSON_LIMIT_H
#define DT_CORE_BASE_JSON_LIMIT_H

#include "core/base/error.h"

#include <stdint.h>

/* Check that a text of `bytes` has at most max_values values (objects, arrays, members, elements) nested
 * at most max_depth deep. Reads the text once and allocates nothing; whether it is valid JSON is the
 * parser's business. DT_ERR_FORMAT: it has more; the message says of what, and the limit. */
dt_status dt_json_limit(const char *text, int64_t bytes, int64_t max_values, int max_depth, dt_error *err);

#endif
