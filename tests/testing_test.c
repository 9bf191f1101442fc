/* Tests of the test harness. */
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static void relative_error_is_measured_against_the_largest_element(void)
{
    const float expected[] = {0.0F, 100.0F};
    const float actual[] = {1.0F, 100.0F};
    DT_CHECK_CLOSE(dt_test_relative_error(actual, expected, 2), 0.01, 1e-12);
    DT_CHECK_NEAR(actual, expected, 2, 0.011);
}

static void a_nan_is_an_infinite_error(void)
{
    const float expected[] = {1.0F};
    const float actual[] = {NAN};
    DT_CHECK(isinf(dt_test_relative_error(actual, expected, 1)));
    DT_CHECK(isinf(dt_test_relative_error(expected, actual, 1)));
}

static void files_are_read_back_as_written(void)
{
    size_t n_bytes = 0;
    const char *path = dt_test_path("%s/file", dt_test_temp_dir());
    dt_test_write_file(path, "a\0b", 3);
    char *content = dt_test_read_file(path, &n_bytes);
    DT_CHECK_INT(n_bytes, 3);
    DT_CHECK_BYTES(content, "a\0b", 3);
    free(content);
}

static void the_folder_of_the_previous_test_is_removed(void)
{
    DT_CHECK(access(dt_test_path("%s/file", dt_test_temp_dir()), F_OK) != 0);
}

static const dt_test tests[] = {
    DT_TEST(relative_error_is_measured_against_the_largest_element),
    DT_TEST(a_nan_is_an_infinite_error),
    DT_TEST(files_are_read_back_as_written),
    DT_TEST(the_folder_of_the_previous_test_is_removed),
};

DT_TEST_MAIN("testing", tests)
