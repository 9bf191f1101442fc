/* The progress display, byte for byte, into a pipe and on a pseudo-terminal. */
#include "io/metrics/progress.h"

#include "core/base/alloc.h"
#include "tests/testing.h"

#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static double fake_now;

static double fake_clock(void)
{
    return fake_now;
}

/* A display that writes into a pipe or terminal, and the other end, which is read. */
typedef struct screen {
    FILE *stream;
    int reader;
    dt_sink *sink;
    char text[65536];
} screen;

static void open_screen(screen *s, bool terminal, bool utf8, int columns)
{
    int fds[2];
    dt_error err = {0};
    memset(s, 0, sizeof *s);
    if (terminal) {
        struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
        DT_REQUIRE(openpty(&fds[0], &fds[1], NULL, NULL, &size) == 0);
    } else {
        DT_REQUIRE(pipe(fds) == 0);
    }
    s->reader = fds[0];
    fcntl(s->reader, F_SETFL, O_NONBLOCK);
    s->stream = fdopen(fds[1], "w");
    fake_now = 1000;
    dt_progress_options options = {.terminal = terminal, .utf8 = utf8, .every_s = 5, .clock_s = fake_clock};
    DT_REQUIRE(dt_progress_create(s->stream, &options, &s->sink, &err) == DT_OK);
    dt_metrics_start start = {.total_steps = 2340, .epochs = 15, .steps_per_epoch = 156};
    DT_CHECK_INT(s->sink->ops->start(s->sink, &start, &err), DT_OK);
}

/* All output since the last call. */
static const char *seen(screen *s)
{
    size_t n = 0;
    ssize_t got;
    while (n + 1 < sizeof s->text && (got = read(s->reader, s->text + n, sizeof s->text - 1 - n)) > 0)
        n += (size_t)got;
    s->text[n] = '\0';
    return s->text;
}

static void close_screen(screen *s)
{
    if (s->sink)
        s->sink->ops->destroy(s->sink);
    fclose(s->stream);
    close(s->reader);
}

static void step(screen *s, int64_t n)
{
    dt_error err = {0};
    dt_metrics_step m = {.step = n,
                         .epoch = (n - 1) / 156,
                         .epoch_progress = (double)((n - 1) % 156 + 1) / 156,
                         .loss = 1.6012,
                         .lr = 0.0871,
                         .images_per_s = 12345,
                         .elapsed_s = 1,
                         .left_s = 245};
    DT_CHECK_INT(s->sink->ops->step(s->sink, &m, &err), DT_OK);
}

static void other_events(screen *s)
{
    dt_error err = {0};
    dt_metrics_epoch epoch = {.epoch = 0,
                              .step = 156,
                              .mean_loss = 1.582,
                              .mean_top1 = 0.412,
                              .elapsed_s = 75.4,
                              .images_per_s = 812};
    dt_metrics_eval eval = {.epoch = 0,
                            .step = 156,
                            .val_loss = 1.5511,
                            .val_top1 = 0.443,
                            .val_top5 = 1,
                            .n = 1000,
                            .elapsed_s = 0.42};
    dt_metrics_checkpoint checkpoint = {
        .step = 156, .bytes = 90312345, .elapsed_s = 0.21, .path = "runs/demo/checkpoints"};
    DT_CHECK_INT(s->sink->ops->epoch(s->sink, &epoch, &err), DT_OK);
    epoch.n_broken = 2;
    DT_CHECK_INT(s->sink->ops->epoch(s->sink, &epoch, &err), DT_OK);
    DT_CHECK_INT(s->sink->ops->eval(s->sink, &eval, &err), DT_OK);
    DT_CHECK_INT(s->sink->ops->checkpoint(s->sink, &checkpoint, &err), DT_OK);
    snprintf(checkpoint.path, sizeof checkpoint.path, "/fsx/run");
    DT_CHECK_INT(s->sink->ops->mirror(s->sink, &checkpoint, &err), DT_OK);
    checkpoint.error[0] = '?';
    DT_CHECK_INT(s->sink->ops->mirror(s->sink, &checkpoint, &err), DT_OK);
}

