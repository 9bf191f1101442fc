/* The loader: the same bits for any number of threads and ranks, its options, and starting and stopping at
 * any time. */
#include "io/source/loader.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/fault.h"
#include "tests/fakes/captured_log.h"
#include "tests/io/source/loader_kit.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static dt_error error;
static loader_kit_epoch first, second;

static void one_and_four_threads_give_the_same_bits(void)
{
    loader_kit_make_split("train");
    loader_kit_break_sample("train", 7);
    dt_loader_options options = loader_kit_options();
    for (int64_t batch = 1; batch <= 20; batch += 19) {
        memset(&first, 0, sizeof first);
        memset(&second, 0, sizeof second);
        options.batch = batch;
        options.workers = 1;
        loader_kit_run(&options, 2, 0, &first);
        options.workers = 4;
        loader_kit_run(&options, 2, 0, &second);
        DT_CHECK_INT(first.n, KIT_SAMPLES);
        loader_kit_check_same(&first, &second, 0, KIT_SAMPLES);
    }
}

static void every_world_size_and_accumulation_gives_the_same_bits(void)
{
    static const int64_t shapes[][3] = {{2, 1, 4}, {4, 1, 2}, {1, 5, 2}, {2, 2, 5}};
    loader_kit_make_split("train");
    loader_kit_break_sample("train", 7);
    loader_kit_break_sample("train", 30);
    dt_loader_options options = loader_kit_options();
    memset(&first, 0, sizeof first);
    loader_kit_run(&options, 1, 0, &first);
    DT_CHECK_INT(first.n_broken, 2);
    DT_CHECK_INT(first.n_decoded, KIT_SAMPLES);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        memset(&second, 0, sizeof second);
        options.world = (int)shapes[s][0];
        options.accumulate = shapes[s][1];
        options.batch = shapes[s][2];
        for (options.rank = 0; options.rank < options.world; options.rank++)
            loader_kit_run(&options, 1, 0, &second);
        loader_kit_check_same(&first, &second, 0, KIT_SAMPLES);
        DT_CHECK_INT(second.n_broken, 2);
    }
}

static void an_epoch_resumes_at_any_position(void)
{
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
    loader_kit_run(&options, 0, 0, &first);
    loader_kit_run(&options, 0, 12, &second);
    loader_kit_check_same(&first, &second, 12, KIT_SAMPLES);
}

static void epochs_and_seeds_change_crops_and_order(void)
{
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
    options.shuffle = false;
    loader_kit_run(&options, 0, 0, &first);
    loader_kit_run(&options, 1, 0, &second);
    for (int i = 0; i < KIT_SAMPLES; i++) {
        DT_CHECK_INT(first.ids[i], i);
        DT_CHECK_INT(first.labels[i], i / KIT_PER_CLASS);
    }
    DT_CHECK_BYTES(first.ids, second.ids, KIT_SAMPLES * sizeof(int64_t));
    DT_CHECK(memcmp(first.pixels, second.pixels, (size_t)KIT_SAMPLES * KIT_SLOT_BYTES) != 0);
    options.seed++;
    loader_kit_run(&options, 0, 0, &second);
    DT_CHECK(memcmp(first.pixels, second.pixels, (size_t)KIT_SAMPLES * KIT_SLOT_BYTES) != 0);
    options.shuffle = true;
    loader_kit_run(&options, 0, 0, &second);
    DT_CHECK(memcmp(first.ids, second.ids, KIT_SAMPLES * sizeof(int64_t)) != 0);
}

static void without_augmentation_every_epoch_has_the_same_pixels(void)
{
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
    options.augment = DT_AUGMENT_NONE;
    options.shuffle = false;
    loader_kit_run(&options, 0, 0, &first);
    loader_kit_run(&options, 5, 0, &second);
    loader_kit_check_same(&first, &second, 0, KIT_SAMPLES);
}

