/* metrics.jsonl: every line is JSON with the documented fields; a resumed run has no step twice. */
#include "io/metrics/jsonl.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "tests/testing.h"

#include <errno.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static dt_sink *open_sink(const char *path)
{
    dt_sink *sink = NULL;
    dt_error err = {0};
    dt_status status = dt_jsonl_create(path, &sink, &err);
    DT_REQUIRE_MSG(status == DT_OK, "%s", err.message);
    return sink;
}

static void start(dt_sink *sink, int64_t first_step)
{
    dt_error err = {0};
    dt_metrics_start m = {.first_step = first_step,
                          .total_steps = 40,
                          .steps_per_epoch = 10,
                          .first_epoch = first_step / 10,
                          .epochs = 4,
                          .world_size = 2,
                          .global_batch = 64,
                          .n_train = 640,
                          .n_val = 100,
                          .n_params = 11000000};
    DT_CHECK_INT(sink->ops->start(sink, &m, &err), DT_OK);
}

static dt_status step(dt_sink *sink, int64_t n, dt_error *err)
{
    dt_metrics_step m = {.step = n,
                         .epoch = (n - 1) / 10,
                         .loss = 2.0 / (double)n,
                         .top1 = 0.25,
                         .lr = 1e-5,
                         .images_per_s = 812.5,
                         .data_wait_s = 0.001,
                         .comm_wait_s = NAN};
    return sink->ops->step(sink, &m, err);
}

static void steps(dt_sink *sink, int64_t first, int64_t last)
{
    for (int64_t n = first; n <= last; n++)
        DT_CHECK_INT(step(sink, n, NULL), DT_OK);
}

/* The lines of the file as an array of objects; each must parse. */
static json_t *read_lines(const char *path)
{
    json_t *lines = json_array();
    char *text = dt_test_read_file(path, NULL), *save = NULL;
    DT_REQUIRE(text != NULL);
    DT_CHECK(!text[0] || text[strlen(text) - 1] == '\n');
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        json_error_t why;
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &why);
        DT_CHECK_MSG(json_is_object(object), "%s in: %s", why.text, line);
        json_array_append_new(lines, object);
    }
    free(text);
    return lines;
}

static double number(const json_t *line, const char *field)
{
    const json_t *value = json_object_get(line, field);
    DT_CHECK_MSG(json_is_number(value), "%s is not a number", field);
    return json_number_value(value);
}

enum { ERROR_BYTES = sizeof((dt_metrics_checkpoint *)0)->error };

/* One of every event; two of the mirror: a copy, and a failure with the longest texts there can be. */
static void write_all_events(const char *path)
{
    dt_sink *sink = open_sink(path);
    dt_error err = {0};
    setlocale(LC_ALL, "de_DE.UTF-8"); /* a decimal comma, where that locale is installed */
    start(sink, 0);
    steps(sink, 1, 1);
    dt_metrics_eval eval = {
        .step = 1, .epoch = 0, .val_loss = 1.5, .val_top1 = 0.5, .val_top5 = 0.875, .n = 100};
    dt_metrics_epoch epoch = {.epoch = 0, .step = 1, .mean_loss = INFINITY, .n_images = 640, .n_broken = 3};
    dt_metrics_checkpoint checkpoint = {
        .step = 1, .bytes = 90000000, .elapsed_s = 0.2, .path = "a \"b\" \\ \t \xff\xfe"};
    dt_metrics_end end = {
        .steps = 1, .epochs = 1, .final_top1 = 0.5, .final_loss = -1, .final_top5 = -1, .best_top1 = -1};
    DT_CHECK_INT(sink->ops->eval(sink, &eval, &err), DT_OK);
    DT_CHECK_INT(sink->ops->epoch(sink, &epoch, &err), DT_OK);
    DT_CHECK_INT(sink->ops->checkpoint(sink, &checkpoint, &err), DT_OK);
    dt_metrics_checkpoint copied = {.step = 1, .bytes = 90000000, .elapsed_s = 0.5, .path = "/fsx/run"},
                          failed = {.step = 1, .path = "/fsx/run"};
    memset(failed.error, '\t', sizeof failed.error - 1);
    memset(failed.path, '\t', sizeof failed.path - 1);
    DT_CHECK_INT(sink->ops->mirror(sink, &copied, &err), DT_OK);
    DT_CHECK_INT(sink->ops->mirror(sink, &failed, &err), DT_OK);
    DT_CHECK_INT(sink->ops->end(sink, &end, &err), DT_OK);
    sink->ops->destroy(sink);
    setlocale(LC_ALL, "C");
}

