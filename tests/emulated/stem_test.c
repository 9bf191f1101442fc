/* The convolution that reads the image, by space to depth: images of odd sizes, from pixels to the weights'
 * gradient, against ref; what happens where the library lacks a graph; planted mistakes. */
#include "layers/arithmetic.h"
#include "layers/cuda/cuda_internal.h"
#include "tests/emulated/gpu_emulated.h"
#include "tests/emulator/emulator.h"
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float mean[3] = {0.485F, 0.456F, 0.406F}, std[3] = {0.229F, 0.224F, 0.225F};
static dt_error err;

static dt_conv_desc stem_desc(int64_t n, int64_t h, int64_t w)
{
    return (dt_conv_desc){.n = n,
                          .c = 3,
                          .h = h,
                          .w = w,
                          .k = 16,
                          .r = 7,
                          .s = 7,
                          .stride = 2,
                          .pad = 3,
                          .for_training = true,
                          .reads_image = true,
                          .input = DT_CONV_INPUT_PLAIN};
}

static dt_emulated_gpu gpu_of(dt_dtype dtype, dt_interpreted_gpu gpu)
{
    return dt_emulated_gpu_create(&(dt_emulated_gpu_options){.dtype = dtype, .interpreter = {.gpu = gpu}});
}

static void *to_device(dt_kernels *k, const void *host, int64_t bytes)
{
    void *data = k->device->ops->alloc(k->device, bytes);
    DT_REQUIRE(data &&
               k->device->ops->copy(k->device, data, host, bytes, DT_COPY_TO_DEVICE, NULL, &err) == DT_OK &&
               k->device->ops->stream_wait(k->device, NULL, &err) == DT_OK);
    return data;
}

static dt_tensor new_tensor(dt_kernels *k, int64_t n, int64_t c, int64_t h, int64_t w)
{
    const int64_t bytes = k->ops->tensor_bytes(k, n, c, h, w);
    dt_tensor t = {
        .data = k->device->ops->alloc(k->device, bytes), .dtype = k->dtype, .n = n, .c = c, .h = h, .w = w};
    DT_REQUIRE(t.data);
    return t;
}

static float *exported(dt_kernels *k, const dt_tensor *t)
{
    float *nchw = malloc((size_t)(t->n * t->c * t->h * t->w) * sizeof *nchw);
    DT_REQUIRE(nchw && k->ops->tensor_export(k, t, nchw, &err) == DT_OK);
    k->device->ops->free(k->device, t->data);
    return nchw;
}

/* What one backend makes of the same pixels, weights and gradient. */
typedef struct pass {
    float *image, *y, *dw; /* NCHW, NCHW, OIHW; malloc'ed */
} pass;

static void free_pass(pass *p)
{
    free(p->image), free(p->y), free(p->dw);
}

static float *flat_weights(dt_kernels *k, const dt_conv *conv, const float *oihw)
{
    const int64_t n = k->ops->conv_weights_elems(k, conv);
    float *own = calloc((size_t)n, sizeof *own);
    dt_weights_order order;
    DT_REQUIRE(own);
    k->ops->conv_weights_order(k, conv, &order);
    dt_weights_from_canonical(&order, oihw, own);
    float *on_device = to_device(k, own, n * (int64_t)sizeof *own);
    free(own);
    return on_device;
}

