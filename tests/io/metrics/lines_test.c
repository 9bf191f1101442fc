/* Every field of metrics.jsonl and of the progress display, with a number of its own. */
#include "io/metrics/jsonl.h"
#include "io/metrics/progress.h"
#include "io/metrics/progress_text.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- metrics.jsonl --------------------------------------------------------------------------------------- */

/* Removes `"time": NUMBER, ` from each line. */
static void remove_times(char *text)
{
    static const char name[] = "\"time\": ";
    for (char *at; (at = strstr(text, name));) {
        const char *end = strstr(at, ", ");
        DT_REQUIRE(end != NULL);
        memmove(at, end + 2, strlen(end + 2) + 1);
    }
}

static void write_ends(dt_sink *sink)
{
    const dt_metrics_end end = {.steps = 39,
                                .epochs = 3,
                                .elapsed_s = 12.5,
                                .images_per_s = 51.5,
                                .final_loss = 1.125,
                                .final_top1 = 0.5,
                                .final_top5 = 0.75,
                                .final_step = 38,
                                .best_top1 = 0.625,
                                .best_epoch = 1,
                                .best_step = 20,
                                .n_train = 640,
                                .n_val = 100,
                                .n_broken = 4,
                                .n_broken_val = 5,
                                .stopped_on_request = true};
    DT_CHECK_INT(sink->ops->end(sink, &end, NULL), DT_OK);
    const dt_metrics_end none = {.final_loss = -1,
                                 .final_top1 = -1,
                                 .final_top5 = -1,
                                 .final_step = -1,
                                 .best_top1 = -1,
                                 .best_step = -1,
                                 .steps = 7};
    DT_CHECK_INT(sink->ops->end(sink, &none, NULL), DT_OK);
}

static void write_events(dt_sink *sink)
{
    const dt_metrics_start start = {0, 40, 10, 0, 4, 2, 64, 640, 100, 11000000};
    const dt_metrics_step step = {.step = 11,
                                  .epoch = 1,
                                  .epoch_progress = 0.1,
                                  .loss = 2.25,
                                  .top1 = 0.125,
                                  .lr = 0.0625,
                                  .images_per_s = 812.5,
                                  .elapsed_s = 3.5,
                                  .left_s = 9,
                                  .data_wait_s = 0.25,
                                  .comm_wait_s = 0.75};
    dt_metrics_step scaled = step;
    scaled.scaled = true;
    scaled.loss_scale = 4096;
    scaled.n_skipped = 6;
    const dt_metrics_eval eval = {20, 1, 1.5, 0.25, 0.875, 98, 2, 333.5, 0.5};
    const dt_metrics_epoch epoch = {1, 20, 1.75, 0.375, 8.5, 75.5, 640, 3};
    const dt_metrics_checkpoint checkpoint = {20, 90000000, 1.25, "c", ""},
                                failed = {21, 7, 2.5, "m", "full"};
    DT_CHECK_INT(sink->ops->start(sink, &start, NULL), DT_OK);
    DT_CHECK_INT(sink->ops->step(sink, &step, NULL), DT_OK);
    DT_CHECK_INT(sink->ops->step(sink, &scaled, NULL), DT_OK);
    DT_CHECK_INT(sink->ops->eval(sink, &eval, NULL), DT_OK);
    DT_CHECK_INT(sink->ops->epoch(sink, &epoch, NULL), DT_OK);
    DT_CHECK_INT(sink->ops->checkpoint(sink, &checkpoint, NULL), DT_OK);
    DT_CHECK_INT(sink->ops->mirror(sink, &checkpoint, NULL), DT_OK);
    DT_CHECK_INT(sink->ops->mirror(sink, &failed, NULL), DT_OK);
}

#define STEP                                                                                                 \
    "{\"event\": \"step\", \"step\": 11, \"epoch\": 2, \"loss\": 2.25, \"top1\": 0.125, \"lr\": 0.0625, "    \
    "\"images_per_s\": 812.5, \"data_wait_s\": 0.25, \"comm_wait_s\": 0.75, "

