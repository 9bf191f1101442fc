/* The architectures against torchvision 0.20's: number of parameters, every tensor's name and shape, and the
 * multiply-adds of every convolution, which depend on strides and padding. */
#include "core/base/alloc.h"
#include "core/model/net.h"
#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "layers/registry.h"
#include "layers/resnet.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* torchvision.models.NAME(): sum(p.numel() for p in model.parameters()), the same of running_mean and
 * running_var, the number of tensors without num_batches_tracked, and multiply-adds of convolutions and fc
 * for an image of 224 pixels (weights.meta["_ops"] has them in units of 1e9: 1.814, 3.664, 4.089, 7.801,
 * 11.514). */
static const struct {
    const char *name;
    int blocks[4];
    bool bottleneck;
    int64_t n_params, n_statistics, n_tensors, macs;
} facts[] = {
    {"resnet18", {2, 2, 2, 2}, false, 11689512, 9600, 102, 1814073344},
    {"resnet34", {3, 4, 6, 3}, false, 21797672, 17024, 182, 3663761408},
    {"resnet50", {3, 4, 6, 3}, true, 25557032, 53120, 267, 4089184256},
    {"resnet101", {3, 4, 23, 3}, true, 44549160, 105344, 522, 7801405440},
    {"resnet152", {3, 8, 36, 3}, true, 60192808, 151424, 777, 11513626624},
};
#define N_FACTS ((int)(sizeof facts / sizeof *facts))

static dt_device *device;
static dt_kernels *ref;

