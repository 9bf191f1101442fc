/* load_internal.h: what the files of loading share: load.c (newest first, and what is passed over),
 * load_find.c (which checkpoints there are, and their manifests), load_locate.c (who reads which shard from
 * where), load_read.c (from the disk to all ranks).
 *
 * All functions are collective unless they say local, and give the same answer on every rank. What one rank
 * finds damaged or missing is no error but a complaint: it decides nothing by itself, since another host or
 * the mirror may have the same. A status that is returned is the end of loading.
 */
#ifndef DT_CORE_CHECKPOINT_LOAD_INTERNAL_H
#define DT_CORE_CHECKPOINT_LOAD_INTERNAL_H

#include "core/checkpoint/load.h"

#define DT_MAX_CHECKPOINTS 256 /* looked at in a folder; nobody keeps so many */
#define DT_MAX_COMPLAINTS 8    /* kept of a rank; more would not be read */

enum { DT_FROM_STORE, DT_FROM_MIRROR, DT_N_SOURCES };

/* What a rank found wrong in one checkpoint. */
typedef struct dt_complaint {
    int64_t shard; /* -1: the manifest */
    int source;
    dt_error error;
} dt_complaint;

/* One folder as one rank sees it. Ranks that do not list it have n_steps 0. */
typedef struct dt_listing {
    int64_t steps[DT_MAX_CHECKPOINTS], n_steps; /* newest first */
    /* of the step that is looked at */
    bool there;  /* the folder has it */
    bool to_try; /* `manifest` was read, and no rank has offered it yet */
    dt_manifest manifest;
    char identity[33]; /* of the manifest; "": it cannot be read */
} dt_listing;

typedef struct dt_loading {
    dt_comm *comm;
    const dt_checkpoint_location *place;
    const dt_state_layout *layout;
    const dt_state_io *io;
    dt_listing listings[DT_N_SOURCES];
    dt_complaint complaints[DT_MAX_COMPLAINTS]; /* this rank's; those of manifests first */
    int64_t n_complaints, n_about_manifests;

    /* the checkpoint that is tried */
    dt_manifest manifest;
    bool offers[DT_N_SOURCES]; /* this rank may look for its shards there */
    int64_t *readers;          /* [n_shards], the same on all ranks: rank, or size + rank: from the mirror;
                                  2 size: nobody */
} dt_loading;

/* Local. */
static inline dt_store *dt_source_store(const dt_loading *l, int source)
{
    return source == DT_FROM_STORE ? l->place->store : l->place->mirror;
}

/* load_problems.c. Local: keeps a problem for which a checkpoint may be skipped, and returns DT_OK; returns the
 * status of any other error. */
dt_status dt_complain(dt_loading *l, int source, int64_t shard, dt_status status, const dt_error *err);
/* Rank 0 logs the problems of all ranks, each as "BEFOREproblemBEHIND". */
dt_status dt_load_problems_log(dt_loading *l, const char *before, const char *behind, dt_error *err);

/* load_find.c: lists the folders. */
dt_status dt_find_begin(dt_loading *l, dt_error *err);
/* The newest step below *step that any folder has; -1: none. */
dt_status dt_find_step(dt_loading *l, int64_t *step, dt_error *err);
/* Read that step's manifests, on whoever lists them. */
dt_status dt_find_look(dt_loading *l, int64_t step, dt_error *err);
/* The next of the checkpoints that these manifests tell of: two hosts may hold two attempts at the same step.
 * Fills l->manifest and l->offers. *there false: that was all. */
dt_status dt_find_candidate(dt_loading *l, bool *there, dt_error *err);
void dt_find_end(dt_loading *l); /* local; of a step */

/* load_locate.c: verifies every shard of l->manifest somewhere, and fills l->readers. *whole false: `why`
 * says what is missing. */
dt_status dt_locate_shards(dt_loading *l, bool *whole, dt_error *why, dt_error *err);

/* load_read.c: gives every tensor to l->io. *whole false: a disk failed after all. */
dt_status dt_read_shards(dt_loading *l, bool *whole, dt_error *why, dt_error *err);

#endif
