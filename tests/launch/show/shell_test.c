/* Words and commands for a shell, read back by one. */
#include "config.h"

#include "launch/show/shell.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void a_shell_reads_the_same_word(void)
{
    static const char *const texts[] = {"plain-1.2/x", "",    "a b",   "it's",       "'",
                                        "$HOME",       "`a`", "a\\b",  "\"quoted\"", "a;b|c&d",
                                        "*?[a]",       "~",   "#hash", "two\nlines", "\xc3\xbc"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char word[64], command[128], back[64];
        DT_REQUIRE(dt_shell_word(texts[i], word, sizeof word));
        snprintf(command, sizeof command, "printf '<%%s>' %s", word);
        FILE *shell = popen(command, "r");
        DT_REQUIRE(shell != NULL);
        const size_t n = fread(back, 1, sizeof back - 1, shell);
        back[n] = '\0';
        DT_CHECK_INT(pclose(shell), 0);
        snprintf(word, sizeof word, "<%s>", texts[i]);
        DT_CHECK_STR(back, word);
    }
}

static void only_what_needs_quotes_has_them(void)
{
    char word[64];
    DT_CHECK(dt_shell_word("s3://a/b-c_d.e,f=g+h@i%j", word, sizeof word));
    DT_CHECK_STR(word, "s3://a/b-c_d.e,f=g+h@i%j");
    DT_CHECK(dt_shell_word("it's", word, sizeof word));
    DT_CHECK_STR(word, "'it'\\''s'");
}

static void a_word_that_does_not_fit_is_reported(void)
{
    char word[8];
    DT_CHECK(dt_shell_word("1234567", word, sizeof word));
    DT_CHECK(!dt_shell_word("12345678", word, sizeof word));
    DT_CHECK(dt_shell_word("a b", word, 6));
    DT_CHECK(!dt_shell_word("a b", word, 5));
    DT_CHECK(!dt_shell_word("a", word, 0));
}

static void a_long_command_is_broken_between_words(void)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    DT_REQUIRE(f != NULL);
    dt_shell_print(f, "first second 'a quoted word that is long' last", 20, 4);
    fclose(f);
    DT_CHECK_STR(text, "    first second \\\n    'a quoted word that is long' \\\n    last\n");
    free(text);
}

static const dt_test tests[] = {
    DT_TEST(a_shell_reads_the_same_word),
    DT_TEST(only_what_needs_quotes_has_them),
    DT_TEST(a_word_that_does_not_fit_is_reported),
    DT_TEST(a_long_command_is_broken_between_words),
};
DT_TEST_MAIN("launch/show/shell", tests)
