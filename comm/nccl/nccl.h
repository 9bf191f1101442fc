/* nccl.h: core/comm.h between GPUs: gradients are summed by NCCL on the device, everything else goes through
 * another communicator.
 *
 *   dt_comm_mpi_create(&mpi_options, &host, err);
 *   ... the device of this rank is created from host->local_rank ...
 *   dt_comm_nccl_create(host, device, &(dt_comm_nccl_options){.watch = dt_comm_mpi_watch(host)}, &comm, err);
 *   comm->ops->destroy(comm);                     and host with it; before the device
 *
 * all_reduce_start and wait only enqueue: a bucket is summed on a stream of its own as soon as the main
 * stream has written it, and the main stream waits for it where wait is called. Both can be captured. They
 * allocate nothing. The host waits in device_wait, with a deadline: when the device does not get on, the
 * message names the ranks that did not come, the bucket and the step.
 */
#ifndef DT_COMM_NCCL_NCCL_H
#define DT_COMM_NCCL_NCCL_H

#include "comm/deadline.h"
#include "comm/nccl/api.h"

/* Zero stands for the default in every field. */
typedef struct dt_comm_nccl_options {
    const dt_nccl_api *api;   /* default: dt_nccl_library() */
    dt_watch *watch;          /* host's; needed where it has more than one rank. Borrowed, and with it its
                                 deadline */
    double deadline_s;        /* where there is no watch; default DT_NCCL_DEADLINE_S */
    int64_t wire_bytes;       /* buffer in which 16-bit values travel; larger buckets go in pieces. Default
                                 DT_NCCL_WIRE_BYTES */
    const char *product_name; /* file with the machine's type; default that of the firmware (DMI). Tests */
} dt_comm_nccl_options;

#define DT_NCCL_DEADLINE_S 600.0
/* four of the usual buckets of 4 MiB as FP16: only a model with a huge layer sends pieces */
#define DT_NCCL_WIRE_BYTES (16 << 20)

/* Collective over all ranks of `host`, each with its own GPU. On success host belongs to *comm; on failure it
 * stays the caller's, and may be of no more use (DT_ERR_PEER, DT_ERR_TIMEOUT, DT_ERR_COMM). The device is
 * borrowed. Two small sums are made to see that the GPUs reach each other. comm->detail tells NCCL's version
 * and network; rank 0 warns where EFA should be used and is not. DT_ERR_UNSUPPORTED: this build has no NCCL,
 * or the device's streams are no CUDA streams; DT_ERR_USAGE: ranks share a GPU; DT_ERR_PEER; DT_ERR_TIMEOUT:
 * the device hangs; DT_ERR_COMM: NCCL's own errors; DT_ERR_MEMORY; DT_ERR_DEVICE: also a wrong sum. */
dt_status dt_comm_nccl_create(dt_comm *host, dt_device *device, const dt_comm_nccl_options *options,
                              dt_comm **comm, dt_error *err);

#endif
