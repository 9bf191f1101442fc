/* Shards that dtrain did not write, in checkpoints whose hashes are right: each is refused before an
 * element is read, whatever HDF5 would do with it. */
#include "core/base/alloc.h"
#include "io/durable.h"
#include "io/store/hdf5_shard.h"
#include "io/store/manifest_json.h"
#include "tests/io/store/foreign_edits.h"
#include "tests/io/store/store_kit.h"
#include "tests/testing.h"

#include <fcntl.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static fake_state state;

static const char *shard_path(void)
{
    return dt_test_path("%s/step-00000005/shard-0000-of-0001.h5", dt_test_temp_dir());
}

/* -- forging
 * ---------------------------------------------------------------------------------------------- */

/* Give the manifest the size and hash of the file, and its own hash. */
static void forge_manifest(dt_store *store)
{
    dt_manifest m = {0};
    char *text = NULL;
    int64_t bytes = 0;
    size_t n = 0;
    DT_REQUIRE(store->ops->read_manifest(store, FOREIGN_STEP, &m, NULL) == DT_OK);
    char *file = dt_test_read_file(shard_path(), &n);
    m.shards[0].bytes = (int64_t)n;
    dt_durable_hash_memory(file, (int64_t)n, m.shards[0].xxh3_128);
    DT_REQUIRE(dt_manifest_write(&m, &text, &bytes, NULL) == DT_OK);
    dt_test_write_file(dt_test_path("%s/step-00000005/manifest.json", dt_test_temp_dir()), text,
                       (size_t)bytes);
    dt_free(text);
    free(file);
    dt_manifest_clear(&m);
}

/* The status of verify_shard; read_shard returns the same. */
static dt_status verify(dt_store *store, float *values, dt_error *err)
{
    dt_manifest m = {0};
    DT_TRY(store->ops->read_manifest(store, FOREIGN_STEP, &m, err));
    dt_status status = store->ops->verify_shard(store, &m, &m.shards[0], NULL, err);
    DT_CHECK_INT(store->ops->read_shard(store, &m, &m.shards[0], values, NULL), status);
    dt_manifest_clear(&m);
    return status;
}

/* Check that the forged shard is refused with this message. */
static void check_refused(dt_store *store, const char *what, const char *message)
{
    dt_error err = {0};
    float *values = calloc((size_t)state.layout.n_elems, sizeof *values);
    forge_manifest(store);
    DT_CHECK_MSG(verify(store, values, &err) == DT_ERR_FORMAT, "%s was accepted", what);
    DT_CHECK_CONTAINS(err.message, message);
    DT_CHECK_CONTAINS(err.message, "shard-0000-of-0001.h5: ");
    for (int64_t i = 0; i < state.layout.n_elems; i++)
        DT_REQUIRE_MSG(values[i] == 0, "%s: elements were read", what);
    free(values);
}

static void what_dtrain_did_not_write_is_refused(void)
{
    dt_store *store = store_kit_open(dt_test_temp_dir());
    struct rusage before, after;
    for (size_t i = 0; i < n_foreign_edits; i++) {
        unlink(foreign_other_path());
        store_kit_check_saved(store, &state, FOREIGN_STEP, 1);
        hid_t h5 = foreign_open(shard_path(), H5F_ACC_RDWR, foreign_edits[i].low);
        foreign_edits[i].edit(h5);
        H5Fclose(h5);
        getrusage(RUSAGE_SELF, &before); /* the peak so far: what the library took to write the file counts */
        check_refused(store, foreign_edits[i].name, foreign_edits[i].message);
        getrusage(RUSAGE_SELF, &after);
        DT_CHECK_MSG(after.ru_maxrss - before.ru_maxrss < 16 << 10, "%s took %ld kB", foreign_edits[i].name,
                     after.ru_maxrss - before.ru_maxrss);
    }
    store->ops->destroy(store);
}

/* -- whole files
 * ------------------------------------------------------------------------------------------ */

