/* Saving and loading over the real store with threads as ranks: one answer for all ranks, whatever
 * happens. */
#include "core/checkpoint/load.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "core/base/log.h"
#include "io/store/hdf5_store.h"
#include "tests/fakes/fake_comm.h"
#include "tests/fakes/fake_state.h"
#include "tests/fakes/save_checkpoint.h"
#include "tests/testing.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_RANKS 7

/* What one collective call gave to every rank. */
typedef struct outcome {
    dt_status status[MAX_RANKS];
    dt_error err[MAX_RANKS];
    bool found[MAX_RANKS];
    int64_t step[MAX_RANKS], bytes[MAX_RANKS];
    char config[MAX_RANKS][64];
} outcome;

typedef struct job {
    dt_store *store;
    fake_state states[MAX_RANKS];     /* one per rank, equal */
    dt_manifest manifests[MAX_RANKS]; /* for saving */
    int64_t keep;
    const int64_t *only_step; /* for loading */
    int refusing_rank;        /* its accept refuses; -1: none */
    int64_t fail_alloc_at;    /* this allocation of save or load fails; 0: none */
    outcome out;
} job;

static void make_job(job *j, dt_store *store, uint64_t seed)
{
    memset(j, 0, sizeof *j);
    j->store = store;
    j->keep = 10;
    j->refusing_rank = -1;
    for (int r = 0; r < MAX_RANKS; r++)
        fake_state_init(&j->states[r], seed);
}

static void clear_job(job *j)
{
    for (int r = 0; r < MAX_RANKS; r++)
        fake_state_clear(&j->states[r]);
}

static void save_on_rank(dt_comm *comm, void *context)
{
    job *j = context;
    int r = comm->rank;
    j->out.status[r] = save_checkpoint(comm, j->store, &j->states[r].layout, &j->states[r].io,
                                       &j->manifests[r], j->keep, &j->out.bytes[r], &j->out.err[r]);
}

typedef struct acceptance {
    const job *j;
    int rank;
} acceptance;

static dt_status accept(void *context, const dt_manifest *m, dt_error *err)
{
    const acceptance *a = context;
    if (a->rank == a->j->refusing_rank)
        return dt_fail(err, DT_ERR_USAGE, "--arch is resnet50, the checkpoint's is %s", m->arch);
    return DT_OK;
}

static void load_on_rank(dt_comm *comm, void *context)
{
    job *j = context;
    int r = comm->rank;
    dt_manifest m = {.step = -1};
    acceptance a = {j, r};
    const dt_checkpoint_location place = {.store = j->store, .only_step = j->only_step};
    j->out.found[r] = false;
    j->out.status[r] = dt_checkpoint_load(comm, &place, &j->states[r].layout, &j->states[r].io, accept, &a,
                                          &m, &j->out.found[r], &j->out.err[r]);
    j->out.step[r] = m.step;
    if (j->out.status[r] == DT_OK && j->out.found[r]) {
        snprintf(j->out.config[r], sizeof j->out.config[r], "%s", m.config_text);
        dt_manifest_clear(&m);
    }
}

/* Every rank's status, and on failure every rank's message, is rank 0's. */
static dt_status agreed(const outcome *out, int size)
{
    for (int r = 1; r < size; r++) {
        DT_CHECK_INT(out->status[r], out->status[0]);
        DT_CHECK_INT(out->found[r], out->found[0]);
        if (out->status[0] != DT_OK)
            DT_CHECK_STR(out->err[r].message, out->err[0].message);
    }
    return out->status[0];
}

static dt_status save(job *j, int size, int64_t step)
{
    memset(&j->out, 0, sizeof j->out);
    for (int r = 0; r < size; r++)
        j->manifests[r] = fake_manifest(step);
    dt_alloc_fail_after(j->fail_alloc_at);
    fake_comm_run(size, save_on_rank, j);
    dt_alloc_fail_after(0);
    for (int r = 0; r < size; r++)
        dt_manifest_clear(&j->manifests[r]);
    return agreed(&j->out, size);
}

