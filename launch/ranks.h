/* ranks.h: which communicator this process gets. To add a transport: a row in ranks.c. */
#ifndef DT_LAUNCH_RANKS_H
#define DT_LAUNCH_RANKS_H

#include "core/comm.h"

/* What the environment tells of how the program was started, before any communicator exists. */
typedef struct dt_launch_env {
    const char *launcher; /* "mpirun", "srun"; NULL: started by hand */
    int rank, size;       /* 0 of 1 if not known */
} dt_launch_env;

void dt_launch_env_read(dt_launch_env *env);

/* "auto", then the transports, ended by NULL. */
const char *const *dt_comm_names(void);

/* Collective where several processes were started. "auto": MPI if a launcher is seen, else self. DT_ERR_USAGE: no
 * such name, or "self" although several were started; DT_ERR_COMM, DT_ERR_UNSUPPORTED. The caller ends it with
 * (*comm)->ops->destroy. */
dt_status dt_ranks_create(const char *name, dt_comm **comm, dt_error *err);

#endif
