/* comm.h: the interface to the other ranks.
 *
 *   c->ops->all_reduce_start(c, bucket, n, DT_F32, &request, err);   the last layers' gradients are written
 *   ... backward goes on, and calls c->ops->progress(c, err) after each layer ...
 *   c->ops->wait(c, request, err);
 *
 * Implemented by comm/self (one rank), comm/mpi and comm/nccl. Every function is collective except progress,
 * device_wait and abort: all ranks call it in the same order with the same sizes. Sums have the same bits on
 * every rank, and from run to run. Only the thread that created the communicator calls it.
 *
 * Errors: DT_ERR_PEER: another rank is lost; DT_ERR_COMM: MPI or NCCL reports an error, or ranks are in
 * different collectives; DT_ERR_TIMEOUT: the device hangs; DT_ERR_INTERNAL: wrong use; and the status with
 * which another rank gave up. After any but DT_ERR_INTERNAL the communicator cannot be used any more.
 */
#ifndef DT_CORE_COMM_H
#define DT_CORE_COMM_H

#include "core/base/error.h"
#include "core/device.h"
#include "core/tensor.h"

typedef struct dt_comm dt_comm;
typedef struct dt_comm_request dt_comm_request;

typedef enum dt_reduce_op { DT_REDUCE_SUM, DT_REDUCE_MIN, DT_REDUCE_MAX } dt_reduce_op;

typedef struct dt_comm_ops {
    const char *name;               /* "self", "mpi", "nccl" */
    void (*destroy)(dt_comm *comm); /* collective */

    dt_status (*barrier)(dt_comm *comm, dt_error *err);
    /* Host memory. */
    dt_status (*broadcast)(dt_comm *comm, void *buffer, int64_t bytes, int root, dt_error *err);
    /* Host memory; `all` has size * bytes, in the order of the ranks. */
    dt_status (*all_gather)(dt_comm *comm, const void *mine, int64_t bytes, void *all, dt_error *err);
    /* Host memory, in place; n elements of F32, F64 or I64. */
    dt_status (*all_reduce)(dt_comm *comm, void *buffer, int64_t n, dt_dtype dtype, dt_reduce_op op,
                            dt_error *err);

    /* Start the sum of n gradients: float32 in device memory, in place. The caller must not touch them until
     * wait, which ends the request. wait blocks the host (mpi), or makes the main stream wait (nccl). At most
     * 64 sums are under way. `wire` is the type in which values may be sent: F32, F16 or BF16.
     * Implementations may ignore it and send float32. Sums do not overflow where their terms do not, because
     * the terms carry a factor of 1 / world. */
    dt_status (*all_reduce_start)(dt_comm *comm, float *buffer, int64_t n, dt_dtype wire,
                                  dt_comm_request **request, dt_error *err);
    /* Advance the sums under way, and send a heartbeat to ranks that wait for this one. Cheap; local. */
    dt_status (*progress)(dt_comm *comm, dt_error *err);
    dt_status (*wait)(dt_comm *comm, dt_comm_request *request, dt_error *err);

    /* Wait on the host until `event` is done; collectives may have to end before it. The wait has a deadline,
     * detects asynchronous errors, and names the missing ranks. NULL: collectives happen on the host.
     * Otherwise all_reduce_start and wait only enqueue work on the device's streams, and can be captured.
     * Only core/collective/device_wait.h calls it. */
    dt_status (*device_wait)(dt_comm *comm, dt_device *device, dt_event *event, dt_error *err);

    /* End all ranks now, with this exit code (1 to 255). The caller has logged why. Does not return. */
    void (*abort)(dt_comm *comm, int exit_code);
} dt_comm_ops;

/* Implementations begin with this. */
struct dt_comm {
    const dt_comm_ops *ops;
    int rank, size;             /* of the job */
    int local_rank, local_size; /* on this host */
    int64_t step;               /* the trainer's current step, for messages; 1 is the first */
    char host[64];
    char detail[160]; /* for the start table: "Open MPI 4.1.4, thread level funneled" */
    /* Whoever holds captured graphs with sums sets these, and unsets them before it ends. A communicator that
     * aborts calls drop_graphs(drop_graphs_context) from a thread of its own, to have the graphs destroyed;
     * the communicator cannot be used any more. NULL: there are none. */
    void (*drop_graphs)(void *context);
    void *drop_graphs_context;
};

/* Whether an operation that failed with `status` has left the device in the middle of a collective. The
 * device may then use its memory for an unknown time, and freeing it may block: free nothing, log the reason,
 * and abort. */
static inline bool dt_comm_device_is_lost(const dt_comm *comm, dt_status status)
{
    return comm->ops->device_wait && comm->size > 1 &&
           (status == DT_ERR_COMM || status == DT_ERR_PEER || status == DT_ERR_TIMEOUT);
}

#endif
