/* Text tables, compared byte for byte. */
#include "launch/show/table.h"

#include "core/base/alloc.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROW(...) ((const char *const[]){__VA_ARGS__})

static dt_table *ranks(void)
{
    dt_table *t = NULL;
    DT_REQUIRE(dt_table_create(ROW("rank", "host", "device"), 3, &t, NULL) == DT_OK);
    dt_table_align_right(t, 0);
    DT_CHECK_INT(dt_table_add(t, ROW("0", "node1", "cpu, 2 threads"), NULL), DT_OK);
    DT_CHECK_INT(dt_table_add(t, ROW("15", "knöten", NULL), NULL), DT_OK);
    return t;
}

/* Returns what a table prints; the caller calls free(). */
static char *printed(const dt_table *t, bool utf8, int max_columns)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    DT_CHECK_INT(dt_table_print(t, f, utf8, max_columns, NULL), DT_OK);
    fclose(f);
    return text;
}

static void check_prints(const dt_table *t, bool utf8, int max_columns, const char *expected)
{
    char *text = printed(t, utf8, max_columns);
    DT_CHECK_STR(text, expected);
    free(text);
}

static void columns_are_aligned_by_code_points_not_bytes(void)
{
    dt_table *t = ranks();
    check_prints(t, true, 0,
                 "rank │ host   │ device\n"
                 "─────┼────────┼───────────────\n"
                 "   0 │ node1  │ cpu, 2 threads\n"
                 "  15 │ knöten │ \n");
    check_prints(t, false, 0,
                 "rank | host   | device\n"
                 "-----+--------+---------------\n"
                 "   0 | node1  | cpu, 2 threads\n"
                 "  15 | knöten | \n");
    dt_table_destroy(t);
}

static void texts_of_a_table_that_is_too_wide_continue_in_the_next_line(void)
{
    dt_table *t = ranks();
    check_prints(t, false, 26,
                 "rank | host   | device\n"
                 "-----+--------+-----------\n"
                 "   0 | node1  | cpu, 2\n"
                 "     |        | threads\n"
                 "  15 | knöten | \n");
    DT_CHECK_INT(dt_table_add(t, ROW("1", "n", "/a/path/without/blanks"), NULL), DT_OK);
    check_prints(t, false, 26,
                 "rank | host   | device\n"
                 "-----+--------+-----------\n"
                 "   0 | node1  | cpu, 2\n"
                 "     |        | threads\n"
                 "  15 | knöten | \n"
                 "   1 | n      | /a/path/\n"
                 "     |        | without/\n"
                 "     |        | blanks\n");
    dt_table_destroy(t);
}

/* A long path begins a line, breaks after slashes, and inside a name that no line can hold. */
static void a_path_breaks_after_slashes(void)
{
    dt_table *t = NULL;
    DT_REQUIRE(dt_table_create(NULL, 2, &t, NULL) == DT_OK);
    dt_table_add_pair(t, "cuDNN", "not found in /usr/lib/python3/dist-packages/nvidia, nor in /opt/c");
    check_prints(t, false, 30,
                 "cuDNN | not found in\n"
                 "      | /usr/lib/python3/\n"
                 "      | dist-packages/nvidia,\n"
                 "      | nor in /opt/c\n");
    dt_table_destroy(t);
    DT_REQUIRE(dt_table_create(NULL, 2, &t, NULL) == DT_OK);
    dt_table_add_pair(t, "cuDNN", "/longer-than-a-line/lib");
    check_prints(t, false, 20,
                 "cuDNN | /longer-than\n"
                 "      | -a-line/lib\n");
    dt_table_destroy(t);
}

/* The second column could only break a word, the first one breaks its path. */
static void columns_with_paths_become_narrower_before_words_break(void)
{
    dt_table *t = NULL;
    DT_REQUIRE(dt_table_create(NULL, 2, &t, NULL) == DT_OK);
    DT_CHECK_INT(dt_table_add(t, ROW("/usr/lib/x86_64/lib", "layer1.0.downsample.1"), NULL), DT_OK);
    check_prints(t, false, 36,
                 "/usr/lib/    | layer1.0.downsample.1\n"
                 "x86_64/lib   | \n");
    dt_table_destroy(t);
}

static void the_columns_with_more_words_become_narrower_first(void)
{
    dt_table *t = NULL;
    DT_REQUIRE(dt_table_create(ROW("name", "text"), 2, &t, NULL) == DT_OK);
    DT_CHECK_INT(dt_table_add(t, ROW("layer1.0.downsample", "only in the second"), NULL), DT_OK);
    check_prints(t, false, 32,
                 "name                | text\n"
                 "--------------------+-----------\n"
                 "layer1.0.downsample | only in\n"
                 "                    | the second\n");
    dt_table_destroy(t);
}

