/* The whole net on the reference backend: gradients by finite differences, composed operations against fused
 * ones, memory, state. */
#include "core/base/alloc.h"
#include "core/base/rng.h"
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

#define BATCH 4
#define SIZE 32
#define CLASSES 10

int dt_test_time_limit_s = 300;

static dt_device *device;
static dt_kernels *ref;
static uint8_t pixels[BATCH * SIZE * SIZE * 3];
static const int32_t labels[BATCH] = {3, 0, 9, 3};

void dt_test_set_up(void)
{
    dt_error err = {0};
    if (dt_device_host_create(1, &device, &err) != DT_OK ||
        dt_kernels_ref_create(device, DT_F32, &ref, &err) != DT_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    dt_rng g = dt_rng_at(1, DT_RNG_TEST, 0, 0);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)dt_rng_below(&g, 256);
}

void dt_test_tear_down(void)
{
    ref->ops->destroy(ref);
    device->ops->destroy(device);
}

static dt_net *create_net(const char *arch, dt_kernels *kernels, bool training)
{
    dt_error err = {0};
    dt_net_spec spec;
    dt_net *net = NULL;
    const dt_net_options options = {.batch = BATCH, .image_size = SIZE, .training = training};
    DT_REQUIRE_MSG(dt_resnet_spec(arch, CLASSES, &spec, &err) == DT_OK, "%s", err.message);
    dt_status status = dt_net_create(&spec, dt_layer_registry(), kernels, &options, &net, &err);
    dt_free(spec.layers);
    DT_REQUIRE_MSG(status == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_net_init(net, 7, false, &err) == DT_OK, "%s", err.message);
    return net;
}

static double forward_loss(dt_net *net, bool training)
{
    dt_error err = {0};
    dt_net_vectors v;
    dt_net_get_vectors(net, &v);
    memset(v.loss, 0, sizeof *v.loss);
    const dt_pass pass = {.training = training,
                          .stat_weight = 1.0f,
                          .labels = labels,
                          .label_smoothing = 0.1f,
                          .grad_scale = 1.0f,
                          .loss = v.loss};
    DT_REQUIRE_MSG(dt_net_forward(net, pixels, &pass, &err) == DT_OK, "%s", err.message);
    DT_CHECK_INT(v.loss->n, BATCH);
    return (double)v.loss->loss;
}

