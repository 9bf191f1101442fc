/* fake_nccl_emulated.h: the fake NCCL on the emulated device (tests/emulated/device_emulated.h) instead of
 * the fake GPU. */
#ifndef DTRAIN_TESTS_FAKE_NCCL_EMULATED_H
#define DTRAIN_TESTS_FAKE_NCCL_EMULATED_H

#include "core/device.h"

/* Enqueue the fake NCCL's work on this device from now on. */
void fake_nccl_use_emulated(dt_device *device);

#endif
