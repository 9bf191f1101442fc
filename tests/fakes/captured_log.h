/* captured_log.h: what the code under test logs, as one text.
 *
 *   captured_log_begin(DT_LOG_INFO);
 *   ...
 *   captured_log_end();
 *   DT_CHECK_CONTAINS(captured_log_text(), "passing over step 20");
 */
#ifndef DTRAIN_TESTS_CAPTURED_LOG_H
#define DTRAIN_TESTS_CAPTURED_LOG_H

#include "core/base/log.h"

/* Forget what was captured, and capture lines of this level and above from now on, of any thread. */
void captured_log_begin(dt_log_level least);

/* Stop. The text stays until the next begin. Call it before the test ends. */
void captured_log_end(void);

/* Each line with a newline; what does not fit in 64 KiB is cut. */
const char *captured_log_text(void);
int captured_log_lines(void);

#endif
