/* The launchers of layers/cuda/launch.h called directly, for what core/kernels.h does not show: copies in 16
 * bits, lengths that are no multiple of 8, labels out of range, tensors without elements. The kernels run on
 * the CPU (tests/emulator); the device (tests/emulated) has guard bands around every allocation. */
#include "layers/cuda/launch.h"
#include "layers/half.h"
#include "tests/emulated/device_emulated.h"
#include "tests/emulator/emulator.h"
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static dt_device *gpu;
static dt_error err;

void dt_test_set_up(void)
{
    if (dt_device_emulated_create(&(dt_emulated_options){0}, &gpu, &err) != DT_OK)
        abort();
}

void dt_test_tear_down(void)
{
    gpu->ops->destroy(gpu);
}

enum { MAX_ELEMS = 8192 };

/* Allocate device memory of exactly n_bytes, so that the device's guard bands follow the last byte, and copy
 * `content` (may be NULL) into it. */
static void *to_gpu(const void *content, int64_t n_bytes)
{
    void *p = gpu->ops->alloc(gpu, n_bytes);
    DT_REQUIRE(p != NULL);
    if (content != NULL)
        memcpy(p, content, (size_t)n_bytes);
    return p;
}

static void check_guards(void)
{
    DT_CHECK_INT(gpu->ops->stream_wait(gpu, NULL, &err), DT_OK);
    DT_CHECK_STR(dt_emulated_fault(gpu), "");
}

/* Values of the flat vector are converted to 16 bits and back into a gradient, 8 at a time, and fewer at the
 * end. */
static void the_mirror_and_a_gradient_of_any_length_are_converted(void)
{
    static const int64_t lengths[] = {1, 7, 8, 9, 2048, MAX_ELEMS - 3};
    float values[MAX_ELEMS], before[MAX_ELEMS];
    dt_test_fill_random(values, MAX_ELEMS, 1);
    dt_test_fill_random(before, MAX_ELEMS, 2);
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        for (int bf16 = 0; bf16 <= 1; bf16++) {
            const int64_t n = lengths[l];
            const dt_dtype dtype = bf16 != 0 ? DT_BF16 : DT_F16;
            float *v = to_gpu(values, n * 4), *once = to_gpu(NULL, n * 4), *twice = to_gpu(before, n * 4);
            uint16_t *mirror = to_gpu(NULL, n * 2);
            DT_CHECK_INT(dt_cuda_values_cast(NULL, v, n, dtype, mirror), 0);
            const dt_cuda_gradient gradients[] = {{mirror, once, n, false}, {mirror, twice, n, true}};
            DT_CHECK_INT(dt_cuda_gradients_store(NULL, dtype, gradients, 2), 0);
            for (int64_t i = 0; i < n; i++) {
                const float expected = bf16 != 0 ? dt_bfloat_to_float(dt_bfloat_from_float(values[i]))
                                                 : dt_half_to_float(dt_half_from_float(values[i]));
                DT_REQUIRE(once[i] == expected && twice[i] == before[i] + expected);
            }
            check_guards();
            gpu->ops->free(gpu, v), gpu->ops->free(gpu, once), gpu->ops->free(gpu, twice),
                gpu->ops->free(gpu, mirror);
        }
    }
}

/* Gradients of several blocks, of one element and of none, in a launch; one is added. */
static void one_launch_converts_all_gradients_of_its_table(void)
{
    static const int64_t lengths[] = {8192, 0, 1, 8193, 30000, 24};
    enum { N = sizeof lengths / sizeof *lengths };
    dt_cuda_gradient gradients[N];
    uint16_t *from[N];
    float *to[N];
    for (int g = 0; g < N; g++) {
        from[g] = to_gpu(NULL, lengths[g] * 2);
        to[g] = to_gpu(NULL, lengths[g] * 4);
        for (int64_t i = 0; i < lengths[g]; i++)
            from[g][i] = dt_half_from_float((float)(i % 1000 + g)), to[g][i] = 0.5F;
        gradients[g] = (dt_cuda_gradient){from[g], to[g], lengths[g], g == 3};
    }
    const int64_t n_before = dt_emulator_n_launches();
    DT_CHECK_INT(dt_cuda_gradients_store(NULL, DT_F16, gradients, N), 0);
    DT_CHECK_INT(dt_emulator_n_launches() - n_before, 1);
    check_guards();
    for (int g = 0; g < N; g++) {
        for (int64_t i = 0; i < lengths[g]; i++)
            DT_REQUIRE(to[g][i] == (float)(i % 1000 + g) + (g == 3 ? 0.5F : 0.0F));
        gpu->ops->free(gpu, from[g]), gpu->ops->free(gpu, to[g]);
    }
}

