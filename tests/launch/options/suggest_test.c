/* "did you mean ...?" */
#include "tests/testing.h"

#include "launch/options/suggest.h"

#include <stddef.h>

static const char *const words[] = {"batch", "image-size", "warmup-epochs", "epochs", "no-shuffle",
                                    "lr",    "eval",       "eval-every",    NULL};

static void a_typing_error_finds_its_word(void)
{
    DT_CHECK_STR(dt_suggest("bacth", words), "batch");
    DT_CHECK_STR(dt_suggest("batc", words), "batch");
    DT_CHECK_STR(dt_suggest("batchh", words), "batch");
    DT_CHECK_STR(dt_suggest("epoch", words), "epochs");
    DT_CHECK_STR(dt_suggest("image_size", words), "image-size");
    DT_CHECK_STR(dt_suggest("imagesize", words), "image-size");
    DT_CHECK_STR(dt_suggest("evla", words), "eval");
}

static void a_part_finds_its_word(void)
{
    DT_CHECK_STR(dt_suggest("warm", words), "warmup-epochs");
    DT_CHECK_STR(dt_suggest("shuffle", words), "no-shuffle");
}

static void what_is_near_to_nothing_finds_nothing(void)
{
    DT_CHECK_STR(dt_suggest("xyzzy", words), NULL);
    DT_CHECK_STR(dt_suggest("", words), NULL);
    DT_CHECK_STR(
        dt_suggest("a-word-that-is-longer-than-any-option-could-ever-be-in-this-program-or-another", words),
        NULL);
}

static const dt_test tests[] = {
    DT_TEST(a_typing_error_finds_its_word),
    DT_TEST(a_part_finds_its_word),
    DT_TEST(what_is_near_to_nothing_finds_nothing),
};

DT_TEST_MAIN("launch/suggest", tests)
