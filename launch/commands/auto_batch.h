/* auto_batch.h: resolves --batch auto, and limits or refuses a batch that is too large. */
#ifndef DT_LAUNCH_COMMANDS_AUTO_BATCH_H
#define DT_LAUNCH_COMMANDS_AUTO_BATCH_H

#include "launch/commands/session.h"
#include "launch/estimate/memory.h"

/* Collective. If options->config.batch is 0 (auto): set it to the largest batch that fits on every rank and
 * that the number of images can fill; rank 0 logs it. Else do nothing. Opens and closes a source with a batch
 * of 1 to count images and classes. training: the command trains; net_trains: the net is built for training,
 * also if the command only evaluates. DT_ERR_MEMORY: not even one image fits; errors of the source. */
dt_status dt_auto_batch_resolve(const dt_session *session, dt_options *options, bool training,
                                bool net_trains, dt_error *err);

/* Local. Estimate the memory that options->config.batch needs; training, net_trains: as above. DT_ERR_USAGE:
 * more than is free; the message names the largest batch that fits. */
dt_status dt_auto_batch_check(const dt_session *session, const dt_options *options, int64_t n_classes,
                              bool training, bool net_trains, dt_memory_estimate *estimate, dt_error *err);

/* Collective, for a command that only evaluates. A batch that is larger than a rank's share of the images
 * becomes that share, since the rest would be computed for nothing; rank 0 logs it. Then check the memory, as
 * dt_auto_batch_check does. A batch of up to 256 is left alone, and no images are counted for it. Errors of
 * both, and of the source. */
dt_status dt_auto_batch_limit(const dt_session *session, dt_options *options, bool net_trains, dt_error *err);

#endif
