/* One run at a time in a folder; what is left by processes that are gone is taken over. */
#include "launch/run_lock.h"

#include "tests/testing.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void write_lock(const char *text)
{
    FILE *f = fopen("lock", "w");
    DT_REQUIRE(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void a_second_run_is_refused_and_a_third_may_follow(void)
{
    dt_run_lock *lock = NULL, *other = NULL;
    dt_error err = {0};
    DT_REQUIRE(dt_run_lock_take(".", &lock, &err) == DT_OK);
    DT_CHECK_INT(dt_run_lock_take(".", &other, &err), DT_ERR_USAGE);
    DT_CHECK(strstr(err.message, "another run works there") && !other);
    dt_run_lock_release(lock);
    DT_CHECK(access("lock", F_OK) != 0);
    DT_REQUIRE(dt_run_lock_take(".", &lock, &err) == DT_OK);
    dt_run_lock_release(lock);
    dt_run_lock_release(NULL);
}

static void a_lock_of_a_process_that_is_gone_is_taken_over(void)
{
    char host[65] = "", text[200];
    dt_run_lock *lock = NULL;
    dt_error err = {0};
    DT_REQUIRE(gethostname(host, sizeof host - 1) == 0);
    snprintf(text, sizeof text, "%s %ld 1 7\n", host, (long)getpid()); /* our number, but it began another time */
    write_lock(text);
    DT_CHECK_MSG(dt_run_lock_take(".", &lock, &err) == DT_OK, "%s", err.message);
    dt_run_lock_release(lock);
    write_lock("not a lock");
    DT_CHECK_MSG(dt_run_lock_take(".", &lock, &err) == DT_OK, "%s", err.message);
    dt_run_lock_release(lock);
}

static const dt_test tests[] = {
    DT_TEST(a_second_run_is_refused_and_a_third_may_follow),
    DT_TEST(a_lock_of_a_process_that_is_gone_is_taken_over),
};
DT_TEST_MAIN("launch/run_lock", tests)