void dt_test_set_up(void)
{
    dt_error err = {0};
    if (dt_device_host_create(1, &device, &err) != DT_OK ||
        dt_kernels_ref_create(device, DT_F32, &ref, &err) != DT_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

void dt_test_tear_down(void)
{
    ref->ops->destroy(ref);
    device->ops->destroy(device);
}

/* Plan a net, which needs no memory for its parameters. */
static dt_net *plan_net_with(const char *name, int64_t n_classes, int64_t image_size, bool training, bool ema)
{
    dt_error err = {0};
    dt_net_spec spec;
    dt_net *net = NULL;
    const dt_net_options options = {
        .batch = 1, .image_size = image_size, .training = training, .ema = ema, .plan_only = true};
    DT_REQUIRE_MSG(dt_resnet_spec(name, n_classes, &spec, &err) == DT_OK, "%s", err.message);
    const dt_status status = dt_net_create(&spec, dt_layer_registry(), ref, &options, &net, &err);
    dt_free(spec.layers);
    DT_REQUIRE_MSG(status == DT_OK, "%s", err.message);
    return net;
}

static dt_net *plan_net(const char *name, int64_t n_classes, int64_t image_size, bool training)
{
    return plan_net_with(name, n_classes, image_size, training, false);
}

/* Compares the net's tensors and convolutions, one after the other, with what torchvision's code makes. */
typedef struct walk {
    dt_net *net;
    const char *arch;
    int64_t tensor, layer; /* the next of each */
    int64_t n_params, n_statistics, macs;
    int64_t size, channels; /* of the value that the next layer reads */
} walk;

static void expect_tensor(walk *w, const char *prefix, const char *name, int n_dims, const int64_t *dims)
{
    char expected[DT_STATE_NAME_BYTES];
    const dt_state_layout *layout = dt_net_state_layout(w->net);
    const bool trained = strcmp(prefix, "param") == 0;
    int64_t n = 1;
    snprintf(expected, sizeof expected, "%s/%s", prefix, name);
    DT_REQUIRE_MSG(w->tensor < layout->n_tensors, "%s ends before %s", w->arch, expected);
    const dt_state_tensor *t = &layout->tensors[w->tensor++];
    DT_CHECK_STR(t->name, expected);
    DT_CHECK_INT(t->n_dims, n_dims);
    for (int i = 0; i < n_dims; i++) {
        DT_CHECK_MSG(t->dims[i] == dims[i], "%s %s: dimension %d is %lld, expected %lld", w->arch, t->name, i,
                     (long long)t->dims[i], (long long)dims[i]);
        n *= dims[i];
    }
    DT_CHECK_INT(t->n_elems, n);
    w->n_params += trained ? n : 0;
    w->n_statistics += trained ? 0 : n;
}

static void expect_vector(walk *w, const char *prefix, const char *layer, const char *suffix, int64_t n)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", layer, suffix);
    expect_tensor(w, prefix, name, 1, &n);
}

/* The next layer of this kind has this name, and as many multiply-adds; layers without any are not
 * counted. */
static void expect_macs(walk *w, const char *kind, const char *name, int64_t macs)
{
    dt_layer_traffic traffic;
    dt_net_info info;
    dt_net_get_info(w->net, &info);
    do {
        DT_REQUIRE_MSG(w->layer < info.n_layers, "%s has no layer %s", w->arch, name);
        dt_net_layer_traffic(w->net, w->layer++, DT_LAYER_FORWARD, &traffic);
    } while (strcmp(traffic.kind, "conv") != 0 && strcmp(traffic.kind, "linear") != 0);
    DT_CHECK_STR(traffic.kind, kind);
    DT_CHECK_STR(traffic.name, name);
    DT_CHECK_MSG(traffic.flops == 2.0 * (double)macs, "%s %s: %.0f operations, expected %.0f", w->arch, name,
                 traffic.flops, 2.0 * (double)macs);
    w->macs += macs;
}

/* nn.Conv2d(bias=False) with padding kernel / 2, then nn.BatchNorm2d. Returns the size of the output. */
static int64_t expect_conv_bn(walk *w, const char *block, const char *conv, const char *bn, int64_t in,
                              int64_t out, int64_t kernel, int64_t stride, int64_t size)
{
    char conv_name[64], bn_name[64];
    const int64_t out_size = (size + 2 * (kernel / 2) - kernel) / stride + 1;
    snprintf(conv_name, sizeof conv_name, "%s%s", block, conv);
    snprintf(bn_name, sizeof bn_name, "%s%s", block, bn);
    char weight[72];
    snprintf(weight, sizeof weight, "%s.weight", conv_name);
    expect_tensor(w, "param", weight, 4, (const int64_t[]){out, in, kernel, kernel});
    expect_macs(w, "conv", conv_name, out * in * kernel * kernel * out_size * out_size);
    expect_vector(w, "param", bn_name, "weight", out);
    expect_vector(w, "param", bn_name, "bias", out);
    expect_vector(w, "buffer", bn_name, "running_mean", out);
    expect_vector(w, "buffer", bn_name, "running_var", out);
    return out_size;
}

/* torchvision's BasicBlock and Bottleneck (version 1.5: its stride is that of the 3x3 convolution). */
static void expect_block(walk *w, const char *block, bool bottleneck, int64_t width, int64_t stride)
{
    const int64_t in = w->channels, out = bottleneck ? 4 * width : width, size = w->size;
    int64_t s;
    if (bottleneck) {
        s = expect_conv_bn(w, block, "conv1", "bn1", in, width, 1, 1, size);
        s = expect_conv_bn(w, block, "conv2", "bn2", width, width, 3, stride, s);
        s = expect_conv_bn(w, block, "conv3", "bn3", width, out, 1, 1, s);
    } else {
        s = expect_conv_bn(w, block, "conv1", "bn1", in, width, 3, stride, size);
        s = expect_conv_bn(w, block, "conv2", "bn2", width, width, 3, 1, s);
    }
    if (stride != 1 || in != out)
        DT_CHECK_INT(expect_conv_bn(w, block, "downsample.0", "downsample.1", in, out, 1, stride, size), s);
    w->channels = out;
    w->size = s;
}

static walk expect_net(int fact, int64_t n_classes, int64_t image_size)
{
    walk w = {.arch = facts[fact].name, .channels = 64};
    w.net = plan_net(facts[fact].name, n_classes, image_size, false);
    w.size = expect_conv_bn(&w, "", "conv1", "bn1", 3, 64, 7, 2, image_size);
    w.size = (w.size + 2 - 3) / 2 + 1; /* max pooling */
    for (int stage = 0; stage < 4; stage++)
        for (int i = 0; i < facts[fact].blocks[stage]; i++) {
            char block[32];
            snprintf(block, sizeof block, "layer%d.%d.", stage + 1, i);
            expect_block(&w, block, facts[fact].bottleneck, (int64_t)64 << stage,
                         stage > 0 && i == 0 ? 2 : 1);
        }
    expect_tensor(&w, "param", "fc.weight", 2, (const int64_t[]){n_classes, w.channels});
    expect_vector(&w, "param", "fc", "bias", n_classes);
    expect_macs(&w, "linear", "fc", n_classes * w.channels);
    DT_CHECK_INT(w.tensor, dt_net_state_layout(w.net)->n_tensors); /* and no more */
    return w;
}

static void parameters_and_operations_are_as_many_as_torchvisions(void)
{
    for (int i = 0; i < N_FACTS; i++) {
        dt_net_info info;
        walk w = expect_net(i, 1000, 224);
        dt_net_get_info(w.net, &info);
        DT_CHECK_INT(info.n_params, facts[i].n_params);
        DT_CHECK_INT(info.forward_macs, facts[i].macs);
        DT_CHECK_INT(w.n_params, facts[i].n_params);
        DT_CHECK_INT(w.n_statistics, facts[i].n_statistics);
        DT_CHECK_INT(w.tensor, facts[i].n_tensors);
        DT_CHECK_INT(w.macs, facts[i].macs);
        DT_CHECK_INT(w.size, 7);
        dt_net_destroy(w.net);
    }
}

/* torchvision's models pad so that each halving rounds up: 225 -> 113 -> 57 -> 29 -> 15 -> 8. */
static void images_of_odd_sizes_shrink_as_torchvisions_do(void)
{
    static const struct {
        int64_t image, last;
    } sizes[] = {{225, 8}, {223, 7}, {193, 7}, {192, 6}, {160, 5}, {33, 2}, {32, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int arch = 0; arch < N_FACTS; arch += 2) {
            walk w = expect_net(arch, 10, sizes[i].image);
            DT_CHECK_INT(w.size, sizes[i].last);
            dt_net_destroy(w.net);
        }
}

/* Momentum has the tensors of the parameters, in their order. */
static void momentum_has_the_parameters_tensors(void)
{
    dt_net *net = plan_net("resnet50", 1000, 224, true);
    const dt_state_layout *layout = dt_net_state_layout(net);
    int64_t m = 267; /* parameters and buffers come first */
    DT_REQUIRE(layout->n_tensors == 267 + 161);
    for (int64_t t = 0; t < 267; t++) {
        const dt_state_tensor *param = &layout->tensors[t];
        if (strncmp(param->name, "param/", 6) != 0)
            continue;
        DT_CHECK_INT(strncmp(layout->tensors[m].name, "momentum/", 9), 0);
        DT_CHECK_STR(layout->tensors[m].name + 9, param->name + 6);
        DT_CHECK_INT(layout->tensors[m++].n_elems, param->n_elems);
    }
    DT_CHECK_INT(m, layout->n_tensors);
    dt_net_destroy(net);
}

/* Of one image of 224 pixels in float32. A change of the lifetimes of activations changes the first two
 * numbers: overlapping ones are found by tests of gradients, longer ones only here. */
static void a_net_reports_the_memory_that_it_needs(void)
{
    static const struct {
        const char *name;
        int64_t training_bytes, forward_bytes; /* of activations */
        int64_t trained, largest;              /* elements, with fc.bias padded to 1008 */
    } nets[] = {{"resnet18", 14866688, 4052480, 11689520, 512 * 512 * 9},
                {"resnet50", 69725440, 9846272, 25557040, 512 * 512 * 9}};
    for (int i = 0; i < 2; i++) {
        const int64_t statistics = facts[2 * i].n_statistics, all = nets[i].trained + statistics + 16;
        dt_net_info info;
        dt_net *net = plan_net(nets[i].name, 1000, 224, true);
        dt_net_get_info(net, &info);
        DT_CHECK_INT(info.activation_bytes, nets[i].training_bytes);
        DT_CHECK_INT(info.state_bytes, (2 * nets[i].trained + statistics) * 4); /* with momentum */
        DT_CHECK_INT(info.largest_bytes, nets[i].largest * 4);
        DT_CHECK_INT(info.parameter_bytes, (2 * all + nets[i].trained) * 4); /* with gradients */
        dt_net_destroy(net);
        net = plan_net_with(nets[i].name, 1000, 224, true, true);
        dt_net_get_info(net, &info);
        DT_CHECK_INT(info.state_bytes, (3 * nets[i].trained + 2 * statistics) * 4); /* averages of both */
        DT_CHECK_INT(info.parameter_bytes, (2 * all + 2 * nets[i].trained + statistics) * 4);
        dt_net_destroy(net);
        net = plan_net(nets[i].name, 1000, 224, false);
        dt_net_get_info(net, &info);
        DT_CHECK_INT(info.activation_bytes, nets[i].forward_bytes);
        DT_CHECK_INT(info.state_bytes, (nets[i].trained + statistics) * 4);
        DT_CHECK_INT(info.parameter_bytes, all * 4);
        dt_net_destroy(net);
    }
}

/* A net that is resized needs what one of that size needs. */
static void a_resized_net_reports_the_memory_of_its_size(void)
{
    dt_error err = {0};
    dt_net_info fresh, resized;
    dt_net *net = plan_net("resnet18", 1000, 160, true);
    dt_net_get_info(net, &fresh);
    dt_net_destroy(net);
    net = plan_net("resnet18", 1000, 224, true);
    DT_REQUIRE(dt_net_resize(net, 160, &err) == DT_OK);
    dt_net_get_info(net, &resized);
    DT_CHECK_INT(resized.activation_bytes, fresh.activation_bytes);
    DT_CHECK_CLOSE(resized.activation_bytes_unplanned, fresh.activation_bytes_unplanned, 0);
    DT_CHECK_INT(resized.n_params, fresh.n_params);
    DT_CHECK_INT(resized.state_bytes, fresh.state_bytes);
    DT_CHECK_INT(resized.forward_macs, fresh.forward_macs);
    dt_net_destroy(net);
}

/* The last BatchNorm of each branch, and no other, is marked for --zero-init-gamma. */
static void the_last_batchnorm_of_each_branch_is_marked(void)
{
    for (int i = 0; i < N_FACTS; i++) {
        dt_net_spec spec;
        int64_t n = 0;
        const char *last = facts[i].bottleneck ? ".bn3" : ".bn2";
        DT_REQUIRE(dt_resnet_spec(facts[i].name, 10, &spec, NULL) == DT_OK);
        for (int64_t k = 0; k < spec.n_layers; k++) {
            const char *dot = strrchr(spec.layers[k].name, '.');
            DT_CHECK_INT(spec.layers[k].last_of_branch, dot && strcmp(dot, last) == 0);
            n += spec.layers[k].last_of_branch;
        }
        const int *b = facts[i].blocks;
        DT_CHECK_INT(n, b[0] + b[1] + b[2] + b[3]);
        dt_free(spec.layers);
    }
}

/* -- initial values -------------------------------------------------------------------------------------- */

/* torchvision: kaiming_normal_(mode="fan_out") for convolutions, 1 and 0 for BatchNorm; nn.Linear: weight and
 * bias uniform within 1 / sqrt(inputs). */
static void check_initial(const dt_state_tensor *t, const float *values)
{
    const bool is_conv = t->n_dims == 4, is_fc = strncmp(t->name, "param/fc.", 9) == 0;
    const double fan_out = (double)(t->dims[0] * t->dims[2] * t->dims[3]), n = (double)t->n_elems;
    double sum = 0.0, squares = 0.0, most = 0.0;
    for (int64_t i = 0; i < t->n_elems; i++) {
        const double v = (double)values[i];
        sum += v;
        squares += v * v;
        most = fmax(most, fabs(v));
    }
    if (is_conv) { /* five standard deviations of the mean and of the variance */
        const double variance = 2.0 / fan_out;
        DT_CHECK_MSG(fabs(sum / n) < 5.0 * sqrt(variance / n), "%s: mean %g", t->name, sum / n);
        DT_CHECK_MSG(fabs(squares / n / variance - 1.0) < 5.0 * sqrt(2.0 / n), "%s: variance %g, expected %g",
                     t->name, squares / n, variance);
    } else if (is_fc) { /* the variance of the square is 4/45 of the fourth power of the bound */
        const double bound = 1.0 / sqrt(512.0);
        DT_CHECK(most <= bound * (1.0 + 1e-6) && fabs(sum / n) < 5.0 * bound / sqrt(3.0 * n));
        DT_CHECK_MSG(fabs(squares / n / (bound * bound) - 1.0 / 3.0) < 5.0 * sqrt(4.0 / 45.0 / n), "%s: %g",
                     t->name, squares / n);
    } else {
        const bool ones = strstr(t->name, ".weight") || strstr(t->name, "running_var");
        DT_CHECK(sum == (ones ? n : 0.0) && squares == sum);
    }
}

static void initial_values_have_torchvisions_distributions(void)
{
    dt_error err = {0};
    dt_net_spec spec;
    dt_net *net = NULL;
    dt_net_vectors v;
    const dt_net_options options = {.batch = 1, .image_size = 32, .training = true};
    DT_REQUIRE(dt_resnet_spec("resnet18", 1000, &spec, &err) == DT_OK);
    DT_REQUIRE(dt_net_create(&spec, dt_layer_registry(), ref, &options, &net, &err) == DT_OK);
    dt_free(spec.layers);
    dt_net_get_vectors(net, &v);
    v.momentum[0] = v.momentum[v.n_trained - 1] = 1.0f;
    DT_REQUIRE(dt_net_init(net, 11, false, &err) == DT_OK);
    DT_CHECK(v.momentum[0] == 0.0f && v.momentum[v.n_trained - 1] == 0.0f);
    const dt_state_layout *layout = dt_net_state_layout(net);
    const dt_state_io io = dt_net_state_io(net);
    static float values[512 * 512 * 9], first[64];
    int64_t n_alike = 0; /* tensors of the same shape begin with other values */
    for (int64_t i = 0; i < 102; i++) {
        DT_REQUIRE(io.get(io.context, i, values, &err) == DT_OK);
        check_initial(&layout->tensors[i], values);
        if (layout->tensors[i].n_dims == 4) {
            n_alike += memcmp(values, first, sizeof first) == 0;
            memcpy(first, values, sizeof first);
        }
    }
    DT_CHECK_INT(n_alike, 0);
    dt_net_destroy(net);
}

/* ReLU follows every BatchNorm but those before a residual join. */
static void relu_follows_where_torchvision_has_it(void)
{
    for (int i = 0; i < N_FACTS; i++) {
        dt_net_spec spec;
        DT_REQUIRE(dt_resnet_spec(facts[i].name, 10, &spec, NULL) == DT_OK);
        for (int64_t k = 0; k < spec.n_layers; k++) {
            const dt_layer_spec *l = &spec.layers[k];
            if (strcmp(l->kind, "batchnorm") == 0)
                DT_CHECK_INT(l->relu, !l->last_of_branch && !strstr(l->name, "downsample"));
        }
        dt_free(spec.layers);
    }
}

static const dt_test tests[] = {
    DT_TEST(parameters_and_operations_are_as_many_as_torchvisions),
    DT_TEST(images_of_odd_sizes_shrink_as_torchvisions_do),
    DT_TEST(momentum_has_the_parameters_tensors),
    DT_TEST(a_net_reports_the_memory_that_it_needs),
    DT_TEST(a_resized_net_reports_the_memory_of_its_size),
    DT_TEST(the_last_batchnorm_of_each_branch_is_marked),
    DT_TEST(initial_values_have_torchvisions_distributions),
    DT_TEST(relu_follows_where_torchvision_has_it),
};
DT_TEST_MAIN("layers/resnet", tests)
