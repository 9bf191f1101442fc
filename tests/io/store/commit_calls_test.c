/* The system calls of a save, in their order, and a save in which any one of them fails or is interrupted. */
#include "tests/call_script.h"
#include "tests/fakes/captured_log.h"
#include "tests/io/store/store_kit.h"
#include "tests/testing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define UNFINISHED(step) "checkpoints/step-000000" step ".tmp"

/* Two checkpoints, and a store with the first one in it. */
typedef struct saved {
    const char *dir;
    dt_store *store;
    fake_state older, newer;
} saved;

static void set_up(saved *s)
{
    s->dir = dt_test_temp_dir();
    s->store = store_kit_open(dt_test_path("%s/checkpoints", s->dir));
    fake_state_init(&s->older, 1);
    fake_state_init(&s->newer, 2);
    store_kit_check_saved(s->store, &s->older, 10, 1);
}

static void tear_down(saved *s)
{
    s->store->ops->destroy(s->store);
    fake_state_clear(&s->older);
    fake_state_clear(&s->newer);
}

/* Of the files of a checkpoint of one shard, up to its rename. */
#define SHARD "/shard-0000-of-0001.h5"
#define SAVE_CALLS(folder)                                                                                   \
    "mkdir .: File exists\n"                                                                                 \
    "mkdir checkpoints: File exists\n"                                                                       \
    "open " folder ": No such file or directory\n"                                                           \
    "mkdir " folder "\n"                                                                                     \
    "create " folder SHARD "\n"                                                                              \
    "fallocate " folder SHARD "\n"                                                                           \
    "pwrite " folder SHARD "\n"                                                                              \
    "fsync " folder SHARD "\n"                                                                               \
    "pread " folder SHARD "\n"                                                                               \
    "close " folder SHARD "\n"                                                                               \
    "open " folder SHARD "\n"                                                                                \
    "close " folder SHARD "\n"                                                                               \
    "create " folder "/manifest.json\n"                                                                      \
    "pwrite " folder "/manifest.json\n"                                                                      \
    "fsync " folder "/manifest.json\n"                                                                       \
    "close " folder "/manifest.json\n" SYNC_CALLS(folder)
/* Of a folder that is removed, after it was opened. */
#define REMOVAL_CALLS(folder)                                                                                \
    "open " folder "/.\n"                                                                                    \
    "unlink " folder SHARD "\n"                                                                              \
    "unlink " folder "/manifest.json\n"                                                                      \
    "rmdir " folder "\n"                                                                                     \
    "close " folder " (deleted)\n"
#define LIST_CALLS(folder)                                                                                   \
    "open " folder "/manifest.json\npread " folder "/manifest.json\nclose " folder "/manifest.json\n"
#define SYNC_CALLS(folder) "open " folder "\nfsync " folder "\nclose " folder "\n"

static void all_data_is_durable_before_the_checkpoint_gets_its_name(void)
{
    saved s;
    set_up(&s);
    calls_record(s.dir);
    store_kit_check_saved(s.store, &s.newer, 20, 1);
    calls_stop();
    DT_CHECK_STR(calls_text(), /* clang-format off */
                 SAVE_CALLS(UNFINISHED("20"))
                 "rename " UNFINISHED("20") " -> checkpoints/step-00000020\n"
                 SYNC_CALLS("checkpoints")); /* clang-format on */
    store_kit_check_holds(s.store, &s.newer, 20);
    tear_down(&s);
}

static void a_new_folder_for_checkpoints_is_durable_in_its_parent(void)
{
    static const char first[] = "mkdir .: File exists\n"
                                "mkdir a\n" SYNC_CALLS(".") "mkdir a/b\n" SYNC_CALLS("a");
    fake_state state;
    const char *dir = dt_test_temp_dir();
    dt_store *store = store_kit_open(dt_test_path("%s/a/b", dir));
    fake_state_init(&state, 1);
    calls_record(dir);
    store_kit_check_saved(store, &state, 1, 1);
    calls_stop();
    DT_CHECK_MSG(strncmp(calls_text(), first, sizeof first - 1) == 0, "%s", calls_text());
    store->ops->destroy(store);
    fake_state_clear(&state);
}

