/* device_wait.h: the places where the host waits for the device.
 *
 * Behind an event there may be collectives, so the communicator waits where it can: it knows deadlines, and
 * who is missing.
 */
#ifndef DT_CORE_COLLECTIVE_DEVICE_WAIT_H
#define DT_CORE_COLLECTIVE_DEVICE_WAIT_H

#include "core/comm.h"

/* Return when the event is done. comm may be NULL: nothing behind the event waits for other ranks. */
dt_status dt_device_wait(dt_comm *comm, dt_device *device, dt_event *event, dt_error *err);

/* The same for all that is on the main stream; `event` (not timed) is recorded for it. */
dt_status dt_device_wait_all(dt_comm *comm, dt_device *device, dt_event *event, dt_error *err);

#endif