static const dt_dtype dtypes[] = {DT_F32, DT_F16, DT_BF16};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

/* cuDNN's prologue reads the scale and the bias that the kernels write in 16 bits. */
static void batchnorm_also_writes_scale_and_bias_in_16_bits(void)
{
    enum { C = 80 };
    float numbers[4][C];
    float *in[4], *out[6];
    for (int i = 0; i < 4; i++) {
        dt_test_fill_random(numbers[i], C, (uint64_t)i);
        for (int c = 0; c < C; c++)
            numbers[i][c] = i == 1 ? 100 + numbers[i][c] : i == 0 ? 10 * numbers[i][c] : numbers[i][c];
        in[i] = to_gpu(numbers[i], sizeof numbers[i]);
    }
    for (int i = 0; i < 6; i++)
        out[i] = to_gpu(NULL, sizeof numbers[0]);
    float *sums = to_gpu(numbers, 2 * sizeof numbers[0]); /* sums, sums of squares */
    uint16_t *half = to_gpu(NULL, 2 * C * sizeof *half);
    const dt_bn_forward bn = {.c = C,
                              .count = 50,
                              .sums = sums,
                              .gamma = in[2],
                              .beta = in[3],
                              .eps = 1e-5F,
                              .mean = out[0],
                              .invstd = out[1],
                              .scale = out[2],
                              .bias = out[3],
                              .stat_mean = out[4],
                              .stat_var = out[5],
                              .stat_weight = 1};
    uint8_t *flags = to_gpu(NULL, DT_CUDA_CHANNEL_FLAGS);
    memset(flags, 0, DT_CUDA_CHANNEL_FLAGS);
    dt_cuda_bn_outputs also = {DT_F16, half, flags};
    DT_CHECK_INT(dt_cuda_bn_finalize(NULL, &bn, &also), 0);
    for (int c = 0; c < C; c++)
        DT_REQUIRE(half[c] == dt_half_from_float(out[2][c]) && half[C + c] == dt_half_from_float(out[3][c]));
    also.half_dtype = DT_BF16;
    DT_CHECK_INT(dt_cuda_bn_inference(NULL, C, in[2], in[3], in[0], in[1], 1e-5F, out[2], out[3], &also), 0);
    for (int c = 0; c < C; c++)
        DT_REQUIRE(half[c] == dt_bfloat_from_float(out[2][c]) &&
                   half[C + c] == dt_bfloat_from_float(out[3][c]));
    for (int i = 0; i < DT_CUDA_CHANNEL_FLAGS; i++)
        DT_REQUIRE(flags[i] == 0);
    check_guards();
    for (int i = 0; i < 4; i++)
        gpu->ops->free(gpu, in[i]);
    for (int i = 0; i < 6; i++)
        gpu->ops->free(gpu, out[i]);
    gpu->ops->free(gpu, sums), gpu->ops->free(gpu, half), gpu->ops->free(gpu, flags);
}