static void a_replaced_checkpoint_is_removed_after_the_fsync(void)
{
    saved s;
    set_up(&s);
    calls_record(s.dir);
    store_kit_check_saved(s.store, &s.newer, 10, 1);
    calls_stop();
    DT_CHECK_STR(calls_text(), /* clang-format off */
                 SAVE_CALLS(UNFINISHED("10"))
                 "rename " UNFINISHED("10") " -> checkpoints/step-00000010: Directory not empty\n"
                 "exchange " UNFINISHED("10") " -> checkpoints/step-00000010\n"
                 SYNC_CALLS("checkpoints")
                 "open " UNFINISHED("10") "\n"
                 LIST_CALLS(UNFINISHED("10"))
                 REMOVAL_CALLS(UNFINISHED("10"))); /* clang-format on */
    store_kit_check_holds(s.store, &s.newer, 10);
    tear_down(&s);
}

static void without_an_exchange_of_names_the_replaced_one_is_renamed_first(void)
{
    saved s;
    set_up(&s);
    calls_record(s.dir);
    calls_fail("exchange", "*", 1, 1, EINVAL); /* as on NFS */
    store_kit_check_saved(s.store, &s.newer, 10, 1);
    calls_stop();
    DT_CHECK_STR(
        calls_text(), /* clang-format off */
                 SAVE_CALLS(UNFINISHED("10"))
                 "rename " UNFINISHED("10") " -> checkpoints/step-00000010: Directory not empty\n"
                 "exchange " UNFINISHED("10") " -> checkpoints/step-00000010: Invalid argument\n"
                 "open checkpoints/step-00000010.old: No such file or directory\n"
                 "rename checkpoints/step-00000010 -> checkpoints/step-00000010.old\n"
                 "rename " UNFINISHED("10") " -> checkpoints/step-00000010\n"
                 SYNC_CALLS("checkpoints")
                 "open checkpoints/step-00000010.old\n"
                 LIST_CALLS("checkpoints/step-00000010.old")
                 REMOVAL_CALLS("checkpoints/step-00000010.old")); /* clang-format on */
    store_kit_check_holds(s.store, &s.newer, 10);
    tear_down(&s);
}

static void an_old_checkpoint_loses_its_name_before_its_files(void)
{
    saved s;
    set_up(&s);
    store_kit_check_saved(s.store, &s.newer, 20, 1);
    calls_record(s.dir);
    DT_CHECK_INT(s.store->ops->prune(s.store, 20, 1, NULL), DT_OK);
    calls_stop();
    const char *after_listing = strstr(calls_text(), "flock");
    DT_CHECK_STR(
        after_listing, /* clang-format off */
                 "flock checkpoints/step-00000010\n"
                 LIST_CALLS("checkpoints/step-00000010")
                 "rename checkpoints/step-00000010 -> checkpoints/step-00000010.old\n"
                 REMOVAL_CALLS("checkpoints/step-00000010.old")); /* clang-format on */
    tear_down(&s);
}

/* -- one call fails -------------------------------------------------------------------------------------- */

/* The checkpoint has its new name; only the fsync of its parent was refused. */
static bool was_renamed(void)
{
    return strcmp(calls_changed(), "open checkpoints") == 0 ||
           strcmp(calls_changed(), "fsync checkpoints") == 0;
}