static void evaluation_reads_each_file_once_and_pads(void)
{
    loader_kit_make_split("train");
    loader_kit_make_split("val");
    loader_kit_break_sample("val", 11);
    dt_loader_options options = loader_kit_options();
    options.training = false;
    options.batch = 6;
    options.world = 2;
    options.max_broken = 0.05;
    captured_log_begin(DT_LOG_DEBUG);
    memset(&first, 0, sizeof first);
    for (options.rank = 0; options.rank < 2; options.rank++)
        loader_kit_run(&options, 0, 0, &first);
    captured_log_end();
    static const uint8_t black[KIT_SLOT_BYTES];
    DT_CHECK_INT(first.n, 48);
    for (int i = 0; i < 48; i++) {
        bool counts = i < KIT_SAMPLES && i != 11;
        DT_CHECK_INT(first.ids[i], i < KIT_SAMPLES ? i : -1);
        DT_CHECK_INT(first.labels[i], counts ? i / KIT_PER_CLASS : -1);
        DT_CHECK((memcmp(first.pixels[i], black, KIT_SLOT_BYTES) == 0) == !counts);
    }
    DT_CHECK_INT(first.n_broken, 1);
    DT_CHECK_INT(first.n_decoded, KIT_SAMPLES - 1);
    DT_CHECK_CONTAINS(captured_log_text(), "left out of the evaluation");
}

static void validation_with_other_classes_is_refused(void)
{
    loader_kit_make_split("train");
    loader_kit_make_split("val");
    DT_REQUIRE(rename(dt_test_path("%s/val/c2", dt_test_temp_dir()),
                      dt_test_path("%s/val/other", dt_test_temp_dir())) == 0);
    dt_loader_options options = loader_kit_options();
    dt_source *source = NULL;
    options.training = false;
    DT_CHECK_INT(dt_loader_create(&options, &source, &error), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(error.message, "class 'c2' is in ");
}

static void start_can_be_called_again_at_any_time(void)
{
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
    loader_kit_run(&options, 4, 0, &first);
    options.workers = 3;
    dt_source *source = loader_kit_open(&options);
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
        DT_CHECK_BYTES(batch->pixels, first.pixels[8 + 4 * k], 4 * KIT_SLOT_BYTES);
        source->ops->release(source, batch);
    }
    dt_batch *batch = NULL;
    DT_CHECK_INT(source->ops->next(source, &batch, &error), DT_ERR_INTERNAL);
    source->ops->destroy(source);
    for (int round = 0; round < 20; round++) { /* destroyed while slots are being filled */
        source = loader_kit_open(&options);
        DT_REQUIRE(source->ops->start(source, round, 0, 10, &error) == DT_OK);
        source->ops->destroy(source);
    }
}

static void holding_every_batch_is_an_error_not_a_hang(void)
{
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
    dt_source *source = loader_kit_open(&options);
    dt_batch *batch = NULL;
    dt_status status = source->ops->start(source, 0, 0, 10, &error);
    int n = 0;
    while (status == DT_OK && n++ < 10)
        status = source->ops->next(source, &batch, &error);
    DT_CHECK_INT(status, DT_ERR_INTERNAL);
    DT_CHECK_INT(n, 6); /* 4 batches, and 1 more for 2 threads that fill batches of 4 */
    DT_CHECK_STR(error.message, "loader: all 5 batches are held and none was released");
    source->ops->destroy(source);
}

static void the_image_size_can_change_between_epochs(void)
{
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
    loader_kit_run(&options, 0, 0, &first);
    options.image_size = 8;
    dt_source *source = loader_kit_open(&options);
    static const int64_t sizes[] = {8, 24, KIT_SIZE};
    for (int i = 0; i < 3; i++) {
        dt_batch *batch = NULL;
        dt_source_info info;
        DT_REQUIRE(source->ops->set_image_size(source, sizes[i], &error) == DT_OK);
        source->ops->info(source, &info);
        DT_CHECK_INT(info.image_size, sizes[i]);
        DT_REQUIRE(source->ops->start(source, 0, 0, 10, &error) == DT_OK);
        DT_REQUIRE(source->ops->next(source, &batch, &error) == DT_OK);
        DT_CHECK_INT(batch->size, sizes[i]);
        if (sizes[i] == KIT_SIZE)
            DT_CHECK_BYTES(batch->pixels, first.pixels[0], 4 * KIT_SLOT_BYTES);
    }
    DT_CHECK_INT(source->ops->set_image_size(source, 0, &error), DT_ERR_USAGE);
    dt_alloc_fail_after(1); /* what fits into the memory of 24 x 24 pixels needs no other */
    DT_CHECK_INT(source->ops->set_image_size(source, 24, &error), DT_OK);
    DT_CHECK_INT(source->ops->set_image_size(source, 25, &error), DT_ERR_MEMORY);
    dt_alloc_fail_after(0);
    source->ops->destroy(source);
}

