/* Exact limits of checkpoints, and what a refused shard leaves. */
#include "core/base/alloc.h"
#include "io/durable.h"
#include "io/store/manifest_file.h"
#include "io/store/manifest_json.h"
#include "tests/io/store/store_kit.h"
#include "tests/testing.h"

#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static dt_status write_and_read(dt_manifest *m, const fake_state *s, dt_manifest *again, dt_error *err)
{
    dt_shard_entry shard = {"shard-0000-of-0001.h5", 100000, "0123456789abcdef0123456789abcdef", 0,
                            s->layout.n_elems};
    char *text = NULL;
    int64_t bytes = 0;
    m->n_tensors = s->layout.n_tensors;
    m->tensors = (dt_state_tensor *)s->tensors;
    m->n_shards = 1;
    m->shards = &shard;
    DT_REQUIRE(dt_manifest_write(m, &text, &bytes, NULL) == DT_OK);
    m->tensors = NULL;
    m->shards = NULL;
    const dt_status status = dt_manifest_parse(text, bytes, again, err);
    dt_free(text);
    return status;
}

static void the_best_evaluation_is_of_this_step_or_an_earlier_one(void)
{
    fake_state s;
    fake_state_init(&s, 1);
    for (int64_t later = 0; later <= 1; later++) {
        dt_error err = {0};
        dt_manifest m = fake_manifest(17), again = {0};
        m.best_step = 17 + later;
        DT_CHECK_INT(write_and_read(&m, &s, &again, &err), later ? DT_ERR_FORMAT : DT_OK);
        DT_CHECK_INT(again.best_step, later ? 0 : 17);
        if (later)
            DT_CHECK_CONTAINS(err.message, "\"best_step\" is 18");
        dt_manifest_clear(&again);
        dt_manifest_clear(&m);
    }
    fake_state_clear(&s);
}

static void real_numbers_are_read_back_exactly(void)
{
    const double values[] = {0.1 + 0.2, 1.0 / 3, nextafter(0.5, 1), 0, 1};
    fake_state s;
    fake_state_init(&s, 1);
    for (int i = 0; i < 5; i++) {
        dt_manifest m = fake_manifest(17), again = {0};
        m.best_top1 = values[i];
        DT_CHECK_INT(write_and_read(&m, &s, &again, NULL), DT_OK);
        DT_CHECK(again.best_top1 == values[i]);
        dt_manifest_clear(&again);
        dt_manifest_clear(&m);
    }
    fake_state_clear(&s);
}

/* Of zero bytes: no manifest, but one of them is not even read. */
static void a_manifest_of_the_largest_size_is_read(void)
{
    const char *path = dt_test_path("%s/manifest.json", dt_test_temp_dir());
    dt_test_write_file(path, "", 0);
    for (int more = 0; more <= 1; more++) {
        static const char refusal[] = "has 16777217 bytes, more than any manifest";
        dt_error err = {0};
        dt_manifest m = {0};
        DT_REQUIRE(truncate(path, (16 << 20) + more) == 0);
        DT_CHECK_INT(dt_manifest_read_file(AT_FDCWD, path, "shown", 0, &m, &err), DT_ERR_FORMAT);
        DT_CHECK_CONTAINS(err.message, more ? refusal : "shown: ");
        DT_CHECK(more || !strstr(err.message, "more than"));
    }
}

static void an_empty_folder_of_a_step_is_listed(void)
{
    int64_t n;
    const char *dir = dt_test_temp_dir();
    dt_store *store = store_kit_open(dir);
    DT_CHECK_INT(store_kit_newest(store, &n), -1);
    DT_REQUIRE(mkdir(dt_test_path("%s/step-00000007", dir), 0777) == 0);
    DT_CHECK_INT(store_kit_newest(store, &n), 7); /* so that its damage is reported */
    dt_test_write_file(dt_test_path("%s/step-00000007/notes", dir), "", 0);
    DT_CHECK_INT(store_kit_newest(store, &n), -1);
    store->ops->destroy(store);
}

