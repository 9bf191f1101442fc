/* Every operation of layers/cpu against layers/ref, with the best instruction set that this processor
 * has. tests/backend_cases.h says how to add a case. */
#include "tests/cpu_cases.h"
#include "tests/testing.h"

int dt_test_time_limit_s = 900; /* for the long cases */

static const char *const everything[] = {"", NULL};

static void every_operation_agrees_with_ref_for_every_shape_at_32_pixels(void)
{
    dt_cpu_cases_check(1, 32, 2, everything);
}

static void two_threads_agree_with_ref(void)
{
    dt_cpu_cases_check(2, 32, 3, dt_cpu_cases_few);
}

/* 64 images of 8x8 pixels are several chunks; 5 of 16x16 pixels are 2 chunks, of 3 and 2. */
static void chunks_of_different_sizes_agree_with_ref(void)
{
    static const char *const wide[] = {"c64 h16 w16 k256", NULL};
    dt_cpu_cases_check(1, 64, 5, wide);
    dt_cpu_cases_check(2, 64, 7, wide);
}

/* 3x3, stride 1, with enough tiles of 4x4: see conv_cpu.c. tests/layers/winograd_test.c has shapes that no
 * ResNet has. */
static void winograd_agrees_with_ref(void)
{
    static const char *const large[] = {"c64 h16 w16 k64 r3", NULL};
    dt_cpu_cases_check(1, 64, 5, large);
    dt_cpu_cases_check(2, 64, 4, large);
}

static void every_operation_agrees_with_ref_at_64_pixels(void)
{
    DT_LONG_TEST();
    dt_cpu_cases_check(2, 64, 5, everything);
}

static void every_operation_agrees_with_ref_at_224_pixels(void)
{
    DT_LONG_TEST();
    dt_cpu_cases_check(2, 224, 2, everything);
}

static void every_operation_agrees_with_ref_at_odd_sizes(void)
{
    DT_LONG_TEST();
    dt_cpu_cases_check(3, 37, 7, everything);
    dt_cpu_cases_check(1, 75, 3, everything);
}

static const dt_test tests[] = {
    DT_TEST(every_operation_agrees_with_ref_for_every_shape_at_32_pixels),
    DT_TEST(two_threads_agree_with_ref),
    DT_TEST(chunks_of_different_sizes_agree_with_ref),
    DT_TEST(winograd_agrees_with_ref),
    DT_TEST(every_operation_agrees_with_ref_at_64_pixels),
    DT_TEST(every_operation_agrees_with_ref_at_224_pixels),
    DT_TEST(every_operation_agrees_with_ref_at_odd_sizes),
};
DT_TEST_MAIN("layers/cpu_against_ref", tests)