/* Channel 7 has a NaN gamma, channel 40 a NaN beta, channel 79 a beta that FP16 cannot hold. */
static void check_flags(bool finalize, dt_dtype dtype)
{
    enum { C = 80 };
    float ones[C], gamma[C], beta[C];
    for (int c = 0; c < C; c++)
        ones[c] = gamma[c] = beta[c] = 1;
    gamma[7] = beta[40] = NAN;
    beta[79] = 1e5F;
    float *g = to_gpu(gamma, sizeof gamma), *b = to_gpu(beta, sizeof beta), *one = to_gpu(ones, sizeof ones),
          *sums = to_gpu(NULL, 2 * sizeof ones), *out[6];
    for (int i = 0; i < 6; i++)
        out[i] = to_gpu(NULL, sizeof ones);
    for (int c = 0; c < 2 * C; c++)
        sums[c] = c < C ? 2 : 4;
    uint16_t *half = dtype == DT_F32 ? NULL : to_gpu(NULL, 2 * C * sizeof *half);
    uint8_t *flags = to_gpu(NULL, DT_CUDA_CHANNEL_FLAGS);
    memset(flags, 0, DT_CUDA_CHANNEL_FLAGS);
    const dt_cuda_bn_outputs also = {dtype, half, flags};
    const dt_bn_forward bn = {C,      4,      sums,   g,      b,      1e-5F, out[0],
                              out[1], out[2], out[3], out[4], out[5], 1,     false};
    DT_CHECK_INT(finalize ? dt_cuda_bn_finalize(NULL, &bn, &also)
                          : dt_cuda_bn_inference(NULL, C, g, b, one, one, 1e-5F, out[2], out[3], &also),
                 0);
    for (int i = 0; i < DT_CUDA_CHANNEL_FLAGS; i++)
        DT_REQUIRE(flags[i] == (i == 7 || i == 40 || (i == 79 && dtype == DT_F16)));
    check_guards();
    void *all[] = {g, b, one, sums, half, flags};
    for (int i = 0; i < 6; i++)
        gpu->ops->free(gpu, out[i]), gpu->ops->free(gpu, all[i]);
}

static void a_channel_that_is_not_finite_sets_its_flag(void)
{
    for (int k = 0; k < N_DTYPES; k++) {
        check_flags(true, dtypes[k]);
        check_flags(false, dtypes[k]);
    }
}

/* The flag of the last channel makes the loss NaN once, and is cleared. */
static void a_flag_makes_the_next_loss_nan(void)
{
    const int32_t labels[2] = {1, 3};
    float logits[2 * 10] = {0};
    const dt_loss_sums zero = {0};
    const dt_tensor x = {to_gpu(logits, sizeof logits), DT_F32, 2, 10, 1, 1};
    int32_t *l = to_gpu(labels, sizeof labels);
    dt_loss_sums *sums = to_gpu(&zero, sizeof zero);
    void *scratch = to_gpu(NULL, dt_cuda_softmax_loss_scratch_bytes(2));
    uint8_t *flags = to_gpu(NULL, DT_CUDA_CHANNEL_FLAGS);
    memset(flags, 0, DT_CUDA_CHANNEL_FLAGS);
    flags[DT_CUDA_CHANNEL_FLAGS - 1] = 1;
    for (int i = 0; i < 2; i++) {
        *sums = zero;
        DT_CHECK_INT(dt_cuda_softmax_loss(NULL, &x, l, 0, 1, NULL, scratch, NULL, flags, sums), 0);
        DT_CHECK(isnan(sums->loss) == (i == 0) && sums->n == 2);
    }
    check_guards();
    gpu->ops->free(gpu, x.data), gpu->ops->free(gpu, l), gpu->ops->free(gpu, sums),
        gpu->ops->free(gpu, scratch), gpu->ops->free(gpu, flags);
}

/* Element i of memory of this dtype. */
static float element(const void *memory, int64_t i, dt_dtype dtype)
{
    return dtype == DT_F16    ? dt_half_to_float(((const uint16_t *)memory)[i])
           : dtype == DT_BF16 ? dt_bfloat_to_float(((const uint16_t *)memory)[i])
                              : ((const float *)memory)[i];
}

/* `v` as this dtype holds it. */
static float rounded(float v, dt_dtype dtype)
{
    return dtype == DT_F16    ? dt_half_to_float(dt_half_from_float(v))
           : dtype == DT_BF16 ? dt_bfloat_to_float(dt_bfloat_from_float(v))
                              : v;
}

static int64_t bytes_of(dt_dtype dtype)
{
    return dtype == DT_F32 ? 4 : 2;
}

static uint16_t bits_of(float v, dt_dtype dtype)
{
    return dtype == DT_F16 ? dt_half_from_float(v) : dt_bfloat_from_float(v);
}

