/* save_checkpoint.h: writes one checkpoint and waits for it, for tests of stores and of loading. A training
 * does not wait (core/checkpoint/saver.h). */
#ifndef DTRAIN_TESTS_SAVE_CHECKPOINT_H
#define DTRAIN_TESTS_SAVE_CHECKPOINT_H

#include "core/comm.h"
#include "core/store.h"

/* Collective. Rank r writes shard r, the r-th even share of the stream; rank 0 commits and prunes to `keep`
 * checkpoints. The caller fills the manifest's scalars and config_text. *bytes: of all shards.
 * If a rank fails, every rank gets the same error, and only older checkpoints are left. */
dt_status save_checkpoint(dt_comm *comm, dt_store *store, const dt_state_layout *layout,
                          const dt_state_io *io, const dt_manifest *manifest, int64_t keep, int64_t *bytes,
                          dt_error *err);

#endif
