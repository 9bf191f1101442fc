/* What inspect, export and eval take for whole: shards with the right hash whose values are finite. */
#include "io/store/hdf5_store.h"
#include "launch/checkpoints/check.h"
#include "launch/checkpoints/verify.h"
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_state.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fake_state state;
static dt_store *store;

/* The longest tensor of the state, in which a shard ends. */
static const dt_state_tensor *longest(void)
{
    const dt_state_tensor *t = &state.tensors[0];
    for (int i = 1; i < FAKE_STATE_TENSORS; i++)
        t = state.tensors[i].n_elems > t->n_elems ? &state.tensors[i] : t;
    return t;
}

/* Writes a checkpoint of two shards as a program would that checks no values. The first shard ends three
 * elements into the longest tensor. */
static void write_checkpoint(int64_t step)
{
    const int64_t cut = longest()->first + 3;
    dt_shard_entry shards[2] = {{.file = "shard-0000-of-0002.h5", .n_elems = cut},
                                {.file = "shard-0001-of-0002.h5", .first = cut}};
    shards[1].n_elems = state.layout.n_elems - cut;
    dt_manifest m = fake_manifest(step);
    m.n_tensors = state.layout.n_tensors;
    m.tensors = state.tensors;
    m.n_shards = 2;
    m.shards = shards;
    DT_REQUIRE(store->ops->begin(store, step, NULL) == DT_OK);
    for (int i = 0; i < 2; i++)
        DT_REQUIRE(store->ops->write_shard(store, step, &state.layout, &state.io, &shards[i], NULL) == DT_OK);
    DT_REQUIRE(store->ops->commit(store, &m, false, NULL) == DT_OK);
    m.tensors = NULL;
    m.shards = NULL;
    dt_manifest_clear(&m);
}

static void set_up(void)
{
    fake_state_init(&state, 1);
    DT_REQUIRE(dt_store_hdf5_create(dt_test_temp_dir(), &store, NULL) == DT_OK);
}

static void clear(void)
{
    store->ops->destroy(store);
    fake_state_clear(&state);
}

static void a_whole_shard_gives_its_values(void)
{
    set_up();
    write_checkpoint(1);
    dt_manifest m = {0};
    DT_REQUIRE(store->ops->read_manifest(store, 1, &m, NULL) == DT_OK);
    for (int64_t i = 0; i < m.n_shards; i++) {
        const dt_shard_entry *s = &m.shards[i];
        float *values = malloc((size_t)s->n_elems * sizeof *values);
        DT_CHECK(dt_checkpoint_verify_shard(store, &m, s, NULL, NULL) == DT_OK);
        DT_CHECK(dt_checkpoint_verify_shard(store, &m, s, values, NULL) == DT_OK);
        DT_CHECK(memcmp(values, state.values + s->first, (size_t)s->n_elems * sizeof *values) == 0);
        free(values);
    }
    dt_manifest_clear(&m);
    clear();
}

static void a_value_that_is_not_finite_is_named_with_its_place_in_the_tensor(void)
{
    set_up();
    const dt_state_tensor *t = longest();
    const int64_t element = t->n_elems - 2;
    state.values[t->first + element] = NAN;
    write_checkpoint(1);
    char end[64];
    snprintf(end, sizeof end, "is not finite: its element %lld is nan", (long long)element);
    dt_manifest m = {0};
    DT_REQUIRE(store->ops->read_manifest(store, 1, &m, NULL) == DT_OK);
    float *values = malloc((size_t)m.shards[1].n_elems * sizeof *values);
    DT_CHECK(dt_checkpoint_verify_shard(store, &m, &m.shards[0], NULL, NULL) == DT_OK);
    for (int keeps = 0; keeps < 2; keeps++) {
        dt_error err = {0};
        DT_CHECK_INT(dt_checkpoint_verify_shard(store, &m, &m.shards[1], keeps ? values : NULL, &err),
                     DT_ERR_FORMAT);
        DT_CHECK_CONTAINS(err.message, end);
    }
    free(values);
    dt_manifest_clear(&m);
    clear();
}

