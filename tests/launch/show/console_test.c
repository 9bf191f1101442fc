/* The lines on stderr of one rank, of the first of three and of another. */
#include "launch/show/console.h"

#include "core/base/log.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a rank prints (size 0: before there is a communicator); the caller calls free(). */
static char *printed(int rank, int size, void (*body)(void))
{
    const char *path = dt_test_path("%s/stderr", dt_test_temp_dir());
    dt_comm comm = {.rank = rank, .size = size};
    snprintf(comm.host, sizeof comm.host, "node%d", rank);
    fflush(stderr);
    const int usual = dup(STDERR_FILENO);
    FILE *f = fopen(path, "w");
    DT_REQUIRE(usual >= 0 && f && dup2(fileno(f), STDERR_FILENO) >= 0);
    fclose(f);
    dt_console_set_rank(size ? &comm : NULL);
    body();
    dt_console_set_rank(NULL);
    fflush(stderr);
    DT_REQUIRE(dup2(usual, STDERR_FILENO) >= 0);
    close(usual);
    return dt_test_read_file(path, NULL);
}

void dt_test_set_up(void)
{
    dt_console_open();
}

void dt_test_tear_down(void)
{
    dt_log_set_sink(NULL, NULL, DT_LOG_INFO);
}

static void check(int rank, int size, void (*body)(void), const char *expected)
{
    char *text = printed(rank, size, body);
    DT_CHECK_STR(text, expected);
    free(text);
}

static void log_each_level(void)
{
    dt_log_debug("hidden");
    dt_log_info("step %d", 7);
    dt_log_warn("slow");
    dt_log_error("lost");
}

static void each_level_is_printed_by_the_ranks_that_it_concerns(void)
{
    check(0, 0, log_each_level, "dtrain: step 7\ndtrain: warning: slow\ndtrain: error: lost\n");
    check(0, 1, log_each_level, "dtrain: step 7\ndtrain: warning: slow\ndtrain: error: lost\n");
    check(0, 3, log_each_level, "dtrain: step 7\ndtrain: warning: slow\ndtrain: error: lost\n");
    check(2, 3, log_each_level,
          "dtrain: rank 2 on node2: warning: slow\ndtrain: rank 2 on node2: error: lost\n");
}

static void fail(void)
{
    dt_console_fail(&(dt_error){.message = "no \x1b[31mspace"});
}

static void fail_here(void)
{
    dt_console_fail_here(&(dt_error){.message = "no space"});
}

static void an_error_is_printed_by_rank_0_or_by_the_rank_that_has_it(void)
{
    check(0, 3, fail, "dtrain: no \\x1b[31mspace\n");
    check(1, 3, fail, "");
    check(0, 1, fail_here, "dtrain: no space\n");
    check(0, 3, fail_here, "dtrain: rank 0 on node0: no space\n");
    check(1, 3, fail_here, "dtrain: rank 1 on node1: no space\n");
}

/* Longer than any message of an error, with characters that become four. */
static char long_text[4001];

static void log_long(void)
{
    dt_log_warn("%s", long_text);
}

static void lines_of_any_length_are_whole(void)
{
    memset(long_text, 'a', sizeof long_text - 1);
    memset(long_text + 3000, 0x1b, 1000);
    char *text = printed(0, 1, log_long);
    const size_t before = strlen("dtrain: warning: ");
    DT_CHECK_INT(text ? strlen(text) : 0, before + 3000 + 4 * 1000 + 1);
    DT_CHECK(text && strncmp(text + before, long_text, 3000) == 0);
    DT_CHECK(text && strcmp(text + strlen(text) - 9, "\\x1b\\x1b\n") == 0);
    free(text);
}

static const dt_test tests[] = {
    DT_TEST(each_level_is_printed_by_the_ranks_that_it_concerns),
    DT_TEST(an_error_is_printed_by_rank_0_or_by_the_rank_that_has_it),
    DT_TEST(lines_of_any_length_are_whole),
};
DT_TEST_MAIN("launch/show/console", tests)
