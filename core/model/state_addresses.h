/* state_addresses.h: the addresses of all tensors of a training's state, so that a snapshot can copy them at
 * once (core/checkpoint/snapshot.h).
 *
 * Two tensors of one vector are adjacent if `values + n_elems` of the first is `values` of the second; one
 * copy can take both.
 */
#ifndef DT_CORE_MODEL_STATE_ADDRESSES_H
#define DT_CORE_MODEL_STATE_ADDRESSES_H

#include "core/kernels.h"

typedef struct dt_state_address {
    float *values;   /* [n_elems] device memory, in the backend's order */
    float *vector;   /* the allocation that contains them */
    int64_t n_elems; /* padding included, up to the next tensor of the vector */
    dt_weights_order order;
} dt_state_address;

/* Addresses and orders stay the same as long as the net exists, also when dt_net_resize changes the image
 * size. */
typedef struct dt_state_addresses {
    dt_device *device;
    int64_t n_tensors;
    const dt_state_address *tensors; /* [n_tensors], in the order of the layout (core/store.h) */
    /* Results of the last step that belong to a snapshot, in device memory; NULL: not needed. */
    const dt_step_state *step_state; /* the loss scale and its counts */
    const dt_loss_sums *loss;        /* this rank's loss */
} dt_state_addresses;

#endif
