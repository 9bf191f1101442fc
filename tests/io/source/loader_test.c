/* The loader: the same bits whatever the threads and ranks, broken files, errors, and starting and stopping
 * at any time. */
#include "io/source/loader.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/fault.h"
#include "core/base/log.h"
#include "tests/io/source/jpeg_kit.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { N_CLASSES = 4, PER_CLASS = 10, N_SAMPLES = N_CLASSES * PER_CLASS };

/* What was logged since the last clear_log. */
static char log_text[65536];
static int n_log_lines;

static void keep_line(void *context, dt_log_level level, const char *line)
{
    (void)context;
    (void)level;
    size_t used = strlen(log_text);
    snprintf(log_text + used, sizeof log_text - used, "%s\n", line);
    n_log_lines++;
}

static void clear_log(void)
{
    log_text[0] = 0;
    n_log_lines = 0;
    dt_log_set_sink(keep_line, NULL, DT_LOG_DEBUG);
}

static const char *sample_path(const char *split, int id)
{
    return dt_test_path("%s/%s/c%d/%02d.jpg", dt_test_temp_dir(), split, id / PER_CLASS, id % PER_CLASS);
}

/* root/SPLIT with N_SAMPLES pictures of different kinds. */
static void make_split(const char *split)
{
    mkdir(dt_test_path("%s/%s", dt_test_temp_dir(), split), 0777);
    for (int c = 0; c < N_CLASSES; c++)
        mkdir(dt_test_path("%s/%s/c%d", dt_test_temp_dir(), split, c), 0777);
    for (int id = 0; id < N_SAMPLES; id++) {
        jpeg_kit_recipe recipe = {
            .width = 30 + 3 * id, .height = 90 - id, .h_samp = 1 + id % 2, .v_samp = 1 + id % 2};
        recipe.seed = (uint64_t)id;
        recipe.progressive = id % 5 == 4;
        recipe.colour = id % 7 == 3 ? JPEG_KIT_GREY : JPEG_KIT_YCC;
        jpeg_kit_write(sample_path(split, id), &recipe);
    }
}

static void break_sample(const char *split, int id)
{
    dt_test_write_file(sample_path(split, id), "no picture", 10);
}

static dt_loader_options standard_options(void)
{
    return (dt_loader_options){
        .root = dt_test_temp_dir(),
        .training = true,
        .image_size = 16,
        .batch = 4,
        .accumulate = 1,
        .world = 1,
        .workers = 2,
        .crop_scale_min = 0.08,
        .crop_scale_max = 1,
        .flip = 0.5,
        .eval_crop = 0.875,
        .seed = 3,
        .shuffle = true,
        .max_broken = 0.2,
    };
}

static dt_error error;

static dt_source *open_source(const dt_loader_options *options)
{
    dt_source *source = NULL;
    error = (dt_error){0};
    dt_status status = dt_loader_create(options, &source, &error);
    DT_REQUIRE_MSG(status == DT_OK, "%s", error.message);
    return source;
}

enum { SIZE = 16, ROW = SIZE * SIZE * 3 };

/* An epoch's rows in the order of their positions. */
typedef struct epoch_rows {
    uint8_t pixels[N_SAMPLES + 16][ROW];
    int32_t labels[N_SAMPLES + 16];
    int64_t ids[N_SAMPLES + 16];
    int64_t n, n_broken, n_decoded;
} epoch_rows;

static epoch_rows first_rows, second_rows;

/* Run rank `options->rank` over the epoch from `position` on, and put its rows where they belong in the
 * global order. */
