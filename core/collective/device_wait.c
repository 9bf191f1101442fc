/* device_wait.c: by the communicator, or by polling the event. */
#include "core/collective/device_wait.h"

#include "core/base/clock.h"

#define POLL_S 20e-6 /* far below the time of a step */

dt_status dt_device_wait(dt_comm *comm, dt_device *device, dt_event *event, dt_error *err)
{
    if (comm && comm->ops->device_wait)
        return comm->ops->device_wait(comm, device, event, err);
    for (;;) {
        bool done = false;
        DT_TRY(device->ops->event_done(device, event, &done, err));
        if (done)
            return DT_OK;
        dt_clock_sleep_s(POLL_S);
    }
}

dt_status dt_device_wait_all(dt_comm *comm, dt_device *device, dt_event *event, dt_error *err)
{
    DT_TRY(device->ops->event_record(device, event, NULL, err));
    return dt_device_wait(comm, device, event, err);
}
