/* The progress of `dtrain eval`, whose sink gets no start, in a file. */
#include "io/metrics/progress.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>

static double fake_now;

static double fake_clock(void)
{
    return fake_now;
}

/* What a display prints during 4 batches, which end at these seconds. */
static char *lines_of(double every_s, int64_t epochs, const double seconds[4])
{
    char *text = NULL;
    size_t n = 0;
    dt_sink *sink = NULL;
    dt_error err = {0};
    FILE *stream = open_memstream(&text, &n);
    DT_REQUIRE(stream != NULL);
    const dt_progress_options options = {.every_s = every_s, .clock_s = fake_clock};
    DT_REQUIRE(dt_progress_create(stream, &options, &sink, &err) == DT_OK);
    const dt_metrics_start start = {.epochs = epochs};
    if (epochs)
        DT_CHECK_INT(sink->ops->start(sink, &start, &err), DT_OK);
    for (int64_t i = 0; i < 4; i++) {
        fake_now = 1000 + seconds[i];
        DT_CHECK_INT(sink->ops->eval_progress(sink, i + 1, 4, &err), DT_OK);
    }
    sink->ops->destroy(sink);
    fclose(stream);
    return text;
}

static void a_long_evaluation_prints_a_line_every_few_seconds(void)
{
    char *text = lines_of(5, 0, (const double[]){0, 4.5, 5, 12});
    DT_CHECK_STR(text, "eval  batch 3/4\neval  batch 4/4\n");
    free(text);
}

static void a_short_evaluation_prints_nothing(void)
{
    char *text = lines_of(5, 0, (const double[]){0, 1, 2, 4.5});
    DT_CHECK_STR(text, "");
    free(text);
}

static void every_0_seconds_prints_each_batch(void)
{
    char *text = lines_of(0, 0, (const double[]){0, 0, 0, 0});
    DT_CHECK_STR(text, "eval  batch 1/4\neval  batch 2/4\neval  batch 3/4\neval  batch 4/4\n");
    free(text);
}

/* It reports its evaluations when they end. */
static void a_training_prints_no_line_of_a_batch(void)
{
    char *text = lines_of(0, 2, (const double[]){0, 10, 20, 30});
    DT_CHECK_STR(text, "");
    free(text);
}

static const dt_test tests[] = {
    DT_TEST(a_long_evaluation_prints_a_line_every_few_seconds),
    DT_TEST(a_short_evaluation_prints_nothing),
    DT_TEST(every_0_seconds_prints_each_batch),
    DT_TEST(a_training_prints_no_line_of_a_batch),
};
DT_TEST_MAIN("io/metrics/progress_eval", tests)
