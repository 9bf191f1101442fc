/* Saving that fails, at every point and for every reason: the older checkpoints stay whole. */
#define _GNU_SOURCE /* renameat2 */
#include "io/store/hdf5_store.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "tests/io/store/store_kit.h"
#include "tests/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const write_faults[] = {
    "store.begin",          "store.open",         "store.write",    "store.space",
    "store.fsync",          "store.hash",         "store.manifest", "store.manifest.write",
    "store.manifest.fsync", "store.folder.fsync", "store.rename"};
#define N_WRITE_FAULTS (sizeof write_faults / sizeof *write_faults)

static void older_checkpoints_survive_any_failure_in_saving(void)
{
    fake_state s, newer;
    int64_t n;
    const char *dir = dt_test_temp_dir();
    dt_store *store = store_kit_open(dir);
    fake_state_init(&s, 1);
    fake_state_init(&newer, 2);
    store_kit_check_saved(store, &s, 10, 2);
    for (size_t f = 0; f < N_WRITE_FAULTS; f++) {
        for (int64_t step = 10; step <= 20; step += 10) { /* replacing a checkpoint, and a new one */
            dt_error err = {0};
            DT_CHECK_INT(dt_fault_arm(dt_test_path("%s:1", write_faults[f]), 0, &err), DT_OK);
            dt_status status = store_kit_save(store, &newer, step, 2, &err);
            DT_CHECK_MSG(status == DT_ERR_IO, "%s: %s", write_faults[f], dt_status_name(status));
            DT_CHECK_CONTAINS(err.message, dir);
            DT_CHECK_CONTAINS(err.message,
                              strstr(write_faults[f], "space") || strstr(write_faults[f], "t.write")
                                  ? "free"
                                  : strerror(EIO));
            DT_CHECK_INT(store_kit_newest(store, &n), 10);
            DT_CHECK_INT(n, 1);
            store_kit_check_holds(store, &s, 10);
            DT_CHECK_MSG(access(dt_test_path("%s/step-%08d.tmp", dir, (int)step), F_OK) != 0,
                         "%s leaves rubbish", write_faults[f]);
        }
    }
    dt_fault_arm(NULL, 0, NULL);
    store->ops->destroy(store);
    fake_state_clear(&s);
    fake_state_clear(&newer);
}

/* Every write in turn, up to that of the last bytes, which fill no page. */
static void any_write_that_fails_is_an_error(void)
{
    fake_state s;
    dt_error err = {0};
    dt_store *store = store_kit_open(dt_test_temp_dir());
    fake_state_init(&s, 1);
    int moments = 0;
    for (;; moments++) {
        dt_fault_arm(dt_test_path("store.write:%d", moments + 1), 0, NULL);
        dt_status status = store_kit_save(store, &s, 1, 1, &err);
        if (status == DT_OK)
            break;
        DT_CHECK_INT(status, DT_ERR_IO);
        DT_CHECK_CONTAINS(err.message, "shard-0000-of-0001.h5");
    }
    dt_fault_arm(NULL, 0, NULL);
    DT_CHECK_MSG(moments >= 2, "only %d writes in a file", moments);
    store_kit_check_holds(store, &s, 1);
    store->ops->destroy(store);
    fake_state_clear(&s);
}

static void a_kill_between_any_two_steps_leaves_a_whole_checkpoint(void)
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
            dt_store *store = store_kit_open(dir);
            store_kit_check_saved(store, &s, 10, 2);
            pid_t child = fork();
            if (child == 0) {
                dt_fault_arm(dt_test_path("%s:1:kill", points[p]), 0, NULL);
                if (store_kit_save(store, &newer, step, 2, NULL) == DT_OK)
                    store->ops->prune(store, step, 1, NULL);
                _exit(0);
            }
            int how = 0;
            DT_REQUIRE(child > 0 && waitpid(child, &how, 0) == child);
            DT_CHECK_MSG(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL, "%s was never passed", points[p]);
            bool renamed = p >= 10; /* after the rename the new one counts */
            DT_CHECK_INT(store_kit_newest(store, &n), renamed ? step : 10);
            store_kit_check_holds(store, renamed ? &newer : &s, renamed ? step : 10);
            store_kit_check_saved(store, &newer, step, 3); /* the next start can save again */
            DT_CHECK_INT(store->ops->prune(store, step, 5, &err), DT_OK);
            store_kit_check_holds(store, &newer, step);
            DT_CHECK(access(dt_test_path("%s/step-%08d.tmp", dir, (int)step), F_OK) != 0);
            store->ops->destroy(store);
        }
    }
    fake_state_clear(&s);
    fake_state_clear(&newer);
}

