/* mpi_internal.h: what the files of comm/mpi share. mpi.c: the door; mpi_sum.c: sums; mpi_wait.c: waiting with a deadline. */
#ifndef DT_COMM_MPI_INTERNAL_H
#define DT_COMM_MPI_INTERNAL_H

#include "comm/mpi.h"

#include <mpi.h>

/* What all ranks do together, in the same order. */
typedef enum dt_mpi_kind { DT_MPI_BARRIER, DT_MPI_BROADCAST, DT_MPI_ALL_GATHER, DT_MPI_ALL_REDUCE, DT_MPI_GRADIENTS, DT_MPI_LEAVE } dt_mpi_kind;

typedef struct dt_mpi_collective {
    int64_t number; /* counted from 1 */
    int64_t bytes;
    int64_t kind; /* dt_mpi_kind */
} dt_mpi_collective;

/* What a rank that waits for long tells the others: what it waits for, and how far it has come. */
typedef struct dt_mpi_notice {
    dt_mpi_collective waits_for;
    int64_t n_begun;
} dt_mpi_notice;

typedef struct dt_mpi_peer {
    char host[64];
    dt_mpi_notice heard; /* its last notice */
    dt_mpi_notice sent;  /* ours to it, as long as send_request is open */
    MPI_Request send_request;
} dt_mpi_peer;

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
    /* A slice goes on by one of its stages when progress is called, which is once in a layer: with the gradients of 50 layers under way,
     * so much must be. It costs less than that in scratch memory. Measured: README.md. */
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
    dt_mpi_collective collective;
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
    int n_messages; /* at most, of a slice: messages of slice s are [s * n_messages, (s + 1) * n_messages) of these: */
    MPI_Request *messages;
    int *expected; /* bytes to be received; -1: a message that is sent */
    MPI_Status *statuses;
    int *indices;
} dt_mpi_sum;

typedef struct dt_comm_mpi {
    dt_comm head;
    double deadline_s;
    int64_t max_message_bytes;
    bool failed;   /* a peer may be lost: no collective any more */
    /* One for each of MPI's own collectives that are used, so that a rank that calls another one waits and is found out, where MPI would
     * mix up their messages; and one for our messages. */
    MPI_Comm barriers, broadcasts, gathers, data;
    int64_t n_begun; /* collectives */
    dt_mpi_peer *peers;
    dt_mpi_sum sum;
} dt_comm_mpi;

/* Fill *err with what MPI says of `code` and mark the communicator as failed; returns DT_ERR_COMM. `what`: "broadcast". */
dt_status dt_mpi_fail(dt_comm_mpi *c, int code, const char *what, dt_error *err);

/* -- mpi_sum.c -- leaders[r]: the lowest rank of r's host; local_sizes[r]: how many ranks it has. */
dt_status dt_mpi_sum_create(dt_comm_mpi *c, const int *leaders, const int *local_sizes, dt_error *err);
void dt_mpi_sum_destroy(dt_mpi_sum *sum);
/* Queue a sum in place; it goes on in dt_mpi_sum_progress. */
dt_status dt_mpi_sum_start(dt_comm_mpi *c, void *data, int64_t n, dt_dtype dtype, dt_reduce_op op, dt_mpi_collective collective, dt_comm_request **request,
                           dt_error *err);
dt_status dt_mpi_sum_progress(dt_comm_mpi *c, bool *moved, dt_error *err);
bool dt_mpi_sum_done(const dt_comm_request *request);
void dt_mpi_sum_release(dt_comm_mpi *c, dt_comm_request *request);
bool dt_mpi_sum_idle(const dt_comm_mpi *c); /* no request is open */

/* -- mpi_wait.c -- */
typedef struct dt_mpi_waiting {
    dt_mpi_collective collective;
    double start_s;
    int64_t n_turns;
    bool noticed, warned;
} dt_mpi_waiting;

/* To be called between polls. Gives the processor to others; tells them when it takes long; DT_ERR_TIMEOUT at the deadline. moved:
 * whether anything arrived since the last turn. */
dt_mpi_waiting dt_mpi_waiting_begin(const dt_mpi_collective *collective);
dt_status dt_mpi_waiting_turn(dt_comm_mpi *c, dt_mpi_waiting *w, bool moved, dt_error *err);
void dt_mpi_waiting_drain(dt_comm_mpi *c); /* take notices that nobody reads any more, before MPI_Finalize */

#endif
