/* The system calls of a copy into the mirror, in their order, and a copy in which any one of them fails. */
#include "tests/call_script.h"
#include "tests/io/store/store_kit.h"
#include "tests/testing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME "/shard-0000-of-0001.h5"
#define SOURCE "local/step-00000020" NAME
#define FOLDER "mirror/step-00000020.tmp"
#define COPY FOLDER NAME

typedef struct mirrored {
    const char *dir;
    dt_store *store, *mirror;
    fake_state older, newer;
} mirrored;

/* As the mirror's writer does with one rank: copy step 20 and commit it there. */
static dt_status copy(mirrored *m, dt_error *err)
{
    dt_manifest manifest = {0};
    DT_REQUIRE(m->store->ops->read_manifest(m->store, 20, &manifest, NULL) == DT_OK);
    dt_status status = m->mirror->ops->copy_shard(m->mirror, m->store, 20, &manifest.shards[0], err);
    if (status == DT_OK)
        status = m->mirror->ops->commit(m->mirror, &manifest, false, err);
    if (status != DT_OK)
        m->mirror->ops->discard(m->mirror, 20);
    dt_manifest_clear(&manifest);
    return status;
}

/* Steps 10 and 20 in the first folder, 10 in the mirror. */
static void set_up(mirrored *m)
{
    m->dir = dt_test_temp_dir();
    m->store = store_kit_open(dt_test_path("%s/local", m->dir));
    m->mirror = store_kit_open(dt_test_path("%s/mirror", m->dir));
    fake_state_init(&m->older, 1);
    fake_state_init(&m->newer, 2);
    calls_record(m->dir); /* so that fsync costs nothing */
    store_kit_check_saved(m->store, &m->older, 10, 1);
    store_kit_check_saved(m->store, &m->newer, 20, 1);
    store_kit_check_saved(m->mirror, &m->older, 10, 1);
    calls_stop();
}

static void tear_down(mirrored *m)
{
    m->store->ops->destroy(m->store);
    m->mirror->ops->destroy(m->mirror);
    fake_state_clear(&m->older);
    fake_state_clear(&m->newer);
}

static void a_copy_is_durable_before_it_has_its_name(void)
{
    mirrored m;
    set_up(&m);
    calls_record(m.dir);
    DT_CHECK_INT(copy(&m, NULL), DT_OK);
    calls_stop();
    const char *after_manifest = strstr(calls_text(), "open " SOURCE);
    DT_CHECK_STR(after_manifest, /* clang-format off */
                 "open " SOURCE "\n"
                 "mkdir .: File exists\n"
                 "mkdir mirror: File exists\n"
                 "mkdir " FOLDER "\n"
                 "create " COPY "\n"
                 "fallocate " COPY "\n"
                 "pread " SOURCE "\n"
                 "pwrite " COPY "\n"
                 "fsync " COPY "\n"
                 "pread " COPY "\n"
                 "close " COPY "\n"
                 "close " SOURCE "\n"
                 "open " COPY "\n"
                 "close " COPY "\n"
                 "create " FOLDER "/manifest.json\n"
                 "pwrite " FOLDER "/manifest.json\n"
                 "fsync " FOLDER "/manifest.json\n"
                 "close " FOLDER "/manifest.json\n"
                 "open " FOLDER "\n"
                 "fsync " FOLDER "\n"
                 "close " FOLDER "\n"
                 "rename " FOLDER " -> mirror/step-00000020\n"
                 "open mirror\n"
                 "fsync mirror\n"
                 "close mirror\n"); /* clang-format on */
    store_kit_check_holds(m.mirror, &m.newer, 20);
    tear_down(&m);
}

/* Calls whose failure is no error: the folder exists, and a file system may lack fallocate. */
static const char tolerated[] =
    "mkdir mirror\nfallocate " COPY "\nclose " COPY "\nclose " FOLDER "\nclose mirror\n";

