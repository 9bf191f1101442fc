#include "core/base/log.h"

#include "core/base/alloc.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* held while the sink runs */
static dt_log_sink *the_sink;
static void *the_context;
static _Atomic int least_level = DT_LOG_ERROR + 1; /* without a sink no level passes */

void dt_log_set_sink(dt_log_sink *sink, void *context, dt_log_level least)
{
    pthread_mutex_lock(&lock);
    the_sink = sink;
    the_context = context;
    atomic_store(&least_level, sink ? (int)least : DT_LOG_ERROR + 1);
    pthread_mutex_unlock(&lock);
}

static void call_sink(dt_log_level level, char *line)
{
    size_t n = strlen(line);
    if (n > 0 && line[n - 1] == '\n')
        line[n - 1] = '\0';
    pthread_mutex_lock(&lock);
    if (the_sink)
        the_sink(the_context, level, line);
    pthread_mutex_unlock(&lock);
}

void dt_log(dt_log_level level, const char *format, ...)
{
    if ((int)level < atomic_load_explicit(&least_level, memory_order_relaxed))
        return;
    char usual[1024];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(usual, sizeof usual, format, args);
    char *longer = n >= (int)sizeof usual ? dt_alloc((size_t)n + 1) : NULL;
    if (longer)
        vsnprintf(longer, (size_t)n + 1, format, again);
    va_end(again);
    va_end(args);
    if (n >= 0)
        call_sink(level, longer ? longer : usual); /* out of memory: log the beginning */
    dt_free(longer);
}