static void collect(const dt_loader_options *options, int64_t epoch, int64_t position, epoch_rows *rows)
{
    dt_source *source = open_source(options);
    int64_t global = options->world * options->accumulate * options->batch, n = N_SAMPLES - position;
    int64_t steps = options->training ? n / global : (n + global - 1) / global;
    DT_REQUIRE_MSG(source->ops->start(source, epoch, position, steps * options->accumulate, &error) == DT_OK,
                   "%s", error.message);
    for (int64_t k = 0; k < steps * options->accumulate; k++) {
        dt_batch *batch = NULL;
        DT_REQUIRE_MSG(source->ops->next(source, &batch, &error) == DT_OK, "%s", error.message);
        DT_CHECK(batch->n == options->batch && batch->size == SIZE);
        int64_t at = position + (k / options->accumulate) * global +
                     (options->rank * options->accumulate + k % options->accumulate) * options->batch;
        for (int64_t i = 0; i < batch->n; i++) {
            memcpy(rows->pixels[at + i], batch->pixels + i * ROW, ROW);
            rows->labels[at + i] = batch->labels[i];
            rows->ids[at + i] = batch->ids[i];
        }
        source->ops->release(source, batch);
    }
    dt_source_stats stats;
    source->ops->stats(source, &stats);
    rows->n = position + steps * global;
    rows->n_broken += stats.n_broken;
    rows->n_decoded += stats.n_decoded;
    source->ops->destroy(source);
}

static void check_same_rows(const epoch_rows *a, const epoch_rows *b, int64_t from, int64_t to)
{
    DT_CHECK_BYTES(a->ids + from, b->ids + from, (size_t)(to - from) * sizeof a->ids[0]);
    DT_CHECK_BYTES(a->labels + from, b->labels + from, (size_t)(to - from) * sizeof a->labels[0]);
    DT_CHECK_BYTES(a->pixels[from], b->pixels[from], (size_t)(to - from) * ROW);
}

static void one_and_four_threads_give_the_same_bits(void)
{
    make_split("train");
    break_sample("train", 7);
    dt_loader_options options = standard_options();
    for (int64_t batch = 1; batch <= 20; batch += 19) {
        memset(&first_rows, 0, sizeof first_rows);
        memset(&second_rows, 0, sizeof second_rows);
        options.batch = batch;
        options.workers = 1;
        collect(&options, 2, 0, &first_rows);
        options.workers = 4;
        collect(&options, 2, 0, &second_rows);
        DT_CHECK_INT(first_rows.n, N_SAMPLES);
        check_same_rows(&first_rows, &second_rows, 0, N_SAMPLES);
    }
}

static void every_world_size_and_accumulation_gives_the_same_bits(void)
{
    static const int64_t shapes[][3] = {{2, 1, 4}, {4, 1, 2}, {1, 5, 2}, {2, 2, 5}};
    make_split("train");
    break_sample("train", 7);
    break_sample("train", 30);
    dt_loader_options options = standard_options();
    memset(&first_rows, 0, sizeof first_rows);
    collect(&options, 1, 0, &first_rows);
    DT_CHECK_INT(first_rows.n_broken, 2);
    DT_CHECK_INT(first_rows.n_decoded, N_SAMPLES);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        memset(&second_rows, 0, sizeof second_rows);
        options.world = (int)shapes[s][0];
        options.accumulate = shapes[s][1];
        options.batch = shapes[s][2];
        for (options.rank = 0; options.rank < options.world; options.rank++)
            collect(&options, 1, 0, &second_rows);
        check_same_rows(&first_rows, &second_rows, 0, N_SAMPLES);
        DT_CHECK_INT(second_rows.n_broken, 2);
    }
}

static void an_epoch_goes_on_where_it_was_left(void)
{
    make_split("train");
    dt_loader_options options = standard_options();
    collect(&options, 0, 0, &first_rows);
    collect(&options, 0, 12, &second_rows);
    check_same_rows(&first_rows, &second_rows, 12, N_SAMPLES);
}

static void epochs_and_seeds_differ_and_repeat(void)
{
    make_split("train");
    dt_loader_options options = standard_options();
    options.shuffle = false;
    collect(&options, 0, 0, &first_rows);
    collect(&options, 1, 0, &second_rows);
    for (int i = 0; i < N_SAMPLES; i++) {
        DT_CHECK_INT(first_rows.ids[i], i);
        DT_CHECK_INT(first_rows.labels[i], i / PER_CLASS);
    }
    DT_CHECK_BYTES(first_rows.ids, second_rows.ids, N_SAMPLES * sizeof(int64_t));
    DT_CHECK(memcmp(first_rows.pixels, second_rows.pixels, (size_t)N_SAMPLES * ROW) != 0);
    options.seed++;
    collect(&options, 0, 0, &second_rows);
    DT_CHECK(memcmp(first_rows.pixels, second_rows.pixels, (size_t)N_SAMPLES * ROW) != 0);
    options.shuffle = true;
    collect(&options, 0, 0, &second_rows);
    DT_CHECK(memcmp(first_rows.ids, second_rows.ids, N_SAMPLES * sizeof(int64_t)) != 0);
}

