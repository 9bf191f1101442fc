/* The emitter of YAML: what is quoted and how, and the depth of each line. tests/program/cluster_test.sh
 * reads a document back with a YAML reader, where there is one. */
#include "launch/cluster/yaml.h"
#include "tests/testing.h"

#include "core/base/alloc.h"

#include <stdio.h>
#include <string.h>

static dt_error err;

/* Checks that a text is written so, as a member of a mapping and as an element of a sequence. */
static void check_scalar(const char *text, const char *expected)
{
    dt_yaml *y = NULL;
    char *document = NULL, both[512];
    DT_REQUIRE(dt_yaml_create(&y, &err) == DT_OK);
    dt_yaml_text(y, "k", text);
    dt_yaml_open(y, "l");
    dt_yaml_item_text(y, text);
    dt_yaml_close(y);
    DT_REQUIRE(dt_yaml_finish(y, &document, &err) == DT_OK);
    snprintf(both, sizeof both, "k: %s\nl:\n  - %s\n", expected, expected);
    DT_CHECK_STR(document, both);
    dt_free(document);
    dt_yaml_destroy(y);
}

static void texts_that_mean_themselves_are_plain(void)
{
    static const char *const plain[] = {
        "us-east-1", "p4d.24xlarge",   "s3://bucket/dtrain/a-1.2.tar.xz", "/shared", "ubuntu2404",
        "v2.0",      "subnet-0123abc", "arn:aws:iam::aws:policy/A",       "a@b",     "a+b_c"};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        check_scalar(plain[i], plain[i]);
}

static void texts_that_yaml_takes_for_something_else_are_quoted(void)
{
    static const char *const taken[] = {"",      "yes",        "No",   "ON",    "off",
                                        "true",  "FALSE",      "null", "~",     "y",
                                        "N",     "1",          "1.5",  "-1",    "+1",
                                        "1e3",   "0x1f",       "0o17", "010",   "1_000",
                                        "12:30", "2026-11-30", ".5",   ".inf",  ".NaN",
                                        "=",     "<<",         "a: b", "a:",    "a #b",
                                        "#a",    "- a",        "-",    "?",     "? a",
                                        ":",     ",",          "[a]",  "{a}",   "&a",
                                        "*a",    "!a",         "|",    ">",     "'a'",
                                        "%a",    "@a",         "`a`",  " a",    "a ",
                                        "a b",   "0.0.0.0/0",  "a,b",  "a[0]",  "a{b}",
                                        "---",   "...",        "a'b",  "a;b",   "a=b",
                                        "a*",    "a&b",        "a|b",  "80,90", "203.0.113.7/32"};
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "\"%s\"", taken[i]);
        check_scalar(taken[i], expected);
    }
}

static void characters_are_escaped(void)
{
    check_scalar("say \"a\\b\"", "\"say \\\"a\\\\b\\\"\"");
    check_scalar("a\nb\tc\x01\x7f", "\"a\\nb\\x09c\\x01\\x7f\"");
    check_scalar("Z\xc3\xbcrich", "\"Z\\xfcrich\"");
    check_scalar("\xe2\x80\xa8", "\"\\u2028\"");
    check_scalar("\xf0\x9f\x8c\x8d", "\"\\U0001f30d\"");
    check_scalar("\xff", "\"\\ufffd\""); /* no UTF-8 */
}

static void depth_and_dashes_are_right(void)
{
    dt_yaml *y = NULL;
    char *text = NULL;
    DT_REQUIRE(dt_yaml_create(&y, &err) == DT_OK);
    dt_yaml_comment(y, "first");
    dt_yaml_text(y, "a", "x");
    dt_yaml_open(y, "b");
    dt_yaml_item(y);
    dt_yaml_open(y, "c");
    dt_yaml_number(y, "d", -5);
    dt_yaml_close(y);
    dt_yaml_comment(y, "inside");
    dt_yaml_flag(y, "e", true);
    dt_yaml_open(y, "f");
    dt_yaml_item_text(y, "g");
    dt_yaml_item_text(y, "no");
    dt_yaml_close(y);
    dt_yaml_close(y);
    dt_yaml_item(y);
    dt_yaml_flag(y, "h", false);
    dt_yaml_close(y);
    dt_yaml_close(y);
    dt_yaml_text(y, "i", "j");
    DT_REQUIRE_MSG(dt_yaml_finish(y, &text, &err) == DT_OK, "%s", err.message);
    DT_CHECK_STR(text, "# first\na: x\nb:\n  - c:\n      d: -5\n    # inside\n    e: true\n    f:\n      - "
                       "g\n      - \"no\"\n"
                       "  - h: false\ni: j\n");
    dt_free(text);
    dt_yaml_destroy(y);
}

static void what_is_open_at_the_end_is_a_bug(void)
{
    dt_yaml *y = NULL;
    char *text = NULL;
    DT_REQUIRE(dt_yaml_create(&y, &err) == DT_OK);
    dt_yaml_open(y, "a");
    DT_CHECK_INT(dt_yaml_finish(y, &text, &err), DT_ERR_INTERNAL);
    dt_yaml_destroy(y);
}

static void each_failed_allocation_is_reported(void)
{
    const int64_t before = dt_alloc_live_blocks();
    for (int n = 1; n <= 3; n++) {
        dt_yaml *y = NULL;
        char *text = NULL;
        dt_alloc_fail_after(n);
        dt_status status = dt_yaml_create(&y, &err);
        for (int i = 0; status == DT_OK && i < 200; i++)
            dt_yaml_text(y, "key", "a text of some length, so that the document grows");
        if (status == DT_OK)
            status = dt_yaml_finish(y, &text, &err);
        dt_alloc_fail_after(0);
        DT_CHECK_INT(status, DT_ERR_MEMORY);
        dt_yaml_destroy(y);
    }
    DT_CHECK_INT(dt_alloc_live_blocks(), before);
}

static const dt_test tests[] = {
    DT_TEST(texts_that_mean_themselves_are_plain),
    DT_TEST(texts_that_yaml_takes_for_something_else_are_quoted),
    DT_TEST(characters_are_escaped),
    DT_TEST(depth_and_dashes_are_right),
    DT_TEST(what_is_open_at_the_end_is_a_bug),
    DT_TEST(each_failed_allocation_is_reported),
};
DT_TEST_MAIN("launch/cluster/yaml", tests)
