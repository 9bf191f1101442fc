/* run_folder.h: the folder that a run writes to.
 *
 *   OUT/config.conf      every option of the last start; `dtrain --config OUT/config.conf` repeats it
 *       metrics.jsonl    one JSON object per line
 *       checkpoints/     step-00001234/ ...
 *       lock             exists while a run works there: run_lock.h
 */
#ifndef DT_LAUNCH_RUN_RUN_FOLDER_H
#define DT_LAUNCH_RUN_RUN_FOLDER_H

#include "launch/options/options.h"
#include "launch/run/run_lock.h"

typedef struct dt_run_folder {
    char config[DT_PATH_BYTES + 32], new_config[DT_PATH_BYTES + 32], metrics[DT_PATH_BYTES + 32],
        checkpoints[DT_PATH_BYTES + 32];
    dt_run_lock *lock; /* on rank 0, while the folder is open; else NULL */
} dt_run_folder;

/* Set the paths in folder `out`. */
void dt_run_folder_name(const char *out, dt_run_folder *folder);

/* Call on rank 0, while the other ranks of comm wait. Creates OUT and the folders above it, acquires OUT's
 * lock, and writes config_text to OUT/config.conf.tmp, which also shows that the folder is writable. With
 * --resume never, an older run there is first renamed to OUT.old-N (N: the first one free), and logged.
 * DT_ERR_USAGE: OUT is not a folder, or another run works there; DT_ERR_IO, with the path and the reason. */
dt_status dt_run_folder_open(const dt_options *options, const char *config_text, dt_comm *comm,
                             dt_run_folder *folder, dt_error *err);

/* Call on rank 0, after the checkpoint to resume from was loaded: renames config.conf.tmp to config.conf.
 * goes_on: the run resumes; first log each option that has another value in the old config.conf.
 * DT_ERR_IO. */
dt_status dt_run_folder_commit(const dt_options *options, const dt_run_folder *folder, bool goes_on,
                               dt_error *err);

/* Remove config.conf.tmp, if it still exists, and release the lock. Does nothing if the folder is not
 * open. */
void dt_run_folder_close(dt_run_folder *folder);

#endif
