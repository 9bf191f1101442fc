/* The loader's exact limits and counts: broken files, positions, options, statistics, and what is logged. */
#include "io/source/loader.h"

#include "core/base/alloc.h"
#include "core/base/rng.h"
#include "tests/fakes/captured_log.h"
#include "tests/io/source/jpeg_kit.h"
#include "tests/io/source/loader_kit.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static dt_error error;

/* -- a hundred files, of which the first n are broken -------------------------------------------------- */

enum { HUNDRED = 100 };

static const char *hundredth(const char *split, int i)
{
    return dt_test_path("%s/%s/a/%02d.jpg", dt_test_temp_dir(), split, i);
}

static void break_first(const char *split, int n)
{
    for (int i = 0; i < n; i++)
        dt_test_write_file(hundredth(split, i), "no picture", 10);
}

static void make_hundred(const char *split)
{
    const jpeg_kit_recipe recipe = {.width = 16, .height = 16};
    size_t n_bytes;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes);
    mkdir(dt_test_path("%s/%s", dt_test_temp_dir(), split), 0777);
    mkdir(dt_test_path("%s/%s/a", dt_test_temp_dir(), split), 0777);
    for (int i = 0; i < HUNDRED; i++)
        dt_test_write_file(hundredth(split, i), bytes, n_bytes);
    free(bytes);
}

/* Run an epoch of the hundred files. Returns how it ended; *stats at the end. */
static dt_status run_hundred(bool training, double max_broken, dt_source_stats *stats)
{
    dt_loader_options options = loader_kit_options();
    options.training = training;
    options.max_broken = max_broken;
    options.batch = 10;
    dt_source *source = loader_kit_open(&options);
    captured_log_begin(DT_LOG_ERROR);
    dt_status status = source->ops->start(source, 0, 0, HUNDRED / 10, &error);
    for (int k = 0; k < HUNDRED / 10 && status == DT_OK; k++) {
        dt_batch *batch = NULL;
        status = source->ops->next(source, &batch, &error);
        if (status == DT_OK)
            source->ops->release(source, batch);
    }
    source->ops->stats(source, stats);
    source->ops->destroy(source);
    captured_log_end();
    return status;
}

/* 0.29 x 100 is 28.999999999999996, and 0.57 x 100 is 56.99999999999999. */
static void a_share_of_broken_files_is_allowed_up_to_equality(void)
{
    static const struct {
        double max_broken;
        int most; /* files that may be broken */
    } cases[] = {{0, 0}, {0.01, 1}, {0.29, 29}, {0.305, 30}, {0.57, 57}};
    dt_source_stats stats;
    make_hundred("train");
    make_hundred("val");
    for (int training = 0; training < 2; training++)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            const char *split = training ? "train" : "val";
            break_first(split, cases[i].most);
            DT_CHECK_MSG(run_hundred(training, cases[i].max_broken, &stats) == DT_OK, "%s, %g: %s", split,
                         cases[i].max_broken, error.message);
            DT_CHECK_INT(stats.n_broken, cases[i].most);
            DT_CHECK_INT(stats.n_decoded, training ? HUNDRED : HUNDRED - cases[i].most);
            break_first(split, cases[i].most + 1);
            DT_CHECK_INT(run_hundred(training, cases[i].max_broken, &stats), DT_ERR_DATA);
            DT_CHECK_INT(stats.n_broken, cases[i].most + 1);
            if (cases[i].most > 1)
                continue;
            DT_CHECK_CONTAINS(error.message, cases[i].most ? "data: at least 2 of the 100 files in "
                                                           : "data: at least 1 of the 100 files in ");
            DT_CHECK_CONTAINS(error.message,
                              cases[i].most ? " are broken: 2%, and --max-broken allows 1%; for example "
                                            : " is broken: 1%, and --max-broken allows 0%; for example ");
            if (!training) /* in order, whichever thread reads first */
                DT_CHECK_CONTAINS(error.message, ".jpg (not a JPEG: it is text)");
        }
}