static const char event_lines[] =
    "epoch  1/15  done  step  156/2340  loss 1.5820  top-1 41.20%    812 img/s    1:15\n"
    "epoch  1/15  done  step  156/2340  loss 1.5820  top-1 41.20%    812 img/s    1:15  2 broken files "
    "replaced\n"
    "epoch  1/15  eval  step  156/2340  loss 1.5511  top-1 44.30%  top-5 100.00%  1000 images   0.4 s\n"
    "epoch  1/15  save  step  156/2340   90.3 MB   0.2 s  runs/demo/checkpoints\n"
    "epoch  1/15  copy  step  156/2340   90.3 MB   0.2 s  /fsx/run\n";

static const dt_metrics_end whole_end = {.steps = 2340,
                                         .epochs = 15,
                                         .elapsed_s = 245,
                                         .images_per_s = 812,
                                         .final_loss = 1.5511,
                                         .final_top1 = 0.443,
                                         .final_top5 = 0.912,
                                         .final_step = 2340,
                                         .best_top1 = 0.451,
                                         .best_epoch = 11,
                                         .best_step = 1872,
                                         .best_is_kept = true,
                                         .n_train = 20000,
                                         .n_val = 1000,
                                         .n_broken = 1,
                                         .n_broken_val = 2};
static const char end_lines[] =
    "done    15 epochs, 2340 steps in 4:05    812 img/s\n"
    "final   top-1 44.30%  top-5 91.20%  loss 1.5511\n"
    "best    top-1 45.10%  in epoch 12; its weights are in the checkpoint of step 1872\n"
    "broken  at least 1 of 20000 training files, each replaced by another sample; the log names them\n"
    "broken  at least 2 of 1000 evaluation files, left out; the log names them\n";

static void a_pipe_gets_a_plain_line_every_few_seconds(void)
{
    screen s;
    open_screen(&s, false, true, 0);
    step(&s, 1); /* the first step is shown at once */
    DT_CHECK_STR(seen(&s),
                 "epoch  1/15    0%  step    1/2340  loss 1.6012  lr 0.08710  12.3k img/s      4:05 left\n");
    fake_now += 4.9;
    step(&s, 70);
    DT_CHECK_STR(seen(&s), "");
    fake_now += 0.1;
    step(&s, 78);
    DT_CHECK_STR(seen(&s),
                 "epoch  1/15   50%  step   78/2340  loss 1.6012  lr 0.08710  12.3k img/s      4:05 left\n");
    dt_progress_line(s.sink, "warning: a/b.jpg is broken");
    DT_CHECK_STR(seen(&s), "warning: a/b.jpg is broken\n");
    DT_CHECK_INT(s.sink->ops->eval_progress(s.sink, 1, 2, NULL), DT_OK);
    DT_CHECK_STR(seen(&s), "");
    other_events(&s);
    DT_CHECK_STR(seen(&s), event_lines);
    step(&s, 2340); /* the last step is shown at once */
    DT_CHECK_STR(seen(&s),
                 "epoch 15/15  100%  step 2340/2340  loss 1.6012  lr 0.08710  12.3k img/s      4:05 left\n");
    DT_CHECK_INT(s.sink->ops->end(s.sink, &whole_end, NULL), DT_OK);
    DT_CHECK_STR(seen(&s), end_lines);
    close_screen(&s);
}

