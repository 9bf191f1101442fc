#define _GNU_SOURCE /* sched_getaffinity */

#include "core/base/cpus.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

/* The largest set that the kernel is asked with: far more than any Linux has. */
#define MOST_CPUS (1 << 20)

int dt_cpus_next(const dt_cpus *cpus, int from)
{
    for (int cpu = from; cpu < DT_CPUS_MAX; cpu++)
        if (dt_cpus_has(cpus, cpu))
            return cpu;
    return -1;
}

int dt_cpus_count(const dt_cpus *cpus)
{
    int n = 0;
    for (int i = 0; i < DT_CPUS_MAX / 64; i++)
        n += __builtin_popcountll(cpus->bits[i]);
    return n;
}

/* Asks with a set of n processors. Returns 0 or errno. */
static int ask(pid_t pid, int n, dt_cpus *cpus)
{
    cpu_set_t *set = CPU_ALLOC((size_t)n);
    const size_t bytes = CPU_ALLOC_SIZE((size_t)n);
    if (set == NULL)
        return ENOMEM;
    CPU_ZERO_S(bytes, set);
    const int failed = sched_getaffinity(pid, bytes, set) != 0 ? errno : 0;
    for (int cpu = 0; failed == 0 && cpu < n && cpu < DT_CPUS_MAX; cpu++)
        if (CPU_ISSET_S((size_t)cpu, bytes, set))
            dt_cpus_add(cpus, cpu);
    CPU_FREE(set);
    return failed;
}

bool dt_cpus_read(pid_t pid, dt_cpus *cpus)
{
    memset(cpus, 0, sizeof *cpus);
    int n = CPU_SETSIZE, failed = ask(pid, n, cpus);
    while (failed == EINVAL && n < MOST_CPUS) /* the kernel has more */
        failed = ask(pid, n *= 2, cpus);
    if (dt_cpus_count(cpus) > 0)
        return true;
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    for (int cpu = 0; cpu == 0 || (cpu < online && cpu < DT_CPUS_MAX); cpu++)
        dt_cpus_add(cpus, cpu);
    return false;
}

bool dt_cpus_bind(const dt_cpus *cpus)
{
    cpu_set_t *set = CPU_ALLOC(DT_CPUS_MAX);
    const size_t bytes = CPU_ALLOC_SIZE(DT_CPUS_MAX);
    if (set == NULL)
        return false;
    CPU_ZERO_S(bytes, set);
    for (int cpu = dt_cpus_next(cpus, 0); cpu >= 0; cpu = dt_cpus_next(cpus, cpu + 1))
        CPU_SET_S((size_t)cpu, bytes, set);
    const bool bound = sched_setaffinity(0, bytes, set) == 0;
    CPU_FREE(set);
    return bound;
}