static void every_field_of_a_line_has_its_own_number(void)
{
    const char *path = dt_test_path("%s/m", dt_test_temp_dir());
    dt_sink *sink = NULL;
    DT_REQUIRE(dt_jsonl_create(path, &sink, NULL) == DT_OK);
    write_events(sink);
    write_ends(sink);
    sink->ops->destroy(sink);
    char *text = dt_test_read_file(path, NULL);
    DT_REQUIRE(text != NULL);
    remove_times(text);
    DT_CHECK_STR(
        text,
        "{\"event\": \"start\", \"step\": 0, \"epoch\": 1, \"total_steps\": 40, \"steps_per_epoch\": 10, "
        "\"epochs\": 4, \"world_size\": 2, \"global_batch\": 64, \"n_train\": 640, \"n_val\": 100, "
        "\"n_params\": 11000000}\n" STEP "\"elapsed_s\": 3.5}\n" STEP
        "\"loss_scale\": 4096, \"skipped_steps\": 6, \"elapsed_s\": 3.5}\n"
        "{\"event\": \"eval\", \"step\": 20, \"epoch\": 2, \"val_loss\": 1.5, \"val_top1\": 0.25, "
        "\"val_top5\": 0.875, \"n\": 98, \"n_broken\": 2, \"images_per_s\": 333.5, \"elapsed_s\": 0.5}\n"
        "{\"event\": \"epoch\", \"step\": 20, \"epoch\": 2, \"mean_loss\": 1.75, \"mean_top1\": 0.375, "
        "\"n_images\": 640, \"n_broken\": 3, \"images_per_s\": 75.5, \"elapsed_s\": 8.5}\n"
        "{\"event\": \"checkpoint\", \"step\": 20, \"bytes\": 90000000, \"elapsed_s\": 1.25, \"path\": "
        "\"c\"}\n"
        "{\"event\": \"mirror\", \"step\": 20, \"bytes\": 90000000, \"elapsed_s\": 1.25, \"path\": \"c\"}\n"
        "{\"event\": \"mirror\", \"step\": 21, \"bytes\": 7, \"elapsed_s\": 2.5, \"path\": \"m\", "
        "\"error\": \"full\"}\n"
        "{\"event\": \"end\", \"step\": 39, \"epochs_done\": 3, \"elapsed_s\": 12.5, \"images_per_s\": 51.5, "
        "\"final_loss\": 1.125, \"final_top1\": 0.5, \"final_top5\": 0.75, \"final_step\": 38, "
        "\"best_top1\": 0.625, \"best_step\": 20, \"n_broken\": 4, \"n_broken_val\": 5, "
        "\"stopped_on_request\": true}\n"
        "{\"event\": \"end\", \"step\": 7, \"epochs_done\": 0, \"elapsed_s\": 0, \"images_per_s\": 0, "
        "\"final_loss\": null, \"final_top1\": null, \"final_top5\": null, \"final_step\": null, "
        "\"best_top1\": null, \"best_step\": null, \"n_broken\": 0, \"n_broken_val\": 0, "
        "\"stopped_on_request\": false}\n");
    free(text);
}

/* -- the fields of the progress display ------------------------------------------------------------------ */

typedef struct real_case {
    double value;
    const char *text;
} real_case;

static void check_reals(void (*add)(dt_progress_text *, double), const real_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dt_progress_text t = {0};
        add(&t, cases[i].value);
        DT_CHECK_STR(t.text, cases[i].text);
    }
}
#define CHECK_REALS(add, cases) check_reals(add, cases, sizeof(cases) / sizeof *(cases))

static void rates_change_their_unit_at_exact_limits(void)
{
    static const real_case cases[] = {
        {0, "      - img/s"},        {-1, "      - img/s"},     {NAN, "      - img/s"},
        {INFINITY, "      - img/s"}, {0.004, "   0.00 img/s"},  {9.994, "   9.99 img/s"},
        {9.996, "   10.0 img/s"},    {99.94, "   99.9 img/s"},  {99.96, "    100 img/s"},
        {999.4, "    999 img/s"},    {999.5, "   1.0k img/s"},  {99949, "  99.9k img/s"},
        {99950, "   100k img/s"},    {999499, "   999k img/s"}, {999500, "  1.00M img/s"},
        {2345678, "  2.35M img/s"},
    };
    CHECK_REALS(dt_progress_add_rate, cases);
}

