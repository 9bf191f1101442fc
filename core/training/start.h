/* start.h: what comes before the first step: plans the training, checks that ranks agree, gives all of them
 * the same parameters, and resumes from a checkpoint.
 *
 *   dt_training training = {.parts = &parts, .best_top1 = -1.0, .best_epoch = -1, .best_step = -1,
 *                           .resumed_step = -1};
 *   dt_start(&training, &step, err);
 */
#ifndef DT_CORE_TRAINING_START_H
#define DT_CORE_TRAINING_START_H

#include "core/training/training.h"

/* Collective; every error is shared, but for those of the communication. Fills `training` and creates the
 * step, whose memory the device may still be filling. DT_ERR_USAGE: too few images for a global batch, ranks
 * that differ, a checkpoint that does not fit this run, or none with --resume must; or what
 * dt_checkpoint_load returns. */
dt_status dt_start(dt_training *training, dt_step **step, dt_error *err);

#endif
