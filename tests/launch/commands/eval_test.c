/* dtrain eval on weights whose outputs are known: with fc.weight at 0 each image has those of fc.bias. */
#include "config.h"

#include "core/base/alloc.h"
#include "launch/checkpoints/weights.h"
#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "layers/registry.h"
#include "layers/resnet.h"
#include "tests/launch/commands/commands_kit.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef DT_WITH_CPU
#    define BACKEND "cpu"
#else
#    define BACKEND "ref"
#endif

enum { N_CLASSES = 7 };

/* 14 images. The outputs fall from the first class to the last one: the first is right in top-1, the first
 * five in top-5. */
static const int n_images[N_CLASSES] = {4, 1, 2, 1, 3, 2, 1};
static const float outputs[N_CLASSES] = {3.0f, 2.0f, 1.0f, 0.0f, -1.0f, -2.0f, -3.0f};
#define TOP1 (4.0 / 14.0)
#define TOP5 (11.0 / 14.0)

static double expected_loss(void)
{
    double sum = 0.0, loss = 0.0;
    for (int c = 0; c < N_CLASSES; c++)
        sum += exp((double)outputs[c]);
    for (int c = 0; c < N_CLASSES; c++)
        loss += n_images[c] * (log(sum) - (double)outputs[c]);
    return loss / 14.0;
}

static const char *data(void)
{
    return dt_test_path("%s/data", dt_test_temp_dir());
}

static const char *weights(void)
{
    return dt_test_path("%s/w.safetensors", dt_test_temp_dir());
}

/* A ResNet-18 of n classes with random weights, but for its classifier. config: how the training
 * evaluated. */
static void write_weights_with(int n, const char *config)
{
    dt_device *device = NULL;
    dt_kernels *kernels = NULL;
    dt_net_spec spec;
    dt_net *net = NULL;
    dt_error err = {0};
    DT_REQUIRE(dt_device_host_create(1, &device, &err) == DT_OK &&
               dt_kernels_ref_create(device, DT_F32, &kernels, &err) == DT_OK &&
               dt_resnet_spec("resnet18", n, &spec, &err) == DT_OK);
    const dt_net_options options = {.batch = 1, .image_size = 32};
    DT_REQUIRE_MSG(dt_net_create(&spec, dt_layer_registry(), kernels, &options, &net, &err) == DT_OK &&
                       dt_net_init(net, 1, false, &err) == DT_OK,
                   "%s", err.message);
    const dt_state_layout *layout = dt_net_state_layout(net);
    const dt_state_io io = dt_net_state_io(net);
    for (int64_t i = 0; i < layout->n_tensors; i++) {
        const dt_state_tensor *t = &layout->tensors[i];
        float *values = calloc((size_t)t->n_elems, sizeof *values);
        DT_REQUIRE(values != NULL);
        const bool is_bias = strcmp(t->name, "param/fc.bias") == 0;
        if (is_bias)
            memcpy(values, outputs, (size_t)n * sizeof *values);
        if (is_bias || strcmp(t->name, "param/fc.weight") == 0)
            DT_REQUIRE(io.set(io.context, i, values, &err) == DT_OK);
        free(values);
    }
    const dt_weights_export_options o = {.arch = "resnet18", .config_text = config, .n_batches = 1};
    DT_REQUIRE_MSG(dt_weights_export(layout, &io, weights(), &o, &err) == DT_OK, "%s", err.message);
    dt_net_destroy(net);
    dt_free(spec.layers);
    kernels->ops->destroy(kernels);
    device->ops->destroy(device);
}

static void write_weights(int n)
{
    write_weights_with(n, "image-size = 16;\neval-crop = 1.0;\n");
}

static void write_data(void)
{
    for (int c = 0; c < N_CLASSES; c++)
        commands_kit_images(data(), "val", dt_test_path("%d", c), n_images[c], 16);
}

static commands_kit_result evaluate(const char *batch)
{
    return commands_kit_run(dt_command_eval, "eval", "--backend", BACKEND, "--threads", "1", "--workers", "1",
                            "--data", data(), "--weights", weights(), "--batch", batch, NULL);
}

/* Six digits of the loss; the last may be another one, since the arithmetic is float32's. */
static void check_result(const commands_kit_result *r, double loss, double top1, double top5, int n)
{
    double found = NAN;
    char rest[256] = "", expected[128];
    DT_CHECK_INT(r->code, 0);
    DT_REQUIRE_MSG(r->out && sscanf(r->out, "val_loss %lf%255[^\n]", &found, rest) == 2, "%s", r->out);
    DT_CHECK_CLOSE(found, loss, 2e-6);
    snprintf(expected, sizeof expected, "  top-1 %.4f  top-5 %.4f  n %d", top1, top5, n);
    DT_CHECK_STR(rest, expected);
}

