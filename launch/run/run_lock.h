/* run_lock.h: allows one run at a time in a folder: in the run's folder, and in those of its checkpoints.
 *
 *   dt_run_lock *lock;
 *   DT_TRY(dt_run_lock_acquire("out", "runs/demo", comm, &lock, err));   on rank 0
 *   DT_TRY(dt_run_lock_check(lock, err));                                before each change
 *   dt_run_lock_release(lock);
 *
 * The file `lock` in the folder has two locks in one:
 *   - The kernel's: an open file description lock (F_OFD_SETLK), held while the process lives. It works on
 *     local disks whatever namespaces the processes are in, and between hosts on NFS and other file systems
 *     that support it. A process that is stopped (SIGSTOP) keeps it.
 *   - A line in the file (lock_owner.h) with a random id and a heartbeat, a count that a thread raises
 *     every two seconds. It counts where the kernel's lock does not work, or not between hosts, and it
 *     names the owner.
 *
 * A start gets the lock if no process has it, or if the owner is dead. A dead owner is recognised at once
 * where it ran on this kernel since it was booted and held the kernel's lock, or ran in this PID namespace.
 * Otherwise, and on another host, its heartbeat must stand still for ten seconds, in at least twenty looks
 * at the file. No clocks of different hosts are compared, and a jump of the time of day changes nothing.
 *
 * What this guarantees: two runs never have the lock at the same time where the kernel's lock works between
 * them, that is on one host, and on NFS with locks. There is one exception: an owner on another host whose
 * heartbeat has stopped loses the lock even if NFS still holds it for that host. Where the kernel's lock
 * does not work, of two starts at the same moment one finds the other's id after a second, at the latest
 * with its next heartbeat, and leaves.
 *
 * An owner that was paused, or cut off from the folder, for ten seconds can lose the lock. So it checks the
 * file before each commit, rename and removal (core/guard.h), and changes nothing once another id is there,
 * or none. What is not covered: a pause between that check and the system call after it.
 */
#ifndef DT_LAUNCH_RUN_RUN_LOCK_H
#define DT_LAUNCH_RUN_RUN_LOCK_H

#include "core/comm.h"
#include "core/guard.h"

typedef struct dt_run_lock dt_run_lock;

/* Acquire the lock of a folder that exists. A log line names a dead owner. Blocks for up to two seconds
 * while a killed owner ends, and for ten if only the heartbeat can show whether the owner lives. Meanwhile
 * it reports progress to the ranks of comm (NULL: none), which wait for this rank. option: the option that
 * named the folder, for messages. DT_ERR_USAGE: another run has the lock, with its host and process, or
 * `lock` is a link or no file; DT_ERR_IO; DT_ERR_MEMORY. */
dt_status dt_run_lock_acquire(const char *option, const char *folder, dt_comm *comm, dt_run_lock **lock,
                              dt_error *err);

/* Read the file: does this process still own the lock? Thread-safe. DT_ERR_IO: no, and who does; so from
 * then on. A file that cannot be read for another reason than that it is gone decides nothing: DT_OK. */
dt_status dt_run_lock_check(dt_run_lock *lock, dt_error *err);

/* As dt_run_lock_check, but if a check in the last 2.5 seconds (of any thread, and of a clock that counts
 * while the machine sleeps) was fine, the file is not read. */
dt_status dt_run_lock_check_recent(dt_run_lock *lock, dt_error *err);

/* Rename the lock's folder, while the lock is held. DT_ERR_IO: it keeps its name, or the lock is lost. */
dt_status dt_run_lock_rename_folder(dt_run_lock *lock, const char *to, dt_error *err);

/* Release the lock; removes the file if this process still owns it. NULL is fine. */
void dt_run_lock_release(dt_run_lock *lock);

/* All locks that a process holds, as one guard. A zeroed one has none, and refuses nothing. */
#define DT_RUN_LOCKS_MAX 3

typedef struct dt_run_locks {
    dt_run_lock *locks[DT_RUN_LOCKS_MAX]; /* borrowed; NULL: none */
    dt_guard now;                         /* dt_run_lock_check of all: before what cannot be undone */
    dt_guard recent;                      /* dt_run_lock_check_recent of all: in every step */
} dt_run_locks;

/* Set both guards, whose context is `locks` itself. */
void dt_run_locks_init(dt_run_locks *locks);

#endif
