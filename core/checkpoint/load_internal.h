/* load_internal.h: what the files of a load share. load.c calls the others, newest checkpoint first:
 *
 *   load_assemble.c  cuts what is read into tensors, and sets them
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

/* Cuts the stream of elements, which arrive in order, into tensors, and gives those to io->set. */
typedef struct dt_assembler {
    const dt_state_layout *layout;
    const dt_state_io *io;
    float *tensor;  /* [elements of the longest tensor] */
    float *begun;   /* the same, for dt_assembler_get_mark; NULL: it is not called */
    int64_t index;  /* of the tensor that is being filled */
    int64_t filled; /* elements of it so far */
    dt_status
        status; /* the first error of the check or io->set; kept, because other ranks wait in broadcasts */
    dt_error error;
} dt_assembler;

/* A position to go back to. */
typedef struct dt_assembler_mark {
    int64_t index, filled;
    dt_status status;
    dt_error error;
} dt_assembler_mark;

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
                         reads the file once; NULL: it has not, or had no memory, or has set them already */
    bool *
        is_set; /* [n_shards] this rank, which is the only one, has set the elements while it verified them */
    bool sets;  /* it may do that: the checkpoint fits this run */
    dt_assembler assembler;
} dt_loading;

/* Local. NULL: there is no mirror. */
static inline dt_store *dt_load_store(const dt_loading *l, int from)
{
    return from == DT_LOAD_STORE ? l->location->store : l->location->mirror;
}

/* load_assemble.c; all of it local */

/* dt_assembler_clear frees its memory, also after an error. rewinds: dt_assembler_get_mark is going to be
 * called. DT_ERR_MEMORY. */
dt_status dt_assembler_create(dt_assembler *a, const dt_state_layout *layout, const dt_state_io *io,
                              bool rewinds, dt_error *err);
void dt_assembler_clear(dt_assembler *a);
/* The stream's next element. */
int64_t dt_assembler_at(const dt_assembler *a);
/* The next n elements: from memory, or as a store reads them. Errors go into a->status. */
void dt_assembler_add(dt_assembler *a, const float *values, int64_t n);
dt_shard_sink dt_assembler_sink(dt_assembler *a);
/* The newest mark only. Tensors that were set since stay set until they are set again. */
dt_assembler_mark dt_assembler_get_mark(dt_assembler *a);
void dt_assembler_rewind(dt_assembler *a, const dt_assembler_mark *mark);

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

/* load_locate.c: verify every shard of l->manifest on some rank, and fill l->readers, l->kept and
 * l->is_set, which the caller gives to dt_locate_end. If l->sets, what is read in order is set at once.
 * *whole false: there is a shard that no rank has whole; `why` names it and the reason. */
dt_status dt_locate_shards(dt_loading *l, bool *whole, dt_error *why, dt_error *err);
/* Local. Free l->readers, l->kept, l->is_set and the assembler. */
void dt_locate_end(dt_loading *l);

/* load_read.c: read the shards that are not set yet, and give every tensor to l->io->set. *whole false: a
 * read failed although the shard was verified, or a tensor is not finite (state_check.h); `why` says
 * which. */
dt_status dt_read_shards(dt_loading *l, bool *whole, dt_error *why, dt_error *err);

#endif
