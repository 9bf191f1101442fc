/* The number and the depth of values in a JSON text. */
#include "core/base/json_limit.h"
#include "tests/testing.h"

#include <string.h>

static dt_status limit(const char *text, int64_t max_values, int max_depth)
{
    return dt_json_limit(text, (int64_t)strlen(text), max_values, max_depth, NULL);
}

static void values_are_counted(void)
{
    DT_CHECK_INT(limit("{\"a\": [1, 2, 3], \"b\": {}}", 8, 2), DT_OK);
    DT_CHECK_INT(limit("[1, 2, 3, 4, 5, 6, 7, 8]", 9, 1), DT_OK);
    DT_CHECK_INT(limit("[1, 2, 3, 4, 5, 6, 7, 8]", 8, 1), DT_ERR_FORMAT);
    DT_CHECK_INT(limit("[{},{},{},{},{},{},{},{}]", 9, 2), DT_ERR_FORMAT);
    DT_CHECK_INT(limit("", 1, 0), DT_OK);
    DT_CHECK_INT(limit("1", 1, 0), DT_OK);
}

static void depth_is_counted(void)
{
    DT_CHECK_INT(limit("[[[]]]", 100, 3), DT_OK);
    DT_CHECK_INT(limit("[[[]]]", 100, 2), DT_ERR_FORMAT);
    DT_CHECK_INT(limit("[[],[],[]]", 100, 2), DT_OK);
    DT_CHECK_INT(limit("]]]][[[[", 100, 2), DT_OK); /* no JSON: the parser says so */
}

static void strings_are_skipped(void)
{
    DT_CHECK_INT(limit("[\"[[[[,,,,{{{{\"]", 2, 1), DT_OK);
    DT_CHECK_INT(limit("[\"\\\"[[[[,,,,\\\\\", 1]", 3, 1), DT_OK);
    DT_CHECK_INT(limit("[\"\\\\\", [], []]", 3, 1), DT_ERR_FORMAT);
    DT_CHECK_INT(limit("[\"cut short", 2, 1), DT_OK);
    DT_CHECK_INT(limit("[\"cut short\\", 2, 1), DT_OK);
}

static void messages_say_the_limit(void)
{
    dt_error err = {0};
    DT_CHECK_INT(dt_json_limit("[1,2,3]", 7, 2, 1, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "more than 2 values");
    DT_CHECK_INT(dt_json_limit("[[[", 3, 9, 2, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "nested more than 2 deep");
}

static const dt_test tests[] = {
    DT_TEST(values_are_counted),
    DT_TEST(depth_is_counted),
    DT_TEST(strings_are_skipped),
    DT_TEST(messages_say_the_limit),
};

DT_TEST_MAIN("core/base/json_limit", tests)
