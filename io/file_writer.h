/* file_writer.h: writes a new file from its first byte to its last; the disk works while the caller computes
 * the bytes that come next.
 *
 *   const dt_file_writer_options options = {.fd = fd, .path = path, .bytes = bytes, .largest = largest};
 *   DT_TRY(dt_file_writer_create(&options, &writer, err));
 *   void *room = dt_file_writer_room(writer, n);            fill it, and then, as often as needed:
 *   status = dt_file_writer_append(writer, n, err);
 *   status = dt_file_writer_finish(writer, hex, err);
 *   status = dt_file_writer_sync_and_check(writer, err);
 *   dt_file_writer_destroy(writer);
 *
 * The bytes are hashed in the processor's cache, where the caller has just put them. A thread of the
 * writer hands them to the disk in blocks of some megabytes: past the page cache (O_DIRECT) where the file
 * system can do that; elsewhere into the page cache, and write-back begins at once (sync_file_range). So an
 * fsync after the last block has little left to do. Then the same thread reads the file back, past the page
 * cache, too, into the same memory, a block while the one before is hashed. So the page cache keeps what the
 * training reads. A file of less than a block is written and read without a thread, and remains there.
 *
 * One thread at a time may use a writer. The functions block. Errors: DT_ERR_IO as in io/durable.h.
 */
#ifndef DT_IO_FILE_WRITER_H
#define DT_IO_FILE_WRITER_H

#include "core/base/error.h"

#include <stdint.h>

typedef struct dt_file_writer dt_file_writer;

/* The buffers of a writer, for its next file: new memory costs much of the processor time of a file, since
 * the system clears it. Zeros: none yet. */
typedef struct dt_file_writer_memory {
    char *buffers[2];
    int64_t capacity; /* bytes of each */
} dt_file_writer_memory;

void dt_file_writer_memory_clear(dt_file_writer_memory *memory);

typedef struct dt_file_writer_options {
    int fd;                        /* of an empty file, open for reading and writing; borrowed */
    const char *path;              /* for messages; borrowed */
    int64_t bytes;                 /* the size that the file is going to have; reserved at once */
    int64_t largest;               /* the most bytes that one call of dt_file_writer_room asks for */
    dt_file_writer_memory *memory; /* that the writer uses, alone, and may enlarge; borrowed. NULL: its own */
    /* Fault points (core/base/fault.h) that every write passes: half of the bytes are written, then EIO;
     * ENOSPC. Then EIO of the fsync, and of reading the file back. NULL: none. */
    const char *fault_write, *fault_space, *fault_fsync, *fault_hash;
} dt_file_writer_options;

/* Reserves the file's blocks, so that a full disk is detected early. The caller destroys the writer. Takes
 * memory for two blocks and twice `largest`, which stays in options.memory. DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_file_writer_create(const dt_file_writer_options *options, dt_file_writer **writer,
                                dt_error *err);

/* Where the next bytes of the file go: memory for `bytes` of them, at most `largest`. Valid until the next
 * call. */
void *dt_file_writer_room(dt_file_writer *writer, int64_t bytes);

/* The first `bytes` of the last room are the file's next bytes. Returns errors of earlier writes, too. */
dt_status dt_file_writer_append(dt_file_writer *writer, int64_t bytes, dt_error *err);

/* Wait until the system has all bytes. hex: the XXH3-128 of what was appended. No fsync. DT_ERR_INTERNAL:
 * more or fewer bytes than options.bytes were appended. */
dt_status dt_file_writer_finish(dt_file_writer *writer, char hex[33], dt_error *err);

/* fsync the file, read it back from the disk and not from the page cache, and compare its hash with that
 * of what was written. Call it after dt_file_writer_finish. DT_ERR_IO: another one; DT_ERR_FORMAT:
 * shorter. */
dt_status dt_file_writer_sync_and_check(dt_file_writer *writer, dt_error *err);

/* Waits for a write that is under way; NULL is fine. */
void dt_file_writer_destroy(dt_file_writer *writer);

#endif