static void backward(dt_net *net, bool accumulate)
{
    dt_error err = {0};
    dt_net_vectors v;
    dt_net_get_vectors(net, &v);
    const dt_pass pass = {.training = true,
                          .accumulate = accumulate,
                          .stat_weight = 1.0f,
                          .labels = labels,
                          .label_smoothing = 0.1f,
                          .grad_scale = 1.0f,
                          .loss = v.loss};
    DT_REQUIRE_MSG(dt_net_forward(net, pixels, &pass, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_net_backward(net, &pass, NULL, NULL, &err) == DT_OK, "%s", err.message);
}

/* Reduce the gammas at the ends of the branches. Deep nets with a few values per channel are chaotic; with
 * small gammas the loss is smooth enough for differences in float32. */
static void calm(dt_net *net)
{
    dt_error err = {0};
    dt_net_vectors v;
    dt_net_get_vectors(net, &v);
    float *first = dt_alloc((size_t)v.n_trained * sizeof(float));
    memcpy(first, v.values, (size_t)v.n_trained * sizeof(float));
    DT_REQUIRE(dt_net_init(net, 7, true, &err) == DT_OK);
    for (int64_t i = 0; i < v.n_trained; i++)
        if (first[i] == 1.0f && v.values[i] == 0.0f)
            v.values[i] = 0.2f;
    dt_free(first);
}

/* Compare the gradient of every layer's parameters with the change of the loss along that gradient. */
static void check_directional_gradients(const char *arch, int64_t every, double change)
{
    dt_error err = {0};
    dt_net *net = create_net(arch, ref, true);
    dt_net_vectors v;
    int64_t n_parts = 0;
    const dt_grad_part *parts = dt_net_grad_parts(net, &n_parts);
    dt_net_get_vectors(net, &v);
    calm(net);
    backward(net, false);
    float *saved = dt_alloc((size_t)v.n_all * sizeof(float));
    memcpy(saved, v.values, (size_t)v.n_all * sizeof(float));
    for (int64_t part = 0; part < n_parts - 1; part += every) {
        double expected = 0.0, norm = 0.0;
        for (int64_t i = parts[part].first; i < parts[part].first + parts[part].n; i++)
            norm += (double)v.grads[i] * (double)v.grads[i];
        norm = sqrt(norm);
        double losses[2];
        const double h = change / norm; /* along the gradient itself: the loss moves by about `change` */
        for (int side = 0; side < 2; side++) {
            for (int64_t i = parts[part].first; i < parts[part].first + parts[part].n; i++)
                v.values[i] = (float)((double)saved[i] + (side ? h : -h) * (double)v.grads[i] / norm);
            DT_REQUIRE_MSG(dt_net_weights_changed(net, &err) == DT_OK, "%s", err.message);
            losses[side] = forward_loss(net, true);
        }
        for (int64_t i = parts[part].first; i < parts[part].first + parts[part].n; i++)
            expected += (double)v.grads[i] * ((double)v.grads[i] / norm);
        memcpy(v.values, saved, (size_t)v.n_all * sizeof(float));
        double measured = (losses[1] - losses[0]) / (2.0 * h);
        DT_CHECK_MSG(fabs(measured / expected - 1.0) < 0.02, "%s part %lld: gradient %g, by differences %g",
                     arch, (long long)part, expected, measured);
    }
    dt_free(saved);
    dt_net_destroy(net);
}

static void gradients_of_a_basic_block_net_match_finite_differences(void)
{
    check_directional_gradients("resnet18", 1, 4e-3);
}

static void gradients_of_a_bottleneck_net_match_finite_differences(void)
{
    check_directional_gradients("resnet50", 9, 4e-3);
}

static unsigned no_fusions(dt_kernels *k, const dt_conv *conv)
{
    (void)k;
    (void)conv;
    return 0;
}

/* Operations that a backend cannot fuse are composed of plain ones and give the same numbers. */
static void composed_operations_equal_fused_ones(void)
{
    dt_kernels_ops plain_ops = *ref->ops;
    plain_ops.conv_fusions = no_fusions;
    dt_net *fused = create_net("resnet18", ref, true);
    backward(fused, false);
    const dt_kernels_ops *ops = ref->ops;
    ref->ops = &plain_ops;
    dt_net *composed = create_net("resnet18", ref, true);
    backward(composed, false);
    dt_net_vectors a, b;
    dt_net_get_vectors(fused, &a);
    dt_net_get_vectors(composed, &b);
    DT_CHECK_INT(a.n_all, b.n_all);
    DT_CHECK_NEAR(b.grads, a.grads, a.n_all, 1e-5);
    dt_net_destroy(composed);
    ref->ops = ops;
    dt_net_destroy(fused);
}

static void accumulating_twice_doubles_the_gradient(void)
{
    dt_net *net = create_net("resnet18", ref, true);
    dt_net_vectors v;
    dt_net_get_vectors(net, &v);
    backward(net, false);
    float *once = dt_alloc((size_t)v.n_all * sizeof(float));
    memcpy(once, v.grads, (size_t)v.n_all * sizeof(float));
    backward(net, true);
    for (int64_t i = 0; i < v.n_all; i++)
        once[i] *= 2.0f;
    DT_CHECK_NEAR(v.grads, once, v.n_trained + v.n_statistics, 1e-6);
    dt_free(once);
    dt_net_destroy(net);
}

/* When the running statistics are those of one batch, evaluation gives that batch's training loss (except for
 * the unbiased variance), and the forward-only net gives the same bits as the training net. */
static void evaluation_uses_running_statistics(void)
{
    dt_error err = {0};
    dt_net *net = create_net("resnet18", ref, true);
    dt_net *forward_only = create_net("resnet18", ref, false);
    dt_net_vectors v, w;
    dt_net_get_vectors(net, &v);
    dt_net_get_vectors(forward_only, &w);
    double untrained = forward_loss(net, false), training = forward_loss(net, true);
    memcpy(v.values + v.n_trained, v.grads + v.n_trained, (size_t)v.n_statistics * sizeof(float));
    double evaluated = forward_loss(net, false);
    DT_CHECK(fabs(untrained - training) > 0.05 * training);
    DT_CHECK_MSG(fabs(evaluated - training) < 0.25 * training, "evaluation %g, training %g", evaluated,
                 training);
    memcpy(w.values, v.values, (size_t)(v.n_trained + v.n_statistics) * sizeof(float));
    DT_REQUIRE(dt_net_weights_changed(forward_only, &err) == DT_OK);
    DT_CHECK(forward_loss(forward_only, false) == evaluated);
    dt_net_destroy(forward_only);
    dt_net_destroy(net);
}

static void forward_only_needs_much_less_memory(void)
{
    dt_net *net = create_net("resnet50", ref, true), *forward_only = create_net("resnet50", ref, false);
    dt_net_info a, b;
    dt_net_get_info(net, &a);
    dt_net_get_info(forward_only, &b);
    DT_CHECK(b.activation_bytes * 4 < a.activation_bytes);
    DT_CHECK((double)a.activation_bytes < 0.8 * a.activation_bytes_unplanned);
    DT_CHECK_INT(a.n_params, 23528522); /* torchvision's resnet50(num_classes=10) */
    dt_net_destroy(net);
    dt_net_destroy(forward_only);
}

static void state_survives_export_and_import(void)
{
    dt_error err = {0};
    dt_net *net = create_net("resnet18", ref, true), *other = create_net("resnet18", ref, true);
    const dt_state_layout *layout = dt_net_state_layout(net);
    dt_state_io from = dt_net_state_io(net), to = dt_net_state_io(other);
    dt_net_vectors a, b;
    dt_net_get_vectors(net, &a);
    dt_net_get_vectors(other, &b);
    for (int64_t i = 0; i < a.n_trained; i++)
        a.momentum[i] = (float)i;
    memset(b.values, 0, (size_t)b.n_all * sizeof(float));
    float *buffer = dt_alloc((size_t)layout->n_elems * sizeof(float));
    DT_CHECK_STR(layout->tensors[0].name, "param/conv1.weight");
    DT_CHECK_INT(layout->n_tensors, 62 + 40 + 62); /* torchvision's parameters and buffers without
                                                      num_batches_tracked, momentum */
    int64_t at = 0;
    for (int64_t t = 0; t < layout->n_tensors; t++) {
        DT_CHECK_INT(layout->tensors[t].first, at);
        at += layout->tensors[t].n_elems;
        DT_REQUIRE(from.get(from.context, t, buffer, &err) == DT_OK);
        DT_REQUIRE(to.set(to.context, t, buffer, &err) == DT_OK);
    }
    DT_CHECK_INT(at, layout->n_elems);
    DT_CHECK_BYTES(b.values, a.values, (size_t)a.n_all * sizeof(float));
    DT_CHECK(from.get(from.context, layout->n_tensors, buffer, &err) == DT_ERR_INTERNAL);
    dt_free(buffer);
    dt_net_destroy(net);
    dt_net_destroy(other);
}

static void initial_values_follow_the_seed_and_he(void)
{
    dt_error err = {0};
    dt_net *net = create_net("resnet18", ref, true);
    dt_net_vectors v;
    dt_net_get_vectors(net, &v);
    double squares = 0.0;
    const int64_t n = 64 * 3 * 7 * 7;
    float *first = dt_alloc((size_t)v.n_all * sizeof(float));
    memcpy(first, v.values, (size_t)v.n_all * sizeof(float));
    for (int64_t i = 0; i < n; i++)
        squares += (double)first[i] * (double)first[i];
    DT_CHECK_CLOSE(sqrt(squares / (double)n), sqrt(2.0 / (64 * 49)), 0.001);
    DT_REQUIRE(dt_net_init(net, 8, false, &err) == DT_OK);
    DT_CHECK(memcmp(first, v.values, (size_t)n * sizeof(float)) != 0);
    DT_REQUIRE(dt_net_init(net, 7, false, &err) == DT_OK);
    DT_CHECK_BYTES(v.values, first, (size_t)v.n_all * sizeof(float));
    DT_REQUIRE(dt_net_init(net, 7, true, &err) == DT_OK);
    int64_t zeroed = 0;
    for (int64_t i = 0; i < v.n_trained; i++)
        zeroed += first[i] == 1.0f && v.values[i] == 0.0f;
    DT_CHECK_INT(zeroed, 2 * (64 + 128 + 256 + 512)); /* the last gamma of each of the 8 blocks */
    dt_free(first);
    dt_net_destroy(net);
}

static void every_failing_allocation_gives_an_error_and_no_leak(void)
{
    dt_net_spec spec;
    dt_error err = {0};
    DT_REQUIRE(dt_resnet_spec("resnet18", 2, &spec, &err) == DT_OK);
    const dt_net_options options = {.batch = 1, .image_size = SIZE, .training = true};
    int64_t before = dt_alloc_live_blocks();
    dt_status status = DT_ERR_MEMORY;
    for (int64_t n = 1; status != DT_OK && n < 10000; n += n < 40 ? 1 : 7) {
        dt_net *net = NULL;
        dt_alloc_fail_after(n);
        status = dt_net_create(&spec, dt_layer_registry(), ref, &options, &net, &err);
        dt_alloc_fail_after(0);
        if (status == DT_OK)
            dt_net_destroy(net);
        else
            DT_CHECK_INT(status, DT_ERR_MEMORY);
        DT_REQUIRE_MSG(dt_alloc_live_blocks() == before, "%lld blocks leaked when allocation %lld failed",
                       (long long)(dt_alloc_live_blocks() - before), (long long)n);
    }
    DT_CHECK_INT(status, DT_OK);
    dt_free(spec.layers);
}

static const dt_test tests[] = {
    DT_TEST(gradients_of_a_basic_block_net_match_finite_differences),
    DT_TEST(gradients_of_a_bottleneck_net_match_finite_differences),
    DT_TEST(composed_operations_equal_fused_ones),
    DT_TEST(accumulating_twice_doubles_the_gradient),
    DT_TEST(evaluation_uses_running_statistics),
    DT_TEST(forward_only_needs_much_less_memory),
    DT_TEST(state_survives_export_and_import),
    DT_TEST(initial_values_follow_the_seed_and_he),
    DT_TEST(every_failing_allocation_gives_an_error_and_no_leak),
};
DT_TEST_MAIN("layers/net", tests)
