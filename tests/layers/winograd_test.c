/* layers/cpu/winograd.c against the textbook formula, for both block sizes, with every instruction set that
 * this processor has. */
#include "config.h"

#include "core/base/alloc.h"
#include "core/base/rng.h"
#include "layers/cpu/kernels_cpu.h"
#include "layers/cpu/winograd.h"
#include "layers/device_host.h"
#include "tests/naive.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int dt_test_time_limit_s = 300;

/* Relative to the largest element; measured: 1e-6. */
#define TOLERANCE 4e-6

typedef struct job {
    dt_cpu_kernels *cpu;
    dt_conv_desc desc;
    int64_t block;
    dt_act act;
    float *x, *w, *dy, *y, *dx, *dw; /* in the backend's layouts */
    float *scale, *bias;
    double *nchw_x, *oihw, *nchw_dy, *nchw_y, *nchw_dx, *oihw_dw;
} job;

/* -- layouts --------------------------------------------------------------------------------------------- */

static int64_t act_offset(const job *j, int64_t n, int64_t n_channels, int64_t c, int64_t pixel)
{
    const int64_t pixels = j->desc.h * j->desc.w;
    return ((n * n_channels / j->block + c / j->block) * pixels + pixel) * j->block + c % j->block;
}

static int64_t weight_offset(const job *j, int64_t k, int64_t c, int64_t tap)
{
    const int64_t b = j->block;
    return (((k / b) * (j->desc.c / b) + c / b) * 9 + tap) * b * b + c % b * b + k % b;
}

static void to_blocks(const job *j, int64_t n_channels, const double *nchw, float *to)
{
    const int64_t pixels = j->desc.h * j->desc.w;
    for (int64_t n = 0; n < j->desc.n; n++)
        for (int64_t c = 0; c < n_channels; c++)
            for (int64_t i = 0; i < pixels; i++)
                to[act_offset(j, n, n_channels, c, i)] = (float)nchw[(n * n_channels + c) * pixels + i];
}

/* The largest difference divided by the largest element. */
static double error_of(const job *j, int64_t n_channels, const float *got, const double *nchw)
{
    const int64_t pixels = j->desc.h * j->desc.w;
    double most = 0, largest = 0;
    for (int64_t n = 0; n < j->desc.n; n++)
        for (int64_t c = 0; c < n_channels; c++)
            for (int64_t i = 0; i < pixels; i++) {
                const double right = nchw[(n * n_channels + c) * pixels + i],
                             d = fabs(got[act_offset(j, n, n_channels, c, i)] - right);
                most = d > most || isnan(d) ? d : most;
                largest = fmax(largest, fabs(right));
            }
    return most / largest;
}

static double weight_error_of(const job *j)
{
    double most = 0, largest = 0;
    for (int64_t k = 0; k < j->desc.k; k++)
        for (int64_t c = 0; c < j->desc.c; c++)
            for (int64_t tap = 0; tap < 9; tap++) {
                const double right = j->oihw_dw[(k * j->desc.c + c) * 9 + tap],
                             d = fabs(j->dw[weight_offset(j, k, c, tap)] - right);
                most = d > most || isnan(d) ? d : most;
                largest = fmax(largest, fabs(right));
            }
    return most / largest;
}

/* -- the textbook ---------------------------------------------------------------------------------------- */

static double value_of(const double *x, const dt_conv_desc *d, int64_t plane, int64_t row, int64_t column)
{
    return row >= 0 && row < d->h && column >= 0 && column < d->w ? x[(plane * d->h + row) * d->w + column]
                                                                  : 0;
}

