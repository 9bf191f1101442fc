/* store_kit.c: see store_kit.h. */
#include "tests/io/store/store_kit.h"

#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>

dt_store *store_kit_open(const char *folder)
{
    dt_store *store = NULL;
    dt_error err = {0};
    dt_status status = dt_store_hdf5_create(folder, &store, &err);
    DT_REQUIRE_MSG(status == DT_OK, "%s", err.message);
    return store;
}

dt_status store_kit_save(dt_store *store, const fake_state *s, int64_t step, int64_t n_shards, dt_error *err)
{
    dt_manifest m = fake_manifest(step);
    dt_shard_entry shards[STORE_KIT_MAX_SHARDS] = {0};
    dt_status status = store->ops->begin(store, step, err);
    for (int64_t i = 0; i < n_shards && status == DT_OK; i++) {
        shards[i].first = s->layout.n_elems * i / n_shards;
        shards[i].n_elems = s->layout.n_elems * (i + 1) / n_shards - shards[i].first;
        snprintf(shards[i].file, sizeof shards[i].file, "shard-%04d-of-%04d.h5", (int)i, (int)n_shards);
        status = store->ops->write_shard(store, step, &s->layout, &s->io, &shards[i], err);
    }
    m.n_tensors = s->layout.n_tensors;
    m.tensors = (dt_state_tensor *)s->tensors;
    m.n_shards = n_shards;
    m.shards = shards;
    if (status == DT_OK)
        status = store->ops->commit(store, &m, false, err);
    if (status != DT_OK)
        store->ops->discard(store, step);
    m.tensors = NULL;
    m.shards = NULL;
    dt_manifest_clear(&m);
    return status;
}

dt_status store_kit_load(dt_store *store, int64_t step, float *values, int64_t n_elems, dt_error *err)
{
    dt_manifest m = {0};
    DT_TRY(store->ops->read_manifest(store, step, &m, err));
    dt_status status = DT_OK;
    for (int64_t i = 0; i < m.n_shards && status == DT_OK; i++)
        status = store->ops->verify_shard(store, &m, &m.shards[i], NULL, err);
    for (int64_t i = 0; i < m.n_shards && status == DT_OK; i++) {
        DT_CHECK(m.shards[i].first + m.shards[i].n_elems <= n_elems);
        status = store->ops->read_shard(store, &m, &m.shards[i], values + m.shards[i].first, err);
    }
    dt_manifest_clear(&m);
    return status;
}

void store_kit_check_saved(dt_store *store, const fake_state *s, int64_t step, int64_t n_shards)
{
    dt_error err = {0};
    dt_status status = store_kit_save(store, s, step, n_shards, &err);
    DT_REQUIRE_MSG(status == DT_OK, "%s", err.message);
}

void store_kit_check_holds(dt_store *store, const fake_state *s, int64_t step)
{
    dt_error err = {0};
    float *values = calloc((size_t)s->layout.n_elems, sizeof *values);
    dt_status status = store_kit_load(store, step, values, s->layout.n_elems, &err);
    DT_CHECK_MSG(status == DT_OK, "step %lld: %s", (long long)step, err.message);
    DT_CHECK_BYTES(values, s->values, (size_t)s->layout.n_elems * sizeof *values);
    free(values);
}

int64_t store_kit_newest(dt_store *store, int64_t *n)
{
    int64_t steps[16] = {-1};
    dt_error err = {0};
    DT_CHECK_INT(store->ops->list(store, steps, 16, n, &err), DT_OK);
    return *n ? steps[0] : -1;
}
