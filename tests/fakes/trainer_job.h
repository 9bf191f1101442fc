/* trainer_job.h: a training with fakes on every side but the arithmetic: a small net on the reference
 * backend, made-up images, threads as ranks, a store in memory; on the host, or on a device that works later.
 * `job` holds what a test sets and what it gets.
 *
 *   job j = new_job(2);
 *   j.config.epochs = 8;
 *   run(&j);
 *   check_all(&j, DT_OK);
 *   free_job(&j);
 */
#ifndef DTRAIN_TESTS_TRAINER_JOB_H
#define DTRAIN_TESTS_TRAINER_JOB_H

#include "core/training/trainer.h"
#include "tests/emulated/device_emulated.h"
#include "tests/fakes/scripted_loss.h"

#define MAX_RANKS 4
#define SIZE 8
#define CLASSES 4
#define MAX_EVENTS 256

typedef struct job {
    dt_config config;
    int size;
    int64_t n_train, n_val, broken, broken_val; /* broken: of each rank */
    int64_t label_shift;                        /* fake_source_options */
    dt_store *store;                            /* may be NULL */
    dt_store *second_store; /* not NULL: `store` is the first host's own, this the second's; two ranks to a
                               host */
    dt_store *mirror;       /* may be NULL */
    const dt_computed_by *computed_by[MAX_RANKS]; /* of all ranks, or NULL for all */
    int64_t stop_after; /* rank stop_rank votes to stop after so many steps; 0: never */
    int stop_rank;
    int64_t save_after; /* rank stop_rank votes for a checkpoint after so many steps; 0: never */
    /* Rank stop_rank knows an end: so many seconds after its request to stop; or, if stop_after is 0, after
     * its start, and it votes to stop when that is near. 0: no rank knows of an end. */
    double end_s;
    double (*left_s)(void);    /* rank stop_rank knows an end, so many seconds from now, whatever end_s is */
    bool end_is_limit;         /* it is one that the next start has again */
    bool stop_at_start;        /* rank stop_rank wants to stop before the first step */
    double next_s;             /* rank 0's training source takes so long for a batch */
    int64_t fail_next_at;      /* rank 0's training source fails there */
    int64_t interrupt_next_at; /* likewise, with DT_ERR_INTERRUPTED */
    int *times_seen;           /* [n_val] */
    loss_script script;        /* losses, hits and overflows; on the host only */
    /* Replaces functions of a rank's kernels (k->ops) before the net is made; NULL: none. */
    void (*change_kernels)(dt_kernels *kernels);
    /* Changes the initial weights of rank 0's net, as --init does; NULL: none. */
    void (*change_net)(dt_net *net);
    /* As in dt_trainer_parts, without a context; NULL: none. */
    dt_status (*accepts)(void *context, const dt_manifest *manifest, bool *new_momentum, dt_error *err);
    bool lagging; /* on a device that works later, instead of the host; config.precision is the
                             backend's */
    /* The arithmetic on such a device; lagging_kernels_create unless set. */
    dt_status (*create_kernels)(dt_device *device, dt_dtype dtype, dt_kernels **kernels, dt_error *err);
    /* How ranks get a communicator for such a device; lagging_comm_create unless set. After a failure
     * `comm` is unchanged. */
    dt_status (*attach)(dt_comm *comm, dt_device *device, dt_comm **on_device, dt_error *err);

    dt_status status[MAX_RANKS];
    dt_error error[MAX_RANKS];
    dt_metrics_end end[MAX_RANKS];
    float *values[MAX_RANKS]; /* the flat vector at the end, then the running averages if there are */
    dt_net_vectors vectors;
    int64_t train_sizes[MAX_EVENTS], n_train_sizes; /* pixels of rank 0's training images, in each call of
                                                       start */
    int64_t *n_live_blocks_max; /* not NULL: set to the most blocks that were allocated after any step
                                   (core/base/alloc.h) */
    dt_metrics_start start;
    dt_metrics_end sent_end;
    dt_metrics_step steps[MAX_EVENTS];
    dt_metrics_eval evals[MAX_EVENTS];
    dt_metrics_epoch epochs[MAX_EVENTS];
    /* their steps; how many steps had been reported before */
    int64_t checkpoints[MAX_EVENTS], checkpoints_reported_at[MAX_EVENTS];
    dt_metrics_checkpoint saved[MAX_EVENTS], mirrored[MAX_EVENTS];
    double reserved[MAX_EVENTS]; /* what rank stop_rank reserved, call by call */
    int64_t n_reserved;
    int64_t n_mirrored;
    int64_t n_steps, n_evals, n_epochs, n_checkpoints, n_starts, n_ends;
    dt_emulated_counts counts[MAX_RANKS]; /* of the device, if lagging */
    int64_t max_held[MAX_RANKS];          /* training batches that were not released at one time */
} job;

job new_job(int size);
void free_job(job *j);
void run(job *j);
/* The next start of the same training, which nothing stops: forgets the values, steps, evaluations and
 * checkpoints of the run before. */
void run_again(job *j);
void run_as_rank(job *j, dt_comm *comm); /* this process is one of comm's ranks, and j its own */
void check_all(const job *j, dt_status expected);
size_t kept_bytes(const job *j); /* of a rank's `values`, the running averages included */

#endif
