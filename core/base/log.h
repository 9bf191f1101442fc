/* log.h: log lines for the user, which go to a sink that launch/ installs. Thread-safe.
 *
 *   dt_log_warn("loader: %s is broken (%s): using %s instead", path, why, other);
 *
 * Without a sink, as in most unit tests, lines are dropped.
 */
#ifndef DT_CORE_BASE_LOG_H
#define DT_CORE_BASE_LOG_H

typedef enum dt_log_level { DT_LOG_DEBUG, DT_LOG_INFO, DT_LOG_WARN, DT_LOG_ERROR } dt_log_level;

/* Receives one line without its newline. Calls come from any thread, one at a time. It must not log. */
typedef void dt_log_sink(void *context, dt_log_level level, const char *line);

/* Install the sink (NULL: none) and the lowest level that reaches it. There is one sink at a time. */
void dt_log_set_sink(dt_log_sink *sink, void *context, dt_log_level least);

/* Format a line and call the sink with it. A line may be of any length; out of memory, the first 1023 bytes
 * remain. */
void dt_log(dt_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define dt_log_debug(...) dt_log(DT_LOG_DEBUG, __VA_ARGS__)
#define dt_log_info(...) dt_log(DT_LOG_INFO, __VA_ARGS__)
#define dt_log_warn(...) dt_log(DT_LOG_WARN, __VA_ARGS__)
#define dt_log_error(...) dt_log(DT_LOG_ERROR, __VA_ARGS__)

#endif
