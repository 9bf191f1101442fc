/* internal.h: what the files of comm/nccl share. Each file calls only those below it:
 *
 *   nccl.c       start and end; host memory through the other communicator
 *   buckets.c    sums of gradients
 *   wait.c       waiting for NCCL and the device; giving up
 *   watchdog.c   aborts NCCL for a host that hangs in a call of CUDA
 *   abort.c, marks.c
 */
#ifndef DT_COMM_NCCL_INTERNAL_H
#define DT_COMM_NCCL_INTERNAL_H

#include "comm/nccl/nccl.h"
#include "core/device.h"

#include <pthread.h>
#include <stdatomic.h>

enum { DT_NCCL_BUCKETS = 64 /* core/comm.h promises so many under way */ };

/* A bucket under way. */
struct dt_comm_request {
    dt_event *ready; /* on the main stream: it is written */
    dt_event *done;  /* on ours: it is summed */
    bool open;       /* started and not waited for */
};

/* How often the device has begun and ended the sum of a bucket since the start: once in a step. */
typedef struct dt_nccl_seen {
    volatile uint32_t begun, done;
} dt_nccl_seen;

typedef struct dt_nccl_watchdog {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool runs, ends;
    atomic_bool held;         /* the main thread waits with a deadline of its own */
    atomic_llong released_ms; /* the end of its last such wait */
    atomic_bool fired;        /* NCCL was aborted because of this sum: */
    atomic_llong stalled;     /* its number */
} dt_nccl_watchdog;

typedef struct dt_comm_nccl {
    dt_comm head;
    const dt_nccl_api *api;
    dt_comm *host; /* owned */
    dt_device *device;
    dt_watch *watch;
    bool owns_watch;

    void *handle; /* NCCL's communicator; NULL: none */
    dt_stream *stream;
    void *native; /* the same, for NCCL and kernels */
    bool failed;  /* no collective any more */
    dt_status failed_as;
    atomic_bool abort_begun;
    atomic_bool aborted; /* NCCL has let go of everything */

    unsigned char *wire; /* device memory */
    int64_t wire_bytes;

    dt_comm_request requests[DT_NCCL_BUCKETS];
    int n_open, n_started; /* requests; buckets of this step so far */
    int64_t bucket_bytes[DT_NCCL_BUCKETS];
    int64_t start_number; /* of DT_POSITION_START; 0: started */
    int64_t first_step;   /* in which the first bucket was started; 0: none was */

    dt_nccl_seen *seen; /* [DT_NCCL_BUCKETS], pinned host memory */
    uint32_t *counts;   /* [DT_NCCL_BUCKETS][2], device memory: begun, done */

    dt_nccl_watchdog watchdog;
} dt_comm_nccl;

/* -- marks.c -- */
/* The numbers of sums on the device ascend with the step and, within it, the bucket; NCCL's start has those
 * before. */
int64_t dt_nccl_number_of(int64_t count, int64_t bucket);
/* Numbers of the last sums that the device has begun and ended; any thread. */
void dt_nccl_read_marks(const dt_comm_nccl *c, int64_t *begun, int64_t *done);
/* A sum by its number. */
dt_position dt_nccl_position_of(const dt_comm_nccl *c, int64_t number);
/* Where the device is, by its marks; the watch is told. */
dt_position dt_nccl_device_position(dt_comm_nccl *c);

/* -- abort.c -- */
/* End what NCCL has under way, also on a device that hangs: after a few seconds this returns all the same. */
void dt_nccl_abort(dt_comm_nccl *c);

/* -- buckets.c -- */
dt_status dt_nccl_buckets_create(dt_comm_nccl *c, dt_error *err);
void dt_nccl_buckets_destroy(dt_comm_nccl *c);
dt_status dt_nccl_all_reduce_start(dt_comm *comm, float *buffer, int64_t n, dt_dtype wire,
                                   dt_comm_request **request, dt_error *err);
dt_status dt_nccl_wait(dt_comm *comm, dt_comm_request *request, dt_error *err);

/* -- wait.c -- */
/* Communication has failed before: another collective would only wait. */
dt_status dt_nccl_usable(dt_comm_nccl *c, const char *what, const char *fault, dt_error *err);
/* The watchdog has aborted NCCL, and the handle is gone: to be asked after each call that may have hung in
 * CUDA, before the next one of NCCL. */
dt_status dt_nccl_check_fired(dt_comm_nccl *c, dt_error *err);
/* Wait until NCCL is no longer busy with a call that returned `result`. `what`: "ncclAllReduce". */
dt_status dt_nccl_wait_ready(dt_comm_nccl *c, int result, const dt_position *position, const char *what,
                             dt_error *err);
dt_status dt_nccl_device_wait(dt_comm *comm, dt_device *device, dt_event *event, dt_error *err);
/* Abort, and wait a little until all others that are there have done so, before any of them ends the job.
 * Returns status. */
dt_status dt_nccl_leave(dt_comm_nccl *c, dt_status status);

/* -- watchdog.c -- */
dt_status dt_nccl_watchdog_start(dt_comm_nccl *c, dt_error *err);
void dt_nccl_watchdog_stop(dt_comm_nccl *c);
/* The main thread calls these around each wait that has a deadline of its own: the watchdog does not fire
 * meanwhile. */
void dt_nccl_watchdog_hold(dt_comm_nccl *c);
void dt_nccl_watchdog_release(dt_comm_nccl *c);

#endif