/* The widths add up to 4 + 3 + 6 + 3 + 14 columns. */
static void a_table_as_wide_as_the_terminal_is_not_narrowed(void)
{
    dt_table *t = ranks();
    static const char whole[] = "rank | host   | device\n"
                                "-----+--------+---------------\n"
                                "   0 | node1  | cpu, 2 threads\n"
                                "  15 | knöten | \n";
    check_prints(t, false, 31, whole);
    check_prints(t, false, 30, whole);
    check_prints(t, false, 29,
                 "rank | host   | device\n"
                 "-----+--------+--------------\n"
                 "   0 | node1  | cpu, 2\n"
                 "     |        | threads\n"
                 "  15 | knöten | \n");
    dt_table_destroy(t);
}

static void of_equally_wide_columns_the_last_becomes_narrower_first(void)
{
    dt_table *t = NULL;
    DT_REQUIRE(dt_table_create(NULL, 3, &t, NULL) == DT_OK);
    DT_CHECK_INT(dt_table_add(t, ROW("one two three", "one two three", "one"), NULL), DT_OK);
    check_prints(t, false, 35, "one two three | one two three | one\n");
    check_prints(t, false, 34,
                 "one two three | one two      | one\n"
                 "              | three        | \n");
    dt_table_destroy(t);
}

/* The last column has no blanks at its end, a column before it has. */
static void the_last_column_is_padded_on_the_left_only(void)
{
    dt_table *t = NULL;
    DT_REQUIRE(dt_table_create(ROW("a", "number"), 2, &t, NULL) == DT_OK);
    dt_table_align_right(t, 1);
    DT_CHECK_INT(dt_table_add(t, ROW("text", "7"), NULL), DT_OK);
    DT_CHECK_INT(dt_table_add(t, ROW("t", NULL), NULL), DT_OK);
    check_prints(t, false, 0,
                 "a    | number\n"
                 "-----+-------\n"
                 "text |      7\n"
                 "t    |       \n");
    dt_table_destroy(t);
}

static void tables_in_files_and_pipes_have_80_columns(void)
{
    FILE *file = tmpfile();
    int ends[2];
    DT_REQUIRE(file && pipe(ends) == 0);
    FILE *writer = fdopen(ends[1], "w");
    DT_REQUIRE(writer);
    DT_CHECK_INT(dt_table_columns(file), 80);
    DT_CHECK_INT(dt_table_columns(writer), 80);
    fclose(writer);
    close(ends[0]);
    fclose(file);
}

static void cells_are_made_printable(void)
{
    dt_table *t = NULL;
    DT_REQUIRE(dt_table_create(NULL, 2, &t, NULL) == DT_OK);
    DT_CHECK_INT(dt_table_add(t, ROW("a\x1b[31m\n", "\xff"), NULL), DT_OK);
    dt_table_add_pair(t, "b", "%s", "\u202e");
    check_prints(t, false, 0,
                 "a\\x1b[31m\\x0a | \\xff\n"
                 "b             | \\u{202e}\n");
    dt_table_destroy(t);
}

static void pairs_and_rules_are_printed(void)
{
    dt_table *t = NULL;
    dt_error err = {0};
    DT_REQUIRE(dt_table_create(NULL, 2, &t, &err) == DT_OK);
    dt_table_add_pair(t, "batch", "%d per rank", 32);
    DT_CHECK_INT(dt_table_add_rule(t, &err), DT_OK);
    dt_table_add_pair(t, "learning rate", "%g", 0.1);
    check_prints(t, false, 0,
                 "batch         | 32 per rank\n"
                 "--------------+------------\n"
                 "learning rate | 0.1\n");
    dt_table_destroy(t);
    t = ranks();
    dt_table_add_pair(t, "a", "b");
    DT_CHECK_INT(dt_table_print(t, stdout, false, 0, &err), DT_ERR_INTERNAL);
    DT_CHECK_STR(err.message, "a pair for a table of 3 columns");
    dt_table_destroy(t);
}

