/* The system calls of an export, of metrics.jsonl and of the trial before a training, in their order, and
 * what their failures leave. */
#include "core/base/waits.h"
#include "io/metrics/jsonl.h"
#include "io/trial.h"
#include "io/weights/safetensors.h"
#include "tests/call_script.h"
#include "tests/testing.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *path_of(const char *name)
{
    return dt_test_path("%s/%s", dt_test_temp_dir(), name);
}

static void check_content(const char *name, const char *expected)
{
    char *content = dt_test_read_file(path_of(name), NULL);
    DT_CHECK_STR(content, expected);
    free(content);
}

static bool exists(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

/* Appends the call that was changed to a list. */
static void append_changed(char list[2048])
{
    const size_t n = strlen(list);
    snprintf(list + n, 2048 - n, "%s\n", calls_changed());
}

/* -- an export ------------------------------------------------------------------------------------------- */

static dt_status export_file(dt_error *err)
{
    static const dt_safetensors_tensor tensor = {.name = "a", .dtype = DT_F32, .n_dims = 1, .dims = {3}};
    static const float values[3] = {1, 2, 3};
    dt_safetensors_writer *w = NULL;
    DT_TRY(dt_safetensors_writer_create(path_of("x"), &tensor, 1, NULL, &w, err));
    dt_status status = dt_safetensors_writer_add(w, "a", values, err);
    if (status == DT_OK)
        status = dt_safetensors_writer_commit(w, err);
    dt_safetensors_writer_destroy(w);
    return status;
}

static void an_export_is_durable_before_it_has_its_name(void)
{
    calls_record(dt_test_temp_dir());
    DT_CHECK_INT(export_file(NULL), DT_OK);
    calls_stop();
    DT_CHECK_STR(calls_text(), "create x.tmp\nfallocate x.tmp\npwrite x.tmp\nftruncate x.tmp\npwrite x.tmp\n"
                               "fsync x.tmp\nclose x.tmp\nrename x.tmp -> x\nopen .\nfsync .\nclose .\n");
}

static void an_export_that_fails_leaves_the_older_file(void)
{
    char ok[2048] = "";
    for (int n = 1;; n++) {
        dt_error err = {0};
        dt_test_write_file(path_of("x"), "old", 3);
        calls_record(dt_test_temp_dir());
        calls_fail("*", "*", n, 1, EIO);
        const dt_status status = export_file(&err);
        calls_stop();
        if (!calls_changed()[0])
            break;
        if (status == DT_OK) {
            append_changed(ok);
            continue;
        }
        DT_CHECK_INT(status, DT_ERR_IO);
        DT_CHECK_CONTAINS(err.message, ": Input/output error");
        DT_CHECK_CONTAINS(err.message, dt_test_temp_dir());
        DT_CHECK_MSG(!exists("x.tmp"), "%s", calls_changed());
        if (strcmp(calls_changed(), "open .") != 0 && strcmp(calls_changed(), "fsync .") != 0)
            check_content("x", "old");
    }
    DT_CHECK_STR(ok, "fallocate x.tmp\nclose .\n");
    DT_CHECK_INT(export_file(NULL), DT_OK);
}

/* By a process that ends at once: during the export its file, afterwards none. */
static void an_unfinished_export_is_removed_and_no_later_file(void)
{
    static const dt_safetensors_tensor tensor = {.name = "a", .dtype = DT_F32};
    dt_safetensors_writer *w = NULL;
    DT_REQUIRE(dt_safetensors_writer_create(path_of("x"), &tensor, 1, NULL, &w, NULL) == DT_OK);
    dt_waits_remove_unfinished();
    DT_CHECK(!exists("x.tmp"));
    dt_safetensors_writer_destroy(w);
    DT_CHECK_INT(export_file(NULL), DT_OK);
    dt_test_write_file(path_of("x.tmp"), "later", 5);
    dt_waits_remove_unfinished();
    DT_CHECK(exists("x.tmp") && exists("x"));
}

static void an_interrupted_export_goes_on(void)
{
    static const char *const names[] = {"open", "create", "pwrite", "fsync", "ftruncate", "fallocate"};
    dt_error err = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        calls_record(dt_test_temp_dir());
        calls_fail(names[i], "*", 1, 2, EINTR);
        calls_fail("close", "*", 1, 1, EINTR);
        DT_CHECK_MSG(export_file(&err) == DT_OK, "%s: %s", names[i], err.message);
        calls_stop();
        DT_CHECK_INT(calls_count("close", "x.tmp"), 1);
    }
    for (int i = 0; i < 2; i++) { /* NFS reports a full quota when a file is closed */
        calls_record(dt_test_temp_dir());
        calls_fail(i ? "fsync" : "close", "x.tmp", 1, 1000, EDQUOT);
        DT_CHECK_INT(export_file(&err), DT_ERR_IO);
        calls_stop();
        DT_CHECK_CONTAINS(err.message, ": Disk quota exceeded");
        DT_CHECK_INT(calls_count(i ? "fsync" : "close", "x.tmp"), i ? 1 : 1);
        DT_CHECK_INT(calls_count("rename", "*"), 0);
        DT_CHECK(!exists("x.tmp"));
    }
}

