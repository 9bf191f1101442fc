/* Opening the folders of checkpoints on one host: which start goes on without a mirror, and what is removed
 * and moved. */
#include "launch/run/checkpoint_folders.h"

#include "comm/self.h"
#include "core/base/fault.h"
#include "tests/call_script.h"
#include "tests/fakes/captured_log.h"
#include "tests/launch/checkpoints/checkpoints_kit.h"
#include "tests/testing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static fake_state state;
static dt_comm *comm;
static dt_options options;
static dt_run_locks locks;
static dt_checkpoint_folders folders;
static dt_error err;

void dt_test_set_up(void)
{
    fake_state_init(&state, 1);
    if (dt_comm_self_create(&comm, &err) != DT_OK)
        exit(99);
}

void dt_test_tear_down(void)
{
    comm->ops->destroy(comm);
    fake_state_clear(&state);
}

static const char *path_of(const char *name)
{
    return dt_test_path("%s/%s", dt_test_temp_dir(), name);
}

/* A run whose usual folder of checkpoints is run/checkpoints, and whose mirror is `mirror`. */
static dt_status open_with_mirror(const char *fault)
{
    dt_options_set_defaults(&options, DT_COMMAND_TRAIN);
    snprintf(options.out, sizeof options.out, "%s", path_of("run"));
    snprintf(options.checkpoint_mirror, sizeof options.checkpoint_mirror, "%s", path_of("mirror"));
    err = (dt_error){0};
    dt_run_locks_init(&locks);
    DT_REQUIRE(dt_fault_arm(fault, 0, &err) == DT_OK);
    captured_log_begin(DT_LOG_INFO);
    const dt_status status =
        dt_checkpoint_folders_open(&options, path_of("run/checkpoints"), comm, &locks, &folders, &err);
    captured_log_end();
    DT_REQUIRE(dt_fault_arm(NULL, 0, NULL) == DT_OK);
    return status;
}

static void close_all(void)
{
    dt_run_locks_init(&locks);
    dt_checkpoint_folders_close(&folders);
}

/* The first trial is of the run's own folder, the second of the mirror. */
#define MIRROR_FAILS "trial.write:2"

static void a_new_training_is_refused_if_its_mirror_cannot_be_written(void)
{
    DT_CHECK_INT(open_with_mirror(MIRROR_FAILS), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "--checkpoint-mirror: no checkpoint can be written: ");
    close_all();
    DT_CHECK(access(path_of("mirror"), F_OK) != 0); /* this start has made it */
    DT_REQUIRE(mkdir(path_of("mirror"), 0777) == 0);
    DT_CHECK_INT(open_with_mirror(MIRROR_FAILS), DT_ERR_IO);
    close_all();
    DT_CHECK(access(path_of("mirror"), F_OK) == 0); /* it was there before */
}

static void a_restart_goes_on_without_a_mirror_that_cannot_be_written(void)
{
    static const char *const names[] = {"run/checkpoints", "mirror"}; /* where the checkpoint is */
    for (int i = 0; i < 2; i++) {
        checkpoints_kit_write(path_of(names[i]), &state, 100, fake_manifest(1));
        DT_CHECK_MSG(open_with_mirror(MIRROR_FAILS) == DT_OK, "%s", err.message);
        DT_CHECK_CONTAINS(captured_log_text(),
                          "this restart goes on without copies there until it can be written");
        DT_CHECK(folders.store && folders.mirror);
        close_all();
        DT_CHECK(access(path_of(names[i]), F_OK) == 0);
        DT_REQUIRE(system(dt_test_path("rm -r %s", path_of(names[i]))) == 0);
    }
}

/* The disk may recover. A folder is only refused where another run is known to work. */
static void a_lock_that_cannot_be_written_for_now_ends_no_start(void)
{
    static const char *const locks_of[] = {"run/checkpoints/lock", "mirror/lock"};
    checkpoints_kit_write(path_of("run/checkpoints"), &state, 100, fake_manifest(1));
    checkpoints_kit_write(path_of("mirror"), &state, 100, fake_manifest(1));
    for (int i = 0; i < 2; i++) {
        dt_test_write_file(path_of(locks_of[i]), "", 0);
        calls_record(dt_test_temp_dir());
        calls_fail("*", locks_of[i], 1, 1000, EIO);
        DT_CHECK_MSG(open_with_mirror(NULL) == DT_OK, "%s", err.message);
        DT_CHECK(calls_count("*", locks_of[i]) > 0);
        calls_stop();
        if (i == 0)
            DT_CHECK_STR(captured_log_text(), ""); /* the run's own lock is elsewhere */
        else
            DT_CHECK_CONTAINS(captured_log_text(), ": continuing without a lock there\n");
        DT_CHECK(folders.store && folders.mirror && (folders.locks[1] != NULL) == (i == 0));
        close_all();
    }
}

static void the_runs_own_folder_must_be_writable_also_at_a_restart(void)
{
    checkpoints_kit_write(path_of("run/checkpoints"), &state, 100, fake_manifest(1));
    DT_CHECK_INT(open_with_mirror("trial.write:1"), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "--out: no checkpoint can be written: ");
    close_all();
    DT_CHECK(open_with_mirror(NULL) == DT_OK); /* the next start can */
    DT_CHECK_INT(captured_log_lines(), 0);
    close_all();
}

static void checkpoints_are_put_aside_under_the_first_free_number(void)
{
    for (int i = 1; i <= 2; i++) {
        checkpoints_kit_write(path_of("mirror"), &state, 100, fake_manifest(i));
        DT_REQUIRE_MSG(open_with_mirror(NULL) == DT_OK, "%s", err.message);
        captured_log_begin(DT_LOG_INFO);
        DT_CHECK_INT(dt_checkpoint_folders_put_aside(&folders, comm, &err), DT_OK);
        captured_log_end();
        DT_CHECK_STR(captured_log_text(), dt_test_path("the older checkpoints in %s are in %s/old-%d now\n",
                                                       path_of("mirror"), path_of("mirror"), i));
        close_all();
        DT_CHECK(access(dt_test_path("%s/old-%d/step-%08d/manifest.json", path_of("mirror"), i, i), F_OK) ==
                 0);
    }
    DT_REQUIRE(open_with_mirror(NULL) == DT_OK); /* nothing is there to be put aside */
    DT_CHECK_INT(dt_checkpoint_folders_put_aside(&folders, comm, &err), DT_OK);
    close_all();
    DT_CHECK(access(path_of("mirror/old-3"), F_OK) != 0);
}

static const dt_test tests[] = {
    DT_TEST(a_new_training_is_refused_if_its_mirror_cannot_be_written),
    DT_TEST(a_restart_goes_on_without_a_mirror_that_cannot_be_written),
    DT_TEST(a_lock_that_cannot_be_written_for_now_ends_no_start),
    DT_TEST(the_runs_own_folder_must_be_writable_also_at_a_restart),
    DT_TEST(checkpoints_are_put_aside_under_the_first_free_number),
};
DT_TEST_MAIN("launch/run/checkpoint_folders", tests)