static void check_failure(saved *s, int64_t step, dt_status status, int error, const char *message)
{
    char path[CALL_PATH_BYTES];
    int64_t n;
    snprintf(path, sizeof path, "%s", strchr(calls_changed(), ' ') + 1);
    path[strcspn(path, " ")] = '\0';
    DT_CHECK_MSG(status == DT_ERR_IO, "%s: %s", calls_changed(), dt_status_name(status));
    DT_CHECK_CONTAINS(message, strerror(error));
    DT_CHECK_CONTAINS(message, path);
    DT_CHECK_MSG(access(dt_test_path("%s/checkpoints/step-%08d.tmp", s->dir, (int)step), F_OK) != 0,
                 "%s leaves a temporary folder", calls_changed());
    DT_CHECK_INT(store_kit_newest(s->store, &n), was_renamed() ? step : 10);
    store_kit_check_holds(s->store, step == 10 && was_renamed() ? &s->newer : &s->older, 10);
}

/* Saves `newer` as `step` again and again; in each save the next call fails with `error`, and after it the
 * next save works. The calls whose failure was no error must be `tolerated`. */
static void fail_each_call(saved *s, int64_t step, bool can_exchange, int error, const char *tolerated)
{
    char ok[4096] = "";
    for (int n = 1;; n++) {
        dt_error err = {0};
        calls_record(s->dir);
        calls_fail("*", "*", n, 1, error);
        if (!can_exchange)
            calls_fail("exchange", "*", 1, 1, EINVAL);
        const dt_status status = store_kit_save(s->store, &s->newer, step, 1, &err);
        calls_stop();
        if (n > calls_count("*", "*"))
            break;
        if (status != DT_OK) {
            check_failure(s, step, status, error, err.message);
        } else {
            const size_t used = strlen(ok);
            snprintf(ok + used, sizeof ok - used, "%s\n", calls_changed());
            store_kit_check_holds(s->store, &s->newer, step);
        }
        store_kit_check_saved(s->store, &s->older, 10, 1);
        store_kit_check_holds(s->store, &s->older, 10);
        DT_CHECK_INT(s->store->ops->prune(s->store, 10, 1, NULL), DT_OK);
    }
    DT_CHECK_STR(ok, tolerated);
}

/* Folders that exist, or are not there to be removed; the reservation of blocks; closing what was only
 * read. */
#define TOLERATED(folder)                                                                                    \
    "mkdir .\n"                                                                                              \
    "mkdir checkpoints\n"                                                                                    \
    "open " folder "\n"                                                                                      \
    "fallocate " folder SHARD "\n"                                                                           \
    "close " folder SHARD "\n"                                                                               \
    "close " folder "\n"

#define TOLERATED_REMOVAL(folder) "open " folder "\n" LIST_CALLS(folder) REMOVAL_CALLS(folder)

/* Whatever the order of the folder: an interrupted removal goes on by the manifest, which lists the files. */
static void the_manifest_is_removed_after_all_other_files(void)
{
    enum { N = 12 };
    saved s;
    dt_error err = {0};
    set_up(&s);
    const char *folder = dt_test_path("%s/checkpoints/step-00000010", s.dir);
    dt_test_write_file(dt_test_path("%s/manifest.json", folder), "{", 1); /* so all shards are its own */
    for (int i = 0; i < N; i++)
        dt_test_write_file(dt_test_path("%s/shard-%04d-of-%04d.h5", folder, i, N), "", 0);
    calls_record(s.dir);
    DT_CHECK_INT(s.store->ops->prune(s.store, 9, 1, &err), DT_OK);
    calls_stop();
    DT_CHECK_INT(calls_count("unlink", "*.h5"), N + 1);
    const char *manifest = strstr(calls_text(), "unlink checkpoints/step-00000010.old/manifest.json");
    DT_REQUIRE(manifest != NULL);
    DT_CHECK(strstr(manifest, ".h5") == NULL);
    tear_down(&s);
}

static void a_new_checkpoint_that_fails_leaves_the_older_one(void)
{
    saved s;
    set_up(&s);
    fail_each_call(&s, 20, true, EIO, TOLERATED(UNFINISHED("20")) "close checkpoints\n");
    tear_down(&s);
}

