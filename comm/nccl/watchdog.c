/* watchdog.c: a thread that aborts NCCL when the main thread hangs in a call of CUDA.
 *
 * A call that enqueues returns at once unless CUDA's queue is full. About a thousand kernels fill it. When a
 * sum stalls and the host enqueues more than that after it, the host hangs in the call and never reaches a
 * wait with a deadline. (Captured steps enqueue far less.) So this thread checks the marks. When a sum has
 * not ended for longer than the deadline it aborts NCCL: the sum ends, and the main thread returns from the
 * call, finds that the watchdog has fired, and collects notices to name the missing ranks. This thread sends
 * none itself, because only the main thread may call MPI.
 *
 * ncclCommAbort frees the communicator. So the mutex makes sure that this thread never begins to abort while
 * the main thread is in a wait, or is about to call NCCL: either the main thread sees `fired` first, or the
 * watchdog sees that the main thread has come.
 */
#include "comm/nccl/internal.h"

#include "core/base/clock.h"
#include "core/base/fault.h"

#include <errno.h>
#include <time.h>

#define CHECKS 16 /* in each limit_s */
#define MARGIN_S 1.0

/* How long a sum may last: longer than the main thread waits, so that it gives up first where it can wait. */
static double limit_s(const dt_comm_nccl *c)
{
    const double deadline_s = dt_watch_deadline_s(c->watch);
    return deadline_s + (deadline_s < 4.0 ? deadline_s / 2.0 : 2.0) + MARGIN_S;
}

/* The main thread has come: the watchdog waits its whole limit again. Returns whether it has fired before. */
static bool restart(dt_nccl_watchdog *w, bool held)
{
    if (!w->runs)
        return false;
    pthread_mutex_lock(&w->mutex);
    w->restarted_s = dt_clock_s();
    w->held = held;
    const bool fired = atomic_load(&w->fired);
    pthread_mutex_unlock(&w->mutex);
    return fired;
}

void dt_nccl_watchdog_hold(dt_comm_nccl *c)
{
    (void)restart(&c->watchdog, true);
}

void dt_nccl_watchdog_release(dt_comm_nccl *c)
{
    (void)restart(&c->watchdog, false);
}

bool dt_nccl_watchdog_enter(dt_comm_nccl *c)
{
    return !restart(&c->watchdog, c->watchdog.held);
}

/* Returns false when the thread is to end. */
static bool sleep_until_next_check(dt_nccl_watchdog *w, double seconds)
{
    const struct timespec until = dt_clock_deadline(seconds);
    pthread_mutex_lock(&w->mutex);
    int code = 0;
    while (!w->ends && code != ETIMEDOUT)
        code = pthread_cond_timedwait(&w->changed, &w->mutex, &until);
    bool goes_on = !w->ends;
    pthread_mutex_unlock(&w->mutex);
    return goes_on;
}

/* Whether to abort: the main thread is in no wait, and has not come for limit_s. */
static bool fire(dt_nccl_watchdog *w, int64_t stalled, double limit)
{
    pthread_mutex_lock(&w->mutex);
    const bool fires = !w->held && dt_clock_s() - w->restarted_s >= limit;
    if (fires) {
        (void)dt_fault("nccl.watchdog"); /* tests stretch this moment */
        atomic_store(&w->stalled, stalled);
        atomic_store(&w->fired, true);
    }
    pthread_mutex_unlock(&w->mutex);
    return fires;
}

static void *watch(void *context)
{
    dt_comm_nccl *c = context;
    dt_nccl_watchdog *w = &c->watchdog;
    const double limit = limit_s(c);
    int64_t last = 0;
    double moved_s = dt_clock_s();
    while (sleep_until_next_check(w, limit / CHECKS)) {
        const double now_s = dt_clock_s();
        int64_t begun = 0, done = 0;
        dt_nccl_read_marks(c, &begun, &done);
        if (begun != last || begun == done) {
            last = begun;
            moved_s = now_s;
        }
        if (now_s - moved_s < limit || !fire(w, begun, limit))
            continue;
        dt_nccl_abort(c, false);
        break;
    }
    return NULL;
}

dt_status dt_nccl_watchdog_start(dt_comm_nccl *c, dt_error *err)
{
    dt_nccl_watchdog *w = &c->watchdog;
    if (c->head.size == 1)
        return DT_OK;
    pthread_mutex_init(&w->mutex, NULL);
    dt_clock_init_cond(&w->changed);
    w->restarted_s = dt_clock_s();
    w->runs = pthread_create(&w->thread, NULL, watch, c) == 0;
    return w->runs ? DT_OK : dt_fail(err, DT_ERR_MEMORY, "NCCL: cannot start the watchdog's thread");
}

void dt_nccl_watchdog_stop(dt_comm_nccl *c)
{
    dt_nccl_watchdog *w = &c->watchdog;
    if (!w->runs)
        return;
    pthread_mutex_lock(&w->mutex);
    w->ends = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->mutex);
    w->runs = false;
}
