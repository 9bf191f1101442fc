#include "config.h"

#include "launch/ranks.h"

#include "comm/mpi.h"
#include "comm/self.h"

#include <stdlib.h>
#include <string.h>

static dt_status create_mpi(dt_comm **comm, dt_error *err)
{
    return dt_comm_mpi_create(NULL, comm, err);
}

typedef struct transport {
    const char *name;
    dt_status (*create)(dt_comm **comm, dt_error *err);
} transport;

static const transport transports[] = {
    {"mpi", create_mpi},
    {"self", dt_comm_self_create},
};
enum { N_TRANSPORTS = sizeof transports / sizeof transports[0] };

/* What launchers put into the environment of the processes they start. */
static const struct {
    const char *launcher, *size, *rank;
} launchers[] = {
    {"mpirun (Open MPI)", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
    {"mpirun (MPICH)", "PMI_SIZE", "PMI_RANK"},
    {"srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"},
};

void dt_launch_env_read(dt_launch_env *env)
{
    *env = (dt_launch_env){.size = 1};
    for (size_t i = 0; i < sizeof launchers / sizeof launchers[0]; i++) {
        const char *size = getenv(launchers[i].size), *rank = getenv(launchers[i].rank);
        if (!size || !rank)
            continue;
        env->launcher = launchers[i].launcher;
        env->size = atoi(size) > 0 ? atoi(size) : 1;
        env->rank = atoi(rank);
        return;
    }
}

const char *const *dt_comm_names(void)
{
    static const char *names[N_TRANSPORTS + 2] = {"auto"};
    for (int i = 0; i < N_TRANSPORTS; i++)
        names[i + 1] = transports[i].name;
    return names;
}

dt_status dt_ranks_create(const char *name, dt_comm **comm, dt_error *err)
{
    dt_launch_env env;
    dt_launch_env_read(&env);
    if (strcmp(name, "auto") == 0)
        name = dt_comm_mpi_launched() ? "mpi" : "self";
    if (strcmp(name, "self") == 0 && env.size > 1)
        return dt_fail(err, DT_ERR_USAGE,
            "--comm self, but %s has started %d processes: each would train by itself, all into the same folder; use --comm mpi",
                       env.launcher, env.size);
    for (int i = 0; i < N_TRANSPORTS; i++)
        if (strcmp(name, transports[i].name) == 0)
            return transports[i].create(comm, err);
    return dt_fail(err, DT_ERR_USAGE, "--comm: there is no '%s'", name);
}