/* -- metrics.jsonl --------------------------------------------------------------------------------------- */

static dt_sink *open_sink(int64_t first_step)
{
    dt_sink *sink = NULL;
    const dt_metrics_start start = {.first_step = first_step};
    DT_REQUIRE(dt_jsonl_create(path_of("m"), &sink, NULL) == DT_OK);
    DT_CHECK_INT(sink->ops->start(sink, &start, NULL), DT_OK);
    return sink;
}

static dt_status step(dt_sink *sink, int64_t n, dt_error *err)
{
    const dt_metrics_step m = {.step = n};
    return sink->ops->step(sink, &m, err);
}

static void lines_are_durable_with_a_checkpoint_and_at_the_end(void)
{
    const dt_metrics_checkpoint checkpoint = {.step = 2, .path = "c"};
    const dt_metrics_end end = {.steps = 2};
    calls_record(dt_test_temp_dir());
    dt_sink *sink = open_sink(0);
    DT_CHECK_INT(step(sink, 1, NULL), DT_OK);
    DT_CHECK_INT(sink->ops->checkpoint(sink, &checkpoint, NULL), DT_OK);
    DT_CHECK_INT(sink->ops->mirror(sink, &checkpoint, NULL), DT_OK);
    DT_CHECK_INT(sink->ops->end(sink, &end, NULL), DT_OK);
    sink->ops->destroy(sink);
    calls_stop();
    DT_CHECK_STR(calls_text(), "create m\nwrite m\nfdatasync m\nwrite m\nfdatasync m\nclose m\n");
    DT_CHECK_INT(calls_count("write", "m"), 5);
}

static void an_fdatasync_is_repeated_after_a_signal_only(void)
{
    static const int errors[] = {EINVAL, EROFS, EIO, ENOSPC}; /* the first two: not a regular file */
    const dt_metrics_checkpoint checkpoint = {.step = 2, .path = "c"};
    dt_error err = {0};
    dt_sink *sink = open_sink(0);
    calls_record(dt_test_temp_dir());
    calls_fail("fdatasync", "m", 1, 2, EINTR);
    DT_CHECK_INT(sink->ops->checkpoint(sink, &checkpoint, NULL), DT_OK);
    DT_CHECK_INT(calls_count("fdatasync", "m"), 3);
    for (int i = 0; i < 4; i++) {
        calls_record(dt_test_temp_dir());
        calls_fail("fdatasync", "m", 1, 1000, errors[i]);
        DT_CHECK_INT(sink->ops->checkpoint(sink, &checkpoint, &err), i < 2 ? DT_OK : DT_ERR_IO);
        DT_CHECK_INT(calls_count("fdatasync", "m"), 1);
    }
    calls_stop();
    DT_CHECK_CONTAINS(err.message, "/m: fdatasync failed: No space left on device");
    sink->ops->destroy(sink);
}

