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
    DT_CHECK_STR(dt_suggest("no", words), "no-shuffle");
    DT_CHECK_STR(dt_suggest("-every", words), "eval-every");
}

static void one_letter_and_the_parts_of_two_words_suggest_nothing(void)
{
    DT_CHECK_STR(dt_suggest("b", words), NULL);
    DT_CHECK_STR(dt_suggest("e-", words), NULL);
    DT_CHECK_STR(dt_suggest("och", words), NULL);
    DT_CHECK_STR(dt_suggest("pochs", words),
                 "epochs"); /* an error, too; of warmup-epochs alone it is no end */
}

/* One error in words of up to 5 letters, two from 6 on, and three from 9 on. */
static void a_third_of_the_letters_may_be_wrong(void)
{
    DT_CHECK_STR(dt_suggest("btahc", words), NULL);
    DT_CHECK_STR(dt_suggest("btahcx", words), NULL);
    DT_CHECK_STR(dt_suggest("btachh", words), "batch");
    DT_CHECK_STR(dt_suggest("xmagexsize", words), "image-size");
    DT_CHECK_STR(dt_suggest("xmagexsixe", words), "image-size");
    DT_CHECK_STR(dt_suggest("xmxgexsixe", words), NULL);
    DT_CHECK_STR(dt_suggest("xr", words), "lr");
    DT_CHECK_STR(dt_suggest("rl", words), "lr");
}

static void of_equally_near_words_the_first_is_suggested(void)
{
    static const char *const near[] = {"slow", "flow", "glow", NULL};
    DT_CHECK_STR(dt_suggest("xlow", near), "slow");
    DT_CHECK_STR(dt_suggest("glo", near), "glow"); /* it is nearer */
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
    DT_TEST(one_letter_and_the_parts_of_two_words_suggest_nothing),
    DT_TEST(a_third_of_the_letters_may_be_wrong),
    DT_TEST(of_equally_near_words_the_first_is_suggested),
    DT_TEST(an_unrelated_word_suggests_nothing),
};

DT_TEST_MAIN("launch/suggest", tests)
