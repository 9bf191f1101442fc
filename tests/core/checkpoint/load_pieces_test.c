/* Loads on several ranks of shards that are longer than what one broadcast sends (4 Mi elements). */
#include "core/checkpoint/load.h"
#include "tests/fakes/fake_comm.h"
#include "tests/fakes/fake_state.h"
#include "tests/fakes/fake_store.h"
#include "tests/testing.h"

#include <string.h>

#define PIECE ((int64_t)4 << 20)
#define N_RANKS 2

/* Element i of the stream, exact in float32. */
static float value_of(int64_t i)
{
    return (float)(i % 16777213);
}

static dt_status get(void *context, int64_t tensor, float *canonical, dt_error *err)
{
    const dt_state_layout *layout = context;
    const dt_state_tensor *t = &layout->tensors[tensor];
    (void)err;
    for (int64_t i = 0; i < t->n_elems; i++)
        canonical[i] = value_of(t->first + i);
    return DT_OK;
}

/* How many elements each rank has got that are right. */
typedef struct loaded {
    dt_store *store;
    const dt_state_layout *layout;
    int64_t n_right[N_RANKS];
    dt_status status[N_RANKS];
} loaded;

typedef struct receiver {
    const dt_state_layout *layout;
    int64_t n_right;
} receiver;

static dt_status set(void *context, int64_t tensor, const float *canonical, dt_error *err)
{
    receiver *r = context;
    const dt_state_tensor *t = &r->layout->tensors[tensor];
    (void)err;
    for (int64_t i = 0; i < t->n_elems; i++)
        r->n_right += canonical[i] == value_of(t->first + i);
    return DT_OK;
}

static void load_main(dt_comm *comm, void *context)
{
    loaded *l = context;
    receiver r = {.layout = l->layout};
    dt_manifest m = {0};
    dt_error err = {0};
    bool found = false;
    const dt_state_io io = {.context = &r, .get = get, .set = set};
    l->status[comm->rank] = dt_checkpoint_load(comm, &(dt_checkpoint_location){.store = l->store}, l->layout,
                                               &io, NULL, NULL, &m, &found, &err);
    l->n_right[comm->rank] = r.n_right;
    dt_manifest_clear(&m);
}

/* One shard of n elements, in a tensor of 3 and one of the others. */
static void load_shard_of(int64_t n)
{
    const dt_state_tensor tensors[] = {
        {.name = "param/a", .n_dims = 1, .dims = {3}, .n_elems = 3},
        {.name = "param/b", .n_dims = 1, .dims = {n - 3}, .n_elems = n - 3, .first = 3}};
    const dt_state_layout layout = {.n_tensors = 2, .n_elems = n, .tensors = tensors};
    const dt_state_io io = {.context = (void *)(uintptr_t)&layout, .get = get};
    loaded l = {.store = fake_store_create(&(fake_store_options){0}), .layout = &layout};
    dt_shard_entry entry = {.file = "shard-0000-of-0001.h5", .n_elems = n};
    dt_error err = {0};
    dt_manifest m = fake_manifest(1);
    dt_state_tensor copies[2];
    memcpy(copies, tensors, sizeof copies);
    DT_REQUIRE(l.store->ops->begin(l.store, 1, &err) == DT_OK);
    DT_REQUIRE(l.store->ops->write_shard(l.store, 1, &layout, &io, &entry, &err) == DT_OK);
    m.n_tensors = 2;
    m.tensors = copies;
    m.n_shards = 1;
    m.shards = &entry;
    DT_REQUIRE(l.store->ops->commit(l.store, &m, false, &err) == DT_OK);
    m.tensors = NULL;
    m.shards = NULL;
    fake_comm_run(N_RANKS, load_main, &l);
    for (int r = 0; r < N_RANKS; r++) {
        DT_CHECK_INT(l.status[r], DT_OK);
        DT_CHECK_INT(l.n_right[r], n);
    }
    dt_manifest_clear(&m);
    l.store->ops->destroy(l.store);
}

static void a_long_shard_arrives_piece_by_piece(void)
{
    load_shard_of(PIECE);
    load_shard_of(PIECE + 1);
    load_shard_of(2 * PIECE + 5);
}

static const dt_test tests[] = {
    DT_TEST(a_long_shard_arrives_piece_by_piece),
};
DT_TEST_MAIN("core/checkpoint/load_pieces", tests)
