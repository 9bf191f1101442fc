/* Suggestions for mistyped words. */
#include "tests/testing.h"

#include "launch/options/suggest.h"

#include <stddef.h>

static const char *const words[] = {"batch", "image-size", "warmup-epochs", "epochs", "no-shuffle",
                                    "lr",    "eval",       "eval-every",    NULL};

static void a_typing_error_suggests_the_word(void)
{
    DT_CHECK_STR(dt_suggest("bacth", words), "batch");
    DT_CHECK_STR(dt_suggest("batc", words), "batch");
    DT_CHECK_STR(dt_suggest("batchh", words), "batch");
    DT_CHECK_STR(dt_suggest("epoch", words), "epochs");
    DT_CHECK_STR(dt_suggest("image_size", words), "image-size");
    DT_CHECK_STR(dt_suggest("imagesize", words), "image-size");
    DT_CHECK_STR(dt_suggest("evla", words), "eval");
}

static void a_unique_part_suggests_the_word(void)
{
    DT_CHECK_STR(dt_suggest("warm", words), "warmup-epochs");
    DT_CHECK_STR(dt_suggest("shuffle", words), "no-shuffle");
}

static void an_unrelated_word_suggests_nothing(void)
{
    DT_CHECK_STR(dt_suggest("xyzzy", words), NULL);
    DT_CHECK_STR(dt_suggest("", words), NULL);
    DT_CHECK_STR(
        dt_suggest("a-word-that-is-longer-than-any-option-could-ever-be-in-this-program-or-another", words),
        NULL);
}

static const dt_test tests[] = {
    DT_TEST(a_typing_error_suggests_the_word),
    DT_TEST(a_unique_part_suggests_the_word),
    DT_TEST(an_unrelated_word_suggests_nothing),
};

DT_TEST_MAIN("launch/suggest", tests)