/* Copy everything into a new file made with these lists. */
static void copy_into(hid_t create, H5F_libver_t low, H5F_libver_t high)
{
    static const char *const objects[] = {"param", "momentum", "buffer", "steps"};
    const int64_t first = 0;
    const char *copy = dt_test_path("%s/copy.h5", dt_test_temp_dir());
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, low, high);
    hid_t from = foreign_open(shard_path(), H5F_ACC_RDONLY, H5F_LIBVER_V18),
          to = H5Fcreate(copy, H5F_ACC_TRUNC, create, access);
    DT_REQUIRE(to >= 0);
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++)
        DT_REQUIRE(H5Ocopy(from, objects[i], to, objects[i], H5P_DEFAULT, H5P_DEFAULT) >= 0);
    const int64_t step = FOREIGN_STEP, n_elems = state.layout.n_elems;
    foreign_add_attribute(to, "/", "step", H5T_NATIVE_INT64, 0, &step);
    foreign_add_attribute(to, "/", "first_element", H5T_NATIVE_INT64, 0, &first);
    foreign_add_attribute(to, "/", "n_elements", H5T_NATIVE_INT64, 0, &n_elems);
    H5Fclose(from);
    H5Fclose(to);
    H5Pclose(access);
    DT_REQUIRE(rename(copy, shard_path()) == 0);
}

static void copies_in_the_same_format_are_accepted(void)
{
    dt_error err = {0};
    dt_store *store = store_kit_open(dt_test_temp_dir());
    float *values = calloc((size_t)state.layout.n_elems, sizeof *values);
    store_kit_check_saved(store, &state, FOREIGN_STEP, 1);
    copy_into(H5P_DEFAULT, H5F_LIBVER_V18, H5F_LIBVER_V18);
    forge_manifest(store);
    DT_CHECK_MSG(verify(store, values, &err) == DT_OK, "%s", err.message);
    DT_CHECK_BYTES(values, state.values, (size_t)state.layout.n_elems * sizeof *values);
    free(values);
    store->ops->destroy(store);
}

