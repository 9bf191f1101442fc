/* internal.h: what the files of comm/nccl share. Each file calls only files that are listed below it:
 *
 *   nccl.c             start and end; collectives of host memory, by the other communicator
 *   buckets.c          sums of gradients
 *   wait.c             waiting for NCCL and for the device; giving up
 *   watchdog.c         a thread that aborts NCCL when the host hangs in a call of CUDA
 *   call.c             calls of a blocking communicator that wait for other ranks
 *   abort.c, marks.c   abort NCCL; read the position of the device
 *
 * environment.c, log.c, network.c and library.c have headers of their own (environment.h, log.h, network.h,
 * api.h).
 */
#ifndef DT_COMM_NCCL_INTERNAL_H
#define DT_COMM_NCCL_INTERNAL_H

#include "comm/nccl/log.h"
#include "comm/nccl/nccl.h"
#include "core/device.h"

#include <pthread.h>
#include <stdatomic.h>

enum { DT_NCCL_BUCKETS = 64 /* core/comm.h allows so many under way */ };

/* A bucket under way. */
struct dt_comm_request {
    dt_event *ready; /* recorded on the main stream: the bucket is written */
    dt_event *done;  /* recorded on NCCL's stream: the bucket is summed */
    bool open;       /* started and not waited for */
};

/* How often the device has begun and ended the sum of one bucket: once in each step. */
typedef struct dt_nccl_seen {
    volatile uint32_t begun, done;
} dt_nccl_seen;

typedef struct dt_nccl_watchdog {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool runs, ends;
    /* These two are read and written under the mutex. */
    bool held;            /* the main thread is in a wait that has a deadline */
    double restarted_s;   /* when the main thread last began or ended a wait, or was about to call NCCL */
    atomic_bool fired;    /* the watchdog aborts NCCL, or has done so; set under the mutex */
    atomic_llong stalled; /* because the sum with this number did not end */
} dt_nccl_watchdog;

typedef struct dt_comm_nccl dt_comm_nccl;

/* A call of NCCL, in a thread of its own where the communicator is blocking. Its arguments and results stay
 * in this struct, because the thread may outlive the wait for it. */
typedef struct dt_nccl_call {
    int (*function)(dt_comm_nccl *c, struct dt_nccl_call *call);
    pthread_t thread;
    atomic_int result; /* DT_NCCL_IN_PROGRESS until the function has returned */
    bool open;         /* begun in a thread, and not yet seen to have ended */
    dt_nccl_id id;     /* of init */
    void *handle;      /* that init has made */
    int64_t n;         /* values of a sum */
} dt_nccl_call;

struct dt_comm_nccl {
    dt_comm head;
    const dt_nccl_api *api;
    dt_comm *host; /* owned */
    dt_device *device;
    dt_watch *watch;
    bool owns_watch;

    void *handle;  /* NCCL's communicator; NULL: none */
    bool blocking; /* it was made so: its calls return when they are done */
    dt_nccl_call call;
    dt_nccl_log log; /* NCCL's, in memory */
    dt_stream *stream;
    void *native; /* `stream` as a cudaStream_t, for NCCL and kernels */
    bool failed;  /* every later collective fails at once */
    dt_status failed_as;
    atomic_bool abort_begun;
    atomic_bool aborted;        /* ncclCommAbort has returned: NCCL uses no memory any more */
    atomic_bool drop_begun;     /* a thread calls head.drop_graphs, once */
    atomic_bool graphs_dropped; /* it has returned */

    unsigned char *wire; /* device memory that holds 16-bit gradients */
    int64_t wire_bytes;

    dt_comm_request requests[DT_NCCL_BUCKETS];
    int n_open, n_started; /* open requests; buckets started in this step */
    int64_t bucket_bytes[DT_NCCL_BUCKETS];
    int64_t start_number; /* number of the current DT_POSITION_START; 0: the start is over */
    int64_t first_step;   /* the step that started the first bucket; 0: none yet */

    dt_nccl_seen *seen; /* [DT_NCCL_BUCKETS], pinned host memory */
    uint32_t *counts;   /* [DT_NCCL_BUCKETS][2], device memory: begun, done */