/* The first file takes 0.2 s. Later waits add to that; the next epoch begins with 0. */
static void the_time_of_all_waits_is_reported(void)
{
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
    options.workers = 1;
    dt_source *source = loader_kit_open(&options);
    dt_source_stats stats;
    double before = 0;
    DT_REQUIRE(dt_fault_arm("loader.read:1:sleep=0.2", 0, &error) == DT_OK);
    DT_REQUIRE(source->ops->start(source, 0, 0, 10, &error) == DT_OK);
    for (int k = 0; k < 10; k++) {
        dt_batch *batch = NULL;
        DT_REQUIRE(source->ops->next(source, &batch, &error) == DT_OK);
        source->ops->release(source, batch);
        source->ops->stats(source, &stats);
        DT_CHECK(stats.wait_s >= before);
        before = stats.wait_s;
    }
    DT_CHECK(before > 0.0);
    DT_REQUIRE(dt_fault_arm("", 0, &error) == DT_OK);
    DT_REQUIRE(source->ops->start(source, 1, 0, 10, &error) == DT_OK);
    source->ops->stats(source, &stats);
    DT_CHECK(stats.wait_s == 0.0 && stats.n_decoded == 0 && stats.n_broken == 0);
    source->ops->destroy(source);
}

static void options_out_of_range_are_named(void)
{
    loader_kit_make_split("train");
    const dt_loader_options good = loader_kit_options();
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
    DT_CHECK_CONTAINS(error.message, "/val; expected:");
    DT_REQUIRE(symlink("/no/such/place", dt_test_path("%s/val", good.root)) == 0);
    DT_CHECK(dt_loader_has_validation(good.root)); /* a disk that is not mounted is no wish to leave it out */
    DT_CHECK_INT(dt_loader_create(&no_val, &source, &error), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(error.message, "/val; expected:");
    DT_CHECK_INT(unlink(dt_test_path("%s/val", good.root)), 0);
}

static void info_and_names_are_reported(void)
{
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
    dt_source *source = loader_kit_open(&options);
    dt_source_info info;
    source->ops->info(source, &info);
    DT_CHECK_INT(info.n_samples, KIT_SAMPLES);
    DT_CHECK_INT(info.n_classes, KIT_CLASSES);
    DT_CHECK(info.fingerprint != 0);
    DT_CHECK_STR(source->ops->class_name(source, 2), "c2");
    DT_CHECK_STR(source->ops->class_name(source, KIT_CLASSES), NULL);
    DT_CHECK_STR(source->ops->sample_name(source, 12), loader_kit_sample_path("train", 12));
    DT_CHECK_INT(source->ops->start(source, 0, 8, 9, &error), DT_ERR_INTERNAL); /* 8 + 36 > 40 */
    source->ops->destroy(source);
}

/* A device that counts the blocks of its host memory. */
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
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
    options.device = &device;
    loader_kit_run(&options, 0, 0, &first);
    DT_CHECK_INT(n_host_blocks, 0);
    dt_source *source = loader_kit_open(&options);
    DT_CHECK(n_host_blocks >= 4);
    source->ops->destroy(source);
    DT_CHECK_INT(n_host_blocks, 0);
}

static const dt_test tests[] = {
    DT_TEST(one_and_four_threads_give_the_same_bits),
    DT_TEST(every_world_size_and_accumulation_gives_the_same_bits),
    DT_TEST(an_epoch_resumes_at_any_position),
    DT_TEST(epochs_and_seeds_change_crops_and_order),
    DT_TEST(without_augmentation_every_epoch_has_the_same_pixels),
    DT_TEST(evaluation_reads_each_file_once_and_pads),
    DT_TEST(validation_with_other_classes_is_refused),
    DT_TEST(start_can_be_called_again_at_any_time),
    DT_TEST(holding_every_batch_is_an_error_not_a_hang),
    DT_TEST(the_image_size_can_change_between_epochs),
    DT_TEST(the_time_of_all_waits_is_reported),
    DT_TEST(options_out_of_range_are_named),
    DT_TEST(info_and_names_are_reported),
    DT_TEST(batches_come_from_the_devices_host_memory),
};
DT_TEST_MAIN("io/source/loader", tests)