static void without_augmentation_every_epoch_has_the_same_pixels(void)
{
    make_split("train");
    dt_loader_options options = standard_options();
    options.augment = DT_AUGMENT_NONE;
    options.shuffle = false;
    collect(&options, 0, 0, &first_rows);
    collect(&options, 5, 0, &second_rows);
    check_same_rows(&first_rows, &second_rows, 0, N_SAMPLES);
}

static void a_broken_file_is_named_counted_and_replaced(void)
{
    make_split("train");
    dt_loader_options options = standard_options();
    options.shuffle = false;
    collect(&options, 0, 0, &first_rows);
    break_sample("train", 13);
    clear_log();
    memset(&second_rows, 0, sizeof second_rows);
    collect(&options, 0, 0, &second_rows);
    dt_log_set_sink(NULL, NULL, DT_LOG_DEBUG);
    DT_CHECK_INT(second_rows.n_broken, 1);
    DT_CHECK_INT(n_log_lines, 1);
    DT_CHECK_CONTAINS(log_text, sample_path("train", 13));
    DT_CHECK_CONTAINS(log_text, "not a JPEG: it is text");
    DT_CHECK_INT(second_rows.ids[13], 13);
    DT_CHECK(second_rows.labels[13] >= 0);
    check_same_rows(&first_rows, &second_rows, 0, 13);
    check_same_rows(&first_rows, &second_rows, 14, N_SAMPLES);
    DT_CHECK(memcmp(first_rows.pixels[13], second_rows.pixels[13], ROW) != 0);
}

/* Another sample stands in each epoch, of the class that its label tells: here a class's pictures have one
 * grey level. */
static void what_stands_in_brings_its_own_label(void)
{
    bool stood_in[N_CLASSES] = {false};
    for (int c = 0; c < N_CLASSES; c++) {
        mkdir(dt_test_path("%s/train", dt_test_temp_dir()), 0777);
        mkdir(dt_test_path("%s/train/c%d", dt_test_temp_dir(), c), 0777);
        for (int i = 0; i < PER_CLASS; i++) {
            jpeg_kit_recipe recipe = {
                .width = 16 + c, .height = 16, .colour = JPEG_KIT_GREY, .seed = (uint64_t)c};
            jpeg_kit_write(sample_path("train", c * PER_CLASS + i), &recipe);
        }
    }
    dt_loader_options options = standard_options();
    options.shuffle = false;
    options.augment = DT_AUGMENT_NONE;
    collect(&options, 0, 0, &first_rows);
    break_sample("train", 0);
    for (int64_t epoch = 0; epoch < 10; epoch++) {
        collect(&options, epoch, 0, &second_rows);
        int32_t label = second_rows.labels[0];
        DT_REQUIRE(label >= 0 && label < N_CLASSES);
        stood_in[label] = true;
        DT_CHECK_BYTES(second_rows.pixels[0], first_rows.pixels[label * PER_CLASS + 1], ROW);
    }
    DT_CHECK(stood_in[0] + stood_in[1] + stood_in[2] + stood_in[3] >= 3);
}

/* The damage is in the last rows, where hardly a crop reaches: found all the same. */
static void damage_outside_the_crop_is_found(void)
{
    make_split("train");
    jpeg_kit_recipe recipe = {.width = 100, .height = 100};
    size_t n_bytes;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes);
    dt_test_write_file(sample_path("train", 5), bytes, n_bytes - 40);
    free(bytes);
    dt_loader_options options = standard_options();
    options.crop_scale_max = 0.1;
    memset(&first_rows, 0, sizeof first_rows);
    for (int64_t epoch = 0; epoch < 5; epoch++)
        collect(&options, epoch, 0, &first_rows);
    DT_CHECK_INT(first_rows.n_broken, 5);
}

