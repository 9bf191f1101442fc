/* computed_by.h: what this rank's numbers come from, for checkpoints (core/base/computed_by.h). To add a
 * pair: a line in computed_by.c, or in the backend. */
#ifndef DT_LAUNCH_COMMANDS_COMPUTED_BY_H
#define DT_LAUNCH_COMMANDS_COMPUTED_BY_H

#include "core/base/computed_by.h"
#include "launch/commands/session.h"

/* Local. The session has its communicator and its backend. */
void dt_session_computed_by(const dt_session *session, dt_computed_by *out);

#endif
