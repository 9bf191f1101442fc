/* file_reader.h: reads files that are not in the page cache past it (O_DIRECT): the disk writes into the
 * caller's memory, and no processor copies.
 *
 *   if (!dt_file_is_cached(fd, bytes))
 *       status = dt_file_read_past_cache(fd, path, at, bytes, consume, context, err);
 *
 * Where a file system cannot do that, the same functions read as usual. They block. Errors: DT_ERR_IO,
 * DT_ERR_FORMAT for a file that is shorter (io/durable.h), DT_ERR_MEMORY.
 */
#ifndef DT_IO_FILE_READER_H
#define DT_IO_FILE_READER_H

#include "core/base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define DT_FILE_PAGE_BYTES ((int64_t)4096) /* offsets, sizes and addresses of O_DIRECT are multiples of it */

/* Set O_DIRECT, or clear it; false: the file system refuses. */
bool dt_file_set_direct(int fd, bool direct);

/* Read `bytes` at `at`, with O_DIRECT if *direct, which becomes false if the file system refuses after all.
 * With it `at` and `data` are multiples of DT_FILE_PAGE_BYTES, and there is room for the whole last page. */
dt_status dt_file_read_block(int fd, const char *path, bool *direct, char *data, int64_t bytes, int64_t at,
                             dt_error *err);

/* Whether the page cache has the file's first `bytes`, by a few samples. True where the system cannot
 * report it. */
bool dt_file_is_cached(int fd, int64_t bytes);

/* Give [at, at + bytes), both multiples of DT_FILE_PAGE_BYTES, to `consume`, part after part in their order,
 * in the caller's thread; others read the next parts meanwhile. After an error some parts may have been
 * consumed. */
typedef void dt_file_consume(void *context, const char *part, int64_t bytes);
dt_status dt_file_read_past_cache(int fd, const char *path, int64_t at, int64_t bytes,
                                  dt_file_consume *consume, void *context, dt_error *err);

#endif
