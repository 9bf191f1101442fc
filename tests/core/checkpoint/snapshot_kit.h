/* snapshot_kit.h: a state in the memory of a device, training steps that change it, and snapshots of it, for
 * the tests of core/checkpoint/snapshot.c. A call that fails ends or fails the test. */
#ifndef DTRAIN_TESTS_CORE_SNAPSHOT_KIT_H
#define DTRAIN_TESTS_CORE_SNAPSHOT_KIT_H

#include "core/checkpoint/snapshot.h"
#include "tests/emulated/device_emulated.h"

/* Two vectors, as a net has them: parameters (a filter in the backend's order with padding, a plain vector, a
 * filter) and their momentum. */
enum {
    N_TENSORS = 6,
    K = 4,
    C = 3,
    TAPS = 3,
    N_FILTER = K * C * TAPS,
    N_NATIVE = K * TAPS * 4,
    N_PLAIN = 5,
    PADDED = 16,
    N_VECTOR = 2 * N_NATIVE + PADDED
};

typedef struct snapshot_kit_state {
    dt_device *device;
    dt_state_tensor tensors[N_TENSORS];
    dt_state_address tensor_addresses[N_TENSORS];
    dt_state_layout layout;
    dt_state_addresses addresses;
    dt_state_io io;
    float *vectors[2]; /* device memory */
    dt_step_state *step_state;
    dt_loss_sums *loss;
    char *host; /* pinned: what is uploaded */
    float canonical[2 * (2 * N_FILTER + N_PLAIN)];
} snapshot_kit_state;

/* What a step uploads. */
#define UPLOAD_BYTES ((int64_t)(2 * N_VECTOR * sizeof(float) + sizeof(dt_step_state) + sizeof(dt_loss_sums)))

/* Allocate the state on the device, which is borrowed; free its memory. */
void snapshot_kit_init(snapshot_kit_state *s, dt_device *device);
void snapshot_kit_clear(snapshot_kit_state *s);

/* Enqueue a training step, which changes all of the state; which: 0 or 1. */
void snapshot_kit_enqueue_step(snapshot_kit_state *s, int which);

/* A snapshot of n elements from `first` on, for a single rank. */
dt_snapshot *snapshot_kit_create(snapshot_kit_state *s, int64_t first, int64_t n);

/* Compare a share, as the writer reads it, with the state after step `which`. */
void snapshot_kit_check(snapshot_kit_state *s, dt_snapshot *snapshot, int64_t first, int64_t n, int which);

/* A device that works late and captures graphs; memory_bytes: its limit, 0: none. */
dt_device *snapshot_kit_emulated(int64_t memory_bytes);

/* Checks that the emulated device has no allocation left and found no fault, and destroys it. */
void snapshot_kit_end(dt_device *device);

#endif
