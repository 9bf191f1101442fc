/* diff.h: what differs between two checkpoints, of any runs and world sizes.
 *
 *   DT_TRY(dt_checkpoint_diff(a, b, json, stdout, &same, err));
 */
#ifndef DT_LAUNCH_CHECKPOINTS_DIFF_H
#define DT_LAUNCH_CHECKPOINTS_DIFF_H

#include "launch/checkpoints/reader.h"

#include <stdio.h>

/* Print the scalars that differ, and of every tensor that differs how many elements (by their bits), the
 * largest |a - b|, ||a - b|| / ||a|| and the NaNs; as tables or as one JSON object (launch/README.md). What
 * is not finite on either side is left out of both measures. *same: all tensors are the same bits and what
 * the training goes on from is the same; by how many ranks it was written does not count. Memory: a shard and
 * a tensor of each. DT_ERR_IO, DT_ERR_FORMAT, DT_ERR_MEMORY. */
dt_status dt_checkpoint_diff(dt_checkpoint_reader *a, dt_checkpoint_reader *b, bool json, FILE *stream,
                             bool *same, dt_error *err);

#endif