static void loss_top_1_and_top_5_are_those_of_the_outputs(void)
{
    static const char *const batches[] = {"5", "16"}; /* whole batches and a rest; more than there are */
    write_weights(N_CLASSES);
    write_data();
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        commands_kit_result r = evaluate(batches[i]);
        check_result(&r, expected_loss(), TOP1, TOP5, 14);
        DT_CHECK_CONTAINS(r.err, dt_test_path("resnet18 at 16 px on %s/val, 1 rank: ", data()));
        DT_CHECK(!strstr(r.err, "broken") && !strstr(r.err, "one class only"));
        commands_kit_clear(&r);
    }
}

/* The loss, both accuracies and n are over the images that can be read. */
static void broken_files_are_left_out_of_every_figure(void)
{
    write_weights(N_CLASSES);
    write_data();
    dt_test_write_file(dt_test_path("%s/val/0/x.jpg", data()), "\xff\xd8 no image", 11);
    dt_test_write_file(dt_test_path("%s/val/6/x.jpg", data()), "", 0);
    commands_kit_result r =
        commands_kit_run(dt_command_eval, "eval", "--backend", BACKEND, "--data", data(), "--weights",
                         weights(), "--batch", "4", "--max-broken", "0.125", NULL);
    check_result(&r, expected_loss(), TOP1, TOP5, 14);
    DT_CHECK_CONTAINS(r.err, dt_test_path("2 of the 16 files in %s/val are broken and left out", data()));
    commands_kit_clear(&r);
    r = commands_kit_run(dt_command_eval, "eval", "--backend", BACKEND, "--data", data(), "--weights",
                         weights(), "--batch", "4", "--max-broken", "0.124", NULL);
    DT_CHECK_INT(r.code, 1);
    DT_CHECK_STR(r.out, "");
    commands_kit_clear(&r);
}

/* Without the limit the net would compute 65,536 images of 512 pixels each for 14. */
static void a_batch_of_more_than_all_images_is_limited(void)
{
    write_weights(N_CLASSES);
    write_data();
    commands_kit_result r = evaluate("65536");
    check_result(&r, expected_loss(), TOP1, TOP5, 14);
    DT_CHECK_CONTAINS(r.err,
                      "--batch 65536 is more than there is: each rank evaluates its 14 images in one batch");
    commands_kit_clear(&r);
    r = evaluate("256"); /* up to here it is left alone */
    DT_CHECK_INT(r.code, 0);
    DT_CHECK(!strstr(r.err, "more than there is"));
    commands_kit_clear(&r);
}

static void data_of_one_class_are_a_warning(void)
{
    write_weights(1);
    commands_kit_images(data(), "val", "only", 2, 16);
    commands_kit_result r = evaluate("2");
    check_result(&r, 0.0, 1.0, 1.0, 2);
    DT_CHECK_CONTAINS(r.err,
                      dt_test_path("%s/val has one class only, 'only': there is nothing to distinguish, and "
                                   "every accuracy is 100%%",
                                   data()));
    commands_kit_clear(&r);
}

/* The size that the user gives may be as large as the training's --eval-resize, and no larger. */
static void a_size_beyond_the_trainings_resize_is_refused(void)
{
    static const struct {
        const char *size, *resize;
        int code;
    } cases[] = {{"24", NULL, 0}, {"25", NULL, 2}, {"25", "25", 0}};
    write_weights_with(1, "image-size = 16;\neval-crop = 1.0;\neval-resize = 24;\n");
    commands_kit_images(data(), "val", "only", 2, 16);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        commands_kit_result r =
            commands_kit_run(dt_command_eval, "eval", "--backend", BACKEND, "--threads", "1", "--workers",
                             "1", "--data", data(), "--weights", weights(), "--batch", "2", "--image-size",
                             cases[i].size, cases[i].resize ? "--eval-resize" : NULL, cases[i].resize, NULL);
        DT_CHECK_INT(r.code, cases[i].code);
        if (cases[i].code)
            DT_CHECK_CONTAINS(r.err, "--image-size: 25 pixels are more than the training's --eval-resize, "
                                     "24: give --eval-resize too");
        else
            DT_CHECK_CONTAINS(r.err, dt_test_path("resnet18 at %s px on ", cases[i].size));
        commands_kit_clear(&r);
    }
}

static const dt_test tests[] = {
    DT_TEST(a_size_beyond_the_trainings_resize_is_refused),
    DT_TEST(loss_top_1_and_top_5_are_those_of_the_outputs),
    DT_TEST(broken_files_are_left_out_of_every_figure),
    DT_TEST(a_batch_of_more_than_all_images_is_limited),
    DT_TEST(data_of_one_class_are_a_warning),
};
DT_TEST_MAIN("launch/commands/eval", tests)
