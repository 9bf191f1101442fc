/* mpi_internal.h: what the files of comm/mpi share.
 *
 * mpi.c implements core/comm.h. It calls mpi_sum.c (sums) and mpi_notices.c (the messages of
 * comm/deadline.h); both call mpi_error.c; nothing calls back.
 */
#ifndef DT_COMM_MPI_INTERNAL_H
#define DT_COMM_MPI_INTERNAL_H

#include "comm/deadline.h"
#include "comm/mpi.h"

#include <mpi.h>

#define DT_MPI_NOTICE_TAG 32000 /* above the tags of mpi_sum.c, below the 32767 that MPI guarantees */

/* The last notice that was sent to a rank. MPI reads it until `request` completes. */
typedef struct dt_mpi_notice {
    dt_notice sent;
    MPI_Request request;
} dt_mpi_notice;

/* Ranks that sum among themselves. */
typedef struct dt_mpi_group {
    int size, me; /* ranks[me] is this rank */
    int *ranks;   /* [size], as numbered in the job */
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
    /* A slice advances by about one stage in each call of progress, and there is one call per layer. To sum
     * ResNet-50's gradients within its 50 layers, so much must be under way at a time. It takes less than
     * these 32 MiB of scratch memory. Measured: README.md. */
    DT_MPI_SLICE_BYTES = 4 << 20,
    DT_MPI_SLICES = 8,
    DT_MPI_REQUESTS = 64 + 1 /* core/comm.h promises 64; one more for a blocking sum */
};

/* A sum under way. mpi_sum.c cuts slices off its front. */
struct dt_comm_request {
    unsigned char *data;
    int64_t n_left, n_slices; /* elements not yet in a slice; slices under way */
    int64_t elem_bytes;
    void (*combine)(void *out, const void *a, const void *b, int64_t n); /* out = a op b, for n elements */
    dt_position position;
    dt_comm_request *next; /* in the queue, or in the list of free requests */
    bool open;             /* started and not waited for */
};

typedef struct dt_mpi_sum {
    /* [0]: the ranks of this host. [1]: the ranks with this one's local rank, one on each host. Where hosts
     * have different numbers of ranks, [0] has all ranks and [1] only this one. */
    dt_mpi_group hosts[2];
    dt_comm_request requests[DT_MPI_REQUESTS], *free, *first, *last;
    int64_t n_cut; /* slices so far */
    int n_active;  /* of slices[] */
    dt_mpi_slice slices[DT_MPI_SLICES];
    unsigned char *scratch; /* [DT_MPI_SLICES][scratch_bytes]: what peers sent */
    int64_t scratch_bytes;
    /* A slice has at most n_messages messages. The arrays below hold those of slice s at
     * [s * n_messages, (s + 1) * n_messages). */
    int n_messages;
    MPI_Request *messages;
    int *expected; /* bytes to receive; -1: a message that is sent */
    MPI_Status *statuses;
    int *indices;
} dt_mpi_sum;

typedef struct dt_comm_mpi {
    dt_comm head;
    int64_t max_message_bytes;
    bool failed;    /* a peer may be lost: every later collective fails at once */
    bool lost_peer; /* why: a peer was lost; otherwise a bug, or MPI itself */
    /* One communicator for each of MPI's collectives in use. Where ranks call different collectives each
     * waits in its own, and the watch reports them; in one communicator MPI would match their messages.
     * `data` is for the messages of sums and notices. */
    MPI_Comm barriers, broadcasts, gathers, data;
    MPI_Comm ranks;         /* those of this communicator: MPI_COMM_WORLD, or a part */
    int64_t n_begun;        /* collectives so far */
    dt_mpi_notice *notices; /* [size] */
    dt_watch *watch;
    dt_mpi_sum sum;
} dt_comm_mpi;

/* Shorten an MPI library's version text: "Open MPI v4.1.4, package: ..." becomes "Open MPI 4.1.4", and "MPICH
 * Version: 4.0.2\n..." becomes "MPICH 4.0.2". Overwrites `text`. */
void dt_mpi_tidy_name(char *text, char *out, size_t out_bytes);

/* -- mpi_error.c -- */
/* Fill *err with MPI's text for `code` and mark the communicator as failed. Returns DT_ERR_PEER where a
 * connection may have broken, otherwise DT_ERR_COMM. `what`: "a broadcast". */
dt_status dt_mpi_fail(dt_comm_mpi *c, int code, const char *what, dt_error *err);

/* -- mpi_sum.c -- */
/* Form the groups and allocate buffers. leaders[r]: the lowest rank of r's host; local_sizes[r]: the number
 * of ranks on it. DT_ERR_MEMORY. */
dt_status dt_mpi_sum_create(dt_comm_mpi *c, const int *leaders, const int *local_sizes, dt_error *err);
void dt_mpi_sum_destroy(dt_mpi_sum *sum);
/* Queue an in-place sum of n elements; dt_mpi_sum_progress carries it out. DT_ERR_INTERNAL: too many are
 * under way, or the type cannot be summed. */
dt_status dt_mpi_sum_start(dt_comm_mpi *c, void *data, int64_t n, dt_dtype dtype, dt_reduce_op op,
                           const dt_position *position, dt_comm_request **request, dt_error *err);
/* Advance all sums as far as messages have arrived. *moved: one arrived or left. Never blocks. */
dt_status dt_mpi_sum_progress(dt_comm_mpi *c, bool *moved, dt_error *err);
bool dt_mpi_sum_done(const dt_comm_request *request);
void dt_mpi_sum_release(dt_comm_mpi *c, dt_comm_request *request);
bool dt_mpi_sum_idle(const dt_comm_mpi *c); /* no request is open */

/* -- mpi_notices.c -- */
dt_status dt_mpi_watch_create(dt_comm_mpi *c, const char (*hosts)[64], double deadline_s, dt_error *err);
/* dt_watch_poll; when it fails the communicator is marked as failed. */
dt_status dt_mpi_poll(dt_comm_mpi *c, dt_waiting *w, bool moved, dt_error *err);
void dt_mpi_notices_drain(dt_comm_mpi *c); /* before MPI_Finalize */
void dt_mpi_watch_destroy(dt_comm_mpi *c);

#endif
