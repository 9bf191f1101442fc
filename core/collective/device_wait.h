/* device_wait.h: wait on the host for the device.
 *
 * The device may have to carry out collectives before an event is done. So the communicator does the wait
 * where it can (dt_comm_ops.device_wait): it has a deadline, and names missing ranks.
 */
#ifndef DT_CORE_COLLECTIVE_DEVICE_WAIT_H
#define DT_CORE_COLLECTIVE_DEVICE_WAIT_H

#include "core/comm.h"

/* Return when the event is done. comm may be NULL where the event does not depend on other ranks. Errors of
 * the device or of the communicator. */
dt_status dt_device_wait(dt_comm *comm, dt_device *device, dt_event *event, dt_error *err);

/* Return when all work on the main stream is done. Records `event` (not timed) for that. */
dt_status dt_device_wait_all(dt_comm *comm, dt_device *device, dt_event *event, dt_error *err);

#endif
