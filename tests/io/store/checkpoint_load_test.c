/* Loading over the real store with threads as ranks: all ranks return the same, with any damage on the
 * disk. */
#include "core/base/fault.h"
#include "tests/fakes/captured_log.h"
#include "tests/io/store/checkpoint_kit.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Loading fails on all ranks with this status; returns rank 0's message, valid until the next call. */
static const char *check_refused(dt_store *store, int n_ranks, dt_status expected, int refusing_rank)
{
    static char message[DT_ERROR_MESSAGE_BYTES];
    checkpoint_job *j = checkpoint_job_new(store, 99);
    j->refusing_rank = refusing_rank;
    dt_status status = checkpoint_job_load(j, n_ranks);
    DT_CHECK_MSG(status == expected, "%s: %s", dt_status_name(status), j->errors[0].message);
    for (int r = 0; r < n_ranks; r++)
        DT_CHECK_INT(j->steps[r], -1); /* the manifest was not touched */
    snprintf(message, sizeof message, "%s", j->errors[0].message);
    checkpoint_job_free(j);
    return message;
}

static void damage(const char *folder, int64_t step, const char *file)
{
    checkpoint_kit_damage(dt_test_path("%s/step-%08d/%s", folder, (int)step, file));
}

static void without_a_checkpoint_the_state_is_unchanged(void)
{
    dt_store *store = checkpoint_kit_open(dt_test_path("%s/not/there", dt_test_temp_dir()));
    checkpoint_job *j = checkpoint_job_new(store, 1);
    DT_CHECK_INT(checkpoint_job_load(j, 2), DT_OK);
    DT_CHECK(!j->found[0] && !j->found[1]);
    DT_CHECK_INT(j->states[1].n_set, 0);
    checkpoint_job_free(j);
    store->ops->destroy(store);
}

static void damaged_checkpoints_are_passed_over_with_the_reason(void)
{
    const char *dir = dt_test_temp_dir();
    dt_store *store = checkpoint_kit_open(dir);
    for (int64_t step = 1; step <= 5; step++)
        checkpoint_kit_check_saved(store, 2, step, (uint64_t)step);
    damage(dir, 5, "shard-0001-of-0002.h5");
    damage(dir, 4, "manifest.json");
    unlink(dt_test_path("%s/step-00000003/shard-0000-of-0002.h5", dir));
    unlink(dt_test_path("%s/step-00000002/manifest.json", dir));
    for (int size = 1; size <= 3; size++) {
        checkpoint_job *j = checkpoint_job_new(store, 99);
        j->log_least = DT_LOG_WARN;
        checkpoint_job_check_loads(j, size, 1, 1, "four damaged checkpoints");
        checkpoint_job_free(j);
        const char *reasons[] = {"passing over step 5: ", "shard-0001-of-0002.h5: its XXH3-128 is",
                                 "passing over step 4: ", "manifest.json: ",
                                 "passing over step 3: ", "shard-0000-of-0002.h5: No such file",
                                 "passing over step 2: "};
        const char *at = captured_log_text();
        for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) { /* each once, in this order */
            at = at ? strstr(at, reasons[i]) : NULL;
            DT_CHECK_MSG(at != NULL, "%d ranks: no \"%s\" in its place in: %s", size, reasons[i],
                         captured_log_text());
        }
        DT_CHECK(at && !strstr(at + 1, "passing over"));
    }
    damage(dir, 1, "shard-0000-of-0002.h5");
    const char *message = check_refused(store, 3, DT_ERR_FORMAT, -1);
    DT_CHECK_CONTAINS(message, dir);
    DT_CHECK_CONTAINS(message, "none of the 5 checkpoints");
    store->ops->destroy(store);
}

static void a_checkpoint_with_an_unreadable_shard_is_passed_over(void)
{
    dt_store *store = checkpoint_kit_open(dt_test_temp_dir());
    checkpoint_kit_check_saved(store, 3, 1, 1);
    checkpoint_kit_check_saved(store, 3, 2, 2);
    for (int n = 1; n <= 3; n++) { /* also after tensors of the newer one were set */
        dt_fault_arm(dt_test_path("store.read:%d", n), 0, NULL);
        checkpoint_kit_check_loads(store, 2, 1, 1);
        dt_fault_arm(dt_test_path("store.verify:%d", n), 0, NULL);
        checkpoint_kit_check_loads(store, 2, 1, 1);
    }
    dt_fault_arm(NULL, 0, NULL);
    checkpoint_kit_check_loads(store, 2, 2, 2);
    store->ops->destroy(store);
}

