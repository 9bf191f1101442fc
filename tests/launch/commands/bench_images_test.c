/* The photographs that `dtrain bench` writes where --data names none. */
#include "launch/commands/bench_images.h"

#include "io/source/loader.h"
#include "tests/fakes/captured_log.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static dt_error err;

static void sizes_are_those_of_imagenet_in_proportion(void)
{
    int64_t width, height;
    dt_bench_images_size(224, &width, &height);
    DT_CHECK_INT(width, 500);
    DT_CHECK_INT(height, 375);
    dt_bench_images_size(32, &width, &height);
    DT_CHECK_INT(width, 71);
    DT_CHECK_INT(height, 53);
}

static int64_t bytes_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

/* ImageNet's training images have 110 KB on average. */
static void a_photograph_for_224_pixels_has_about_110_kb(void)
{
    const char *folder = dt_test_path("%s/photographs", dt_test_temp_dir());
    int64_t bytes = 0;
    enum { N = 16 };
    DT_REQUIRE_MSG(dt_bench_images_write(folder, 224, DT_BENCH_IMAGES, &err) == DT_OK, "%s", err.message);
    for (int i = 0; i < N; i++)
        bytes += bytes_of(dt_test_path("%s/photographs/train/%d/%d.jpg", dt_test_temp_dir(), i % 2, i));
    DT_CHECK_MSG(bytes / N > 90000 && bytes / N < 130000, "%lld bytes", (long long)(bytes / N));
}

static void open_split(const char *folder, bool training, int64_t n)
{
    const dt_loader_options options = {.root = folder,
                                       .training = training,
                                       .image_size = 32,
                                       .batch = 50,
                                       .accumulate = 1,
                                       .world = 1,
                                       .workers = 1,
                                       .crop_scale_min = 0.08,
                                       .crop_scale_max = 1,
                                       .flip = 0.5,
                                       .eval_crop = 0.875,
                                       .seed = 1,
                                       .shuffle = true};
    dt_source *source = NULL;
    dt_source_info info = {0};
    dt_source_stats stats = {0};
    const int64_t n_batches = n / options.batch;
    DT_REQUIRE_MSG(dt_loader_create(&options, &source, &err) == DT_OK, "%s", err.message);
    source->ops->info(source, &info);
    DT_CHECK_INT(info.n_samples, n);
    DT_CHECK_INT(info.n_classes, DT_BENCH_CLASSES);
    DT_REQUIRE(source->ops->start(source, 0, 0, n_batches, &err) == DT_OK);
    for (int64_t i = 0; i < n_batches; i++) {
        dt_batch *batch = NULL;
        DT_REQUIRE_MSG(source->ops->next(source, &batch, &err) == DT_OK, "%s", err.message);
        source->ops->release(source, batch);
    }
    source->ops->stats(source, &stats);
    DT_CHECK_INT(stats.n_broken, 0);
    source->ops->destroy(source);
}

static void a_loader_opens_them_without_a_warning(void)
{
    const char *folder = dt_test_path("%s/small", dt_test_temp_dir());
    captured_log_begin(DT_LOG_WARN);
    DT_REQUIRE_MSG(dt_bench_images_write(folder, 32, 150, &err) == DT_OK, "%s", err.message);
    open_split(folder, true, 150);
    open_split(folder, false, 150);
    DT_CHECK_STR(captured_log_text(), "");
    captured_log_end();
}

static void a_folder_that_exists_is_refused(void)
{
    DT_CHECK_INT(dt_bench_images_write(dt_test_temp_dir(), 32, DT_BENCH_IMAGES, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "cannot make the folder");
}

static const dt_test tests[] = {
    DT_TEST(sizes_are_those_of_imagenet_in_proportion),
    DT_TEST(a_photograph_for_224_pixels_has_about_110_kb),
    DT_TEST(a_loader_opens_them_without_a_warning),
    DT_TEST(a_folder_that_exists_is_refused),
};
DT_TEST_MAIN("launch/commands/bench_images", tests)
