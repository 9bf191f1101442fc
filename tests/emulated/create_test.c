/* Create-calls of layers/cuda: after every failing allocation, of the host or of the device, they return an
 * error and leak nothing; what is shared; what is refused. */
#include "core/base/alloc.h"
#include "layers/cuda/cuda_internal.h"
#include "tests/emulated/gpu_emulated.h"
#include "tests/emulator/emulator.h"
#include "tests/testing.h"

#include <string.h>

static const dt_conv_desc conv_desc = {
    .n = 2, .c = 32, .h = 8, .w = 8, .k = 64, .r = 3, .s = 3, .stride = 1, .pad = 1, .for_training = true};

/* Create and destroy one object of each kind. */
static dt_status create_all(dt_device *device, dt_graph_runner *runner, dt_error *err)
{
    static const dt_update_segment segments[] = {{.first = 0, .n = 1 << 15, .rule = DT_UPDATE_LARS}};
    const dt_cuda_options options = {.dtype = DT_F16};
    const dt_optimizer_desc update = {.momentum = 0.9F};
    dt_kernels *k = NULL;
    dt_conv *conv = NULL;
    dt_linear *linear = NULL;
    dt_optimizer *optimizer = NULL;
    float *values = device->ops->alloc(device, (1 << 15) * (int64_t)sizeof *values);
    float *grads = device->ops->alloc(device, (1 << 15) * (int64_t)sizeof *grads);
    dt_status status = values && grads ? DT_OK : dt_fail(err, DT_ERR_MEMORY, "no memory for values");
    DT_TRY_OR_FAIL(status, status);
    DT_TRY_OR_FAIL(status, dt_kernels_cuda_create(device, runner, &options, &k, err));
    DT_TRY_OR_FAIL(status, k->ops->conv_create(k, &conv_desc, &conv, err));
    DT_TRY_OR_FAIL(status, k->ops->linear_create(k, 2, 64, 10, &linear, err));
    DT_TRY_OR_FAIL(status, k->ops->values_bind(k, values, grads, 1 << 15, err));
    DT_TRY_OR_FAIL(status, k->ops->optimizer_create(k, &update, segments, 1, &optimizer, err));
fail:
    if (k) {
        k->ops->optimizer_destroy(k, optimizer);
        k->ops->linear_destroy(k, linear);
        k->ops->conv_destroy(k, conv);
        k->ops->destroy(k);
    }
    device->ops->free(device, values);
    device->ops->free(device, grads);
    return status;
}

static void check_nothing_is_left(dt_device *device, const dt_graph_runner *runner, int64_t blocks)
{
    dt_emulated_counts counts;
    dt_emulated_get_counts(device, &counts);
    DT_CHECK_INT(counts.live_bytes, 0);
    DT_CHECK_INT(dt_graph_interpreter_live_plans(runner), 0);
    DT_CHECK_INT(dt_alloc_live_blocks(), blocks);
    DT_CHECK_STR(dt_emulated_fault(device), "");
}

static void every_failing_allocation_gives_an_error_and_no_leak(void)
{
    dt_error err = {0};
    dt_device *device = NULL;
    dt_graph_runner *runner = NULL;
    DT_REQUIRE(dt_device_emulated_create(&(dt_emulated_options){0}, &device, &err) == DT_OK);
    DT_REQUIRE(dt_graph_interpreter_create(device, &(dt_interpreter_options){.gpu = DT_INTERPRET_A100},
                                           &runner, &err) == DT_OK);
    const int64_t blocks = dt_alloc_live_blocks();
    int n_failed = 0;
    for (dt_status status = DT_ERR_MEMORY; status != DT_OK; n_failed++) {
        dt_alloc_fail_after(n_failed + 1);
        status = create_all(device, runner, &err);
        dt_alloc_fail_after(0);
        DT_REQUIRE_MSG(status == DT_OK || status == DT_ERR_MEMORY, "%s", err.message);
        check_nothing_is_left(device, runner, blocks);
    }
    DT_CHECK(n_failed > 5);
    runner->ops->destroy(runner);
    device->ops->destroy(device);
}

