/* A run's folder: what a start that fails leaves, what --resume never renames, and which options are logged
 * as changed. */
#include "launch/run/run_folder.h"

#include "core/base/alloc.h"
#include "tests/fakes/captured_log.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static dt_options options;
static dt_run_folder folder;
static dt_error err;

static const char *path_of(const char *name)
{
    return dt_test_path("%s/%s", dt_test_temp_dir(), name);
}

static bool exists(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

static void begin(dt_resume_kind resume)
{
    unsetenv("SLURM_JOB_ID");
    unsetenv("AWS_BATCH_JOB_ID");
    dt_options_set_defaults(&options, DT_COMMAND_TRAIN);
    options.config.resume = resume;
    snprintf(options.out, sizeof options.out, "%s", path_of("a/b/run"));
    memset(&folder, 0, sizeof folder);
    dt_run_folder_name(options.out, &folder);
}

/* Opens the folder with the options as they are. */
static dt_status open_folder(void)
{
    char *text = NULL;
    err = (dt_error){0};
    DT_REQUIRE(dt_options_write(&options, DT_COMMAND_TRAIN, "test", &text, &err) == DT_OK);
    captured_log_begin(DT_LOG_INFO);
    const dt_status status = dt_run_folder_open(&options, text, NULL, &folder, &err);
    captured_log_end();
    dt_free(text);
    return status;
}

static void commit(bool goes_on)
{
    captured_log_begin(DT_LOG_INFO);
    DT_CHECK_MSG(dt_run_folder_commit(&options, &folder, goes_on, &err) == DT_OK, "%s", err.message);
    captured_log_end();
    dt_run_folder_close(&folder);
}

static void run_once(dt_resume_kind resume)
{
    begin(resume);
    DT_REQUIRE_MSG(open_folder() == DT_OK, "%s", err.message);
    commit(false);
    DT_REQUIRE(exists("a/b/run/config.conf"));
}

static void a_start_that_does_not_begin_removes_what_it_has_made(void)
{
    begin(DT_RESUME_AUTO);
    DT_REQUIRE_MSG(open_folder() == DT_OK, "%s", err.message);
    DT_CHECK(exists("a/b/run/lock") && exists("a/b/run/config.conf.tmp"));
    dt_run_folder_close(&folder);
    DT_CHECK(!exists("a"));
    DT_REQUIRE(mkdir(path_of("a"), 0755) == 0); /* a folder that was there stays */
    begin(DT_RESUME_AUTO);
    DT_REQUIRE(open_folder() == DT_OK);
    dt_run_folder_close(&folder);
    DT_CHECK(exists("a") && !exists("a/b"));
    run_once(DT_RESUME_AUTO); /* fail, succeed, fail */
    begin(DT_RESUME_AUTO);
    DT_REQUIRE(open_folder() == DT_OK);
    dt_run_folder_close(&folder);
    DT_CHECK(exists("a/b/run/config.conf") && !exists("a/b/run/config.conf.tmp") && !exists("a/b/run/lock"));
}

/* Of metrics and checkpoints, those that were there before stay, also if they are empty. */
static void a_start_that_does_not_begin_keeps_what_was_there(void)
{
    static const char *const metrics = "a/b/run/metrics.jsonl", *const checkpoints = "a/b/run/checkpoints";
    run_once(DT_RESUME_AUTO);
    for (int had = 0; had < 4; had++) {
        unlink(path_of(metrics));
        rmdir(path_of(checkpoints));
        for (int begun = 0; begun < 2; begun++) { /* those of before, then those of this start */
            if (begun) {
                begin(DT_RESUME_AUTO);
                DT_REQUIRE_MSG(open_folder() == DT_OK, "%s", err.message);
            }
            if ((had & 1) != begun)
                dt_test_write_file(path_of(metrics), "", 0);
            if ((had >> 1) != begun)
                DT_REQUIRE(mkdir(path_of(checkpoints), 0755) == 0);
        }
        dt_run_folder_close(&folder);
        DT_CHECK_MSG(exists(metrics) == ((had & 1) != 0), "%d", had);
        DT_CHECK_MSG(exists(checkpoints) == ((had & 2) != 0), "%d", had);
    }
}

static void an_older_run_gets_its_name_back_from_a_start_that_does_not_begin(void)
{
    run_once(DT_RESUME_AUTO);
    dt_test_write_file(path_of("a/b/run/mark"), "1", 1);
    for (int i = 0; i < 2; i++) {
        begin(DT_RESUME_NEVER);
        DT_REQUIRE_MSG(open_folder() == DT_OK, "%s", err.message);
        DT_CHECK_STR(captured_log_text(),
                     dt_test_path("the older run is %s now\n", path_of("a/b/run.old-1")));
        DT_CHECK(exists("a/b/run.old-1/mark") && !exists("a/b/run/mark"));
        captured_log_begin(DT_LOG_INFO);
        dt_run_folder_close(&folder);
        captured_log_end();
        DT_CHECK_STR(
            captured_log_text(),
            dt_test_path("the new run has not begun: the older run is %s again\n", path_of("a/b/run")));
        DT_CHECK(exists("a/b/run/mark") && !exists("a/b/run.old-1"));
        DT_CHECK_STR(folder.older, "");
    }
    run_once(DT_RESUME_NEVER);
    DT_CHECK(exists("a/b/run.old-1/mark") && !exists("a/b/run/mark"));
    run_once(DT_RESUME_NEVER); /* the next number */
    DT_CHECK(exists("a/b/run.old-1/mark") && exists("a/b/run.old-2/config.conf") &&
             exists("a/b/run/config.conf"));
}

static void set(const char *name, const char *value)
{
    DT_REQUIRE_MSG(dt_option_set(&options, dt_options_find(name, DT_COMMAND_TRAIN), value,
                                 DT_ORIGIN_COMMAND_LINE, name, &err) == DT_OK,
                   "%s", err.message);
}

/* --keep may change from start to start, and --threads differs between ranks. */
static void options_that_changed_are_logged_if_the_run_goes_on(void)
{
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        run_once(DT_RESUME_NEVER);
        begin(DT_RESUME_AUTO);
        set("lr", "0.25");
        set("init", "w.safetensors");
        set("keep", "7");
        set("threads", "3");
        DT_REQUIRE_MSG(open_folder() == DT_OK, "%s", err.message);
        commit(goes_on);
        if (goes_on)
            DT_CHECK_STR(
                captured_log_text(),
                dt_test_path("--init is w.safetensors now; the run in %s was last started with none\n"
                             "--lr is 0.25 now; the run in %s was last started with 0.1\n",
                             options.out, options.out));
        else
            DT_CHECK_STR(captured_log_text(), "");
    }
    begin(DT_RESUME_AUTO); /* and back */
    DT_REQUIRE(open_folder() == DT_OK);
    commit(true);
    DT_CHECK_CONTAINS(captured_log_text(), "--init is not given now; the run in ");
    begin(DT_RESUME_AUTO);
    DT_REQUIRE(open_folder() == DT_OK);
    commit(true);
    DT_CHECK_STR(captured_log_text(), "");
}