static void every_event_is_a_line_with_its_fields(void)
{
    const char *path = dt_test_path("%s/metrics.jsonl", dt_test_temp_dir());
    write_all_events(path);
    json_t *lines = read_lines(path);
    static const char *const events[] = {"start",      "step",   "eval",   "epoch",
                                         "checkpoint", "mirror", "mirror", "end"};
    DT_REQUIRE(json_array_size(lines) == 8);
    for (size_t i = 0; i < 8; i++) {
        const json_t *line = json_array_get(lines, i);
        DT_CHECK_STR(json_string_value(json_object_get(line, "event")), events[i]);
        DT_CHECK(number(line, "time") > 1.6e9);
        DT_CHECK_INT(number(line, "step"), i > 0);
    }
    const json_t *line = json_array_get(lines, 1);
    DT_CHECK_INT(number(line, "epoch"), 1);
    DT_CHECK(number(line, "loss") == 2.0 && number(line, "lr") == 1e-5 &&
             number(line, "images_per_s") == 812.5);
    DT_CHECK(json_is_null(json_object_get(line, "comm_wait_s")));
    DT_CHECK(json_object_get(line, "loss_scale") == NULL && json_object_get(line, "skipped_steps") == NULL);
    line = json_array_get(lines, 2);
    DT_CHECK(number(line, "val_loss") == 1.5 && number(line, "val_top1") == 0.5 &&
             number(line, "val_top5") == 0.875);
    DT_CHECK_INT(number(line, "n"), 100);
    DT_CHECK(json_is_null(json_object_get(json_array_get(lines, 3), "mean_loss")));
    DT_CHECK_STR(json_string_value(json_object_get(json_array_get(lines, 4), "path")),
                 "a \"b\" \\ \t \xee\xbf\xbf\xee\xbf\xbe"); /* dt_utf8_unescape gives the bytes */
    DT_CHECK_STR(json_string_value(json_object_get(json_array_get(lines, 5), "path")), "/fsx/run");
    DT_CHECK(number(json_array_get(lines, 5), "bytes") == 90000000 &&
             json_object_get(json_array_get(lines, 5), "error") == NULL);
    DT_CHECK_INT(json_string_length(json_object_get(json_array_get(lines, 6), "error")), ERROR_BYTES - 1);
    DT_CHECK(json_is_null(json_object_get(json_array_get(lines, 7), "best_top1")));
    DT_CHECK(json_is_false(json_object_get(json_array_get(lines, 7), "stopped_on_request")));
    json_decref(lines);
}

/* Run to `died_at`, then resume at `resume` and run to the end: the steps are 1 to 40, each once. */
static void check_resume(int64_t died_at, int64_t resume, const char *tail)
{
    const char *path = dt_test_path("%s/m-%d-%d", dt_test_temp_dir(), (int)died_at, (int)resume);
    dt_sink *sink = open_sink(path);
    start(sink, 0);
    steps(sink, 1, died_at);
    sink->ops->destroy(sink);
    FILE *f = fopen(path, "a");
    fputs(tail, f);
    fclose(f);
    sink = open_sink(path);
    start(sink, resume);
    steps(sink, resume + 1, 40);
    sink->ops->destroy(sink);
    json_t *lines = read_lines(path);
    int64_t next = 1, starts = 0;
    size_t i;
    json_t *line;
    json_array_foreach(lines, i, line)
    {
        if (strcmp(json_string_value(json_object_get(line, "event")), "step") == 0)
            DT_CHECK_INT(number(line, "step"), next++);
        else
            starts++;
    }
    DT_CHECK_INT(next, 41);
    DT_CHECK_INT(starts, resume == 0 ? 1 : 2);
    json_decref(lines);
}

static void a_resumed_run_has_every_step_once(void)
{
    check_resume(25, 20, "");
    check_resume(20, 20, "");
    check_resume(25, 20, "{\"event\": \"step\", \"time\": 1.0, \"ste"); /* a line cut by a crash */
    check_resume(20, 20, "{\"event\": \"st");
    /* a whole line without its newline */
    check_resume(20, 20, "{\"event\": \"eval\", \"time\": 1.0, \"step\": 20}");
    check_resume(23, 20, "this is no JSON\n\n[1]\n{\"step\": \"x\"}\n");
    /* written late: lines of later steps precede them */
    check_resume(25, 20, "{\"event\": \"checkpoint\", \"time\": 1.0, \"step\": 20}\n");
    check_resume(25, 20, "{\"event\": \"mirror\", \"time\": 1.0, \"step\": 20}\n");
    check_resume(3, 0, ""); /* ended before the first checkpoint */
    check_resume(40, 1, "");
}

static void a_missing_file_is_created(void)
{
    const char *path = dt_test_path("%s/metrics.jsonl", dt_test_temp_dir());
    dt_sink *sink = open_sink(path);
    start(sink, 7);
    steps(sink, 8, 8);
    sink->ops->destroy(sink);
    json_t *lines = read_lines(path);
    DT_CHECK_INT(json_array_size(lines), 2);
    json_decref(lines);
}

