/* target.h: the folder that a source is copied to, and dtrain's own folder in it.
 *
 *   dt_stage_target target;
 *   DT_TRY(dt_stage_target_open(folder, source, &target, err));      makes it, and holds its lock
 *   dt_stage_target_close(&target);
 *
 * In FOLDER/.dtrain-stage/ are:
 *
 *   source      what FOLDER is a copy of; another source is refused
 *   journal     what is whole (journal.h)
 *   parts/      unfinished large files
 *   new/        small files that have no name yet
 *   split       which part of how many this node keeps (--split)
 *   names       objects whose path is not their key
 *   complete    when all was whole, written at the end of a copy and removed at the beginning of the next one
 *   lock        held while a copy is made (flock)
 */
#ifndef DT_LAUNCH_STAGE_TARGET_H
#define DT_LAUNCH_STAGE_TARGET_H

#include "core/base/config.h"
#include "core/comm.h"

#include <stdbool.h>
#include <stdint.h>

enum { DT_STAGE_FOLDER_BYTES = DT_PATH_BYTES + 32 }; /* of .dtrain-stage and what is in it */

typedef struct dt_stage_target {
    char folder[DT_PATH_BYTES];
    int lock;        /* -1: not held */
    bool folds_case; /* the disk does not tell A from a */
    bool is_memory;  /* a tmpfs */
    int part, of;    /* which part of how many it keeps, by an earlier start; -1: none, or all */
} dt_stage_target;

/* The record that all of a source is in a folder. */
typedef struct dt_stage_complete {
    char source[DT_PATH_BYTES];
    int64_t objects, bytes;
    int part, of; /* 0 of 1: all */
    double unix_s;
} dt_stage_complete;

/* Formats the path of a file in FOLDER/.dtrain-stage. `name` is one of the list above. */
void dt_stage_target_file(const char *folder, const char *name, char path[DT_STAGE_FOLDER_BYTES]);

/* A source as it is recorded and shown: a folder's absolute path; an address without slashes at its end,
 * and without its query, which may hold a signature. */
void dt_stage_source_name(const char *source, char name[DT_PATH_BYTES]);

/* Makes the folder and dtrain's own in it. DT_ERR_IO: the disk refuses; DT_ERR_USAGE: the path is too
 * long. */
dt_status dt_stage_target_make(const char *folder, dt_error *err);

/* Collective, after dt_stage_target_make on one rank of each host, `leads`. *writer: whether this rank is
 * the one that writes to the folder: one on each host, or one for all hosts that see the same folder. */
dt_status dt_stage_target_choose_writer(const char *folder, dt_comm *comm, bool leads, bool *writer,
                                        dt_error *err);

/* For the writer. Takes the lock, and removes files without a name. DT_ERR_USAGE: another dtrain copies
 * into it now, or it is a copy of another source; DT_ERR_IO. */
dt_status dt_stage_target_open(const char *folder, const char *source, dt_stage_target *target,
                               dt_error *err);
void dt_stage_target_close(dt_stage_target *target);

/* Records which part of how many is kept here. DT_ERR_IO. */
dt_status dt_stage_target_set_split(const char *folder, int part, int of, dt_error *err);

/* Replaces the record; `complete` NULL: removes it. DT_ERR_IO. */
dt_status dt_stage_target_set_complete(const char *folder, const dt_stage_complete *complete, dt_error *err);

/* Whether there is such a record. */
bool dt_stage_target_get_complete(const char *folder, dt_stage_complete *complete);

#endif
