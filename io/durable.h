/* durable.h: files that are there after a power cut, and messages that say what the disk refused. Used by
 * what writes in io/.
 *
 *   DT_TRY(dt_durable_write(fd, path, data, bytes, 0, err));
 *   DT_TRY(dt_durable_sync(fd, path, err));
 *   DT_TRY(dt_durable_rename("x.tmp", "x", err));
 *
 * Everything here is local and blocking, and safe in any thread. Errors are DT_ERR_IO with the path and the
 * system's reason; a full disk says how much was wanted and how much is free.
 */
#ifndef DT_IO_DURABLE_H
#define DT_IO_DURABLE_H

#include "core/base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define DT_DURABLE_PATH_BYTES 4096 /* Linux's PATH_MAX */

/* printf into path[DT_DURABLE_PATH_BYTES]; DT_ERR_USAGE if it does not fit. */
dt_status dt_durable_path(char *path, dt_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Write all of data at offset, however many calls that takes. */
dt_status dt_durable_write(int fd, const char *path, const void *data, int64_t bytes, int64_t offset,
                           dt_error *err);

/* Read exactly so many bytes at offset; a file that ends before is DT_ERR_FORMAT. */
dt_status dt_durable_read(int fd, const char *path, void *data, int64_t bytes, int64_t offset, dt_error *err);

/* Claim the blocks for `bytes` without changing the file's size, so that a full disk is known before the work
 * is done. A file system that cannot do so is no error. */
dt_status dt_durable_reserve(int fd, const char *path, int64_t bytes, dt_error *err);

/* fsync of an open file. */
dt_status dt_durable_sync(int fd, const char *path, dt_error *err);

/* fsync of the folder `path`, or of the folder that holds `path`, which makes its entries durable. File
 * systems that know no fsync of folders are excused. */
dt_status dt_durable_sync_folder(const char *path, dt_error *err);
dt_status dt_durable_sync_parent(const char *path, dt_error *err);

/* rename(2) over whatever has the new name, then fsync of the folder that holds it. */
dt_status dt_durable_rename(const char *from, const char *to, dt_error *err);

/* Whether `path` is a folder, or a link to one. */
bool dt_durable_is_folder(const char *path);

/* Make a folder and those above it that are missing, each durable in its parent. There already: fine. */
dt_status dt_durable_make_folder(const char *path, dt_error *err);

/* XXH3-128 of the first `bytes` of a file as 32 hexadecimal digits; and of memory. */
dt_status dt_durable_hash(int fd, const char *path, int64_t bytes, char hex[33], dt_error *err);
void dt_durable_hash_memory(const void *data, int64_t bytes, char hex[33]);

/* The message for a write that failed with `error_number`: "PATH: No space left on device: 93.1 MB wanted,
 * 12.0 MB free". */
dt_status dt_durable_write_failed(int fd, const char *path, int error_number, int64_t wanted_bytes,
                                  dt_error *err);

#endif