static void evaluation_takes_each_file_once_and_pads(void)
{
    make_split("train");
    make_split("val");
    break_sample("val", 11);
    dt_loader_options options = standard_options();
    options.training = false;
    options.batch = 6;
    options.world = 2;
    options.max_broken = 0.05;
    clear_log();
    memset(&first_rows, 0, sizeof first_rows);
    for (options.rank = 0; options.rank < 2; options.rank++)
        collect(&options, 0, 0, &first_rows);
    dt_log_set_sink(NULL, NULL, DT_LOG_DEBUG);
    static const uint8_t black[ROW];
    DT_CHECK_INT(first_rows.n, 48);
    for (int i = 0; i < 48; i++) {
        bool counts = i < N_SAMPLES && i != 11;
        DT_CHECK_INT(first_rows.ids[i], i < N_SAMPLES ? i : -1);
        DT_CHECK_INT(first_rows.labels[i], counts ? i / PER_CLASS : -1);
        DT_CHECK((memcmp(first_rows.pixels[i], black, ROW) == 0) == !counts);
    }
    DT_CHECK_INT(first_rows.n_broken, 1);
    DT_CHECK_INT(first_rows.n_decoded, N_SAMPLES - 1);
    DT_CHECK_CONTAINS(log_text, "left out of the evaluation");
}

static void too_many_broken_files_are_an_error_that_tells_all(void)
{
    make_split("train");
    for (int id = 3; id < 6; id++)
        break_sample("train", id);
    dt_loader_options options = standard_options();
    options.max_broken = 0.05; /* 2 of 40 */
    options.shuffle = false;
    dt_source *source = open_source(&options);
    dt_batch *batch = NULL;
    for (int again = 0; again < 2; again++) {
        DT_REQUIRE(source->ops->start(source, 0, 0, 10, &error) == DT_OK);
        DT_REQUIRE(source->ops->next(source, &batch, &error) == DT_OK); /* ids 0 to 3: one broken */
        source->ops->release(source, batch);
        batch = NULL;
        for (int twice = 0; twice < 2; twice++) {
            error = (dt_error){0};
            DT_CHECK_INT(source->ops->next(source, &batch, &error), DT_ERR_DATA);
            DT_CHECK(batch == NULL);
            DT_CHECK_CONTAINS(error.message, "at least 3 of the 40 files in ");
            DT_CHECK_CONTAINS(error.message, "/train are broken: 7.5%, and --max-broken allows 5%");
            DT_CHECK_CONTAINS(error.message, "not a JPEG: it is text");
        }
    }
    source->ops->destroy(source);
    options.max_broken = 0.075; /* just enough */
    collect(&options, 0, 0, &first_rows);
}

static void a_folder_of_nothing_but_broken_files_ends_the_training(void)
{
    make_split("train");
    for (int id = 0; id < N_SAMPLES; id++)
        break_sample("train", id);
    dt_loader_options options = standard_options();
    options.max_broken = 1;
    dt_source *source = open_source(&options);
    dt_batch *batch = NULL;
    DT_REQUIRE(source->ops->start(source, 0, 0, 10, &error) == DT_OK);
    DT_CHECK_INT(source->ops->next(source, &batch, &error), DT_ERR_DATA);
    DT_CHECK_CONTAINS(error.message, "64 files in a row are broken");
    source->ops->destroy(source);
}

static void a_file_that_cannot_be_read_is_broken_for_that_time_only(void)
{
    static const char *const points[][2] = {{"loader.open:5", "cannot be opened"},
                                            {"loader.read:5", "cannot be read"}};
    make_split("train");
    dt_loader_options options = standard_options();
    options.workers = 1;
    for (int p = 0; p < 2; p++) {
        dt_source *source = open_source(&options);
        for (int epoch = 0; epoch < 2; epoch++) {
            clear_log();
            DT_REQUIRE(dt_fault_arm(epoch == 0 ? points[p][0] : "", 0, &error) == DT_OK);
            DT_REQUIRE(source->ops->start(source, epoch, 0, 10, &error) == DT_OK);
            for (int k = 0; k < 10; k++) {
                dt_batch *batch = NULL;
                DT_REQUIRE(source->ops->next(source, &batch, &error) == DT_OK);
                source->ops->release(source, batch);
            }
            dt_source_stats stats;
            source->ops->stats(source, &stats);
            DT_CHECK_INT(stats.n_broken, epoch == 0);
            DT_CHECK_INT(n_log_lines, epoch == 0);
            if (epoch == 0)
                DT_CHECK_CONTAINS(log_text, points[p][1]);
        }
        dt_log_set_sink(NULL, NULL, DT_LOG_DEBUG);
        DT_REQUIRE(dt_fault_arm("", 0, &error) == DT_OK);
        source->ops->destroy(source);
    }
}

