/* The loader and what fails: broken files, missing files, and memory. */
#include "io/source/loader.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "tests/fakes/captured_log.h"
#include "tests/io/source/jpeg_kit.h"
#include "tests/io/source/loader_kit.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static dt_error error;
static loader_kit_epoch first, second;

static void a_broken_file_is_logged_counted_and_replaced(void)
{
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
    options.shuffle = false;
    loader_kit_run(&options, 0, 0, &first);
    loader_kit_break_sample("train", 13);
    captured_log_begin(DT_LOG_DEBUG);
    memset(&second, 0, sizeof second);
    loader_kit_run(&options, 0, 0, &second);
    captured_log_end();
    DT_CHECK_INT(second.n_broken, 1);
    DT_CHECK_INT(captured_log_lines(), 1);
    DT_CHECK_CONTAINS(captured_log_text(), loader_kit_sample_path("train", 13));
    DT_CHECK_CONTAINS(captured_log_text(), "not a JPEG: it is text");
    DT_CHECK_INT(second.ids[13], 13);
    DT_CHECK(second.labels[13] >= 0);
    loader_kit_check_same(&first, &second, 0, 13);
    loader_kit_check_same(&first, &second, 14, KIT_SAMPLES);
    DT_CHECK(memcmp(first.pixels[13], second.pixels[13], KIT_SLOT_BYTES) != 0);
}

/* Each epoch another sample replaces the broken one, with the label of its own class: here all pictures of a
 * class are equal. */
static void a_replacement_has_its_own_label(void)
{
    bool stood_in[KIT_CLASSES] = {false};
    for (int c = 0; c < KIT_CLASSES; c++) {
        mkdir(dt_test_path("%s/train", dt_test_temp_dir()), 0777);
        mkdir(dt_test_path("%s/train/c%d", dt_test_temp_dir(), c), 0777);
        for (int i = 0; i < KIT_PER_CLASS; i++) {
            jpeg_kit_recipe recipe = {
                .width = 16 + c, .height = 16, .colour = JPEG_KIT_GREY, .seed = (uint64_t)c};
            jpeg_kit_write(loader_kit_sample_path("train", c * KIT_PER_CLASS + i), &recipe);
        }
    }
    dt_loader_options options = loader_kit_options();
    options.shuffle = false;
    options.augment = DT_AUGMENT_NONE;
    loader_kit_run(&options, 0, 0, &first);
    loader_kit_break_sample("train", 0);
    for (int64_t epoch = 0; epoch < 10; epoch++) {
        loader_kit_run(&options, epoch, 0, &second);
        int32_t label = second.labels[0];
        DT_REQUIRE(label >= 0 && label < KIT_CLASSES);
        stood_in[label] = true;
        DT_CHECK_BYTES(second.pixels[0], first.pixels[label * KIT_PER_CLASS + 1], KIT_SLOT_BYTES);
    }
    DT_CHECK(stood_in[0] + stood_in[1] + stood_in[2] + stood_in[3] >= 3);
}

/* The damage is in the last rows, which hardly any crop contains. */
static void damage_outside_the_crop_is_found(void)
{
    loader_kit_make_split("train");
    jpeg_kit_recipe recipe = {.width = 100, .height = 100};
    size_t n_bytes;
    uint8_t *bytes = jpeg_kit_encode(&recipe, &n_bytes);
    dt_test_write_file(loader_kit_sample_path("train", 5), bytes, n_bytes - 40);
    free(bytes);
    dt_loader_options options = loader_kit_options();
    options.crop_scale_max = 0.1;
    memset(&first, 0, sizeof first);
    for (int64_t epoch = 0; epoch < 5; epoch++)
        loader_kit_run(&options, epoch, 0, &first);
    DT_CHECK_INT(first.n_broken, 5);
}

static void too_many_broken_files_are_an_error_with_counts_and_an_example(void)
{
    loader_kit_make_split("train");
    for (int id = 3; id < 6; id++)
        loader_kit_break_sample("train", id);
    dt_loader_options options = loader_kit_options();
    options.max_broken = 0.05; /* 2 of 40 */
    options.shuffle = false;
    dt_source *source = loader_kit_open(&options);
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
    loader_kit_run(&options, 0, 0, &first);
}

static void a_folder_of_only_broken_files_is_an_error(void)
{
    loader_kit_make_split("train");
    for (int id = 0; id < KIT_SAMPLES; id++)
        loader_kit_break_sample("train", id);
    dt_loader_options options = loader_kit_options();
    options.max_broken = 1;
    dt_source *source = loader_kit_open(&options);
    dt_batch *batch = NULL;
    DT_REQUIRE(source->ops->start(source, 0, 0, 10, &error) == DT_OK);
    DT_CHECK_INT(source->ops->next(source, &batch, &error), DT_ERR_DATA);
    DT_CHECK_CONTAINS(error.message, "64 others drawn in its place are broken too");
    source->ops->destroy(source);
}

static void a_file_that_cannot_be_read_is_tried_again_next_epoch(void)
{
    static const char *const points[][2] = {{"loader.open:5", "cannot be opened"},
                                            {"loader.read:5", "cannot be read"}};
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
    options.workers = 1;
    for (int p = 0; p < 2; p++) {
        dt_source *source = loader_kit_open(&options);
        for (int epoch = 0; epoch < 2; epoch++) {
            captured_log_begin(DT_LOG_DEBUG);
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
            DT_CHECK_INT(captured_log_lines(), epoch == 0);
            if (epoch == 0)
                DT_CHECK_CONTAINS(captured_log_text(), points[p][1]);
        }
        captured_log_end();
        DT_REQUIRE(dt_fault_arm("", 0, &error) == DT_OK);
        source->ops->destroy(source);
    }
}

static void a_missing_file_is_logged_once_and_counted_each_epoch(void)
{
    loader_kit_make_split("train");
    DT_REQUIRE(unlink(loader_kit_sample_path("train", 21)) == 0 &&
               symlink("gone", loader_kit_sample_path("train", 21)) == 0);
    dt_loader_options options = loader_kit_options();
    dt_source *source = loader_kit_open(&options);
    captured_log_begin(DT_LOG_DEBUG);
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
    DT_CHECK_INT(captured_log_lines(), 1);
    DT_CHECK_CONTAINS(captured_log_text(), "cannot be opened: No such file");
    captured_log_end();
    source->ops->destroy(source);
}

static void failed_allocations_are_reported_and_leak_nothing(void)
{
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
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

/* A thread that is out of memory makes next fail; the file does not count as broken. */
static void next_returns_out_of_memory_of_a_thread(void)
{
    loader_kit_make_split("train");
    dt_loader_options options = loader_kit_options();
    dt_source *source = loader_kit_open(&options);
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
    DT_TEST(a_broken_file_is_logged_counted_and_replaced),
    DT_TEST(a_replacement_has_its_own_label),
    DT_TEST(damage_outside_the_crop_is_found),
    DT_TEST(too_many_broken_files_are_an_error_with_counts_and_an_example),
    DT_TEST(a_folder_of_only_broken_files_is_an_error),
    DT_TEST(a_file_that_cannot_be_read_is_tried_again_next_epoch),
    DT_TEST(a_missing_file_is_logged_once_and_counted_each_epoch),
    DT_TEST(failed_allocations_are_reported_and_leak_nothing),
    DT_TEST(next_returns_out_of_memory_of_a_thread),
};
DT_TEST_MAIN("io/source/loader_broken", tests)
