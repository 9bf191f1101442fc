/* Saving over the real store with threads as ranks: all ranks return the same; any world size can load it. */
#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "tests/fakes/captured_log.h"
#include "tests/io/store/checkpoint_kit.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void a_checkpoint_loads_at_any_other_world_size(void)
{
    static const int sizes[] = {1, 2, 3, 7};
    dt_store *store = checkpoint_kit_open(dt_test_temp_dir());
    for (int s = 0; s < 4; s++) {
        checkpoint_kit_check_saved(store, sizes[s], 10 + s, (uint64_t)s);
        for (int l = 0; l < 4; l++)
            checkpoint_kit_check_loads(store, sizes[l], 10 + s, (uint64_t)s);
    }
    store->ops->destroy(store);
}

static void shards_are_even_and_may_be_empty(void)
{
    dt_store *store = checkpoint_kit_open(dt_test_temp_dir());
    static const dt_state_tensor small = {.name = "two", .n_dims = 1, .dims = {2}, .n_elems = 2};
    dt_manifest m;
    checkpoint_job *j = checkpoint_job_new(store, 1);
    DT_CHECK_INT(checkpoint_job_save(j, 3, 1), DT_OK);
    DT_REQUIRE(store->ops->read_manifest(store, 1, &m, NULL) == DT_OK);
    DT_CHECK_INT(m.n_shards, 3);
    for (int64_t i = 0; i < 3; i++)
        DT_CHECK(llabs(m.shards[i].n_elems - j->states[0].layout.n_elems / 3) <= 1);
    dt_manifest_clear(&m);
    for (int r = 0; r < CHECKPOINT_KIT_RANKS; r++) {
        j->states[r].tensors[0] = small;
        j->states[r].address[0].n_elems = small.n_elems;
        j->states[r].address[0].order = dt_weights_order_plain(small.n_elems);
        j->states[r].layout.n_tensors = 1;
        j->states[r].layout.n_elems = 2;
    }
    const float two[] = {j->states[0].values[0], j->states[0].values[1]};
    DT_CHECK_INT(checkpoint_job_save(j, 5, 2), DT_OK);
    DT_CHECK_INT(checkpoint_job_load(j, 2), DT_OK);
    DT_CHECK_BYTES(j->states[1].values, two, sizeof two);
    checkpoint_job_free(j);
    store->ops->destroy(store);
}

static void a_write_that_fails_on_one_rank_fails_on_all_and_leaves_nothing(void)
{
    const char *dir = dt_test_temp_dir();
    dt_store *store = checkpoint_kit_open(dir);
    checkpoint_kit_check_saved(store, 3, 1, 1);
    for (int rank = 0; rank < 3; rank++) {
        checkpoint_job *j = checkpoint_job_new(store, 2);
        for (int i = 0; i < FAKE_STATE_TENSORS; i++)
            j->states[rank].fail_get_at = rank == 0 ? 0 : rank == 1 ? 2 : 6; /* one that is in its shard */
        DT_CHECK_INT(checkpoint_job_save(j, 3, 2), DT_ERR_DEVICE);
        DT_CHECK_CONTAINS(j->errors[0].message, dt_test_path("rank %d", rank));
        DT_CHECK_CONTAINS(j->errors[0].message, "the device has lost");
        DT_CHECK(access(dt_test_path("%s/step-00000002", dir), F_OK) != 0);
        DT_CHECK(access(dt_test_path("%s/step-00000002.tmp", dir), F_OK) != 0);
        checkpoint_job_free(j);
    }
    checkpoint_kit_check_loads(store, 2, 1, 1);
    store->ops->destroy(store);
}

