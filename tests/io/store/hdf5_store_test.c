/* Checkpoints on disk: they are read back unchanged, damage is found, and pruning removes only old ones. */
#include "io/store/hdf5_store.h"

#include "tests/io/store/store_kit.h"
#include "tests/testing.h"

#include <errno.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void a_state_is_read_back_from_any_number_of_shards(void)
{
    fake_state s;
    dt_store *store = store_kit_open(dt_test_path("%s/run/checkpoints/", dt_test_temp_dir()));
    fake_state_init(&s, 1);
    for (int n = 1; n <= STORE_KIT_MAX_SHARDS; n++) {
        store_kit_check_saved(store, &s, n, n);
        store_kit_check_holds(store, &s, n);
    }
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static void the_manifest_is_read_back_unchanged(void)
{
    fake_state s;
    dt_error err = {0};
    dt_manifest a = fake_manifest(77), b = {0};
    dt_store *store = store_kit_open(dt_test_temp_dir());
    fake_state_init(&s, 1);
    store_kit_check_saved(store, &s, 77, 3);
    DT_REQUIRE(store->ops->read_manifest(store, 77, &b, &err) == DT_OK);
    DT_CHECK_INT(b.step, 77);
    DT_CHECK_INT(b.epoch, a.epoch);
    DT_CHECK_INT(b.position, a.position);
    DT_CHECK(b.seed == a.seed);
    DT_CHECK(b.data_fingerprint == a.data_fingerprint);
    DT_CHECK_BYTES(&b.computed_by, &a.computed_by, sizeof a.computed_by);
    DT_CHECK(b.best_top1 == a.best_top1 && b.loss_scale == a.loss_scale && b.n_good_steps == 77 &&
             b.n_skipped_steps == 5);
    DT_CHECK_STR(b.arch, a.arch);
    DT_CHECK_STR(b.config_text, a.config_text);
    DT_CHECK_INT(b.n_tensors, FAKE_STATE_TENSORS);
    for (int i = 0; i < FAKE_STATE_TENSORS; i++)
        DT_CHECK_BYTES(&b.tensors[i], &s.tensors[i], sizeof s.tensors[i]);
    DT_CHECK_INT(b.n_shards, 3);
    dt_manifest_clear(&a);
    dt_manifest_clear(&b);
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static void the_same_state_gives_the_same_bytes(void)
{
    fake_state s;
    const char *dir = dt_test_temp_dir();
    char *first[3], *second[3];
    size_t n_first[3], n_second[3];
    static const char *const names[] = {"shard-0000-of-0002.h5", "shard-0001-of-0002.h5", "manifest.json"};
    dt_store *store = store_kit_open(dir);
    fake_state_init(&s, 1);
    store_kit_check_saved(store, &s, 5, 2);
    for (int i = 0; i < 3; i++)
        first[i] = dt_test_read_file(dt_test_path("%s/step-00000005/%s", dir, names[i]), &n_first[i]);
    usleep(1100000); /* HDF5's time stamps, if there were any, are of whole seconds */
    store_kit_check_saved(store, &s, 5, 2);
    for (int i = 0; i < 3; i++) {
        second[i] = dt_test_read_file(dt_test_path("%s/step-00000005/%s", dir, names[i]), &n_second[i]);
        DT_REQUIRE(first[i] && second[i] && n_first[i] == n_second[i]);
        DT_CHECK_BYTES(second[i], first[i], n_first[i]);
        free(first[i]);
        free(second[i]);
    }
    store->ops->destroy(store);
    fake_state_clear(&s);
}

/* With HDF5's own driver and none of our code, as a user's h5py reads it. */
static void hdf5_readers_find_tensors_and_the_offsets_of_pieces(void)
{
    fake_state s;
    int64_t first = -1, shape[4] = {0};
    hsize_t dims[4] = {0};
    const char *dir = dt_test_temp_dir();
    dt_store *store = store_kit_open(dir);
    fake_state_init(&s, 1);
    store_kit_check_saved(store, &s, 9, 2); /* the cut is inside layer1.0.conv1.weight */
    hid_t file =
        H5Fopen(dt_test_path("%s/step-00000009/shard-0000-of-0002.h5", dir), H5F_ACC_RDONLY, H5P_DEFAULT);
    DT_REQUIRE(file >= 0);
    hid_t whole = H5Dopen2(file, "/param/conv1.weight", H5P_DEFAULT), space = H5Dget_space(whole);
    DT_CHECK_INT(H5Sget_simple_extent_dims(space, dims, NULL), 4);
    DT_CHECK_INT(dims[0], 16);
    DT_CHECK_INT(dims[3], 3);
    float *values = malloc(16 * 27 * sizeof *values);
    DT_CHECK(H5Dread(whole, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    DT_CHECK_BYTES(values, s.values, 16 * 27 * sizeof *values);
    free(values);
    H5Sclose(space);
    H5Dclose(whole);
    H5Fclose(file);
    file = H5Fopen(dt_test_path("%s/step-00000009/shard-0001-of-0002.h5", dir), H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t piece = H5Dopen2(file, "/param/layer1.0.conv1.weight", H5P_DEFAULT);
    hid_t attribute = H5Aopen(piece, "first_element", H5P_DEFAULT);
    DT_CHECK(H5Aread(attribute, H5T_NATIVE_INT64, &first) >= 0);
    DT_CHECK_INT(first, s.layout.n_elems / 2 - s.tensors[2].first);
    H5Aclose(attribute);
    attribute = H5Aopen(piece, "shape", H5P_DEFAULT);
    DT_CHECK(H5Aread(attribute, H5T_NATIVE_INT64, shape) >= 0);
    DT_CHECK_INT(shape[0] * shape[1] * shape[2] * shape[3], s.tensors[2].n_elems);
    H5Aclose(attribute);
    H5Dclose(piece);
    H5Fclose(file);
    store->ops->destroy(store);
    fake_state_clear(&s);
}

/* Change one file of a checkpoint, check that loading is an error that names the file, and restore it. */
static void check_damage_is_found(dt_store *store, const char *path, const char *damaged, size_t n)
{
    size_t n_good;
    float values[4096];
    dt_error err = {0};
    char *good = dt_test_read_file(path, &n_good);
    dt_test_write_file(path, damaged, n);
    dt_status status = store_kit_load(store, 4, values, 4096, &err);
    DT_CHECK_MSG(status == DT_ERR_FORMAT, "damage to %s: status %s", path, dt_status_name(status));
    DT_CHECK_CONTAINS(err.message, strrchr(path, '/') + 1);
    dt_test_write_file(path, good, n_good);
    free(good);
}

static void a_flipped_bit_anywhere_is_found(void)
{
    fake_state s;
    const char *dir = dt_test_temp_dir();
    static const char *const names[] = {"shard-0001-of-0002.h5", "manifest.json"};
    dt_store *store = store_kit_open(dir);
    fake_state_init(&s, 1);
    store_kit_check_saved(store, &s, 4, 2);
    for (int f = 0; f < 2; f++) {
        size_t n;
        const char *path = dt_test_path("%s/step-00000004/%s", dir, names[f]);
        char *bytes = dt_test_read_file(path, &n);
        DT_REQUIRE(bytes != NULL);
        for (size_t i = 0; i < n; i += f ? 5 : 97) {
            bytes[i] ^= (char)(1 << i % 7);
            check_damage_is_found(store, path, bytes, n);
            bytes[i] ^= (char)(1 << i % 7);
        }
        free(bytes);
    }
    store_kit_check_holds(store, &s, 4);
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static void a_file_of_another_length_is_found(void)
{
    fake_state s;
    const char *dir = dt_test_temp_dir();
    static const char *const names[] = {"shard-0001-of-0002.h5", "manifest.json"};
    dt_store *store = store_kit_open(dir);
    fake_state_init(&s, 1);
    store_kit_check_saved(store, &s, 4, 2);
    for (int f = 0; f < 2; f++) {
        size_t n;
        const char *path = dt_test_path("%s/step-00000004/%s", dir, names[f]);
        char *bytes = dt_test_read_file(path, &n);
        for (size_t length = 0; length < n; length += n / 7)
            check_damage_is_found(store, path, bytes, length);
        check_damage_is_found(store, path, bytes, n + 1); /* with a zero after it */
        free(bytes);
    }
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static void swapped_and_missing_shards_are_found(void)
{
    fake_state s;
    dt_error err = {0};
    float values[4096];
    const char *dir = dt_test_temp_dir();
    dt_store *store = store_kit_open(dir);
    fake_state_init(&s, 1);
    store_kit_check_saved(store, &s, 4, 2);
    const char *a = dt_test_path("%s/step-00000004/shard-0000-of-0002.h5", dir);
    const char *b = dt_test_path("%s/step-00000004/shard-0001-of-0002.h5", dir);
    const char *aside = dt_test_path("%s/aside", dir);
    DT_CHECK(rename(a, aside) == 0 && rename(b, a) == 0 && rename(aside, b) == 0);
    DT_CHECK_INT(store_kit_load(store, 4, values, 4096, &err), DT_ERR_FORMAT);
    const dt_shard_entry first = {.file = "shard-0000-of-0002.h5"};
    DT_CHECK(store->ops->has_shard(store, 4, &first)); /* although it is another shard */
    DT_CHECK(unlink(a) == 0);
    DT_CHECK(!store->ops->has_shard(store, 4, &first) && !store->ops->has_shard(store, 5, &first));
    DT_CHECK_INT(store_kit_load(store, 4, values, 4096, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "shard-0000-of-0002.h5");
    DT_CHECK_CONTAINS(err.message, strerror(ENOENT));
    /* a whole checkpoint under another one's name */
    store_kit_check_saved(store, &s, 6, 2);
    DT_CHECK(rename(dt_test_path("%s/step-00000006", dir), dt_test_path("%s/step-00000007", dir)) == 0);
    DT_CHECK_INT(store_kit_load(store, 7, values, 4096, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "is the manifest of step 6");
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static void folders_with_other_names_are_left_alone(void)
{
    static const char *const names[] = {"step-00000099",  "step-5",        "step-00000005x",
                                        "step-",          "step--0000001", "notes.txt",
                                        "step-000000010", "other.tmp",     "step-99999999999999999999",
                                        "step-0000000a"};
    fake_state s;
    dt_error err = {0};
    int64_t n;
    const char *dir = dt_test_temp_dir();
    dt_store *store = store_kit_open(dir);
    fake_state_init(&s, 1);
    store_kit_check_saved(store, &s, 7, 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (i) /* the first is a file with the name of a checkpoint */
            DT_CHECK(mkdir(dt_test_path("%s/%s", dir, names[i]), 0755) == 0);
        else
            dt_test_write_file(dt_test_path("%s/%s", dir, names[i]), "x", 1);
    DT_CHECK_INT(store_kit_newest(store, &n), 7);
    DT_CHECK_INT(n, 1);
    DT_CHECK_INT(store->ops->prune(store, 7, 1, &err), DT_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        DT_CHECK_MSG(access(dt_test_path("%s/%s", dir, names[i]), F_OK) == 0, "%s was removed", names[i]);
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static void prune_keeps_the_newest(void)
{
    fake_state s;
    dt_error err = {0};
    int64_t n, steps[16];
    const char *dir = dt_test_temp_dir();
    dt_store *store = store_kit_open(dir);
    fake_state_init(&s, 1);
    for (int64_t step = 1; step <= 5; step++)
        store_kit_check_saved(store, &s, step, 2);
    DT_CHECK_INT(store->ops->begin(store, 6, &err), DT_OK); /* left by a killed process */
    DT_CHECK_INT(store->ops->prune(store, 5, 3, &err), DT_OK);
    DT_CHECK_INT(store->ops->list(store, steps, 2, &n, &err), DT_OK);
    DT_CHECK_INT(n, 3); /* all checkpoints, though only two steps were requested */
    DT_CHECK(steps[0] == 5 && steps[1] == 4);
    DT_CHECK(access(dt_test_path("%s/step-00000006.tmp", dir), F_OK) != 0);
    /* 4 and 5 were passed over as damaged, and training continued from 3 to another 4 */
    store_kit_check_saved(store, &s, 4, 1);
    DT_CHECK_INT(store->ops->prune(store, 4, 2, &err), DT_OK);
    DT_CHECK_INT(store_kit_newest(store, &n), 4);
    DT_CHECK_INT(n, 2);
    DT_CHECK_INT(store->ops->prune(store, 4, 0, &err), DT_OK); /* the newest stays, whatever keep is */
    DT_CHECK_INT(store_kit_newest(store, &n), 4);
    DT_CHECK_INT(n, 1);
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static const dt_test tests[] = {
    DT_TEST(a_state_is_read_back_from_any_number_of_shards),
    DT_TEST(the_manifest_is_read_back_unchanged),
    DT_TEST(the_same_state_gives_the_same_bytes),
    DT_TEST(hdf5_readers_find_tensors_and_the_offsets_of_pieces),
    DT_TEST(a_flipped_bit_anywhere_is_found),
    DT_TEST(a_file_of_another_length_is_found),
    DT_TEST(swapped_and_missing_shards_are_found),
    DT_TEST(folders_with_other_names_are_left_alone),
    DT_TEST(prune_keeps_the_newest),
};
DT_TEST_MAIN("io/store/hdf5_store", tests)