static void other_kinds_of_hdf5_files_are_refused(void)
{
    dt_store *store = store_kit_open(dt_test_temp_dir());
    hid_t create = H5Pcreate(H5P_FILE_CREATE);
    store_kit_check_saved(store, &state, FOREIGN_STEP, 1);
    copy_into(H5P_DEFAULT, H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST);
    check_refused(store, "superblock 0", "superblock of version 2");
    store_kit_check_saved(store, &state, FOREIGN_STEP, 1);
    copy_into(H5P_DEFAULT, H5F_LIBVER_V110, H5F_LIBVER_LATEST);
    check_refused(store, "superblock 3", "superblock of version 2");
    store_kit_check_saved(store, &state, FOREIGN_STEP, 1);
    H5Pset_userblock(create, 512);
    copy_into(create, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
    check_refused(store, "a user block", "superblock of version 2");
    store_kit_check_saved(store, &state, FOREIGN_STEP, 1);
    H5Pset_userblock(create, 0);
    H5Pset_file_space_strategy(create, H5F_FSPACE_STRATEGY_PAGE, true, 1);
    copy_into(create, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
    check_refused(store, "a file-space strategy", ": dtrain did not write this shard");
    H5Pclose(create);
    create = H5Pcreate(H5P_FILE_CREATE);
    store_kit_check_saved(store, &state, FOREIGN_STEP, 1);
    H5Pset_shared_mesg_nindexes(create, 1);
    H5Pset_shared_mesg_index(create, 0, H5O_SHMESG_ALL_FLAG, 10);
    copy_into(create, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
    check_refused(store, "shared messages", "has an extension of its superblock");
    H5Pclose(create);
    store->ops->destroy(store);
}

static void files_of_another_length_are_refused(void)
{
    dt_store *store = store_kit_open(dt_test_temp_dir());
    size_t n = 0;
    store_kit_check_saved(store, &state, FOREIGN_STEP, 1);
    char *whole = dt_test_read_file(shard_path(), &n), *longer_file = calloc(1, n + (1 << 20));
    memcpy(longer_file, whole, n);
    dt_test_write_file(shard_path(), whole, (size_t)state.layout.n_elems * sizeof(float));
    check_refused(store, "a file of elements only", "cannot be a shard of 2944 elements");
    dt_test_write_file(shard_path(), whole, n - 100);
    check_refused(store, "a file cut short", "does not end where its superblock says");
    dt_test_write_file(shard_path(), longer_file, n + 100);
    check_refused(store, "a file with more bytes", "does not end where its superblock says");
    dt_test_write_file(shard_path(), longer_file, n + (1 << 20));
    check_refused(store, "a large file", "cannot be a shard");
    memset(longer_file, 'x', n);
    dt_test_write_file(shard_path(), longer_file, n);
    check_refused(store, "a text", "does not begin with HDF5's superblock");
    free(whole);
    free(longer_file);
    store->ops->destroy(store);
}

/* -- many tensors
 * ----------------------------------------------------------------------------------------- */

static dt_status get_name(void *context, int64_t tensor, float *canonical, dt_error *err)
{
    (void)context, (void)err;
    canonical[0] = (float)tensor;
    return DT_OK;
}

/* The links of a group are in its header, in one block of a heap, or in several rows of blocks. */
static void groups_of_any_number_of_tensors_are_read(void)
{
    enum { MOST = 3000 };
    static dt_state_tensor tensors[MOST];
    static float values[MOST];
    for (int i = 0; i < MOST; i++) {
        tensors[i] = (dt_state_tensor){.n_dims = 1, .dims = {1}, .n_elems = 1, .first = i};
        snprintf(tensors[i].name, sizeof tensors[i].name, "%s/layer%d.%d.conv1.weight",
                 i % 7 ? "param" : "momentum", i / 10, i % 10);
    }
    for (int64_t n = 1; n <= MOST; n += n < 40 ? 1 : n / 2) {
        const dt_state_layout layout = {n, n, tensors};
        const dt_state_io io = {.get = get_name};
        const dt_hdf5_expected expected = {&layout, FOREIGN_STEP, 0, n};
        dt_error err = {0};
        char hex[33];
        int64_t bytes = 0;
        FILE *f = tmpfile();
        DT_REQUIRE(f && dt_hdf5_shard_write(fileno(f), "x", FOREIGN_STEP, &layout, &io, 0, n, NULL, &bytes,
                                            hex, &err) == DT_OK);
        float *next = values;
        const dt_shard_sink sink = dt_hdf5_array_sink(&next);
        dt_status status = dt_hdf5_shard_read(fileno(f), "x", bytes, hex, &expected, &sink, &err);
        DT_CHECK_MSG(status == DT_OK, "%lld tensors: %s", (long long)n, err.message);
        for (int64_t i = 0; i < n && status == DT_OK; i++)
            DT_REQUIRE(values[i] == (float)i);
        fclose(f);
    }
}

/* -- bytes
 * ------------------------------------------------------------------------------------------------ */

/* DT_TEST_MUTATIONS: how many, 400 unless it says otherwise. Accepted is only what holds other elements. */
static void flipped_bytes_with_a_good_hash_do_no_harm(void)
{
    const char *wanted = getenv("DT_TEST_MUTATIONS");
    const int n_mutations = wanted ? atoi(wanted) : 400;
    dt_store *store = store_kit_open(dt_test_temp_dir());
    size_t n = 0;
    uint64_t x = 88172645463325252u;
    float *values = calloc((size_t)state.layout.n_elems, sizeof *values);
    store_kit_check_saved(store, &state, FOREIGN_STEP, 1);
    char *whole = dt_test_read_file(shard_path(), &n);
    for (int i = 0; i < n_mutations; i++) {
        char *mutant = malloc(n);
        memcpy(mutant, whole, n);
        for (int k = 0; k < 1 + i % 4; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            mutant[x % n] = (char)(i % 2 ? (int)(x >> 32 & 127) : mutant[x % n] ^ 1 << (x >> 40 & 7));
        }
        dt_test_write_file(shard_path(), mutant, n);
        forge_manifest(store);
        (void)verify(store, values, NULL);
        free(mutant);
    }
    free(whole);
    free(values);
    store->ops->destroy(store);
}

void dt_test_set_up(void)
{
    fake_state_init(&state, 1);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void dt_test_tear_down(void)
{
    fake_state_clear(&state);
}

static const dt_test tests[] = {
    DT_TEST(what_dtrain_did_not_write_is_refused),     DT_TEST(copies_in_the_same_format_are_accepted),
    DT_TEST(other_kinds_of_hdf5_files_are_refused),    DT_TEST(files_of_another_length_are_refused),
    DT_TEST(groups_of_any_number_of_tensors_are_read), DT_TEST(flipped_bytes_with_a_good_hash_do_no_harm),
};
DT_TEST_MAIN("io/store/foreign_shard", tests)