static void every_rank_returns_any_fault_in_saving_and_older_checkpoints_stay(void)
{
    static const char *const faults[] = {
        "store.begin:1",    "store.open:1",           "store.open:3",           "store.write:1",
        "store.write:4",    "store.space:2",          "store.fsync:2",          "store.hash:3",
        "store.manifest:1", "store.manifest.write:1", "store.manifest.fsync:1", "store.folder.fsync:1",
        "store.rename:1"};
    const char *dir = dt_test_temp_dir();
    dt_store *store = checkpoint_kit_open(dir);
    checkpoint_kit_check_saved(store, 3, 1, 1);
    checkpoint_job *j = checkpoint_job_new(store, 2);
    for (size_t f = 0; f < sizeof faults / sizeof *faults; f++) {
        dt_fault_arm(faults[f], 0, NULL);
        dt_status status = checkpoint_job_save(j, 3, 2);
        dt_fault_arm(NULL, 0, NULL);
        DT_CHECK_MSG(status == DT_ERR_IO, "%s gives %s", faults[f], dt_status_name(status));
        DT_CHECK_CONTAINS(j->errors[2].message, dir);
        DT_CHECK(access(dt_test_path("%s/step-00000002.tmp", dir), F_OK) != 0);
        checkpoint_kit_check_loads(store, 2, 1, 1);
    }
    checkpoint_job_free(j);
    store->ops->destroy(store);
}

static void a_failure_to_remove_old_checkpoints_is_a_warning(void)
{
    dt_store *store = checkpoint_kit_open(dt_test_temp_dir());
    captured_log_begin(DT_LOG_WARN);
    dt_fault_arm("store.prune:1", 0, NULL);
    checkpoint_kit_check_saved(store, 2, 1, 1);
    dt_fault_arm(NULL, 0, NULL);
    captured_log_end();
    DT_CHECK_CONTAINS(captured_log_text(), "old ones were not removed");
    checkpoint_kit_check_loads(store, 2, 1, 1);
    store->ops->destroy(store);
}

static void saving_keeps_the_given_number_of_checkpoints(void)
{
    int64_t steps[8], n;
    dt_store *store = checkpoint_kit_open(dt_test_temp_dir());
    checkpoint_job *j = checkpoint_job_new(store, 1);
    j->keep = 2;
    for (int64_t step = 1; step <= 4; step++)
        DT_CHECK_INT(checkpoint_job_save(j, 2, step), DT_OK);
    DT_CHECK_INT(store->ops->list(store, steps, 8, &n, NULL), DT_OK);
    DT_CHECK_INT(n, 2);
    DT_CHECK(steps[0] == 4 && steps[1] == 3);
    checkpoint_job_free(j);
    store->ops->destroy(store);
}

/* Any allocation may fail on any rank: all ranks return the same, and nothing leaks. */
static void every_allocation_may_fail(void)
{
    dt_store *store = checkpoint_kit_open(dt_test_temp_dir());
    for (int size = 1; size <= 2; size++) {
        checkpoint_kit_check_saved(store, size, size, 1);
        checkpoint_job *j = checkpoint_job_new(store, 1);
        int64_t live = dt_alloc_live_blocks();
        for (bool fails = true; fails;) {
            j->fail_alloc_at++;
            dt_status saved = checkpoint_job_save(j, size, 10), loaded = checkpoint_job_load(j, size);
            const int64_t freed = live - dt_alloc_live_blocks();
            DT_CHECK(freed == 0 || freed == 2); /* the buffers that the store keeps, after an error none */
            fails = saved != DT_OK || loaded != DT_OK;
            DT_CHECK(saved == DT_OK || saved == DT_ERR_MEMORY);
            DT_REQUIRE(j->fail_alloc_at < 500);
        }
        DT_CHECK_MSG(j->fail_alloc_at > 10, "only %d allocations", (int)j->fail_alloc_at);
        checkpoint_job_free(j);
    }
    store->ops->destroy(store);
}

static const dt_test tests[] = {
    DT_TEST(a_checkpoint_loads_at_any_other_world_size),
    DT_TEST(shards_are_even_and_may_be_empty),
    DT_TEST(a_write_that_fails_on_one_rank_fails_on_all_and_leaves_nothing),
    DT_TEST(every_rank_returns_any_fault_in_saving_and_older_checkpoints_stay),
    DT_TEST(a_failure_to_remove_old_checkpoints_is_a_warning),
    DT_TEST(saving_keeps_the_given_number_of_checkpoints),
    DT_TEST(every_allocation_may_fail),
};
DT_TEST_MAIN("io/store/checkpoint_save", tests)
