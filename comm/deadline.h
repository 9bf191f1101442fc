/* deadline.h: waiting for other ranks, and finding out who does not come. Used by comm/mpi and comm/nccl.
 *
 *   dt_waiting w = dt_waiting_begin(&place);                      this rank waits here ...
 *   while (!arrived())
 *       DT_TRY(dt_watch_poll(watch, &w, moved, err));             ... and polls; DT_ERR_PEER names who is
 *                                                                 missing
 *
 *   dt_watch_heartbeat(watch, err);                                  this rank is busy by itself, and alive
 *
 * Neither MPI nor NCCL knows a deadline, nor names anybody. So a rank that has polled for a second tells all
 * others, in messages beside the collectives, what it waits for and how far it has come, and again every
 * second. A rank that is busy by itself (a long evaluation) answers that it is, whenever it passes
 * dt_watch_heartbeat: it is waited for. At the deadline those ranks are the missing ones of whom no such notice
 * came, or one of an earlier place. Whoever gives up tells the others, so that all leave together. This costs
 * nothing while ranks come in time.
 *
 * A rank has come so far in two sequences: the collectives that its host has begun, and the sums that its
 * device has begun, which the host only watches. All functions are local, and for the thread that created the
 * communicator.
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
    /* from here on on the device */
    DT_POSITION_START,  /* NCCL's start */
    DT_POSITION_BUCKET, /* the sum of a bucket of gradients */
    DT_POSITION_WORK    /* nothing that other ranks take part in: number is the last sum begun */
} dt_position_kind;

typedef enum dt_sequence { DT_SEQUENCE_HOST, DT_SEQUENCE_DEVICE, DT_SEQUENCES } dt_sequence;

/* What ranks do together, in the same order. */
typedef struct dt_position {
    int64_t kind;         /* dt_position_kind */
    int64_t number;       /* in its sequence: from 1, ascending */
    int64_t bytes;        /* the same on all ranks */
    int64_t step, bucket; /* of the training, for messages; step 0: not known */
} dt_position;

typedef enum dt_notice_kind {
    DT_NOTICE_NONE,
    DT_NOTICE_WAITS,    /* at `position`; wants heartbeats from ranks that are busy */
    DT_NOTICE_BUSY,     /* alive, and by itself */
    DT_NOTICE_GIVES_UP, /* `status` and `text` say why */
    DT_NOTICE_GONE      /* nothing of it will come any more */
} dt_notice_kind;

typedef struct dt_notice {
    int64_t kind; /* dt_notice_kind */
    dt_position position;
    int64_t n_begun[DT_SEQUENCES]; /* numbers of the last ones begun */
    int64_t status;                /* dt_status */
    char text[256];
} dt_notice;

/* How notices travel, beside all collectives. */
typedef struct dt_side_channel {
    void *context;
    /* Let *notice leave for a rank; never blocks. *sent is false when the one before has not left yet: then
     * this one is dropped. */
    dt_status (*send)(void *context, int rank, const dt_notice *notice, bool *sent, dt_error *err);
    /* Take one notice that has arrived; *from is -1 when there is none. */
    dt_status (*receive)(void *context, int *from, dt_notice *notice, dt_error *err);
} dt_side_channel;

typedef struct dt_watch dt_watch;

typedef struct dt_watch_options {
    const dt_comm *comm;     /* borrowed: rank, size and step */
    const char (*hosts)[64]; /* [size], copied */
    dt_side_channel channel; /* not used where size is 1 */
    double deadline_s;       /* INFINITY waits for ever */
} dt_watch_options;

/* DT_ERR_MEMORY. */
dt_status dt_watch_create(const dt_watch_options *options, dt_watch **watch, dt_error *err);
void dt_watch_destroy(dt_watch *watch);

/* How far this rank has come; what its notices tell. */
void dt_watch_set_begun(dt_watch *watch, dt_sequence sequence, int64_t number);
double dt_watch_deadline_s(const dt_watch *watch);

/* One wait. */
typedef struct dt_waiting {
    dt_position position;
    double start_s;       /* of the silence: moving begins it anew */
    double next_notice_s; /* 0: none was sent */
    int64_t n_polls;
    bool warned;
} dt_waiting;

dt_waiting dt_waiting_begin(const dt_position *position);
/* The wait goes on at another place (a device has come further). */
void dt_waiting_move(dt_waiting *w, const dt_position *position);

/* To be called between polls. Gives the processor to others; tells them when it takes long. moved: whether
 * anything arrived since the last turn. DT_ERR_PEER: at the deadline; DT_ERR_TIMEOUT: the device hangs;
 * DT_ERR_COMM: ranks wait in different collectives; what another rank gave up for; else what the channel
 * reports. The others are told. */
dt_status dt_watch_poll(dt_watch *watch, dt_waiting *w, bool moved, dt_error *err);

/* A sign of life, for those who wait. Cheap: looks for them a few times a second. */
dt_status dt_watch_heartbeat(dt_watch *watch, dt_error *err);

/* Who has not come to w's place, for a message: "there is no sign of rank 3 (node7)", or what those that are
 * elsewhere do. Returns how many. */
int dt_watch_describe_missing(const dt_watch *watch, const dt_waiting *w, char *out, size_t out_bytes);
/* "the sum of bucket 3 of step 17 (4194304 bytes)" */
void dt_position_describe(const dt_position *position, char *out, size_t out_bytes);

/* Tell all others that this rank gives up, for a reason that no wait has found, and why; they give up in
 * their next turn. */
void dt_watch_give_up(dt_watch *watch, const dt_error *why);
/* Tell them that it is gone, and wait until all that are not missing have said so too, for grace_s at
 * most. */
void dt_watch_leave(dt_watch *watch, double grace_s);
/* Take notices that nobody reads any more. */
void dt_watch_drain(dt_watch *watch);

#endif
