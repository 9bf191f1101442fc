/* affinity.h: how many compute threads and decoding threads a rank gets, and on which processors.
 *
 *   dt_affinity a;
 *   DT_TRY(dt_affinity_plan(comm, options.threads, options.workers, &a, err));     collective
 *   dt_backend_create(name, a.n_threads, ...)
 *
 * A rank gets its share of the cores that it may run on: a core that k ranks of the host may use counts 1/k
 * for each. Two hardware threads of a core count once (convolutions keep a core's vector units busy by
 * themselves). A control group's quota is divided by the ranks of the host.
 *
 * Open MPI's mpirun binds each of one or two ranks to one core if it is told nothing, and the rest of the
 * machine idles. That default, and only that (no --bind-to, --map-by and the like: binding.h), is lifted:
 * every rank then takes an equal part of the cores that mpirun itself may use.
 */
#ifndef DT_LAUNCH_HARDWARE_AFFINITY_H
#define DT_LAUNCH_HARDWARE_AFFINITY_H

#include "core/comm.h"

#include <sched.h>

typedef struct dt_affinity {
    cpu_set_t cpus;          /* that this process runs on from now */
    int64_t n_cores;         /* this rank's share */
    int64_t n_threads;       /* compute threads: as asked; else OMP_NUM_THREADS; else n_cores */
    int64_t n_workers;       /* decoding threads: as asked; else a quarter of n_cores, 1 at least, 16 at
                                most */
    bool lifted_the_default; /* see above */
} dt_affinity;

/* Collective. Sets this process's processors where it lifts mpirun's default; threads made later inherit
 * them. threads and workers 0: choose. DT_ERR_PEER, DT_ERR_COMM, DT_ERR_MEMORY. */
dt_status dt_affinity_plan(dt_comm *comm, int64_t threads, int64_t workers, dt_affinity *affinity,
                           dt_error *err);

/* The arithmetic of it, for tests: the share of rank `mine` of the n ranks of a host with these processors,
 * where core_of[cpu] names a processor's core; quota_cpus 0: none. At least 1. */
int64_t dt_affinity_share(const cpu_set_t *cpus_of_ranks, int n, int mine, const int *core_of,
                          double quota_cpus);

/* Part `mine` of n of a set of processors, whole cores, contiguous; n larger than the number of cores: all of
 * it. */
void dt_affinity_part(const cpu_set_t *all, int n, int mine, const int *core_of, cpu_set_t *part);

#endif