/* Try GPUs with more and more memory until it is enough. */
static void a_full_gpu_gives_an_error_and_leaks_nothing(void)
{
    dt_error err = {0};
    dt_status status = DT_ERR_MEMORY;
    int n_failed = 0;
    const int64_t blocks = dt_alloc_live_blocks();
    for (int64_t bytes = 1000; status != DT_OK; bytes += bytes / 8, n_failed++) {
        dt_device *device = NULL;
        dt_graph_runner *runner = NULL;
        DT_REQUIRE(dt_device_emulated_create(&(dt_emulated_options){.memory_bytes = bytes}, &device, &err) ==
                   DT_OK);
        DT_REQUIRE(dt_graph_interpreter_create(device, &(dt_interpreter_options){.gpu = DT_INTERPRET_A100},
                                               &runner, &err) == DT_OK);
        status = create_all(device, runner, &err);
        DT_REQUIRE_MSG(status == DT_OK || status == DT_ERR_MEMORY, "%s", err.message);
        check_nothing_is_left(device, runner, blocks);
        runner->ops->destroy(runner);
        device->ops->destroy(device);
    }
    DT_CHECK(n_failed > 5);
}

typedef struct seen {
    int n, n_fused, n_refused, n_layers;
} seen;

static void count_row(void *context, const dt_cuda_plan_row *row)
{
    seen *s = context;
    s->n++;
    s->n_fused += row->is_fused && !row->is_refused;
    s->n_refused += row->is_refused;
    s->n_layers += row->n_layers;
    DT_CHECK(row->name[0] != '\0' && row->flops > 0 && row->bytes_moved > 0 &&
             (row->reason[0] != '\0') == row->is_refused);
}

