/* The lines at the start of a training, of figures that the test chooses. */
#include "launch/commands/run_log.h"

#include "core/base/alloc.h"
#include "layers/registry.h"
#include "layers/resnet.h"
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_source.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_backend backend;
static bool is_host = true;

static void get_info(dt_device *d, dt_device_info *info)
{
    (void)d;
    *info = (dt_device_info){.is_host = is_host};
}

static const dt_device_ops device_ops = {.name = "fake", .info = get_info};
static dt_device device = {&device_ops};
static dt_net *net;
static dt_options options;
static dt_error err;

/* Two ranks, of which this is the first. */
static dt_comm comm = {.rank = 0, .size = 2};
static const dt_memory_estimate memory = {.activation_bytes = INT64_C(700) << 20,
                                          .parameter_bytes = INT64_C(90) << 20,
                                          .backend_bytes = INT64_C(5) << 20,
                                          .input_bytes = INT64_C(11) << 20,
                                          .snapshot_bytes = INT64_C(218) << 20,
                                          .reserve_bytes = INT64_C(512) << 20,
                                          .total_bytes = INT64_C(1536) << 20,
                                          .free_bytes = INT64_C(10) << 30};

void dt_test_set_up(void)
{
    const dt_net_options o = {.batch = 1, .image_size = 224, .training = true, .plan_only = true};
    dt_net_spec spec;
    snprintf(comm.detail, sizeof comm.detail, "two ranks");
    if (dt_backend_create("ref", &(dt_backend_options){.n_threads = 1}, &backend, &err) != DT_OK ||
        dt_resnet_spec("resnet50", 1000, &spec, &err) != DT_OK ||
        dt_net_create(&spec, dt_layer_registry(), backend.kernels, &o, &net, &err) != DT_OK)
        exit(99);
    dt_free(spec.layers);
}

void dt_test_tear_down(void)
{
    dt_net_destroy(net);
    dt_backend_destroy(&backend);
}

static const char *logged(int64_t n_train, int64_t n_val, int64_t n_classes)
{
    dt_source *train = fake_source_create(&(fake_source_options){.n_samples = n_train,
                                                                 .n_classes = n_classes,
                                                                 .image_size = 8,
                                                                 .batch = 1,
                                                                 .accumulate = 1,
                                                                 .size = 1}),
              *val = n_val ? fake_source_create(&(fake_source_options){.n_samples = n_val,
                                                                       .n_classes = n_classes,
                                                                       .image_size = 8,
                                                                       .batch = 1,
                                                                       .accumulate = 1,
                                                                       .size = 1,
                                                                       .evaluation = true})
                           : NULL;
    const dt_session session = {.comm = &comm, .device = &device};
    captured_log_begin(DT_LOG_INFO);
    dt_run_log_start(&(dt_run_log){
        .options = &options, .session = &session, .net = net, .train = train, .val = val, .memory = &memory});
    captured_log_end();
    train->ops->destroy(train);
    if (val)
        val->ops->destroy(val);
    return captured_log_text();
}

static void reset_options(void)
{
    dt_options_set_defaults(&options, DT_COMMAND_TRAIN);
    strcpy(options.config.data, "pictures");
    strcpy(options.arch, "resnet50");
    strcpy(options.out, "runs/a");
    options.config.batch = 24;
    options.config.accumulate = 4;
}

/* ResNet-50 has 25,557,032 parameters and 4.09 GMAC at 224 pixels (torchvision). Memory: 1,536 MiB less the
 * reserve of 512. The global batch is 24 x 4 x 2 ranks = 192; 0.1 x 192 / 256 = 0.075. */
static void each_figure_is_in_its_line(void)
{
    reset_options();
    DT_CHECK_STR(
        logged(1000, 50, 7),
        "resnet50: 25.56 million parameters, 4.09 GMAC an image at 224 pixels\n"
        "memory of each rank, at its peak: 1.00 GiB of 10.00 free: 700 MiB for activations, 90 for "
        "parameters, 5 for the backend, 11 for images, 218 for the snapshot of a checkpoint\n"
        "pictures: 1000 images to train on, 50 to evaluate on, 7 classes; global batch 192\n"
        "--lr is at its default, 0.1, for a global batch of 256; in proportion, one of 192 has --lr 0.075\n"
        "communication: two ranks\n"
        "writing to runs/a\n");
}

static void a_rate_is_proposed_only_where_the_default_is_for_another_batch(void)
{
    reset_options();
    options.config.batch = 32; /* 256 in all */
    DT_CHECK(!strstr(logged(1000, 50, 7), "--lr"));
    reset_options();
    options.origin[dt_options_find("lr", DT_COMMAND_TRAIN)] = DT_ORIGIN_COMMAND_LINE;
    DT_CHECK(!strstr(logged(1000, 50, 7), "--lr"));
    reset_options();
    strcpy(options.config.optimizer, "lars");
    DT_CHECK(!strstr(logged(1000, 50, 7), "--lr"));
    reset_options();
    options.profile_steps = 3;
    DT_CHECK(!strstr(logged(1000, 50, 7), "--lr"));
    DT_CHECK_CONTAINS(captured_log_text(), "\na measurement: nothing is written\n");
}

static void one_image_and_one_class_are_counted_in_good_english(void)
{
    reset_options();
    DT_CHECK_CONTAINS(logged(1, 0, 1),
                      "\npictures: 1 image to train on, 0 to evaluate on, 1 class; global batch 192\n");
}

static const char *advised(dt_dtype precision, int64_t batch, int64_t n_classes)
{
    reset_options();
    options.config.precision = precision;
    options.config.batch = batch;
    return logged(1000, 50, n_classes);
}

static void sizes_that_tensor_cores_dislike_are_named_on_a_gpu(void)
{
    static const char odd[] = "--batch 100 is no multiple of 8, in which tensor cores compute: 96 or 104 may",
                      small[] = "--batch 7: tensor cores compute in multiples of 8",
                      classes[] = "the number of classes, 1001, is no multiple of 8: ";
    is_host = false;
    DT_CHECK_CONTAINS(advised(DT_F16, 100, 1000), odd);
    DT_CHECK_CONTAINS(advised(DT_TF32, 7, 1000), small);
    DT_CHECK_CONTAINS(advised(DT_BF16, 8, 1001), classes);
    const char *none = advised(DT_F16, 8, 1000);
    DT_CHECK_MSG(!strstr(none, "multiple of 8"), "%s", none);
    none = advised(DT_F16, 8, 255); /* too few to matter */
    DT_CHECK_MSG(!strstr(none, "multiple of 8"), "%s", none);
    none = advised(DT_F32, 7, 1001);
    DT_CHECK_MSG(!strstr(none, "multiple"), "%s", none);
    is_host = true;
    none = advised(DT_F16, 7, 1001);
    DT_CHECK_MSG(!strstr(none, "multiple"), "%s", none);
}

static const dt_test tests[] = {
    DT_TEST(sizes_that_tensor_cores_dislike_are_named_on_a_gpu),
    DT_TEST(each_figure_is_in_its_line),
    DT_TEST(a_rate_is_proposed_only_where_the_default_is_for_another_batch),
    DT_TEST(one_image_and_one_class_are_counted_in_good_english),
};
DT_TEST_MAIN("launch/commands/run_log", tests)