static void any_call_that_fails_leaves_the_mirrors_older_checkpoint(void)
{
    mirrored m;
    char ok[2048] = "";
    int64_t n_steps;
    set_up(&m);
    for (int n = 1;; n++) {
        dt_error err = {0};
        char path[CALL_PATH_BYTES];
        calls_record(m.dir);
        calls_fail("*", "[!l.]*", n, 1, EIO); /* in the mirror */
        const dt_status status = copy(&m, &err);
        calls_stop();
        if (!calls_changed()[0])
            break;
        store_kit_check_holds(m.mirror, &m.older, 10);
        DT_CHECK(access(dt_test_path("%s/" FOLDER, m.dir), F_OK) != 0);
        if (status == DT_OK) {
            snprintf(ok + strlen(ok), sizeof ok - strlen(ok), "%s\n", calls_changed());
        } else {
            snprintf(path, sizeof path, "%s", strchr(calls_changed(), ' ') + 1);
            path[strcspn(path, " ")] = '\0';
            DT_CHECK_INT(status, DT_ERR_IO);
            DT_CHECK_CONTAINS(err.message, path);
            DT_CHECK_CONTAINS(err.message, ": Input/output error");
        }
        calls_record(m.dir);
        DT_CHECK_INT(copy(&m, &err), DT_OK); /* the next copy works */
        calls_stop();
        store_kit_check_holds(m.mirror, &m.newer, 20);
        DT_CHECK_INT(m.mirror->ops->prune(m.mirror, 10, 1, NULL), DT_OK);
    }
    DT_CHECK_STR(ok, tolerated);
    DT_CHECK_INT(store_kit_newest(m.store, &n_steps), 20);
    DT_CHECK_INT(n_steps, 2);
    store_kit_check_holds(m.store, &m.newer, 20);
    tear_down(&m);
}

static void a_damaged_original_is_not_copied(void)
{
    mirrored m;
    set_up(&m);
    for (int i = 0; i < 3; i++) {
        dt_error err = {0};
        calls_record(m.dir);
        if (i == 0)
            calls_flip("pread", SOURCE, 1); /* the last bit of the last byte */
        else if (i == 1)
            calls_fail("pread", SOURCE, 1, 1000, EIO);
        else
            calls_fail("open", SOURCE, 1, 1000, EACCES);
        DT_CHECK_INT(copy(&m, &err), i == 0 ? DT_ERR_FORMAT : DT_ERR_IO);
        calls_stop();
        DT_CHECK_CONTAINS(err.message, "/" SOURCE ": ");
        DT_CHECK_CONTAINS(err.message, i == 0 ? ": damaged" : i == 1 ? "cannot read " : "Permission denied");
        DT_CHECK_INT(calls_count("fsync", "*"), 0);
        DT_CHECK(access(dt_test_path("%s/" FOLDER, m.dir), F_OK) != 0);
        store_kit_check_holds(m.mirror, &m.older, 10);
    }
    tear_down(&m);
}

/* With keep 1: the mirror's older checkpoint goes after its newer one is there, and later steps go, too. */
static void the_mirror_keeps_exactly_the_newest(void)
{
    mirrored m;
    int64_t n;
    set_up(&m);
    calls_record(m.dir);
    DT_CHECK_INT(copy(&m, NULL), DT_OK);
    DT_CHECK_INT(m.mirror->ops->prune(m.mirror, 20, 2, NULL), DT_OK); /* as many as there are: none goes */
    DT_CHECK_INT(store_kit_newest(m.mirror, &n), 20);
    DT_CHECK_INT(n, 2);
    DT_CHECK_INT(m.mirror->ops->prune(m.mirror, 20, 1, NULL), DT_OK);
    DT_CHECK_INT(store_kit_newest(m.mirror, &n), 20);
    DT_CHECK_INT(n, 1);
    store_kit_check_saved(m.mirror, &m.older, 21, 1);
    store_kit_check_saved(m.mirror, &m.older, 30, 1);
    DT_CHECK_INT(m.mirror->ops->prune(m.mirror, 20, 5, NULL), DT_OK); /* training went on from step 20 */
    calls_stop();
    DT_CHECK_INT(store_kit_newest(m.mirror, &n), 20);
    DT_CHECK_INT(n, 1);
    store_kit_check_holds(m.mirror, &m.newer, 20);
    tear_down(&m);
}

static const dt_test tests[] = {
    DT_TEST(a_copy_is_durable_before_it_has_its_name),
    DT_TEST(any_call_that_fails_leaves_the_mirrors_older_checkpoint),
    DT_TEST(a_damaged_original_is_not_copied),
    DT_TEST(the_mirror_keeps_exactly_the_newest),
};
DT_TEST_MAIN("io/store/mirror_calls", tests)