static float *gradient_of(dt_kernels *k, dt_conv *conv, const dt_conv_desc *d, const dt_tensor *x,
                          const dt_tensor *dy)
{
    const int64_t n = k->ops->conv_weights_elems(k, conv), bytes = n * (int64_t)sizeof(float);
    const dt_act act = {.raw = *x};
    float *own = calloc((size_t)n, sizeof *own);
    float *oihw = malloc((size_t)(d->k * d->c * d->r * d->s) * sizeof *oihw);
    dt_weights_order order;
    DT_REQUIRE(own && oihw);
    float *dw = to_device(k, own, bytes);
    for (int accumulate = 0; accumulate < 2; accumulate++) /* twice the gradient */
        DT_REQUIRE_MSG(k->ops->conv_backward_weights(k, conv, &act, dy, dw, accumulate != 0, &err) == DT_OK,
                       "%s", err.message);
    DT_REQUIRE(k->device->ops->copy(k->device, own, dw, bytes, DT_COPY_TO_HOST, NULL, &err) == DT_OK &&
               k->device->ops->stream_wait(k->device, NULL, &err) == DT_OK);
    k->ops->conv_weights_order(k, conv, &order);
    dt_weights_to_canonical(&order, own, oihw);
    k->device->ops->free(k->device, dw);
    free(own);
    return oihw;
}

static void blank(dt_kernels *k, void *data, int64_t bytes)
{
    DT_REQUIRE(bytes == 0 || k->device->ops->zero(k->device, data, bytes, NULL, &err) == DT_OK);
}

/* From pixels to y and dw; the image's values are exported while the convolution exists. */
static pass run(dt_kernels *k, const dt_conv_desc *d, const uint8_t *pixels, const float *oihw,
                float *dy_nchw)
{
    dt_conv *conv = NULL;
    pass p = {0};
    DT_REQUIRE_MSG(k->ops->conv_create(k, d, &conv, &err) == DT_OK, "%s", err.message);
    uint8_t *on_device = to_device(k, pixels, d->n * d->h * d->w * 3);
    float *w = flat_weights(k, conv, oihw);
    dt_act x = {.raw = new_tensor(k, d->n, 3, d->h, d->w)};
    dt_tensor y = new_tensor(k, d->n, d->k, dt_conv_out_h(d), dt_conv_out_w(d)),
              dy = new_tensor(k, y.n, y.c, y.h, y.w);
    DT_REQUIRE(k->ops->tensor_import(k, dy_nchw, &dy, &err) == DT_OK);
    if (strcmp(k->ops->name, "cuda") == 0) /* so that what a kernel leaves out is read as 0 */
        blank(k, conv->stem.weights.data, conv->stem.weights.bytes);
    blank(k, x.raw.data, k->ops->tensor_bytes(k, d->n, 3, d->h, d->w));
    DT_REQUIRE(k->ops->conv_weights_changed(k, conv, w, &err) == DT_OK);
    DT_REQUIRE(k->ops->normalize_input(k, on_device, mean, std, &x.raw, &err) == DT_OK);
    DT_REQUIRE_MSG(k->ops->conv_forward(k, conv, &x, w, &y, NULL, &err) == DT_OK, "%s", err.message);
    p.dw = gradient_of(k, conv, d, &x.raw, &dy);
    p.y = exported(k, &y);
    p.image = exported(k, &x.raw);
    k->device->ops->free(k->device, dy.data);
    k->device->ops->free(k->device, w);
    k->device->ops->free(k->device, on_device);
    k->ops->conv_destroy(k, conv);
    return p;
}

/* Return the largest relative error of y and dw; *image_differs: the image has other bits than ref's. */
static double compare(dt_emulated_gpu *g, const dt_conv_desc *d, bool *image_differs)
{
    enum { MAX = 1 << 16 };
    static uint8_t pixels[MAX];
    static float oihw[MAX], dy[MAX];
    const int64_t n_in = d->n * 3 * d->h * d->w, n_w = d->k * 3 * d->r * d->s,
                  n_out = d->n * d->k * dt_conv_out_h(d) * dt_conv_out_w(d);
    DT_REQUIRE(n_in <= MAX && n_w <= MAX && n_out <= MAX);
    for (int64_t i = 0; i < n_in; i++)
        pixels[i] = (uint8_t)(i * 97 + i / 251);
    dt_test_fill_random(oihw, n_w, 1);
    dt_test_fill_random(dy, n_out, 2);
    for (int64_t i = 0; i < n_w; i++)
        oihw[i] = ldexpf(roundf(ldexpf(oihw[i], 6)), -6); /* the same in 16 bits */
    for (int64_t i = 0; i < n_out; i++)
        dy[i] = ldexpf(roundf(ldexpf(dy[i], 6)), -6);
    pass cuda = run(g->kernels, d, pixels, oihw, dy), ref = run(g->ref, d, pixels, oihw, dy);
    *image_differs = memcmp(cuda.image, ref.image, (size_t)n_in * sizeof(float)) != 0;
    const double of_y = dt_test_relative_error(cuda.y, ref.y, n_out),
                 of_dw = dt_test_relative_error(cuda.dw, ref.dw, n_w);
    free_pass(&cuda), free_pass(&ref);
    return of_y > of_dw ? of_y : of_dw;
}

