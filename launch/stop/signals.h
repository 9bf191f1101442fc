/* signals.h: SIGINT, SIGTERM and SIGUSR1 as requests to stop after the current step (core/events.h). */
#ifndef DT_LAUNCH_STOP_SIGNALS_H
#define DT_LAUNCH_STOP_SIGNALS_H

#include "core/events.h"

#include "core/base/error.h"

/* Install the handlers; one object per process. After the first signal stop_requested returns its name. A
 * second SIGINT ends the program at once with exit code 130. `announce`: acknowledge the first SIGINT on
 * stderr. destroy restores the old handlers. DT_ERR_INTERNAL if there is one already. */
dt_status dt_signals_create(bool announce, dt_events **events, dt_error *err);

#endif
