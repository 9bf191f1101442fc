/* What long waits have in common: requests to stop, what the main thread waits for. */
#include "core/base/waits.h"

#include "core/base/clock.h"
#include "tests/testing.h"

#include <unistd.h>

static const char *ask(void *context)
{
    return *(const char **)context;
}

static void a_request_is_returned_to_every_wait(void)
{
    const char *why = NULL;
    dt_error err = {0};
    DT_CHECK_STR(dt_waits_stop_requested(), NULL);
    dt_waits_set_stop(ask, &why);
    DT_CHECK_INT(dt_waits_check("counting", &err), DT_OK);
    why = "SIGTERM";
    DT_CHECK_STR(dt_waits_stop_requested(), "SIGTERM");
    DT_CHECK_INT(dt_waits_check("counting", &err), DT_ERR_INTERRUPTED);
    DT_CHECK_CONTAINS(err.message, "stopped on SIGTERM before the first step, while counting;");
    dt_waits_set_stop(NULL, NULL);
    DT_CHECK_INT(dt_waits_check("counting", &err), DT_OK);
}

static void what_the_main_thread_waits_for_is_known(void)
{
    char what[64];
    DT_CHECK(dt_waits_get(what, sizeof what) <= 0.0);
    DT_CHECK_STR(what, "");
    dt_waits_begin("listing %s", "a");
    dt_clock_sleep_s(0.02);
    DT_CHECK(dt_waits_get(what, sizeof what) >= 0.02);
    DT_CHECK_STR(what, "listing a");
    dt_waits_begin("listing %s", "b");
    DT_CHECK(dt_waits_get(what, sizeof what) < 0.02);
    DT_CHECK_STR(what, "listing b");
    dt_waits_end();
    DT_CHECK(dt_waits_get(what, sizeof what) <= 0.0);
    DT_CHECK_STR(what, "");
}

static void an_unfinished_file_is_removed_while_it_is_set(void)
{
    const char *path = dt_test_path("%s/unfinished", dt_test_temp_dir());
    dt_waits_remove_unfinished(); /* none is set */
    dt_test_write_file(path, "x", 1);
    dt_waits_set_unfinished(path);
    dt_waits_set_unfinished(NULL); /* it has been finished */
    dt_waits_remove_unfinished();
    DT_CHECK_INT(access(path, F_OK), 0);
    dt_waits_set_unfinished(path);
    dt_waits_remove_unfinished();
    DT_CHECK_INT(access(path, F_OK), -1);
    dt_waits_set_unfinished(NULL);
}

static void threads_that_are_left_are_remembered(void)
{
    DT_CHECK(!dt_waits_has_left_threads());
    dt_waits_leave_thread();
    DT_CHECK(dt_waits_has_left_threads());
}

static const dt_test tests[] = {
    DT_TEST(a_request_is_returned_to_every_wait),
    DT_TEST(what_the_main_thread_waits_for_is_known),
    DT_TEST(an_unfinished_file_is_removed_while_it_is_set),
    DT_TEST(threads_that_are_left_are_remembered),
};
DT_TEST_MAIN("core/waits", tests)
