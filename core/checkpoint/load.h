/* load.h: finds and loads the newest checkpoint that is whole. Collective. saver.h writes them.
 *
 *   const dt_checkpoint_location place = {.store = store};
 *   dt_checkpoint_load(comm, &place, &layout, &io, accept, context, &manifest, &found, err);
 */
#ifndef DT_CORE_CHECKPOINT_LOAD_H
#define DT_CORE_CHECKPOINT_LOAD_H

#include "core/comm.h"
#include "core/store.h"

/* Where checkpoints are looked for. The same on all ranks, but for the folder behind `store` if that is each
 * host's own. */
typedef struct dt_checkpoint_location {
    dt_store *store;  /* one folder that all hosts see, or this host's own */
    dt_store *mirror; /* a second copy that all hosts see; NULL: there is none */
    bool per_host;    /* `store` is this host's own: it has the shards of this host's ranks, and a manifest
                         of all */
    const int64_t *only_step; /* load the checkpoint of this step and no other; NULL: the newest that is
                                 whole */
} dt_checkpoint_location;

/* Says whether a checkpoint fits this run: another model, data or global batch is an error that names the
 * field with both values. */
typedef dt_status dt_checkpoint_accept(void *context, const dt_manifest *manifest, dt_error *err);

/* Whether a checkpoint that cannot be read with this status is passed over, and an older one is tried: it is
 * damaged, or its disk is. */
static inline bool dt_checkpoint_is_skippable(dt_status status)
{
    return status == DT_ERR_FORMAT || status == DT_ERR_IO;
}

/* Load the newest checkpoint that is whole, wherever its parts are, at any world size and on any number of
 * hosts. Hashes are checked first. Every shard is read by one rank that has it whole (of a shared folder,
 * rank i mod size; of a host's own, that host's ranks in turn; of the mirror, where no folder has it, all
 * ranks in turn) and broadcast: so hosts without any of it, new ones, get it from their peers. Two hosts may
 * hold two attempts at the same step: they are tried one after the other, and never mixed. A checkpoint of
 * which some part is nowhere whole is passed over with a warning that names the part, the host and what is
 * wrong; a damaged copy of which there is a better one is told too.
 *
 * The manifest's tensors must be those of `layout` (names and shapes), else, or where `accept` refuses,
 * DT_ERR_USAGE: not passed over, and neither is one that a newer dtrain wrote (DT_ERR_UNSUPPORTED). *found
 * false (and DT_OK): there is none at all, nothing was set. If there are checkpoints and none is whole:
 * DT_ERR_FORMAT. A folder that cannot be listed: DT_ERR_IO. A rank that is lost meanwhile: DT_ERR_PEER on the
 * others. Takes memory for a shard and the longest tensor while it reads. The caller clears the manifest. */
dt_status dt_checkpoint_load(dt_comm *comm, const dt_checkpoint_location *place,
                             const dt_state_layout *layout, const dt_state_io *io,
                             dt_checkpoint_accept *accept, void *accept_context, dt_manifest *manifest,
                             bool *found, dt_error *err);

#endif
