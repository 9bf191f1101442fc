/* check.h: checks whether a checkpoint in a folder is whole, and what is wrong with it. Local; changes
 * nothing in the folder.
 *
 *   dt_checkpoint_check_result r;
 *   DT_TRY(dt_checkpoint_check(&g, 0, step, true, &r, err));
 *   printf("%s\n", dt_checkpoint_state_name(r.state));
 *   dt_checkpoint_check_result_clear(&r);
 */
#ifndef DT_LAUNCH_CHECKPOINTS_CHECK_H
#define DT_LAUNCH_CHECKPOINTS_CHECK_H

#include "launch/checkpoints/reader.h"

typedef enum dt_checkpoint_state {
    DT_CHECKPOINT_COMPLETE, /* the manifest and all shards exist and have the right sizes; none was read */
    DT_CHECKPOINT_WHOLE,    /* verified: every hash is right, and every file holds what the manifest says */
    DT_CHECKPOINT_PARTIAL,  /* a host's own folder, with the shards of its ranks only; these are complete, or
                               verified */
    DT_CHECKPOINT_NEWER,    /* a newer dtrain wrote it */
    DT_CHECKPOINT_DAMAGED,
    DT_CHECKPOINT_REMOVED /* its run removed it while it was read */
} dt_checkpoint_state;

typedef struct dt_checkpoint_check_result {
    dt_checkpoint_state state;
    char problem[1024]; /* what is wrong with a damaged or newer one; else "" */
    bool has_manifest;  /* the fields below are set, but for step and age_s, which always are */
    /* epoch: of its last step, from 1; n_here, bytes: of the shards in this folder */
    int64_t step, epoch, position, world_size, n_classes, n_shards, n_here, bytes;
    dt_computed_by computed_by;
    dt_class_names class_names; /* owned */
    dt_engines engines;         /* owned */
    double best_top1;           /* -1: not evaluated yet */
    int64_t best_step;          /* -1: not known */
    double age_s;               /* since the manifest was written, by the system's clocks */
    double seconds;             /* how long verifying took */
    int64_t bytes_read;         /* while verifying */
} dt_checkpoint_check_result;

/* Check the checkpoint of `step` in g->folders[folder]. A damaged checkpoint is a result, not an error.
 * `verify`: read every byte. If shards are missing, the checkpoint is partial
 * rather than damaged if the run had a --checkpoint-mirror and this folder is not it. DT_ERR_MEMORY. */
dt_status dt_checkpoint_check(const dt_checkpoints *g, int folder, int64_t step, bool verify,
                              dt_checkpoint_check_result *result, dt_error *err);

void dt_checkpoint_check_result_clear(dt_checkpoint_check_result *result);

/* "complete", "whole", "partial", "newer", "damaged", "removed" */
const char *dt_checkpoint_state_name(dt_checkpoint_state state);

#endif
