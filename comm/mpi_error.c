/* mpi_error.c: MPI's error codes as dt_error. */
#include "comm/mpi_internal.h"

#include <stdio.h>

dt_status dt_mpi_fail(dt_comm_mpi *c, int code, const char *what, dt_error *err)
{
    char text[MPI_MAX_ERROR_STRING + 1] = "";
    int length = 0, class = MPI_SUCCESS;
    c->failed = true;
    if (MPI_Error_string(code, text, &length) != MPI_SUCCESS)
        snprintf(text, sizeof text, "error %d", code);
    MPI_Error_class(code, &class);
    /* MPI reports a broken connection as one of these. */
    bool peer = class == MPI_ERR_OTHER || class == MPI_ERR_INTERN || class == MPI_ERR_UNKNOWN;
#ifdef MPIX_ERR_PROC_FAILED
    peer = peer || class == MPIX_ERR_PROC_FAILED; /* MPICH has it */
#endif
    peer = peer && c->head.size > 1;
    c->lost_peer = c->lost_peer || peer;
    return dt_fail(err, peer ? DT_ERR_PEER : DT_ERR_COMM, "MPI, in %s: %s%s", what, text,
                   class == MPI_ERR_TRUNCATE ? ": ranks send different things: a bug" : "");
}
