/* Reading a file, with a system that interrupts, shortens and refuses the calls (tests/call_script.h). */
#include "core/base/alloc.h"
#include "io/source/sample.h"
#include "tests/call_script.h"
#include "tests/fakes/captured_log.h"
#include "tests/io/source/jpeg_kit.h"
#include "tests/io/source/loader_kit.h"
#include "tests/testing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* -- one file ------------------------------------------------------------------------------------------ */

enum { N = 16, BYTES = N * N * 3 };

static dt_error error;
static char path[4096];
static void make_file(void)
{
    const jpeg_kit_recipe recipe = {.width = 60, .height = 40};
    strcpy(path, dt_test_path("%s/a.jpg", dt_test_temp_dir()));
    jpeg_kit_write(path, &recipe);
}

/* Open and decode the file. */
static dt_status decode(dt_sample *sample, uint8_t *pixels)
{
    const dt_crop crop = {.box = {.w = 60, .h = 40}, .full_w = N, .full_h = N, .n = N};
    int64_t width = 0, height = 0;
    char reading[64];
    error = (dt_error){0};
    dt_status status = dt_sample_open(sample, path, &width, &height, &error);
    calls_stop();
    if (status == DT_OK)
        status = dt_sample_decode(sample, &crop, true, pixels, &error);
    DT_CHECK(dt_sample_reading(sample, reading, sizeof reading) == 0.0 && !reading[0]);
    return status;
}

static void interrupted_and_short_reads_are_continued(void)
{
    static uint8_t expected[BYTES], pixels[BYTES];
    dt_sample *sample = NULL;
    make_file();
    DT_REQUIRE(dt_sample_create(&sample, &error) == DT_OK);
    calls_record(dt_test_temp_dir());
    DT_REQUIRE(decode(sample, expected) == DT_OK);
    DT_CHECK_STR(calls_text(), "open a.jpg\nread a.jpg\nclose a.jpg\n");
    DT_CHECK_INT(calls_count("read", "a.jpg"), 1);
    calls_record(dt_test_temp_dir());
    calls_fail("open", "a.jpg", 1, 2, EINTR);
    calls_fail("read", "a.jpg", 1, 3, EINTR);
    calls_halve("read", "a.jpg", 4);
    calls_halve("read", "a.jpg", 5);
    calls_fail("read", "a.jpg", 6, 1, EINTR);
    calls_halve("read", "a.jpg", 7);
    DT_CHECK_MSG(decode(sample, pixels) == DT_OK, "%s", error.message);
    DT_CHECK_BYTES(pixels, expected, BYTES);
    DT_CHECK_STR(calls_text(), "open a.jpg: Interrupted system call\nopen a.jpg\n"
                               "read a.jpg: Interrupted system call\nread a.jpg\n"
                               "read a.jpg: Interrupted system call\nread a.jpg\nclose a.jpg\n");
    DT_CHECK_INT(calls_count("read", "a.jpg"), 8);
    dt_sample_destroy(sample);
}

static void a_refused_file_is_broken_and_a_missing_resource_is_not(void)
{
    static const struct {
        int error;
        dt_status status;
    } cases[] = {{EIO, DT_ERR_IO},       {EACCES, DT_ERR_IO},     {ENOENT, DT_ERR_IO},
                 {ESTALE, DT_ERR_IO},    {EMFILE, DT_ERR_MEMORY}, {ENFILE, DT_ERR_MEMORY},
                 {ENOMEM, DT_ERR_MEMORY}};
    static uint8_t expected[BYTES], pixels[BYTES];
    dt_sample *sample = NULL;
    make_file();
    DT_REQUIRE(dt_sample_create(&sample, &error) == DT_OK);
    DT_REQUIRE(decode(sample, expected) == DT_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int reading = 0; reading < 2; reading++) {
            const char *reason = strerror(cases[i].error);
            calls_record(dt_test_temp_dir());
            calls_halve("read", "a.jpg", 1);
            calls_fail(reading ? "read" : "open", "a.jpg", 1 + reading, 1, cases[i].error);
            DT_CHECK_INT(decode(sample, pixels), cases[i].status);
            DT_CHECK_INT(error.status, cases[i].status);
            DT_CHECK_STR(error.message,
                         dt_test_path("cannot be %s: %s", reading ? "read" : "opened", reason));
            if (reading)
                DT_CHECK_STR(calls_text(), dt_test_path("open a.jpg\nread a.jpg\nread a.jpg: %s\n"
                                                        "close a.jpg\n",
                                                        reason));
            else
                DT_CHECK_STR(calls_text(), dt_test_path("open a.jpg: %s\n", reason));
            memset(pixels, 0, BYTES); /* the same decoder reads it again */
            DT_CHECK_INT(decode(sample, pixels), DT_OK);
            DT_CHECK_BYTES(pixels, expected, BYTES);
        }
    dt_sample_destroy(sample);
}

