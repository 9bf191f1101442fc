/* lagging_comm.h: a communicator whose all-reduces are enqueued on a stream of an emulated device, as NCCL's
 * are, around one of fake_comm.h, which carries them out when the device gets there. Everything else is the
 * other's. */
#ifndef DTRAIN_TESTS_LAGGING_COMM_H
#define DTRAIN_TESTS_LAGGING_COMM_H

#include "core/comm.h"

/* Borrows both. (*comm)->ops->destroy. */
dt_status lagging_comm_create(dt_comm *inner, dt_device *device, dt_comm **comm, dt_error *err);

#endif
