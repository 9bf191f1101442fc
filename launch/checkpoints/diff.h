/* diff.h: compares two checkpoints, of any runs and numbers of ranks.
 *
 *   DT_TRY(dt_checkpoint_diff(a, b, json, stdout, &same, err));
 */
#ifndef DT_LAUNCH_CHECKPOINTS_DIFF_H
#define DT_LAUNCH_CHECKPOINTS_DIFF_H

#include "launch/checkpoints/reader.h"

#include <stdio.h>

/* Print the scalars that differ; and for every tensor that differs, the number of elements with different
 * bits, the largest |a - b|, ||a - b|| / ||a||, and the number of NaNs. Elements that are not finite in a or
 * b are left out of both measures. Prints tables, or one JSON object (launch/README.md). *same: all tensors
 * have the same bits, and so do all scalars that a resumed training depends on; the number of ranks that
 * wrote it is not among them. Memory: a shard and a tensor of each. DT_ERR_IO, DT_ERR_FORMAT,
 * DT_ERR_MEMORY. */
dt_status dt_checkpoint_diff(dt_checkpoint_reader *a, dt_checkpoint_reader *b, bool json, FILE *stream,
                             bool *same, dt_error *err);

#endif
