/* mpi.h: core/comm.h over MPI.
 *
 *   dt_comm_mpi_create(NULL, &comm, err);     MPI_Init, unless somebody has called it
 *   comm->ops->destroy(comm);                 MPI_Finalize
 *
 * How gradients are summed, and why not by MPI's own reductions: comm/README.md.
 */
#ifndef DT_COMM_MPI_H
#define DT_COMM_MPI_H

#include "comm/deadline.h"
#include "core/comm.h"

/* Zero stands for the default in every field. */
typedef struct dt_comm_mpi_options {
    /* A rank that has waited so long in a collective gives up with DT_ERR_PEER, naming the ranks that did not
     * come. Default DT_COMM_DEADLINE_S; INFINITY waits for ever. */
    double deadline_s;
    /* Larger messages are sent in pieces; MPI counts them in an int. Default 1 GiB; tests take less. */
    int64_t max_message_bytes;
    /* Ranks of a host sum among themselves before hosts do. Taking so many consecutive ranks as those of one
     * host is for tests and measurements; 1: each by itself. Default: as MPI finds them. */
    int ranks_per_host;
} dt_comm_mpi_options;

/* Ranks do not come equally fast to the first collective: one may be listing a million files on a slow
 * disk. */
#define DT_COMM_DEADLINE_S 600.0

/* Whether a launcher started this process as one of several, or as one alone under its control, told by the
 * environment and without MPI_Init: OMPI_COMM_WORLD_SIZE (mpirun of Open MPI), PMIX_RANK (prrte, srun
 * --mpi=pmix), PMI_RANK (mpiexec of MPICH and its kin, srun --mpi=pmi2). A process inside a Slurm allocation
 * that srun did not start with such a plugin is not launched. Local. */
bool dt_comm_mpi_launched(void);

/* Collective over all processes that were started together. `options` may be NULL. The creating thread must
 * be the main one (MPI_THREAD_FUNNELED is asked for) and makes all calls. MPI errors return; none ends the
 * process. DT_ERR_UNSUPPORTED: the MPI library's thread level is too low, or MPI was finalized before (it
 * starts once in a process); DT_ERR_PEER, DT_ERR_COMM: MPI reports an error; DT_ERR_MEMORY. */
dt_status dt_comm_mpi_create(const dt_comm_mpi_options *options, dt_comm **comm, dt_error *err);

/* The MPI library that runs, "Open MPI 4.1.4", "MPICH 4.0.2"; also before MPI_Init. Local. */
void dt_comm_mpi_library(char *out, size_t out_bytes);

/* What it waits with: for a transport that uses `comm` for its host memory. Lives as long as it. */
dt_watch *dt_comm_mpi_watch(dt_comm *comm);

#endif
