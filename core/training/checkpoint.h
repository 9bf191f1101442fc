/* checkpoint.h: what is saved, who writes which part, and the vote that makes it count. All functions are collective.
 *
 *   dt_checkpoint_save(comm, store, &layout, &io, &manifest, keep, &bytes, err);
 *   const dt_checkpoint_place place = {.store = store};
 *   dt_checkpoint_load(comm, &place, &layout, &io, accept, context, &manifest, &found, err);
 */
#ifndef DT_CORE_TRAINING_CHECKPOINT_H
#define DT_CORE_TRAINING_CHECKPOINT_H

#include "core/comm.h"
#include "core/store.h"

/* Write a generation and wait for it (saver.h does so while training goes on): rank r writes shard r, the r-th even share of the stream; all vote; rank 0 commits and prunes to
 * `keep` generations. The caller fills the manifest's scalars and config_text, and clears it. On failure of any rank the unfinished generation is discarded, every rank gets the same error, and older
 * generations stand. */
dt_status dt_checkpoint_save(dt_comm *comm, dt_store *store, const dt_state_layout *layout, const dt_state_io *io, dt_manifest *manifest, int64_t keep,
                             int64_t *bytes, dt_error *err);

/* Where generations are looked for. The same on all ranks, but for the folder behind `store` if that is each host's own. */
typedef struct dt_checkpoint_place {
    dt_store *store;  /* one folder that all hosts see, or this host's own */
    dt_store *mirror; /* a second copy that all hosts see; NULL: there is none */
    bool per_host;    /* `store` is this host's own: it has the shards of this host's ranks, and a manifest of all */
} dt_checkpoint_place;

/* Says whether a generation fits this run: another model, data or global batch is an error that names the field with both values. */
typedef dt_status dt_checkpoint_accept(void *context, const dt_manifest *manifest, dt_error *err);

/* Load the newest generation that is whole: hashes first; damaged ones are passed over, each with a warning that says what was
 * wrong. Shard i is read by rank i mod size and broadcast. The manifest's tensors must be those of `layout` (names and shapes),
 * else, or where `accept` refuses, DT_ERR_USAGE: not passed over. *found false (and DT_OK): there is none at all, nothing was
 * set. If there are generations and all are damaged: DT_ERR_FORMAT. The caller clears the manifest. */
dt_status dt_checkpoint_load(dt_comm *comm, const dt_checkpoint_place *place, const dt_state_layout *layout, const dt_state_io *io, dt_checkpoint_accept *accept,
                             void *accept_context, dt_manifest *manifest, bool *found, dt_error *err);

#endif
