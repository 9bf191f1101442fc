#include "config.h"

#include "core/base/ticker.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

struct dt_ticker {
    double (*tick)(void *context);
    void *context;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t stop_set;
    bool stop;
};

static void *run(void *context)
{
    dt_ticker *t = context;
    pthread_mutex_lock(&t->mutex);
    while (!t->stop) {
        pthread_mutex_unlock(&t->mutex);
        const struct timespec next = dt_clock_deadline(t->tick(t->context));
        pthread_mutex_lock(&t->mutex);
        while (!t->stop && pthread_cond_timedwait(&t->stop_set, &t->mutex, &next) == 0)
            continue;
    }
    pthread_mutex_unlock(&t->mutex);
    return NULL;
}

dt_status dt_ticker_create(double (*tick)(void *context), void *context, const char *what, dt_ticker **ticker,
                           dt_error *err)
{
    sigset_t all, before;
    dt_ticker *t = dt_calloc(1, sizeof *t);
    if (!t)
        return dt_fail_memory(err, sizeof *t, what);
    t->tick = tick;
    t->context = context;
    pthread_mutex_init(&t->mutex, NULL);
    dt_clock_init_cond(&t->stop_set);
    sigfillset(&all); /* the main thread handles signals */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&t->thread, NULL, run, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed) {
        *ticker = t;
        return DT_OK;
    }
    pthread_mutex_destroy(&t->mutex);
    pthread_cond_destroy(&t->stop_set);
    dt_free(t);
    return dt_fail(err, DT_ERR_MEMORY, "no thread for %s: %s", what, strerror(failed));
}

void dt_ticker_destroy(dt_ticker *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->mutex);
    t->stop = true;
    pthread_cond_signal(&t->stop_set);
    pthread_mutex_unlock(&t->mutex);
    pthread_join(t->thread, NULL);
    pthread_mutex_destroy(&t->mutex);
    pthread_cond_destroy(&t->stop_set);
    dt_free(t);
}
