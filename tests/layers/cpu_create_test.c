/* Creating layers/cpu, using several at once, and destroying it: memory, chunks, threads, errors. */
#include "core/base/alloc.h"
#include "layers/cpu/conv_internal.h"
#include "layers/cpu/kernels_cpu.h"
#include "tests/cpu_cases.h"
#include "tests/testing.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static dt_cpu_pair pair;

void dt_test_set_up(void)
{
    pair = dt_cpu_pair_create(2);
}

void dt_test_tear_down(void)
{
    dt_cpu_pair_destroy(&pair);
}

static dt_status make_and_destroy(dt_error *err)
{
    dt_conv_desc d = {.n = 5,
                      .c = 16,
                      .h = 8,
                      .w = 8,
                      .k = 16,
                      .r = 3,
                      .s = 3,
                      .stride = 1,
                      .pad = 1,
                      .for_training = true};
    dt_kernels *k = NULL;
    dt_conv *conv = NULL, *larger = NULL;
    dt_linear *linear = NULL;
    dt_status status = dt_kernels_cpu_create(pair.device, 1, &k, err);
    if (status == DT_OK)
        status = k->ops->conv_create(k, &d, &conv, err);
    d.h = 80; /* needs more scratch memory than the first one */
    if (status == DT_OK)
        status = k->ops->conv_create(k, &d, &larger, err);
    if (status == DT_OK)
        status = k->ops->linear_create(k, 1, 16, 16, &linear, err);
    if (k == NULL)
        return status;
    DT_CHECK(status != DT_OK || k->ops->scratch_bytes(k) > 0);
    k->ops->linear_destroy(k, linear);
    k->ops->conv_destroy(k, larger);
    k->ops->conv_destroy(k, conv);
    k->ops->destroy(k);
    return status;
}

static void every_allocation_may_fail(void)
{
    const int64_t n_before = dt_alloc_live_blocks();
    int n_failures = 0;
    for (;; n_failures++) {
        dt_error err = {0};
        dt_alloc_fail_after(n_failures + 1);
        const dt_status status = make_and_destroy(&err);
        dt_alloc_fail_after(0);
        DT_CHECK_INT(dt_alloc_live_blocks(), n_before);
        if (status == DT_OK)
            break;
        DT_CHECK_INT(status, DT_ERR_MEMORY);
        DT_CHECK_CONTAINS(err.message, "out of memory");
    }
    DT_CHECK(n_failures >= 6); /* the kernels, two convolutions, scratch memory for each, a linear layer */
}

/* Check that every image is in one chunk, in order, and that chunks differ by at most one image. */
static void check_chunks(const dt_conv_pass *pass, int64_t n)
{
    int64_t next = 0;
    for (int64_t i = 0; i < pass->n_chunks; i++) {
        const dt_conv_chunk chunk = dt_conv_chunk_at(pass, i);
        DT_CHECK_INT(chunk.first, next);
        DT_CHECK(chunk.n == pass->larger || chunk.n == pass->larger - 1);
        DT_CHECK(chunk.n >= 1);
#if defined                                                                                                  \
    __x86_64__ /* oneDNN for aarch64 may have no convolution of these blocks: then conv_gemm.c computes it */
        DT_CHECK(pass->method != DT_CONV_BY_ONEDNN || chunk.prepared->primitive != NULL);
#endif
        next += chunk.n;
    }
    DT_CHECK_INT(next, n);
}

static void chunks_cover_every_batch(void)
{
    dt_error err = {0};
    for (int64_t n = 1; n <= 29; n++) {
        const dt_conv_desc d = {.n = n,
                                .c = 32,
                                .h = 30,
                                .w = 30,
                                .k = 64,
                                .r = 3,
                                .s = 3,
                                .stride = 2,
                                .pad = 1,
                                .for_training = true};
        dt_conv *conv = NULL;
        DT_REQUIRE_MSG(pair.cpu->ops->conv_create(pair.cpu, &d, &conv, &err) == DT_OK, "%s", err.message);
        check_chunks(&conv->forward, n);
        check_chunks(&conv->backward_data, n);
        check_chunks(&conv->backward_weights, n);
        DT_CHECK(n < 20 || conv->forward.n_chunks > 1);
        pair.cpu->ops->conv_destroy(pair.cpu, conv);
    }
}

/* -- kernels of different numbers of threads, and calling threads ---------------------------------------- */

typedef struct run {
    dt_kernels *k;
    dt_conv *conv;
    dt_tensor x, y;
    float *w;
} run;

