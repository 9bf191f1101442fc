/* run_folder.h: the folder that a run leaves behind.
 *
 *   OUT/config.conf      every option of this start; `dtrain --config OUT/config.conf` does the same again
 *       metrics.jsonl    one JSON object per line
 *       checkpoints/     step-00001234/ ...
 *       lock             while a run works there: run_lock.h
 */
#ifndef DT_LAUNCH_RUN_RUN_FOLDER_H
#define DT_LAUNCH_RUN_RUN_FOLDER_H

#include "launch/options/options.h"
#include "launch/run/run_lock.h"

typedef struct dt_run_folder {
    char config[DT_PATH_BYTES + 32], new_config[DT_PATH_BYTES + 32], metrics[DT_PATH_BYTES + 32],
        checkpoints[DT_PATH_BYTES + 32];
    dt_run_lock *lock; /* rank 0's, once the folder is open */
} dt_run_folder;

void dt_run_folder_name(const char *out, dt_run_folder *folder);

/* On rank 0, while the other ranks of comm wait for it. Take the folder's lock; make OUT and the folders
 * above it; with --resume never, an older run there is renamed to OUT.old-N first (N: the first one free),
 * and a log line says so. Write config_text to OUT/config.conf.tmp, which also shows that the folder can be
 * written to. DT_ERR_USAGE: OUT is no folder, or another run works there; DT_ERR_IO: the system refuses, with
 * the path and the reason. */
dt_status dt_run_folder_open(const dt_options *options, const char *config_text, dt_comm *comm,
                             dt_run_folder *folder, dt_error *err);

/* On rank 0, when the run is sure to begin or to go on: config.conf.tmp becomes config.conf. goes_on: before
 * that, a log line tells each option that the old config.conf had with another value. DT_ERR_IO. */
dt_status dt_run_folder_commit(const dt_options *options, const dt_run_folder *folder, bool goes_on,
                               dt_error *err);

/* Remove config.conf.tmp if it is still there, and give the lock back. Nothing where the folder was not
 * opened. */
void dt_run_folder_close(dt_run_folder *folder);

#endif