static const struct {
    int64_t h, w;
} sizes[] = {{32, 32}, {37, 37}, {9, 14}, {14, 9}, {7, 7}, {1, 2}};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

static void from_pixels_to_the_gradient_it_agrees_with_ref(void)
{
    static const struct {
        dt_dtype dtype;
        dt_interpreted_gpu gpu;
        double tolerance;
    } runs[] = {{DT_F16, DT_INTERPRET_A100, 2e-3},
                {DT_F16, DT_INTERPRET_T4, 2e-3},
                {DT_BF16, DT_INTERPRET_A100, 1e-2},
                {DT_F32, DT_INTERPRET_A100, 1e-5}};
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
        dt_emulated_gpu g = gpu_of(runs[r].dtype, runs[r].gpu);
        for (int i = 0; i < N_SIZES; i++) {
            bool differs = false;
            const dt_conv_desc d = stem_desc(2, sizes[i].h, sizes[i].w);
            const double error = compare(&g, &d, &differs);
            DT_CHECK_MSG(error < runs[r].tolerance && !differs, "run %d, %dx%d: error %g%s", (int)r, (int)d.h,
                         (int)d.w, error, differs ? ", another image" : "");
        }
        dt_emulated_gpu_destroy(&g);
    }
}

static bool uses_blocks(dt_emulated_gpu *g, const dt_conv_desc *d)
{
    dt_conv *conv = NULL;
    DT_REQUIRE(g->kernels->ops->conv_create(g->kernels, d, &conv, &err) == DT_OK);
    const bool uses = conv->stem.is_used;
    DT_CHECK(!uses || g->kernels->ops->conv_fusions(g->kernels, conv) == DT_CONV_FUSE_SUMS);
    g->kernels->ops->conv_destroy(g->kernels, conv);
    return uses;
}

static void only_16_bits_of_stride_2_with_fused_sums_use_blocks(void)
{
    const dt_conv_desc d = stem_desc(1, 32, 32);
    dt_conv_desc small = d, inference = d;
    small.r = small.s = 3, small.stride = small.pad = 1; /* of 32-pixel networks */
    inference.for_training = false;
    dt_emulated_gpu g = gpu_of(DT_F16, DT_INTERPRET_A100);
    DT_CHECK(uses_blocks(&g, &d) && uses_blocks(&g, &inference) && !uses_blocks(&g, &small));
    dt_emulated_gpu_destroy(&g);
    g = gpu_of(DT_F16, DT_INTERPRET_T4);
    DT_CHECK(!uses_blocks(&g, &d) && !uses_blocks(&g, &inference));
    dt_emulated_gpu_destroy(&g);
    g = gpu_of(DT_F32, DT_INTERPRET_A100);
    DT_CHECK(!uses_blocks(&g, &d));
    dt_emulated_gpu_destroy(&g);
}

