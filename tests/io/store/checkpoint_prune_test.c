/* Pruning removes what dtrain wrote and nothing else, whatever a user has put into the folders. */
#include "io/store/checkpoint_prune.h"

#include "io/store/checkpoint_hold.h"
#include "io/store/hdf5_store.h"
#include "tests/fakes/captured_log.h"
#include "tests/io/store/store_kit.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static fake_state state;
static dt_store *store;
static const char *dir;

static const char *in(const char *name)
{
    return dt_test_path("%s/run/%s", dir, name);
}

static bool exists(const char *name)
{
    struct stat st;
    return lstat(in(name), &st) == 0;
}

/* Checkpoints 1 to n, of two shards each. */
static void begin(int64_t n)
{
    dir = dt_test_temp_dir();
    store = store_kit_open(dt_test_path("%s/run", dir));
    fake_state_init(&state, 1);
    for (int64_t step = 1; step <= n; step++)
        store_kit_check_saved(store, &state, step, 2);
}

static void end(void)
{
    store->ops->destroy(store);
    fake_state_clear(&state);
}

static void check_pruned(int64_t step, int64_t keep)
{
    dt_error err = {0};
    DT_CHECK_MSG(store->ops->prune(store, step, keep, &err) == DT_OK, "%s", err.message);
}

static void check_count(int64_t expected)
{
    int64_t n;
    (void)store_kit_newest(store, &n);
    DT_CHECK_INT(n, expected);
}

static void a_linked_archive_and_its_link_stay(void)
{
    begin(3);
    DT_REQUIRE(rename(in("step-00000001"), dt_test_path("%s/archive", dir)) == 0);
    DT_REQUIRE(symlink("../archive", in("step-00000001")) == 0);
    DT_REQUIRE(symlink("../archive", in("step-00000009")) == 0); /* later than the newest */
    DT_REQUIRE(symlink("../archive", in("step-00000001.tmp")) == 0);
    DT_REQUIRE(symlink("../archive", in("step-00000001.old")) == 0);
    captured_log_begin(DT_LOG_WARN);
    check_pruned(3, 1);
    check_pruned(3, 1);
    DT_CHECK_INT(store->ops->clean(store, NULL), DT_OK);
    store->ops->discard(store, 1);
    captured_log_end();
    DT_CHECK(exists("step-00000001") && exists("step-00000009") && exists("step-00000001.old"));
    DT_CHECK(exists("../archive/manifest.json") && exists("../archive/shard-0001-of-0002.h5"));
    DT_CHECK(!exists("step-00000002"));
    for (const char *const *name = (const char *const[]){"1", "9", "1.tmp", "1.old", NULL}; *name; name++)
        DT_CHECK_CONTAINS(captured_log_text(), dt_test_path("step-0000000%s stays: it is a link", *name));
    DT_CHECK_INT(captured_log_lines(), 4); /* each of them once */
    end();
}

static void linked_checkpoints_do_not_count_as_kept(void)
{
    begin(4);
    DT_REQUIRE(rename(in("step-00000003"), dt_test_path("%s/archive", dir)) == 0);
    DT_REQUIRE(symlink("../archive", in("step-00000003")) == 0);
    check_pruned(4, 2);
    DT_CHECK(exists("step-00000004") && exists("step-00000002") && !exists("step-00000001"));
    end();
}

static void files_of_others_stay_where_they_are_and_stop_nothing(void)
{
    begin(5);
    dt_test_write_file(in("step-00000002/notes.txt"), "mine", 4);
    DT_REQUIRE(mkdir(in("step-00000003/folder"), 0755) == 0);
    captured_log_begin(DT_LOG_WARN);
    check_pruned(5, 1);
    check_pruned(5, 1);
    captured_log_end();
    DT_CHECK(exists("step-00000002/notes.txt") && exists("step-00000003/folder"));
    DT_CHECK(!exists("step-00000002/manifest.json") && !exists("step-00000003/shard-0000-of-0002.h5"));
    DT_CHECK(!exists("step-00000001") && !exists("step-00000004"));
    check_count(1);
    DT_CHECK_CONTAINS(captured_log_text(), "run/step-00000002 stays: dtrain did not write notes.txt in it");
    DT_CHECK_INT(captured_log_lines(), 2);
    /* the same step again: the new checkpoint takes the name, and the file stays */
    store_kit_check_saved(store, &state, 2, 1);
    store_kit_check_holds(store, &state, 2);
    DT_CHECK(exists("step-00000002.tmp/notes.txt"));
    store_kit_check_saved(store, &state, 2, 2);
    store_kit_check_holds(store, &state, 2);
    DT_CHECK(exists("step-00000002/notes.txt"));
    end();
}