static void naive_gradients(job *j)
{
    const dt_conv_desc *d = &j->desc;
    memset(j->nchw_dx, 0, (size_t)(d->n * d->c * d->h * d->w) * sizeof(double));
    memset(j->oihw_dw, 0, (size_t)(d->k * d->c * 9) * sizeof(double));
    for (int64_t n = 0; n < d->n; n++)
        for (int64_t k = 0; k < d->k; k++)
            for (int64_t c = 0; c < d->c; c++)
                for (int64_t i = 0; i < d->h * d->w * 9; i++) {
                    const int64_t row = i / 9 / d->w, column = i / 9 % d->w, tap = i % 9;
                    const double dy = value_of(j->nchw_dy, d, n * d->k + k, row, column);
                    j->oihw_dw[(k * d->c + c) * 9 + tap] +=
                        dy * value_of(j->nchw_x, d, n * d->c + c, row + tap / 3 - 1, column + tap % 3 - 1);
                    j->nchw_dx[((n * d->c + c) * d->h + row) * d->w + column] +=
                        value_of(j->nchw_dy, d, n * d->k + k, row + 1 - tap / 3, column + 1 - tap % 3) *
                        j->oihw[(k * d->c + c) * 9 + tap];
                }
}

/* -- a job ----------------------------------------------------------------------------------------------- */

static double *uniform(int64_t n, uint64_t seed)
{
    double *p = dt_alloc((size_t)n * sizeof *p);
    dt_rng g = dt_rng_at(seed, DT_RNG_TEST, 0, 0);
    for (int64_t i = 0; i < n; i++)
        p[i] = 2.0F * dt_rng_uniform(&g) - 1.0F;
    return p;
}

/* Make the input lazy: x gets the raw values (nchw_x - bias) / scale, and nchw_x the values that the
 * convolution then reads, relu included. */
static void make_lazy(job *j)
{
    const int64_t pixels = j->desc.h * j->desc.w;
    for (int64_t c = 0; c < j->desc.c; c++) {
        j->scale[c] = c % 2 ? 0.5F : 2.0F;
        j->bias[c] = 0.25F;
    }
    for (int64_t i = 0; i < j->desc.n * j->desc.c * pixels; i++) {
        const int64_t n = i / pixels / j->desc.c, c = i / pixels % j->desc.c;
        float *raw = &j->x[act_offset(j, n, j->desc.c, c, i % pixels)];
        *raw = ((float)j->nchw_x[i] - j->bias[c]) / j->scale[c];
        j->nchw_x[i] = fmaxf(0, fmaf(*raw, j->scale[c], j->bias[c]));
    }
    j->act.scale = j->scale;
    j->act.bias = j->bias;
    j->act.relu = true;
}

static job make(dt_cpu_kernels *cpu, const dt_conv_desc *d, bool lazy)
{
    const int64_t pixels = d->h * d->w, n_x = d->n * d->c * pixels, n_y = d->n * d->k * pixels,
                  n_w = d->k * d->c * 9;
    job j = {.cpu = cpu, .desc = *d, .block = cpu->block};
    j.nchw_x = uniform(n_x, 1);
    j.oihw = uniform(n_w, 2);
    j.nchw_dy = uniform(n_y, 3);
    j.nchw_y = uniform(n_y, 4);
    j.nchw_dx = uniform(n_x, 5);
    j.oihw_dw = uniform(n_w, 6);
    float **const tensors[] = {&j.x, &j.w, &j.dy, &j.y, &j.dx, &j.dw, &j.scale, &j.bias};
    const int64_t sizes[] = {n_x, n_w, n_y, n_y, n_x, n_w, d->c, d->c};
    for (int i = 0; i < 8; i++)
        *tensors[i] = dt_alloc((size_t)sizes[i] * sizeof(float));
    to_blocks(&j, d->c, j.nchw_x, j.x);
    to_blocks(&j, d->k, j.nchw_dy, j.dy);
    for (int64_t i = 0; i < n_w; i++)
        j.w[weight_offset(&j, i / 9 / d->c, i / 9 % d->c, i % 9)] = (float)j.oihw[i];
    if (lazy)
        make_lazy(&j);
    naive_conv(d, j.nchw_x, j.oihw, j.nchw_y);
    naive_gradients(&j);
    return j;
}

