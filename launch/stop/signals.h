/* signals.h: SIGINT, SIGTERM and SIGUSR1 as requests to stop after the step at hand (core/events.h). */
#ifndef DT_LAUNCH_STOP_SIGNALS_H
#define DT_LAUNCH_STOP_SIGNALS_H

#include "core/events.h"

#include "core/base/error.h"

/* Install the handlers; one object per process. The first signal makes stop_requested say its name; a second
 * SIGINT leaves the program at once with exit code 130. `announce`: say on stderr that the first has been
 * heard. destroy puts the old handlers back. DT_ERR_INTERNAL if there is one already. */
dt_status dt_signals_create(bool announce, dt_events **events, dt_error *err);

#endif
