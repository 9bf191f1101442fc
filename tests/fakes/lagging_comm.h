/* lagging_comm.h: a communicator that enqueues all-reduces of gradients on a stream of an emulated device, as
 * NCCL does. It wraps one of fake_comm.h, which carries them out when the device reaches them, and does
 * everything else. */
#ifndef DTRAIN_TESTS_LAGGING_COMM_H
#define DTRAIN_TESTS_LAGGING_COMM_H

#include "core/comm.h"

/* Borrows inner and device. The caller destroys *comm with its ops->destroy. */
dt_status lagging_comm_create(dt_comm *inner, dt_device *device, dt_comm **comm, dt_error *err);

#endif