static void the_summary_reports_what_was_measured(void)
{
    screen s;
    open_screen(&s, false, true, 0);
    dt_metrics_start start = {.first_step = 312, .total_steps = 2340, .epochs = 15};
    dt_metrics_end end = {.steps = 313,
                          .elapsed_s = 12.34,
                          .final_top1 = -1,
                          .final_top5 = -1,
                          .final_loss = -1,
                          .best_top1 = -1,
                          .stopped_on_request = true};
    DT_CHECK_INT(s.sink->ops->start(s.sink, &start, NULL), DT_OK);
    DT_CHECK_INT(s.sink->ops->end(s.sink, &end, NULL), DT_OK);
    DT_CHECK_STR(seen(&s), "stopped 313 steps; those after step 312 in 12.3 s      - img/s\n");
    close_screen(&s);
}

/* What the summary says of the evaluations, after the line "done ...". */
static void check_evaluations(int64_t final_step, double best, int64_t best_step, const char *lines)
{
    screen s;
    open_screen(&s, false, true, 0);
    dt_metrics_end end = {.steps = 400,
                          .final_top1 = final_step < 0 ? -1 : 0.5,
                          .final_top5 = 0.75,
                          .final_loss = 1.5,
                          .final_step = final_step,
                          .best_top1 = best,
                          .best_epoch = best_step / 100 - 1,
                          .best_step = best_step};
    DT_CHECK_INT(s.sink->ops->end(s.sink, &end, NULL), DT_OK);
    const char *text = strchr(seen(&s), '\n');
    DT_CHECK_STR(text ? text + 1 : "", lines);
    close_screen(&s);
}

static void the_summary_names_the_evaluation_that_a_figure_is_of(void)
{
    check_evaluations(400, 0.5, 300, /* as good as the last one, and earlier */
                      "final   top-1 50.00%  top-5 75.00%  loss 1.5000\n"
                      "best    top-1 50.00%  in epoch 3; its weights were not kept\n");
    check_evaluations(200, 0.5, 200,
                      "last    top-1 50.00%  top-5 75.00%  loss 1.5000  after step 200\n"
                      "best    top-1 50.00%  in that evaluation\n");
    check_evaluations(-1, 0.625, -1, "best    top-1 62.50%  in an earlier start\n");
}

#define ERASE "\r\x1b[K"
/* A terminal turns \n into \r\n. */
static const char *on_terminal(const char *lines)
{
    static char out[2][2048];
    static int turn;
    char *o = out[turn ^= 1];
    size_t n = 0;
    for (; *lines; lines++) {
        if (*lines == '\n')
            o[n++] = '\r';
        o[n++] = *lines;
    }
    o[n] = '\0';
    return o;
}

static void a_terminal_gets_one_line_redrawn_in_place(void)
{
    static const char bar_78[] = "epoch  1/15   50%  [###################...................]"
                                 "  step   78/2340  loss 1.6012  lr 0.08710  12.3k img/s      4:05 left";
    screen s;
    open_screen(&s, true, false, 140);
    step(&s, 78);
    DT_CHECK_STR(seen(&s), bar_78);
    fake_now += 0.09;
    step(&s, 79); /* not redrawn: at most 10 times a second */
    DT_CHECK_STR(seen(&s), "");
    fake_now += 0.02;
    step(&s, 78);
    DT_CHECK_STR(seen(&s), dt_test_path("%s%s", ERASE, bar_78));
    dt_progress_line(s.sink, "warning: a/b.jpg is broken");
    DT_CHECK_STR(seen(&s), dt_test_path("%swarning: a/b.jpg is broken\r\n%s", ERASE, bar_78));
    fake_now += 1;
    DT_CHECK_INT(s.sink->ops->eval_progress(s.sink, 1, 4, NULL), DT_OK);
    DT_CHECK_STR(
        seen(&s),
        dt_test_path("%sepoch  1/15  eval  [#########.............................]  batch 1/4", ERASE));
    DT_CHECK_INT(s.sink->ops->end(s.sink, &whole_end, NULL), DT_OK);
    DT_CHECK_STR(seen(&s), dt_test_path("%s%s", ERASE, on_terminal(end_lines)));
    s.sink->ops->destroy(s.sink);
    s.sink = NULL;
    DT_CHECK_STR(seen(&s), "");
    close_screen(&s);
}

