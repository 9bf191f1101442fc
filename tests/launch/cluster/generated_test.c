/* Files that dtrain writes and people edit: which are replaced, and which are not. */
#include "launch/cluster/generated.h"
#include "tests/testing.h"

#include "core/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static dt_error err;
static dt_generated_state state;

static const char *path(void)
{
    return dt_test_path("%s/cluster.yaml", dt_test_temp_dir());
}

static char *with_checksum(const char *text)
{
    char *whole = NULL;
    DT_REQUIRE(dt_generated_add_checksum(text, &whole, &err) == DT_OK);
    return whole;
}

static void write_text(const char *text)
{
    dt_test_write_file(path(), text, strlen(text));
}

static void a_new_file_is_written_and_is_the_same_then(void)
{
    char *whole = with_checksum("a: b\n");
    DT_CHECK(dt_generated_check("--output", path(), whole, &state, &err) == DT_OK);
    DT_CHECK_INT(state, DT_GENERATED_NEW);
    DT_CHECK(dt_generated_write("--output", path(), whole, &err) == DT_OK);
    char *there = dt_test_read_file(path(), NULL);
    DT_CHECK_STR(there, whole);
    DT_CHECK(strncmp(there, "a: b\n# dtrain cluster replaces this file only while", 51) == 0);
    DT_CHECK(dt_generated_check("--output", path(), whole, &state, &err) == DT_OK);
    DT_CHECK_INT(state, DT_GENERATED_SAME);
    free(there);
    dt_free(whole);
}

static void an_unchanged_file_is_replaced(void)
{
    char *older = with_checksum("a: b\n"), *newer = with_checksum("a: c\n");
    write_text(older);
    DT_CHECK(dt_generated_check("--output", path(), newer, &state, &err) == DT_OK);
    DT_CHECK_INT(state, DT_GENERATED_REPLACED);
    dt_free(older);
    dt_free(newer);
}

/* Checks that this text is not replaced. */
static void check_kept(const char *text, const char *why)
{
    char *newer = with_checksum("a: c\n"), expected[512];
    write_text(text);
    DT_CHECK_INT(dt_generated_check("--output", path(), newer, &state, &err), DT_ERR_USAGE);
    snprintf(expected, sizeof expected, "--output: %s %s: move it away, or write elsewhere", path(), why);
    DT_CHECK_STR(err.message, expected);
    dt_free(newer);
}

static void a_file_that_was_changed_is_kept(void)
{
    static const char changed[] = "was changed since dtrain cluster wrote it, and would lose these changes";
    static const char other[] = "is there, and dtrain cluster did not write it as it is";
    char *whole = with_checksum("a: b\nc: d\n"), text[512];
    snprintf(text, sizeof text, "%s", whole);
    text[3] = 'x'; /* a letter */
    check_kept(text, changed);
    snprintf(text, sizeof text, "new: line\n%s", whole);
    check_kept(text, changed);
    snprintf(text, sizeof text, "%s", whole);
    text[strlen(text) - 2] ^= 1; /* the checksum */
    check_kept(text, changed);
    snprintf(text, sizeof text, "%sat: end\n", whole);
    check_kept(text, other);
    check_kept("a: b\n", other);
    check_kept("", other);
    dt_free(whole);
}

static void the_words_name_the_option_where_nothing_can_be_read_or_written(void)
{
    char *whole = with_checksum("a: b\n");
    const char *folder = dt_test_temp_dir();
    DT_CHECK(dt_generated_check("--output", folder, whole, &state, &err) != DT_OK);
    DT_CHECK(strncmp(err.message, "--output: ", 10) == 0);
    DT_CHECK(dt_generated_write("--output", folder, whole, &err) != DT_OK);
    DT_CHECK(strncmp(err.message, "--output: ", 10) == 0);
    dt_free(whole);
}

static const dt_test tests[] = {
    DT_TEST(a_new_file_is_written_and_is_the_same_then),
    DT_TEST(an_unchanged_file_is_replaced),
    DT_TEST(a_file_that_was_changed_is_kept),
    DT_TEST(the_words_name_the_option_where_nothing_can_be_read_or_written),
};
DT_TEST_MAIN("launch/cluster/generated", tests)
