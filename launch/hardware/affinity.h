/* affinity.h: how many compute threads and decoding threads a rank gets, and on which processors.
 *
 *   dt_affinity a;
 *   DT_TRY(dt_affinity_plan(comm, options.threads, options.workers, &a, err));     collective
 *   dt_backend_create(name, a.n_threads, ...)
 *
 * A rank gets its share of the cores that it may run on: a core that k ranks of the host may use counts 1/k
 * for each. Two hardware threads of a core count once, because one thread of a convolution keeps the core's
 * vector units busy. A control group's quota is divided by the number of ranks on the host.
 *
 * Without options, Open MPI's mpirun binds each of one or two ranks to one core, and the rest of the machine
 * is idle. dtrain lifts this default, but not a binding that the user asked for (binding.h): every rank then
 * gets an equal part of the cores that mpirun itself may use.
 */
#ifndef DT_LAUNCH_HARDWARE_AFFINITY_H
#define DT_LAUNCH_HARDWARE_AFFINITY_H

#include "core/base/cpus.h"
#include "core/comm.h"

typedef struct dt_affinity {
    dt_cpus cpus;            /* the processors that this process may run on */
    int64_t n_cores;         /* this rank's share of the cores */
    int64_t n_threads;       /* compute threads: as requested; else OMP_NUM_THREADS; else n_cores */
    int64_t n_workers;       /* decoding threads: as requested; else a quarter of n_cores, within 1 to 16 */
    bool lifted_the_default; /* mpirun's default binding was lifted, see above */
} dt_affinity;

/* Collective. Changes this process's processors if it lifts mpirun's default; threads created later inherit
 * them. `threads`, `workers`: the user's numbers; 0: choose. DT_ERR_PEER, DT_ERR_COMM, DT_ERR_MEMORY. */
dt_status dt_affinity_plan(dt_comm *comm, int64_t threads, int64_t workers, dt_affinity *affinity,
                           dt_error *err);

/* Returns how many decoding threads a rank with so many cores gets by default. */
int64_t dt_affinity_workers(int64_t n_cores);

/* Returns how many cores are the share of rank `mine` of the n ranks of a host, at least 1.
 * cpus_of_ranks[r]: the processors that rank r may use; core_of[DT_CPUS_MAX]: the core of each processor;
 * quota_cpus: of the control group, 0: none. */
int64_t dt_affinity_share(const dt_cpus *cpus_of_ranks, int n, int mine, const int *core_of,
                          double quota_cpus);

/* *part: the `mine`th of n contiguous parts of a set of processors, in whole cores. All of the set if n is
 * larger than the number of cores. */
void dt_affinity_part(const dt_cpus *all, int n, int mine, const int *core_of, dt_cpus *part);

/* core_of[cpu]: the core of each processor, by its first processor. Reads /sys. */
void dt_affinity_read_cores(int core_of[DT_CPUS_MAX]);

#endif