/* Of the batches that were returned: batches that the threads have filled ahead do not count yet. */
static void the_statistics_count_the_batches_that_were_returned(void)
{
    dt_source_stats stats;
    make_hundred("val");
    break_first("val", 15);
    dt_loader_options options = loader_kit_options();
    options.training = false;
    options.max_broken = 1;
    options.batch = 10;
    options.world = 2; /* this rank has the batches 0, 2, 4, 6, 8 */
    dt_source *source = loader_kit_open(&options);
    for (int64_t epoch = 0; epoch < 2; epoch++) {
        static const int64_t decoded[] = {0, 0, 10, 20, 30, 40}, broken[] = {0, 10, 10, 10, 10, 10};
        DT_REQUIRE(source->ops->start(source, epoch, 0, 5, &error) == DT_OK);
        for (int k = 0;; k++) {
            dt_batch *batch = NULL;
            source->ops->stats(source, &stats);
            DT_CHECK_INT(stats.n_decoded, decoded[k]);
            DT_CHECK_INT(stats.n_broken, broken[k]);
            if (k == 5)
                break;
            DT_REQUIRE(source->ops->next(source, &batch, &error) == DT_OK);
            DT_CHECK_INT(batch->ids[3], 20 * k + 3);
            source->ops->release(source, batch);
        }
        dt_batch *none = NULL;
        DT_CHECK_INT(source->ops->next(source, &none, &error), DT_ERR_INTERNAL);
        DT_CHECK_STR(error.message, "loader: all 5 batches have been returned");
    }
    source->ops->destroy(source);
}

/* -- replacements -------------------------------------------------------------------------------------- */

/* How many draws it takes to replace `id` in `epoch`, if only `whole` is whole of the hundred; 0: more than
 * 100. */
static int draws_until(uint64_t seed, int64_t epoch, int64_t id, int64_t whole)
{
    dt_rng g = dt_rng_at(seed, DT_RNG_REPLACE, (uint64_t)epoch, (uint64_t)id);
    for (int i = 1; i <= 100; i++)
        if ((int64_t)dt_rng_below(&g, HUNDRED) == whole)
            return i;
    return 0;
}

/* An epoch in which sample 0's replacement comes with the n-th draw, n from least to most. */
static int64_t find_epoch(int least, int most)
{
    for (int64_t epoch = 0; epoch < 100000; epoch++) {
        const int n = draws_until(3, epoch, 0, HUNDRED - 1);
        if (n >= least && n <= most)
            return epoch;
    }
    DT_FAIL("no epoch has %d to %d draws", least, most);
    return 0;
}

static void a_replacement_comes_with_the_64th_draw_at_the_latest(void)
{
    make_hundred("train");
    break_first("train", HUNDRED - 1);
    dt_loader_options options = loader_kit_options();
    options.max_broken = 1;
    options.shuffle = false;
    options.batch = 1;
    options.workers = 1;
    dt_source *source = loader_kit_open(&options);
    captured_log_begin(DT_LOG_ERROR);
    for (int n = 64; n <= 65; n++) {
        dt_batch *batch = NULL;
        DT_REQUIRE(source->ops->start(source, find_epoch(n, n), 0, 1, &error) == DT_OK);
        DT_CHECK_INT(source->ops->next(source, &batch, &error), n == 64 ? DT_OK : DT_ERR_DATA);
        if (n == 64)
            DT_CHECK(batch->labels[0] == 0 && batch->ids[0] == 0);
        else
            DT_CHECK_CONTAINS(error.message, "data: a broken file cannot be replaced: 64 others drawn in its "
                                             "place are broken too; for example ");
    }
    captured_log_end();
    source->ops->destroy(source);
}

/* -- what is read --------------------------------------------------------------------------------------- */

