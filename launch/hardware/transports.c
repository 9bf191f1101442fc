#include "config.h"

#include "launch/hardware/transports.h"

#include "comm/mpi.h"
#include "comm/nccl/nccl.h"
#include "comm/self.h"
#include "core/collective/agreement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_status create_mpi(double timeout_s, dt_comm **comm, dt_error *err)
{
    return dt_comm_mpi_create(&(dt_comm_mpi_options){.deadline_s = timeout_s}, comm, err);
}

static dt_status create_self(double timeout_s, dt_comm **comm, dt_error *err)
{
    (void)timeout_s;
    return dt_comm_self_create(comm, err);
}

/* The communicator that NCCL replaces after the device was created. */
static dt_status create_under_nccl(double timeout_s, dt_comm **comm, dt_error *err)
{
    return dt_comm_mpi_launched() ? create_mpi(timeout_s, comm, err) : create_self(timeout_s, comm, err);
}

typedef struct transport {
    const char *name;
    dt_status (*create)(double timeout_s, dt_comm **comm, dt_error *err);
} transport;

static const transport transports[] = {
    {"nccl", create_under_nccl},
    {"mpi", create_mpi},
    {"self", create_self},
};
enum { N_TRANSPORTS = sizeof transports / sizeof transports[0] };

/* The environment variables that identify a launcher. also_set: a third one, where two launchers set the same
 * `size` and `rank`. The first matching row counts: an mpiexec may run inside a step of srun, so srun comes
 * after it. */
static const struct {
    const char *launcher, *size, *rank, *also_set;
} launchers[] = {
    {"mpirun (Open MPI)", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", NULL},
    {"mpiexec (MPICH)", "PMI_SIZE", "PMI_RANK", "MPI_LOCALNRANKS"}, /* and Intel MPI's */
    {"srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", NULL},
    {"a launcher that speaks PMI", "PMI_SIZE", "PMI_RANK", NULL},
};

void dt_launch_env_read(dt_launch_env *env)
{
    *env = (dt_launch_env){.size = 1};
    for (size_t i = 0; i < sizeof launchers / sizeof launchers[0]; i++) {
        const char *size = getenv(launchers[i].size), *rank = getenv(launchers[i].rank);
        if (!size || !rank || (launchers[i].also_set && !getenv(launchers[i].also_set)))
            continue;
        env->launcher = launchers[i].launcher;
        env->size = atoi(size) > 0 ? atoi(size) : 1;
        env->rank = atoi(rank);
        return;
    }
}

const char *const *dt_transport_names(void)
{
    static const char *names[N_TRANSPORTS + 2] = {"auto"};
    for (int i = 0; i < N_TRANSPORTS; i++)
        names[i + 1] = transports[i].name;
    return names;
}

const char *dt_transport_list(void)
{
#ifdef DT_WITH_NCCL
    return "nccl, mpi, self";
#else
    return "mpi, self";
#endif
}

/* If the launcher belongs to another MPI, each process finds itself alone. */
static dt_status check_not_alone(const dt_launch_env *env, dt_comm **comm, dt_error *err)
{
    char library[80];
    if (env->size <= 1 || (*comm)->size > 1)
        return DT_OK;
    dt_comm_mpi_library(library, sizeof library);
    (*comm)->ops->destroy(*comm);
    *comm = NULL;
    return dt_fail(err, DT_ERR_USAGE,
                   "%s has started %d processes, but %s, which dtrain is built with, finds only one: each "
                   "would train alone, all into the same folder. Start it with that MPI's own mpirun or "
                   "mpiexec (srun: --mpi=pmix for Open MPI, --mpi=pmi2 for MPICH), or build it with the "
                   "launcher's MPI (configure MPICC=...)",
                   env->launcher, env->size, library);
}

dt_status dt_transport_create(const char *name, double timeout_s, dt_comm **comm, dt_error *err)
{
    dt_launch_env env;
    dt_launch_env_read(&env);
    if (strcmp(name, "auto") == 0 && env.size > 1 && !dt_comm_mpi_launched())
        return dt_fail(
            err, DT_ERR_USAGE,
            "%s has started %d processes, but they have no means to find each other: srun needs --mpi=pmix "
            "for Open MPI, --mpi=pmi2 for MPICH; where MPI starts in another way, use --comm mpi",
            env.launcher, env.size);
    if (strcmp(name, "auto") == 0)
        name = dt_comm_mpi_launched() ? "mpi" : "self";
    if (strcmp(name, "self") == 0 && env.size > 1)
        return dt_fail(err, DT_ERR_USAGE,
                       "--comm self, but %s has started %d processes: each would train alone, all into "
                       "the same folder; use --comm mpi",
                       env.launcher, env.size);
    for (int i = 0; i < N_TRANSPORTS; i++)
        if (strcmp(name, transports[i].name) == 0) {
            DT_TRY(transports[i].create(timeout_s, comm, err));
            return check_not_alone(&env, comm, err);
        }
    return dt_fail(err, DT_ERR_USAGE, "--comm: there is no '%s'", name);
}

dt_status dt_transport_attach_device(const char *name, double timeout_s, dt_device *device, dt_comm **comm,
                                     dt_error *err)
{
    dt_device_info info = {0};
    dt_comm *host = *comm;
    device->ops->info(device, &info);
    DT_TRY(dt_check_same(host, &(dt_same){"what ranks compute on", info.is_host ? "the host" : "a GPU"}, 1,
                         err)); /* --backend auto may choose differently on each rank */
    const bool wanted = strcmp(name, "nccl") == 0, is_auto = strcmp(name, "auto") == 0;
    if (wanted && info.is_host)
        return dt_fail_shared(err, DT_ERR_USAGE,
                              "--comm nccl: NCCL sums between GPUs, and the backend computes on the host; "
                              "use --comm mpi, or --backend cuda");
    if (!wanted && !is_auto && host->size > 1 && !info.is_host)
        return dt_fail_shared(
            err, DT_ERR_USAGE,
            "--comm %s: it sums in host memory, and the backend computes on a GPU; use --comm nccl", name);
    if (info.is_host || (!wanted && host->size == 1))
        return DT_OK;
    const dt_comm_nccl_options options = {
        .watch = strcmp(host->ops->name, "mpi") == 0 ? dt_comm_mpi_watch(host) : NULL,
        .deadline_s = timeout_s};
    return dt_comm_nccl_create(host, device, &options, comm, err);
}

dt_status dt_transport_describe_network(dt_device *device, char *out, size_t out_bytes, dt_error *err)
{
    dt_comm *host = NULL, *comm = NULL;
    DT_TRY(dt_comm_self_create(&host, err));
    dt_status status = dt_comm_nccl_create(host, device, NULL, &comm, err);
    if (status != DT_OK) {
        host->ops->destroy(host);
        return status;
    }
    snprintf(out, out_bytes, "%.*s", (int)strcspn(comm->detail, ";"), comm->detail);
    comm->ops->destroy(comm);
    return DT_OK;
}