static dt_status load(job *j, int size)
{
    memset(&j->out, 0, sizeof j->out);
    for (int r = 0; r < size; r++) {
        memset(j->states[r].values, 0, (size_t)j->states[r].layout.n_elems * sizeof(float));
        j->states[r].n_set = 0;
    }
    dt_alloc_fail_after(j->fail_alloc_at);
    fake_comm_run(size, load_on_rank, j);
    dt_alloc_fail_after(0);
    return agreed(&j->out, size);
}

static dt_store *open_store(const char *folder)
{
    dt_store *store = NULL;
    DT_REQUIRE(dt_store_hdf5_create(folder, &store, NULL) == DT_OK);
    return store;
}

static void check_saved(dt_store *store, int size, int64_t step, uint64_t seed)
{
    job *j = malloc(sizeof *j);
    make_job(j, store, seed);
    dt_status status = save(j, size, step);
    DT_CHECK_MSG(status == DT_OK, "%s", j->out.err[0].message);
    for (int r = 0; r < size; r++)
        DT_CHECK(j->out.bytes[r] > j->states[0].layout.n_elems * 4 && j->out.bytes[r] == j->out.bytes[0]);
    clear_job(j);
    free(j);
}

/* Loading at this many ranks gives step `step` and the state of `seed` on every rank. */
static void check_loads(dt_store *store, int size, int64_t step, uint64_t seed)
{
    job *j = malloc(sizeof *j);
    fake_state expected;
    fake_state_init(&expected, seed);
    make_job(j, store, 99);
    dt_status status = load(j, size);
    DT_CHECK_MSG(status == DT_OK, "%s", j->out.err[0].message);
    for (int r = 0; r < size; r++) {
        DT_CHECK(j->out.found[r]);
        DT_CHECK_INT(j->out.step[r], step);
        DT_CHECK_CONTAINS(j->out.config[r], "lr = 0.1");
        DT_CHECK_BYTES(j->states[r].values, expected.values, (size_t)expected.layout.n_elems * sizeof(float));
    }
    clear_job(j);
    free(j);
    fake_state_clear(&expected);
}

/* Loading fails on all ranks with this status; returns rank 0's message, valid until the next call. */
static const char *check_refused(dt_store *store, int size, dt_status expected, int refusing_rank)
{
    static char message[DT_ERROR_MESSAGE_BYTES];
    job *j = malloc(sizeof *j);
    make_job(j, store, 99);
    j->refusing_rank = refusing_rank;
    dt_status status = load(j, size);
    DT_CHECK_MSG(status == expected, "%s: %s", dt_status_name(status), j->out.err[0].message);
    for (int r = 0; r < size; r++)
        DT_CHECK_INT(j->out.step[r], -1); /* the manifest was not touched */
    snprintf(message, sizeof message, "%s", j->out.err[0].message);
    clear_job(j);
    free(j);
    return message;
}

static char log_text[8192];
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

static void collect(void *context, dt_log_level level, const char *line)
{
    (void)context;
    pthread_mutex_lock(&log_lock);
    size_t n = strlen(log_text);
    if (level == DT_LOG_WARN)
        snprintf(log_text + n, sizeof log_text - n, "%s\n", line);
    pthread_mutex_unlock(&log_lock);
}

static void damage(const char *folder, int64_t step, const char *file)
{
    const char *path = dt_test_path("%s/step-%08d/%s", folder, (int)step, file);
    size_t n;
    char *bytes = dt_test_read_file(path, &n);
    DT_REQUIRE_MSG(bytes != NULL, "no %s", path);
    bytes[n / 2] ^= 4;
    dt_test_write_file(path, bytes, n);
    free(bytes);
}