static void a_checkpoint_is_replaced_in_one_step(void)
{
    fake_state s, newer;
    const char *dir = dt_test_temp_dir();
    dt_store *store = store_kit_open(dir);
    fake_state_init(&s, 1);
    fake_state_init(&newer, 2);
    store_kit_check_saved(store, &s, 10, 2);
    const char *a = dt_test_path("%s/a", dir), *b = dt_test_path("%s/b", dir);
    DT_CHECK(mkdir(a, 0755) == 0 && mkdir(b, 0755) == 0);
    if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0)
        /* between two renames: not reached where the file system can exchange names */
        dt_fault_arm("store.gap:1", 0, NULL);
    store_kit_check_saved(store, &newer, 10, 3);
    store_kit_check_holds(store, &newer, 10);
    dt_fault_arm("store.exchange:1", 0, NULL); /* as on NFS */
    store_kit_check_saved(store, &s, 10, 2);
    store_kit_check_holds(store, &s, 10);
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

static void a_full_disk_is_reported_with_its_path(void)
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
    dt_store *store = store_kit_open(dir);
    fake_state_init(&s, 1);
    store_kit_check_saved(store, &s, 1, 1);
    for (size_t kb = 240; kb > 200; kb -= 4) { /* the disk is full before, in the shard, in the manifest */
        FILE *f = fopen(dt_test_path("%s/filler", dir), "w");
        size_t left = fwrite(filler, 1, kb << 10, f);
        fclose(f);
        (void)left;
        dt_status status = store_kit_save(store, &s, 2, 1, &err);
        if (status != DT_OK) {
            DT_CHECK_INT(status, DT_ERR_IO);
            DT_CHECK_CONTAINS(err.message, dir);
            DT_CHECK_CONTAINS(err.message, strerror(ENOSPC));
        } else {
            DT_CHECK_MSG(kb < 240, "256 kB hold 240 kB and a checkpoint?");
        }
        unlink(dt_test_path("%s/filler", dir));
        store_kit_check_holds(store, &s, 1);
    }
    store->ops->destroy(store);
    DT_CHECK(umount(dir) == 0);
    fake_state_clear(&s);
    free(filler);
}

static void a_read_only_folder_is_reported_with_its_path(void)
{
    char dir[256];
    snprintf(dir, sizeof dir, "%s/ro", dt_test_temp_dir());
    fake_state s;
    dt_error err = {0};
    DT_REQUIRE(mkdir(dir, 0755) == 0);
    bool mounted = geteuid() == 0; /* root may write into folders of mode 0555 */
    if (mounted && !mount_small(dir))
        DT_SKIP("root needs the right to mount a tmpfs for this");
    dt_store *store = store_kit_open(dir);
    fake_state_init(&s, 1);
    store_kit_check_saved(store, &s, 1, 1);
    if (mounted)
        DT_CHECK(mount("dtrain-test", dir, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=256k") == 0);
    else
        DT_CHECK(chmod(dir, 0555) == 0);
    DT_CHECK_INT(store_kit_save(store, &s, 2, 1, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "step-00000002.tmp");
    DT_CHECK_CONTAINS(err.message, strerror(mounted ? EROFS : EACCES));
    store_kit_check_holds(store, &s, 1);
    store->ops->destroy(store);
    DT_CHECK(mounted ? umount(dir) == 0 : chmod(dir, 0755) == 0);
    fake_state_clear(&s);
}

static void a_shard_that_another_host_does_not_see_is_an_error(void)
{
    fake_state s;
    dt_error err = {0};
    dt_store *store = store_kit_open(dt_test_temp_dir());
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

static void an_error_of_the_device_is_returned(void)
{
    fake_state s;
    dt_error err = {0};
    dt_store *store = store_kit_open(dt_test_temp_dir());
    fake_state_init(&s, 1);
    s.fail_get_at = 2;
    DT_CHECK_INT(store_kit_save(store, &s, 1, 1, &err), DT_ERR_DEVICE);
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
            status = store_kit_save(store, &s, 1, 2, &err);
        if (status == DT_OK)
            status = store->ops->list(store, steps, 4, &n, &err);
        if (status == DT_OK)
            status = store_kit_load(store, 1, values, 4096, &err);
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
    DT_TEST(older_checkpoints_survive_any_failure_in_saving),
    DT_TEST(any_write_that_fails_is_an_error),
    DT_TEST(a_kill_between_any_two_steps_leaves_a_whole_checkpoint),
    DT_TEST(a_checkpoint_is_replaced_in_one_step),
    DT_TEST(a_full_disk_is_reported_with_its_path),
    DT_TEST(a_read_only_folder_is_reported_with_its_path),
    DT_TEST(a_shard_that_another_host_does_not_see_is_an_error),
    DT_TEST(an_error_of_the_device_is_returned),
    DT_TEST(every_allocation_may_fail),
};
DT_TEST_MAIN("io/store/hdf5_store_faults", tests)