/* The hash and the values are computed piece by piece, and this tensor has several. */
static void the_place_in_a_long_tensor_is_right(void)
{
    set_up();
    state.tensors[3].dims[0] = 10000;
    int64_t n = 0;
    for (int i = 0; i < FAKE_STATE_TENSORS; i++) {
        dt_state_tensor *t = &state.tensors[i];
        t->first = n;
        t->n_elems = 1;
        for (int d = 0; d < t->n_dims; d++)
            t->n_elems *= t->dims[d];
        n += t->n_elems;
    }
    state.layout.n_elems = n;
    free(state.values);
    state.values = calloc((size_t)n, sizeof *state.values);
    DT_REQUIRE(state.values != NULL);
    const dt_state_tensor *t = longest();
    const int64_t element = t->n_elems - 2;
    state.values[t->first + element] = -INFINITY;
    write_checkpoint(1);
    char end[128];
    snprintf(end, sizeof end, "fc.weight is not finite: its element %lld is -inf", (long long)element);
    dt_manifest m = {0};
    dt_error err = {0};
    DT_REQUIRE(store->ops->read_manifest(store, 1, &m, NULL) == DT_OK);
    DT_CHECK_INT(dt_checkpoint_verify_shard(store, &m, &m.shards[1], NULL, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, end);
    dt_manifest_clear(&m);
    clear();
}

static void inspect_and_export_agree_on_what_is_whole(void)
{
    set_up();
    write_checkpoint(1);
    state.values[longest()->first] = INFINITY;
    write_checkpoint(2);
    dt_checkpoints g = {0};
    dt_checkpoint_check_result r;
    dt_checkpoint_reader *reader = NULL;
    DT_REQUIRE(dt_checkpoints_open(dt_test_temp_dir(), &g, NULL) == DT_OK);
    DT_CHECK(dt_checkpoint_check(&g, 0, 1, true, &r, NULL) == DT_OK);
    DT_CHECK_INT(r.state, DT_CHECKPOINT_WHOLE);
    dt_checkpoint_check_result_clear(&r);
    DT_CHECK(dt_checkpoint_check(&g, 0, 2, true, &r, NULL) == DT_OK);
    DT_CHECK_INT(r.state, DT_CHECKPOINT_DAMAGED);
    DT_CHECK_CONTAINS(r.problem, "is not finite");
    dt_checkpoint_check_result_clear(&r);
    captured_log_begin(DT_LOG_INFO);
    DT_REQUIRE(dt_checkpoints_newest_whole(&g, -1, &reader, NULL) == DT_OK);
    captured_log_end();
    DT_CHECK_CONTAINS(captured_log_text(), "passing over step 2: ");
    DT_CHECK_INT(dt_checkpoint_reader_manifest(reader)->step, 1);
    dt_checkpoint_reader_close(reader);
    dt_error err = {0};
    DT_CHECK_INT(dt_checkpoints_newest_whole(&g, 2, &reader, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "is not finite");
    dt_checkpoints_close(&g);
    clear();
}

static void a_manifest_without_tensors_is_not_valid(void)
{
    set_up();
    dt_manifest m = fake_manifest(1);
    dt_error err = {0};
    DT_REQUIRE(store->ops->begin(store, 1, NULL) == DT_OK);
    DT_CHECK(store->ops->commit(store, &m, false, &err) != DT_OK); /* reads what it is about to write */
    DT_CHECK_CONTAINS(err.message, "tensors: there are none");
    dt_manifest_clear(&m);
    clear();
}

static const dt_test tests[] = {
    DT_TEST(a_whole_shard_gives_its_values),
    DT_TEST(a_value_that_is_not_finite_is_named_with_its_place_in_the_tensor),
    DT_TEST(the_place_in_a_long_tensor_is_right),
    DT_TEST(inspect_and_export_agree_on_what_is_whole),
    DT_TEST(a_manifest_without_tensors_is_not_valid),
};

DT_TEST_MAIN("launch/checkpoints/verify", tests)
