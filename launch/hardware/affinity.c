#include "config.h"

#include "launch/hardware/affinity.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "launch/hardware/binding.h"
#include "launch/hardware/machine.h"
#include "launch/hardware/openmp.h"
#include "launch/hardware/placement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What each rank sends to the others: no padding, so that equal ranks send equal bytes. */
typedef struct rank_cpus {
    char host[64], gpu[DT_BUS_ID_BYTES];
    double quota_cpus;
    uint64_t quota_group;
    int64_t has_places; /* OpenMP's */
    dt_cpus cpus;
} rank_cpus;

/* The ranks of this host, in the order of ranks. */
typedef struct host_ranks {
    int n, mine;              /* mine: the index of this rank */
    rank_cpus *ranks;         /* [n]; at first of all hosts */
    dt_placement *placements; /* where each rank runs */
    dt_cpus *sets;            /* [n], for one purpose after the other */
    uint64_t *groups;         /* [n]: rank_cpus.quota_group */
} host_ranks;

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

double dt_affinity_quota(const uint64_t *groups, int n, int mine, double quota_cpus)
{
    int n_sharers = 0;
    for (int r = 0; r < n; r++)
        n_sharers += groups[r] == groups[mine];
    return quota_cpus * n / n_sharers;
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

/* Keeps the ranks on this host, of all n in h->ranks. */
static void keep_ranks_of_host(host_ranks *h, int n, int rank)
{
    char host[sizeof h->ranks->host];
    memcpy(host, h->ranks[rank].host, sizeof host);
    for (int r = 0; r < n; r++) {
        if (strcmp(h->ranks[r].host, host) != 0)
            continue;
        if (r == rank)
            h->mine = h->n;
        h->ranks[h->n++] = h->ranks[r];
    }
}

static bool are_equal(const dt_cpus *a, const dt_cpus *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* Whether all ranks of the host may use the same processors: then neither the user nor a batch system has
 * chosen. */
static bool is_left_to_us(const host_ranks *h)
{
    for (int r = 1; r < h->n; r++)
        if (!are_equal(&h->ranks[r].cpus, &h->ranks[0].cpus))
            return false;
    return true;
}

static bool any_has_places(const host_ranks *h)
{
    for (int r = 0; r < h->n; r++)
        if (h->ranks[r].has_places)
            return true;
    return false;
}

/* Fills in h->placements. topology: NULL if there is none. */
static void choose(host_ranks *h, const dt_topology *topology, bool leaves_binding, bool by_default,
                   const int *core_of)
{
    for (int r = 0; r < h->n; r++)
        h->placements[r] = (dt_placement){h->ranks[r].cpus, h->ranks[r].cpus};
    if (leaves_binding || !is_left_to_us(h))
        return;
    for (int r = 0; r < h->n && topology; r++)
        (void)dt_topology_near(topology, h->ranks[r].gpu, &h->sets[r]);
    if (topology && !any_has_places(h) &&
        dt_placement_choose(topology, &h->ranks[0].cpus, h->sets, h->n, h->placements))
        return;
    for (int r = 0; r < h->n && by_default; r++) {
        dt_affinity_part(&h->ranks[0].cpus, h->n, r, core_of, &h->placements[r].cpus);
        h->placements[r].workers = h->placements[r].cpus;
    }
}

/* Binds this rank to its placement. *own: where it may run until now. */
static void bind_rank(const host_ranks *h, bool by_default, const dt_cpus *own, dt_affinity *a)
{
    const dt_placement *mine = &h->placements[h->mine];
    a->cpus = *own;
    a->worker_cpus = mine->workers;
    if (are_equal(&mine->cpus, own))
        return;
    if (dt_cpus_bind(&mine->cpus))
        (void)dt_cpus_read(0, &a->cpus);
    else
        a->worker_cpus = *own;
    a->lifted_the_default = by_default && dt_cpus_count(&a->cpus) > dt_cpus_count(own);
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

int64_t dt_affinity_gpu_workers(int64_t n_cores, int threads_per_core, double quota_cpus)
{
    int64_t n = (n_cores - 1) * threads_per_core;
    if (quota_cpus > 0 && n > (int64_t)quota_cpus - 1)
        n = (int64_t)quota_cpus - 1;
    return n < 1 ? 1 : n > 32 ? 32 : n;
}

static int64_t workers_of(const host_ranks *h, const int *core_of, double quota, int64_t n_cores)
{
    const dt_cpus *set = &h->placements[h->mine].workers;
    dt_cpus cores;
    if (!h->ranks[h->mine].gpu[0])
        return dt_affinity_workers(n_cores);
    return dt_affinity_gpu_workers(n_cores, dt_cpus_count(set) / cores_of(set, core_of, &cores),
                                   quota / h->n);
}

static void count(host_ranks *h, const dt_affinity_options *o, const int *core_of, dt_affinity *a)
{
    const int64_t from_environment = threads_from_environment();
    for (int r = 0; r < h->n; r++) {
        h->sets[r] = h->placements[r].workers;
        h->groups[r] = h->ranks[r].quota_group;
    }
    const double quota = dt_affinity_quota(h->groups, h->n, h->mine, h->ranks[h->mine].quota_cpus);
    a->n_cores = dt_affinity_share(h->sets, h->n, h->mine, core_of, quota);
    a->n_threads = o->threads > 0 ? o->threads : from_environment > 0 ? from_environment : a->n_cores;
    a->n_workers = o->workers > 0 ? o->workers : workers_of(h, core_of, quota, a->n_cores);
}

/* Fills in `near` and `is_far`. */
static void describe(const dt_topology *topology, const char *gpu, bool several_hosts, dt_affinity *a)
{
    char card[32] = "";
    dt_cpus near;
    const bool knows = dt_topology_near(topology, gpu, &near);
    a->is_far = knows;
    for (int cpu = dt_cpus_next(&near, 0); cpu >= 0 && a->is_far; cpu = dt_cpus_next(&near, cpu + 1))
        a->is_far = !dt_cpus_has(&a->cpus, cpu);
    dt_topology_describe(topology, &a->cpus, a->near, sizeof a->near);
    if (several_hosts)
        dt_topology_card(topology, gpu, &a->cpus, card, sizeof card);
    const size_t n = strlen(a->near);
    if (card[0])
        snprintf(a->near + n, sizeof a->near - n, "%s%s", n ? ", " : "", card);
}

/* Returns NULL where there is no topology; rank 0 logs the reason, unless the build has no hwloc. */
static dt_topology *open_topology(const dt_comm *comm, const char *source)
{
    dt_topology *topology = NULL;
    dt_error why = {0};
    if (dt_topology_open(source, &topology, &why) == DT_OK)
        return topology;
#ifdef HAVE_HWLOC
    if (comm->rank == 0)
        dt_log_warn("ranks are not placed by the host's topology: %s", why.message);
#else
    (void)comm;
#endif
    return NULL;
}

/* Collective. Reads where this rank may run, and sends it to all others. *own: where it may run; the rank
 * counts as one that may use its launcher's processors if by_default is set. */
static dt_status exchange(dt_comm *comm, const dt_affinity_options *o, bool by_default, const dt_cpus *own,
                          rank_cpus *all, dt_error *err)
{
    rank_cpus me;
    dt_cpus parents;
    dt_machine machine;
    dt_machine_read(&machine);
    memset(&me, 0, sizeof me);
    memcpy(me.host, comm->host, sizeof me.host);
    memcpy(me.gpu, o->gpu, sizeof me.gpu);
    me.quota_cpus = machine.quota_cpus;
    me.quota_group = machine.quota_group;
    me.has_places = dt_openmp_has_places();
    me.cpus = by_default && dt_cpus_read(getppid(), &parents) && dt_cpus_count(&parents) > dt_cpus_count(own)
                  ? parents
                  : *own;
    return comm->ops->all_gather(comm, &me, sizeof me, all, err);
}

static dt_status allocate(host_ranks *h, int n, dt_error *err)
{
    const size_t n_ranks = (size_t)n;
    h->ranks = dt_calloc(n_ranks, sizeof *h->ranks);
    h->placements = dt_calloc(n_ranks, sizeof *h->placements);
    h->sets = dt_calloc(n_ranks, sizeof *h->sets);
    h->groups = dt_calloc(n_ranks, sizeof *h->groups);
    if (h->ranks && h->placements && h->sets && h->groups)
        return DT_OK;
    return dt_fail_memory(err, n_ranks * (sizeof *h->ranks + sizeof *h->placements + sizeof *h->sets),
                          "the ranks' processors");
}

dt_status dt_affinity_plan(dt_comm *comm, const dt_affinity_options *o, dt_affinity *affinity, dt_error *err)
{
    int core_of[DT_CPUS_MAX];
    dt_cpus own;
    dt_affinity a = {0};
    host_ranks h = {0};
    dt_topology *topology = NULL;
    bool by_default = false;
    dt_status status = DT_OK;
    DT_TRY_OR_FAIL(status, allocate(&h, comm->size, err));
    dt_affinity_read_cores(core_of);
    if (dt_cpus_read(0, &own))
        dt_openmp_unbind(&own);
    if (!o->leaves_binding)
        DT_TRY_OR_FAIL(status, bound_by_default(comm, &by_default, err));
    DT_TRY_OR_FAIL(status, exchange(comm, o, by_default, &own, h.ranks, err));
    keep_ranks_of_host(&h, comm->size, comm->rank);
    topology = open_topology(comm, o->topology);
    choose(&h, topology, o->leaves_binding, by_default, core_of);
    bind_rank(&h, by_default, &own, &a);
    count(&h, o, core_of, &a);
    if (topology)
        describe(topology, o->gpu, comm->local_size < comm->size, &a);
    *affinity = a;
fail:
    dt_topology_close(topology);
    dt_free(h.ranks);
    dt_free(h.placements);
    dt_free(h.sets);
    dt_free(h.groups);
    return status;
}
