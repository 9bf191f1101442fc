/* checkpoint_folders.h: where a run's checkpoints go (--checkpoint-dir, --checkpoint-mirror), and which hosts
 * see these folders.
 *
 *   dt_checkpoint_folders folders;
 *   DT_TRY(dt_checkpoint_folders_open(&options, "runs/demo/checkpoints", comm, &locks, &folders, err));
 *   ... a training with folders.store, folders.mirror, folders.per_host ...
 *   dt_checkpoint_folders_close(&folders);
 *
 * No option says whether hosts share a folder or each has its own. It is probed: one rank of every host
 * creates a file in the folder, and all ranks check which of these files they see.
 */
#ifndef DT_LAUNCH_RUN_CHECKPOINT_FOLDERS_H
#define DT_LAUNCH_RUN_CHECKPOINT_FOLDERS_H

#include "core/comm.h"
#include "core/store.h"
#include "launch/options/options.h"
#include "launch/run/run_lock.h"

typedef struct dt_checkpoint_folders {
    dt_store *store, *mirror;     /* mirror: NULL without --checkpoint-mirror */
    bool per_host;                /* each host has its own folder for the store */
    dt_run_lock *locks[2];        /* of the store and the mirror, on the rank that holds them */
    char owned[2][DT_PATH_BYTES]; /* the same folders, on the same rank, also without a lock; "": another's */
    bool made[2];                 /* this start has made them */
} dt_checkpoint_folders;

/* Collective; call after dt_run_folder_open. usual: the folder to use without --checkpoint-dir; it is
 * inside the run's folder, whose lock covers it. Creates the folders and acquires their locks (rank 0, or
 * one rank of each host if each has its own folder). Adds these locks to `locks`, which has the run's, and
 * which guards both stores until they are closed. Every rank returns the same. DT_ERR_USAGE: only some
 * hosts share a folder, not all hosts see the mirror, each host has its own folder and there is no mirror,
 * both are the same folder, or another run works there; DT_ERR_IO. */
dt_status dt_checkpoint_folders_open(const dt_options *options, const char *usual, dt_comm *comm,
                                     dt_run_locks *locks, dt_checkpoint_folders *folders, dt_error *err);
/* Collective; for --resume never, as the last step before the training begins. Moves the checkpoints in the
 * folders to DIR/old-N (N: the first one free), and logs that. Those in the run's folder have moved with it.
 * DT_ERR_IO. */
dt_status dt_checkpoint_folders_put_aside(const dt_checkpoint_folders *folders, dt_comm *comm, dt_error *err);

/* Local. Also removes folders that this start has made, if they are empty. Also closes folders that were
 * opened only in part. */
void dt_checkpoint_folders_close(dt_checkpoint_folders *folders);

#endif
