/* abort.c: abort NCCL from a thread of its own, because ncclCommAbort may hang with the device. */
#include "comm/nccl/internal.h"

#include "core/base/clock.h"

#define ABORT_S 3.0 /* leave a call of ncclCommAbort that takes longer */

static void *abort_thread(void *context)
{
    dt_comm_nccl *c = context;
    (void)c->api->abort(c->handle);
    atomic_store(&c->aborted, true);
    return NULL;
}

void dt_nccl_abort(dt_comm_nccl *c)
{
    pthread_t thread;
    if (!c->handle || atomic_exchange(&c->abort_begun, true))
        return;
    if (pthread_create(&thread, NULL, abort_thread, c) != 0) {
        abort_thread(c);
        return;
    }
    pthread_detach(thread);
    for (double end_s = dt_clock_s() + ABORT_S; !atomic_load(&c->aborted) && dt_clock_s() < end_s;)
        dt_clock_sleep_s(1e-3);
}