/* Any byte of the file, the last one too. */
static void a_refused_shard_leaves_zeros(void)
{
    static const double where[] = {0, 0.5, 1};
    fake_state s;
    dt_manifest m = {0};
    const char *dir = dt_test_temp_dir();
    dt_store *store = store_kit_open(dir);
    fake_state_init(&s, 1);
    store_kit_check_saved(store, &s, 7, 1);
    DT_REQUIRE(store->ops->read_manifest(store, 7, &m, NULL) == DT_OK);
    const size_t n = (size_t)s.layout.n_elems;
    float *values = malloc(n * sizeof *values), *zeros = calloc(n, sizeof *zeros);
    const char *path = dt_test_path("%s/step-00000007/%s", dir, m.shards[0].file);
    size_t bytes;
    char *file = dt_test_read_file(path, &bytes);
    DT_REQUIRE(values && zeros && file);
    for (int i = 0; i < 3; i++) {
        dt_error err = {0};
        const size_t at = (size_t)(where[i] * (double)(bytes - 1));
        file[at] ^= 1;
        dt_test_write_file(path, file, bytes);
        file[at] ^= 1;
        memset(values, 1, n * sizeof *values);
        DT_CHECK_INT(store->ops->read_shard(store, &m, &m.shards[0], values, &err), DT_ERR_FORMAT);
        DT_CHECK_CONTAINS(err.message, "XXH3-128");
        DT_CHECK_BYTES(values, zeros, n * sizeof *values);
    }
    dt_test_write_file(path, file, bytes);
    store_kit_check_holds(store, &s, 7);
    DT_CHECK(truncate(path, (off_t)bytes - 1) == 0);
    DT_CHECK_INT(store->ops->verify_shard(store, &m, &m.shards[0], NULL, NULL), DT_ERR_FORMAT);
    free(values);
    free(zeros);
    free(file);
    dt_manifest_clear(&m);
    store->ops->destroy(store);
    fake_state_clear(&s);
}

/* The layout message of a dataset with this many bytes: version 3, class 1, address, size. */
static unsigned char *find_layout(char *file, size_t file_bytes, uint64_t bytes)
{
    for (size_t i = 0; i + 18 <= file_bytes; i++)
        if (file[i] == 3 && file[i + 1] == 1 && memcmp(file + i + 10, &bytes, sizeof bytes) == 0)
            return (unsigned char *)file + i;
    return NULL;
}

/* An address from which one byte of the elements is beyond the end, in a file whose hash is right. */
static void elements_that_reach_beyond_the_file_are_refused(void)
{
    fake_state s;
    dt_manifest m = {0};
    size_t bytes;
    const char *dir = dt_test_temp_dir();
    dt_store *store = store_kit_open(dir);
    fake_state_init(&s, 1);
    store_kit_check_saved(store, &s, 7, 1);
    DT_REQUIRE(store->ops->read_manifest(store, 7, &m, NULL) == DT_OK);
    const char *path = dt_test_path("%s/step-00000007/%s", dir, m.shards[0].file);
    char *file = dt_test_read_file(path, &bytes);
    const uint64_t tensor_bytes = 4 * (uint64_t)s.tensors[0].n_elems;
    unsigned char *layout = file ? find_layout(file, bytes, tensor_bytes) : NULL;
    DT_REQUIRE(layout != NULL);
    for (uint64_t beyond = 0; beyond <= 1; beyond++) {
        dt_error err = {0};
        const uint64_t at = bytes - tensor_bytes + beyond;
        memcpy(layout + 2, &at, sizeof at);
        dt_test_write_file(path, file, bytes);
        dt_durable_hash_memory(file, (int64_t)bytes, m.shards[0].xxh3_128);
        DT_CHECK_INT(store->ops->verify_shard(store, &m, &m.shards[0], NULL, &err), DT_ERR_FORMAT);
        DT_CHECK_MSG((strstr(err.message, "has its elements outside the file") != NULL) == (beyond == 1),
                     "%s", err.message);
    }
    free(file);
    dt_manifest_clear(&m);
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static herr_t print_nothing(hid_t stack, void *context)
{
    (void)stack, (void)context;
    return 0;
}

static void the_callers_printing_of_hdf5_errors_is_restored(void)
{
    static int context;
    fake_state s;
    H5E_auto2_t print = NULL;
    void *data = NULL;
    dt_store *store = store_kit_open(dt_test_temp_dir());
    fake_state_init(&s, 1);
    DT_REQUIRE(H5Eset_auto2(H5E_DEFAULT, print_nothing, &context) >= 0);
    store_kit_check_saved(store, &s, 7, 1);
    DT_REQUIRE(H5Eget_auto2(H5E_DEFAULT, &print, &data) >= 0);
    DT_CHECK(print == print_nothing && data == &context);
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static const dt_test tests[] = {
    DT_TEST(the_best_evaluation_is_of_this_step_or_an_earlier_one),
    DT_TEST(real_numbers_are_read_back_exactly),
    DT_TEST(a_manifest_of_the_largest_size_is_read),
    DT_TEST(an_empty_folder_of_a_step_is_listed),
    DT_TEST(a_refused_shard_leaves_zeros),
    DT_TEST(elements_that_reach_beyond_the_file_are_refused),
    DT_TEST(the_callers_printing_of_hdf5_errors_is_restored),
};
DT_TEST_MAIN("io/store/limits", tests)
