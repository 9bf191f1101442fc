/* durable.h: files that survive a power cut, and messages that say what the disk refused. For all of io/ that
 * writes.
 *
 *   DT_TRY(dt_durable_write(fd, path, data, bytes, 0, err));
 *   DT_TRY(dt_durable_sync(fd, path, err));
 *   DT_TRY(dt_durable_rename("x.tmp", "x", err));
 *
 * No function is collective; all block, and may be called in any thread. Errors are DT_ERR_IO with the path
 * and the system's reason; for a full disk also the bytes wanted and the bytes free.
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

/* Write all of data at an offset, in as many calls as that takes. */
dt_status dt_durable_write(int fd, const char *path, const void *data, int64_t bytes, int64_t offset,
                           dt_error *err);

/* Read exactly `bytes` at an offset. DT_ERR_FORMAT: the file is shorter. */
dt_status dt_durable_read(int fd, const char *path, void *data, int64_t bytes, int64_t offset, dt_error *err);

/* Reserve the blocks for `bytes` without changing the file's size, so that a full disk is detected early. A
 * file system that cannot reserve blocks is no error. */
dt_status dt_durable_reserve(int fd, const char *path, int64_t bytes, dt_error *err);

/* fsync of an open file. */
dt_status dt_durable_sync(int fd, const char *path, dt_error *err);

/* fsync of the folder `path`, or of the folder that contains `path`: its entries become durable. A file
 * system without fsync of folders is no error, nor is a folder that this user may write but not read. */
dt_status dt_durable_sync_folder(const char *path, dt_error *err);
dt_status dt_durable_sync_parent(const char *path, dt_error *err);

/* rename(2), replacing a file with the new name, then fsync of the folder that contains it. */
dt_status dt_durable_rename(const char *from, const char *to, dt_error *err);

/* Whether `path` is a folder, or a link to one. */
bool dt_durable_is_folder(const char *path);

/* Make a folder and the missing folders above it, each durable in its parent. An existing folder is no
 * error. */
dt_status dt_durable_make_folder(const char *path, dt_error *err);

/* The XXH3-128 of memory as 32 hexadecimal digits. */
void dt_durable_hash_memory(const void *data, int64_t bytes, char hex[33]);

/* The same of bytes that come one part after the other. The caller destroys the hasher (NULL is fine).
 * DT_ERR_MEMORY. */
typedef struct dt_durable_hasher dt_durable_hasher;
dt_status dt_durable_hasher_create(dt_durable_hasher **hasher, dt_error *err);
void dt_durable_hasher_reset(dt_durable_hasher *hasher); /* no bytes so far */
void dt_durable_hasher_add(dt_durable_hasher *hasher, const void *data, int64_t bytes);
void dt_durable_hasher_get(const dt_durable_hasher *hasher, char hex[33]); /* of all bytes so far */
void dt_durable_hasher_destroy(dt_durable_hasher *hasher);

/* dt_durable_read, and dt_durable_hasher_add while the bytes are in the processor's cache. */
dt_status dt_durable_read_hashed(int fd, const char *path, void *data, int64_t bytes, int64_t offset,
                                 dt_durable_hasher *hasher, dt_error *err);
/* The same without keeping the bytes. */
dt_status dt_durable_hash_part(int fd, const char *path, int64_t bytes, int64_t offset,
                               dt_durable_hasher *hasher, dt_error *err);

/* Fail with the message for a write that failed with `error_number`: "PATH: No space left on device: 93.1 MB
 * wanted, 12.0 MB free". */
dt_status dt_durable_write_failed(int fd, const char *path, int error_number, int64_t wanted_bytes,
                                  dt_error *err);

#endif