static void unmake(job *j)
{
    void *const all[] = {j->x,    j->w,      j->dy,   j->y,       j->dx,     j->dw,      j->scale,
                         j->bias, j->nchw_x, j->oihw, j->nchw_dy, j->nchw_y, j->nchw_dx, j->oihw_dw};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        dt_free(all[i]);
}

static float *scratch_of(const job *j, dt_direction direction)
{
    const int64_t bytes = dt_winograd_scratch_bytes(j->cpu, &j->desc, direction);
    float *scratch = dt_alloc((size_t)bytes);
    memset(scratch, 0xff, (size_t)bytes); /* NaN, to detect reads of unwritten memory */
    return scratch;
}

/* Run forward with chunks of one image. */
static void run_forward(job *j)
{
    const int64_t pixels = j->desc.h * j->desc.w;
    float *scratch = scratch_of(j, DT_FORWARD);
    dt_winograd_weights(j->cpu, &j->desc, DT_FORWARD, j->w, scratch);
    for (int64_t n = 0; n < j->desc.n; n++)
        dt_winograd_run(j->cpu, &j->desc, DT_FORWARD, 1, &j->act, j->x + n * j->desc.c * pixels,
                        j->y + n * j->desc.k * pixels, scratch);
    dt_free(scratch);
}

static void run_data(job *j)
{
    float *scratch = scratch_of(j, DT_BACKWARD_DATA);
    dt_winograd_weights(j->cpu, &j->desc, DT_BACKWARD_DATA, j->w, scratch);
    dt_winograd_run(j->cpu, &j->desc, DT_BACKWARD_DATA, j->desc.n, NULL, j->dy, j->dx, scratch);
    dt_free(scratch);
}

static void run_weights(job *j, bool accumulate)
{
    float *scratch = scratch_of(j, DT_BACKWARD_WEIGHTS);
    dt_winograd_gradient_begin(&j->desc, scratch);
    dt_winograd_gradient_add(j->cpu, &j->desc, j->desc.n, &j->act, j->x, j->dy, scratch);
    dt_winograd_gradient_end(j->cpu, &j->desc, accumulate, j->dw, scratch);
    dt_free(scratch);
}

/* -- every table, both blocks ---------------------------------------------------------------------------- */

static dt_device *device;

static dt_cpu_kernels *create(int64_t n_threads)
{
    dt_error err = {0};
    dt_kernels *k = NULL;
    if (device == NULL)
        DT_REQUIRE(dt_device_host_create(4, &device, &err) == DT_OK);
    DT_REQUIRE_MSG(dt_kernels_cpu_create(device, n_threads, &k, &err) == DT_OK, "%s", err.message);
    return dt_cpu(k);
}

static void check(dt_cpu_kernels *cpu, const dt_conv_desc *d, bool lazy)
{
    job j = make(cpu, d, lazy);
    run_forward(&j);
    run_data(&j);
    run_weights(&j, false);
    const double errors[] = {error_of(&j, d->k, j.y, j.nchw_y), error_of(&j, d->c, j.dx, j.nchw_dx),
                             weight_error_of(&j)};
    printf("%s, block %lld, %lldx%lldx%lldx%lld -> %lld%s: %.1e %.1e %.1e\n", cpu->simd->name,
           (long long)cpu->block, (long long)d->n, (long long)d->c, (long long)d->h, (long long)d->w,
           (long long)d->k, lazy ? ", lazy" : "", errors[0], errors[1], errors[2]);
    for (int i = 0; i < 3; i++)
        DT_CHECK_MSG(errors[i] < TOLERANCE, "direction %d: %g", i, errors[i]);
    run_weights(&j, true);
    for (int64_t i = 0; i < d->k * d->c * 9; i++)
        j.oihw_dw[i] *= 2;
    DT_CHECK(weight_error_of(&j) < TOLERANCE);
    unmake(&j);
}