static void pairs_become_a_json_object(void)
{
    dt_table *t = NULL;
    json_t *object = NULL;
    DT_REQUIRE(dt_table_create(NULL, 2, &t, NULL) == DT_OK);
    dt_table_add_pair(t, "MPI", "%s", "Open MPI \"4\"");
    DT_CHECK_INT(dt_table_add_rule(t, NULL), DT_OK);
    for (int i = 0; i < 3; i++)
        dt_table_add_pair(t, i ? "" : "GPUs", "%d: H200", i);
    DT_REQUIRE(dt_table_to_json(t, &object, NULL) == DT_OK);
    char *text = json_dumps(object, JSON_COMPACT);
    DT_CHECK_STR(text, "{\"MPI\":\"Open MPI \\\"4\\\"\",\"GPUs\":[\"0: H200\",\"1: H200\",\"2: H200\"]}");
    free(text);
    json_decref(object);
    dt_table_destroy(t);
}

static void a_pair_that_failed_is_an_error_of_its_json_too(void)
{
    dt_table *t = ranks();
    json_t *object = NULL;
    dt_table_add_pair(t, "a pair", "in three columns");
    DT_CHECK_INT(dt_table_to_json(t, &object, NULL), DT_ERR_INTERNAL);
    DT_CHECK(!object);
    dt_table_destroy(t);
}

static void utf8_depends_on_the_locale(void)
{
    static const struct {
        const char *all, *ctype, *lang;
        bool utf8;
    } cases[] = {
        {NULL, NULL, NULL, false},     {NULL, NULL, "en_US.UTF-8", true}, {NULL, NULL, "C.utf8", true},
        {NULL, NULL, "C", false},      {"C", NULL, "en_US.UTF-8", false}, {"", "de_DE.UTF-8@euro", "C", true},
        {NULL, "C", "C.UTF-8", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const values[] = {cases[i].all, cases[i].ctype, cases[i].lang};
        const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
        for (int v = 0; v < 3; v++)
            if (values[v])
                setenv(names[v], values[v], 1);
            else
                unsetenv(names[v]);
        DT_CHECK_MSG(dt_table_utf8() == cases[i].utf8, "case %zu", i);
    }
}

static void a_failing_stream_is_an_error(void)
{
    dt_error err = {0};
    dt_table *t = ranks();
    FILE *full = fopen("/dev/full", "w");
    if (!full) {
        dt_table_destroy(t);
        DT_SKIP("no /dev/full");
    }
    setvbuf(full, NULL, _IONBF, 0);
    DT_CHECK_INT(dt_table_print(t, full, false, 0, &err), DT_ERR_IO);
    fclose(full);
    dt_table_destroy(t);
}

static void every_failing_allocation_is_an_error(void)
{
    int64_t live = dt_alloc_live_blocks();
    FILE *null = fopen("/dev/null", "w");
    for (int64_t i = 1;; i++) {
        dt_table *t = NULL;
        dt_error err = {0};
        dt_alloc_fail_after(i);
        dt_status status = dt_table_create(ROW("a", "b"), 2, &t, &err);
        if (status == DT_OK) {
            dt_table_add_pair(t, "c", "%d", 1);
            status = dt_table_print(t, null, false, 0, &err);
        }
        dt_alloc_fail_after(0);
        dt_table_destroy(t);
        DT_CHECK_INT(dt_alloc_live_blocks(), live);
        if (status == DT_OK)
            break;
        DT_CHECK_INT(status, DT_ERR_MEMORY);
        DT_REQUIRE(i < 100);
    }
    fclose(null);
}

static const dt_test tests[] = {
    DT_TEST(columns_are_aligned_by_code_points_not_bytes),
    DT_TEST(texts_of_a_table_that_is_too_wide_continue_in_the_next_line),
    DT_TEST(a_path_breaks_after_slashes),
    DT_TEST(columns_with_paths_become_narrower_before_words_break),
    DT_TEST(the_columns_with_more_words_become_narrower_first),
    DT_TEST(a_table_as_wide_as_the_terminal_is_not_narrowed),
    DT_TEST(of_equally_wide_columns_the_last_becomes_narrower_first),
    DT_TEST(the_last_column_is_padded_on_the_left_only),
    DT_TEST(tables_in_files_and_pipes_have_80_columns),
    DT_TEST(cells_are_made_printable),
    DT_TEST(pairs_and_rules_are_printed),
    DT_TEST(pairs_become_a_json_object),
    DT_TEST(a_pair_that_failed_is_an_error_of_its_json_too),
    DT_TEST(utf8_depends_on_the_locale),
    DT_TEST(a_failing_stream_is_an_error),
    DT_TEST(every_failing_allocation_is_an_error),
};
DT_TEST_MAIN("launch/table", tests)