static void lines_of_events_are_printed_above_the_bar(void)
{
    screen s;
    open_screen(&s, true, true, 100);
    step(&s, 156);
    other_events(&s);
    const char *text = seen(&s);
    char line[512];
    const char *at = text;
    for (const char *from = event_lines; *from; from = strchr(from, '\n') + 1) {
        snprintf(line, sizeof line, ERASE "%.*s\r\nepoch  1/15  100%%  ━", (int)(strchr(from, '\n') - from),
                 from);
        at = at ? strstr(at, line) : NULL;
        DT_CHECK_MSG(at != NULL, "no %s in its place", line);
    }
    close_screen(&s);
}

static void an_error_leaves_the_cursor_on_a_fresh_line(void)
{
    screen s;
    open_screen(&s, true, true, 100);
    step(&s, 3);
    seen(&s);
    s.sink->ops->destroy(s.sink);
    s.sink = NULL;
    DT_CHECK_STR(seen(&s), "\r\n");
    close_screen(&s);
}

/* Columns of a UTF-8 text. */
static int columns_of(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += (*s & 0xc0) != 0x80;
    return n;
}

static void fields_that_do_not_fit_are_left_out_least_important_first(void)
{
    screen s;
    int before = 1000, bars = 0;
    for (int columns = 300; columns > 0; columns--) {
        for (int utf8 = 0; utf8 < 2; utf8++) {
            open_screen(&s, true, utf8, columns);
            step(&s, 390);
            const char *text = seen(&s);
            DT_CHECK_MSG(columns_of(text) < columns || columns < 8, "%d columns: %s", columns, text);
            DT_CHECK_CONTAINS(text, "50%");
            DT_CHECK_INT(strstr(text, "img/s") != NULL || !strstr(text, "lr "), 1);
            DT_CHECK_INT(strstr(text, "left") != NULL || !strstr(text, "epoch"), 1);
            if (utf8)
                bars += strstr(text, "━━━━") != NULL;
            close_screen(&s);
        }
        if (columns == 100 || columns == 60) {
            open_screen(&s, true, true, columns);
            step(&s, 390);
            DT_CHECK(columns_of(seen(&s)) <= before);
            before = columns_of(s.text);
            close_screen(&s);
        }
    }
    DT_CHECK_MSG(bars > 200, "a bar at %d of 300 widths", bars);
}

