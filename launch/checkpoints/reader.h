/* reader.h: what a folder that the user names holds of checkpoints, and one generation of it, read tensor by
 * tensor. No MPI, one process.
 *
 *   dt_generations g;
 *   DT_TRY(dt_generations_open("runs/demo", &g, err));
 *   DT_TRY_OR_FAIL(s, dt_generations_newest_whole(&g, -1, &reader, err));
 *   const dt_manifest *m = dt_generation_reader_manifest(reader);
 *   s = dt_generation_reader_get(reader, 0, values, err);       values[m->tensors[0].n_elems]
 *   fail: dt_generation_reader_close(reader);
 *   dt_generations_close(&g);
 *
 * Reading takes memory for one shard.
 */
#ifndef DT_LAUNCH_CHECKPOINTS_READER_H
#define DT_LAUNCH_CHECKPOINTS_READER_H

#include "core/store.h"
#include "launch/options/options.h"

#define DT_GENERATIONS_MAX 1024 /* looked at in a folder */

/* A folder of generations. */
typedef struct dt_generations_folder {
    char path[DT_PATH_BYTES + 32];
    bool is_mirror; /* --checkpoint-mirror of the run */
    dt_store *store;
} dt_generations_folder;

typedef struct dt_generations {
    char run[DT_PATH_BYTES]; /* the run's folder, where the user named one; else "" */
    dt_generations_folder folders[2];
    int n_folders;
    int64_t only_step; /* the user named one generation's folder; -1: all of them */
} dt_generations;

/* `dir` is a run's folder (its checkpoints/, or what its config.conf says for --checkpoint-dir, and the
 * --checkpoint-mirror), a folder of generations, or one generation's folder. Nothing is read but config.conf.
 * DT_ERR_USAGE: no such folder; DT_ERR_MEMORY. */
dt_status dt_generations_open(const char *dir, dt_generations *g, dt_error *err);
void dt_generations_close(dt_generations *g); /* a zeroed one is fine */

/* The steps in one of the folders, newest first; *n of them. */
dt_status dt_generations_list(const dt_generations *g, int folder, int64_t steps[DT_GENERATIONS_MAX],
                              int64_t *n, dt_error *err);

typedef struct dt_generation_reader dt_generation_reader;

/* Verify all shards of the generation of `step` and open it; -1: the newest that is whole, and a warning for
 * each that is passed over. A shard that one folder lacks may come from the other. DT_ERR_USAGE: there is
 * none, or not of this step; DT_ERR_FORMAT: none is whole; DT_ERR_IO, DT_ERR_UNSUPPORTED (a newer dtrain
 * wrote it: not passed over), DT_ERR_MEMORY. */
dt_status dt_generations_newest_whole(const dt_generations *g, int64_t step, dt_generation_reader **reader,
                                      dt_error *err);
void dt_generation_reader_close(dt_generation_reader *reader); /* NULL is fine */

const dt_manifest *dt_generation_reader_manifest(const dt_generation_reader *reader); /* owned by it */

/* A whole tensor. Fast in the order of the manifest; another order reads shards again. A dt_state_io's get,
 * with the reader for its context. */
dt_status dt_generation_reader_get(void *reader, int64_t tensor, float *values, dt_error *err);

#endif
