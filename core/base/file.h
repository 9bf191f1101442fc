/* file.h: opens files by name without waiting for what is not a file.
 *
 *   int fd = -1;
 *   DT_TRY(dt_file_open(path, O_RDONLY, 0, &fd, err));
 *
 * open(2) of a FIFO waits until another process opens the other end, for ever if none does. So every file
 * that dtrain opens by a name from outside (an option, a manifest, a folder that it lists) is opened here.
 * Files under /proc and /sys are opened as usual: the kernel names them.
 *
 * The descriptor is never 0, 1 or 2: a program that was started with stderr closed would otherwise write its
 * messages into its own data. It is closed in a child (O_CLOEXEC).
 *
 * Errors: DT_ERR_IO with the path and the reason; errno is then the reason, and EINVAL for what is not a
 * regular file. The functions may be called in any thread; none waits for anything but the file system
 * itself.
 */
#ifndef DT_CORE_BASE_FILE_H
#define DT_CORE_BASE_FILE_H

#include "core/base/error.h"

#include <stdio.h>
#include <sys/types.h>

/* open(2) of a regular file, or of a link to one. `flags` and `mode` are those of open(2). The caller closes
 * *fd. */
dt_status dt_file_open(const char *path, int flags, mode_t mode, int *fd, dt_error *err);

/* As dt_file_open, with `path` relative to the open folder `folder` (openat(2)). `shown` is the name in
 * messages. */
dt_status dt_file_open_at(int folder, const char *path, const char *shown, int flags, mode_t mode, int *fd,
                          dt_error *err);

/* open(2) of a folder to read, with more `flags`; again after EINTR. Returns -1 with errno on failure. The
 * caller closes the descriptor. */
int dt_file_open_folder(const char *path, int flags);

/* close(2) of a file that was written. Returns -1 with errno if the disk refused something (NFS reports a
 * full quota here). After EINTR, Linux has closed the file: that is no error for a file that was fsynced. */
int dt_file_close(int fd);

/* As dt_file_open to read, as a stream. The caller closes it with fclose. */
dt_status dt_file_open_stream(const char *path, FILE **stream, dt_error *err);

#endif