static void half_a_line_is_removed(void)
{
    dt_error err = {0};
    dt_sink *sink = open_sink(0);
    char *before = dt_test_read_file(path_of("m"), NULL);
    calls_record(dt_test_temp_dir());
    calls_halve("write", "m", 1);
    calls_fail("ftruncate", "m", 1, 2, EINTR);
    DT_CHECK_INT(step(sink, 1, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "/m: No space left on device: ");
    DT_CHECK_INT(calls_count("ftruncate", "m"), 3);
    check_content("m", before);
    calls_record(dt_test_temp_dir());
    calls_fail("write", "m", 1, 1, EDQUOT);
    DT_CHECK_INT(step(sink, 1, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "/m: Disk quota exceeded: ");
    DT_CHECK_INT(calls_count("ftruncate", "m"), 0);
    calls_record(dt_test_temp_dir());
    calls_halve("write", "m", 1);
    calls_fail("ftruncate", "m", 1, 1, EIO);
    DT_CHECK_INT(step(sink, 1, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "/m: holds half a line that cannot be removed: Input/output error");
    sink->ops->destroy(sink);
    calls_record(dt_test_temp_dir());
    calls_fail("write", "m", 1, 2, EINTR);
    sink = open_sink(0); /* from the start: the older lines go */
    DT_CHECK_INT(calls_count("write", "m"), 3);
    DT_CHECK_INT(step(sink, 1, NULL), DT_OK);
    DT_CHECK_INT(step(sink, 2, NULL), DT_OK);
    calls_fail("ftruncate", "m", 1, 1, EIO);
    const dt_metrics_start start = {.first_step = 1};
    DT_CHECK_INT(sink->ops->start(sink, &start, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "/m: cannot cut off the lines after step 1: Input/output error");
    calls_stop();
    sink->ops->destroy(sink);
    free(before);
}

/* -- the trial before a training ------------------------------------------------------------------------- */

#define TRIAL "c/.trial-000000"
#define TRIAL_FILE TRIAL ".tmp/shard-0000-of-0001.h5"

static void the_trial_makes_the_calls_of_a_save(void)
{
    calls_record(dt_test_temp_dir());
    DT_CHECK_INT(dt_trial_folder(path_of("c"), NULL), DT_OK);
    calls_stop();
    const char *trial = strstr(calls_text(), "mkdir " TRIAL);
    DT_CHECK_STR(trial, "mkdir " TRIAL ".tmp\ncreate " TRIAL_FILE "\npwrite " TRIAL_FILE "\nfsync " TRIAL_FILE
                        "\nclose " TRIAL_FILE "\nopen " TRIAL ".tmp\nfsync " TRIAL ".tmp\nclose " TRIAL
                        ".tmp\nrename " TRIAL ".tmp -> " TRIAL "\nopen c\nfsync c\nclose c\nunlink " TRIAL
                        "/shard-0000-of-0001.h5\nrmdir " TRIAL "\n");
}

static void a_trial_that_fails_leaves_nothing(void)
{
    char ok[2048] = "";
    for (int n = 1;; n++) {
        dt_error err = {0};
        calls_record(dt_test_temp_dir());
        calls_fail("*", "c*", n, 1, ENOSPC);
        const dt_status status = dt_trial_folder(path_of("c"), &err);
        calls_stop();
        if (!calls_changed()[0])
            break;
        if (status == DT_OK) {
            append_changed(ok);
        } else {
            DT_CHECK_INT(status, DT_ERR_IO);
            DT_CHECK_CONTAINS(err.message, path_of("c"));
            DT_CHECK_CONTAINS(err.message, "No space left on device");
        }
        if (strncmp(calls_changed(), "rmdir", 5) != 0 && strncmp(calls_changed(), "unlink", 6) != 0)
            DT_CHECK_MSG(!exists(TRIAL) && !exists(TRIAL ".tmp"), "%s", calls_changed());
        DT_CHECK_INT(dt_trial_folder(path_of("c"), NULL), DT_OK);
        DT_CHECK_INT(rmdir(path_of("c")), 0);
    }
    DT_CHECK_STR(ok,
                 "unlink " TRIAL "/shard-0000-of-0001.h5\nrmdir " TRIAL "\nclose " TRIAL ".tmp\nclose c\n");
}

static int n_entries(void)
{
    int n = 0;
    DIR *dir = opendir(dt_test_temp_dir());
    DT_REQUIRE(dir != NULL);
    for (struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void a_trial_of_an_export_that_fails_leaves_nothing(void)
{
    char ok[2048] = "";
    for (int n = 1;; n++) {
        dt_error err = {0};
        calls_record(dt_test_temp_dir());
        calls_fail("*", "*", n, 1, EDQUOT);
        const dt_status status = dt_trial_file(path_of("w"), &err);
        calls_stop();
        if (!calls_changed()[0])
            break;
        if (status == DT_OK) {
            append_changed(ok);
        } else {
            DT_CHECK_CONTAINS(err.message, dt_test_temp_dir());
            DT_CHECK_CONTAINS(err.message, "Disk quota exceeded");
        }
        if (strncmp(calls_changed(), "unlink", 6) != 0)
            DT_CHECK_MSG(n_entries() == 0, "%s", calls_changed());
    }
    DT_CHECK_STR(ok, "close .\n");
}

static const dt_test tests[] = {
    DT_TEST(an_export_is_durable_before_it_has_its_name),
    DT_TEST(an_export_that_fails_leaves_the_older_file),
    DT_TEST(an_unfinished_export_is_removed_and_no_later_file),
    DT_TEST(an_interrupted_export_goes_on),
    DT_TEST(lines_are_durable_with_a_checkpoint_and_at_the_end),
    DT_TEST(an_fdatasync_is_repeated_after_a_signal_only),
    DT_TEST(half_a_line_is_removed),
    DT_TEST(the_trial_makes_the_calls_of_a_save),
    DT_TEST(a_trial_that_fails_leaves_nothing),
    DT_TEST(a_trial_of_an_export_that_fails_leaves_nothing),
};
DT_TEST_MAIN("io/outputs_calls", tests)