static void check_table(const dt_cpu_simd *simd)
{
    /* Whole tiles; tiles that reach beyond the image on both sides; images smaller than a tile; more tiles
     * than are processed at a time. */
    static const dt_conv_desc shapes[] = {{.n = 2, .c = 32, .h = 8, .w = 8, .k = 64},
                                          {.n = 3, .c = 64, .h = 7, .w = 13, .k = 32},
                                          {.n = 5, .c = 32, .h = 1, .w = 3, .k = 32},
                                          {.n = 2, .c = 32, .h = 33, .w = 30, .k = 32}};
    dt_cpu_kernels *cpu = create(2);
    cpu->simd = simd;
    for (int64_t block = 8; block <= 16; block += 8) {
        cpu->block = block;
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            dt_conv_desc d = shapes[i];
            d.r = d.s = 3;
            d.stride = d.pad = 1;
            DT_CHECK(dt_winograd_can(cpu, &d));
            check(cpu, &d, i % 2 == 1);
        }
    }
    cpu->base.ops->destroy(&cpu->base);
}

static void the_baseline_agrees_with_the_textbook(void)
{
    check_table(&dt_cpu_simd_baseline);
}

static void avx2_agrees_with_the_textbook(void)
{
#if defined DT_BUILD_AVX2
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        check_table(&dt_cpu_simd_avx2);
        return;
    }
#endif
    DT_SKIP("no AVX2 here");
}

static void avx512_agrees_with_the_textbook(void)
{
#if defined DT_BUILD_AVX512
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
        check_table(&dt_cpu_simd_avx512);
        return;
    }
#endif
    DT_SKIP("no AVX-512 here");
}

static void unsupported_shapes_are_declined(void)
{
    static const dt_conv_desc others[] = {
        {.n = 1, .c = 32, .h = 8, .w = 8, .k = 32, .r = 3, .s = 3, .stride = 2, .pad = 1},
        {.n = 1, .c = 32, .h = 8, .w = 8, .k = 32, .r = 3, .s = 3, .stride = 1, .pad = 0},
        {.n = 1, .c = 32, .h = 8, .w = 8, .k = 32, .r = 1, .s = 1, .stride = 1, .pad = 0},
        {.n = 1, .c = 8, .h = 8, .w = 8, .k = 32, .r = 3, .s = 3, .stride = 1, .pad = 1}};
    dt_cpu_kernels *cpu = create(1);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        DT_CHECK(!dt_winograd_can(cpu, &others[i]));
    cpu->base.ops->destroy(&cpu->base);
}

/* More threads than tiles, and shares that end inside a group of tiles. */
static void the_number_of_threads_changes_no_bit(void)
{
    const dt_conv_desc d = {
        .n = 3, .c = 32, .h = 22, .w = 18, .k = 32, .r = 3, .s = 3, .stride = 1, .pad = 1};
    const int64_t n_x = d.n * d.c * d.h * d.w, n_w = d.k * d.c * 9;
    dt_cpu_kernels *one = create(1);
    job first = make(one, &d, true);
    run_forward(&first);
    run_data(&first);
    run_weights(&first, false);
    for (int64_t n_threads = 2; n_threads <= 5; n_threads++) {
        dt_cpu_kernels *cpu = create(n_threads);
        job j = make(cpu, &d, true);
        run_forward(&j);
        run_data(&j);
        run_weights(&j, false);
        DT_CHECK(memcmp(j.y, first.y, (size_t)n_x * sizeof(float)) == 0);
        DT_CHECK(memcmp(j.dx, first.dx, (size_t)n_x * sizeof(float)) == 0);
        DT_CHECK(memcmp(j.dw, first.dw, (size_t)n_w * sizeof(float)) == 0);
        unmake(&j);
        cpu->base.ops->destroy(&cpu->base);
    }
    unmake(&first);
    one->base.ops->destroy(&one->base);
}

static const dt_test tests[] = {
    DT_TEST(the_baseline_agrees_with_the_textbook), DT_TEST(avx2_agrees_with_the_textbook),
    DT_TEST(avx512_agrees_with_the_textbook),       DT_TEST(unsupported_shapes_are_declined),
    DT_TEST(the_number_of_threads_changes_no_bit),
};

DT_TEST_MAIN("layers/winograd", tests)