static void replacing_a_checkpoint_fails_and_then_works(void)
{
    saved s;
    set_up(&s);
    captured_log_begin(DT_LOG_WARN);
    fail_each_call(&s, 10, true, EIO,
                   TOLERATED(UNFINISHED("10")) "exchange " UNFINISHED(
                       "10") " -> checkpoints/step-00000010\n"
                             "close checkpoints\n" TOLERATED_REMOVAL(UNFINISHED("10")));
    fail_each_call(&s, 10, false, EIO,
                   TOLERATED(UNFINISHED("10")) "exchange " UNFINISHED(
                       "10") " -> checkpoints/step-00000010\n"
                             "open checkpoints/step-00000010.old\n"
                             "close checkpoints\n" TOLERATED_REMOVAL("checkpoints/step-00000010.old"));
    captured_log_end();
    DT_CHECK_CONTAINS(captured_log_text(), "the replaced checkpoint could not be removed: ");
    tear_down(&s);
}

/* -- calls that fail more than once, or for a while ------------------------------------------------------ */

static void a_failed_fsync_is_not_repeated(void)
{
    static const char *const files[] = {UNFINISHED("20") SHARD, UNFINISHED("20") "/manifest.json",
                                        UNFINISHED("20"), "checkpoints"};
    saved s;
    set_up(&s);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        dt_error err = {0};
        calls_record(s.dir);
        calls_fail("fsync", files[i], 1, 1000, EIO);
        DT_CHECK_INT(store_kit_save(s.store, &s.newer, 20, 1, &err), DT_ERR_IO);
        calls_stop();
        DT_CHECK_CONTAINS(err.message, "fsync");
        DT_CHECK_CONTAINS(err.message, files[i]);
        DT_CHECK_INT(calls_count("fsync", files[i]), 1);
        /* the system may have dropped the data: the next save begins with an empty file */
        calls_record(s.dir);
        store_kit_check_saved(s.store, &s.newer, 20, 1);
        calls_stop();
        DT_CHECK_INT(calls_count("create", UNFINISHED("20") SHARD), 1);
        DT_CHECK_INT(calls_count("create", UNFINISHED("20") "/manifest.json"), 1);
        DT_CHECK_INT(s.store->ops->prune(s.store, 10, 1, NULL), DT_OK);
    }
    tear_down(&s);
}

static void an_interrupted_call_is_made_again(void)
{
    static const char *const names[] = {"open", "create", "pwrite", "pread", "fsync", "fallocate", "flock"};
    saved s;
    set_up(&s);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (int n = 1;; n++) {
            dt_error err = {0};
            calls_record(s.dir);
            calls_fail(names[i], "*", n, 3, EINTR);
            const dt_status status = store_kit_save(s.store, &s.newer, 20, 1, &err);
            const dt_status pruned = s.store->ops->prune(s.store, 20, 1, NULL);
            calls_stop();
            DT_CHECK_MSG(status == DT_OK, "%s: %s", calls_changed(), err.message);
            DT_CHECK_MSG(pruned == DT_OK, "%s", calls_changed());
            store_kit_check_holds(s.store, &s.newer, 20);
            if (!calls_changed()[0])
                break;
        }
    }
    tear_down(&s);
}

static void an_interrupted_close_has_closed_the_file(void)
{
    saved s;
    set_up(&s);
    calls_record(s.dir);
    calls_fail("close", "*", 1, 1000, EINTR);
    store_kit_check_saved(s.store, &s.newer, 20, 1);
    calls_stop();
    DT_CHECK_INT(calls_count("close", UNFINISHED("20") SHARD), 2); /* once for each time it was opened */
    DT_CHECK_INT(calls_count("close", UNFINISHED("20") "/manifest.json"), 1);
    DT_CHECK_INT(calls_count("close", "checkpoints"), 1);
    tear_down(&s);
}