static void saved_at_any_world_size_it_loads_at_any_other(void)
{
    static const int sizes[] = {1, 2, 3, 7};
    dt_store *store = open_store(dt_test_temp_dir());
    for (int s = 0; s < 4; s++) {
        check_saved(store, sizes[s], 10 + s, (uint64_t)s);
        for (int l = 0; l < 4; l++)
            check_loads(store, sizes[l], 10 + s, (uint64_t)s);
    }
    store->ops->destroy(store);
}

static void shards_are_even_and_ranks_beyond_the_elements_write_empty_ones(void)
{
    job *j = malloc(sizeof *j);
    dt_store *store = open_store(dt_test_temp_dir());
    static const dt_state_tensor small = {.name = "two", .n_dims = 1, .dims = {2}, .n_elems = 2};
    dt_manifest m;
    make_job(j, store, 1);
    DT_CHECK_INT(save(j, 3, 1), DT_OK);
    DT_REQUIRE(store->ops->read_manifest(store, 1, &m, NULL) == DT_OK);
    DT_CHECK_INT(m.n_shards, 3);
    for (int64_t i = 0; i < 3; i++)
        DT_CHECK(llabs(m.shards[i].n_elems - j->states[0].layout.n_elems / 3) <= 1);
    dt_manifest_clear(&m);
    for (int r = 0; r < MAX_RANKS; r++) {
        j->states[r].tensors[0] = small;
        j->states[r].place[0].n_elems = small.n_elems;
        j->states[r].place[0].order = dt_weights_order_plain(small.n_elems);
        j->states[r].layout.n_tensors = 1;
        j->states[r].layout.n_elems = 2;
    }
    const float two[] = {j->states[0].values[0], j->states[0].values[1]};
    DT_CHECK_INT(save(j, 5, 2), DT_OK);
    DT_CHECK_INT(load(j, 2), DT_OK);
    DT_CHECK_BYTES(j->states[1].values, two, sizeof two);
    clear_job(j);
    free(j);
    store->ops->destroy(store);
}

static void without_any_checkpoint_nothing_is_set(void)
{
    job *j = malloc(sizeof *j);
    dt_store *store = open_store(dt_test_path("%s/not/there", dt_test_temp_dir()));
    make_job(j, store, 1);
    DT_CHECK_INT(load(j, 2), DT_OK);
    DT_CHECK(!j->out.found[0] && !j->out.found[1]);
    DT_CHECK_INT(j->states[1].n_set, 0);
    clear_job(j);
    free(j);
    store->ops->destroy(store);
}

static void damaged_checkpoints_are_passed_over_with_the_reason(void)
{
    const char *dir = dt_test_temp_dir();
    dt_store *store = open_store(dir);
    for (int64_t step = 1; step <= 5; step++)
        check_saved(store, 2, step, (uint64_t)step);
    damage(dir, 5, "shard-0001-of-0002.h5");
    damage(dir, 4, "manifest.json");
    unlink(dt_test_path("%s/step-00000003/shard-0000-of-0002.h5", dir));
    unlink(dt_test_path("%s/step-00000002/manifest.json", dir));
    for (int size = 1; size <= 3; size++) {
        log_text[0] = '\0';
        dt_log_set_sink(collect, NULL, DT_LOG_INFO);
        check_loads(store, size, 1, 1);
        dt_log_set_sink(NULL, NULL, DT_LOG_INFO);
        const char *reasons[] = {"passing over step 5: ", "shard-0001-of-0002.h5: its XXH3-128 is",
                                 "passing over step 4: ", "manifest.json: ",
                                 "passing over step 3: ", "shard-0000-of-0002.h5: cannot open",
                                 "passing over step 2: "};
        const char *at = log_text;
        for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) { /* each once, in this order */
            at = at ? strstr(at, reasons[i]) : NULL;
            DT_CHECK_MSG(at != NULL, "%d ranks: no \"%s\" in its place in: %s", size, reasons[i], log_text);
        }
        DT_CHECK(at && !strstr(at + 1, "passing over"));
    }
    damage(dir, 1, "shard-0000-of-0002.h5");
    const char *message = check_refused(store, 3, DT_ERR_FORMAT, -1);
    DT_CHECK_CONTAINS(message, dir);
    DT_CHECK_CONTAINS(message, "none of the 5 checkpoints");
    store->ops->destroy(store);
}

