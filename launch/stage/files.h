/* files.h: the files of a target on this node: what is whole, writing, checking, naming.
 *
 *   DT_TRY(dt_stage_files_open(folder, &list, &files, err));
 *   dt_stage_files_bits(files)                        what is there, for plan.h
 *   DT_TRY(dt_stage_files_put(files, &piece, data, NULL, err));          any thread
 *   DT_TRY(dt_stage_files_finish(files, err));        all that was put is on the disk, under its name
 *   dt_stage_files_close(files);
 *
 * A file gets its name only after its bytes are complete, checked and on the disk (fsync): a file with a
 * name is whole, whatever happens. Small files are written without a name; a thread makes all that have
 * come so far durable by one syncfs, and then names them, while others are written: a million files need
 * some hundred syncs. Where the kernel does not report errors of syncfs (before Linux 5.8), and for a few
 * files, each is fsynced. A large object is written in place into an unfinished file; its parts are
 * recorded in the journal after a sync.
 *
 * After a kill -9 or a power cut, what has its name and its record in the journal is not read again. A
 * record is checked against the file's size and time of change: a file that was edited since is replaced.
 */
#ifndef DT_LAUNCH_STAGE_FILES_H
#define DT_LAUNCH_STAGE_FILES_H

#include "io/durable.h"
#include "launch/stage/names.h"
#include "launch/stage/plan.h"
#include "launch/stage/target.h"

typedef struct dt_stage_files dt_stage_files;

typedef struct dt_stage_files_counts {
    int64_t objects, bytes; /* whole, with their name, all of them */
    int64_t syncs;          /* fsync and syncfs so far */
} dt_stage_files_counts;

/* Reads the journal and looks at the files. Borrows `list`, whose objects have paths. Starts the thread.
 * DT_ERR_IO, DT_ERR_MEMORY, DT_ERR_USAGE (a path with the folder is too long). */
dt_status dt_stage_files_open(const char *folder, const dt_stage_listing *list, dt_stage_files **files,
                              dt_error *err);

/* What was there when it was opened. Valid until close. */
const unsigned char *dt_stage_files_bits(const dt_stage_files *files);

/* Where the bytes of an object that has its bit are (part -1), or of a part that has its bit.
 * DT_ERR_USAGE: the path is too long. */
dt_status dt_stage_files_path(const dt_stage_files *files, int64_t object, int64_t part,
                              char path[DT_DURABLE_PATH_BYTES], dt_error *err);

/* Checks that the disk has space for what is missing of the objects for which keeps[object] is true (NULL:
 * all): bytes and, where the file system has a fixed number, files. DT_ERR_IO: it has not, with both
 * numbers. *missing: bytes. */
dt_status dt_stage_files_check_space(const dt_stage_files *files, const bool *keeps, int64_t *missing,
                                     dt_error *err);

/* Writes a piece. Small objects, and all parts when the last has come, are compared with the object's
 * checksum, or with `sum`, which the source has said in its answer (NULL: none). A piece that is there
 * already is dropped. Any thread. DT_ERR_IO: the disk refuses; DT_ERR_DATA: a checksum is wrong;
 * DT_ERR_MEMORY; an error of the naming thread. */
dt_status dt_stage_files_put(dt_stage_files *files, const dt_stage_piece *piece, const void *data,
                             const dt_object_checksum *sum, dt_error *err);

/* Blocks until everything that was put has its name or its record. Errors as put. */
dt_status dt_stage_files_finish(dt_stage_files *files, dt_error *err);

void dt_stage_files_get_counts(dt_stage_files *files, dt_stage_files_counts *counts); /* any thread */

/* Stops the thread after what it does; waits for it. NULL is fine. */
void dt_stage_files_close(dt_stage_files *files);

#endif
