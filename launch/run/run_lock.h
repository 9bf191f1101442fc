/* run_lock.h: one run at a time in a folder: a run's, and those of its checkpoints.
 *
 *   dt_run_lock *lock;
 *   DT_TRY(dt_run_lock_acquire("out", "runs/demo", comm, &lock, err));   on rank 0
 *   dt_run_lock_release(lock);
 *
 * The file `lock` in there holds the host, the process and when that began, and a count that a thread of its
 * owner raises every two seconds. A lock is stale when its process is gone (on this host: no such process, a
 * zombie, or another one with its number), or, on another host, when its count has stood still while we
 * looked for a while: no clocks are compared, and no file system's locks are trusted (NFS, Lustre).
 */
#ifndef DT_LAUNCH_RUN_RUN_LOCK_H
#define DT_LAUNCH_RUN_RUN_LOCK_H

#include "core/comm.h"

typedef struct dt_run_lock dt_run_lock;

/* Take over a stale lock (a log line says whose) or make a new one. Blocks for some seconds where a lock is
 * another host's, and tells the ranks of comm (NULL: there are none), who wait for this one, that it is
 * alive. The folder is there. option: which one named it, for messages. DT_ERR_USAGE: another run has it,
 * with its host and process; DT_ERR_IO. */
dt_status dt_run_lock_acquire(const char *option, const char *folder, dt_comm *comm, dt_run_lock **lock,
                              dt_error *err);
void dt_run_lock_release(dt_run_lock *lock); /* NULL is fine; removes the file if it is still ours */

#endif