static seen rows_of(dt_interpreted_gpu gpu, dt_dtype dtype, dt_conv_input input, unsigned *fusions)
{
    dt_emulated_gpu g =
        dt_emulated_gpu_create(&(dt_emulated_gpu_options){.dtype = dtype, .interpreter = {.gpu = gpu}});
    dt_error err = {0};
    dt_conv_desc desc = conv_desc;
    dt_conv *conv = NULL, *same = NULL;
    seen s = {0};
    desc.input = input;
    DT_REQUIRE_MSG(g.kernels->ops->conv_create(g.kernels, &desc, &conv, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE(g.kernels->ops->conv_create(g.kernels, &desc, &same, &err) == DT_OK);
    DT_CHECK(same == conv);
    *fusions = g.kernels->ops->conv_fusions(g.kernels, conv);
    dt_kernels_cuda_plans(g.kernels, count_row, &s);
    g.kernels->ops->conv_destroy(g.kernels, conv);
    g.kernels->ops->conv_destroy(g.kernels, same);
    dt_emulated_gpu_destroy(&g);
    return s;
}

static void only_announced_forms_are_planned_and_refusals_clear_their_bits(void)
{
    const unsigned forward = DT_CONV_FUSE_PROLOGUE | DT_CONV_FUSE_SUMS,
                   backward = DT_CONV_FUSE_BACKWARD_EPILOGUE | DT_CONV_FUSE_WEIGHTS_PROLOGUE;
    unsigned fusions = 0;
    seen s = rows_of(DT_INTERPRET_A100, DT_F16, DT_CONV_INPUT_LAZY, &fusions);
    DT_CHECK_INT(fusions, forward | backward | DT_CONV_FUSE_BACKWARD_ADD);
    DT_CHECK(s.n == 4 && s.n_fused == 3 && s.n_refused == 0 && s.n_layers == 8);
    s = rows_of(DT_INTERPRET_A100, DT_F16, DT_CONV_INPUT_PLAIN, &fusions);
    DT_CHECK_INT(fusions, DT_CONV_FUSE_SUMS | DT_CONV_FUSE_BACKWARD_ADD);
    DT_CHECK(s.n == 4 && s.n_fused == 1 && s.n_refused == 0);
    s = rows_of(DT_INTERPRET_A100, DT_F16, DT_CONV_INPUT_ANY, &fusions);
    DT_CHECK_INT(fusions, forward | backward | DT_CONV_FUSE_BACKWARD_ADD);
    DT_CHECK(s.n == 7 && s.n_fused == 4 && s.n_refused == 0);
    s = rows_of(DT_INTERPRET_A100, DT_F16, DT_CONV_INPUT_JOIN, &fusions);
    DT_CHECK_INT(fusions, DT_CONV_FUSE_JOIN | DT_CONV_FUSE_SUMS | DT_CONV_FUSE_BACKWARD_JOIN |
                              DT_CONV_FUSE_BACKWARD_ADD);
    DT_CHECK(s.n_fused == 2 && s.n_refused == 0);
    s = rows_of(DT_INTERPRET_T4, DT_F16, DT_CONV_INPUT_JOIN_LAZY, &fusions);
    DT_CHECK_INT(fusions, DT_CONV_FUSE_BACKWARD_ADD);
    s = rows_of(DT_INTERPRET_T4, DT_F16, DT_CONV_INPUT_LAZY, &fusions);
    DT_CHECK_INT(fusions, DT_CONV_FUSE_BACKWARD_ADD);
    DT_CHECK(s.n - s.n_refused == 4 && s.n_fused == 0 && s.n_refused == 4);
    s = rows_of(DT_INTERPRET_A100, DT_TF32, DT_CONV_INPUT_LAZY, &fusions);
    DT_CHECK_INT(fusions, DT_CONV_FUSE_BACKWARD_ADD);
    DT_CHECK(s.n == 4 && s.n_refused == 0);
}

static void only_convolutions_that_plan_the_same_share_an_object(void)
{
    enum { N = 10 };
    dt_emulated_gpu g = dt_emulated_gpu_create(
        &(dt_emulated_gpu_options){.dtype = DT_F16, .interpreter = {.gpu = DT_INTERPRET_A100}});
    dt_conv_desc descs[N];
    dt_conv *convs[N], *same = NULL;
    dt_error err = {0};
    for (int i = 0; i < N; i++)
        descs[i] = conv_desc;
    descs[1].n++, descs[2].c += 16, descs[3].h++, descs[4].w++, descs[5].k += 16;
    descs[6].r = descs[6].s = 1, descs[6].pad = 0;
    descs[7].stride++, descs[8].for_training = false, descs[9].input = DT_CONV_INPUT_LAZY;
    for (int i = 0; i < N; i++) {
        DT_REQUIRE_MSG(g.kernels->ops->conv_create(g.kernels, &descs[i], &convs[i], &err) == DT_OK, "%s",
                       err.message);
        for (int k = 0; k < i; k++)
            DT_CHECK_MSG(convs[k] != convs[i], "%d and %d", k, i);
    }
    for (int i = 0; i < N; i++) {
        DT_REQUIRE(g.kernels->ops->conv_create(g.kernels, &descs[i], &same, &err) == DT_OK);
        DT_CHECK(same == convs[i]);
        g.kernels->ops->conv_destroy(g.kernels, same);
        g.kernels->ops->conv_destroy(g.kernels, convs[i]);
    }
    dt_emulated_gpu_destroy(&g);
}

static void *zeros(dt_device *device, int64_t n_bytes)
{
    dt_error err = {0};
    void *p = device->ops->alloc(device, n_bytes);
    DT_REQUIRE(p && device->ops->zero(device, p, n_bytes, NULL, &err) == DT_OK);
    return p;
}

/* Where graphs are measured, the one without sums is kept beside the other. */
static void a_caller_that_wants_sums_gets_them_where_both_graphs_are_kept(void)
{
    static const dt_interpreted_engine engine = {"one", 1};
    dt_emulated_gpu g = dt_emulated_gpu_create(&(dt_emulated_gpu_options){
        .dtype = DT_F16, .interpreter = {.gpu = DT_INTERPRET_A100, .engines = &engine, .n_engines = 1}});
    dt_conv_desc d = conv_desc;
    dt_conv *conv = NULL;
    dt_error err = {0};
    d.input = DT_CONV_INPUT_PLAIN;
    DT_REQUIRE(g.kernels->ops->conv_create(g.kernels, &d, &conv, &err) == DT_OK);
    DT_REQUIRE(conv->plans[DT_CUDA_FORWARD].plan && conv->plans[DT_CUDA_FORWARD_SUMS].plan);
    dt_tensor x = {.dtype = DT_F16, .n = d.n, .c = d.c, .h = d.h, .w = d.w}, y = x;
    y.c = d.k;
    x.data = zeros(g.device, x.n * x.c * x.h * x.w * 2);
    y.data = zeros(g.device, y.n * y.c * y.h * y.w * 2);
    float *w = zeros(g.device, d.k * d.c * d.r * d.s * (int64_t)sizeof *w),
          *sums = g.device->ops->alloc(g.device, 2 * d.k * (int64_t)sizeof *sums);
    DT_REQUIRE(g.kernels->ops->conv_forward(g.kernels, conv, &(dt_act){.raw = x}, w, &y, sums, &err) ==
               DT_OK);
    DT_CHECK_INT(g.device->ops->stream_wait(g.device, NULL, &err), DT_OK);
    for (int i = 0; i < 2 * d.k; i++)
        DT_REQUIRE(sums[i] == 0); /* not the pattern of unwritten memory */
    void *all[] = {x.data, y.data, w, sums};
    for (int i = 0; i < 4; i++)
        g.device->ops->free(g.device, all[i]);
    g.kernels->ops->conv_destroy(g.kernels, conv);
    dt_emulated_gpu_destroy(&g);
}

/* A table finds scales in 16 bits by the address of those in float32, which another net may use later. */
static void a_convolution_that_is_created_or_destroyed_empties_the_table_of_scales(void)
{
    static const float scale[32], bias[32];
    dt_emulated_gpu g = dt_emulated_gpu_create(
        &(dt_emulated_gpu_options){.dtype = DT_F16, .interpreter = {.gpu = DT_INTERPRET_A100}});
    dt_cuda_kernels *ck = dt_cuda(g.kernels);
    dt_conv *conv = NULL, *same = NULL;
    dt_error err = {0};
    DT_REQUIRE(g.kernels->ops->conv_create(g.kernels, &conv_desc, &conv, &err) == DT_OK);
    DT_CHECK(dt_cuda_half_scales_put(ck, scale, bias, 32) != NULL);
    DT_REQUIRE(g.kernels->ops->conv_create(g.kernels, &conv_desc, &same, &err) == DT_OK);
    DT_CHECK_INT(ck->n_half_scales, 0);
    DT_CHECK(dt_cuda_half_scales_put(ck, scale, bias, 32) != NULL);
    g.kernels->ops->conv_destroy(g.kernels, same);
    DT_CHECK_INT(ck->n_half_scales, 0);
    g.kernels->ops->conv_destroy(g.kernels, conv);
    dt_emulated_gpu_destroy(&g);
}

/* Bytes of memory that one convolution makes the backend reserve. */
static int64_t reserved_bytes(bool refuse_accumulate)
{
    dt_emulated_gpu g = dt_emulated_gpu_create(&(dt_emulated_gpu_options){
        .dtype = DT_F16, .interpreter = {.gpu = DT_INTERPRET_A100, .refuse_accumulate = refuse_accumulate}});
    dt_conv *conv = NULL;
    dt_error err = {0};
    DT_REQUIRE(g.kernels->ops->conv_create(g.kernels, &conv_desc, &conv, &err) == DT_OK);
    const int64_t bytes = g.kernels->ops->scratch_bytes(g.kernels);
    g.kernels->ops->conv_destroy(g.kernels, conv);
    dt_emulated_gpu_destroy(&g);
    return bytes;
}

static void memory_for_a_gradient_that_is_added_later_is_reported(void)
{
    const dt_conv_desc *d = &conv_desc;
    DT_CHECK_INT(reserved_bytes(true) - reserved_bytes(false),
                 d->n * d->c * d->h * d->w * (int64_t)sizeof(uint16_t));
}

static void unsupported_types_and_shapes_are_refused(void)
{
    dt_emulated_gpu g = dt_emulated_gpu_create(
        &(dt_emulated_gpu_options){.dtype = DT_F16, .interpreter = {.gpu = DT_INTERPRET_A100}});
    const dt_cuda_options options = {.dtype = DT_F64};
    dt_error err = {0};
    dt_kernels *k = NULL;
    dt_conv *conv = NULL;
    dt_conv_desc odd = conv_desc, large = conv_desc;
    odd.k = 24;
    large.r = large.s = 11;
    DT_CHECK_INT(dt_kernels_cuda_create(g.device, g.runner, &options, &k, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "not in fp64");
    DT_CHECK_INT(g.kernels->ops->conv_create(g.kernels, &odd, &conv, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "multiples of 16");
    DT_CHECK_INT(g.kernels->ops->conv_create(g.kernels, &large, &conv, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "do not fit");
    const dt_tensor rows = {.dtype = DT_F16, .n = 1 << 20, .c = 10, .h = 1, .w = 1};
    DT_CHECK_INT(g.kernels->ops->softmax_loss(g.kernels, &rows, NULL, 0, 1, NULL, NULL, NULL, &err),
                 DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "softmax_loss of 1048576 rows needs ");
    dt_emulated_gpu_destroy(&g);
}

/* As in dtrain info --plans. */
static void planning_alone_needs_no_device(void)
{
    const dt_cuda_options options = {.dtype = DT_F16, .plan_only = true};
    dt_error err = {0};
    dt_graph_runner *runner = NULL;
    dt_kernels *k = NULL;
    dt_conv *conv = NULL;
    seen s = {0};
    DT_REQUIRE(dt_graph_interpreter_create(NULL, &(dt_interpreter_options){.gpu = DT_INTERPRET_A100}, &runner,
                                           &err) == DT_OK);
    DT_REQUIRE(dt_kernels_cuda_create(NULL, runner, &options, &k, &err) == DT_OK);
    DT_REQUIRE(k->ops->conv_create(k, &conv_desc, &conv, &err) == DT_OK);
    dt_kernels_cuda_plans(k, count_row, &s);
    DT_CHECK_INT(s.n, 7);
    DT_CHECK(k->ops->scratch_bytes(k) > 0);
    k->ops->conv_destroy(k, conv);
    k->ops->destroy(k);
    runner->ops->destroy(runner);
}

static const dt_test tests[] = {
    DT_TEST(every_failing_allocation_gives_an_error_and_no_leak),
    DT_TEST(a_full_gpu_gives_an_error_and_leaks_nothing),
    DT_TEST(only_announced_forms_are_planned_and_refusals_clear_their_bits),
    DT_TEST(only_convolutions_that_plan_the_same_share_an_object),
    DT_TEST(a_caller_that_wants_sums_gets_them_where_both_graphs_are_kept),
    DT_TEST(a_convolution_that_is_created_or_destroyed_empties_the_table_of_scales),
    DT_TEST(memory_for_a_gradient_that_is_added_later_is_reported),
    DT_TEST(unsupported_types_and_shapes_are_refused),
    DT_TEST(planning_alone_needs_no_device),
};
DT_TEST_MAIN("emulated/create", tests)
