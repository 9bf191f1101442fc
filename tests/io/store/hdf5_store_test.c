/* Checkpoints on disk: what is written comes back, what is damaged is found, what is unfinished never
 * counts. */
#define _GNU_SOURCE /* renameat2 */
#include "io/store/hdf5_store.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "core/checkpoint/load.h"
#include "io/store/manifest_json.h"
#include "tests/fakes/fake_state.h"
#include "tests/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_SHARDS 8

static dt_store *open_store(const char *folder)
{
    dt_store *store = NULL;
    dt_error err = {0};
    dt_status status = dt_store_hdf5_create(folder, &store, &err);
    DT_REQUIRE_MSG(status == DT_OK, "%s", err.message);
    return store;
}

/* What all ranks together do, without a communicator. */
static dt_status save(dt_store *store, const fake_state *s, int64_t step, int64_t n_shards, dt_error *err)
{
    dt_manifest m = fake_manifest(step);
    dt_shard_entry shards[MAX_SHARDS] = {0};
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

/* Verify and read one checkpoint into values[n_elems]. */
static dt_status load(dt_store *store, int64_t step, float *values, int64_t n_elems, dt_error *err)
{
    dt_manifest m = {0};
    DT_TRY(store->ops->read_manifest(store, step, &m, err));
    dt_status status = DT_OK;
    for (int64_t i = 0; i < m.n_shards && status == DT_OK; i++)
        status = store->ops->verify_shard(store, step, &m.shards[i], err);
    for (int64_t i = 0; i < m.n_shards && status == DT_OK; i++) {
        DT_CHECK(m.shards[i].first + m.shards[i].n_elems <= n_elems);
        status = store->ops->read_shard(store, &m, &m.shards[i], values + m.shards[i].first, err);
    }
    dt_manifest_clear(&m);
    return status;
}

static void check_saved(dt_store *store, const fake_state *s, int64_t step, int64_t n_shards)
{
    dt_error err = {0};
    dt_status status = save(store, s, step, n_shards, &err);
    DT_REQUIRE_MSG(status == DT_OK, "%s", err.message);
}

/* The checkpoint is there, whole, and holds exactly this state. */
static void check_holds(dt_store *store, const fake_state *s, int64_t step)
{
    dt_error err = {0};
    float *values = calloc((size_t)s->layout.n_elems, sizeof *values);
    dt_status status = load(store, step, values, s->layout.n_elems, &err);
    DT_CHECK_MSG(status == DT_OK, "step %lld: %s", (long long)step, err.message);
    DT_CHECK_BYTES(values, s->values, (size_t)s->layout.n_elems * sizeof *values);
    free(values);
}

static int64_t newest(dt_store *store, int64_t *n)
{
    int64_t steps[16] = {-1};
    dt_error err = {0};
    DT_CHECK_INT(store->ops->list(store, steps, 16, n, &err), DT_OK);
    return *n ? steps[0] : -1;
}

static void what_is_written_comes_back_from_any_number_of_shards(void)
{
    fake_state s;
    dt_store *store = open_store(dt_test_path("%s/run/checkpoints/", dt_test_temp_dir()));
    fake_state_init(&s, 1);
    for (int n = 1; n <= MAX_SHARDS; n++) {
        check_saved(store, &s, n, n);
        check_holds(store, &s, n);
    }
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static void the_manifest_comes_back_as_it_was(void)
{
    fake_state s;
    dt_error err = {0};
    dt_manifest a = fake_manifest(77), b = {0};
    dt_store *store = open_store(dt_test_temp_dir());
    fake_state_init(&s, 1);
    check_saved(store, &s, 77, 3);
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
    dt_store *store = open_store(dir);
    fake_state_init(&s, 1);
    check_saved(store, &s, 5, 2);
    for (int i = 0; i < 3; i++)
        first[i] = dt_test_read_file(dt_test_path("%s/step-00000005/%s", dir, names[i]), &n_first[i]);
    usleep(1100000); /* HDF5's time stamps, if there were any, are of whole seconds */
    check_saved(store, &s, 5, 2);
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

/* With HDF5's own driver and nothing of ours: what a user's h5py would see. */
static void any_hdf5_reader_finds_tensors_and_pieces_with_their_place(void)
{
    fake_state s;
    int64_t first = -1, shape[4] = {0};
    hsize_t dims[4] = {0};
    const char *dir = dt_test_temp_dir();
    dt_store *store = open_store(dir);
    fake_state_init(&s, 1);
    check_saved(store, &s, 9, 2); /* the cut is inside layer1.0.conv1.weight */
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

/* Change one file of a checkpoint, see that loading it is an error with that file's name in it, and put it
 * back. */
static void check_damage_is_found(dt_store *store, const char *path, const char *damaged, size_t n)
{
    size_t n_good;
    float values[4096];
    dt_error err = {0};
    char *good = dt_test_read_file(path, &n_good);
    dt_test_write_file(path, damaged, n);
    dt_status status = load(store, 4, values, 4096, &err);
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
    dt_store *store = open_store(dir);
    fake_state_init(&s, 1);
    check_saved(store, &s, 4, 2);
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
    check_holds(store, &s, 4);
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static void a_file_cut_short_or_grown_is_found(void)
{
    fake_state s;
    const char *dir = dt_test_temp_dir();
    static const char *const names[] = {"shard-0001-of-0002.h5", "manifest.json"};
    dt_store *store = open_store(dir);
    fake_state_init(&s, 1);
    check_saved(store, &s, 4, 2);
    for (int f = 0; f < 2; f++) {
        size_t n;
        const char *path = dt_test_path("%s/step-00000004/%s", dir, names[f]);
        char *bytes = dt_test_read_file(path, &n);
        for (size_t length = 0; length < n; length += n / 7)
            check_damage_is_found(store, path, bytes, length);
        check_damage_is_found(store, path, bytes, n + 1); /* the zero behind it */
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
    dt_store *store = open_store(dir);
    fake_state_init(&s, 1);
    check_saved(store, &s, 4, 2);
    const char *a = dt_test_path("%s/step-00000004/shard-0000-of-0002.h5", dir);
    const char *b = dt_test_path("%s/step-00000004/shard-0001-of-0002.h5", dir);
    const char *aside = dt_test_path("%s/aside", dir);
    DT_CHECK(rename(a, aside) == 0 && rename(b, a) == 0 && rename(aside, b) == 0);
    DT_CHECK_INT(load(store, 4, values, 4096, &err), DT_ERR_FORMAT);
    const dt_shard_entry first = {.file = "shard-0000-of-0002.h5"};
    DT_CHECK(store->ops->has_shard(store, 4, &first)); /* though it is not what it should be */
    DT_CHECK(unlink(a) == 0);
    DT_CHECK(!store->ops->has_shard(store, 4, &first) && !store->ops->has_shard(store, 5, &first));
    DT_CHECK_INT(load(store, 4, values, 4096, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "shard-0000-of-0002.h5");
    DT_CHECK_CONTAINS(err.message, strerror(ENOENT));
    /* a whole checkpoint under another one's name */
    check_saved(store, &s, 6, 2);
    DT_CHECK(rename(dt_test_path("%s/step-00000006", dir), dt_test_path("%s/step-00000007", dir)) == 0);
    DT_CHECK_INT(load(store, 7, values, 4096, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "is of step 6");
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static const char *const write_faults[] = {
    "store.begin",          "store.open",         "store.write",    "store.space",
    "store.fsync",          "store.hash",         "store.manifest", "store.manifest.write",
    "store.manifest.fsync", "store.folder.fsync", "store.rename"};
#define N_WRITE_FAULTS (sizeof write_faults / sizeof *write_faults)

static void whatever_fails_in_writing_older_checkpoints_stand(void)
{
    fake_state s, newer;
    int64_t n;
    const char *dir = dt_test_temp_dir();
    dt_store *store = open_store(dir);
    fake_state_init(&s, 1);
    fake_state_init(&newer, 2);
    check_saved(store, &s, 10, 2);
    for (size_t f = 0; f < N_WRITE_FAULTS; f++) {
        for (int64_t step = 10; step <= 20; step += 10) { /* over the one that is there, and a new one */
            dt_error err = {0};
            DT_CHECK_INT(dt_fault_arm(dt_test_path("%s:1", write_faults[f]), 0, &err), DT_OK);
            dt_status status = save(store, &newer, step, 2, &err);
            DT_CHECK_MSG(status == DT_ERR_IO, "%s: %s", write_faults[f], dt_status_name(status));
            DT_CHECK_CONTAINS(err.message, dir);
            DT_CHECK_CONTAINS(err.message,
                              strstr(write_faults[f], "space") || strstr(write_faults[f], "t.write")
                                  ? "free"
                                  : strerror(EIO));
            DT_CHECK_INT(newest(store, &n), 10);
            DT_CHECK_INT(n, 1);
            check_holds(store, &s, 10);
            DT_CHECK_MSG(access(dt_test_path("%s/step-%08d.tmp", dir, (int)step), F_OK) != 0,
                         "%s leaves rubbish", write_faults[f]);
        }
    }
    dt_fault_arm(NULL, 0, NULL);
    store->ops->destroy(store);
    fake_state_clear(&s);
    fake_state_clear(&newer);
}

/* A write that fails late, in the middle of HDF5's closing, and every one in between. */
static void a_write_that_fails_at_any_moment_is_an_error(void)
{
    fake_state s;
    dt_error err = {0};
    dt_store *store = open_store(dt_test_temp_dir());
    fake_state_init(&s, 1);
    int moments = 0;
    for (;; moments++) {
        dt_fault_arm(dt_test_path("store.write:%d", moments + 1), 0, NULL);
        dt_status status = save(store, &s, 1, 1, &err);
        if (status == DT_OK)
            break;
        DT_CHECK_INT(status, DT_ERR_IO);
        DT_CHECK_CONTAINS(err.message, "shard-0000-of-0001.h5");
    }
    dt_fault_arm(NULL, 0, NULL);
    DT_CHECK_MSG(moments > 3, "only %d writes in a file", moments);
    check_holds(store, &s, 1);
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static void killed_between_any_two_steps_a_whole_checkpoint_is_left(void)
{
    static const char *const points[] = {"store.begin",          "store.open",           "store.write",
                                         "store.fsync",          "store.hash",           "store.manifest",
                                         "store.manifest.write", "store.manifest.fsync", "store.folder.fsync",
                                         "store.rename",         "store.parent.fsync",   "store.prune"};
    fake_state s, newer;
    int64_t n;
    fake_state_init(&s, 1);
    fake_state_init(&newer, 2);
    for (size_t p = 0; p < sizeof points / sizeof *points; p++) {
        for (int64_t step = 10; step <= 11; step++) {
            dt_error err = {0};
            const char *dir = dt_test_path("%s/%zu-%d", dt_test_temp_dir(), p, (int)step);
            dt_store *store = open_store(dir);
            check_saved(store, &s, 10, 2);
            pid_t child = fork();
            if (child == 0) {
                dt_fault_arm(dt_test_path("%s:1:kill", points[p]), 0, NULL);
                if (save(store, &newer, step, 2, NULL) == DT_OK)
                    store->ops->prune(store, step, 1, NULL);
                _exit(0);
            }
            int how = 0;
            DT_REQUIRE(child > 0 && waitpid(child, &how, 0) == child);
            DT_CHECK_MSG(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL, "%s was never passed", points[p]);
            bool renamed = p >= 10; /* after the rename the new one counts */
            DT_CHECK_INT(newest(store, &n), renamed ? step : 10);
            check_holds(store, renamed ? &newer : &s, renamed ? step : 10);
            check_saved(store, &newer, step, 3); /* and the next start writes as if nothing had been */
            DT_CHECK_INT(store->ops->prune(store, step, 5, &err), DT_OK);
            check_holds(store, &newer, step);
            DT_CHECK(access(dt_test_path("%s/step-%08d.tmp", dir, (int)step), F_OK) != 0);
            store->ops->destroy(store);
        }
    }
    fake_state_clear(&s);
    fake_state_clear(&newer);
}

static void a_checkpoint_is_replaced_without_a_moment_in_between(void)
{
    fake_state s, newer;
    const char *dir = dt_test_temp_dir();
    dt_store *store = open_store(dir);
    fake_state_init(&s, 1);
    fake_state_init(&newer, 2);
    check_saved(store, &s, 10, 2);
    const char *a = dt_test_path("%s/a", dir), *b = dt_test_path("%s/b", dir);
    DT_CHECK(mkdir(a, 0755) == 0 && mkdir(b, 0755) == 0);
    if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0)
        dt_fault_arm("store.gap:1", 0, NULL); /* between two renames: not passed where the file system can
                                                 exchange names */
    check_saved(store, &newer, 10, 3);
    check_holds(store, &newer, 10);
    dt_fault_arm("store.exchange:1", 0, NULL); /* as on NFS */
    check_saved(store, &s, 10, 2);
    check_holds(store, &s, 10);
    dt_fault_arm(NULL, 0, NULL);
    DT_CHECK(access(dt_test_path("%s/step-00000010.old", dir), F_OK) != 0);
    DT_CHECK(access(dt_test_path("%s/step-00000010.tmp", dir), F_OK) != 0);
    store->ops->destroy(store);
    fake_state_clear(&s);
    fake_state_clear(&newer);
}

static bool mount_small(const char *dir)
{
    return mount("dtrain-test", dir, "tmpfs", 0, "size=256k") == 0;
}

static void a_full_disk_is_told_with_path_and_numbers(void)
{
    char dir[256];
    snprintf(dir, sizeof dir, "%s/small", dt_test_temp_dir());
    fake_state s;
    dt_error err = {0};
    char *filler = calloc(1, 240 << 10);
    DT_REQUIRE(filler && mkdir(dir, 0755) == 0);
    if (!mount_small(dir)) {
        free(filler);
        DT_SKIP("a full disk needs the right to mount a tmpfs");
    }
    dt_store *store = open_store(dir);
    fake_state_init(&s, 1);
    check_saved(store, &s, 1, 1);
    for (size_t kb = 240; kb > 200; kb -= 4) { /* full already, full at the shard, full at the manifest */
        FILE *f = fopen(dt_test_path("%s/filler", dir), "w");
        size_t left = fwrite(filler, 1, kb << 10, f);
        fclose(f);
        (void)left;
        dt_status status = save(store, &s, 2, 1, &err);
        if (status != DT_OK) {
            DT_CHECK_INT(status, DT_ERR_IO);
            DT_CHECK_CONTAINS(err.message, dir);
            DT_CHECK_CONTAINS(err.message, strerror(ENOSPC));
        } else {
            DT_CHECK_MSG(kb < 240, "256 kB hold 240 kB and a checkpoint?");
        }
        unlink(dt_test_path("%s/filler", dir));
        check_holds(store, &s, 1);
    }
    store->ops->destroy(store);
    DT_CHECK(umount(dir) == 0);
    fake_state_clear(&s);
    free(filler);
}

static void a_read_only_folder_is_told(void)
{
    char dir[256];
    snprintf(dir, sizeof dir, "%s/ro", dt_test_temp_dir());
    fake_state s;
    dt_error err = {0};
    DT_REQUIRE(mkdir(dir, 0755) == 0);
    bool mounted = geteuid() == 0; /* root may write into folders of mode 0555 */
    if (mounted && !mount_small(dir))
        DT_SKIP("root needs the right to mount a tmpfs for this");
    dt_store *store = open_store(dir);
    fake_state_init(&s, 1);
    check_saved(store, &s, 1, 1);
    if (mounted)
        DT_CHECK(mount("dtrain-test", dir, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=256k") == 0);
    else
        DT_CHECK(chmod(dir, 0555) == 0);
    DT_CHECK_INT(save(store, &s, 2, 1, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "step-00000002.tmp");
    DT_CHECK_CONTAINS(err.message, strerror(mounted ? EROFS : EACCES));
    check_holds(store, &s, 1);
    store->ops->destroy(store);
    DT_CHECK(mounted ? umount(dir) == 0 : chmod(dir, 0755) == 0);
    fake_state_clear(&s);
}

static void names_that_are_not_ours_are_left_alone(void)
{
    static const char *const names[] = {"step-00000099",  "step-5",        "step-00000005x",
                                        "step-",          "step--0000001", "notes.txt",
                                        "step-000000010", "other.tmp",     "step-99999999999999999999",
                                        "step-0000000a"};
    fake_state s;
    dt_error err = {0};
    int64_t n;
    const char *dir = dt_test_temp_dir();
    dt_store *store = open_store(dir);
    fake_state_init(&s, 1);
    check_saved(store, &s, 7, 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (i) /* the first is a file with a checkpoint's name */
            DT_CHECK(mkdir(dt_test_path("%s/%s", dir, names[i]), 0755) == 0);
        else
            dt_test_write_file(dt_test_path("%s/%s", dir, names[i]), "x", 1);
    DT_CHECK_INT(newest(store, &n), 7);
    DT_CHECK_INT(n, 1);
    DT_CHECK_INT(store->ops->prune(store, 7, 1, &err), DT_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        DT_CHECK_MSG(access(dt_test_path("%s/%s", dir, names[i]), F_OK) == 0, "%s was removed", names[i]);
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static void prune_keeps_the_newest_and_what_somebody_else_put_there(void)
{
    fake_state s;
    dt_error err = {0};
    int64_t n, steps[16];
    const char *dir = dt_test_temp_dir();
    dt_store *store = open_store(dir);
    fake_state_init(&s, 1);
    for (int64_t step = 1; step <= 5; step++)
        check_saved(store, &s, step, 2);
    DT_CHECK_INT(store->ops->begin(store, 6, &err), DT_OK); /* left by a start that died */
    DT_CHECK_INT(store->ops->prune(store, 5, 3, &err), DT_OK);
    DT_CHECK_INT(store->ops->list(store, steps, 2, &n, &err), DT_OK);
    DT_CHECK_INT(n, 3); /* all that are, though only two were asked for */
    DT_CHECK(steps[0] == 5 && steps[1] == 4);
    DT_CHECK(access(dt_test_path("%s/step-00000006.tmp", dir), F_OK) != 0);
    /* 4 and 5 were passed over as damaged, and training went on from 3 to another 4 */
    check_saved(store, &s, 4, 1);
    DT_CHECK_INT(store->ops->prune(store, 4, 2, &err), DT_OK);
    DT_CHECK_INT(newest(store, &n), 4);
    DT_CHECK_INT(n, 2);
    /* a folder with something of the user's in it stays, out of the way, and is told */
    dt_test_write_file(dt_test_path("%s/step-00000003/notes.txt", dir), "mine", 4);
    DT_CHECK_INT(store->ops->prune(store, 4, 1, &err), DT_ERR_IO);
    DT_CHECK_INT(newest(store, &n), 4);
    DT_CHECK_INT(n, 1);
    DT_CHECK(access(dt_test_path("%s/step-00000003.old/notes.txt", dir), F_OK) == 0);
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static void a_shard_that_rank_0_does_not_see_as_written_is_told(void)
{
    fake_state s;
    dt_error err = {0};
    dt_store *store = open_store(dt_test_temp_dir());
    fake_state_init(&s, 1);
    dt_shard_entry entry = {.file = "shard-0000-of-0001.h5", .n_elems = s.layout.n_elems};
    /* no begin: as on another host */
    DT_CHECK_INT(store->ops->write_shard(store, 3, &s.layout, &s.io, &entry, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "file system that all of them share");
    DT_CHECK_INT(store->ops->begin(store, 3, &err), DT_OK);
    DT_CHECK_INT(store->ops->write_shard(store, 3, &s.layout, &s.io, &entry, &err), DT_OK);
    dt_manifest m = fake_manifest(3);
    entry.bytes++;
    m.n_shards = 1;
    m.shards = &entry;
    DT_CHECK_INT(store->ops->commit(store, &m, false, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "rank 0 wrote");
    m.shards = NULL;
    dt_manifest_clear(&m);
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static void an_error_of_the_device_is_passed_on(void)
{
    fake_state s;
    dt_error err = {0};
    dt_store *store = open_store(dt_test_temp_dir());
    fake_state_init(&s, 1);
    s.fail_get_at = 2;
    DT_CHECK_INT(save(store, &s, 1, 1, &err), DT_ERR_DEVICE);
    DT_CHECK_CONTAINS(err.message, "layer1.0.conv1.weight");
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static void every_allocation_may_fail(void)
{
    fake_state s;
    float values[4096];
    int64_t live = dt_alloc_live_blocks(), n, steps[4];
    dt_store *store = NULL;
    dt_error err = {0};
    fake_state_init(&s, 1);
    for (int64_t i = 1;; i++) {
        dt_alloc_fail_after(i);
        dt_status status = dt_store_hdf5_create(dt_test_temp_dir(), &store, &err);
        dt_manifest m = status == DT_OK ? fake_manifest(1) : (dt_manifest){0};
        bool text = m.config_text != NULL;
        dt_manifest_clear(&m);
        if (status == DT_OK)
            status = save(store, &s, 1, 2, &err);
        if (status == DT_OK)
            status = store->ops->list(store, steps, 4, &n, &err);
        if (status == DT_OK)
            status = load(store, 1, values, 4096, &err);
        dt_alloc_fail_after(0);
        if (store)
            store->ops->destroy(store);
        store = NULL;
        DT_CHECK_INT(dt_alloc_live_blocks(), live);
        if (status == DT_OK && text)
            break;
        DT_CHECK_MSG(status == DT_OK || status == DT_ERR_MEMORY, "allocation %d: %s", (int)i, err.message);
        DT_REQUIRE(i < 1000);
    }
    DT_CHECK_INT(dt_store_hdf5_create("", &store, &err), DT_ERR_USAGE);
    fake_state_clear(&s);
}

static const dt_test tests[] = {
    DT_TEST(what_is_written_comes_back_from_any_number_of_shards),
    DT_TEST(the_manifest_comes_back_as_it_was),
    DT_TEST(the_same_state_gives_the_same_bytes),
    DT_TEST(any_hdf5_reader_finds_tensors_and_pieces_with_their_place),
    DT_TEST(a_flipped_bit_anywhere_is_found),
    DT_TEST(a_file_cut_short_or_grown_is_found),
    DT_TEST(swapped_and_missing_shards_are_found),
    DT_TEST(whatever_fails_in_writing_older_checkpoints_stand),
    DT_TEST(a_write_that_fails_at_any_moment_is_an_error),
    DT_TEST(killed_between_any_two_steps_a_whole_checkpoint_is_left),
    DT_TEST(a_checkpoint_is_replaced_without_a_moment_in_between),
    DT_TEST(a_full_disk_is_told_with_path_and_numbers),
    DT_TEST(a_read_only_folder_is_told),
    DT_TEST(names_that_are_not_ours_are_left_alone),
    DT_TEST(prune_keeps_the_newest_and_what_somebody_else_put_there),
    DT_TEST(a_shard_that_rank_0_does_not_see_as_written_is_told),
    DT_TEST(an_error_of_the_device_is_passed_on),
    DT_TEST(every_allocation_may_fail),
};
DT_TEST_MAIN("io/checkpoint_hdf5", tests)
