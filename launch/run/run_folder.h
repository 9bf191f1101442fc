/* run_folder.h: the folder that a run writes to.
 *
 *   OUT/config.conf      every option of the last start; the header of the file says how to do it again
 *       metrics.jsonl    one JSON object per line
 *       checkpoints/     step-00001234/ ...
 *       lock             exists while a run works there: run_lock.h
 *       job              the batch job in which --resume never began the run: job.h
 */
#ifndef DT_LAUNCH_RUN_RUN_FOLDER_H
#define DT_LAUNCH_RUN_RUN_FOLDER_H

#include "launch/options/options.h"
#include "launch/run/job.h"
#include "launch/run/run_lock.h"

typedef struct dt_run_folder {
    char config[DT_PATH_BYTES + 32], new_config[DT_PATH_BYTES + 32], metrics[DT_PATH_BYTES + 32],
        checkpoints[DT_PATH_BYTES + 32], job[DT_PATH_BYTES + 32];
    char out[DT_PATH_BYTES];
    dt_run_lock *lock; /* on rank 0, while the folder is open; else NULL */
    /* until dt_run_folder_commit: what dt_run_folder_close undoes */
    char older[DT_PATH_BYTES + 32]; /* where the older run is now; "": there was none */
    size_t n_kept;                  /* the first bytes of `out`: the part of the path that existed before */
    bool had_metrics, had_checkpoints;
    bool committed;
} dt_run_folder;

/* Set the paths in folder `out`. */
void dt_run_folder_name(const char *out, dt_run_folder *folder);

/* Call on rank 0: whether `job` is a restart of the batch job in which --resume never began the run in the
 * folder. The caller then resumes that run, because a restarted job continues its work. */
bool dt_run_folder_is_restart(const dt_run_folder *folder, const dt_job *job);

/* Call on rank 0, while the other ranks of comm wait, after everything else that can stop a start. Creates
 * OUT and the folders above it, acquires OUT's lock, and writes config_text to OUT/config.conf.tmp, which
 * also shows that the folder is writable. With --resume never, an older run there is first renamed to
 * OUT.old-N (N: the first one free), and logged. If this fails, nothing has changed. DT_ERR_USAGE: OUT is not
 * a folder, or another run works there; DT_ERR_IO, with the path and the reason. */
dt_status dt_run_folder_open(const dt_options *options, const char *config_text, dt_comm *comm,
                             dt_run_folder *folder, dt_error *err);

/* Call on rank 0, after the checkpoint to resume from was loaded: renames config.conf.tmp to config.conf;
 * where --resume never begins a run, also writes OUT/job. goes_on: the run resumes; first log each option
 * that has another value in the old config.conf. DT_ERR_IO, also if the lock is lost: then nothing is
 * changed. */
dt_status dt_run_folder_commit(const dt_options *options, dt_run_folder *folder, bool goes_on, dt_error *err);

/* Release the lock. Before dt_run_folder_commit, undo what dt_run_folder_open has done: remove
 * config.conf.tmp, and the files and folders of this start that are still empty; an older run gets its name
 * back. If the lock is lost, nothing is removed. Call it after the sinks and stores are closed. Does
 * nothing if the folder is not open. */
void dt_run_folder_close(dt_run_folder *folder);

#endif
