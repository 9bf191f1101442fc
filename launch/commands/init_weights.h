/* init_weights.h: --init: the weights that a training begins with, and what becomes of their classifier.
 *
 *   dt_weights_head head;
 *   DT_TRY(dt_init_weights_match(s, o, train, val, &head, err));      before the sources are started
 *   DT_TRY(dt_weights_load(net, o->init, head, err));                 on rank 0
 */
#ifndef DT_LAUNCH_COMMANDS_INIT_WEIGHTS_H
#define DT_LAUNCH_COMMANDS_INIT_WEIGHTS_H

#include "launch/checkpoints/weights.h"
#include "launch/commands/session.h"

/* Collective; only rank 0 reads the file. Compare the classes that the file of --init names with those
 * of the data, and log what follows. The same names: the classifier is kept, and the sources' classes
 * get the labels that they have in the file. Other names: a new classifier. No names in the file: its
 * classifier is kept if it has as many outputs as the data has classes. `val` may be NULL. Errors of
 * dt_weights_describe. */
dt_status dt_init_weights_match(const dt_session *session, const dt_options *options, dt_source *train,
                                dt_source *val, dt_weights_head *head, dt_error *err);

#endif
