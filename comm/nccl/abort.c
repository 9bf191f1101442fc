/* abort.c: abort NCCL from a thread of its own, because ncclCommAbort may hang with the device.
 *
 * A captured graph that has sums keeps a reference to the communicator, and ncclCommAbort returns only when
 * there are none. It ends the kernels that hang first. So the graphs are destroyed while it waits, by another
 * thread: destroying a graph that the device executes may last until the kernels have ended.
 */
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

static void *drop_thread(void *context)
{
    dt_comm_nccl *c = context;
    c->head.drop_graphs(c->head.drop_graphs_context);
    atomic_store(&c->graphs_dropped, true);
    return NULL;
}

/* Run the function in a thread, or at once where no thread can be created. */
static void run_apart(void *(*function)(void *context), dt_comm_nccl *c)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, c) == 0)
        pthread_detach(thread);
    else
        (void)function(c);
}

void dt_nccl_abort(dt_comm_nccl *c, bool drop_graphs)
{
    if (!c->handle)
        return;
    const bool first = !atomic_exchange(&c->abort_begun, true);
    const bool drops = drop_graphs && c->head.drop_graphs && !atomic_exchange(&c->drop_begun, true);
    if (first)
        run_apart(abort_thread, c);
    if (drops)
        run_apart(drop_thread, c);
    for (double end_s = dt_clock_s() + ABORT_S; (first || drops) && dt_clock_s() < end_s;
         dt_clock_sleep_s(1e-3))
        if (atomic_load(&c->aborted) && (!drops || atomic_load(&c->graphs_dropped)))
            break;
}
