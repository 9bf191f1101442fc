/* The system calls of a run's folder, its lock and config.conf, and what their failures leave. */
#include "core/base/alloc.h"
#include "launch/run/job.h"
#include "launch/run/lock_owner.h"
#include "launch/run/run_folder.h"
#include "tests/call_script.h"
#include "tests/testing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool exists(const char *name)
{
    return access(dt_test_path("%s/%s", dt_test_temp_dir(), name), F_OK) == 0;
}

static void check_content(const char *name, const char *expected)
{
    char *content = dt_test_read_file(dt_test_path("%s/%s", dt_test_temp_dir(), name), NULL);
    DT_CHECK_STR(content, expected);
    free(content);
}

/* -- the lock -------------------------------------------------------------------------------------------- */

static dt_status acquire(dt_run_lock **lock, dt_error *err)
{
    return dt_run_lock_acquire("out", dt_test_temp_dir(), NULL, lock, err);
}

/* Whether the lock's line is this process's, with the kernel's lock. */
static void check_locked_by_kernel(void)
{
    dt_lock_owner owner = {.pid = 0};
    char *text = dt_test_read_file(dt_test_path("%s/lock", dt_test_temp_dir()), NULL);
    DT_CHECK(text && dt_lock_owner_parse(text, &owner));
    DT_CHECK_INT(owner.pid, getpid());
    DT_CHECK(owner.locked);
    free(text);
}

static void signals_lose_no_lock(void)
{
    static const char *const names[] = {"create", "open", "lock", "pread", "pwrite", "ftruncate"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        dt_run_lock *lock = NULL;
        dt_error err = {0};
        calls_record(dt_test_temp_dir());
        calls_fail(names[i], "lock", 1, 2, EINTR);
        DT_REQUIRE_MSG(acquire(&lock, &err) == DT_OK, "%s: %s", names[i], err.message);
        DT_CHECK(calls_count(names[i], "lock") >= 3);
        check_locked_by_kernel();
        calls_fail("open", "lock", 1, 2, EINTR);
        DT_CHECK_INT(dt_run_lock_check(lock, NULL), DT_OK);
        dt_run_lock_release(lock);
        calls_stop();
        DT_CHECK(!exists("lock"));
    }
}

