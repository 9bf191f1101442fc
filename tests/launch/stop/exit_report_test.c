/* The report of the job's exit code to dtrain-run. */
#include "launch/stop/exit_report.h"

#include "tests/testing.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void the_first_report_counts(void)
{
    const char *path = dt_test_path("%s/code", dt_test_temp_dir());
    dt_test_write_file(path, "", 0);
    setenv("DTRAIN_EXIT_FILE", path, 1);
    dt_exit_report(75);
    dt_exit_report(1);
    char *text = dt_test_read_file(path, NULL);
    DT_CHECK_STR(text, "75\n");
    free(text);
}

static void a_file_that_does_not_exist_is_not_made(void)
{
    const char *path = dt_test_path("%s/none", dt_test_temp_dir());
    setenv("DTRAIN_EXIT_FILE", path, 1);
    dt_exit_report(0);
    DT_CHECK(access(path, F_OK) != 0);
}

static void other_kinds_of_files_are_left_alone(void)
{
    const char *path = dt_test_path("%s/fifo", dt_test_temp_dir());
    DT_REQUIRE(mkfifo(path, 0600) == 0);
    setenv("DTRAIN_EXIT_FILE", path, 1);
    dt_exit_report(0); /* without a reader a plain open would wait */
    setenv("DTRAIN_EXIT_FILE", dt_test_temp_dir(), 1);
    dt_exit_report(0);
    setenv("DTRAIN_EXIT_FILE", "", 1);
    dt_exit_report(0);
    unsetenv("DTRAIN_EXIT_FILE");
    dt_exit_report(0);
}

static const dt_test tests[] = {
    DT_TEST(the_first_report_counts),
    DT_TEST(a_file_that_does_not_exist_is_not_made),
    DT_TEST(other_kinds_of_files_are_left_alone),
};
DT_TEST_MAIN("launch/stop/exit_report", tests)
