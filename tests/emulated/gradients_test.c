/* Weight gradients in 16 bits: they stay in a vector of their own until gradients_complete converts all of
 * them in one launch. */
#include "layers/cuda/cuda_internal.h"
#include "layers/half.h"
#include "tests/emulated/gpu_emulated.h"
#include "tests/emulator/emulator.h"
#include "tests/testing.h"

#include <stdlib.h>

enum { C = 16, WEIGHTS = C * C, PIXELS = 2 * 4 * 4, SLOTS = DT_CUDA_MAX_GRADIENTS + 10, OUTPUTS = 10 };
enum { N_ELEMS = (SLOTS + 1) * WEIGHTS };
#define UNTOUCHED 7.0F

static dt_error err;

/* A 1x1 convolution and a linear layer, and a vector with a place for the weights of many such layers. */
typedef struct fixture {
    dt_emulated_gpu gpu;
    dt_conv *conv;
    dt_linear *linear;
    dt_tensor x, dy, features, dlogits, dfeatures;
    float *values, *grads;
    float *alone, *bias; /* outside of the vector: a gradient of conv, then of linear; its bias */
} fixture;

static dt_tensor filled(dt_kernels *k, int64_t n, int64_t c, int64_t h, uint64_t seed)
{
    dt_tensor t = {.dtype = k->dtype, .n = n, .c = c, .h = h, .w = h};
    float numbers[PIXELS * C];
    t.data = k->device->ops->alloc(k->device, k->ops->tensor_bytes(k, n, c, h, h));
    DT_REQUIRE(t.data && n * c * h * h <= PIXELS * C);
    dt_test_fill_random(numbers, n * c * h * h, seed);
    DT_REQUIRE(k->ops->tensor_import(k, numbers, &t, &err) == DT_OK);
    return t;
}

static float *floats(dt_device *device, int64_t n)
{
    float *p = device->ops->alloc(device, n * (int64_t)sizeof *p);
    DT_REQUIRE(p != NULL);
    for (int64_t i = 0; i < n; i++)
        p[i] = UNTOUCHED;
    return p;
}

static void wait_for(const fixture *f)
{
    DT_REQUIRE(f->gpu.device->ops->stream_wait(f->gpu.device, NULL, &err) == DT_OK);
}

static void backward_conv(fixture *f, float *dw, bool accumulate)
{
    dt_kernels *k = f->gpu.kernels;
    DT_REQUIRE(k->ops->conv_backward_weights(k, f->conv, &(dt_act){.raw = f->x}, &f->dy, dw, accumulate,
                                             &err) == DT_OK);
}

static void backward_linear(fixture *f, float *dw, bool accumulate)
{
    dt_kernels *k = f->gpu.kernels;
    DT_REQUIRE_MSG(k->ops->linear_backward(k, f->linear, &f->features, f->values, &f->dlogits, &f->dfeatures,
                                           dw, f->bias, accumulate, &err) == DT_OK,
                   "%s", err.message);
}

static fixture set_up(dt_dtype dtype)
{
    const dt_conv_desc desc = {.n = 2,
                               .c = C,
                               .h = 4,
                               .w = 4,
                               .k = C,
                               .r = 1,
                               .s = 1,
                               .stride = 1,
                               .for_training = true,
                               .input = DT_CONV_INPUT_PLAIN};
    fixture f = {.gpu = dt_emulated_gpu_create(
                     &(dt_emulated_gpu_options){.dtype = dtype, .interpreter = {.gpu = DT_INTERPRET_A100}})};
    dt_kernels *k = f.gpu.kernels;
    DT_REQUIRE(k->ops->conv_create(k, &desc, &f.conv, &err) == DT_OK);
    DT_REQUIRE(k->ops->linear_create(k, 2, C, OUTPUTS, &f.linear, &err) == DT_OK);
    f.x = filled(k, 2, C, 4, 1), f.dy = filled(k, 2, C, 4, 2);
    f.features = filled(k, 2, C, 1, 3), f.dlogits = filled(k, 2, OUTPUTS, 1, 4);
    f.dfeatures = filled(k, 2, C, 1, 5);
    f.values = floats(k->device, N_ELEMS), f.grads = floats(k->device, N_ELEMS);
    f.alone = floats(k->device, 2 * (int64_t)WEIGHTS), f.bias = floats(k->device, C);
    backward_conv(&f, f.alone, false);
    backward_linear(&f, f.alone + WEIGHTS, false);
    wait_for(&f);
    DT_REQUIRE(f.alone[1] != UNTOUCHED && f.alone[WEIGHTS + 1] != UNTOUCHED);
    DT_REQUIRE(k->ops->values_bind(k, f.values, f.grads, N_ELEMS, &err) == DT_OK);
    DT_REQUIRE(k->ops->values_changed(k, &err) == DT_OK);
    return f;
}

