/* fake_state.h: a training state in host memory, for tests that save and load it. */
#ifndef DTRAIN_TESTS_FAKE_STATE_H
#define DTRAIN_TESTS_FAKE_STATE_H

#include "core/model/state_addresses.h"
#include "core/store.h"

#define FAKE_STATE_TENSORS 7
#define FAKE_STATE_ENGINES 3 /* choices in a fake manifest */

/* Seven tensors of 0 to 4 dimensions, in groups, about 3,000 elements. */
typedef struct fake_state {
    dt_state_tensor tensors[FAKE_STATE_TENSORS];
    dt_state_layout layout;
    dt_state_io io;
    dt_state_addresses addresses;
    dt_state_address address[FAKE_STATE_TENSORS];
    dt_device device;      /* of the addresses: host memory; a copy of a tensor fails where get does */
    float *values;         /* [layout.n_elems], the stream */
    int64_t n_set;         /* calls of set */
    int64_t fail_get_at;   /* get and copy of this tensor fail; -1: of none */
    int64_t fail_set_at;   /* set of this tensor fails; -1: of none */
    dt_status fail_status; /* their error; DT_ERR_DEVICE unless changed */
} fake_state;

/* Fill the values with random numbers for the seed. The struct must not move afterwards. */
void fake_state_init(fake_state *state, uint64_t seed);
void fake_state_clear(fake_state *state);

/* A manifest with scalars and a config_text; the caller clears it with dt_manifest_clear. */
dt_manifest fake_manifest(int64_t step);

#endif
