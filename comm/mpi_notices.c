/* mpi_notices.c: the side channel of comm/deadline.h over MPI: notices are messages of MPI. */
#include "comm/mpi_internal.h"

#include "core/base/alloc.h"

/* A notice is sent from c->notices, so the previous one must have left before. */
static dt_status send_notice(void *context, int rank, const dt_notice *notice, bool *sent, dt_error *err)
{
    dt_comm_mpi *c = context;
    dt_mpi_notice *n = &c->notices[rank];
    int gone = 1;
    int code = MPI_Test(&n->request, &gone, MPI_STATUS_IGNORE);
    *sent = code == MPI_SUCCESS && gone;
    if (*sent) {
        n->sent = *notice;
        code = MPI_Isend(&n->sent, sizeof n->sent, MPI_BYTE, rank, DT_MPI_NOTICE_TAG, c->data, &n->request);
    }
    return code == MPI_SUCCESS ? DT_OK : dt_mpi_fail(c, code, "a wait", err);
}

static dt_status receive_notice(void *context, int *from, dt_notice *notice, dt_error *err)
{
    dt_comm_mpi *c = context;
    int there = 0;
    MPI_Status status;
    int code = MPI_Iprobe(MPI_ANY_SOURCE, DT_MPI_NOTICE_TAG, c->data, &there, &status);
    if (code == MPI_SUCCESS && there)
        code = MPI_Recv(notice, sizeof *notice, MPI_BYTE, status.MPI_SOURCE, DT_MPI_NOTICE_TAG, c->data,
                        MPI_STATUS_IGNORE);
    *from = there ? status.MPI_SOURCE : -1;
    return code == MPI_SUCCESS ? DT_OK : dt_mpi_fail(c, code, "a wait", err);
}

dt_status dt_mpi_watch_create(dt_comm_mpi *c, const char (*hosts)[64], double deadline_s, dt_error *err)
{
    const size_t size = (size_t)c->head.size;
    c->notices = dt_calloc(size, sizeof *c->notices);
    if (!c->notices)
        return dt_fail_memory(err, size * sizeof *c->notices, "messages to the other ranks");
    for (size_t r = 0; r < size; r++)
        c->notices[r].request = MPI_REQUEST_NULL;
    const dt_watch_options options = {
        .comm = &c->head,
        .hosts = hosts,
        .channel = {.context = c, .send = send_notice, .receive = receive_notice},
        .deadline_s = deadline_s};
    return dt_watch_create(&options, &c->watch, err);
}

dt_status dt_mpi_poll(dt_comm_mpi *c, dt_waiting *w, bool moved, dt_error *err)
{
    dt_status status = dt_watch_poll(c->watch, w, moved, err);
    c->failed = c->failed || status != DT_OK;
    c->lost_peer = c->lost_peer || status == DT_ERR_PEER;
    return status;
}

void dt_mpi_notices_drain(dt_comm_mpi *c)
{
    dt_watch_drain(c->watch);
    for (int r = 0; r < c->head.size; r++) {
        int gone = 0;
        MPI_Test(&c->notices[r].request, &gone, MPI_STATUS_IGNORE);
    }
}

void dt_mpi_watch_destroy(dt_comm_mpi *c)
{
    dt_watch_destroy(c->watch);
    dt_free(c->notices);
}
