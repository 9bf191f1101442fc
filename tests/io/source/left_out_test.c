/* The text of what is left out of a data folder, word by word. */
#include "io/source/left_out.h"

#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

static dt_left_out left_out;

static void add_files(const char *const *names, size_t n)
{
    left_out = (dt_left_out){0};
    for (size_t i = 0; i < n; i++)
        dt_left_out_add(&left_out, DT_LEFT_OUT_FILE, names[i]);
}

static const char *text(void)
{
    static char out[DT_LEFT_OUT_TEXT_BYTES];
    return dt_left_out_text(&left_out, out, sizeof out);
}

static void files_are_counted_by_their_ending(void)
{
    static const char *const names[] = {"b.png", "a.PNG", "x.tar.gz", "c.png", "d.a1"};
    add_files(names, 5);
    DT_CHECK_STR(text(), "5 entries: 3 .png (e.g. a.PNG), 1 .gz (e.g. x.tar.gz), 1 .a1 (e.g. d.a1)");
}

/* An ending has a dot and 1 to 9 letters or digits, after at least one other character of the name. */
static void other_names_are_of_other_names(void)
{
    static const char *const plain[] = {"x.a", "x.abcdefghi", "d.e/x.png", ".d/x.png"};
    static const char *const other[] = {"x",   "x.",     "x.abcdefghij", "x.a-b",
                                        "x.~", "d/.png", "d.png/x",      "x.\303\244"};
    add_files(plain, 4);
    DT_CHECK_STR(text(),
                 "4 entries: 2 .png (e.g. .d/x.png), 1 .a (e.g. x.a), 1 .abcdefghi (e.g. x.abcdefghi)");
    add_files(other, 8);
    DT_CHECK_STR(text(), "8 entries: 8 of other names (e.g. d.png/x)");
}

static void kinds_have_their_names_and_plurals(void)
{
    static const dt_left_out_kind kinds[] = {DT_LEFT_OUT_FOLDER, DT_LEFT_OUT_HIDDEN, DT_LEFT_OUT_BESIDE,
                                             DT_LEFT_OUT_BROKEN_LINK, DT_LEFT_OUT_SPECIAL};
    left_out = (dt_left_out){0};
    DT_CHECK_STR(text(), "");
    dt_left_out_add(&left_out, DT_LEFT_OUT_FOLDER, "a/f");
    DT_CHECK_STR(text(), "1 entry: 1 folder (e.g. a/f)");
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 5 - i; k++)
            dt_left_out_add(&left_out, kinds[i], "x");
    DT_CHECK_STR(text(),
                 "16 entries: 6 folders (e.g. a/f), 4 hidden (e.g. x), 3 beside the classes (e.g. x), "
                 "2 broken links (e.g. x), 1 FIFO or device (e.g. x)");
    DT_CHECK_INT(left_out.n, 16);
    DT_CHECK_INT(left_out.n_hidden, 4);
}

static void a_text_has_six_kinds_and_the_number_of_others(void)
{
    char name[16];
    left_out = (dt_left_out){0};
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "x.%d", i);
        dt_left_out_add(&left_out, DT_LEFT_OUT_FILE, name);
        const char *shown = text();
        DT_CHECK_CONTAINS(shown, i < 6 ? name : "1 .5 (e.g. x.5) and ");
        if (i >= 6)
            DT_CHECK_STR(strstr(shown, " and "), i == 6 ? " and 1 other kind" : " and 2 other kinds");
    }
    dt_left_out_add(&left_out, DT_LEFT_OUT_FILE, "x.7"); /* the most frequent one comes first */
    DT_CHECK_STR(text(), "9 entries: 2 .7 (e.g. x.7), 1 .0 (e.g. x.0), 1 .1 (e.g. x.1), 1 .2 (e.g. x.2), "
                         "1 .3 (e.g. x.3), 1 .4 (e.g. x.4) and 2 other kinds");
}

static void the_last_kind_counts_all_further_ones(void)
{
    char name[16];
    left_out = (dt_left_out){0};
    for (int i = 0; i < DT_LEFT_OUT_KINDS - 1; i++) {
        snprintf(name, sizeof name, "x.%d", i);
        dt_left_out_add(&left_out, DT_LEFT_OUT_FILE, name);
    }
    DT_CHECK_STR(left_out.kinds[DT_LEFT_OUT_KINDS - 2].name, ".22");
    for (int i = DT_LEFT_OUT_KINDS; i < DT_LEFT_OUT_KINDS + 3; i++) {
        snprintf(name, sizeof name, "y.%d", i);
        dt_left_out_add(&left_out, DT_LEFT_OUT_FILE, name);
    }
    DT_CHECK_INT(left_out.n_kinds, DT_LEFT_OUT_KINDS);
    DT_CHECK_STR(left_out.kinds[DT_LEFT_OUT_KINDS - 1].name, "of other kinds");
    DT_CHECK_INT(left_out.kinds[DT_LEFT_OUT_KINDS - 1].n, 3);
    dt_left_out_add(&left_out, DT_LEFT_OUT_FILE, "x.22");
    DT_CHECK_INT(left_out.kinds[DT_LEFT_OUT_KINDS - 2].n, 2);
}

static void the_kinds_of_a_class_are_added_with_its_name(void)
{
    dt_left_out of_class = {0};
    left_out = (dt_left_out){0};
    dt_left_out_add(&left_out, DT_LEFT_OUT_HIDDEN, ".x");
    dt_left_out_add(&of_class, DT_LEFT_OUT_FILE, "2.png");
    dt_left_out_add(&of_class, DT_LEFT_OUT_FILE, "1.png");
    dt_left_out_add(&of_class, DT_LEFT_OUT_HIDDEN, ".y");
    dt_left_out_merge(&left_out, &of_class, "dogs");
    dt_left_out_merge(&left_out, &of_class, "cats");
    DT_CHECK_STR(text(), "7 entries: 4 .png (e.g. cats/1.png), 3 hidden (e.g. .x)");
    DT_CHECK_INT(left_out.n, 7);
    DT_CHECK_INT(left_out.n_hidden, 3);
}

static const dt_test tests[] = {
    DT_TEST(files_are_counted_by_their_ending),     DT_TEST(other_names_are_of_other_names),
    DT_TEST(kinds_have_their_names_and_plurals),    DT_TEST(a_text_has_six_kinds_and_the_number_of_others),
    DT_TEST(the_last_kind_counts_all_further_ones), DT_TEST(the_kinds_of_a_class_are_added_with_its_name),
};
DT_TEST_MAIN("io/source/left_out", tests)
