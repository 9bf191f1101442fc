/* Tests that fail, hang, or skip: harness_test.sh runs one and checks the harness's report. */
#include "tests/testing.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

int dt_test_time_limit_s = 2;

static void a_check_fails_and_the_test_goes_on(void)
{
    DT_CHECK_INT(1 + 1, 3);
    DT_CHECK_STR("abc", "abd");
    DT_CHECK_CONTAINS("abc", "x");
}

static void a_require_ends_the_test(void)
{
    DT_REQUIRE(1 > 2);
    DT_FAIL("not reached");
}

static void a_float_array_is_off(void)
{
    const float actual[] = {1.0F, 2.0F, 3.0F};
    const float expected[] = {1.0F, 2.5F, 3.0F};
    DT_CHECK_NEAR(actual, expected, 3, 0.1);
}

static void it_hangs(void)
{
    for (;;)
        pause();
}

static void it_skips(void)
{
    DT_SKIP("nothing to do");
}

static void it_is_long(void)
{
    DT_LONG_TEST();
}

static void it_crashes(void)
{
    abort();
}

static void it_leaks(void)
{
    char *volatile lost = malloc(100);
    DT_CHECK(lost != NULL);
    lost = NULL;
}

static int counter;

static void *count(void *unused)
{
    for (int i = 0; i < 1000; i++)
        counter++;
    return unused;
}

static void it_races(void)
{
    pthread_t thread;
    DT_REQUIRE(pthread_create(&thread, NULL, count, NULL) == 0);
    count(NULL);
    pthread_join(thread, NULL);
    DT_CHECK(counter > 0);
}

static void it_passes(void)
{
    DT_CHECK(true);
}

static const dt_test tests[] = {
    DT_TEST(a_check_fails_and_the_test_goes_on),
    DT_TEST(a_require_ends_the_test),
    DT_TEST(a_float_array_is_off),
    DT_TEST(it_hangs),
    DT_TEST(it_skips),
    DT_TEST(it_is_long),
    DT_TEST(it_crashes),
    DT_TEST(it_leaks),
    DT_TEST(it_races),
    DT_TEST(it_passes),
};

DT_TEST_MAIN("planted", tests)
