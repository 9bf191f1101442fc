/* transports.h: which communicator this process gets. To add a transport: a row in transports.c. */
#ifndef DT_LAUNCH_HARDWARE_TRANSPORTS_H
#define DT_LAUNCH_HARDWARE_TRANSPORTS_H

#include "core/comm.h"
#include "core/device.h"

/* What the environment tells of how the program was started, before any communicator exists. */
typedef struct dt_launch_env {
    const char *launcher; /* "mpirun (Open MPI)", "srun"; NULL: started by hand */
    int rank, size;       /* 0 of 1 if not known */
} dt_launch_env;

void dt_launch_env_read(dt_launch_env *env);

/* "auto", then the transports, ended by NULL; also those that this build has not got: asking for one tells
 * so. */
const char *const *dt_transport_names(void);
/* Those that this build has, "nccl, mpi, self". Static storage. */
const char *dt_transport_list(void);

/* Collective where several processes were started. "auto": MPI if a launcher is seen, else self; "nccl" the
 * same, until the device is attached. timeout_s: of waits for other ranks; 0 is the transport's own.
 * DT_ERR_USAGE: no such name; several were started, and it is "self", or MPI finds one of them only (the
 * launcher of another MPI); DT_ERR_PEER, DT_ERR_COMM, DT_ERR_UNSUPPORTED. The caller ends it with
 * (*comm)->ops->destroy. */
dt_status dt_transport_create(const char *name, double timeout_s, dt_comm **comm, dt_error *err);

/* When this rank's device is there, which is the GPU with the number (*comm)->local_rank where it is one: has
 * gradients summed by NCCL, if the device is a GPU and there are several ranks, or `name` is "nccl". *comm is
 * then another one, which owns the one before, and is to be destroyed before the device. Collective. On
 * failure *comm is as it was; after DT_ERR_PEER, DT_ERR_TIMEOUT and DT_ERR_COMM it is good for abort only.
 * DT_ERR_USAGE: the device does not go with the name, only some ranks have a GPU, or ranks share one; else as
 * dt_comm_nccl_create. */
dt_status dt_transport_attach_device(const char *name, double timeout_s, dt_device *device, dt_comm **comm,
                                     dt_error *err);

/* "NCCL 2.28.9, EFA if there were other hosts": for one rank by itself, to inform. Errors as above. */
dt_status dt_transport_describe_network(dt_device *device, char *out, size_t out_bytes, dt_error *err);

#endif