static void a_bar_fills_from_left_to_right(void)
{
    screen s;
    open_screen(&s, true, true, 50);
    const struct {
        double progress;
        const char *bar;
    } cases[] = {{0, "  ─────────────"},
                 {1, "  ━━━━━━━━━━━━━"},
                 {0.5, "  ━━━━━━╸──────"},
                 {-1, "  ─────────────"},
                 {7, "  ━━━━━━━━━━━━━"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_metrics_step m = {.step = 1, .epoch_progress = cases[i].progress, .loss = 1, .left_s = 3};
        fake_now += 1;
        DT_CHECK_INT(s.sink->ops->step(s.sink, &m, NULL), DT_OK);
        const char *text = seen(&s), *at = strstr(text, cases[i].bar);
        DT_CHECK_MSG(at != NULL, "%g: %s", cases[i].progress, text);
        DT_CHECK(at && at[strlen(cases[i].bar)] == ' ');
    }
    close_screen(&s);
}

static void numbers_are_in_human_units(void)
{
    static const struct {
        double rate, left, lr, loss;
        const char *expected;
    } cases[] = {
        {0.5, 0.4, 0.1, 0, "loss 0.0000  lr 0.10000   0.50 img/s      0:00 left"},
        {99.96, 59.6, 3.21e-5, 12.5, "loss 12.5000  lr 3.2e-05    100 img/s      1:00 left"},
        {999.6, 3599.6, 0.001, 123456, "loss 1.235e+05  lr 0.00100   1.0k img/s   1:00:00 left"},
        {123456, 86399, 0, 1, "lr 0.00000   123k img/s  23:59:59 left"},
        {1.5e6, 200000, 0, 1, "1.50M img/s  2d 07:33 left"},
        {0, -1, 0, 0.0 / 0.0, "nan  lr 0.00000      - img/s      -:-- left"},
    };
    screen s;
    open_screen(&s, false, true, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_metrics_step m = {.step = 1,
                             .loss = cases[i].loss,
                             .lr = cases[i].lr,
                             .images_per_s = cases[i].rate,
                             .left_s = cases[i].left};
        fake_now += 10;
        DT_CHECK_INT(s.sink->ops->step(s.sink, &m, NULL), DT_OK);
        DT_CHECK_CONTAINS(seen(&s), cases[i].expected);
    }
    close_screen(&s);
}

static void *log_lines(void *context)
{
    for (int i = 0; i < 200; i++)
        dt_progress_line(context, "a line from another thread");
    return NULL;
}

static void lines_of_other_threads_do_not_tear(void)
{
    screen s;
    pthread_t threads[2];
    FILE *file = fopen(dt_test_path("%s/out", dt_test_temp_dir()), "w+");
    dt_progress_options options = {.every_s = 0, .clock_s = fake_clock};
    memset(&s, 0, sizeof s);
    s.stream = file;
    DT_REQUIRE(dt_progress_create(file, &options, &s.sink, NULL) == DT_OK);
    for (int i = 0; i < 2; i++)
        DT_REQUIRE(pthread_create(&threads[i], NULL, log_lines, s.sink) == 0);
    for (int i = 1; i <= 200; i++)
        step(&s, i);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    s.sink->ops->destroy(s.sink);
    rewind(file);
    int n = 0;
    for (char line[512]; fgets(line, sizeof line, file); n++)
        DT_CHECK(strcmp(line, "a line from another thread\n") == 0 || strncmp(line, "epoch ", 6) == 0);
    DT_CHECK_INT(n, 600);
    fclose(file);
}

static void a_stream_that_fails_is_an_error_of_the_event_only(void)
{
    FILE *full = fopen("/dev/full", "w");
    if (!full)
        DT_SKIP("no /dev/full");
    dt_sink *sink = NULL;
    dt_error err = {0};
    dt_progress_options options = {.every_s = 1};
    dt_metrics_step m = {.step = 1};
    dt_alloc_fail_after(1);
    DT_CHECK_INT(dt_progress_create(full, &options, &sink, &err), DT_ERR_MEMORY);
    dt_alloc_fail_after(0);
    DT_REQUIRE(dt_progress_create(full, &options, &sink, &err) == DT_OK);
    DT_CHECK_INT(sink->ops->step(sink, &m, &err), DT_ERR_IO);
    dt_progress_line(sink, "lost");
    sink->ops->destroy(sink);
    fclose(full);
}

static const dt_test tests[] = {
    DT_TEST(a_pipe_gets_a_plain_line_every_few_seconds),
    DT_TEST(the_summary_reports_what_was_measured),
    DT_TEST(the_summary_names_the_evaluation_that_a_figure_is_of),
    DT_TEST(a_terminal_gets_one_line_redrawn_in_place),
    DT_TEST(lines_of_events_are_printed_above_the_bar),
    DT_TEST(an_error_leaves_the_cursor_on_a_fresh_line),
    DT_TEST(fields_that_do_not_fit_are_left_out_least_important_first),
    DT_TEST(a_bar_fills_from_left_to_right),
    DT_TEST(numbers_are_in_human_units),
    DT_TEST(lines_of_other_threads_do_not_tear),
    DT_TEST(a_stream_that_fails_is_an_error_of_the_event_only),
};
DT_TEST_MAIN("io/metrics/progress", tests)
