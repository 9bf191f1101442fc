/* reader.h: finds the checkpoints in a folder that the user names, and reads one of them tensor by tensor.
 * For one process, without MPI.
 *
 *   dt_checkpoints g;
 *   DT_TRY(dt_checkpoints_open("runs/demo", &g, err));
 *   DT_TRY_OR_FAIL(s, dt_checkpoints_newest_whole(&g, -1, &reader, err));
 *   const dt_manifest *m = dt_checkpoint_reader_manifest(reader);
 *   s = dt_checkpoint_reader_get(reader, 0, values, err);       values[m->tensors[0].n_elems]
 *   fail: dt_checkpoint_reader_close(reader);
 *   dt_checkpoints_close(&g);
 *
 * Reading needs memory for one shard.
 */
#ifndef DT_LAUNCH_CHECKPOINTS_READER_H
#define DT_LAUNCH_CHECKPOINTS_READER_H

#include "core/store.h"
#include "launch/options/options.h"

#define DT_CHECKPOINTS_MAX 1024 /* the newest ones of a folder; others are ignored */

/* A folder of checkpoints. */
typedef struct dt_checkpoints_folder {
    char path[DT_PATH_BYTES + 32];
    bool is_mirror; /* it is the run's --checkpoint-mirror */
    dt_store *store;
} dt_checkpoints_folder;

typedef struct dt_checkpoints {
    char run[DT_PATH_BYTES]; /* the run's folder, if the user named one; else "" */
    dt_checkpoints_folder folders[2];
    int n_folders;
    int64_t only_step; /* if the user named one checkpoint's folder: its step; else -1 */
} dt_checkpoints;

/* `dir`: a run's folder, a folder of checkpoints, or one checkpoint's folder. In a run's folder, config.conf
 * decides: its --checkpoint-dir (by default checkpoints/) and its --checkpoint-mirror. Reads no other file.
 * The caller calls dt_checkpoints_close. DT_ERR_USAGE: no such folder; DT_ERR_MEMORY. */
dt_status dt_checkpoints_open(const char *dir, dt_checkpoints *g, dt_error *err);
void dt_checkpoints_close(dt_checkpoints *g); /* a zeroed one is fine */

/* List the steps of the checkpoints in g->folders[folder], newest first; *n of them. */
dt_status dt_checkpoints_list(const dt_checkpoints *g, int folder, int64_t steps[DT_CHECKPOINTS_MAX],
                              int64_t *n, dt_error *err);

typedef struct dt_checkpoint_reader dt_checkpoint_reader;

/* Verify all shards of the checkpoint of `step` and open it. -1: the newest one that is whole; logs a warning
 * for each newer one that is not. Where one folder lacks a shard, the other one's is used. `g` must outlive
 * the reader. DT_ERR_USAGE: there is no checkpoint, or none of this step; DT_ERR_FORMAT: none is whole;
 * DT_ERR_UNSUPPORTED: a newer dtrain wrote it (older ones are not tried then); DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_checkpoints_newest_whole(const dt_checkpoints *g, int64_t step, dt_checkpoint_reader **reader,
                                      dt_error *err);
void dt_checkpoint_reader_close(dt_checkpoint_reader *reader); /* NULL is fine */

const dt_manifest *dt_checkpoint_reader_manifest(const dt_checkpoint_reader *reader); /* the reader's */

/* Read a whole tensor. In the order of the manifest each shard but the first is read once more, and verified
 * once more; another order reads shards repeatedly. This is the `get` of a dt_state_io whose context is the
 * reader. */
dt_status dt_checkpoint_reader_get(void *reader, int64_t tensor, float *values, dt_error *err);

#endif