static void an_option_that_an_older_dtrain_did_not_have_is_logged_as_such(void)
{
    const char *text = "lr = 0.2;\n"; /* and no other option */
    run_once(DT_RESUME_NEVER);
    dt_test_write_file(path_of("a/b/run/config.conf"), text, strlen(text));
    begin(DT_RESUME_AUTO);
    set("lr", "0.1");
    set("lars-form", "torch");
    DT_REQUIRE_MSG(open_folder() == DT_OK, "%s", err.message);
    commit(true);
    DT_CHECK_STR(captured_log_text(),
                 dt_test_path("--lars-form is torch now; the dtrain that last started the run in %s did not "
                              "have this option\n"
                              "--lr is 0.1 now; the run in %s was last started with 0.2\n",
                              options.out, options.out));
}

/* Only the job that began the run with --resume never may resume it. */
static void a_job_is_recorded_with_resume_never_only(void)
{
    for (int i = 0; i < 3; i++) { /* without a job; in a job; in a job with --resume never */
        dt_job job;
        begin(i < 2 ? DT_RESUME_AUTO : DT_RESUME_NEVER);
        if (i > 0)
            setenv("SLURM_JOB_ID", "7", 1);
        setenv("SLURM_RESTART_COUNT", "1", 1);
        DT_REQUIRE_MSG(open_folder() == DT_OK, "%s", err.message);
        commit(i == 1);
        DT_CHECK_INT(exists("a/b/run/job"), i == 2);
        setenv("SLURM_RESTART_COUNT", "2", 1);
        dt_job_read(&job);
        DT_CHECK_INT(dt_run_folder_is_restart(&folder, &job), i == 2);
    }
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_RESTART_COUNT");
}

static void a_file_where_a_folder_should_be_is_refused(void)
{
    dt_test_write_file(path_of("a"), "", 0);
    begin(DT_RESUME_AUTO);
    DT_CHECK(open_folder() != DT_OK);
    DT_CHECK_CONTAINS(err.message, dt_test_path("--out %s: ", options.out));
    dt_run_folder_close(&folder);
    DT_CHECK(exists("a"));
}

static const dt_test tests[] = {
    DT_TEST(a_start_that_does_not_begin_removes_what_it_has_made),
    DT_TEST(a_start_that_does_not_begin_keeps_what_was_there),
    DT_TEST(an_older_run_gets_its_name_back_from_a_start_that_does_not_begin),
    DT_TEST(options_that_changed_are_logged_if_the_run_goes_on),
    DT_TEST(an_option_that_an_older_dtrain_did_not_have_is_logged_as_such),
    DT_TEST(a_job_is_recorded_with_resume_never_only),
    DT_TEST(a_file_where_a_folder_should_be_is_refused),
};
DT_TEST_MAIN("launch/run/run_folder", tests)