static const dt_conv_desc shape = {
    .n = 3, .c = 64, .h = 9, .w = 7, .k = 32, .r = 3, .s = 3, .stride = 1, .pad = 1};

static dt_tensor tensor(int64_t c, uint64_t seed)
{
    dt_tensor t = {NULL, DT_F32, shape.n, c, shape.h, shape.w};
    t.data = dt_alloc((size_t)dt_cpu_elems(&t) * sizeof(float));
    DT_REQUIRE(t.data != NULL);
    dt_test_fill_random(t.data, dt_cpu_elems(&t), seed);
    return t;
}

static run run_open(int64_t n_threads)
{
    dt_error err = {0};
    run r = {.x = tensor(shape.c, 1), .y = tensor(shape.k, 2)};
    const int64_t n_weights = shape.k * shape.c * 9;
    DT_REQUIRE_MSG(dt_kernels_cpu_create(pair.device, n_threads, &r.k, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(r.k->ops->conv_create(r.k, &shape, &r.conv, &err) == DT_OK, "%s", err.message);
    r.w = dt_alloc((size_t)n_weights * sizeof(float));
    DT_REQUIRE(r.w != NULL);
    dt_test_fill_random(r.w, n_weights, 3);
    return r;
}

static void run_close(run *r)
{
    r->k->ops->conv_destroy(r->k, r->conv);
    r->k->ops->destroy(r->k);
    dt_free(r->x.data);
    dt_free(r->y.data);
    dt_free(r->w);
}

static void *run_forward(void *context)
{
    run *r = context;
    dt_error err = {0};
    const dt_act x = {.raw = r->x};
    memset(r->y.data, 0xFF, (size_t)dt_cpu_elems(&r->y) * sizeof(float));
    DT_CHECK_MSG(r->k->ops->conv_forward(r->k, r->conv, &x, r->w, &r->y, NULL, &err) == DT_OK, "%s",
                 err.message);
    return NULL;
}

static void kernels_of_different_threads_work_side_by_side(void)
{
    run one = run_open(1), three = run_open(3);
    const size_t n_bytes = (size_t)dt_cpu_elems(&one.y) * sizeof(float);
    for (int i = 0; i < 3; i++) {
        run_forward(&one);
        run_forward(&three);
        DT_CHECK_BYTES(three.y.data, one.y.data, n_bytes);
    }
    float *first = malloc(n_bytes);
    DT_REQUIRE(first != NULL);
    memcpy(first, three.y.data, n_bytes);
    pthread_t thread;
    DT_REQUIRE(pthread_create(&thread, NULL, run_forward, &three) == 0);
    DT_REQUIRE(pthread_join(thread, NULL) == 0);
    DT_CHECK_BYTES(three.y.data, first, n_bytes);
    free(first);
    run_close(&one);
    run_close(&three);
}

/* Compute the sums of y, and those of the BatchNorm before x, with chunks of one image each. */
static void sums_of_chunks(int64_t n_threads, double *forward, double *backward)
{
    static const dt_conv_desc d = {
        .n = 19, .c = 16, .h = 8, .w = 8, .k = 16, .r = 1, .s = 1, .stride = 1, .for_training = true};
    enum { N_WEIGHTS = 16 * 16, N = 19 * 16 * 8 * 8 };
    static float w[N_WEIGHTS], x[N], y[N], dx[N], mean[16], invstd[16], gamma[16], beta[16];
    dt_kernels *k = NULL;
    dt_conv *conv = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(dt_kernels_cpu_create(pair.device, n_threads, &k, &err) == DT_OK, "%s", err.message);
    dt_cpu(k)->chunk_bytes = 1;
    DT_REQUIRE_MSG(k->ops->conv_create(k, &d, &conv, &err) == DT_OK, "%s", err.message);
    DT_CHECK_INT(conv->forward.n_chunks, d.n);
    DT_CHECK_INT(conv->backward_data.n_chunks, d.n);
    dt_test_fill_random(w, N_WEIGHTS, 1);
    dt_test_fill_random(x, N, 2);
    const dt_act act = {.raw = {x, DT_F32, d.n, d.c, d.h, d.w}};
    const dt_tensor out = {y, DT_F32, d.n, d.k, d.h, d.w}, in = {dx, DT_F32, d.n, d.c, d.h, d.w};
    const dt_bn_backward bn = {
        .x = &act, .mean = mean, .invstd = invstd, .gamma = gamma, .beta = beta, .sums = backward};
    DT_CHECK_INT(k->ops->conv_forward(k, conv, &act, w, &out, forward, &err), DT_OK);
    DT_CHECK_INT(k->ops->conv_backward_data(k, conv, &out, w, NULL, &bn, &in, &err), DT_OK);
    k->ops->conv_destroy(k, conv);
    k->ops->destroy(k);
}

/* In float64: as the statistics that are made of them, in float32, they would hardly ever differ. */
static void sums_have_the_same_bits_for_any_number_of_threads(void)
{
    enum { N = DT_CPU_SLOTS * 2 * 16 };
    double forward[2][N], backward[2][N];
    sums_of_chunks(1, forward[0], backward[0]);
    for (int64_t n_threads = 2; n_threads <= 5; n_threads++) {
        sums_of_chunks(n_threads, forward[1], backward[1]);
        DT_CHECK_BYTES(forward[1], forward[0], sizeof forward[0]);
        DT_CHECK_BYTES(backward[1], backward[0], sizeof backward[0]);
    }
}

/* -- errors ---------------------------------------------------------------------------------------------- */

static void gpu_info(dt_device *device, dt_device_info *info)
{
    (void)device;
    *info = (dt_device_info){.name = "some GPU"};
}

static void unsupported_devices_and_thread_counts_are_refused(void)
{
    static const dt_device_ops ops = {.name = "gpu", .info = gpu_info};
    dt_device gpu = {.ops = &ops};
    dt_kernels *k = NULL;
    dt_error err = {0};
    DT_CHECK_INT(dt_kernels_cpu_create(&gpu, 1, &k, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "some GPU");
    DT_CHECK_INT(dt_kernels_cpu_create(pair.device, 0, &k, &err), DT_ERR_INTERNAL);
    DT_CHECK_CONTAINS(err.message, "0 threads");
    DT_CHECK(k == NULL);
}

static void check_refused(const dt_conv_desc *d, const char *why)
{
    dt_conv *conv = NULL;
    dt_error err = {0};
    DT_CHECK_INT(pair.cpu->ops->conv_create(pair.cpu, d, &conv, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK(conv == NULL);
    DT_CHECK_CONTAINS(err.message, why);
}

static void convolutions_that_do_not_fit_are_refused(void)
{
    dt_conv_desc d = {.n = 1, .c = 20, .h = 8, .w = 8, .k = 32, .r = 3, .s = 3, .stride = 1, .pad = 1};
    check_refused(&d, "20 to 32 channels");
    d.c = 16;
    d.k = 24;
    check_refused(&d, "16 to 24 channels");
    d.k = 32;
    d.h = 0;
    check_refused(&d, "16x0x8");
    d.h = 8;
    d.reads_image = true;
    check_refused(&d, "16 to 32 channels");
}

/* A filter may be as large as the image with its padding, in each direction, and not larger. */
static void a_filter_is_no_larger_than_the_image(void)
{
    dt_conv_desc d = {.n = 1, .c = 16, .h = 3, .w = 3, .k = 32, .r = 3, .s = 3, .stride = 1};
    dt_conv *conv = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(pair.cpu->ops->conv_create(pair.cpu, &d, &conv, &err) == DT_OK, "%s", err.message);
    pair.cpu->ops->conv_destroy(pair.cpu, conv);
    d.w = 2;
    check_refused(&d, "do not fit 1 images of 16x3x2");
    d.w = 3;
    d.h = 2;
    check_refused(&d, "do not fit 1 images of 16x2x3");
}

/* -- what computes --------------------------------------------------------------------------------------- */

static void the_instruction_set_has_a_short_name(void)
{
    dt_computed_by by = {0};
    dt_kernels_cpu_computed_by(pair.cpu, &by);
    const char *isa = dt_computed_by_find(&by, "isa");
    DT_CHECK(isa != NULL && isa[0] != '\0' && strncmp(isa, "cpu_isa_", strlen("cpu_isa_")) != 0);
    DT_CHECK(dt_computed_by_find(&by, "oneDNN") != NULL);
    DT_CHECK_STR(dt_computed_by_find(&by, "simd"), dt_cpu(pair.cpu)->simd->name);
}

static const dt_test tests[] = {
    DT_TEST(every_allocation_may_fail),
    DT_TEST(chunks_cover_every_batch),
    DT_TEST(kernels_of_different_threads_work_side_by_side),
    DT_TEST(sums_have_the_same_bits_for_any_number_of_threads),
    DT_TEST(unsupported_devices_and_thread_counts_are_refused),
    DT_TEST(convolutions_that_do_not_fit_are_refused),
    DT_TEST(a_filter_is_no_larger_than_the_image),
    DT_TEST(the_instruction_set_has_a_short_name),
};
DT_TEST_MAIN("layers/cpu_create", tests)
