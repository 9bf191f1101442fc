/* checkpoints_kit.h: small checkpoints of two shards in the folders of a run, for tests of launch/checkpoints
 * and of the commands that read checkpoints. */
#ifndef DTRAIN_TESTS_CHECKPOINTS_KIT_H
#define DTRAIN_TESTS_CHECKPOINTS_KIT_H

#include "core/store.h"
#include "tests/fakes/fake_state.h"

/* Writes a checkpoint in `folder`. m: its scalars and config_text, which this call clears. The first shard
 * has `cut` elements, and the second has the others. */
void checkpoints_kit_write(const char *folder, const fake_state *state, int64_t cut, dt_manifest m);

/* A manifest of this step whose config_text is `config`. */
dt_manifest checkpoints_kit_manifest(int64_t step, const char *config);

/* The path of shard 0 or 1 of a step in `folder`, as dt_test_path. */
const char *checkpoints_kit_shard(const char *folder, int64_t step, int shard);

/* Changes the last byte of a file. */
void checkpoints_kit_damage(const char *path);

#endif