static void a_shard_that_fails_in_reading_is_passed_over_too(void)
{
    dt_store *store = open_store(dt_test_temp_dir());
    check_saved(store, 3, 1, 1);
    check_saved(store, 3, 2, 2);
    for (int n = 1; n <= 3; n++) { /* also after tensors of the newer one were set */
        dt_fault_arm(dt_test_path("store.read:%d", n), 0, NULL);
        check_loads(store, 2, 1, 1);
        dt_fault_arm(dt_test_path("store.verify:%d", n), 0, NULL);
        check_loads(store, 2, 1, 1);
    }
    dt_fault_arm(NULL, 0, NULL);
    check_loads(store, 2, 2, 2);
    store->ops->destroy(store);
}

static void another_model_is_refused_not_passed_over(void)
{
    const char *dir = dt_test_temp_dir();
    job *j = malloc(sizeof *j);
    dt_store *store = open_store(dir);
    check_saved(store, 2, 1, 1);
    make_job(j, store, 1);
    for (int r = 0; r < MAX_RANKS; r++)
        snprintf(j->states[r].tensors[3].name, 20, "param/head.weight");
    DT_CHECK_INT(save(j, 2, 2), DT_OK);
    clear_job(j);
    DT_CHECK_CONTAINS(check_refused(store, 2, DT_ERR_USAGE, -1),
                      "step 2 has the tensor param/head.weight where this model has param/fc.weight");
    make_job(j, store, 1);
    for (int r = 0; r < MAX_RANKS; r++) {
        j->states[r].tensors[3].dims[0] = 16;
        j->states[r].tensors[3].dims[1] = 10;
    }
    DT_CHECK_INT(save(j, 2, 3), DT_OK);
    DT_CHECK_CONTAINS(check_refused(store, 2, DT_ERR_USAGE, -1), "step 3 has param/fc.weight with");
    for (int r = 0; r < MAX_RANKS; r++) {
        j->states[r].layout.n_tensors--;
        j->states[r].layout.n_elems--;
    }
    DT_CHECK_INT(save(j, 2, 4), DT_OK);
    DT_CHECK_CONTAINS(check_refused(store, 2, DT_ERR_USAGE, -1), "step 4 has 6 tensors, this model has 7");
    clear_job(j);
    free(j);
    store->ops->destroy(store);
}

static void a_refusal_by_one_rank_is_everyones(void)
{
    dt_store *store = open_store(dt_test_temp_dir());
    check_saved(store, 2, 1, 1);
    for (int rank = 0; rank < 3; rank++) {
        const char *message = check_refused(store, 3, DT_ERR_USAGE, rank);
        DT_CHECK_CONTAINS(message, "--arch is resnet50, the checkpoint's is resnet18");
    }
    store->ops->destroy(store);
}

static void a_checkpoint_of_a_newer_dtrain_is_not_passed_over(void)
{
    static const char future[] = "{\"format_version\": 999}\n";
    const char *dir = dt_test_temp_dir();
    dt_store *store = open_store(dir);
    check_saved(store, 2, 1, 1);
    DT_CHECK(mkdir(dt_test_path("%s/step-00000002", dir), 0755) == 0);
    dt_test_write_file(dt_test_path("%s/step-00000002/manifest.json", dir), future, strlen(future));
    DT_CHECK_CONTAINS(check_refused(store, 2, DT_ERR_UNSUPPORTED, -1), "a newer dtrain wrote it");
    store->ops->destroy(store);
}