/* -1 + bias is 2^-12 unless the bias is rounded to 11 bits; 2^-24 * 0.25 is 0 in FP16, and 2^-24 is not. A
 * shortcut of zeros. */
static void check_join_in(dt_dtype dtype)
{
    enum { C = 8 };
    float scale[C] = {1, 0.25F, 1, 1, 1, 1, 1, 1}, bias[C] = {1 + 0x1p-12F};
    const float raws[C] = {-1, 0x1p-24F, 0x1p-24F, -1, 1};
    float *s = to_gpu(scale, sizeof scale), *b = to_gpu(bias, sizeof bias);
    uint16_t *raw = to_gpu(NULL, C * 2), *skip = to_gpu(NULL, C * 2), *y = to_gpu(NULL, C * 2);
    uint8_t *mask = to_gpu(NULL, 1);
    for (int c = 0; c < C; c++)
        raw[c] = bits_of(raws[c], dtype), skip[c] = 0;
    dt_act act = {
        .raw = {.dtype = dtype, .n = 1, .c = C, .h = 1, .w = 1, .data = raw}, .scale = s, .bias = b};
    dt_act plain = {.raw = act.raw};
    dt_tensor out = act.raw;
    plain.raw.data = skip, out.data = y;
    DT_CHECK_INT(dt_cuda_residual_forward(NULL, &act, &plain, &out, mask), 0);
    const bool is_f16 = dtype == DT_F16;
    DT_CHECK_INT(y[0], is_f16 ? 0 : bits_of(0x1p-12F, dtype));
    DT_CHECK_INT(y[1], is_f16 ? 0 : bits_of(0x1p-26F, dtype));
    DT_CHECK_INT(mask[0], is_f16 ? 0x14 : 0x17); /* of what is stored */
    check_guards();
    void *all[] = {s, b, raw, skip, y, mask};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        gpu->ops->free(gpu, all[i]);
}

