/* check.h: whether a checkpoint in a folder is whole, and what is wrong with it. Local; nothing in the folder
 * is changed.
 *
 *   dt_checkpoint_check_result r;
 *   DT_TRY(dt_checkpoint_check(&g, 0, step, true, &r, err));
 *   dt_checkpoint_state_name(r.state)
 */
#ifndef DT_LAUNCH_CHECKPOINTS_CHECK_H
#define DT_LAUNCH_CHECKPOINTS_CHECK_H

#include "launch/checkpoints/reader.h"

typedef enum dt_checkpoint_state {
    DT_CHECKPOINT_COMPLETE, /* manifest, all shards, their sizes; no byte of them was read */
    DT_CHECKPOINT_WHOLE,    /* verified: every hash, and HDF5 reads every tensor */
    DT_CHECKPOINT_PARTIAL,  /* the folder of one host, which has its ranks' shards only; these are
                               complete, or verified */
    DT_CHECKPOINT_NEWER,    /* a newer dtrain wrote it */
    DT_CHECKPOINT_DAMAGED
} dt_checkpoint_state;

typedef struct dt_checkpoint_check_result {
    dt_checkpoint_state state;
    char problem[1024]; /* of a damaged or newer one; else "" */
    bool has_manifest;  /* the rest is known */
    /* epoch: of its last step, from 1; bytes: of the shards here */
    int64_t step, epoch, position, world_size, n_shards, n_here, bytes;
    dt_computed_by computed_by;
    double age_s;   /* since the manifest was written, by the system's clocks */
    double seconds; /* verifying took */
    int64_t bytes_read;
} dt_checkpoint_check_result;

/* What is wrong with the checkpoint is no error but a result. `verify`: read every byte; memory for one
 * shard. A folder without some shards is a host's own, and not damaged, where the run had a
 * --checkpoint-mirror and this is another folder. DT_ERR_MEMORY. */
dt_status dt_checkpoint_check(const dt_checkpoints *g, int folder, int64_t step, bool verify,
                              dt_checkpoint_check_result *result, dt_error *err);

/* "complete", "whole", "partial", "newer", "damaged" */
const char *dt_checkpoint_state_name(dt_checkpoint_state state);

#endif