static void a_rank_that_fails_in_writing_fails_all_and_leaves_nothing(void)
{
    const char *dir = dt_test_temp_dir();
    job *j = malloc(sizeof *j);
    dt_store *store = open_store(dir);
    check_saved(store, 3, 1, 1);
    for (int rank = 0; rank < 3; rank++) {
        make_job(j, store, 2);
        for (int i = 0; i < FAKE_STATE_TENSORS; i++)
            j->states[rank].fail_get_at = rank == 0 ? 0 : rank == 1 ? 2 : 6; /* one that is in its shard */
        DT_CHECK_INT(save(j, 3, 2), DT_ERR_DEVICE);
        DT_CHECK_CONTAINS(j->out.err[0].message, dt_test_path("rank %d", rank));
        DT_CHECK_CONTAINS(j->out.err[0].message, "the device has lost");
        DT_CHECK(access(dt_test_path("%s/step-00000002", dir), F_OK) != 0);
        DT_CHECK(access(dt_test_path("%s/step-00000002.tmp", dir), F_OK) != 0);
        clear_job(j);
    }
    check_loads(store, 2, 1, 1);
    free(j);
    store->ops->destroy(store);
}

static void every_fault_in_saving_is_everyones_and_older_checkpoints_stand(void)
{
    static const char *const faults[] = {
        "store.begin:1",    "store.open:1",           "store.open:3",           "store.write:1",
        "store.write:9",    "store.space:2",          "store.fsync:2",          "store.hash:3",
        "store.manifest:1", "store.manifest.write:1", "store.manifest.fsync:1", "store.folder.fsync:1",
        "store.rename:1"};
    const char *dir = dt_test_temp_dir();
    job *j = malloc(sizeof *j);
    dt_store *store = open_store(dir);
    check_saved(store, 3, 1, 1);
    make_job(j, store, 2);
    for (size_t f = 0; f < sizeof faults / sizeof *faults; f++) {
        dt_fault_arm(faults[f], 0, NULL);
        dt_status status = save(j, 3, 2);
        dt_fault_arm(NULL, 0, NULL);
        DT_CHECK_MSG(status == DT_ERR_IO, "%s gives %s", faults[f], dt_status_name(status));
        DT_CHECK_CONTAINS(j->out.err[2].message, dir);
        DT_CHECK(access(dt_test_path("%s/step-00000002.tmp", dir), F_OK) != 0);
        check_loads(store, 2, 1, 1);
    }
    clear_job(j);
    free(j);
    store->ops->destroy(store);
}

static void a_failure_to_remove_old_ones_is_a_warning(void)
{
    dt_store *store = open_store(dt_test_temp_dir());
    log_text[0] = '\0';
    dt_log_set_sink(collect, NULL, DT_LOG_INFO);
    dt_fault_arm("store.prune:1", 0, NULL);
    check_saved(store, 2, 1, 1);
    dt_fault_arm(NULL, 0, NULL);
    dt_log_set_sink(NULL, NULL, DT_LOG_INFO);
    DT_CHECK_CONTAINS(log_text, "old ones were not removed");
    check_loads(store, 2, 1, 1);
    store->ops->destroy(store);
}

static void a_device_that_refuses_on_one_rank_fails_all(void)
{
    job *j = malloc(sizeof *j);
    dt_store *store = open_store(dt_test_temp_dir());
    check_saved(store, 2, 1, 1);
    check_saved(store, 2, 2, 2);
    for (int tensor = 0; tensor < FAKE_STATE_TENSORS; tensor++) {
        make_job(j, store, 1);
        j->states[1].fail_set_at = tensor;
        /* not the store's I/O: nothing is passed over */
        j->states[1].fail_status = tensor % 2 ? DT_ERR_DEVICE : DT_ERR_IO;
        DT_CHECK_INT(load(j, 3), j->states[1].fail_status);
        DT_CHECK_CONTAINS(j->out.err[0].message, "rank 1");
        DT_CHECK_CONTAINS(j->out.err[0].message, j->states[0].tensors[tensor].name);
        clear_job(j);
    }
    free(j);
    store->ops->destroy(store);
}