static void the_time_left_has_exact_limits(void)
{
    static const real_case cases[] = {
        {0, "      0:00 left"},      {59.4, "      0:59 left"},  {59.5, "      1:00 left"},
        {245, "      4:05 left"},    {3599, "     59:59 left"},  {3599.5, "   1:00:00 left"},
        {3600, "   1:00:00 left"},   {86399, "  23:59:59 left"}, {86400, "  1d 00:00 left"},
        {183900, "  2d 03:05 left"}, {-0.1, "      -:-- left"},  {NAN, "      -:-- left"},
        {1e9, "      -:-- left"},
    };
    CHECK_REALS(dt_progress_add_left, cases);
}

static void losses_and_rates_keep_their_digits(void)
{
    static const real_case losses[] = {{1.60119, "  loss 1.6012"},
                                       {0.00004, "  loss 0.0000"},
                                       {999.99, "  loss 999.9900"},
                                       {1000, "  loss   1000"},
                                       {123456, "  loss 1.235e+05"}};
    static const real_case rates[] = {
        {0, "  lr 0.00000"}, {0.001, "  lr 0.00100"}, {0.000999, "  lr 1.0e-03"}, {0.0871, "  lr 0.08710"}};
    CHECK_REALS(dt_progress_add_loss, losses);
    CHECK_REALS(dt_progress_add_lr, rates);
    dt_progress_text t = {0};
    dt_progress_add_share(&t, "top-1", 0.443);
    dt_progress_add_share(&t, "top-5", 1);
    DT_CHECK_STR(t.text, "  top-1 44.30%  top-5 100.00%");
}

