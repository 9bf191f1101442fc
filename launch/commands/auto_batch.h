/* auto_batch.h: --batch auto, and the refusal of a batch that does not fit, told with the largest that
 * does. */
#ifndef DT_LAUNCH_COMMANDS_AUTO_BATCH_H
#define DT_LAUNCH_COMMANDS_AUTO_BATCH_H

#include "launch/commands/session.h"
#include "launch/estimate/memory.h"

/* Collective. Where options->config.batch is 0 (auto): the largest batch that fits on every rank, and that the images
 * can fill, into it; rank 0 says so. Else nothing. For the number of images and classes a source
 * is made with a batch of 1, asked, and given back. net_trains: the net is built for training, though it may
 * only evaluate. DT_ERR_MEMORY: not one image fits; what making a source says. */
dt_status dt_auto_batch_resolve(const dt_session *session, dt_options *options, bool training,
                                bool net_trains, dt_error *err);

/* Local. What a batch of options->config.batch takes, into *estimate. DT_ERR_USAGE: more than there is; the message names the
 * largest that fits. */
dt_status dt_auto_batch_check(const dt_session *session, const dt_options *options, int64_t n_classes,
                              bool training, dt_memory_estimate *estimate, dt_error *err);

#endif