static void each_line_is_in_the_file_before_the_next_event(void)
{
    const char *path = dt_test_path("%s/metrics.jsonl", dt_test_temp_dir());
    dt_sink *sink = open_sink(path);
    start(sink, 0);
    for (int64_t n = 1; n <= 3; n++) {
        steps(sink, n, n);
        json_t *lines = read_lines(path);
        DT_CHECK_INT(json_array_size(lines), n + 1);
        json_decref(lines);
    }
    sink->ops->destroy(sink);
}

static void a_full_disk_is_reported_and_leaves_no_half_line(void)
{
    const char *path = dt_test_path("%s/metrics.jsonl", dt_test_temp_dir());
    dt_sink *sink = open_sink(path);
    dt_error err = {0};
    start(sink, 0);
    steps(sink, 1, 2);
    dt_fault_arm("jsonl.write:1", 0, NULL);
    DT_CHECK_INT(step(sink, 3, &err), DT_ERR_IO);
    dt_fault_arm(NULL, 0, NULL);
    DT_CHECK_CONTAINS(err.message, path);
    DT_CHECK_CONTAINS(err.message, strerror(ENOSPC));
    steps(sink, 4, 4);
    sink->ops->destroy(sink);
    json_t *lines = read_lines(path);
    DT_CHECK_INT(json_array_size(lines), 4);
    json_decref(lines);
}

static void a_file_that_may_not_grow_is_an_error_and_no_signal(void)
{
    struct rlimit before, none;
    dt_error err = {0};
    dt_sink *sink = open_sink(dt_test_path("%s/metrics.jsonl", dt_test_temp_dir()));
    DT_REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    none = before;
    none.rlim_cur = 0;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN); /* as launch/stop/signals.c does */
    DT_REQUIRE(setrlimit(RLIMIT_FSIZE, &none) == 0);
    const dt_status status = step(sink, 1, &err);
    DT_REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
    (void)signal(SIGXFSZ, handler);
    DT_CHECK_INT(status, DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, strerror(EFBIG));
    sink->ops->destroy(sink);
}

static void a_fifo_is_refused_and_not_waited_for(void)
{
    dt_sink *sink = NULL;
    dt_error err = {0};
    const char *path = dt_test_path("%s/metrics.jsonl", dt_test_temp_dir());
    DT_REQUIRE(mkfifo(path, 0666) == 0);
    DT_CHECK_INT(dt_jsonl_create(path, &sink, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "metrics.jsonl is a FIFO; dtrain opens regular files only");
}

static void a_path_that_cannot_be_opened_is_an_error(void)
{
    dt_sink *sink = NULL;
    dt_error err = {0};
    DT_CHECK_INT(dt_jsonl_create(dt_test_path("%s/no/such", dt_test_temp_dir()), &sink, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "/no/such");
    dt_alloc_fail_after(1);
    DT_CHECK_INT(dt_jsonl_create("x", &sink, &err), DT_ERR_MEMORY);
    dt_alloc_fail_after(0);
    DT_CHECK(sink == NULL);
}

static void steps_report_the_loss_scale(void)
{
    dt_error err = {0};
    dt_sink *sink = NULL;
    const char *path = dt_test_path("%s/metrics.jsonl", dt_test_temp_dir());
    const dt_metrics_step m = {
        .step = 1, .loss = 2.0, .scaled = true, .skipped = true, .loss_scale = 32768.0, .n_skipped = 3};
    DT_REQUIRE(dt_jsonl_create(path, &sink, &err) == DT_OK);
    start(sink, 0);
    DT_CHECK_INT(sink->ops->step(sink, &m, &err), DT_OK);
    sink->ops->destroy(sink);
    json_t *lines = read_lines(path);
    const json_t *line = json_array_get(lines, 1);
    DT_CHECK(number(line, "loss_scale") == 32768.0);
    DT_CHECK_INT(number(line, "skipped_steps"), 3);
    json_decref(lines);
}

static const dt_test tests[] = {
    DT_TEST(steps_report_the_loss_scale),
    DT_TEST(every_event_is_a_line_with_its_fields),
    DT_TEST(a_resumed_run_has_every_step_once),
    DT_TEST(a_missing_file_is_created),
    DT_TEST(each_line_is_in_the_file_before_the_next_event),
    DT_TEST(a_full_disk_is_reported_and_leaves_no_half_line),
    DT_TEST(a_file_that_may_not_grow_is_an_error_and_no_signal),
    DT_TEST(a_fifo_is_refused_and_not_waited_for),
    DT_TEST(a_path_that_cannot_be_opened_is_an_error),
};
DT_TEST_MAIN("io/metrics/jsonl", tests)