static void sizes_change_their_unit_before_they_have_four_digits(void)
{
    static const struct {
        int64_t bytes;
        const char *text;
    } cases[] = {{0, "    0.0 kB"},         {949, "    0.9 kB"},           {999900, "  999.9 kB"},
                 {999949, "  999.9 kB"},    {999970, "    1.0 MB"},        {90300000, "   90.3 MB"},
                 {999970000, "    1.0 GB"}, {1500000000000, "    1.5 TB"}, {2000000000000000, "  2000.0 TB"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_progress_text t = {0};
        dt_progress_add_bytes(&t, cases[i].bytes);
        DT_CHECK_STR(t.text, cases[i].text);
    }
}

static void numbers_have_as_many_digits_as_they_need(void)
{
    static const int64_t cases[][2] = {{0, 1}, {9, 1}, {10, 2}, {99, 2}, {100, 3}, {INT64_MAX, 19}};
    for (int i = 0; i < 6; i++)
        DT_CHECK_INT(dt_progress_digits(cases[i][0]), cases[i][1]);
}

static void a_bar_is_full_only_at_the_end(void)
{
    static const struct {
        double done;
        const char *ascii, *utf8;
    } cases[] = {{0, "  [....]", "  ──────"},   {-1, "  [....]", "  ──────"},
                 {NAN, "  [....]", "  ──────"}, {0.25, "  [#...]", "  ━╸────"},
                 {0.5, "  [##..]", "  ━━━───"}, {0.99, "  [###.]", "  ━━━━━╸"},
                 {1, "  [####]", "  ━━━━━━"},   {2, "  [####]", "  ━━━━━━"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_progress_text a = {0}, u = {0};
        dt_progress_add_bar(&a, cases[i].done, 6, false);
        dt_progress_add_bar(&u, cases[i].done, 6, true);
        DT_CHECK_STR(a.text, cases[i].ascii);
        DT_CHECK_STR(u.text, cases[i].utf8);
    }
    dt_progress_text none = {0};
    dt_progress_add_bar(&none, 1, 2, false);
    DT_CHECK_STR(none.text, "");
}

/* -- the status line ------------------------------------------------------------------------------------- */

/* What a terminal of this width gets for step 390; with an evaluation before the step's line is drawn
 * again. */
static char *status_of(int columns, bool evaluates)
{
    char *text = NULL;
    size_t n = 0;
    dt_sink *sink = NULL;
    FILE *stream = open_memstream(&text, &n);
    DT_REQUIRE(stream != NULL);
    const dt_progress_options options = {.terminal = true, .columns = columns};
    const dt_metrics_start start = {.total_steps = 2340, .epochs = 15, .steps_per_epoch = 156};
    const dt_metrics_step step = {.step = 390,
                                  .epoch = 2,
                                  .epoch_progress = 0.5,
                                  .loss = 1.6012,
                                  .lr = 0.0871,
                                  .images_per_s = 12345,
                                  .left_s = 245};
    const dt_metrics_eval eval = {.step = 390, .epoch = 2, .n = 1, .val_top1 = 0.25, .val_top5 = 0.5};
    DT_REQUIRE(dt_progress_create(stream, &options, &sink, NULL) == DT_OK);
    DT_CHECK_INT(sink->ops->start(sink, &start, NULL), DT_OK);
    DT_CHECK_INT(sink->ops->step(sink, &step, NULL), DT_OK);
    if (evaluates) {
        DT_CHECK_INT(sink->ops->eval_progress(sink, 3, 4, NULL), DT_OK);
        DT_CHECK_INT(sink->ops->eval(sink, &eval, NULL), DT_OK);
    }
    fflush(stream);
    char *copy = strdup(text); /* before the sink ends the line */
    sink->ops->destroy(sink);
    fclose(stream);
    free(text);
    return copy;
}

static void a_field_is_left_out_one_column_below_what_it_needs(void)
{
    char *all = status_of(97, false), *less = status_of(96, false);
    DT_CHECK_STR(all, "epoch  3/15   50%  [###...]  step  390/2340  loss 1.6012  lr 0.08710  12.3k img/s"
                      "      4:05 left");
    DT_CHECK_STR(less, "epoch  3/15   50%  [########.........]  step  390/2340  loss 1.6012  12.3k img/s"
                       "      4:05 left");
    free(all);
    free(less);
}

static void the_steps_bar_comes_back_after_an_evaluation(void)
{
    char *text = status_of(97, true), *last = strrchr(text, '\n');
    DT_CHECK_CONTAINS(text,
                      "\r\x1b[Kepoch  3/15  eval  step  390/2340  loss 0.0000  top-1 25.00%  top-5 50.00%"
                      "  1 image  ");
    DT_CHECK_STR(last, "\nepoch  3/15   50%  [###...]  step  390/2340  loss 1.6012  lr 0.08710  12.3k img/s"
                       "      4:05 left");
    free(text);
}

/* Of the checkpoint of this step, of 390: whether the bar is drawn again. */
static bool has_bar_after_checkpoint(int64_t at)
{
    char *text = NULL;
    size_t n = 0;
    dt_sink *sink = NULL;
    FILE *stream = open_memstream(&text, &n);
    DT_REQUIRE(stream != NULL);
    const dt_progress_options options = {.terminal = true, .columns = 100};
    const dt_metrics_start start = {.total_steps = 390, .epochs = 15, .steps_per_epoch = 26};
    const dt_metrics_step step = {.step = at, .epoch = 14};
    const dt_metrics_checkpoint checkpoint = {.step = at, .bytes = 1000, .path = "c"};
    DT_REQUIRE(dt_progress_create(stream, &options, &sink, NULL) == DT_OK);
    DT_CHECK_INT(sink->ops->start(sink, &start, NULL), DT_OK);
    DT_CHECK_INT(sink->ops->step(sink, &step, NULL), DT_OK);
    DT_CHECK_INT(sink->ops->checkpoint(sink, &checkpoint, NULL), DT_OK);
    fflush(stream);
    const char *line = strstr(text, "  c\n");
    DT_REQUIRE(line != NULL);
    const bool has = line[4] != '\0'; /* before the sink ends the line */
    sink->ops->destroy(sink);
    fclose(stream);
    free(text);
    return has;
}

static void the_last_checkpoint_leaves_no_bar(void)
{
    DT_CHECK(has_bar_after_checkpoint(389));
    DT_CHECK(!has_bar_after_checkpoint(390));
}

static const dt_test tests[] = {
    DT_TEST(every_field_of_a_line_has_its_own_number),
    DT_TEST(rates_change_their_unit_at_exact_limits),
    DT_TEST(the_time_left_has_exact_limits),
    DT_TEST(losses_and_rates_keep_their_digits),
    DT_TEST(sizes_change_their_unit_before_they_have_four_digits),
    DT_TEST(numbers_have_as_many_digits_as_they_need),
    DT_TEST(a_bar_is_full_only_at_the_end),
    DT_TEST(a_field_is_left_out_one_column_below_what_it_needs),
    DT_TEST(the_steps_bar_comes_back_after_an_evaluation),
    DT_TEST(the_last_checkpoint_leaves_no_bar),
};
DT_TEST_MAIN("io/metrics/lines", tests)
