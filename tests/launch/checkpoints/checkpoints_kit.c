#include "tests/launch/checkpoints/checkpoints_kit.h"

#include "core/base/alloc.h"
#include "io/store/hdf5_store.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>

void checkpoints_kit_write(const char *folder, const fake_state *state, int64_t cut, dt_manifest m)
{
    dt_store *store = NULL;
    dt_error err = {0};
    dt_shard_entry shards[2] = {{.file = "shard-0000-of-0002.h5", .n_elems = cut},
                                {.file = "shard-0001-of-0002.h5", .first = cut}};
    shards[1].n_elems = state->layout.n_elems - cut;
    m.n_tensors = state->layout.n_tensors;
    m.tensors = (dt_state_tensor *)state->tensors;
    m.n_shards = 2;
    m.shards = shards;
    DT_REQUIRE(dt_store_hdf5_create(folder, &store, &err) == DT_OK);
    DT_REQUIRE_MSG(store->ops->begin(store, m.step, &err) == DT_OK, "%s", err.message);
    for (int i = 0; i < 2; i++)
        DT_REQUIRE_MSG(store->ops->write_shard(store, m.step, &state->layout, &state->io, &shards[i], &err) ==
                           DT_OK,
                       "%s", err.message);
    DT_REQUIRE_MSG(store->ops->commit(store, &m, false, &err) == DT_OK, "%s", err.message);
    store->ops->destroy(store);
    m.tensors = NULL;
    m.shards = NULL;
    dt_manifest_clear(&m);
}

dt_manifest checkpoints_kit_manifest(int64_t step, const char *config)
{
    dt_manifest m = fake_manifest(step);
    dt_free(m.config_text);
    m.config_text = dt_strdup(config);
    return m;
}

const char *checkpoints_kit_shard(const char *folder, int64_t step, int shard)
{
    return dt_test_path("%s/step-%08lld/shard-%04d-of-0002.h5", folder, (long long)step, shard);
}

void checkpoints_kit_damage(const char *path)
{
    size_t n = 0;
    char *bytes = dt_test_read_file(path, &n);
    DT_REQUIRE(bytes && n > 0);
    bytes[n - 1] ^= 1;
    dt_test_write_file(path, bytes, n);
    free(bytes);
}