/* The middle of 100 x 100 pixels: the last rows are read once only. */
static void a_whole_file_is_read_up_to_its_crop_later(void)
{
    const jpeg_kit_recipe recipe = {.width = 100, .height = 100};
    size_t n_bytes;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes);
    make_hundred("val");
    for (int i = 1; i < HUNDRED; i++)
        DT_REQUIRE(unlink(hundredth("val", i)) == 0);
    dt_test_write_file(hundredth("val", 0), bytes, n_bytes);
    dt_loader_options options = loader_kit_options();
    options.training = false;
    options.eval_crop = 0.5;
    options.batch = 1;
    options.max_broken = 1;
    dt_source *source = loader_kit_open(&options);
    for (int epoch = 0; epoch < 3; epoch++) {
        dt_batch *batch = NULL;
        DT_REQUIRE(source->ops->start(source, epoch, 0, 1, &error) == DT_OK);
        DT_REQUIRE(source->ops->next(source, &batch, &error) == DT_OK);
        DT_CHECK_INT(batch->labels[0], 0);
        source->ops->release(source, batch);
        dt_test_write_file(hundredth("val", 0), bytes, n_bytes - 40);
    }
    source->ops->destroy(source);
    source = loader_kit_open(&options); /* which has not seen it */
    dt_batch *batch = NULL;
    captured_log_begin(DT_LOG_ERROR);
    DT_REQUIRE(source->ops->start(source, 0, 0, 1, &error) == DT_OK);
    DT_REQUIRE(source->ops->next(source, &batch, &error) == DT_OK);
    captured_log_end();
    DT_CHECK_INT(batch->labels[0], -1);
    source->ops->destroy(source);
    free(bytes);
}

static int32_t label_of_first(dt_source *source, int64_t epoch)
{
    dt_batch *batch = NULL;
    DT_REQUIRE(source->ops->start(source, epoch, 0, 1, &error) == DT_OK);
    DT_REQUIRE(source->ops->next(source, &batch, &error) == DT_OK);
    const int32_t label = batch->labels[0];
    source->ops->release(source, batch);
    return label;
}

/* In one training; a missing file, which the disk may have back, is tried again. */
static void a_broken_file_stays_broken_and_a_missing_one_does_not(void)
{
    size_t n_bytes;
    make_hundred("val");
    char *bytes = dt_test_read_file(hundredth("val", 0), &n_bytes);
    dt_loader_options options = loader_kit_options();
    options.training = false;
    options.batch = 1;
    options.max_broken = 1;
    captured_log_begin(DT_LOG_DEBUG);
    dt_source *source = loader_kit_open(&options);
    DT_REQUIRE(rename(hundredth("val", 0), hundredth("val", -1)) == 0);
    DT_CHECK_INT(label_of_first(source, 0), -1);
    DT_REQUIRE(rename(hundredth("val", -1), hundredth("val", 0)) == 0);
    DT_CHECK_INT(label_of_first(source, 1), 0);
    source->ops->destroy(source);
    DT_CHECK_INT(captured_log_lines(), 1);
    source = loader_kit_open(&options);
    break_first("val", 1);
    DT_CHECK_INT(label_of_first(source, 0), -1);
    dt_test_write_file(hundredth("val", 0), bytes, n_bytes);
    DT_CHECK_INT(label_of_first(source, 1), -1);
    source->ops->destroy(source);
    captured_log_end();
    DT_CHECK_INT(captured_log_lines(), 2);
    free(bytes);
}

/* -- positions and options ------------------------------------------------------------------------------ */

static void an_epoch_ends_with_its_last_whole_step(void)
{
    static const struct {
        int64_t epoch, position, n_batches, end; /* 0: it is not refused */
    } cases[] = {{0, 0, 4, 0},  {0, 0, 3, 0},  {0, 0, 5, 60},  {0, 1, 4, 41},
                 {0, 20, 2, 0}, {0, 20, 1, 0}, {0, 21, 1, 41}, {0, 20, 3, 60},
                 {0, 40, 0, 0}, {0, 99, 0, 0}, {-1, 0, 1, 20}, {0, -1, 1, 19}};
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
    options.world = 2;
    options.accumulate = 2;
    options.batch = 5; /* 20 images a step, 40 in all */
    dt_source *source = loader_kit_open(&options);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        DT_CHECK_INT(
            source->ops->start(source, cases[i].epoch, cases[i].position, cases[i].n_batches, &error),
            cases[i].end ? DT_ERR_INTERNAL : DT_OK);
        if (cases[i].end)
            DT_CHECK_STR(
                error.message,
                dt_test_path("loader: %lld batches from position %lld of epoch %lld end at %lld of 40",
                             (long long)cases[i].n_batches, (long long)cases[i].position,
                             (long long)cases[i].epoch, (long long)cases[i].end));
    }
    DT_CHECK_STR(source->ops->sample_name(source, KIT_SAMPLES - 1),
                 loader_kit_sample_path("train", KIT_SAMPLES - 1));
    DT_CHECK_STR(source->ops->sample_name(source, KIT_SAMPLES), "(no such sample)");
    DT_CHECK_STR(source->ops->sample_name(source, -1), "(no such sample)");
    source->ops->destroy(source);
}