/* Pixel (1, 1) of 4x4 is the maximum of all four windows; its gradient 2048 + 1 is 2048 in FP16. */
static void the_sums_of_pooling_are_of_the_gradient_that_is_stored(void)
{
    enum { C = 8, IN = 16 * C, OUT = 4 * C };
    static const uint8_t positions[4] = {8, 6, 2, 0};
    static const float gradients[4] = {2048, 1, 0, 0};
    float ones[C], zeros[C] = {0};
    for (int c = 0; c < C; c++)
        ones[c] = 1;
    float *one = to_gpu(ones, sizeof ones), *mean = to_gpu(zeros, sizeof zeros),
          *sums = to_gpu(NULL, 2 * sizeof ones);
    uint16_t *raw = to_gpu(NULL, IN * 2), *dz = to_gpu(NULL, IN * 2), *dy = to_gpu(NULL, OUT * 2);
    uint8_t *argmax = to_gpu(NULL, OUT);
    void *scratch = to_gpu(NULL, dt_cuda_sums_scratch_bytes(C));
    for (int i = 0; i < IN; i++)
        raw[i] = dt_half_from_float(1);
    for (int i = 0; i < OUT; i++)
        dy[i] = dt_half_from_float(gradients[i / C]), argmax[i] = positions[i / C];
    const dt_act x = {.raw = {.dtype = DT_F16, .n = 1, .c = C, .h = 4, .w = 4, .data = raw},
                      .scale = one,
                      .bias = mean,
                      .relu = true};
    const dt_bn_backward bn = {.x = &x, .mean = mean, .invstd = one, .sums = sums};
    dt_tensor out = x.raw, in = {.dtype = DT_F16, .n = 1, .c = C, .h = 2, .w = 2, .data = dy};
    out.data = dz;
    DT_CHECK_INT(dt_cuda_max_pool_backward(NULL, &(dt_pool_desc){.window = 3, .stride = 2, .pad = 1}, &in,
                                           argmax, &bn, scratch, &out),
                 0);
    for (int c = 0; c < C; c++)
        DT_REQUIRE(sums[c] == 2048 && sums[C + c] == 2048 && dz[5 * C + c] == dt_half_from_float(2048));
    check_guards();
    void *all[] = {one, mean, sums, raw, dz, dy, argmax, scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        gpu->ops->free(gpu, all[i]);
}

static void a_join_rounds_as_graphs_do_in_fp16_and_masks_what_it_stores(void)
{
    check_join_in(DT_F16);
    check_join_in(DT_BF16);
}

static void tensors_are_added(void)
{
    enum { N = 3 * 7 * 5 * 48 };
    float add[N], dx[N];
    dt_test_fill_random(add, N, 1);
    dt_test_fill_random(dx, N, 2);
    for (int k = 0; k < N_DTYPES; k++) {
        const int64_t n_bytes = N * bytes_of(dtypes[k]);
        float *from = to_gpu(add, sizeof add), *to = to_gpu(dx, sizeof dx);
        const dt_tensor a = {to_gpu(NULL, n_bytes), dtypes[k], 3, 48, 7, 5},
                        d = {to_gpu(NULL, n_bytes), dtypes[k], 3, 48, 7, 5};
        DT_CHECK_INT(dt_cuda_values_cast(NULL, from, N, dtypes[k], a.data), 0);
        DT_CHECK_INT(dt_cuda_values_cast(NULL, to, N, dtypes[k], d.data), 0);
        DT_CHECK_INT(dt_cuda_tensor_add(NULL, &a, &d), 0);
        for (int i = 0; i < N; i++)
            DT_REQUIRE(element(d.data, i, dtypes[k]) ==
                       rounded(rounded(add[i], dtypes[k]) + rounded(dx[i], dtypes[k]), dtypes[k]));
        check_guards();
        gpu->ops->free(gpu, a.data), gpu->ops->free(gpu, d.data);
        gpu->ops->free(gpu, from), gpu->ops->free(gpu, to);
    }
}

/* The update writes the mirror of the values that it changes, and nothing when the step is skipped. */
static void check_mirror_in(dt_dtype dtype)
{
    enum { N = DT_CUDA_CHUNK_ELEMS + 32, SEGMENTS = 2 };
    static const dt_update_segment segments[SEGMENTS] = {{0, N - 16, DT_UPDATE_SGD, 0.01F},
                                                         {N - 16, 16, DT_UPDATE_RUNNING_AVERAGE, 0}};
    static const dt_optimizer_desc desc = {.momentum = 0.9F,
                                           .running_average_rate = 0.1F,
                                           .loss_scaling = true,
                                           .growth = 2,
                                           .backoff = 0.5F,
                                           .growth_interval = 100};
    static float numbers[N], gradients[N];
    dt_cuda_chunk chunks[4];
    const int64_t n_chunks = dt_cuda_optimizer_chunks(segments, SEGMENTS, NULL);
    DT_REQUIRE(n_chunks == 3 && dt_cuda_optimizer_chunks(segments, SEGMENTS, chunks) == 3);
    dt_test_fill_random(numbers, N, 3);
    dt_test_fill_random(gradients, N, 4);
    float *values = to_gpu(numbers, sizeof numbers), *grads = to_gpu(gradients, sizeof gradients),
          *momentum = to_gpu(numbers, sizeof numbers);
    const dt_optimizer_vectors v = {.values = values, .grads = grads, .momentum = momentum};
    const dt_step_inputs inputs = {.lr = 0.1F};
    const dt_step_state state = {.loss_scale = 1024};
    const dt_cuda_optimizer_call call = {.desc = &desc,
                                         .chunks = to_gpu(chunks, 3 * sizeof *chunks),
                                         .n_chunks = 3,
                                         .n_segments = SEGMENTS,
                                         .scratch =
                                             to_gpu(NULL, dt_cuda_optimizer_scratch_bytes(3, SEGMENTS)),
                                         .mirror_dtype = dtype,
                                         .mirror = to_gpu(NULL, N * bytes_of(dtype)),
                                         .v = &v,
                                         .inputs = to_gpu(&inputs, sizeof inputs),
                                         .state = to_gpu(&state, sizeof state)};
    DT_CHECK_INT(dt_cuda_optimizer_step(NULL, &call), 0);
    for (int i = 0; i < N; i++)
        DT_REQUIRE(values[i] != numbers[i] && element(call.mirror, i, dtype) == rounded(values[i], dtype));
    memset(call.mirror, 0, (size_t)(N * bytes_of(dtype)));
    grads[N - 17] = INFINITY;
    DT_CHECK_INT(dt_cuda_optimizer_step(NULL, &call), 0);
    for (int i = 0; i < N; i++)
        DT_REQUIRE(element(call.mirror, i, dtype) == 0);
    DT_CHECK_INT(call.state->n_skipped, 1);
    DT_CHECK(call.state->loss_scale == 512);
    check_guards();
    gpu->ops->free(gpu, values), gpu->ops->free(gpu, grads), gpu->ops->free(gpu, momentum),
        gpu->ops->free(gpu, call.mirror);
    gpu->ops->free(gpu, call.scratch), gpu->ops->free(gpu, (void *)(uintptr_t)call.chunks);
    gpu->ops->free(gpu, (void *)(uintptr_t)call.inputs), gpu->ops->free(gpu, call.state);
}

static void the_update_refreshes_the_mirror_unless_the_step_is_skipped(void)
{
    for (int k = 0; k < N_DTYPES; k++)
        check_mirror_in(dtypes[k]);
}

/* A label beyond the classes must not make the kernel read outside of the row, and must be visible in the
 * loss. */
static void a_label_beyond_the_classes_makes_the_loss_nan(void)
{
    const int32_t labels[2] = {10, 3};
    float logits[2 * 10] = {0};
    const dt_loss_sums zero = {0};
    const dt_tensor x = {to_gpu(logits, sizeof logits), DT_F32, 2, 10, 1, 1};
    int32_t *l = to_gpu(labels, sizeof labels);
    dt_loss_sums *sums = to_gpu(&zero, sizeof zero);
    void *scratch = to_gpu(NULL, dt_cuda_softmax_loss_scratch_bytes(2));
    uint8_t *flags = to_gpu(NULL, DT_CUDA_CHANNEL_FLAGS);
    memset(flags, 0, DT_CUDA_CHANNEL_FLAGS);
    DT_CHECK_INT(dt_cuda_softmax_loss(NULL, &x, l, 0, 1, NULL, scratch, NULL, flags, sums), 0);
    DT_CHECK(isnan(sums->loss) && sums->n == 2 && sums->top5 == 1);
    check_guards();
    gpu->ops->free(gpu, x.data), gpu->ops->free(gpu, l), gpu->ops->free(gpu, sums),
        gpu->ops->free(gpu, scratch), gpu->ops->free(gpu, flags);
}

static void a_tensor_without_elements_launches_nothing(void)
{
    const dt_tensor none = {NULL, DT_F16, 0, 64, 7, 7};
    const dt_act act = {.raw = none};
    const int64_t before = dt_emulator_n_launches();
    DT_CHECK_INT(dt_cuda_bn_sums(NULL, &none, NULL, NULL), 0);
    DT_CHECK_INT(dt_cuda_act_materialize(NULL, &act, &none), 0);
    DT_CHECK_INT(dt_cuda_residual_forward(NULL, &act, &act, &none, NULL), 0);
    DT_CHECK_INT(dt_cuda_values_cast(NULL, NULL, 0, DT_F16, NULL), 0);
    DT_CHECK_INT(dt_emulator_n_launches(), before);
}

static const dt_test tests[] = {
    DT_TEST(the_mirror_and_a_gradient_of_any_length_are_converted),
    DT_TEST(one_launch_converts_all_gradients_of_its_table),
    DT_TEST(batchnorm_also_writes_scale_and_bias_in_16_bits),
    DT_TEST(a_channel_that_is_not_finite_sets_its_flag),
    DT_TEST(a_flag_makes_the_next_loss_nan),
    DT_TEST(the_sums_of_pooling_are_of_the_gradient_that_is_stored),
    DT_TEST(a_join_rounds_as_graphs_do_in_fp16_and_masks_what_it_stores),
    DT_TEST(tensors_are_added),
    DT_TEST(the_update_refreshes_the_mirror_unless_the_step_is_skipped),
    DT_TEST(a_label_beyond_the_classes_makes_the_loss_nan),
    DT_TEST(a_tensor_without_elements_launches_nothing),
};
DT_TEST_MAIN("layers/cuda_launchers", tests)