static void a_file_that_is_gone_is_named_once_and_counted_each_time(void)
{
    make_split("train");
    DT_REQUIRE(unlink(sample_path("train", 21)) == 0 && symlink("gone", sample_path("train", 21)) == 0);
    dt_loader_options options = standard_options();
    dt_source *source = open_source(&options);
    clear_log();
    for (int epoch = 0; epoch < 3; epoch++) {
        DT_REQUIRE(source->ops->start(source, epoch, 0, 10, &error) == DT_OK);
        for (int k = 0; k < 10; k++) {
            dt_batch *batch = NULL;
            DT_REQUIRE(source->ops->next(source, &batch, &error) == DT_OK);
            source->ops->release(source, batch);
        }
        dt_source_stats stats;
        source->ops->stats(source, &stats);
        DT_CHECK_INT(stats.n_broken, 1);
    }
    DT_CHECK_INT(n_log_lines, 1);
    DT_CHECK_CONTAINS(log_text, "cannot be opened: No such file");
    dt_log_set_sink(NULL, NULL, DT_LOG_DEBUG);
    source->ops->destroy(source);
}

static void validation_of_other_classes_is_refused(void)
{
    make_split("train");
    make_split("val");
    DT_REQUIRE(rename(dt_test_path("%s/val/c2", dt_test_temp_dir()),
                      dt_test_path("%s/val/other", dt_test_temp_dir())) == 0);
    dt_loader_options options = standard_options();
    dt_source *source = NULL;
    options.training = false;
    DT_CHECK_INT(dt_loader_create(&options, &source, &error), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(error.message, "class 'c2' is in ");
}

static void starting_again_at_any_time_begins_anew(void)
{
    make_split("train");
    dt_loader_options options = standard_options();
    collect(&options, 4, 0, &first_rows);
    options.workers = 3;
    dt_source *source = open_source(&options);
    for (int round = 0; round < 60; round++) {
        dt_batch *batch[2] = {NULL, NULL};
        DT_REQUIRE(source->ops->start(source, round, 0, 10, &error) == DT_OK);
        for (int k = 0; k < round % 3; k++)
            DT_REQUIRE(source->ops->next(source, &batch[k % 2], &error) == DT_OK);
        if (round % 2 && batch[0])
            source->ops->release(source, batch[0]);
        if (round % 5 == 0)
            dt_clock_sleep_s(0.001 * (round % 4));
    }
    DT_REQUIRE(source->ops->start(source, 4, 8, 8, &error) == DT_OK);
    for (int k = 0; k < 8; k++) {
        dt_batch *batch = NULL;
        DT_REQUIRE(source->ops->next(source, &batch, &error) == DT_OK);
        DT_CHECK_BYTES(batch->pixels, first_rows.pixels[8 + 4 * k], 4 * ROW);
        source->ops->release(source, batch);
    }
    dt_batch *batch = NULL;
    DT_CHECK_INT(source->ops->next(source, &batch, &error), DT_ERR_INTERNAL);
    source->ops->destroy(source);
    for (int round = 0; round < 20; round++) { /* destroyed with rows under way */
        source = open_source(&options);
        DT_REQUIRE(source->ops->start(source, round, 0, 10, &error) == DT_OK);
        source->ops->destroy(source);
    }
}

static void holding_every_batch_is_an_error_and_no_hang(void)
{
    make_split("train");
    dt_loader_options options = standard_options();
    dt_source *source = open_source(&options);
    dt_batch *batch = NULL;
    dt_status status = source->ops->start(source, 0, 0, 10, &error);
    int n = 0;
    while (status == DT_OK && n++ < 10)
        status = source->ops->next(source, &batch, &error);
    DT_CHECK_INT(status, DT_ERR_INTERNAL);
    DT_CHECK_CONTAINS(error.message, "none was released");
    source->ops->destroy(source);
}

static void the_image_size_can_change_between_epochs(void)
{
    make_split("train");
    dt_loader_options options = standard_options();
    collect(&options, 0, 0, &first_rows);
    options.image_size = 8;
    dt_source *source = open_source(&options);
    static const int64_t sizes[] = {8, 24, SIZE};
    for (int i = 0; i < 3; i++) {
        dt_batch *batch = NULL;
        dt_source_info info;
        DT_REQUIRE(source->ops->set_image_size(source, sizes[i], &error) == DT_OK);
        source->ops->info(source, &info);
        DT_CHECK_INT(info.image_size, sizes[i]);
        DT_REQUIRE(source->ops->start(source, 0, 0, 10, &error) == DT_OK);
        DT_REQUIRE(source->ops->next(source, &batch, &error) == DT_OK);
        DT_CHECK_INT(batch->size, sizes[i]);
        if (sizes[i] == SIZE)
            DT_CHECK_BYTES(batch->pixels, first_rows.pixels[0], 4 * ROW);
    }
    DT_CHECK_INT(source->ops->set_image_size(source, 0, &error), DT_ERR_USAGE);
    source->ops->destroy(source);
}

static void options_out_of_range_are_named(void)
{
    make_split("train");
    const dt_loader_options good = standard_options();
    dt_loader_options bad[10];
    static const char *const words[10] = {"--image-size",    "--batch",      "--accumulate", "--workers",
                                          "--workers",       "--crop-scale", "--crop-scale", "--max-broken",
                                          "evaluation crop", "flip"};
    for (int i = 0; i < 10; i++)
        bad[i] = good;
    bad[0].image_size = 0;
    bad[1].batch = 0;
    bad[2].accumulate = -1;
    bad[3].workers = 0;
    bad[4].workers = 5000;
    bad[5].crop_scale_min = 0;
    bad[6].crop_scale_max = 0.01;
    bad[7].max_broken = 1.5;
    bad[8].eval_crop = 0;
    bad[9].flip = 2;
    for (int i = 0; i < 10; i++) {
        dt_source *source = NULL;
        DT_CHECK_INT(dt_loader_create(&bad[i], &source, &error), DT_ERR_USAGE);
        DT_CHECK_CONTAINS(error.message, words[i]);
        DT_CHECK(source == NULL);
    }
    dt_loader_options no_val = good;
    dt_source *source = NULL;
    no_val.training = false;
    DT_CHECK(!dt_loader_has_validation(good.root));
    DT_CHECK_INT(dt_loader_create(&no_val, &source, &error), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(error.message, "/val; expected is");
}

static void what_there_is_is_told(void)
{
    make_split("train");
    dt_loader_options options = standard_options();
    dt_source *source = open_source(&options);
    dt_source_info info;
    source->ops->info(source, &info);
    DT_CHECK_INT(info.n_samples, N_SAMPLES);
    DT_CHECK_INT(info.n_classes, N_CLASSES);
    DT_CHECK(info.fingerprint != 0);
    DT_CHECK_STR(source->ops->class_name(source, 2), "c2");
    DT_CHECK_STR(source->ops->class_name(source, N_CLASSES), NULL);
    DT_CHECK_STR(source->ops->sample_name(source, 12), sample_path("train", 12));
    DT_CHECK_INT(source->ops->start(source, 0, 8, 9, &error), DT_ERR_INTERNAL); /* 8 + 36 > 40 */
    source->ops->destroy(source);
}

/* A device that counts what is taken from its host memory. */
static int64_t n_host_blocks;

static void *count_alloc(dt_device *device, int64_t bytes)
{
    (void)device;
    void *p = malloc((size_t)bytes);
    n_host_blocks += p != NULL;
    return p;
}

static void count_free(dt_device *device, void *p)
{
    (void)device;
    n_host_blocks--;
    free(p);
}

static void batches_come_from_the_devices_host_memory(void)
{
    static const dt_device_ops ops = {.name = "counting", .host_alloc = count_alloc, .host_free = count_free};
    dt_device device = {.ops = &ops};
    make_split("train");
    dt_loader_options options = standard_options();
    options.device = &device;
    collect(&options, 0, 0, &first_rows);
    DT_CHECK_INT(n_host_blocks, 0);
    dt_source *source = open_source(&options);
    DT_CHECK(n_host_blocks >= 4);
    source->ops->destroy(source);
    DT_CHECK_INT(n_host_blocks, 0);
}

static void failed_allocations_are_reported_and_leak_nothing(void)
{
    make_split("train");
    dt_loader_options options = standard_options();
    int64_t before = dt_alloc_live_blocks();
    for (int64_t n = 1;; n++) {
        dt_source *source = NULL;
        dt_alloc_fail_after(n);
        dt_status status = dt_loader_create(&options, &source, &error);
        dt_alloc_fail_after(0);
        if (status == DT_OK)
            source->ops->destroy(source);
        DT_CHECK_INT(dt_alloc_live_blocks(), before);
        if (status == DT_OK) {
            DT_CHECK(n > 30);
            break;
        }
        DT_CHECK(source == NULL);
        DT_CHECK_INT(status, DT_ERR_MEMORY);
    }
}

/* Memory that runs out in a thread is an error of next, not a broken file. */
static void memory_that_runs_out_in_a_thread_reaches_next(void)
{
    make_split("train");
    dt_loader_options options = standard_options();
    dt_source *source = open_source(&options);
    dt_batch *batch = NULL;
    DT_REQUIRE(source->ops->start(source, 0, 0, 0, &error) == DT_OK); /* the threads are there */
    dt_alloc_fail_after(1);
    DT_REQUIRE(source->ops->start(source, 0, 0, 10, &error) == DT_OK);
    dt_status status = DT_OK;
    for (int k = 0; k < 10 && status == DT_OK; k++) {
        status = source->ops->next(source, &batch, &error);
        if (status == DT_OK)
            source->ops->release(source, batch);
    }
    dt_alloc_fail_after(0);
    DT_CHECK_INT(status, DT_ERR_MEMORY);
    DT_CHECK_CONTAINS(error.message, ".jpg: out of memory");
    source->ops->destroy(source);
}

static const dt_test tests[] = {
    DT_TEST(one_and_four_threads_give_the_same_bits),
    DT_TEST(every_world_size_and_accumulation_gives_the_same_bits),
    DT_TEST(an_epoch_goes_on_where_it_was_left),
    DT_TEST(epochs_and_seeds_differ_and_repeat),
    DT_TEST(without_augmentation_every_epoch_has_the_same_pixels),
    DT_TEST(a_broken_file_is_named_counted_and_replaced),
    DT_TEST(what_stands_in_brings_its_own_label),
    DT_TEST(damage_outside_the_crop_is_found),
    DT_TEST(evaluation_takes_each_file_once_and_pads),
    DT_TEST(too_many_broken_files_are_an_error_that_tells_all),
    DT_TEST(a_folder_of_nothing_but_broken_files_ends_the_training),
    DT_TEST(a_file_that_cannot_be_read_is_broken_for_that_time_only),
    DT_TEST(a_file_that_is_gone_is_named_once_and_counted_each_time),
    DT_TEST(validation_of_other_classes_is_refused),
    DT_TEST(starting_again_at_any_time_begins_anew),
    DT_TEST(holding_every_batch_is_an_error_and_no_hang),
    DT_TEST(the_image_size_can_change_between_epochs),
    DT_TEST(options_out_of_range_are_named),
    DT_TEST(what_there_is_is_told),
    DT_TEST(batches_come_from_the_devices_host_memory),
    DT_TEST(failed_allocations_are_reported_and_leak_nothing),
    DT_TEST(memory_that_runs_out_in_a_thread_reaches_next),
};
DT_TEST_MAIN("io/loader", tests)