/* The buffer still has the bytes of the file before, which are the same. */
static void a_file_that_became_shorter_is_cut(void)
{
    static uint8_t pixels[BYTES];
    dt_sample *sample = NULL;
    make_file();
    DT_REQUIRE(dt_sample_create(&sample, &error) == DT_OK);
    DT_REQUIRE(decode(sample, pixels) == DT_OK);
    calls_record(dt_test_temp_dir());
    calls_halve("read", "a.jpg", 1);
    calls_end("read", "a.jpg", 2);
    DT_CHECK_INT(decode(sample, pixels), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(error.message, "remature end");
    DT_CHECK_INT(calls_count("read", "a.jpg"), 2);
    DT_CHECK_INT(calls_count("close", "a.jpg"), 1);
    dt_sample_destroy(sample);
}

/* Files of 1 GiB are read; there is no memory for this one here. */
static void larger_files_are_refused(void)
{
    static uint8_t pixels[BYTES];
    dt_sample *sample = NULL;
    make_file();
    DT_REQUIRE(dt_sample_create(&sample, &error) == DT_OK);
    DT_REQUIRE(truncate(path, DT_SAMPLE_MAX_BYTES) == 0);
    dt_alloc_fail_after(1);
    DT_CHECK_INT(decode(sample, pixels), DT_ERR_MEMORY);
    dt_alloc_fail_after(0);
    DT_REQUIRE(truncate(path, DT_SAMPLE_MAX_BYTES + 1) == 0);
    DT_CHECK_INT(decode(sample, pixels), DT_ERR_FORMAT);
    DT_CHECK_STR(error.message, "1073741825 bytes, more than the limit of 1073741824");
    dt_sample_destroy(sample);
}

/* -- the loader ---------------------------------------------------------------------------------------- */

/* Run an epoch. Returns the first error; *n_broken of the batches before. */
static dt_status run_epoch(dt_source *source, int64_t epoch, int64_t *n_broken)
{
    dt_status status = source->ops->start(source, epoch, 0, KIT_SAMPLES / 4, &error);
    for (int k = 0; k < KIT_SAMPLES / 4 && status == DT_OK; k++) {
        dt_batch *batch = NULL;
        status = source->ops->next(source, &batch, &error);
        if (status == DT_OK)
            source->ops->release(source, batch);
    }
    dt_source_stats stats;
    source->ops->stats(source, &stats);
    *n_broken = stats.n_broken;
    return status;
}

/* Fails, works, fails, works: each start begins afresh, and no file counts as broken. */
static void a_loader_without_file_descriptors_fails_and_works_again(void)
{
    int64_t n_broken = -1;
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
    options.workers = 1;
    options.max_broken = 0;
    dt_source *source = loader_kit_open(&options);
    captured_log_begin(DT_LOG_DEBUG);
    for (int round = 0; round < 4; round++) {
        calls_record(dt_test_temp_dir());
        if (round % 2 == 0)
            calls_fail("open", "*.jpg", 5 + round, 1, EMFILE);
        DT_CHECK_INT(run_epoch(source, 1, &n_broken), round % 2 == 0 ? DT_ERR_MEMORY : DT_OK);
        if (round % 2 == 0)
            DT_CHECK_CONTAINS(error.message, ".jpg: cannot be opened: Too many open files");
        DT_CHECK_INT(n_broken, 0);
    }
    captured_log_end();
    calls_stop();
    DT_CHECK_INT(captured_log_lines(), 0);
    source->ops->destroy(source);
}

/* A disk that refuses, works, refuses, and refuses again: the second series is logged, too, once a file. */
static void files_of_a_disk_that_refuses_again_are_counted_again(void)
{
    static const int fails[] = {1, 0, 1, 1, 0}, lines[] = {2, 0, 2, 0, 0};
    int64_t n_broken = -1;
    loader_kit_make_split("val");
    for (int id = 2; id < KIT_SAMPLES; id++)
        DT_REQUIRE(unlink(loader_kit_sample_path("val", id)) == 0);
    for (int c = 1; c < KIT_CLASSES; c++)
        DT_REQUIRE(rmdir(dt_test_path("%s/val/c%d", dt_test_temp_dir(), c)) == 0);
    dt_loader_options options = loader_kit_options();
    options.training = false;
    options.workers = 1;
    options.max_broken = 1;
    options.batch = 2;
    dt_source *source = loader_kit_open(&options);
    for (int64_t epoch = 0; epoch < 5; epoch++) {
        dt_batch *batch = NULL;
        dt_source_stats stats;
        calls_record(dt_test_temp_dir());
        if (fails[epoch])
            calls_fail("open", "*.jpg", 1, 2, EIO);
        captured_log_begin(DT_LOG_DEBUG);
        DT_REQUIRE(source->ops->start(source, epoch, 0, 1, &error) == DT_OK);
        DT_REQUIRE(source->ops->next(source, &batch, &error) == DT_OK);
        captured_log_end();
        source->ops->stats(source, &stats);
        n_broken = stats.n_broken;
        DT_CHECK_INT(n_broken, fails[epoch] ? 2 : 0);
        DT_CHECK_INT(stats.n_decoded, fails[epoch] ? 0 : 2);
        DT_CHECK_INT(batch->labels[0], fails[epoch] ? -1 : 0);
        DT_CHECK_INT(captured_log_lines(), lines[epoch]);
        source->ops->release(source, batch);
    }
    calls_stop();
    source->ops->destroy(source);
}

static const dt_test tests[] = {
    DT_TEST(interrupted_and_short_reads_are_continued),
    DT_TEST(a_refused_file_is_broken_and_a_missing_resource_is_not),
    DT_TEST(a_file_that_became_shorter_is_cut),
    DT_TEST(larger_files_are_refused),
    DT_TEST(a_loader_without_file_descriptors_fails_and_works_again),
    DT_TEST(files_of_a_disk_that_refuses_again_are_counted_again),
};
DT_TEST_MAIN("io/source/sample_read", tests)
