/* load_internal.h: what the files of a load share. load.c calls the others, newest checkpoint first:
 *
 *   load_find.c      lists the folders, and reads and broadcasts manifests
 *   load_locate.c    verifies every shard and decides which rank reads it from where
 *   load_read.c      reads the shards and broadcasts them
 *   load_problems.c  keeps and logs what ranks find damaged or missing; find and locate call it, too
 *
 * Functions are collective unless their comment says local, and return the same on every rank. A damaged or
 * missing file that one rank finds is a problem, not an error: another host or the mirror may have the same
 * file whole. A status other than DT_OK ends the load.
 */
#ifndef DT_CORE_CHECKPOINT_LOAD_INTERNAL_H
#define DT_CORE_CHECKPOINT_LOAD_INTERNAL_H

#include "core/checkpoint/load.h"

#define DT_MAX_CHECKPOINTS 256 /* of a folder, the newest ones; --keep is far smaller */
#define DT_MAX_LOAD_PROBLEMS 8 /* of one rank and checkpoint; more lines would only hide the first ones */

/* Where a file is read from: location->store or location->mirror. */
enum { DT_LOAD_STORE, DT_LOAD_MIRROR, DT_N_LOAD_STORES };

/* A damaged or missing file of one checkpoint, as one rank found it. */
typedef struct dt_load_problem {
    int64_t shard; /* -1: the manifest */
    int from;      /* DT_LOAD_... */
    dt_error error;
} dt_load_problem;

/* The checkpoints of one folder, on a rank that lists it. Ranks that do not list it have n_steps 0. */
typedef struct dt_listing {
    int64_t steps[DT_MAX_CHECKPOINTS], n_steps; /* newest first */
    /* the step that dt_find_manifests was called with */
    bool there;  /* the folder has it */
    bool to_try; /* `manifest` was read, and dt_find_candidate has not returned it yet */
    dt_manifest manifest;
    char identity[33]; /* the manifest's; "": it cannot be read */
} dt_listing;

typedef struct dt_loading {
    dt_comm *comm;
    const dt_checkpoint_location *location;
    const dt_state_layout *layout;
    const dt_state_io *io;
    dt_listing listings[DT_N_LOAD_STORES];
    dt_load_problem problems[DT_MAX_LOAD_PROBLEMS]; /* this rank's; those of manifests first */
    int64_t n_problems, n_manifest_problems;

    /* the checkpoint that dt_find_candidate returned */
    dt_manifest manifest;
    bool offers[DT_N_LOAD_STORES]; /* this rank may find the checkpoint's shards there */
    int64_t *readers; /* [n_shards], the same on all ranks. r < size: rank r reads it from the store;
                         size + r: rank r reads it from the mirror; 2 size: no rank has it whole */
    float **kept; /* [n_shards] dt_alloc'ed: the elements of a shard that this rank has verified, so that it
                         reads the file once; NULL: it has not, or had no memory */
} dt_loading;

/* Local. NULL: there is no mirror. */
static inline dt_store *dt_load_store(const dt_loading *l, int from)
{
    return from == DT_LOAD_STORE ? l->location->store : l->location->mirror;
}

/* load_problems.c */

/* Local. Keep the problem and return DT_OK if a checkpoint may be skipped because of `status`
 * (dt_checkpoint_is_skippable); otherwise return `status`. */
dt_status dt_load_problem_add(dt_loading *l, int from, int64_t shard, dt_status status, const dt_error *err);
/* Rank 0 logs the problems of all ranks, one line for each: "checkpoint: ", before, the problem, after. */
dt_status dt_load_problems_log(dt_loading *l, const char *before, const char *after, dt_error *err);

/* load_find.c */

/* List the folders. */
dt_status dt_find_begin(dt_loading *l, dt_error *err);
/* *step: the newest step that any folder has and that is not later than *step, or -1. */
dt_status dt_find_step(dt_loading *l, int64_t *step, dt_error *err);
/* Read the manifests of `step`, on the ranks that list the folders. */
dt_status dt_find_manifests(dt_loading *l, int64_t step, dt_error *err);
/* The next of the different checkpoints that these manifests describe: two hosts may hold two attempts at
 * the same step. Fills l->manifest and l->offers on every rank. *there false: there are no more. */
dt_status dt_find_candidate(dt_loading *l, bool *there, dt_error *err);
/* Local. Free the manifests of the step. */
void dt_find_end(dt_loading *l);

/* load_locate.c: verify every shard of l->manifest on some rank, and fill l->readers and l->kept, which the
 * caller gives to dt_locate_end. *whole false: there is a
 * shard that no rank has whole; `why` names it and the reason. */
dt_status dt_locate_shards(dt_loading *l, bool *whole, dt_error *why, dt_error *err);
/* Local. Free l->readers and l->kept. */
void dt_locate_end(dt_loading *l);

/* load_read.c: give every tensor to l->io->set. *whole false: a read failed although the shard was verified,
 * or a tensor is not finite (state_check.h); `why` says which. */
dt_status dt_read_shards(dt_loading *l, bool *whole, dt_error *why, dt_error *err);

#endif
