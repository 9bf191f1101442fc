/* cpus.h: sets of logical processors, for machines with any number of them.
 *
 *   dt_cpus cpus;
 *   if (!dt_cpus_read(0, &cpus)) ...                  those that the calling thread may use
 *   for (int cpu = dt_cpus_next(&cpus, 0); cpu >= 0; cpu = dt_cpus_next(&cpus, cpu + 1)) ...
 *
 * A cpu_set_t holds 1,024 processors, and sched_getaffinity fails with EINVAL where the kernel has more.
 */
#ifndef DT_CORE_BASE_CPUS_H
#define DT_CORE_BASE_CPUS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define DT_CPUS_MAX 16384 /* Linux has at most 8,192 (x86-64, Arm) */

/* Plain data, which ranks can send. All zero: the empty set. */
typedef struct dt_cpus {
    uint64_t bits[DT_CPUS_MAX / 64];
} dt_cpus;

static inline bool dt_cpus_has(const dt_cpus *cpus, int cpu)
{
    return cpu >= 0 && cpu < DT_CPUS_MAX && (cpus->bits[cpu / 64] >> (cpu % 64) & 1) != 0;
}

static inline void dt_cpus_add(dt_cpus *cpus, int cpu)
{
    cpus->bits[cpu / 64] |= UINT64_C(1) << (cpu % 64);
}

static inline void dt_cpus_remove(dt_cpus *cpus, int cpu)
{
    cpus->bits[cpu / 64] &= ~(UINT64_C(1) << (cpu % 64));
}

/* Return the first processor of the set from `from` on; -1: there is none. */
int dt_cpus_next(const dt_cpus *cpus, int from);
int dt_cpus_count(const dt_cpus *cpus);

/* The processors that the thread or process `pid` may use; 0: the calling thread. If the kernel does not
 * say (a sandbox may forbid the call), all processors that are online, return value false. *cpus is never
 * empty. */
bool dt_cpus_read(pid_t pid, dt_cpus *cpus);

/* Let the calling thread run on these processors only; threads that it creates inherit them. Return false if
 * the kernel refuses. */
bool dt_cpus_bind(const dt_cpus *cpus);

#endif