static void tear_down(fixture *f)
{
    dt_kernels *k = f->gpu.kernels;
    dt_device *d = k->device;
    void *const blocks[] = {f->x.data, f->dy.data, f->features.data, f->dlogits.data, f->dfeatures.data,
                            f->values, f->grads,   f->alone,         f->bias};
    DT_CHECK_INT(k->ops->values_bind(k, NULL, NULL, 0, &err), DT_OK);
    k->ops->conv_destroy(k, f->conv);
    k->ops->linear_destroy(k, f->linear);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        d->ops->free(d, blocks[i]);
    dt_emulated_gpu_destroy(&f->gpu);
}

/* Call gradients_complete, and return the number of its launches. */
static int64_t complete(fixture *f)
{
    dt_kernels *k = f->gpu.kernels;
    wait_for(f);
    const int64_t n_before = dt_emulator_n_launches();
    DT_REQUIRE(k->ops->gradients_complete(k, &err) == DT_OK);
    wait_for(f);
    return dt_emulator_n_launches() - n_before;
}

/* slots: gradients of conv; the place after them is for the linear layer's. times: how often each was
 * added. */
static void check_gradients(const fixture *f, int slots, float times)
{
    const float *linear = f->grads + (int64_t)slots * WEIGHTS;
    for (int64_t i = 0; i < (int64_t)slots * WEIGHTS; i++)
        DT_REQUIRE(f->grads[i] == times * f->alone[i % WEIGHTS]);
    for (int i = 0; i < WEIGHTS; i++)
        DT_REQUIRE(linear[i] == (i < C * OUTPUTS ? times * f->alone[WEIGHTS + i] : UNTOUCHED));
}

static void check_in(dt_dtype dtype)
{
    fixture f = set_up(dtype);
    enum { FEW = 50 };
    for (int times = 1; times <= 2; times++) {
        backward_linear(&f, f.grads + (int64_t)FEW * WEIGHTS, times > 1);
        for (int i = FEW - 1; i >= 0; i--)
            backward_conv(&f, f.grads + (int64_t)i * WEIGHTS, times > 1);
        wait_for(&f);
        if (times == 1)
            for (int64_t i = 0; i < N_ELEMS; i++)
                DT_REQUIRE(f.grads[i] == UNTOUCHED);
        DT_CHECK_INT(complete(&f), 1);
        check_gradients(&f, FEW, (float)times);
    }
    DT_CHECK_INT(complete(&f), 0);
    tear_down(&f);
}

static void gradients_in_the_vector_are_complete_after_one_launch(void)
{
    check_in(DT_F16);
    check_in(DT_BF16);
}

static void more_gradients_than_a_launch_has_place_for_take_another_launch(void)
{
    fixture f = set_up(DT_F16);
    const int64_t n_before = dt_emulator_n_launches();
    for (int i = 0; i < SLOTS; i++)
        backward_conv(&f, f.grads + (int64_t)i * WEIGHTS, false);
    wait_for(&f);
    DT_CHECK_INT(dt_emulator_n_launches() - n_before, 1);
    DT_CHECK_INT(complete(&f), 1);
    for (int64_t i = 0; i < (int64_t)SLOTS * WEIGHTS; i++)
        DT_REQUIRE(f.grads[i] == f.alone[i % WEIGHTS]);
    tear_down(&f);
}