static void a_leftover_with_a_file_of_others_stops_nothing(void)
{
    begin(2);
    DT_REQUIRE(mkdir(in("step-00000001.old"), 0755) == 0 && mkdir(in("step-00000001.tmp"), 0755) == 0);
    dt_test_write_file(in("step-00000001.old/notes.txt"), "mine", 4);
    dt_test_write_file(in("step-00000001.tmp/shard-0000-of-0002.h5.bak"), "mine", 4);
    check_pruned(2, 1);
    DT_CHECK(!exists("step-00000001"));
    DT_CHECK(exists("step-00000001.old/notes.txt") && exists("step-00000001.tmp/shard-0000-of-0002.h5.bak"));
    store_kit_check_saved(store, &state, 1, 2); /* in the folder that is there */
    store_kit_check_holds(store, &state, 1);
    end();
}

static void only_listed_shards_are_removed(void)
{
    static const char *const names[] = {"shard-0002-of-0003.h5", "shard-backup.h5", "shard-1-of-2.h5",
                                        "shard-0000-of-0002.h5x", "manifest.json.bak"};
    begin(2);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        dt_test_write_file(dt_test_path("%s/run/step-00000001/%s", dir, names[i]), "mine", 4);
    check_pruned(2, 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        DT_CHECK_MSG(exists(dt_test_path("step-00000001/%s", names[i])) ||
                         exists(dt_test_path("step-00000001.old/%s", names[i])),
                     "%s was removed", names[i]);
    DT_CHECK(!exists("step-00000001/shard-0000-of-0002.h5") && !exists("step-00000001/manifest.json"));
    end();
}

static void with_a_damaged_manifest_the_names_decide(void)
{
    begin(3);
    dt_test_write_file(in("step-00000001/manifest.json"), "{", 1);
    dt_test_write_file(in("step-00000002/manifest.json"), "{", 1);
    dt_test_write_file(in("step-00000002/weights.h5"), "mine", 4);
    check_pruned(3, 1);
    DT_CHECK(!exists("step-00000001"));
    DT_CHECK(exists("step-00000002/weights.h5") && !exists("step-00000002/shard-0000-of-0002.h5"));
    end();
}

static void a_link_among_the_shards_stays_with_its_target(void)
{
    begin(2);
    DT_REQUIRE(rename(in("step-00000001/shard-0000-of-0002.h5"), in("../shard.h5")) == 0);
    DT_REQUIRE(symlink("../../shard.h5", in("step-00000001/shard-0000-of-0002.h5")) == 0);
    DT_REQUIRE(link(in("step-00000001/shard-0001-of-0002.h5"), in("../hard.h5")) == 0);
    check_pruned(2, 1);
    DT_CHECK(exists("../shard.h5") && exists("step-00000001/shard-0000-of-0002.h5"));
    DT_CHECK(exists("../hard.h5") && !exists("step-00000001/shard-0001-of-0002.h5"));
    end();
}

/* The link's target would be cut to nothing. */
static void a_link_in_an_unfinished_checkpoint_is_not_written_through(void)
{
    dt_error err = {0};
    begin(1);
    dt_test_write_file(in("../precious"), "mine", 4);
    DT_REQUIRE(mkdir(in("step-00000002.tmp"), 0755) == 0);
    DT_REQUIRE(symlink("../../precious", in("step-00000002.tmp/manifest.json")) == 0);
    DT_CHECK_INT(store_kit_save(store, &state, 2, 1, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "manifest.json");
    size_t n = 0;
    free(dt_test_read_file(in("../precious"), &n));
    DT_CHECK_INT(n, 4);
    end();
}

static void a_link_is_not_used_as_the_unfinished_checkpoint(void)
{
    dt_error err = {0};
    begin(1);
    DT_REQUIRE(mkdir(in("../archive"), 0755) == 0);
    DT_REQUIRE(symlink("../archive", in("step-00000002.tmp")) == 0);
    captured_log_begin(DT_LOG_WARN);
    DT_CHECK_INT(store_kit_save(store, &state, 2, 1, &err), DT_ERR_IO);
    captured_log_end();
    DT_CHECK_CONTAINS(err.message, "run/step-00000002.tmp: cannot make the folder: File exists");
    DT_CHECK(exists("step-00000002.tmp") && !exists("step-00000002"));
    DT_CHECK(rmdir(in("../archive")) == 0); /* it is empty */
    end();
}

static void what_a_newer_dtrain_wrote_stays(void)
{
    static const char future[] = "{\"format_version\": 999}\n";
    begin(2);
    dt_test_write_file(in("step-00000001/manifest.json"), future, sizeof future - 1);
    captured_log_begin(DT_LOG_WARN);
    check_pruned(2, 1);
    captured_log_end();
    DT_CHECK(exists("step-00000001/manifest.json") && exists("step-00000001/shard-0000-of-0002.h5"));
    DT_CHECK_CONTAINS(captured_log_text(), "a newer dtrain wrote it");
    end();
}

static void the_largest_step_is_listed(void)
{
    begin(1);
    store_kit_check_saved(store, &state, INT64_MAX, 1);
    DT_CHECK(exists("step-9223372036854775807/manifest.json"));
    int64_t n;
    DT_CHECK_INT(store_kit_newest(store, &n), INT64_MAX);
    check_pruned(INT64_MAX, 1);
    DT_CHECK(exists("step-9223372036854775807/manifest.json") && !exists("step-00000001"));
    end();
}

/* One of them: readers do not fill the disk. */
static void the_newest_that_is_read_stays_until_it_was_read(void)
{
    dt_checkpoint_hold holds[3];
    begin(4);
    for (int64_t i = 0; i < 3; i++)
        dt_checkpoint_hold_begin(&holds[i], in(""), i + 1);
    check_pruned(4, 1);
    DT_CHECK(!exists("step-00000001") && !exists("step-00000002") && exists("step-00000003"));
    store_kit_check_holds(store, &state, 3);
    DT_CHECK(dt_checkpoint_hold_was_removed(&holds[0]) && !dt_checkpoint_hold_was_removed(&holds[2]));
    for (int i = 0; i < 3; i++)
        dt_checkpoint_hold_end(&holds[i]);
    check_pruned(4, 1);
    DT_CHECK(!exists("step-00000003") && exists("step-00000004"));
    end();
}

static void a_checkpoint_stays_until_the_last_of_its_readers_ends(void)
{
    dt_checkpoint_hold holds[2];
    begin(2);
    for (int i = 0; i < 2; i++)
        dt_checkpoint_hold_begin(&holds[i], in(""), 1);
    for (int i = 0; i < 2; i++) {
        check_pruned(2, 1);
        DT_CHECK(exists("step-00000001") && !dt_checkpoint_hold_was_removed(&holds[i]));
        dt_checkpoint_hold_end(&holds[i]);
    }
    check_pruned(2, 1);
    DT_CHECK(!exists("step-00000001"));
    end();
}

/* It would be the newest, and a resume would go back to it. */
static void a_later_one_is_removed_although_it_is_read(void)
{
    dt_checkpoint_hold hold;
    begin(3);
    dt_checkpoint_hold_begin(&hold, in(""), 3);
    check_pruned(2, 2);
    DT_CHECK(!exists("step-00000003") && dt_checkpoint_hold_was_removed(&hold));
    store_kit_check_saved(store, &state, 3, 2);
    DT_CHECK(dt_checkpoint_hold_was_removed(&hold)); /* this is another one */
    dt_checkpoint_hold_end(&hold);
    end();
}

static dt_status is_lost(void *context, dt_error *err)
{
    (void)context;
    return dt_fail(err, DT_ERR_IO, "another run works there");
}

static void nothing_changes_once_the_guard_refuses(void)
{
    const dt_guard guard = {.check = is_lost};
    dt_error err = {0};
    dt_manifest m = fake_manifest(4);
    begin(3);
    DT_REQUIRE(store->ops->begin(store, 4, &err) == DT_OK);
    dt_test_write_file(in("step-00000004.tmp/shard-0000-of-0001.h5"), "x", 1);
    DT_REQUIRE(mkdir(in("step-00000001.old"), 0755) == 0);
    dt_store_hdf5_set_guard(store, &guard);
    for (int i = 0; i < 5; i++) {
        const dt_shard_entry entry = {.file = "shard-0000-of-0002.h5"};
        err = (dt_error){0};
        DT_CHECK_INT(i == 0   ? store->ops->prune(store, 3, 1, &err)
                     : i == 1 ? store->ops->clean(store, &err)
                     : i == 2 ? store->ops->begin(store, 5, &err)
                     : i == 3 ? store->ops->commit(store, &m, false, &err)
                              : store->ops->copy_shard(store, store, 3, &entry, &err),
                     DT_ERR_IO);
        DT_CHECK_STR(err.message, "another run works there");
    }
    store->ops->discard(store, 4);
    DT_CHECK(exists("step-00000001") && exists("step-00000002") && exists("step-00000001.old"));
    DT_CHECK(exists("step-00000004.tmp/shard-0000-of-0001.h5") && !exists("step-00000004"));
    DT_CHECK(!exists("step-00000004.tmp/manifest.json") && !exists("step-00000005.tmp"));
    DT_CHECK(!exists("step-00000003.tmp"));
    dt_manifest_clear(&m);
    end();
}

static const dt_test tests[] = {
    DT_TEST(a_linked_archive_and_its_link_stay),
    DT_TEST(linked_checkpoints_do_not_count_as_kept),
    DT_TEST(files_of_others_stay_where_they_are_and_stop_nothing),
    DT_TEST(a_leftover_with_a_file_of_others_stops_nothing),
    DT_TEST(only_listed_shards_are_removed),
    DT_TEST(with_a_damaged_manifest_the_names_decide),
    DT_TEST(a_link_among_the_shards_stays_with_its_target),
    DT_TEST(a_link_in_an_unfinished_checkpoint_is_not_written_through),
    DT_TEST(a_link_is_not_used_as_the_unfinished_checkpoint),
    DT_TEST(what_a_newer_dtrain_wrote_stays),
    DT_TEST(the_largest_step_is_listed),
    DT_TEST(the_newest_that_is_read_stays_until_it_was_read),
    DT_TEST(a_checkpoint_stays_until_the_last_of_its_readers_ends),
    DT_TEST(a_later_one_is_removed_although_it_is_read),
    DT_TEST(nothing_changes_once_the_guard_refuses),
};
DT_TEST_MAIN("io/store/checkpoint_prune", tests)
