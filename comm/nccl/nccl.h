/* nccl.h: core/comm.h between GPUs. NCCL sums gradients on the device; another communicator does everything
 * else.
 *
 *   dt_comm_mpi_create(&mpi_options, &host, err);
 *   ... the device of this rank is created from host->local_rank ...
 *   dt_comm_nccl_create(host, device, &(dt_comm_nccl_options){.watch = dt_comm_mpi_watch(host)}, &comm, err);
 *   comm->ops->destroy(comm);                     destroys host too; call it before destroying the device
 *
 * all_reduce_start and wait only enqueue. A bucket is summed on a second stream as soon as the main stream
 * has written it, and the main stream waits for the sum where wait is called. Both can be captured, and
 * neither allocates. The host waits in device_wait, with a deadline: when the device makes no progress, the
 * error names the missing ranks, the bucket and the step.
 */
#ifndef DT_COMM_NCCL_NCCL_H
#define DT_COMM_NCCL_NCCL_H

#include "comm/deadline.h"
#include "comm/nccl/api.h"

/* Zero selects the default in every field. */
typedef struct dt_comm_nccl_options {
    const dt_nccl_api *api; /* default: NCCL itself */
    dt_watch *watch;   /* the watch of host, borrowed; required where host has several ranks. Its deadline
                               applies */
    double deadline_s; /* without a watch; default DT_NCCL_DEADLINE_S */
    /* Size of the device buffer that holds 16-bit gradients. Larger buckets are sent in pieces. Default
     * DT_NCCL_WIRE_BYTES. */
    int64_t wire_bytes;
    const char *root; /* for tests: a folder with sys/ and dev/ (comm/efa.h); default "" */
} dt_comm_nccl_options;

#define DT_NCCL_DEADLINE_S 600.0
/* Holds a bucket of 32 MiB of float32. The usual bucket has 16 MiB; only a huge layer is sent in pieces. */
#define DT_NCCL_WIRE_BYTES (16 << 20)

/* Create a communicator over all ranks of `host`, each with its own GPU. Collective. On success *comm owns
 * host. On failure the caller still owns it, but cannot use it after DT_ERR_PEER, DT_ERR_TIMEOUT or
 * DT_ERR_COMM. The device is borrowed. The call makes sums, to check that the GPUs reach each other.
 * comm->detail gets NCCL's version and network, and whether NVLS is off. Rank 0 logs a warning where EFA
 * should be used and is not, and where NVLS may be used (environment.h).
 * DT_ERR_UNSUPPORTED: this build or this machine has no NCCL, or the device has no CUDA streams.
 * DT_ERR_USAGE: ranks share a GPU. DT_ERR_PEER: a rank is missing. DT_ERR_TIMEOUT: the device hangs.
 * DT_ERR_COMM: NCCL reports an error. DT_ERR_MEMORY. DT_ERR_DEVICE: CUDA reports an error, or a sum is
 * wrong. */
dt_status dt_comm_nccl_create(dt_comm *host, dt_device *device, const dt_comm_nccl_options *options,
                              dt_comm **comm, dt_error *err);

#endif
