#include "config.h"

#include "launch/stop/start_watch.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/ticker.h"
#include "core/base/waits.h"
#include "launch/stop/exit_report.h"
#include "launch/stop/signals.h"

#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define POLL_S 0.1
#define GRACE_S 1.0         /* for the ranks to leave together */
#define FIRST_REPORT_S 30.0 /* of a wait; the next report comes after twice the time */

struct dt_start_watch {
    dt_ticker *ticker;
    bool prints, is_training;
    pthread_mutex_t mutex; /* guards the next three */
    bool trains;
    double until_s;
    char option[64];
    /* used by the thread only */
    double asked_s, next_report_s;
};

/* Prints without the locks of stdio, which the main thread may hold, and not to a pipe that is full. */
static void print(const dt_start_watch *w, const char *line)
{
    char text[1100];
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (!w->prints || poll(&p, 1, 0) <= 0 || !(p.revents & POLLOUT))
        return;
    const int n = snprintf(text, sizeof text, "dtrain: %s\n", line);
    (void)!write(STDERR_FILENO, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static void leave(const dt_start_watch *w, const char *why, dt_status status)
{
    char what[512], line[1024];
    const double seconds = dt_waits_get(what, sizeof what);
    if (what[0])
        snprintf(line, sizeof line, "%s; it has been %s for %.0f s", why, what, seconds);
    else
        snprintf(line, sizeof line, "%s", why);
    print(w, line);
    if (w->prints)
        dt_exit_report(dt_status_exit_code(status));
    _exit(dt_status_exit_code(status));
}

/* Ends the process if the main thread does not. Under the mutex, so that no first step begins meanwhile. */
static void check_stop(dt_start_watch *w)
{
    char why[256];
    const double now = dt_clock_s();
    const char *signal = dt_signals_stop_requested();
    if (signal && w->asked_s <= 0.0)
        w->asked_s = now;
    if (signal && now > w->asked_s + GRACE_S && !w->is_training) {
        dt_waits_remove_unfinished();
        dt_signals_end();
    } else if (signal && now > w->asked_s + GRACE_S) {
        snprintf(why, sizeof why,
                 "stopped on %s before the first step; nothing was lost, and the same command starts again",
                 signal);
        leave(w, why, DT_ERR_INTERRUPTED);
    }
    if (now > w->until_s + GRACE_S) {
        snprintf(why, sizeof why, "%s is too short: it has passed before the first step", w->option);
        leave(w, why, DT_ERR_USAGE);
    }
}

static void report_wait(dt_start_watch *w)
{
    char what[512], line[640];
    const double seconds = dt_waits_get(what, sizeof what);
    if (seconds < FIRST_REPORT_S)
        w->next_report_s = FIRST_REPORT_S;
    else if (seconds >= w->next_report_s) {
        w->next_report_s = 2.0 * seconds;
        snprintf(line, sizeof line, "still %s, since %.0f s", what, seconds);
        print(w, line);
    }
}

static double tick(void *context)
{
    dt_start_watch *w = context;
    pthread_mutex_lock(&w->mutex);
    const bool trains = w->trains;
    if (!trains)
        check_stop(w);
    pthread_mutex_unlock(&w->mutex);
    if (trains)
        return INFINITY;
    report_wait(w);
    return POLL_S;
}

dt_status dt_start_watch_create(bool prints, bool trains, dt_start_watch **watch, dt_error *err)
{
    dt_start_watch *w = dt_calloc(1, sizeof *w);
    if (!w)
        return dt_fail_memory(err, sizeof *w, "the thread that watches the start");
    pthread_mutex_init(&w->mutex, NULL);
    w->prints = prints;
    w->is_training = trains;
    w->until_s = INFINITY;
    const dt_status status = dt_ticker_create(tick, w, "the thread that watches the start", &w->ticker, err);
    if (status == DT_OK)
        *watch = w;
    else
        dt_start_watch_destroy(w);
    return status;
}

void dt_start_watch_destroy(dt_start_watch *w)
{
    if (!w)
        return;
    dt_ticker_destroy(w->ticker);
    pthread_mutex_destroy(&w->mutex);
    dt_free(w);
}

void dt_start_watch_set_limit(dt_start_watch *w, const char *option, double until_s)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    w->until_s = until_s;
    snprintf(w->option, sizeof w->option, "%s", option);
    pthread_mutex_unlock(&w->mutex);
}

void dt_start_watch_set_trains(dt_start_watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    w->trains = true;
    pthread_mutex_unlock(&w->mutex);
}
