/* state_addresses.h: where the tensors of a training's state lie, for a copy of all of them while the
 * training stands still for a moment (core/checkpoint/snapshot.h).
 *
 * Tensors of one vector that lie behind one another can be copied at once: `values` of one is then where
 * `n_elems` of the other ends.
 */
#ifndef DT_CORE_MODEL_STATE_ADDRESSES_H
#define DT_CORE_MODEL_STATE_ADDRESSES_H

#include "core/kernels.h"

typedef struct dt_state_address {
    float *values;   /* device memory, in the backend's order */
    float *vector;   /* the allocation that they lie in */
    int64_t n_elems; /* with padding, and what lies between this one and the next */
    dt_weights_order order;
} dt_state_address;

/* Nothing in it moves or changes for as long as the training goes on, whatever becomes of the sizes of
 * images. */
typedef struct dt_state_addresses {
    dt_device *device;
    int64_t n_tensors;
    const dt_state_address *tensors; /* as in the layout (core/store.h) */
    /* What else says how the last step went. Device memory; NULL: nobody asks. */
    const dt_step_state *step_state; /* the loss scale and its counts */
    const dt_loss_sums *loss;        /* this rank's */
} dt_state_addresses;

#endif
