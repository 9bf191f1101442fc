/* log.h: lines for the user, through a sink that launch/ installs. Thread-safe.
 *
 *   dt_log_warn("loader: %s is broken (%s): taking %s for it", path, why, other);
 *
 * Without a sink (in a unit test that does not ask) lines are dropped.
 */
#ifndef DT_CORE_BASE_LOG_H
#define DT_CORE_BASE_LOG_H

typedef enum dt_log_level { DT_LOG_DEBUG, DT_LOG_INFO, DT_LOG_WARN, DT_LOG_ERROR } dt_log_level;

/* Called with a whole line without its newline, one call at a time. It must not log. */
typedef void dt_log_sink(void *context, dt_log_level level, const char *line);

/* Install the one sink (NULL: none) and the least level that reaches it. */
void dt_log_set_sink(dt_log_sink *sink, void *context, dt_log_level least);

void dt_log(dt_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define dt_log_debug(...) dt_log(DT_LOG_DEBUG, __VA_ARGS__)
#define dt_log_info(...) dt_log(DT_LOG_INFO, __VA_ARGS__)
#define dt_log_warn(...) dt_log(DT_LOG_WARN, __VA_ARGS__)
#define dt_log_error(...) dt_log(DT_LOG_ERROR, __VA_ARGS__)

#endif
