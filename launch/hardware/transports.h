/* transports.h: which communicator this process gets. To add a transport: a row in transports.c. */
#ifndef DT_LAUNCH_HARDWARE_TRANSPORTS_H
#define DT_LAUNCH_HARDWARE_TRANSPORTS_H

#include "core/comm.h"
#include "core/device.h"

/* How the program was started, according to the environment. Known before any communicator exists. */
typedef struct dt_launch_env {
    const char *launcher; /* "mpirun (Open MPI)", "srun"; NULL: started by hand */
    int rank, size;       /* 0 and 1 if not known */
} dt_launch_env;

void dt_launch_env_read(dt_launch_env *env);

/* "auto", then all transports, ended by NULL. Includes those that this build lacks: creating one is an
 * error. */
const char *const *dt_transport_names(void);
/* The transports that this build has, "nccl, mpi, self". Static storage. */
const char *dt_transport_list(void);

/* Create the communicator of all ranks. Collective if a launcher started several processes. "auto": MPI if
 * there is a launcher, else self; "nccl": the same until the device is attached. timeout_s: how long to wait
 * for other ranks; 0: the transport's default. DT_ERR_USAGE: no such name; or several processes were started,
 * and the name is "self", or MPI finds only this one (the launcher is another MPI's); DT_ERR_PEER,
 * DT_ERR_COMM, DT_ERR_UNSUPPORTED. The caller frees it with (*comm)->ops->destroy. */
dt_status dt_transport_create(const char *name, double timeout_s, dt_comm **comm, dt_error *err);

/* Collective; call after creating this rank's device. If that is a GPU, its number must be
 * (*comm)->local_rank. If it is a GPU and there are several ranks, or if `name` is "nccl", NCCL sums the
 * gradients from now on: *comm is replaced by a communicator that owns the former one, and the caller must
 * destroy it before the device. On failure *comm stays; after DT_ERR_PEER, DT_ERR_TIMEOUT and DT_ERR_COMM
 * only its abort may be called. DT_ERR_USAGE: the device does not suit the name, only some ranks have a GPU,
 * or ranks share one; else as dt_comm_nccl_create. */
dt_status dt_transport_attach_device(const char *name, double timeout_s, dt_device *device, dt_comm **comm,
                                     dt_error *err);

/* Write "NCCL 2.28.9, EFA if there were other hosts" to `out`, for dtrain info. Local: creates a communicator
 * of one rank for it. Errors as above. */
dt_status dt_transport_describe_network(dt_device *device, char *out, size_t out_bytes, dt_error *err);

#endif
