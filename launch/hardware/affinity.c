#include "config.h"

#include "launch/hardware/affinity.h"

#include "core/base/alloc.h"
#include "launch/hardware/binding.h"
#include "launch/hardware/machine.h"
#include "launch/hardware/openmp.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What each rank sends to the others. */
typedef struct rank_cpus {
    char host[64];
    dt_cpus cpus;
} rank_cpus;

/* Adds the cores of a set of processors, each by its first processor, and returns how many there are. */
static int cores_of(const dt_cpus *cpus, const int *core_of, dt_cpus *cores)
{
    memset(cores, 0, sizeof *cores);
    for (int cpu = dt_cpus_next(cpus, 0); cpu >= 0; cpu = dt_cpus_next(cpus, cpu + 1))
        dt_cpus_add(cores, core_of[cpu]);
    return dt_cpus_count(cores);
}

int64_t dt_affinity_share(const dt_cpus *cpus_of_ranks, int n, int mine, const int *core_of,
                          double quota_cpus)
{
    int sharers[DT_CPUS_MAX] = {0};
    dt_cpus cores;
    double share = 0;
    for (int r = 0; r < n; r++) {
        (void)cores_of(&cpus_of_ranks[r], core_of, &cores);
        for (int core = dt_cpus_next(&cores, 0); core >= 0; core = dt_cpus_next(&cores, core + 1))
            sharers[core]++;
    }
    (void)cores_of(&cpus_of_ranks[mine], core_of, &cores);
    for (int core = dt_cpus_next(&cores, 0); core >= 0; core = dt_cpus_next(&cores, core + 1))
        share += 1.0 / sharers[core];
    if (quota_cpus > 0 && quota_cpus / n < share)
        share = quota_cpus / n;
    int64_t whole = (int64_t)(share + 1e-6); /* thirds add up to a little less than 1 */
    return whole > 1 ? whole : 1;
}

void dt_affinity_part(const dt_cpus *all, int n, int mine, const int *core_of, dt_cpus *part)
{
    dt_cpus cores, my_cores = {0};
    const int n_cores = cores_of(all, core_of, &cores);
    *part = *all;
    if (n > n_cores)
        return;
    for (int i = 0, core = dt_cpus_next(&cores, 0); core >= 0; i++, core = dt_cpus_next(&cores, core + 1))
        if (i >= n_cores * mine / n && i < n_cores * (mine + 1) / n)
            dt_cpus_add(&my_cores, core);
    for (int cpu = dt_cpus_next(all, 0); cpu >= 0; cpu = dt_cpus_next(all, cpu + 1))
        if (!dt_cpus_has(&my_cores, core_of[cpu]))
            dt_cpus_remove(part, cpu);
}

void dt_affinity_read_cores(int core_of[DT_CPUS_MAX])
{
    const long n = sysconf(_SC_NPROCESSORS_CONF);
    for (int cpu = 0; cpu < DT_CPUS_MAX; cpu++)
        core_of[cpu] = cpu < n ? dt_machine_core_of(cpu) : cpu;
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
    dt_cpus parents, part;
    if (!dt_cpus_read(getppid(), &parents))
        return;
    dt_affinity_part(&parents, comm->local_size, comm->local_rank, core_of, &part);
    if (dt_cpus_count(&part) <= dt_cpus_count(&a->cpus) || !dt_cpus_bind(&part))
        return;
    a->cpus = part;
    a->lifted_the_default = true;
}

/* Copies the processors of the ranks on this rank's host into `cpus`, in the order of ranks; *mine: the index
 * of this rank among them. Returns how many ranks there are. */
static int ranks_of_host(const rank_cpus *all, int n, int rank, dt_cpus *cpus, int *mine)
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

int64_t dt_affinity_workers(int64_t n_cores)
{
    const int64_t quarter = n_cores / 4;
    return quarter < 1 ? 1 : quarter > 16 ? 16 : quarter;
}

dt_status dt_affinity_plan(dt_comm *comm, int64_t threads, int64_t workers, dt_affinity *affinity,
                           dt_error *err)
{
    int core_of[DT_CPUS_MAX], mine = 0;
    dt_machine machine;
    dt_affinity a = {0};
    rank_cpus me;
    size_t n = (size_t)comm->size;
    rank_cpus *all = dt_calloc(n, sizeof *all);
    dt_cpus *local = dt_calloc(n, sizeof *local);
    bool by_default = false;
    dt_status status = DT_OK;
    if (!all || !local) {
        status = dt_fail_memory(err, n * sizeof *all, "the ranks' processors");
        goto fail;
    }
    dt_machine_read(&machine);
    dt_affinity_read_cores(core_of);
    if (dt_cpus_read(0, &a.cpus))
        dt_openmp_unbind(&a.cpus);
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
    a.n_workers = workers > 0 ? workers : dt_affinity_workers(a.n_cores);
    *affinity = a;
fail:
    dt_free(all);
    dt_free(local);
    return status;
}