/* Options that are accepted let the loader allocate, which fails here; others are refused before. */
static dt_status try_options(const dt_loader_options *options)
{
    dt_source *source = NULL;
    dt_alloc_fail_after(1);
    dt_status status = dt_loader_create(options, &source, &error);
    dt_alloc_fail_after(0);
    DT_CHECK(source == NULL);
    return status;
}

#define CHECK_RANGE(field, least, below, most, above)                                                        \
    do {                                                                                                     \
        dt_loader_options o = loader_kit_options();                                                          \
        o.crop_scale_max = 1;                                                                                \
        o.field = (least);                                                                                   \
        DT_CHECK_MSG(try_options(&o) == DT_ERR_MEMORY, #field " at least: %s", error.message);               \
        o.field = (most);                                                                                    \
        DT_CHECK_MSG(try_options(&o) == DT_ERR_MEMORY, #field " at most: %s", error.message);                \
        o.field = (below);                                                                                   \
        DT_CHECK_MSG(try_options(&o) != DT_ERR_MEMORY, #field " below");                                     \
        o.field = (above);                                                                                   \
        DT_CHECK_MSG(try_options(&o) != DT_ERR_MEMORY, #field " above");                                     \
    } while (0)

static void options_are_accepted_up_to_their_limits(void)
{
    CHECK_RANGE(image_size, 1, 0, 8192, 8193);
    CHECK_RANGE(batch, 1, 0, INT64_MAX, -1);
    CHECK_RANGE(accumulate, 1, 0, INT64_MAX, -1);
    CHECK_RANGE(workers, 1, 0, 1024, 1025);
    CHECK_RANGE(crop_scale_min, 1e-9, 0, 1, 1.000001);
    CHECK_RANGE(crop_scale_max, 0.08, 0.0799999, 1, 1.000001);
    CHECK_RANGE(flip, 0, -1e-9, 1, 1.000001);
    CHECK_RANGE(eval_crop, 1e-9, 0, 1, 1.000001);
    CHECK_RANGE(max_broken, 0, -1e-9, 1, 1.000001);
    CHECK_RANGE(rank, 0, -1, 0, 1); /* of a world of 1 */
    CHECK_RANGE(world, 1, 0, 3, -1);
}

/* -- what is logged -------------------------------------------------------------------------------------- */

static const char *log_of(int rank, bool training)
{
    dt_loader_options options = loader_kit_options();
    options.world = 2;
    options.rank = rank;
    options.training = training;
    captured_log_begin(DT_LOG_DEBUG);
    dt_source *source = loader_kit_open(&options);
    captured_log_end();
    source->ops->destroy(source);
    return captured_log_text();
}

static void rank_0_alone_logs_what_is_odd_about_the_data(void)
{
    const char *root = dt_test_temp_dir();
    make_hundred("train");
    make_hundred("val");
    DT_CHECK_CONTAINS(log_of(0, true), "/train has one class only, 'a': there is nothing to distinguish");
    DT_CHECK_INT(captured_log_lines(), 1);
    DT_CHECK_STR(log_of(1, true), "");
    DT_CHECK_STR(log_of(0, false), ""); /* the training has logged it */
    DT_REQUIRE(mkdir(dt_test_path("%s/train/A", root), 0777) == 0);
    DT_REQUIRE(link(hundredth("train", 7), dt_test_path("%s/train/A/7.jpg", root)) == 0);
    DT_CHECK_CONTAINS(log_of(0, true), "data: the classes 'A' and 'a' in ");
    DT_CHECK_CONTAINS(captured_log_text(), "data: 1 file in ");
    DT_CHECK_CONTAINS(captured_log_text(), "/train is in two classes or more, for example ");
    DT_CHECK_INT(captured_log_lines(), 2);
    DT_CHECK_STR(log_of(1, true), "");
    dt_test_write_file(dt_test_path("%s/val/.hidden", root), "", 0);
    DT_REQUIRE(unlink(dt_test_path("%s/train/A/7.jpg", root)) == 0 &&
               rmdir(dt_test_path("%s/train/A", root)) == 0);
    DT_CHECK_CONTAINS(log_of(0, false), "/val: left out 1 entry: 1 hidden (e.g. .hidden)");
    DT_CHECK_STR(log_of(1, false), "");
}

/* With train/a/0.jpg to 1.jpg and val/a/0.jpg to 2.jpg: what is logged of those in both. */
static const char *log_of_shared(void)
{
    dt_loader_options options = loader_kit_options();
    dt_source *train = loader_kit_open(&options);
    options.training = false;
    dt_source *val = loader_kit_open(&options);
    captured_log_begin(DT_LOG_DEBUG);
    DT_CHECK_INT(dt_loader_log_shared(train, val, &error), DT_OK);
    captured_log_end();
    train->ops->destroy(train);
    val->ops->destroy(val);
    return captured_log_text();
}

static void files_of_train_in_val_are_counted_and_named(void)
{
    const char *root = dt_test_temp_dir();
    for (int i = 0; i < 5; i++) { /* of 5 sizes */
        mkdir(dt_test_path("%s/%s", root, i < 2 ? "train" : "val"), 0777);
        mkdir(dt_test_path("%s/%s/a", root, i < 2 ? "train" : "val"), 0777);
        dt_test_write_file(dt_test_path("%s/%s/a/%d.jpg", root, i < 2 ? "train" : "val", i % 2 + i / 4 * 2),
                           "content", (size_t)i + 1);
    }
    DT_CHECK_STR(log_of_shared(), "");
    for (int i = 0; i < 2; i++) {
        const char *in_val = dt_test_path("%s/val/a/%d.jpg", root, i),
                   *in_train = dt_test_path("%s/train/a/%d.jpg", root, i);
        DT_REQUIRE(unlink(in_val) == 0 && link(in_train, in_val) == 0);
        DT_CHECK_CONTAINS(log_of_shared(),
                          dt_test_path("data: %d of the 3 files in %s/val %s also in %s/train, for example "
                                       "%s/val/a/0.jpg (%s/train/a/0.jpg)",
                                       i + 1, root, i ? "are" : "is", root, root, root));
        DT_CHECK_INT(captured_log_lines(), 1);
    }
}

/* Hidden entries alone are no warning: every copy from a Mac has them. */
static void hidden_entries_are_logged_as_information(void)
{
    const char *root = dt_test_temp_dir();
    make_hundred("val");
    dt_loader_options options = loader_kit_options();
    options.training = false;
    for (int others = 0; others < 2; others++) {
        dt_test_write_file(dt_test_path("%s/val/%s", root, others ? "note" : ".hidden"), "", 0);
        captured_log_begin(DT_LOG_WARN);
        dt_source *source = loader_kit_open(&options);
        captured_log_end();
        DT_CHECK_INT(captured_log_lines(), others);
        source->ops->destroy(source);
    }
}

static const dt_test tests[] = {
    DT_TEST(a_share_of_broken_files_is_allowed_up_to_equality),
    DT_TEST(the_statistics_count_the_batches_that_were_returned),
    DT_TEST(a_replacement_comes_with_the_64th_draw_at_the_latest),
    DT_TEST(a_whole_file_is_read_up_to_its_crop_later),
    DT_TEST(a_broken_file_stays_broken_and_a_missing_one_does_not),
    DT_TEST(an_epoch_ends_with_its_last_whole_step),
    DT_TEST(options_are_accepted_up_to_their_limits),
    DT_TEST(rank_0_alone_logs_what_is_odd_about_the_data),
    DT_TEST(files_of_train_in_val_are_counted_and_named),
    DT_TEST(hidden_entries_are_logged_as_information),
};
DT_TEST_MAIN("io/source/loader_limits", tests)
