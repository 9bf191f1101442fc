/* deadline.h: wait for other ranks until a deadline, and name the ranks that did not come. Used by comm/mpi
 * and comm/nccl.
 *
 *   dt_waiting w = dt_waiting_begin(&position);               this rank waits here
 *   while (!arrived())
 *       DT_TRY(dt_watch_poll(watch, &w, moved, err));         DT_ERR_PEER: names the missing ranks
 *
 *   dt_watch_heartbeat(watch, err);                           this rank is alive, and busy with its own work
 *
 * Neither MPI nor NCCL has deadlines or names a missing rank. So ranks exchange notices, which are messages
 * beside the collectives:
 *
 * - A rank that has polled for a second sends all others its position: what it waits for, and how many
 *   collectives it has begun. It repeats that every second.
 * - A rank that is busy with its own work (a long evaluation) replies with heartbeats whenever it calls
 *   dt_watch_heartbeat. The others wait for it as long as heartbeats come.
 * - At the deadline the missing ranks are those that sent no notice, or one with an earlier position.
 * - A rank that gives up sends the reason to the others, so that all ranks leave together.
 *
 * No notice is sent while ranks come within a second.
 *
 * Positions are numbered in two sequences: the collectives that the host has begun, and the sums that its
 * device has begun. The host begins the former and only observes the latter. All functions are local; only
 * the thread that created the communicator calls them.
 */
#ifndef DT_COMM_DEADLINE_H
#define DT_COMM_DEADLINE_H

#include "core/comm.h"

#include <stddef.h>

typedef enum dt_position_kind {
    DT_POSITION_BARRIER,
    DT_POSITION_BROADCAST,
    DT_POSITION_ALL_GATHER,
    DT_POSITION_ALL_REDUCE,
    DT_POSITION_GRADIENTS,
    DT_POSITION_LEAVE,
    /* these are on the device */
    DT_POSITION_START,  /* NCCL's start */
    DT_POSITION_BUCKET, /* the sum of a bucket of gradients */
    /* the device's own work, which no other rank waits for; number is the last sum begun */
    DT_POSITION_WORK
} dt_position_kind;

typedef enum dt_sequence { DT_SEQUENCE_HOST, DT_SEQUENCE_DEVICE, DT_SEQUENCES } dt_sequence;

/* One collective. All ranks go through the same ones in the same order. */
typedef struct dt_position {
    int64_t kind;         /* dt_position_kind */
    int64_t number;       /* in its sequence: ascending from 1 */
    int64_t bytes;        /* the same on all ranks */
    int64_t step, bucket; /* of the training, for messages; step 0: not known */
} dt_position;

typedef enum dt_notice_kind {
    DT_NOTICE_NONE,
    DT_NOTICE_WAITS,    /* the sender waits at `position`, and wants heartbeats from ranks that are busy */
    DT_NOTICE_BUSY,     /* a heartbeat: the sender is alive, and busy with its own work */
    DT_NOTICE_GIVES_UP, /* for the reason in `status` and `text` */
    DT_NOTICE_GONE      /* the sender communicates no more */
} dt_notice_kind;

typedef struct dt_notice {
    int64_t kind; /* dt_notice_kind */
    dt_position position;
    int64_t n_begun[DT_SEQUENCES]; /* numbers of the last positions begun */
    int64_t status;                /* dt_status */
    char text[256];
} dt_notice;

/* Carries notices, beside all collectives. */
typedef struct dt_side_channel {
    void *context;
    /* Send *notice (copied) to a rank; never blocks. Sets *sent to false, and drops this notice, while the
     * one before is still being sent to that rank. */
    dt_status (*send)(void *context, int rank, const dt_notice *notice, bool *sent, dt_error *err);
    /* Receive one notice; never blocks. *from is the sender, or -1 when none has arrived. */
    dt_status (*receive)(void *context, int *from, dt_notice *notice, dt_error *err);
} dt_side_channel;

typedef struct dt_watch dt_watch;

typedef struct dt_watch_options {
    const dt_comm *comm;     /* borrowed: rank and size */
    const char (*hosts)[64]; /* [size], copied */
    dt_side_channel channel; /* not used where size is 1 */
    double deadline_s;       /* INFINITY: none */
} dt_watch_options;

/* DT_ERR_MEMORY. */
dt_status dt_watch_create(const dt_watch_options *options, dt_watch **watch, dt_error *err);
void dt_watch_destroy(dt_watch *watch);

/* Set the number of the last position that this rank has begun in a sequence; its notices carry it. */
void dt_watch_set_begun(dt_watch *watch, dt_sequence sequence, int64_t number);
double dt_watch_deadline_s(const dt_watch *watch);

/* One wait. */
typedef struct dt_waiting {
    dt_position position;
    double start_s;       /* when something last arrived, or the wait began */
    double next_notice_s; /* 0: none was sent */
    int64_t n_polls;
    bool warned;
} dt_waiting;

dt_waiting dt_waiting_begin(const dt_position *position);
/* Continue the wait at another position, which the device has reached. The deadline starts over. */
void dt_waiting_move(dt_waiting *w, const dt_position *position);

/* Call this once a poll. It yields the processor, sends and receives notices when the wait gets long, and
 * checks the deadline. `moved`: something has arrived since the last poll; the deadline starts over.
 * DT_ERR_PEER: at the deadline ranks are missing. DT_ERR_TIMEOUT: the device hangs. DT_ERR_COMM: ranks wait
 * in different collectives. Other statuses: another rank gave up with it, or the channel failed. When this
 * rank is the first to find an error it sends the others a notice. */
dt_status dt_watch_poll(dt_watch *watch, dt_waiting *w, bool moved, dt_error *err);

/* Send a heartbeat to ranks that wait for this one. Cheap: it receives notices at most ten times a second. */
dt_status dt_watch_heartbeat(dt_watch *watch, dt_error *err);

/* Write which ranks are missing at w's position, for a message: "there is no sign of rank 3 (node7)". Where
 * none of them is silent: "rank 3 (node7) has not come; rank 3 is in a barrier (collective 9)". Returns how
 * many ranks that is; 0: none. */
int dt_watch_describe_missing(const dt_watch *watch, const dt_waiting *w, char *out, size_t out_bytes);
/* "the sum of gradient bucket 3 of step 17 (4194304 bytes)" */
void dt_position_describe(const dt_position *position, char *out, size_t out_bytes);

/* Send all others the notice that this rank gives up, with the reason. For errors that dt_watch_poll has not
 * found itself. The others give up at their next poll. */
void dt_watch_give_up(dt_watch *watch, const dt_error *why);
/* Send all others the notice that this rank is gone. Then wait, for grace_s at most, until each of them has
 * sent the same or has been silent for some seconds. */
void dt_watch_leave(dt_watch *watch, double grace_s);
/* Receive all notices that have arrived, so that none is left in the channel when it closes. */
void dt_watch_drain(dt_watch *watch);

#endif