static void a_disk_that_fills_up_or_ends_a_quota_is_reported_with_sizes(void)
{
    static const int errors[] = {ENOSPC, EDQUOT};
    static const char *const files[] = {UNFINISHED("20") SHARD, UNFINISHED("20") "/manifest.json"};
    saved s;
    set_up(&s);
    for (int i = 0; i < 2; i++) {
        for (int f = 0; f < 2; f++) {
            dt_error err = {0};
            calls_record(s.dir);
            calls_halve("pwrite", files[f], 1);
            calls_fail("pwrite", files[f], 2, 1000, errors[i]);
            DT_CHECK_INT(store_kit_save(s.store, &s.newer, 20, 1, &err), DT_ERR_IO);
            calls_stop();
            DT_CHECK_INT(calls_count("pwrite", files[f]), 2);
            DT_CHECK_CONTAINS(err.message, files[f]);
            DT_CHECK_CONTAINS(err.message, strerror(errors[i]));
            DT_CHECK_CONTAINS(err.message, " wanted, ");
            DT_CHECK(access(dt_test_path("%s/" UNFINISHED("20"), s.dir), F_OK) != 0);
            store_kit_check_holds(s.store, &s.older, 10);
        }
        dt_error err = {0};
        calls_record(s.dir);
        calls_fail("fallocate", "*", 1, 1, errors[i]);
        DT_CHECK_INT(store_kit_save(s.store, &s.newer, 20, 1, &err), DT_ERR_IO);
        calls_stop();
        DT_CHECK_INT(calls_count("pwrite", "*"), 0);
        DT_CHECK_CONTAINS(err.message, strerror(errors[i]));
    }
    store_kit_check_saved(s.store, &s.newer, 20, 1);
    tear_down(&s);
}

static void a_short_write_is_continued(void)
{
    saved s;
    set_up(&s);
    calls_record(s.dir);
    for (int n = 1; n <= 3; n++)
        calls_halve("pwrite", "*", n);
    calls_halve("pread", "*", 1);
    store_kit_check_saved(s.store, &s.newer, 20, 1);
    calls_stop();
    store_kit_check_holds(s.store, &s.newer, 20);
    tear_down(&s);
}

/* The last bit of the file's last byte, and of the bytes before the last write. */
static void a_disk_that_changes_one_bit_is_detected(void)
{
    saved s;
    set_up(&s);
    for (int n = 1; n <= 3; n++) {
        dt_error err = {0};
        calls_record(s.dir);
        calls_flip(n < 3 ? "pwrite" : "pread", "*" SHARD, n < 3 ? n : 1);
        DT_CHECK_INT(store_kit_save(s.store, &s.newer, 20, 1, &err), DT_ERR_IO);
        calls_stop();
        DT_CHECK_CONTAINS(err.message, UNFINISHED("20") SHARD ": was read back with XXH3-128");
    }
    store_kit_check_holds(s.store, &s.older, 10);
    tear_down(&s);
}

static const dt_test tests[] = {
    DT_TEST(all_data_is_durable_before_the_checkpoint_gets_its_name),
    DT_TEST(a_new_folder_for_checkpoints_is_durable_in_its_parent),
    DT_TEST(a_replaced_checkpoint_is_removed_after_the_fsync),
    DT_TEST(without_an_exchange_of_names_the_replaced_one_is_renamed_first),
    DT_TEST(an_old_checkpoint_loses_its_name_before_its_files),
    DT_TEST(the_manifest_is_removed_after_all_other_files),
    DT_TEST(a_new_checkpoint_that_fails_leaves_the_older_one),
    DT_TEST(replacing_a_checkpoint_fails_and_then_works),
    DT_TEST(a_failed_fsync_is_not_repeated),
    DT_TEST(an_interrupted_call_is_made_again),
    DT_TEST(an_interrupted_close_has_closed_the_file),
    DT_TEST(a_disk_that_fills_up_or_ends_a_quota_is_reported_with_sizes),
    DT_TEST(a_short_write_is_continued),
    DT_TEST(a_disk_that_changes_one_bit_is_detected),
};
DT_TEST_MAIN("io/store/commit_calls", tests)
