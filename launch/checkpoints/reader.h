/* reader.h: what a folder that the user names holds of checkpoints, and one checkpoint of it, read tensor by
 * tensor. No MPI, one process.
 *
 *   dt_checkpoints g;
 *   DT_TRY(dt_checkpoints_open("runs/demo", &g, err));
 *   DT_TRY_OR_FAIL(s, dt_checkpoints_newest_whole(&g, -1, &reader, err));
 *   const dt_manifest *m = dt_checkpoint_reader_manifest(reader);
 *   s = dt_checkpoint_reader_get(reader, 0, values, err);       values[m->tensors[0].n_elems]
 *   fail: dt_checkpoint_reader_close(reader);
 *   dt_checkpoints_close(&g);
 *
 * Reading takes memory for one shard.
 */
#ifndef DT_LAUNCH_CHECKPOINTS_READER_H
#define DT_LAUNCH_CHECKPOINTS_READER_H

#include "core/store.h"
#include "launch/options/options.h"

#define DT_CHECKPOINTS_MAX 1024 /* looked at in a folder */

/* A folder of checkpoints. */
typedef struct dt_checkpoints_folder {
    char path[DT_PATH_BYTES + 32];
    bool is_mirror; /* --checkpoint-mirror of the run */
    dt_store *store;
} dt_checkpoints_folder;

typedef struct dt_checkpoints {
    char run[DT_PATH_BYTES]; /* the run's folder, where the user named one; else "" */
    dt_checkpoints_folder folders[2];
    int n_folders;
    int64_t only_step; /* the user named one checkpoint's folder; -1: all of them */
} dt_checkpoints;

/* `dir` is a run's folder (its checkpoints/, or what its config.conf says for --checkpoint-dir, and the
 * --checkpoint-mirror), a folder of checkpoints, or one checkpoint's folder. Nothing is read but config.conf.
 * DT_ERR_USAGE: no such folder; DT_ERR_MEMORY. */
dt_status dt_checkpoints_open(const char *dir, dt_checkpoints *g, dt_error *err);
void dt_checkpoints_close(dt_checkpoints *g); /* a zeroed one is fine */

/* The steps in one of the folders, newest first; *n of them. */
dt_status dt_checkpoints_list(const dt_checkpoints *g, int folder, int64_t steps[DT_CHECKPOINTS_MAX],
                              int64_t *n, dt_error *err);

typedef struct dt_checkpoint_reader dt_checkpoint_reader;

/* Verify all shards of the checkpoint of `step` and open it; -1: the newest that is whole, and a warning for
 * each that is passed over. A shard that one folder lacks may come from the other. DT_ERR_USAGE: there is
 * none, or not of this step; DT_ERR_FORMAT: none is whole; DT_ERR_IO, DT_ERR_UNSUPPORTED (a newer dtrain
 * wrote it: not passed over), DT_ERR_MEMORY. */
dt_status dt_checkpoints_newest_whole(const dt_checkpoints *g, int64_t step, dt_checkpoint_reader **reader,
                                      dt_error *err);
void dt_checkpoint_reader_close(dt_checkpoint_reader *reader); /* NULL is fine */

const dt_manifest *dt_checkpoint_reader_manifest(const dt_checkpoint_reader *reader); /* owned by it */

/* A whole tensor. Fast in the order of the manifest; another order reads shards again. A dt_state_io's get,
 * with the reader for its context. */
dt_status dt_checkpoint_reader_get(void *reader, int64_t tensor, float *values, dt_error *err);

#endif
