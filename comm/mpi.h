/* mpi.h: core/comm.h over MPI.
 *
 *   dt_comm_mpi_create(NULL, &comm, err);     calls MPI_Init unless MPI is already initialized
 *   comm->ops->destroy(comm);                 calls MPI_Finalize if create called MPI_Init
 *
 * comm/README.md says how gradients are summed, and why not by MPI's own reductions.
 */
#ifndef DT_COMM_MPI_H
#define DT_COMM_MPI_H

#include "comm/deadline.h"
#include "core/comm.h"

/* Zero selects the default in every field. */
typedef struct dt_comm_mpi_options {
    /* A rank that has waited in a collective for so long gives up with DT_ERR_PEER and names the missing
     * ranks. Default DT_COMM_DEADLINE_S; INFINITY: no deadline. */
    double deadline_s;
    /* Larger messages are sent in pieces, because MPI counts bytes in an int. Default 1 GiB; tests set
     * less. */
    int64_t max_message_bytes;
    /* The ranks of a host sum among themselves before the hosts do. A number groups that many consecutive
     * ranks as one host, for tests and measurements; 1: each rank by itself. Default: as MPI reports it. */
    int ranks_per_host;
} dt_comm_mpi_options;

/* Long, because ranks come to the first collective at very different times: one may be listing a million
 * files on a slow disk. */
#define DT_COMM_DEADLINE_S 600.0

/* Whether a launcher started this process as one rank of a job, also of a job with one rank. Reads only the
 * environment: OMPI_COMM_WORLD_SIZE (mpirun of Open MPI), PMIX_RANK (prrte, srun --mpi=pmix), PMI_RANK
 * (mpiexec of MPICH and its derivatives, srun --mpi=pmi2). A process inside a Slurm allocation that srun did
 * not start with such a plugin does not count as launched. Local. */
bool dt_comm_mpi_launched(void);

/* Create a communicator over all processes that were started together. Collective. `options` may be NULL. The
 * caller must be the main thread (MPI_THREAD_FUNNELED is requested), and makes all later calls too. MPI's
 * errors are returned; none ends the process. DT_ERR_UNSUPPORTED: the MPI library's thread level is too low,
 * or MPI was finalized before (a process can start it only once). DT_ERR_PEER, DT_ERR_COMM: MPI reports an
 * error. DT_ERR_MEMORY. */
dt_status dt_comm_mpi_create(const dt_comm_mpi_options *options, dt_comm **comm, dt_error *err);

/* A communicator of those ranks of the job that pass takes_part, in their order, beside the one of all
 * ranks, which exists. Collective over all ranks of the job. *comm is NULL on the others. Its abort ends
 * the whole job. The caller destroys it before the one of all ranks. Errors as above. */
dt_status dt_comm_mpi_create_part(bool takes_part, const dt_comm_mpi_options *options, dt_comm **comm,
                                  dt_error *err);

/* Write the name of the MPI library in use: "Open MPI 4.1.4", "MPICH 4.0.2". May be called before MPI_Init.
 * Local. */
void dt_comm_mpi_library(char *out, size_t out_bytes);

/* The watch that `comm` waits with, for a transport that uses `comm` for host memory. It belongs to comm. */
dt_watch *dt_comm_mpi_watch(dt_comm *comm);

#endif
