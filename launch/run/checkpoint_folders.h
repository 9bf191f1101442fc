/* checkpoint_folders.h: where a run's checkpoints go: --checkpoint-dir, --checkpoint-mirror, and who sees
 * them.
 *
 *   dt_checkpoint_folders folders;
 *   DT_TRY(dt_checkpoint_folders_open(&options, "runs/demo/checkpoints", comm, &folders, err));
 *   ... a training with folders.store, folders.mirror, folders.per_host ...
 *   dt_checkpoint_folders_close(&folders);
 *
 * Whether a folder is one for all hosts or another one on each is found out, not asked: one rank of every
 * host makes a file in it, and all ranks look whose they see.
 */
#ifndef DT_LAUNCH_RUN_CHECKPOINT_FOLDERS_H
#define DT_LAUNCH_RUN_CHECKPOINT_FOLDERS_H

#include "core/comm.h"
#include "core/store.h"
#include "launch/options/options.h"
#include "launch/run/run_lock.h"

typedef struct dt_checkpoint_folders {
    dt_store *store, *mirror; /* mirror: NULL without --checkpoint-mirror */
    bool per_host;            /* the store's folder is another one on each host */
    dt_run_lock *locks[2];    /* this rank's */
} dt_checkpoint_folders;

/* Collective; behind dt_run_folder_open. usual: the folder without --checkpoint-dir, inside the run's folder,
 * whose lock holds for it too. Makes the folders; takes their locks (rank 0, or one rank of each host where
 * each has its own); with --resume never puts what is in them aside in DIR/old-N, as dt_run_folder_open does
 * with what is in --out. Every rank returns the same: DT_ERR_USAGE: some hosts share a folder and others do
 * not, the mirror is not seen by all, each host has its own folder and there is no mirror, the two are the
 * same folder, or another run works there; DT_ERR_IO. */
dt_status dt_checkpoint_folders_open(const dt_options *options, const char *usual, dt_comm *comm,
                                     dt_checkpoint_folders *folders, dt_error *err);
/* Local. What was not opened is left out. */
void dt_checkpoint_folders_close(dt_checkpoint_folders *folders);

#endif
