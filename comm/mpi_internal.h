/* mpi_internal.h: what the files of comm/mpi share.
 *
 * mpi.c implements core/comm.h. It calls mpi_sum.c (sums) and mpi_notices.c (the messages of comm/deadline.h);
 * both call mpi_error.c; nothing calls back.
 */
#ifndef DT_COMM_MPI_INTERNAL_H
#define DT_COMM_MPI_INTERNAL_H

#include "comm/deadline.h"
#include "comm/mpi.h"

#include <mpi.h>

#define DT_MPI_NOTICE_TAG 32000 /* above the tags of mpi_sum.c, below the 32767 that MPI guarantees */

/* A notice to a rank (comm/deadline.h), as long as `request` is open. */
typedef struct dt_mpi_notice {
    dt_notice sent;
    MPI_Request request;
} dt_mpi_notice;

/* Ranks that sum among themselves; `me` is this rank's place. */
typedef struct dt_mpi_group {
    int size, me;
    int *ranks; /* of the job */
} dt_mpi_group;

/* Elements of one sum that travel together. */
typedef struct dt_mpi_slice {
    dt_comm_request *owner; /* NULL: the slot is free */
    unsigned char *data;
    int64_t n;      /* elements */
    int tag, stage; /* see mpi_sum.c */
    int n_open;     /* messages under way */
} dt_mpi_slice;

enum {
    /* A slice goes on by one of its stages when progress is called, which is once in a layer: with the
     * gradients of 50 layers under way, so much must be. It costs less than that in scratch memory. Measured:
     * README.md. */
    DT_MPI_SLICE_BYTES = 4 << 20,
    DT_MPI_SLICES = 8,
    DT_MPI_REQUESTS = 64 + 1 /* core/comm.h promises 64; one more for a blocking sum */
};

/* A sum under way. Parts of it are cut off the front as slices. */
struct dt_comm_request {
    unsigned char *data;
    int64_t n_left, n_slices; /* elements not yet in a slice; slices under way */
    int64_t elem_bytes;
    void (*combine)(void *out, const void *a, const void *b, int64_t n); /* elements of out = a op b */
    dt_position position;
    dt_comm_request *next; /* in the queue, or of the free ones */
    bool open;             /* started and not waited for */
};

typedef struct dt_mpi_sum {
    dt_mpi_group hosts[2]; /* [0] ranks of this host, [1] ranks with this one's place on the other hosts */
    dt_comm_request requests[DT_MPI_REQUESTS], *free, *first, *last;
    int64_t n_cut; /* slices ever */
    int n_active;  /* of slices[] */
    dt_mpi_slice slices[DT_MPI_SLICES];
    unsigned char *scratch; /* [DT_MPI_SLICES][scratch_bytes]: what peers sent */
    int64_t scratch_bytes;
    int n_messages; /* at most, of a slice: messages of slice s are [s * n_messages, (s + 1) * n_messages)
                       of these: */
    MPI_Request *messages;
    int *expected; /* bytes to be received; -1: a message that is sent */
    MPI_Status *statuses;
    int *indices;
} dt_mpi_sum;

typedef struct dt_comm_mpi {
    dt_comm head;
    int64_t max_message_bytes;
    bool failed;    /* a peer may be lost: no collective any more */
    bool lost_peer; /* it was a peer; else a bug, or MPI itself */
    /* One for each of MPI's own collectives that are used, so that a rank that calls another one waits and is
     * found out, where MPI would mix up their messages; and one for our messages. */
    MPI_Comm barriers, broadcasts, gathers, data;
    int64_t n_begun;        /* collectives */
    dt_mpi_notice *notices; /* [size] */
    dt_watch *watch;
    dt_mpi_sum sum;
} dt_comm_mpi;

/* -- mpi_error.c -- Fill *err with what MPI says of `code` and mark the communicator as failed; returns DT_ERR_PEER where it
 * may be a connection that broke, else DT_ERR_COMM. `what`: "broadcast". */
dt_status dt_mpi_fail(dt_comm_mpi *c, int code, const char *what, dt_error *err);

/* Shortens an MPI library's version text: "Open MPI v4.1.4, package: ..." becomes "Open MPI 4.1.4", "MPICH
 * Version:      4.0.2\n..." becomes "MPICH 4.0.2". Overwrites `text`. */
void dt_mpi_tidy_name(char *text, char *out, size_t out_bytes);

/* -- mpi_sum.c -- leaders[r]: the lowest rank of r's host; local_sizes[r]: how many ranks it has. */
dt_status dt_mpi_sum_create(dt_comm_mpi *c, const int *leaders, const int *local_sizes, dt_error *err);
void dt_mpi_sum_destroy(dt_mpi_sum *sum);
/* Queue a sum in place; it goes on in dt_mpi_sum_progress. */
dt_status dt_mpi_sum_start(dt_comm_mpi *c, void *data, int64_t n, dt_dtype dtype, dt_reduce_op op,
                           const dt_position *position, dt_comm_request **request, dt_error *err);
dt_status dt_mpi_sum_progress(dt_comm_mpi *c, bool *moved, dt_error *err);
bool dt_mpi_sum_done(const dt_comm_request *request);
void dt_mpi_sum_release(dt_comm_mpi *c, dt_comm_request *request);
bool dt_mpi_sum_idle(const dt_comm_mpi *c); /* no request is open */

/* -- mpi_notices.c -- */
dt_status dt_mpi_watch_create(dt_comm_mpi *c, const char (*hosts)[64], double deadline_s, dt_error *err);
/* As dt_watch_poll; whoever gives up communicates no more. */
dt_status dt_mpi_poll(dt_comm_mpi *c, dt_waiting *w, bool moved, dt_error *err);
void dt_mpi_notices_drain(dt_comm_mpi *c); /* before MPI_Finalize */
void dt_mpi_watch_destroy(dt_comm_mpi *c);

#endif
