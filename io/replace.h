/* replace.h: gives a file that the user has named new content, as a whole or not at all.
 *
 *   DT_TRY(dt_replace_file("plan.html", text, bytes, err));
 *
 * The content is written to PATH.tmp beside the file, fsynced, and renamed. Where PATH is a link, the file
 * that it leads to is replaced, and the link stays. A file that is there keeps its mode, and its owner as
 * far as the system allows. What is no regular file (a folder, a device, a FIFO, /dev/stdout) is refused,
 * since the rename would put a file in its place. Local; blocks for the disk.
 */
#ifndef DT_IO_REPLACE_H
#define DT_IO_REPLACE_H

#include "core/base/error.h"
#include "io/durable.h"

/* Writes the path of the file that a rename has to replace: `path` itself, or where its links lead, which may
 * be no file yet. DT_ERR_IO: what is there cannot be replaced, or there is no folder for it; DT_ERR_USAGE: a
 * path is too long. */
dt_status dt_replace_target(const char *path, char target[DT_DURABLE_PATH_BYTES], dt_error *err);

/* Creates `temporary`, which will be renamed to `target`, with the mode and owner of the file that is there.
 * `flags`: O_WRONLY or O_RDWR. The caller closes *fd. DT_ERR_IO. */
dt_status dt_replace_open(const char *target, const char *temporary, int flags, int *fd, dt_error *err);

/* DT_ERR_IO, DT_ERR_USAGE: the older file is as it was, and no PATH.tmp remains. */
dt_status dt_replace_file(const char *path, const void *data, int64_t bytes, dt_error *err);

#endif
