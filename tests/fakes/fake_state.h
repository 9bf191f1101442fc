/* fake_state.h: a training state in plain memory, for tests of what saves and loads it. */
#ifndef DTRAIN_TESTS_FAKE_STATE_H
#define DTRAIN_TESTS_FAKE_STATE_H

#include "core/model/state_addresses.h"
#include "core/store.h"

#define FAKE_STATE_TENSORS 7

/* Seven tensors of 0 to 4 dimensions, in groups, about 3,000 elements. */
typedef struct fake_state {
    dt_state_tensor tensors[FAKE_STATE_TENSORS];
    dt_state_layout layout;
    dt_state_io io;
    dt_state_addresses addresses;
    dt_state_address place[FAKE_STATE_TENSORS];
    dt_device device;    /* where they lie: the host's memory, and a copy of a tensor fails where get
                              does */
    float *values;       /* [layout.n_elems], the stream */
    int64_t n_set;       /* tensors that were set */
    int64_t fail_get_at; /* this tensor's get and copy fail; -1: none */
    int64_t fail_set_at;
    dt_status fail_status; /* with which they fail; DT_ERR_DEVICE at first */
} fake_state;

/* Values are random, of the seed. Must not move afterwards. */
void fake_state_init(fake_state *state, uint64_t seed);
void fake_state_clear(fake_state *state);

/* The scalars of a manifest and a config_text; clear it with dt_manifest_clear. */
dt_manifest fake_manifest(int64_t step);

#endif
