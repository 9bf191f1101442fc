/* run_lock.h: allows one run at a time in a folder: in the run's folder, and in those of its checkpoints.
 *
 *   dt_run_lock *lock;
 *   DT_TRY(dt_run_lock_acquire("out", "runs/demo", comm, &lock, err));   on rank 0
 *   dt_run_lock_release(lock);
 *
 * The file `lock` in the folder holds the owner's host, process number and start time, and a heartbeat: a
 * count that a thread of the owner raises every two seconds. A lock of this host is stale if no process with
 * that number and start time runs, or if it is a zombie. A lock of another host is stale if its heartbeat
 * stands still for ten seconds. This compares no clocks and needs no locks of the file system (NFS, Lustre).
 */
#ifndef DT_LAUNCH_RUN_RUN_LOCK_H
#define DT_LAUNCH_RUN_RUN_LOCK_H

#include "core/comm.h"

typedef struct dt_run_lock dt_run_lock;

/* Write a new lock, or take over a stale one (a log line names its owner). The folder must exist. Where the
 * lock is another host's, this blocks for up to ten seconds and meanwhile reports progress to the ranks of
 * comm (NULL: none), which wait for this rank. option: the one that named the folder, for messages.
 * DT_ERR_USAGE: another run has the lock, with its host and process; DT_ERR_IO. */
dt_status dt_run_lock_acquire(const char *option, const char *folder, dt_comm *comm, dt_run_lock **lock,
                              dt_error *err);
void dt_run_lock_release(
    dt_run_lock *lock); /* NULL is fine; removes the file if this process still owns it */

#endif