static void only_so_many_checkpoints_are_kept(void)
{
    job *j = malloc(sizeof *j);
    int64_t steps[8], n;
    dt_store *store = open_store(dt_test_temp_dir());
    make_job(j, store, 1);
    j->keep = 2;
    for (int64_t step = 1; step <= 4; step++)
        DT_CHECK_INT(save(j, 2, step), DT_OK);
    DT_CHECK_INT(store->ops->list(store, steps, 8, &n, NULL), DT_OK);
    DT_CHECK_INT(n, 2);
    DT_CHECK(steps[0] == 4 && steps[1] == 3);
    clear_job(j);
    free(j);
    store->ops->destroy(store);
}

/* Whichever allocation fails, on whichever rank: all ranks leave with the same answer, and nothing leaks. */
static void every_allocation_may_fail(void)
{
    job *j = malloc(sizeof *j);
    dt_store *store = open_store(dt_test_temp_dir());
    for (int size = 1; size <= 2; size++) {
        check_saved(store, size, size, 1);
        make_job(j, store, 1);
        int64_t live = dt_alloc_live_blocks();
        for (bool fails = true; fails;) {
            j->fail_alloc_at++;
            dt_status saved = save(j, size, 10), loaded = load(j, size);
            DT_CHECK_INT(dt_alloc_live_blocks(), live);
            fails = saved != DT_OK || loaded != DT_OK;
            DT_CHECK(saved == DT_OK || saved == DT_ERR_MEMORY);
            DT_REQUIRE(j->fail_alloc_at < 500);
        }
        DT_CHECK_MSG(j->fail_alloc_at > 10, "only %d allocations", (int)j->fail_alloc_at);
        clear_job(j);
    }
    free(j);
    store->ops->destroy(store);
}

static void one_step_is_loaded_or_nothing(void)
{
    const int64_t there = 20, not_there = 21;
    dt_store *store = open_store(dt_test_temp_dir());
    job *j = malloc(sizeof *j);
    make_job(j, store, 5);
    for (int64_t step = 10; step <= 30; step += 10)
        DT_REQUIRE(save(j, 2, step) == DT_OK);
    DT_CHECK(load(j, 3) == DT_OK && j->out.found[0] && j->out.step[0] == 30);
    j->only_step = &there;
    DT_CHECK(load(j, 3) == DT_OK && j->out.found[0] && j->out.step[0] == 20);
    DT_CHECK_INT(j->states[2].n_set, FAKE_STATE_TENSORS);
    j->only_step = &not_there;
    DT_CHECK(load(j, 3) == DT_OK && !j->out.found[0]);
    DT_CHECK_INT(j->states[2].n_set, 0);
    clear_job(j);
    free(j);
    store->ops->destroy(store);
}

static const dt_test tests[] = {
    DT_TEST(saved_at_any_world_size_it_loads_at_any_other),
    DT_TEST(shards_are_even_and_ranks_beyond_the_elements_write_empty_ones),
    DT_TEST(without_any_checkpoint_nothing_is_set),
    DT_TEST(damaged_checkpoints_are_passed_over_with_the_reason),
    DT_TEST(a_shard_that_fails_in_reading_is_passed_over_too),
    DT_TEST(another_model_is_refused_not_passed_over),
    DT_TEST(a_refusal_by_one_rank_is_everyones),
    DT_TEST(a_checkpoint_of_a_newer_dtrain_is_not_passed_over),
    DT_TEST(a_rank_that_fails_in_writing_fails_all_and_leaves_nothing),
    DT_TEST(every_fault_in_saving_is_everyones_and_older_checkpoints_stand),
    DT_TEST(a_failure_to_remove_old_ones_is_a_warning),
    DT_TEST(a_device_that_refuses_on_one_rank_fails_all),
    DT_TEST(one_step_is_loaded_or_nothing),
    DT_TEST(only_so_many_checkpoints_are_kept),
    DT_TEST(every_allocation_may_fail),
};
DT_TEST_MAIN("io/checkpoint", tests)
