/* call.c: calls of NCCL that wait for the other ranks, in a thread of their own where the communicator is
 * blocking. The main thread keeps its deadline: it polls the thread as it polls a nonblocking communicator.
 *
 * Only the start and the end make such calls. Sums of gradients are called by the main thread itself: NCCL
 * has its connections by then, and a call only enqueues. Where it hangs all the same, because CUDA's queue is
 * full, the watchdog aborts NCCL.
 */
#include "comm/nccl/internal.h"

static void *call_thread(void *context)
{
    dt_comm_nccl *c = context;
    dt_device_info info;
    c->device->ops->info(c->device, &info); /* makes the GPU the current one of this thread */
    atomic_store(&c->call.result, c->call.function(c, &c->call));
    return NULL;
}

int dt_nccl_call_begin(dt_comm_nccl *c, int (*function)(dt_comm_nccl *c, dt_nccl_call *call))
{
    dt_nccl_call *call = &c->call;
    call->function = function;
    if (!c->blocking)
        return function(c, call);
    atomic_store(&call->result, DT_NCCL_IN_PROGRESS);
    call->open = pthread_create(&call->thread, NULL, call_thread, c) == 0;
    return call->open ? DT_NCCL_IN_PROGRESS : DT_NCCL_SYSTEM_ERROR;
}

int dt_nccl_call_poll(dt_comm_nccl *c, int *result)
{
    dt_nccl_call *call = &c->call;
    if (!call->open)
        return c->api->async_error(c->handle, result);
    *result = atomic_load(&call->result);
    if (*result == DT_NCCL_IN_PROGRESS)
        return DT_NCCL_SUCCESS;
    pthread_join(call->thread, NULL);
    call->open = false;
    return DT_NCCL_SUCCESS;
}
