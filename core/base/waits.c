#include "core/base/waits.h"

#include "core/base/clock.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static struct {
    pthread_mutex_t mutex; /* guards all but left_threads */
    dt_stop_ask *ask;
    void *context;
    char what[512];
    double since_s;
    char unfinished[4096];
    atomic_bool left_threads;
} waits = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void dt_waits_set_stop(dt_stop_ask *ask, void *context)
{
    pthread_mutex_lock(&waits.mutex);
    waits.ask = ask;
    waits.context = context;
    pthread_mutex_unlock(&waits.mutex);
}

const char *dt_waits_stop_requested(void)
{
    /* under the mutex, so that the context is not destroyed meanwhile */
    pthread_mutex_lock(&waits.mutex);
    const char *why = waits.ask ? waits.ask(waits.context) : NULL;
    pthread_mutex_unlock(&waits.mutex);
    return why;
}

dt_status dt_waits_check(const char *doing, dt_error *err)
{
    const char *why = dt_waits_stop_requested();
    return why ? dt_fail(err, DT_ERR_INTERRUPTED,
                         "stopped on %s before the first step, while %s; nothing was lost, and the same "
                         "command starts again",
                         why, doing)
               : DT_OK;
}

void dt_waits_begin(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    pthread_mutex_lock(&waits.mutex);
    vsnprintf(waits.what, sizeof waits.what, format, args);
    waits.since_s = dt_clock_s();
    pthread_mutex_unlock(&waits.mutex);
    va_end(args);
}

void dt_waits_end(void)
{
    pthread_mutex_lock(&waits.mutex);
    waits.what[0] = '\0';
    pthread_mutex_unlock(&waits.mutex);
}

double dt_waits_get(char *what, size_t what_bytes)
{
    pthread_mutex_lock(&waits.mutex);
    snprintf(what, what_bytes, "%s", waits.what);
    const double seconds = waits.what[0] ? dt_clock_s() - waits.since_s : 0.0;
    pthread_mutex_unlock(&waits.mutex);
    return seconds;
}

void dt_waits_set_unfinished(const char *path)
{
    pthread_mutex_lock(&waits.mutex);
    snprintf(waits.unfinished, sizeof waits.unfinished, "%s", path ? path : "");
    pthread_mutex_unlock(&waits.mutex);
}

void dt_waits_remove_unfinished(void)
{
    pthread_mutex_lock(&waits.mutex);
    if (waits.unfinished[0])
        (void)unlink(waits.unfinished);
    pthread_mutex_unlock(&waits.mutex);
}

void dt_waits_leave_thread(void)
{
    atomic_store(&waits.left_threads, true);
}

bool dt_waits_has_left_threads(void)
{
    return atomic_load(&waits.left_threads);
}
