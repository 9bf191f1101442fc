/* store_kit.h: checkpoints written and read by one thread, without a communicator, for the tests of
 * io/store/hdf5_store.c. */
#ifndef DTRAIN_TESTS_IO_STORE_KIT_H
#define DTRAIN_TESTS_IO_STORE_KIT_H

#include "io/store/hdf5_store.h"
#include "tests/fakes/fake_state.h"

#define STORE_KIT_MAX_SHARDS 8

/* A store in this folder; ends the test when it cannot be made. */
dt_store *store_kit_open(const char *folder);

/* Write and commit all shards as n_shards ranks would; a checkpoint that fails is discarded. */
dt_status store_kit_save(dt_store *store, const fake_state *s, int64_t step, int64_t n_shards, dt_error *err);

/* Verify and read one checkpoint into values[n_elems]. */
dt_status store_kit_load(dt_store *store, int64_t step, float *values, int64_t n_elems, dt_error *err);

/* Save; ends the test when that fails. */
void store_kit_check_saved(dt_store *store, const fake_state *s, int64_t step, int64_t n_shards);

/* The checkpoint is whole and holds exactly this state. */
void store_kit_check_holds(dt_store *store, const fake_state *s, int64_t step);

/* The step of the newest checkpoint, -1 if there is none; *n: how many there are. */
int64_t store_kit_newest(dt_store *store, int64_t *n);

#endif
