/* The progress of work that is no training, in a file and on a terminal. */
#include "io/metrics/progress.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double fake_now;

static double fake_clock(void)
{
    return fake_now;
}

/* What a display shows of 100 MB, of which these parts are done at these seconds. */
static char *shown(bool terminal, int columns, int n, const int *megabytes, const double *seconds)
{
    char *text = NULL;
    size_t bytes = 0;
    dt_sink *sink = NULL;
    dt_error err = {0};
    FILE *stream = open_memstream(&text, &bytes);
    DT_REQUIRE(stream != NULL);
    const dt_progress_options options = {
        .terminal = terminal, .every_s = 5, .columns = columns, .clock_s = fake_clock};
    DT_REQUIRE(dt_progress_create(stream, &options, &sink, &err) == DT_OK);
    for (int i = 0; i < n; i++) {
        fake_now = 1000 + seconds[i];
        const dt_progress_work work = {.what = "copy",
                                       .done = megabytes[i] * 1000000LL,
                                       .total = 100000000,
                                       .bytes_per_s = 2.5e6,
                                       .left_s = 65};
        DT_CHECK_INT(dt_progress_show_work(sink, &work, &err), DT_OK);
    }
    sink->ops->destroy(sink);
    fclose(stream);
    return text;
}

static void a_file_gets_a_line_every_few_seconds_and_the_last(void)
{
    char *text = shown(false, 80, 5, (const int[]){0, 10, 20, 30, 100}, (const double[]){0, 4, 5, 6, 7});
    DT_CHECK_STR(text, "copy   20%   20.0 MB of 100.0 MB    2.5 MB/s      1:05 left\n"
                       "copy  100%  100.0 MB of 100.0 MB    2.5 MB/s      1:05 left\n");
    free(text);
}

static void a_terminal_gets_one_line_with_a_bar_that_fits(void)
{
    char *text = shown(true, 80, 3, (const int[]){0, 50, 60}, (const double[]){0, 0.2, 0.25});
    DT_CHECK_CONTAINS(text, "copy   50%  [");
    DT_CHECK_CONTAINS(text, "]   50.0 MB of 100.0 MB    2.5 MB/s      1:05 left");
    DT_CHECK(strstr(text, "60%") == NULL); /* too soon after the one before */
    const char *last = strrchr(text, '\r') + 4;
    DT_CHECK_INT(strcspn(last, "\n"), 79);
    free(text);
    text = shown(true, 45, 1, (const int[]){50}, (const double[]){0});
    DT_CHECK(strstr(text, " of ") == NULL);
    DT_CHECK_CONTAINS(text, "1:05 left");
    DT_CHECK_INT(strcspn(text, "\n"), 44);
    free(text);
}

static const dt_test tests[] = {
    DT_TEST(a_file_gets_a_line_every_few_seconds_and_the_last),
    DT_TEST(a_terminal_gets_one_line_with_a_bar_that_fits),
};
DT_TEST_MAIN("io/metrics/progress_work", tests)
