#include "config.h"

#include "launch/hardware/affinity.h"

#include "core/base/alloc.h"
#include "launch/hardware/binding.h"
#include "launch/hardware/machine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What each rank sends to the others. */
typedef struct rank_cpus {
    char host[64];
    cpu_set_t cpus;
} rank_cpus;

/* Lists the cores of a set in ascending order, each by its first processor; returns how many there are. */
static int cores_of(const cpu_set_t *cpus, const int *core_of, int *cores)
{
    bool seen[CPU_SETSIZE] = {false};
    int n = 0;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, cpus))
            seen[core_of[cpu]] = true;
    for (int core = 0; core < CPU_SETSIZE; core++)
        if (seen[core])
            cores[n++] = core;
    return n;
}

int64_t dt_affinity_share(const cpu_set_t *cpus_of_ranks, int n, int mine, const int *core_of,
                          double quota_cpus)
{
    int sharers[CPU_SETSIZE] = {0}, cores[CPU_SETSIZE];
    double share = 0;
    for (int r = 0; r < n; r++)
        for (int i = cores_of(&cpus_of_ranks[r], core_of, cores) - 1; i >= 0; i--)
            sharers[cores[i]]++;
    for (int i = cores_of(&cpus_of_ranks[mine], core_of, cores) - 1; i >= 0; i--)
        share += 1.0 / sharers[cores[i]];
    if (quota_cpus > 0 && quota_cpus / n < share)
        share = quota_cpus / n;
    int64_t whole = (int64_t)(share + 1e-6); /* thirds add up to a little less than 1 */
    return whole > 1 ? whole : 1;
}

void dt_affinity_part(const cpu_set_t *all, int n, int mine, const int *core_of, cpu_set_t *part)
{
    int cores[CPU_SETSIZE], n_cores = cores_of(all, core_of, cores);
    bool is_mine[CPU_SETSIZE] = {false};
    *part = *all;
    if (n > n_cores)
        return;
    for (int i = n_cores * mine / n; i < n_cores * (mine + 1) / n; i++)
        is_mine[cores[i]] = true;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, all) && !is_mine[core_of[cpu]])
            CPU_CLR(cpu, part);
}

/* Collective. *by_default: mpirun bound the ranks, and the user did not ask for it. The same on all ranks,
 * although not every rank can find out (binding.h). */
static dt_status bound_by_default(dt_comm *comm, bool *by_default, dt_error *err)
{
    int64_t seen = dt_binding_read();
    DT_TRY(comm->ops->all_reduce(comm, &seen, 1, DT_I64, DT_REDUCE_MIN, err));
    *by_default = seen == DT_BINDING_DEFAULT;
    return DT_OK;
}

/* Binds this rank to its part of the processors that mpirun itself may use, if that is more than it has. */
static void lift_the_default(const dt_comm *comm, const int *core_of, dt_affinity *a)
{
    cpu_set_t parents, part;
    if (sched_getaffinity(getppid(), sizeof parents, &parents) != 0)
        return;
    dt_affinity_part(&parents, comm->local_size, comm->local_rank, core_of, &part);
    if (CPU_COUNT(&part) <= CPU_COUNT(&a->cpus) || sched_setaffinity(0, sizeof part, &part) != 0)
        return;
    a->cpus = part;
    a->lifted_the_default = true;
}

/* Copies the processors of the ranks on this rank's host into `cpus`, in the order of ranks; *mine: the index
 * of this rank among them. Returns how many ranks there are. */
static int ranks_of_host(const rank_cpus *all, int n, int rank, cpu_set_t *cpus, int *mine)
{
    int n_local = 0;
    for (int r = 0; r < n; r++) {
        if (strcmp(all[r].host, all[rank].host) != 0)
            continue;
        if (r == rank)
            *mine = n_local;
        cpus[n_local++] = all[r].cpus;
    }
    return n_local;
}

static int64_t threads_from_environment(void)
{
    const char *text = getenv("OMP_NUM_THREADS");
    long n = text ? strtol(text, NULL, 10) : 0; /* "4,2" for nested levels: the first counts */
    return n > 0 && n <= 4096 ? n : 0;
}

dt_status dt_affinity_plan(dt_comm *comm, int64_t threads, int64_t workers, dt_affinity *affinity,
                           dt_error *err)
{
    int core_of[CPU_SETSIZE], mine = 0;
    dt_machine machine;
    dt_affinity a = {0};
    rank_cpus me;
    size_t n = (size_t)comm->size;
    rank_cpus *all = dt_calloc(n, sizeof *all);
    cpu_set_t *local = dt_calloc(n, sizeof *local);
    bool by_default = false;
    dt_status status = DT_OK;
    if (!all || !local) {
        status = dt_fail_memory(err, n * sizeof *all, "the ranks' processors");
        goto fail;
    }
    dt_machine_read(&machine);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        core_of[cpu] = cpu < sysconf(_SC_NPROCESSORS_CONF) ? dt_machine_core_of(cpu) : cpu;
    /* fails where the host has more processors than a cpu_set_t holds: use all of the set */
    if (sched_getaffinity(0, sizeof a.cpus, &a.cpus) != 0)
        for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
            CPU_SET(cpu, &a.cpus);
    DT_TRY_OR_FAIL(status, bound_by_default(comm, &by_default, err));
    if (by_default)
        lift_the_default(comm, core_of, &a);
    memset(&me, 0, sizeof me);
    memcpy(me.host, comm->host, sizeof me.host);
    me.cpus = a.cpus;
    DT_TRY_OR_FAIL(status, comm->ops->all_gather(comm, &me, sizeof me, all, err));
    int n_local = ranks_of_host(all, comm->size, comm->rank, local, &mine);
    a.n_cores = dt_affinity_share(local, n_local, mine, core_of, machine.quota_cpus);
    int64_t from_environment = threads_from_environment();
    a.n_threads = threads > 0 ? threads : from_environment > 0 ? from_environment : a.n_cores;
    int64_t quarter = a.n_cores / 4;
    a.n_workers = workers > 0 ? workers : quarter < 1 ? 1 : quarter > 16 ? 16 : quarter;
    *affinity = a;
fail:
    dt_free(all);
    dt_free(local);
    return status;
}