    dt_nccl_watchdog watchdog;
};

/* -- marks.c -- */
/* The number of the sum of `bucket` in the count-th step (from 1). Numbers ascend with the step and, within
 * it, the bucket. NCCL's start has smaller numbers. */
int64_t dt_nccl_number_of(int64_t count, int64_t bucket);
/* Read the numbers of the last sums that the device has begun and ended; 0: none. Any thread. */
void dt_nccl_read_marks(const dt_comm_nccl *c, int64_t *begun, int64_t *done);
/* The position of the sum with this number. */
dt_position dt_nccl_position_of(const dt_comm_nccl *c, int64_t number);
/* The position of the device, by its marks. Also sets it as begun in the watch. */
dt_position dt_nccl_device_position(dt_comm_nccl *c);

/* -- abort.c -- */
/* Abort NCCL's communicator, once. Returns after a few seconds even if ncclCommAbort hangs, with the device.
 * ncclCommAbort waits until no captured graph has a sum of the communicator; drop_graphs: let their owner
 * destroy them meanwhile (dt_comm.drop_graphs). Only where the main thread calls this. */
void dt_nccl_abort(dt_comm_nccl *c, bool drop_graphs);

/* -- call.c -- */
/* Begin call->function, of c->call. With a nonblocking communicator it is called at once, and the result
 * returned. With a blocking one a thread calls it, on this rank's GPU, and the result is
 * DT_NCCL_IN_PROGRESS. One at a time. */
int dt_nccl_call_begin(dt_comm_nccl *c, int (*function)(dt_comm_nccl *c, dt_nccl_call *call));
/* As async_error, for the call under way in a thread; without one it is async_error. */
int dt_nccl_call_poll(dt_comm_nccl *c, int *result);

/* -- buckets.c -- */
dt_status dt_nccl_buckets_create(dt_comm_nccl *c, dt_error *err);
void dt_nccl_buckets_destroy(dt_comm_nccl *c);
dt_status dt_nccl_all_reduce_start(dt_comm *comm, float *buffer, int64_t n, dt_dtype wire,
                                   dt_comm_request **request, dt_error *err);
dt_status dt_nccl_wait(dt_comm *comm, dt_comm_request *request, dt_error *err);

/* -- wait.c -- */
/* Fails where communication has failed before, at the fault point `fault`, and where the watchdog has
 * fired. */
dt_status dt_nccl_usable(dt_comm_nccl *c, const char *what, const char *fault, dt_error *err);
/* Fails where the watchdog has fired: NCCL's handle is gone. Otherwise the watchdog's limit begins again.
 * Call this after each call that may have hung in CUDA, just before the next call of NCCL. */
dt_status dt_nccl_check_fired(dt_comm_nccl *c, dt_error *err);
/* Wait until NCCL has completed a call that returned `result`. `what` names the call: "ncclAllReduce". */
dt_status dt_nccl_wait_ready(dt_comm_nccl *c, int result, const dt_position *position, const char *what,
                             dt_error *err);
dt_status dt_nccl_device_wait(dt_comm *comm, dt_device *device, dt_event *event, dt_error *err);
/* Abort NCCL, then wait a little until all ranks that are alive have done so, before any of them ends the
 * job. Returns status. */
dt_status dt_nccl_leave(dt_comm_nccl *c, dt_status status);

/* -- watchdog.c -- */
dt_status dt_nccl_watchdog_start(dt_comm_nccl *c, dt_error *err);
void dt_nccl_watchdog_stop(dt_comm_nccl *c);
/* The main thread calls these around each wait that has a deadline. The watchdog does not fire meanwhile; it
 * may have fired before. */
void dt_nccl_watchdog_hold(dt_comm_nccl *c);
void dt_nccl_watchdog_release(dt_comm_nccl *c);
/* The main thread calls this before a call of NCCL. Returns false where the watchdog has fired; otherwise it
 * fires no sooner than its whole limit from now. */
bool dt_nccl_watchdog_enter(dt_comm_nccl *c);

#endif
