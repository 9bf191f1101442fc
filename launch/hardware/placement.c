#include "config.h"

#include "launch/hardware/placement.h"

#include "core/base/alloc.h"

#include <string.h>

typedef enum level { SOCKET, NUMA, L3, N_LEVELS } level;

typedef struct plan {
    const dt_topology *topology;
    dt_placement *placements;
    dt_cpus *near; /* [n]: within the host's processors; empty: anywhere */
    int n;
    int n_cores;               /* that the ranks may use */
    int *cores;                /* [n_cores]: their indexes in the topology, in its order */
    bool *is_free;             /* [topology->n_cores]: a core that the ranks may use, and none has yet */
    int *first;                /* [topology->n_cores]: the first processor of each core; -1: none */
    int next[DT_CPUS_MAX];     /* the next processor of the same core; -1: none */
    int *some_cores, *members; /* [topology->n_cores], [n]: those at hand */
    int *n_own;                /* [n]: cores of each rank */
} plan;

static bool is_empty(const dt_cpus *cpus)
{
    return dt_cpus_next(cpus, 0) < 0;
}

static bool are_equal(const dt_cpus *a, const dt_cpus *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* -- spreading ranks over cores -------------------------------------------------------------------------- */

static void give(plan *p, int core, dt_cpus *cpus)
{
    for (int cpu = p->first[core]; cpu >= 0; cpu = p->next[cpu])
        dt_cpus_add(cpus, cpu);
    p->is_free[core] = false;
}

/* Gives the ranks consecutive cores, or all of them the same if there are not enough. */
static void give_consecutive(plan *p, const int *cores, int n_cores, const int *ranks, int n_ranks)
{
    for (int r = 0; r < n_ranks; r++) {
        const bool is_shared = n_ranks > n_cores;
        const int begin = is_shared ? 0 : (int)((int64_t)n_cores * r / n_ranks),
                  end = is_shared ? n_cores : (int)((int64_t)n_cores * (r + 1) / n_ranks);
        for (int i = begin; i < end; i++)
            give(p, cores[i], &p->placements[ranks[r]].cpus);
        p->n_own[ranks[r]] = end - begin;
    }
}

static int number_at(const plan *p, int core, level at)
{
    const dt_topology_core *c = &p->topology->cores[core];
    return at == SOCKET ? c->socket : at == NUMA ? c->numa : c->l3;
}

/* Returns the end of the cores from `begin` on that are in the same domain. */
static int end_of_domain(const plan *p, const int *cores, int n_cores, int begin, level at)
{
    int end = begin + 1;
    while (end < n_cores && number_at(p, cores[end], at) == number_at(p, cores[begin], at))
        end++;
    return end;
}

/* Returns how many of the ranks belong to the first `before` of the cores: rounded half up. */
static int ranks_of(int before, int n_cores, int n_ranks)
{
    return (int)((2 * (int64_t)before * n_ranks + n_cores) / (2 * (int64_t)n_cores));
}

/* Whether every domain gets ranks, and no rank far fewer cores than without domains. */
static bool domains_fit(const plan *p, const int *cores, int n_cores, int n_ranks, level at)
{
    for (int begin = 0, end; begin < n_cores; begin = end) {
        end = end_of_domain(p, cores, n_cores, begin, at);
        const int n = ranks_of(end, n_cores, n_ranks) - ranks_of(begin, n_cores, n_ranks);
        if (n == 0 || 8 * ((end - begin) / n) < 7 * (n_cores / n_ranks))
            return false;
    }
    return true;
}

static void spread(plan *p, const int *cores, int n_cores, const int *ranks, int n_ranks, level at)
{
    while (at < N_LEVELS && end_of_domain(p, cores, n_cores, 0, at) == n_cores)
        at++;
    if (n_ranks > n_cores || at == N_LEVELS || !domains_fit(p, cores, n_cores, n_ranks, at)) {
        give_consecutive(p, cores, n_cores, ranks, n_ranks);
        return;
    }
    for (int begin = 0, end; begin < n_cores; begin = end) {
        end = end_of_domain(p, cores, n_cores, begin, at);
        const int first = ranks_of(begin, n_cores, n_ranks);
        spread(p, cores + begin, end - begin, ranks + first, ranks_of(end, n_cores, n_ranks) - first, at + 1);
    }
}

/* -- GPUs ------------------------------------------------------------------------------------------------ */

/* Collects the free cores that have a processor in `cpus` (NULL: all of them) in some_cores. */
static int collect_cores(plan *p, const dt_cpus *cpus)
{
    int n = 0;
    for (int i = 0; i < p->n_cores; i++) {
        bool has = cpus == NULL;
        for (int cpu = p->first[p->cores[i]]; cpu >= 0 && !has; cpu = p->next[cpu])
            has = dt_cpus_has(cpus, cpu);
        if (has && p->is_free[p->cores[i]])
            p->some_cores[n++] = p->cores[i];
    }
    return n;
}

/* Collects the ranks from `from` on whose GPU is near these processors in members. */
static int collect_members(plan *p, const dt_cpus *near, int from)
{
    int n = 0;
    for (int r = from; r < p->n; r++)
        if (are_equal(&p->near[r], near))
            p->members[n++] = r;
    return n;
}

static bool is_first_of_group(const plan *p, int rank)
{
    for (int r = 0; r < rank; r++)
        if (are_equal(&p->near[r], &p->near[rank]))
            return false;
    return !is_empty(&p->near[rank]);
}

/* Whether two groups of ranks would get the same core. */
static bool groups_overlap(const plan *p)
{
    for (int a = 0; a < p->n; a++)
        for (int b = a + 1; b < p->n; b++) {
            uint64_t common = 0;
            for (int i = 0; i < DT_CPUS_MAX / 64; i++)
                common |= p->near[a].bits[i] & p->near[b].bits[i];
            if (common != 0 && !are_equal(&p->near[a], &p->near[b]))
                return true;
        }
    return false;
}

/* Gives each rank with a GPU cores near it: at most as many as if all cores were divided equally. */
static void place_near_gpus(plan *p)
{
    const int fair = (p->n_cores + p->n - 1) / p->n;
    for (int rank = 0; rank < p->n; rank++) {
        if (!is_first_of_group(p, rank))
            continue;
        int n_cores = collect_cores(p, &p->near[rank]);
        const int n_members = collect_members(p, &p->near[rank], rank);
        if (n_cores > (int64_t)n_members * fair)
            n_cores = n_members * fair;
        if (n_cores > 0)
            spread(p, p->some_cores, n_cores, p->members, n_members, SOCKET);
    }
}

/* Gives the free cores to the decoding threads of the ranks that have the fewest. */
static void share_the_rest(plan *p)
{
    const int n_free = collect_cores(p, NULL);
    memset(p->members, 0, (size_t)p->n * sizeof *p->members); /* here: cores that each rank gets */
    for (int i = 0; i < n_free; i++) {
        int poorest = 0;
        for (int r = 1; r < p->n; r++)
            if (p->n_own[r] + p->members[r] < p->n_own[poorest] + p->members[poorest])
                poorest = r;
        p->members[poorest]++;
    }
    for (int r = 0, at = 0; r < p->n; r++)
        for (int i = 0; i < p->members[r]; i++)
            give(p, p->some_cores[at++], &p->placements[r].workers);
}

/* -- the whole host -------------------------------------------------------------------------------------- */

static bool read_cores(plan *p, const dt_cpus *all)
{
    for (int i = 0; i < p->topology->n_cores; i++)
        p->first[i] = -1;
    for (int cpu = DT_CPUS_MAX - 1; cpu >= 0; cpu--) { /* backwards: the lists then ascend */
        const int core = p->topology->core_of[cpu];
        if (!dt_cpus_has(all, cpu))
            continue;
        if (core < 0)
            return false;
        p->next[cpu] = p->first[core];
        p->first[core] = cpu;
        p->is_free[core] = true;
    }
    for (int i = 0; i < p->topology->n_cores; i++)
        if (p->is_free[i])
            p->cores[p->n_cores++] = i;
    return p->n_cores > 0;
}

/* Keeps what of `near` the ranks may use. A rank whose GPU is near all of it may run anywhere; so may all, if
 * some of them have no place near a GPU. */
static void read_near(plan *p, const dt_cpus *all, const dt_cpus *near)
{
    bool anywhere = false;
    for (int r = 0; r < p->n; r++) {
        for (int i = 0; i < DT_CPUS_MAX / 64; i++)
            p->near[r].bits[i] = near[r].bits[i] & all->bits[i];
        anywhere = anywhere || is_empty(&p->near[r]) || are_equal(&p->near[r], all);
    }
    if (anywhere || groups_overlap(p))
        memset(p->near, 0, (size_t)p->n * sizeof *p->near);
}

static void place(plan *p)
{
    memset(p->placements, 0, (size_t)p->n * sizeof *p->placements);
    if (is_empty(&p->near[0])) {
        const int n_members = collect_members(p, &p->near[0], 0);
        spread(p, p->cores, p->n_cores, p->members, n_members, SOCKET);
    } else {
        place_near_gpus(p);
        share_the_rest(p);
    }
    for (int r = 0; r < p->n; r++)
        for (int i = 0; i < DT_CPUS_MAX / 64; i++)
            p->placements[r].workers.bits[i] |= p->placements[r].cpus.bits[i];
}

bool dt_placement_choose(const dt_topology *topology, const dt_cpus *all, const dt_cpus *near, int n,
                         dt_placement *placements)
{
    const size_t n_ranks = (size_t)n, n_cores = (size_t)topology->n_cores;
    bool is_done = false;
    plan *p = dt_calloc(1, sizeof *p);
    if (!p)
        return false;
    p->topology = topology;
    p->placements = placements;
    p->n = n;
    p->near = dt_calloc(n_ranks, sizeof *p->near);
    p->cores = dt_calloc(n_cores, sizeof *p->cores);
    p->is_free = dt_calloc(n_cores, sizeof *p->is_free);
    p->first = dt_calloc(n_cores, sizeof *p->first);
    p->some_cores = dt_calloc(n_cores, sizeof *p->some_cores);
    p->members = dt_calloc(n_ranks, sizeof *p->members);
    p->n_own = dt_calloc(n_ranks, sizeof *p->n_own);
    if (p->near && p->cores && p->is_free && p->first && p->some_cores && p->members && p->n_own &&
        read_cores(p, all)) {
        read_near(p, all, near);
        place(p);
        is_done = true;
    }
    dt_free(p->near);
    dt_free(p->cores);
    dt_free(p->is_free);
    dt_free(p->first);
    dt_free(p->some_cores);
    dt_free(p->members);
    dt_free(p->n_own);
    dt_free(p);
    return is_done;
}