static void a_lock_that_cannot_be_written_is_removed(void)
{
    static const struct {
        const char *call;
        int error;
    } cases[] = {{"pwrite", ENOSPC}, {"pwrite", EDQUOT}, {"ftruncate", EIO}, {"pwrite", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_run_lock *lock = NULL;
        dt_error err = {0};
        calls_record(dt_test_temp_dir());
        if (cases[i].error)
            calls_fail(cases[i].call, "lock", 1, 1, cases[i].error);
        else
            calls_halve(cases[i].call, "lock", 1);
        DT_CHECK_INT(acquire(&lock, &err), DT_ERR_IO);
        calls_stop();
        DT_CHECK_CONTAINS(err.message, "/lock: cannot write it: ");
        DT_CHECK_CONTAINS(err.message, strerror(cases[i].error ? cases[i].error : ENOSPC));
        DT_CHECK(lock == NULL);
        DT_CHECK(!exists("lock"));
        DT_CHECK_INT(acquire(&lock, NULL), DT_OK);
        dt_run_lock_release(lock);
    }
}

/* The line of a process that has ended. */
static void a_lock_that_was_there_and_cannot_be_written_stays(void)
{
    static const char *const calls[] = {"pwrite", "ftruncate"};
    const char *path = dt_test_path("%s/lock", dt_test_temp_dir());
    dt_lock_owner owner;
    char line[DT_LOCK_TEXT_BYTES];
    dt_lock_owner_self(&owner);
    owner.start += 7;
    dt_lock_owner_format(&owner, line);
    for (int i = 0; i < 2; i++) {
        dt_run_lock *lock = NULL;
        dt_error err = {0};
        dt_test_write_file(path, line, strlen(line));
        calls_record(dt_test_temp_dir());
        calls_fail(calls[i], "lock", 1, 1, ENOSPC);
        DT_CHECK_INT(acquire(&lock, &err), DT_ERR_IO);
        calls_stop();
        DT_CHECK_CONTAINS(err.message, "/lock: cannot write it: ");
        DT_CHECK(exists("lock"));
        if (i == 0)
            check_content("lock", line);
        DT_CHECK_INT(acquire(&lock, NULL), DT_OK);
        dt_run_lock_release(lock);
        DT_CHECK(!exists("lock"));
    }
}

/* A file that cannot be read for a while decides nothing. */
static void a_lock_that_cannot_be_read_is_kept(void)
{
    static const int errors[] = {EIO, ESTALE, EACCES};
    dt_run_lock *lock = NULL;
    DT_REQUIRE(acquire(&lock, NULL) == DT_OK);
    for (int i = 0; i < 3; i++) {
        calls_record(dt_test_temp_dir());
        calls_fail(i ? "open" : "pread", "lock", 1, 1000, errors[i]);
        DT_CHECK_INT(dt_run_lock_check(lock, NULL), DT_OK);
        DT_CHECK(calls_count(i ? "open" : "pread", "lock") >= 1);
    }
    calls_stop();
    DT_CHECK_INT(dt_run_lock_check(lock, NULL), DT_OK);
    DT_CHECK(exists("lock"));
    dt_run_lock_release(lock);
}

/* -- the folder and config.conf -------------------------------------------------------------------------- */

typedef struct run {
    dt_options *options;
    dt_run_folder *folder;
} run;

static void set_up(run *r, dt_resume_kind resume)
{
    r->options = dt_calloc(1, sizeof *r->options);
    r->folder = dt_calloc(1, sizeof *r->folder);
    DT_REQUIRE(r->options && r->folder);
    dt_options_set_defaults(r->options, DT_COMMAND_TRAIN);
    r->options->config.resume = resume;
    snprintf(r->options->out, sizeof r->options->out, "%s/a/out", dt_test_temp_dir());
    dt_run_folder_name(r->options->out, r->folder);
}

static void tear_down(run *r)
{
    dt_free(r->options);
    dt_free(r->folder);
}

static dt_status start(run *r, const char *text, dt_error *err)
{
    dt_status status = dt_run_folder_open(r->options, text, NULL, r->folder, err);
    if (status == DT_OK)
        status = dt_run_folder_commit(r->options, r->folder, false, err);
    return status;
}

static void new_folders_and_config_conf_are_durable(void)
{
    run r;
    set_up(&r, DT_RESUME_AUTO);
    calls_record(dt_test_temp_dir());
    calls_ignore("a/out/lock"); /* a thread writes its heartbeat */
    DT_CHECK_INT(start(&r, "x", NULL), DT_OK);
    calls_stop();
    dt_run_folder_close(r.folder);
    const char *first = strstr(calls_text(), "mkdir a\n");
    DT_CHECK_STR(first, /* clang-format off */
                 "mkdir a\nopen .\nfsync .\nclose .\n"
                 "mkdir a/out\nopen a\nfsync a\nclose a\n"
                 "create a/out/config.conf.tmp\n"
                 "pwrite a/out/config.conf.tmp\n"
                 "fsync a/out/config.conf.tmp\n"
                 "close a/out/config.conf.tmp\n"
                 "rename a/out/config.conf.tmp -> a/out/config.conf\n"
                 "open a/out\nfsync a/out\nclose a/out\n"); /* clang-format on */
    check_content("a/out/config.conf", "x");
    tear_down(&r);
}

/* A start that fails leaves the older configuration, and removes what it has made. */
static void a_start_that_fails_changes_nothing(void)
{
    char ok[1024] = "";
    run r;
    set_up(&r, DT_RESUME_AUTO);
    for (int older = 0; older < 2; older++) {
        for (int n = 1;; n++) {
            dt_error err = {0};
            if (older) {
                DT_CHECK_INT(start(&r, "older", NULL), DT_OK);
                dt_run_folder_close(r.folder);
            }
            calls_record(dt_test_temp_dir());
            calls_ignore("*/lock");
            calls_fail("*", "a*", n, 1, EIO);
            const dt_status status = start(&r, "newer", &err);
            const bool failed = calls_changed()[0];
            const bool renamed =
                strcmp(calls_changed(), "open a/out") == 0 || strcmp(calls_changed(), "fsync a/out") == 0;
            calls_stop();
            dt_run_folder_close(r.folder);
            if (failed && status == DT_OK) {
                snprintf(ok + strlen(ok), sizeof ok - strlen(ok), "%s\n", calls_changed());
            } else if (failed) {
                DT_CHECK_INT(status, DT_ERR_IO);
                DT_CHECK_CONTAINS(err.message, ": Input/output error");
                DT_CHECK_CONTAINS(err.message, dt_test_temp_dir());
                DT_CHECK_MSG(!exists("a/out/config.conf.tmp"), "%s", calls_changed());
                DT_CHECK(!exists("a/out/lock"));
                if (older && !renamed)
                    check_content("a/out/config.conf", "older");
                else if (!older)
                    DT_CHECK_MSG(exists("a/out/config.conf") == renamed, "%s", calls_changed());
            }
            if (!older) {
                (void)unlink(dt_test_path("%s/a/out/config.conf", dt_test_temp_dir()));
                (void)rmdir(dt_test_path("%s/a/out", dt_test_temp_dir()));
                (void)rmdir(dt_test_path("%s/a", dt_test_temp_dir()));
            }
            if (!failed)
                break;
        }
    }
    DT_CHECK_STR(ok, "close a\nclose a/out\nclose a/out\n");
    tear_down(&r);
}

static void a_jobs_file_is_durable(void)
{
    const dt_job job = {.name = "Slurm job 7", .n_restarts = 3};
    const char *path = dt_test_path("%s/job", dt_test_temp_dir());
    dt_error err = {0};
    calls_record(dt_test_temp_dir());
    calls_fail("close", "job", 1, 1, EINTR);
    DT_CHECK_INT(dt_job_write(&job, path, NULL), DT_OK);
    DT_CHECK_STR(calls_text(), "create job\npwrite job\nfsync job\nclose job: Interrupted system call\n");
    check_content("job", "3 Slurm job 7\n");
    calls_record(dt_test_temp_dir());
    calls_fail("fsync", "job", 1, 1000, EIO);
    DT_CHECK_INT(dt_job_write(&job, path, &err), DT_ERR_IO);
    DT_CHECK_INT(calls_count("fsync", "job"), 1);
    calls_stop();
    DT_CHECK_CONTAINS(err.message, "/job: fsync failed");
}

static const dt_test tests[] = {
    DT_TEST(signals_lose_no_lock),
    DT_TEST(a_lock_that_cannot_be_written_is_removed),
    DT_TEST(a_lock_that_was_there_and_cannot_be_written_stays),
    DT_TEST(a_lock_that_cannot_be_read_is_kept),
    DT_TEST(new_folders_and_config_conf_are_durable),
    DT_TEST(a_start_that_fails_changes_nothing),
    DT_TEST(a_jobs_file_is_durable),
};
DT_TEST_MAIN("launch/run/run_calls", tests)