/* Two layers of one shape have weights of their own, and readers of the same images agree. */
static void stems_are_not_shared_and_agree_on_the_images(void)
{
    dt_emulated_gpu g = gpu_of(DT_F16, DT_INTERPRET_A100);
    dt_conv_desc d = stem_desc(1, 32, 32), other = d;
    dt_conv *one = NULL, *two = NULL, *pixels = NULL;
    other.r = other.s = 3, other.stride = other.pad = 1;
    DT_REQUIRE(g.kernels->ops->conv_create(g.kernels, &d, &one, &err) == DT_OK);
    DT_REQUIRE(g.kernels->ops->conv_create(g.kernels, &d, &two, &err) == DT_OK);
    DT_CHECK(one != two && one->stem.weights.data != two->stem.weights.data);
    DT_CHECK_INT(g.kernels->ops->conv_create(g.kernels, &other, &pixels, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "reads the same 1 images of 32x32 as blocks");
    g.kernels->ops->conv_destroy(g.kernels, one);
    g.kernels->ops->conv_destroy(g.kernels, two);
    DT_REQUIRE(g.kernels->ops->conv_create(g.kernels, &other, &pixels, &err) == DT_OK);
    DT_REQUIRE(g.kernels->ops->conv_create(g.kernels, &d, &one, &err) == DT_OK);
    DT_CHECK(!one->stem.is_used);
    g.kernels->ops->conv_destroy(g.kernels, pixels);
    g.kernels->ops->conv_destroy(g.kernels, one);
    dt_emulated_gpu_destroy(&g);
}

/* Every value of every channel has the bits of the formula, in both kernels. */
static void the_table_has_the_bits_of_the_formula(void)
{
    enum { SIZE = 16, N = SIZE * SIZE };
    uint8_t pixels[3 * N];
    for (int i = 0; i < N; i++)
        for (int c = 0; c < 3; c++)
            pixels[3 * i + c] = (uint8_t)(i + 85 * c);
    dt_emulated_gpu g = gpu_of(DT_F32, DT_INTERPRET_A100);
    dt_tensor y = new_tensor(g.kernels, 1, 3, SIZE, SIZE);
    uint8_t *on_device = to_device(g.kernels, pixels, sizeof pixels);
    DT_REQUIRE(g.kernels->ops->normalize_input(g.kernels, on_device, mean, std, &y, &err) == DT_OK);
    float *nchw = exported(g.kernels, &y);
    for (int i = 0; i < N; i++)
        for (int c = 0; c < 3; c++) {
            const float expected = dt_pixel_value(pixels[3 * i + c], mean[c], std[c]);
            DT_REQUIRE(memcmp(&nchw[c * N + i], &expected, sizeof expected) == 0);
        }
    free(nchw);
    g.device->ops->free(g.device, on_device);
    dt_emulated_gpu_destroy(&g);
}

static void planted_mistakes_are_caught(void)
{
    static const struct {
        const char *kernel;
        dt_emulator_mistake mistake;
    } mistakes[] = {{"normalize_blocks", DT_EMULATOR_NO_LAST_BLOCK},
                    {"normalize_blocks", DT_EMULATOR_NO_BARRIERS},
                    {"stem_weights", DT_EMULATOR_NO_LAST_BLOCK},
                    {"stem_gradient", DT_EMULATOR_NO_LAST_BLOCK}};
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        bool differs = false;
        dt_emulated_gpu g = gpu_of(DT_F16, DT_INTERPRET_A100);
        const dt_conv_desc d = stem_desc(2, 37, 37);
        dt_emulator_plant(mistakes[i].kernel, mistakes[i].mistake);
        const double error = compare(&g, &d, &differs);
        dt_emulator_plant(NULL, DT_EMULATOR_NO_LAUNCH);
        DT_CHECK_MSG(differs || !(error < 2e-3), "mistake %d was not detected", (int)i);
        dt_emulated_gpu_destroy(&g);
    }
}

static const dt_test tests[] = {
    DT_TEST(from_pixels_to_the_gradient_it_agrees_with_ref),
    DT_TEST(only_16_bits_of_stride_2_with_fused_sums_use_blocks),
    DT_TEST(stems_are_not_shared_and_agree_on_the_images),
    DT_TEST(the_table_has_the_bits_of_the_formula),
    DT_TEST(planted_mistakes_are_caught),
};
DT_TEST_MAIN("emulated/stem", tests)
