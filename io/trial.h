/* trial.h: proves before a training that what it will write can be written.
 *
 *   DT_TRY(dt_trial_folder("runs/demo/checkpoints", err));
 *   DT_TRY(dt_trial_file("trained.safetensors", err));
 *
 * Permissions alone do not say it: a file system may be full, read-only or over its quota, refuse fsync or a
 * rename, or the names may be too long. So the calls of a checkpoint and of an export are made, on names of
 * their own, and what they made is removed again, also after an error. Local; the functions block as long as
 * the disk takes, and may be called in any thread.
 */
#ifndef DT_IO_TRIAL_H
#define DT_IO_TRIAL_H

#include "core/base/error.h"

/* Can checkpoints be committed in `folder`? Makes a folder in it, a file in that, writes, fsyncs, renames
 * and removes. Makes `folder` and the missing folders above it, which stay. DT_ERR_IO: the message names
 * the path and the system's reason; DT_ERR_USAGE: the path is too long. */
dt_status dt_trial_folder(const char *folder, dt_error *err);

/* Can a file be written beside `path`, or beside where its links lead, and take its name? Writes, fsyncs,
 * renames and removes files there; an existing file of that name is not touched. Errors as above, or
 * DT_ERR_IO: another user's file is in the way. */
dt_status dt_trial_file(const char *path, dt_error *err);

#endif
