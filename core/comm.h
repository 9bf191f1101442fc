/* comm.h: the door to the other ranks.
 *
 *   c->ops->all_reduce_start(c, bucket, n, DT_F32, &request, err);   the gradients of the last layers are
 *                                                                    ready
 *   ... backward goes on, calling c->ops->progress(c, err) between layers ...
 *   c->ops->wait(c, request, err);
 *
 * Implemented by comm/self (one rank), comm/mpi, comm/nccl. Every function here but progress and abort is
 * collective: all ranks call it in the same order with the same sizes. Sums come out with the same bits on
 * every rank, and the same from run to run. Only the thread that created the communicator calls it.
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
    /* host memory */
    dt_status (*broadcast)(dt_comm *comm, void *buffer, int64_t bytes, int root, dt_error *err);
    /* host; all: size * bytes */
    dt_status (*all_gather)(dt_comm *comm, const void *mine, int64_t bytes, void *all, dt_error *err);
    /* host, in place: F32, F64, I64 */
    dt_status (*all_reduce)(dt_comm *comm, void *buffer, int64_t n, dt_dtype dtype, dt_reduce_op op,
                            dt_error *err);

    /* Gradients: float32 device memory, summed in place; not to be touched until wait, which ends the request
     * and waits (on the host for mpi, by a dependency of the main stream for nccl). At most 64 are under way.
     * `wire` is the type in which the values may travel: F32, F16 or BF16; who has no use for it sends
     * float32. A sum does not overflow where its terms do not: they carry 1 / world. */
    dt_status (*all_reduce_start)(dt_comm *comm, float *buffer, int64_t n, dt_dtype wire,
                                  dt_comm_request **request, dt_error *err);
    /* Let started ones go on, and tell ranks that wait that this one is busy by itself, and alive. Cheap;
     * local. */
    dt_status (*progress)(dt_comm *comm, dt_error *err);
    dt_status (*wait)(dt_comm *comm, dt_comm_request *request, dt_error *err);

    /* Wait on the host until `event` is done, behind which there may be collectives: with a deadline, an eye
     * on asynchronous errors, and a message that names who is missing. Not NULL says: all_reduce_start and
     * wait only enqueue work on the device's streams, and can be captured. NULL: collectives happen on the
     * host. core/collective/device_wait.h is the only caller. */
    dt_status (*device_wait)(dt_comm *comm, dt_device *device, dt_event *event, dt_error *err);

    /* Make all ranks leave now with this exit code (1 to 255). The caller has said why. Does not return. */
    void (*abort)(dt_comm *comm, int exit_code);
} dt_comm_ops;

/* Implementations begin with this. */
struct dt_comm {
    const dt_comm_ops *ops;
    int rank, size;             /* of the job */
    int local_rank, local_size; /* on this host */
    int64_t step;               /* what the trainer is at, for messages: 1 is the first */
    char host[64];
    char detail[128]; /* for the start table: "Open MPI 4.1.4, thread level funneled" */
};

/* Has the device been left in the middle of a collective, by what `status` says? Then nobody knows when it
 * lets go of its memory, and freeing that may wait for ever: leave everything as it is, say why, and
 * abort. */
static inline bool dt_comm_device_is_lost(const dt_comm *comm, dt_status status)
{
    return comm->ops->device_wait && comm->size > 1 &&
           (status == DT_ERR_COMM || status == DT_ERR_PEER || status == DT_ERR_TIMEOUT);
}

#endif