static void a_checkpoint_of_another_model_is_refused_not_passed_over(void)
{
    const char *dir = dt_test_temp_dir();
    dt_store *store = checkpoint_kit_open(dir);
    checkpoint_kit_check_saved(store, 2, 1, 1);
    checkpoint_job *j = checkpoint_job_new(store, 1);
    for (int r = 0; r < CHECKPOINT_KIT_RANKS; r++)
        snprintf(j->states[r].tensors[3].name, 20, "param/head.weight");
    DT_CHECK_INT(checkpoint_job_save(j, 2, 2), DT_OK);
    checkpoint_job_free(j);
    DT_CHECK_CONTAINS(check_refused(store, 2, DT_ERR_USAGE, -1),
                      "step 2 has the tensor param/head.weight where this model has param/fc.weight");
    j = checkpoint_job_new(store, 1);
    for (int r = 0; r < CHECKPOINT_KIT_RANKS; r++) {
        j->states[r].tensors[3].dims[0] = 16;
        j->states[r].tensors[3].dims[1] = 10;
    }
    DT_CHECK_INT(checkpoint_job_save(j, 2, 3), DT_OK);
    DT_CHECK_CONTAINS(check_refused(store, 2, DT_ERR_USAGE, -1), "step 3 has param/fc.weight with");
    for (int r = 0; r < CHECKPOINT_KIT_RANKS; r++) {
        j->states[r].layout.n_tensors--;
        j->states[r].layout.n_elems--;
    }
    DT_CHECK_INT(checkpoint_job_save(j, 2, 4), DT_OK);
    DT_CHECK_CONTAINS(check_refused(store, 2, DT_ERR_USAGE, -1), "step 4 has 6 tensors, this model has 7");
    checkpoint_job_free(j);
    store->ops->destroy(store);
}

static void every_rank_returns_the_refusal_of_one_rank(void)
{
    dt_store *store = checkpoint_kit_open(dt_test_temp_dir());
    checkpoint_kit_check_saved(store, 2, 1, 1);
    for (int rank = 0; rank < 3; rank++) {
        const char *message = check_refused(store, 3, DT_ERR_USAGE, rank);
        DT_CHECK_CONTAINS(message, "--arch is resnet50, the checkpoint's is resnet18");
    }
    store->ops->destroy(store);
}

static void a_checkpoint_of_a_newer_dtrain_is_refused_not_passed_over(void)
{
    static const char future[] = "{\"format_version\": 999}\n";
    const char *dir = dt_test_temp_dir();
    dt_store *store = checkpoint_kit_open(dir);
    checkpoint_kit_check_saved(store, 2, 1, 1);
    DT_CHECK(mkdir(dt_test_path("%s/step-00000002", dir), 0755) == 0);
    dt_test_write_file(dt_test_path("%s/step-00000002/manifest.json", dir), future, strlen(future));
    DT_CHECK_CONTAINS(check_refused(store, 2, DT_ERR_UNSUPPORTED, -1), "a newer dtrain wrote it");
    store->ops->destroy(store);
}

static void a_device_error_on_one_rank_fails_on_all(void)
{
    dt_store *store = checkpoint_kit_open(dt_test_temp_dir());
    checkpoint_kit_check_saved(store, 2, 1, 1);
    checkpoint_kit_check_saved(store, 2, 2, 2);
    for (int tensor = 0; tensor < FAKE_STATE_TENSORS; tensor++) {
        checkpoint_job *j = checkpoint_job_new(store, 1);
        j->states[1].fail_set_at = tensor;
        /* not the store's I/O: nothing is passed over */
        j->states[1].fail_status = tensor % 2 ? DT_ERR_DEVICE : DT_ERR_IO;
        DT_CHECK_INT(checkpoint_job_load(j, 3), j->states[1].fail_status);
        DT_CHECK_CONTAINS(j->errors[0].message, "rank 1");
        DT_CHECK_CONTAINS(j->errors[0].message, j->states[0].tensors[tensor].name);
        checkpoint_job_free(j);
    }
    store->ops->destroy(store);
}

static void only_the_given_step_is_loaded(void)
{
    const int64_t there = 20, not_there = 21;
    dt_store *store = checkpoint_kit_open(dt_test_temp_dir());
    checkpoint_job *j = checkpoint_job_new(store, 5);
    for (int64_t step = 10; step <= 30; step += 10)
        DT_REQUIRE(checkpoint_job_save(j, 2, step) == DT_OK);
    DT_CHECK(checkpoint_job_load(j, 3) == DT_OK && j->found[0] && j->steps[0] == 30);
    j->only_step = &there;
    DT_CHECK(checkpoint_job_load(j, 3) == DT_OK && j->found[0] && j->steps[0] == 20);
    DT_CHECK_INT(j->states[2].n_set, FAKE_STATE_TENSORS);
    j->only_step = &not_there;
    DT_CHECK(checkpoint_job_load(j, 3) == DT_OK && !j->found[0]);
    DT_CHECK_INT(j->states[2].n_set, 0);
    checkpoint_job_free(j);
    store->ops->destroy(store);
}

static const dt_test tests[] = {
    DT_TEST(without_a_checkpoint_the_state_is_unchanged),
    DT_TEST(damaged_checkpoints_are_passed_over_with_the_reason),
    DT_TEST(a_checkpoint_with_an_unreadable_shard_is_passed_over),
    DT_TEST(a_checkpoint_of_another_model_is_refused_not_passed_over),
    DT_TEST(every_rank_returns_the_refusal_of_one_rank),
    DT_TEST(a_checkpoint_of_a_newer_dtrain_is_refused_not_passed_over),
    DT_TEST(a_device_error_on_one_rank_fails_on_all),
    DT_TEST(only_the_given_step_is_loaded),
};
DT_TEST_MAIN("io/store/checkpoint_load", tests)
