/* affinity.h: how many compute threads and decoding threads a rank gets, and on which processors.
 *
 *   const dt_affinity_options o = {.threads = ..., .workers = ..., .leaves_binding = ..., .gpu = ...};
 *   dt_affinity a;
 *   DT_TRY(dt_affinity_plan(comm, &o, &a, err));                            collective
 *   dt_backend_create(name, a.n_threads, ...)         memory comes from where the rank runs: after the plan
 *
 * A rank gets its share of the cores that it may run on: a core that k ranks of the host may use counts 1/k
 * for each. Two hardware threads of a core count once, because one thread of a convolution keeps the core's
 * vector units busy. A control group's quota is divided by the number of the host's ranks in that group.
 *
 * Where all ranks of a host may use the same processors, neither the user nor a batch system has chosen: each
 * rank gets a part of its own, near its GPU, by the host's topology (placement.h). Where their processors
 * differ, the user or a batch system has chosen, and they stay. Without options, Open MPI's mpirun binds each
 * of one or two ranks to one core, and the rest of the machine is idle. dtrain lifts this default, but not a
 * binding that the user asked for (binding.h): the ranks then share the processors that mpirun itself may
 * use. A build without hwloc gives consecutive parts to ranks that mpirun has bound by default, and leaves
 * others alone; so does every build where the user has given OpenMP places (OMP_PLACES, OMP_PROC_BIND).
 */
#ifndef DT_LAUNCH_HARDWARE_AFFINITY_H
#define DT_LAUNCH_HARDWARE_AFFINITY_H

#include "core/base/cpus.h"
#include "core/comm.h"

#define DT_BUS_ID_BYTES 16 /* of a PCI device's address: "0000:10:1c.0" */

typedef struct dt_affinity_options {
    int64_t threads, workers; /* the user's numbers; 0: choose */
    bool leaves_binding; /* --bind none: run where the launcher has put the rank. The same on all ranks */
    char gpu[DT_BUS_ID_BYTES]; /* the PCI address of the GPU that computes; "": the host does */
    const char *topology;      /* for tests: another host's (topology.h); else NULL */
} dt_affinity_options;

typedef struct dt_affinity {
    dt_cpus cpus;            /* the processors that this process may run on */
    dt_cpus worker_cpus;     /* those of its decoding threads: these, and cores that are near no rank's GPU */
    int64_t n_cores;         /* this rank's share of the cores */
    int64_t n_threads;       /* compute threads: as requested; else OMP_NUM_THREADS; else n_cores */
    int64_t n_workers;       /* decoding threads: as requested; else by n_cores */
    bool lifted_the_default; /* mpirun's default binding was lifted, see above */
    bool is_far;             /* the rank may run on no processor near its GPU */
    char near[64];           /* where it runs: "socket 0, NUMA 1", with several hosts also its network card:
                                "socket 1, efa_2"; "": one of each, or all over the host */
} dt_affinity;

/* Collective. Binds the calling thread, and with it the threads that are created later. DT_ERR_PEER,
 * DT_ERR_COMM, DT_ERR_MEMORY. */
dt_status dt_affinity_plan(dt_comm *comm, const dt_affinity_options *options, dt_affinity *affinity,
                           dt_error *err);

/* Returns how many decoding threads a rank with so many cores gets by default, if they compute too. */
int64_t dt_affinity_workers(int64_t n_cores);
/* The same if a GPU computes: each hardware thread but those of one core, 1 to 32. n_cores: the rank's share;
 * threads_per_core: hardware threads; quota_cpus: the rank's part of its control group's quota, 0: none. */
int64_t dt_affinity_gpu_workers(int64_t n_cores, int threads_per_core, double quota_cpus);

/* Returns how many cores are the share of rank `mine` of the n ranks of a host, at least 1.
 * cpus_of_ranks[r]: the processors that rank r may use; core_of[DT_CPUS_MAX]: the core of each processor;
 * quota_cpus: of the control group, 0: none. */
int64_t dt_affinity_share(const dt_cpus *cpus_of_ranks, int n, int mine, const int *core_of,
                          double quota_cpus);

/* Returns the quota of rank `mine` for dt_affinity_share, so that the rank gets its part of its own control
 * group's: quota_cpus of the group groups[mine] (dt_cgroup.cpus_group), times n, divided by the number of
 * ranks in it. */
double dt_affinity_quota(const uint64_t *groups, int n, int mine, double quota_cpus);

/* *part: the `mine`th of n contiguous parts of a set of processors, in whole cores. All of the set if n is
 * larger than the number of cores. */
void dt_affinity_part(const dt_cpus *all, int n, int mine, const int *core_of, dt_cpus *part);

/* core_of[cpu]: the core of each processor, by its first processor. Reads /sys. */
void dt_affinity_read_cores(int core_of[DT_CPUS_MAX]);

#endif
