/* The form of input that layers/conv.c announces to the backend: plain, lazy, or the residual join that made
 * it. Nets that the ResNets do not have; they are planned and not run. */
#include "core/base/alloc.h"
#include "core/model/net.h"
#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "layers/registry.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_device *device;
static dt_kernels *ref;
static dt_kernels_ops real, recording;
static dt_conv_input forms[16]; /* of each convolution, in the order of the net */
static int n_convs;
static dt_error err;

static dt_status record(dt_kernels *k, const dt_conv_desc *desc, dt_conv **conv, dt_error *e)
{
    DT_REQUIRE(n_convs < 16);
    forms[n_convs++] = desc->input;
    return real.conv_create(k, desc, conv, e);
}

void dt_test_set_up(void)
{
    if (dt_device_host_create(1, &device, &err) != DT_OK ||
        dt_kernels_ref_create(device, DT_F32, &ref, &err) != DT_OK)
        exit(1);
    real = recording = *ref->ops;
    recording.conv_create = record;
    ref->ops = &recording;
}

void dt_test_tear_down(void)
{
    ref->ops = &real;
    ref->ops->destroy(ref);
    device->ops->destroy(device);
}

/* -- nets ------------------------------------------------------------------------------------------------ */

static dt_layer_spec layers[20];
static int n_layers;

/* Append a layer that reads these values; return its value. */
static int append(const char *kind, int input, int second, bool relu)
{
    dt_layer_spec *l = &layers[n_layers++];
    *l = (dt_layer_spec){.kind = kind,
                         .n_inputs = second >= 0 ? 2 : 1,
                         .inputs = {input, second >= 0 ? second : 0},
                         .channels = 16,
                         .kernel = 1,
                         .stride = 1,
                         .relu = relu};
    snprintf(l->name, sizeof l->name, "%d", n_layers);
    return n_layers;
}

static int conv(int input)
{
    return append("conv", input, -1, false);
}

static int conv_bn(int input, bool relu)
{
    return append("batchnorm", conv(input), -1, relu);
}

/* Plan the net, which ends with the mean of `last`. */
static void plan(int last)
{
    const int end = append("average_pool", last, -1, false);
    append("softmax_loss", append("linear", end, -1, false), -1, false);
    const dt_net_spec spec = {.n_classes = 16, .n_layers = n_layers, .layers = layers};
    const dt_net_options options = {.batch = 2, .image_size = 8, .training = true, .plan_only = true};
    dt_net *net = NULL;
    n_convs = 0;
    DT_REQUIRE_MSG(dt_net_create(&spec, dt_layer_registry(), ref, &options, &net, &err) == DT_OK, "%s",
                   err.message);
    dt_net_destroy(net);
}

/* What differs from a block of a ResNet. */
typedef struct block {
    bool projects;                     /* the shortcut is a convolution with a BatchNorm */
    bool branch_relu, skip_relu;       /* its BatchNorm has a ReLU */
    bool branch_is_read, skip_is_read; /* by another convolution, before the join */
    bool has_one_reader;
} block;

/* Plan a net with one such join. Return the form of its first reader; *second is that of the next. */
static dt_conv_input first_reader(const block *b, dt_conv_input *second)
{
    n_layers = 0;
    const int x = append("max_pool", conv_bn(0, true), -1, false), branch = conv_bn(x, b->branch_relu),
              skip = b->projects ? conv_bn(x, b->skip_relu) : x;
    if (b->branch_is_read)
        (void)conv(branch);
    if (b->skip_is_read)
        (void)conv(skip);
    const int y = append("add", branch, skip, false),
              n_before = 2 + b->projects + b->branch_is_read + b->skip_is_read;
    if (b->has_one_reader) {
        plan(conv(y));
    } else {
        const int left = conv_bn(y, false), right = conv_bn(y, false);
        plan(append("add", left, right, false));
    }
    *second = b->has_one_reader ? DT_CONV_INPUT_PLAIN : forms[n_before + 1];
    return forms[n_before];
}

static void only_the_first_reader_of_a_join_may_compute_it(void)
{
    static const struct {
        block b;
        dt_conv_input form;
    } rows[] = {{{.projects = false}, DT_CONV_INPUT_JOIN},
                {{.projects = true}, DT_CONV_INPUT_JOIN_LAZY},
                {{.branch_relu = true}, DT_CONV_INPUT_PLAIN},
                {{.projects = true, .skip_relu = true}, DT_CONV_INPUT_PLAIN},
                {{.branch_is_read = true}, DT_CONV_INPUT_PLAIN},
                {{.skip_is_read = true}, DT_CONV_INPUT_JOIN},
                {{.projects = true, .skip_is_read = true}, DT_CONV_INPUT_PLAIN},
                {{.has_one_reader = true}, DT_CONV_INPUT_PLAIN}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        dt_conv_input second;
        const dt_conv_input form = first_reader(&rows[i].b, &second);
        DT_CHECK_MSG(form == rows[i].form, "row %zu: form %d", i, (int)form);
        DT_CHECK_MSG(second == DT_CONV_INPUT_PLAIN, "row %zu: the second reader has form %d", i, (int)second);
    }
}

static void what_reads_a_batchnorm_is_lazy_and_what_reads_the_image_is_plain(void)
{
    n_layers = 0;
    plan(conv(conv_bn(0, true)));
    DT_CHECK_INT(n_convs, 2);
    DT_CHECK_INT(forms[0], DT_CONV_INPUT_PLAIN);
    DT_CHECK_INT(forms[1], DT_CONV_INPUT_LAZY);
}

static const dt_test tests[] = {
    DT_TEST(only_the_first_reader_of_a_join_may_compute_it),
    DT_TEST(what_reads_a_batchnorm_is_lazy_and_what_reads_the_image_is_plain),
};
DT_TEST_MAIN("layers/conv_input", tests)