static void without_a_vector_of_gradients_none_has_to_be_completed(void)
{
    fixture f = set_up(DT_F16);
    dt_kernels *k = f.gpu.kernels;
    const int64_t with_grads = k->ops->scratch_bytes(k);
    DT_REQUIRE(k->ops->values_bind(k, f.values, NULL, N_ELEMS, &err) == DT_OK); /* evaluation */
    DT_CHECK_INT(with_grads - k->ops->scratch_bytes(k), N_ELEMS * (int64_t)sizeof(uint16_t));
    backward_conv(&f, f.grads, false);
    wait_for(&f);
    for (int i = 0; i < WEIGHTS; i++)
        DT_REQUIRE(f.grads[i] == f.alone[i]);
    DT_CHECK_INT(complete(&f), 0);
    tear_down(&f);
}

static void gradients_in_fp32_are_complete_at_once(void)
{
    fixture f = set_up(DT_F32);
    backward_conv(&f, f.grads, false);
    backward_conv(&f, f.grads, true);
    wait_for(&f);
    for (int i = 0; i < WEIGHTS; i++)
        DT_REQUIRE(f.grads[i] == 2 * f.alone[i]);
    DT_CHECK_INT(complete(&f), 0);
    tear_down(&f);
}

static void update(fixture *f, float *values, const float *grads)
{
    static const dt_update_segment segment = {.n = N_ELEMS, .rule = DT_UPDATE_SGD};
    dt_kernels *k = f->gpu.kernels;
    dt_device *d = k->device;
    dt_optimizer *optimizer = NULL;
    dt_step_inputs *inputs = d->ops->alloc(d, sizeof *inputs);
    dt_step_state *state = d->ops->alloc(d, sizeof *state);
    float *momentum = floats(d, N_ELEMS);
    DT_REQUIRE(inputs && state);
    *inputs = (dt_step_inputs){.lr = 1};
    *state = (dt_step_state){.loss_scale = 1, .found_inf = 1}; /* of a step before */
    DT_REQUIRE(k->ops->optimizer_create(k, &(dt_optimizer_desc){0}, &segment, 1, &optimizer, &err) == DT_OK);
    const dt_optimizer_vectors v = {.values = values, .grads = grads, .momentum = momentum};
    DT_REQUIRE(k->ops->optimizer_step(k, optimizer, &v, inputs, state, &err) == DT_OK);
    wait_for(f);
    DT_CHECK_INT(state->found_inf, 0);
    k->ops->optimizer_destroy(k, optimizer);
    d->ops->free(d, inputs);
    d->ops->free(d, state);
    d->ops->free(d, momentum);
}

/* The mirror is of the vector that is bound. UNTOUCHED values less UNTOUCHED gradients are 0. */
static void only_an_update_of_the_bound_vector_changes_the_mirror(void)
{
    fixture f = set_up(DT_F16);
    float *other = floats(f.gpu.device, N_ELEMS);
    const uint16_t *mirror = dt_cuda(f.gpu.kernels)->mirror;
    update(&f, other, f.grads);
    DT_CHECK(other[5] == 0 && mirror[5] == dt_half_from_float(UNTOUCHED));
    update(&f, f.values, f.grads);
    DT_CHECK(f.values[5] == 0 && mirror[5] == 0);
    f.gpu.device->ops->free(f.gpu.device, other);
    tear_down(&f);
}

static const dt_test tests[] = {
    DT_TEST(only_an_update_of_the_bound_vector_changes_the_mirror),
    DT_TEST(gradients_in_the_vector_are_complete_after_one_launch),
    DT_TEST(more_gradients_than_a_launch_has_place_for_take_another_launch),
    DT_TEST(without_a_vector_of_gradients_none_has_to_be_completed),
    DT_TEST(gradients_in_fp32_are_complete_at_once),
};
DT_TEST_MAIN("emulated/gradients", tests)
