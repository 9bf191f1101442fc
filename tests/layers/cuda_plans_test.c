/* cuDNN accepts every graph of ResNet-18 and -50 for GPUs that are not present: plans are made from their
 * device properties. */
#include "config.h"

#include "launch/estimate/gpu_spec.h"
#include "launch/estimate/offline_device.h"
#include "tests/gpu/fused_counts.h"
#include "tests/gpu/fused_times.h"
#include "tests/resnet_convs.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

#ifdef DT_WITH_CUDA
#    include "core/base/alloc.h"
#    include "layers/cuda/cudnn_runner.h"
#    include "layers/cuda/kernels_cuda.h"

#    include <cudnn.h>

#    define WORKSPACE_LIMIT DT_CUDNN_WORKSPACE_LIMIT_BYTES

/* cuDNN allocates so often, and a sanitizer traces each allocation so thoroughly, that a plan takes a hundred
 * times as long; then only a few are tested. */
static bool is_slow(void)
{
    return getenv("DTRAIN_TEST_SLOWER") != NULL;
}

static dt_graph_runner *make_runner(const char *gpu_name, int64_t workspace_limit)
{
    dt_gpu_spec gpu;
    dt_error err = {0};
    dt_graph_runner *runner = NULL;
    dt_cudnn_options options = {.autotune = DT_AUTOTUNE_FULL, .workspace_limit_bytes = workspace_limit};
    DT_REQUIRE_MSG(dt_gpu_spec_load(gpu_name, &gpu, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_cudnn_runner_create_offline(gpu.model, gpu.properties, &options, &runner, &err) ==
                       DT_OK,
                   "%s", err.message);
    dt_gpu_spec_free(&gpu);
    return runner;
}

/* Return whether the graph has a plan; `why` gets the reason if it has none. */
static bool has_plan(dt_graph_runner *runner, const dt_graph *graph, char why[DT_ERROR_MESSAGE_BYTES])
{
    dt_error err = {0};
    dt_graph_plan *plan = NULL;
    dt_graph_plan_info info;
    dt_status status = runner->ops->plan_create(runner, graph, NULL, &plan, &err);
    strcpy(why, err.message);
    if (status != DT_OK) {
        DT_CHECK_MSG(status == DT_ERR_UNSUPPORTED, "%s", err.message);
        return false;
    }
    runner->ops->plan_info(plan, &info);
    DT_CHECK(info.engine[0] && info.n_candidates >= 1 && info.workspace_bytes >= 0 &&
             info.workspace_bytes <= WORKSPACE_LIMIT);
    runner->ops->plan_destroy(runner, plan);
    return true;
}

/* Which graphs cuDNN 9.19 has in FP16 (layers/cuda/README.md). T4 has no fused graph; no GPU has one for the
 * stem; sm_90 has no scale, bias and ReLU before a convolution without sums, and the backward of a join only
 * with a stride of 1. Only sm_90 has a join in forward, before a 1x1 convolution of stride 1. */
static bool is_expected(const char *gpu, int conv, dt_conv_graph_kind kind, dt_dtype dtype)
{
    bool is_fused = kind != DT_CONV_GRAPH_FORWARD && kind != DT_CONV_GRAPH_DATA &&
                    kind != DT_CONV_GRAPH_DATA_ADD && kind != DT_CONV_GRAPH_WEIGHTS;
    if (!is_fused)
        return dtype != DT_BF16 || strcmp(gpu, "t4") != 0;
    bool is_sm_90 = strcmp(gpu, "h200") == 0 || strcmp(gpu, "h100") == 0;
    dt_conv_desc d = dt_resnet_conv(conv, 1);
    if (kind == DT_CONV_GRAPH_PROLOGUE_FORWARD && is_sm_90)
        return false;
    if ((kind == DT_CONV_GRAPH_FORWARD_JOIN || kind == DT_CONV_GRAPH_FORWARD_JOIN_LAZY) &&
        (!is_sm_90 || d.r != 1 || d.stride != 1))
        return false;
    if ((kind == DT_CONV_GRAPH_DATA_JOIN || kind == DT_CONV_GRAPH_DATA_JOIN_LAZY) && is_sm_90 &&
        d.stride != 1)
        return false;
    return dtype == DT_F16 && conv != 0 && strcmp(gpu, "t4") != 0;
}

static void linear_graph(int64_t batch, int64_t n_classes, dt_dtype dtype, int kind, dt_graph *graph)
{
    if (kind == 0)
        dt_graph_linear_forward(batch, 2048, n_classes, dtype, graph);
    else if (kind == 1)
        dt_graph_linear_backward_data(batch, 2048, n_classes, dtype, graph);
    else
        dt_graph_linear_backward_weights(batch, 2048, n_classes, dtype, graph);
}

static void check_gpu(const char *gpu, int64_t batch, dt_dtype dtype)
{
    char why[DT_ERROR_MESSAGE_BYTES];
    int n_plans = 0;
    dt_graph_runner *runner = make_runner(gpu, WORKSPACE_LIMIT);
    for (int conv = 0; conv < DT_RESNET_N_CONVS; conv += is_slow() ? 14 : 1)
        for (int kind = 0; kind < DT_CONV_N_GRAPHS; kind++) {
            dt_graph graph;
            dt_conv_desc desc = dt_resnet_conv(conv, batch);
            bool expected = is_expected(gpu, conv, (dt_conv_graph_kind)kind, dtype);
            if (!expected)
                continue;
            dt_conv_graph(&desc, dtype, (dt_conv_graph_kind)kind, &graph);
            DT_CHECK_MSG(has_plan(runner, &graph, why), "%s: %s", gpu, why);
            n_plans++;
        }
    for (int kind = 0; kind < 3; kind++) {
        dt_graph graph;
        linear_graph(batch, 1000, dtype, kind, &graph);
        DT_CHECK_MSG(has_plan(runner, &graph, why), "%s: %s", gpu, why);
    }
    DT_CHECK(n_plans >= 4 * (is_slow() ? 2 : DT_RESNET_N_CONVS - 1));
    runner->ops->destroy(runner);
}

static void every_fp16_graph_has_a_plan_for_a100_h200_a10g_and_t4(void)
{
    static const char *const gpus[] = {"a100-40gb", "h200", "a10g", "t4"};
    for (int i = 0; i < (is_slow() ? 1 : 4); i++)
        for (int64_t batch = 32; batch <= (is_slow() ? 32 : 256); batch *= 8)
            check_gpu(gpus[i], batch, DT_F16);
}

/* Everything else is composed of these graphs, so they must work; one convolution of each kind suffices. */
static void other_types_have_their_plain_graphs(void)
{
    static const char *const gpus[] = {"a100-40gb", "h200", "a10g", "t4"};
    static const int convs[] = {0, 1, 5, 6, 12};
    char why[DT_ERROR_MESSAGE_BYTES];
    if (is_slow())
        DT_SKIP("a sanitizer makes it too slow");
    for (int g = 0; g < 4; g++) {
        dt_graph_runner *runner = make_runner(gpus[g], WORKSPACE_LIMIT);
        for (dt_dtype dtype = DT_F32; dtype <= DT_TF32; dtype++)
            for (int c = 0; c < 5; c++)
                for (int kind = 0; kind < DT_CONV_N_GRAPHS; kind++) {
                    dt_graph graph;
                    dt_conv_desc desc = dt_resnet_conv(convs[c], 32);
                    dt_conv_graph(&desc, dtype, (dt_conv_graph_kind)kind, &graph);
                    bool expected = is_expected(gpus[g], convs[c], (dt_conv_graph_kind)kind, dtype),
                         has = has_plan(runner, &graph, why);
                    DT_CHECK_MSG(has || !expected, "%s: %s", gpus[g], why);
                    /* A newer cuDNN may have more graphs; then update the table in the README. */
                    DT_CHECK_MSG(!has || expected || CUDNN_VERSION != 91900 || convs[c] == 0,
                                 "%s: %s has a plan: README", gpus[g], graph.name);
                }
        runner->ops->destroy(runner);
    }
}

static void a_linear_layer_of_any_width_has_plans(void)
{
    char why[DT_ERROR_MESSAGE_BYTES];
    if (is_slow())
        DT_SKIP("a sanitizer makes it too slow");
    dt_graph_runner *runner = make_runner("h200", WORKSPACE_LIMIT), *old = make_runner("t4", WORKSPACE_LIMIT);
    for (int64_t n_classes = 1; n_classes <= 1000; n_classes = n_classes * 3 + 1)
        for (int kind = 0; kind < 3; kind++) {
            dt_graph graph;
            linear_graph(7, n_classes, DT_F16, kind, &graph);
            DT_CHECK_MSG(has_plan(runner, &graph, why), "%s", why);
            DT_CHECK_MSG(has_plan(old, &graph, why), "%s", why);
        }
    runner->ops->destroy(runner);
    old->ops->destroy(old);
}

static void every_other_described_gpu_has_plans(void)
{
    static const char *const gpus[] = {"a100-80gb", "h100", "l4"};
    if (is_slow())
        DT_SKIP("a sanitizer makes it too slow");
    for (int i = 0; i < 3; i++)
        check_gpu(gpus[i], 64, DT_F16);
}

typedef struct stem_rows {
    int n, n_refused;
    int64_t workspace_bytes;
} stem_rows;

static void visit_row(void *context, const dt_cuda_plan_row *row)
{
    stem_rows *rows = context;
    rows->n++;
    rows->n_refused += row->is_refused;
    if (row->info.workspace_bytes > rows->workspace_bytes)
        rows->workspace_bytes = row->info.workspace_bytes;
}

/* The stem by space to depth: its sums are fused, and its weight gradient needs little workspace. */
static void check_stem(const char *gpu, int64_t batch, int64_t size, bool expected)
{
    const dt_cuda_options options = {.dtype = DT_F16, .plan_only = true};
    dt_graph_runner *runner = make_runner(gpu, WORKSPACE_LIMIT);
    dt_conv_desc desc = dt_resnet_conv(0, batch);
    dt_kernels *k = NULL;
    dt_conv *conv = NULL;
    dt_error err = {0};
    stem_rows rows = {0};
    desc.c = 3;
    desc.h = desc.w = size;
    DT_REQUIRE(dt_kernels_cuda_create(NULL, runner, &options, &k, &err) == DT_OK);
    DT_REQUIRE_MSG(k->ops->conv_create(k, &desc, &conv, &err) == DT_OK, "%s", err.message);
    dt_kernels_cuda_plans(k, visit_row, &rows);
    const bool is_fused = (k->ops->conv_fusions(k, conv) & DT_CONV_FUSE_SUMS) != 0;
    DT_CHECK_MSG(is_fused == expected, "%s, %lld pixels: %s", gpu, (long long)size,
                 expected ? "the sums are not fused" : "cuDNN has fused sums now: README");
    DT_CHECK(!expected || (rows.n == 2 && rows.n_refused == 0 && rows.workspace_bytes < 16 << 20));
    k->ops->conv_destroy(k, conv);
    k->ops->destroy(k);
    runner->ops->destroy(runner);
}

static void the_stem_is_planned_by_space_to_depth_at_every_size(void)
{
    static const char *const gpus[] = {"a100-40gb", "a100-80gb", "h100", "h200", "a10g", "l4"};
    static const int64_t sizes[] = {224, 225, 192, 160, 127, 64};
    for (int i = 0; i < (is_slow() ? 1 : 6); i++)
        for (int s = 0; s < (is_slow() ? 1 : 6); s++)
            check_stem(gpus[i], s % 2 == 0 ? 256 : 32, sizes[s], true);
    check_stem("t4", 32, 224, false);
}

/* The graphs of all convolutions of a training of ResNet-50 in FP16. */
static dt_fused_counts count_fused(const char *gpu_name, const dt_gpu_spec *gpu)
{
    const dt_fused_times_options net = {.arch = "resnet50", .batch = 32, .image_size = 224};
    const dt_cuda_options options = {.dtype = DT_F16, .plan_only = true};
    static dt_fused_convs convs;
    dt_graph_runner *runner = make_runner(gpu_name, WORKSPACE_LIMIT);
    dt_device *device = NULL;
    dt_kernels *k = NULL;
    dt_conv *made[DT_FUSED_MAX_CONVS];
    dt_error err = {0};
    dt_fused_counts counts = {0};
    convs = (dt_fused_convs){0};
    DT_REQUIRE(dt_offline_device_create(gpu, DT_F16, &device, &err) == DT_OK);
    DT_REQUIRE_MSG(dt_fused_convs_list(device, &net, &convs, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE(dt_kernels_cuda_create(device, runner, &options, &k, &err) == DT_OK);
    for (int i = 0; i < convs.n; i++)
        DT_REQUIRE(k->ops->conv_create(k, &convs.descs[i], &made[i], &err) == DT_OK);
    dt_kernels_cuda_plans(k, dt_fused_counts_visit, &counts);
    for (int i = 0; i < convs.n; i++)
        k->ops->conv_destroy(k, made[i]);
    k->ops->destroy(k);
    device->ops->destroy(device);
    runner->ops->destroy(runner);
    return counts;
}

/* What tests/gpu/gpu_test.c requires of a GPU is what plans without one have. */
static void check_fused_counts(const char *gpu_name)
{
    char text[512];
    dt_gpu_spec gpu;
    dt_error err = {0};
    DT_REQUIRE(dt_gpu_spec_load(gpu_name, &gpu, &err) == DT_OK);
    const dt_fused_counts counts = count_fused(gpu_name, &gpu);
    const int n = dt_fused_counts_of_resnet50(gpu.sm);
    DT_CHECK_MSG(dt_fused_counts_check(&counts, gpu.sm, n, text, sizeof text), "%s: %s", gpu_name, text);
    printf("%s: %s\n", gpu_name, text);
    DT_CHECK_INT(counts.n_there, n);
    dt_gpu_spec_free(&gpu);
}

static void the_fused_graphs_that_a_gpu_must_have_are_those_with_plans(void)
{
    if (is_slow())
        DT_SKIP("a sanitizer makes it too slow");
    check_fused_counts("h200");
    check_fused_counts("a100-40gb");
    check_fused_counts("l4");
    check_fused_counts("t4");
}

static void a_refusal_names_the_graph_and_the_reason(void)
{
    char why[DT_ERROR_MESSAGE_BYTES];
    dt_graph graph;
    dt_conv_desc desc = dt_resnet_conv(1, 32);
    dt_graph_conv_backward_data_bn(&desc, DT_F16, &graph);
    dt_graph_runner *t4 = make_runner("t4", WORKSPACE_LIMIT), *a100 = make_runner("a100-40gb", 1 << 20);
    DT_CHECK(!has_plan(t4, &graph, why));
    DT_CHECK_STR(why, "dgrad+drelu+dbn 3x3 64->64 56x56 n32 fp16: there is no engine for it");
    DT_CHECK(!has_plan(a100, &graph, why));
    DT_CHECK_CONTAINS(why, "workspace of 1048576 bytes; one could with");
    t4->ops->destroy(t4);
    a100->ops->destroy(a100);
}

static void a_described_gpu_executes_nothing(void)
{
    dt_graph graph;
    dt_graph_plan *plan = NULL;
    dt_error err = {0};
    dt_conv_desc desc = dt_resnet_conv(1, 32);
    dt_graph_runner *runner = make_runner("a10g", WORKSPACE_LIMIT);
    dt_graph_conv_forward(&desc, DT_F16, false, false, &graph);
    DT_REQUIRE(runner->ops->plan_create(runner, &graph, NULL, &plan, &err) == DT_OK);
    DT_CHECK_INT(runner->ops->plan_execute(runner, plan, NULL, 0, NULL, NULL, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "not a GPU");
    runner->ops->plan_destroy(runner, plan);
    runner->ops->plan_destroy(runner, NULL);
    runner->ops->destroy(runner);
}

static void an_invalid_graph_is_an_internal_error_and_not_a_refusal(void)
{
    dt_graph graph;
    dt_graph_plan *plan = NULL;
    dt_error err = {0};
    dt_conv_desc desc = dt_resnet_conv(1, 32);
    dt_graph_runner *runner = make_runner("a10g", WORKSPACE_LIMIT);
    dt_graph_conv_forward(&desc, DT_F16, false, false, &graph);
    graph.ops[0].stride[0] = 2;
    DT_CHECK_INT(runner->ops->plan_create(runner, &graph, NULL, &plan, &err), DT_ERR_INTERNAL);
    DT_CHECK(plan == NULL);
    runner->ops->destroy(runner);
}

static void properties_that_cudnn_rejects_give_a_one_line_error(void)
{
    static const char *const bad[] = {"", "{", "{}", "[]", "nonsense", "{\"version\": \"1.0\"}"};
    dt_cudnn_options options = {.workspace_limit_bytes = WORKSPACE_LIMIT};
    for (int i = 0; i < 6; i++) {
        dt_graph_runner *runner = NULL;
        dt_error err = {0};
        DT_CHECK_INT(dt_cudnn_runner_create_offline("nonsense", bad[i], &options, &runner, &err),
                     DT_ERR_FORMAT);
        DT_CHECK(runner == NULL && strchr(err.message, '\n') == NULL);
        DT_CHECK_CONTAINS(err.message, "cuDNN rejects these device properties");
    }
}

static dt_status make_a_plan(const char *properties, const dt_graph *graph, dt_error *err)
{
    dt_graph_runner *runner = NULL;
    dt_graph_plan *plan = NULL;
    dt_cudnn_options options = {.autotune = DT_AUTOTUNE_OFF, .workspace_limit_bytes = WORKSPACE_LIMIT};
    DT_TRY(dt_cudnn_runner_create_offline("a GPU", properties, &options, &runner, err));
    dt_status status = runner->ops->plan_create(runner, graph, NULL, &plan, err);
    if (status == DT_OK)
        runner->ops->plan_destroy(runner, plan);
    runner->ops->destroy(runner);
    return status;
}

static void every_allocation_may_fail(void)
{
    dt_gpu_spec gpu;
    dt_graph graph;
    dt_error err = {0};
    dt_conv_desc desc = dt_resnet_conv(1, 32);
    const int64_t n_before = dt_alloc_live_blocks();
    dt_graph_conv_backward_data_bn(&desc, DT_F16, &graph);
    DT_REQUIRE(dt_gpu_spec_load("h200", &gpu, &err) == DT_OK);
    for (int n = 1;; n++) {
        dt_alloc_fail_after(n);
        dt_status status = make_a_plan(gpu.properties, &graph, &err);
        dt_alloc_fail_after(0);
        DT_CHECK_INT(dt_alloc_live_blocks(), n_before);
        if (status == DT_OK)
            break;
        DT_CHECK_INT(status, DT_ERR_MEMORY);
        DT_REQUIRE(n < 50);
    }
    dt_gpu_spec_free(&gpu);
}

static const dt_test tests[] = {DT_TEST(every_fp16_graph_has_a_plan_for_a100_h200_a10g_and_t4),
                                DT_TEST(other_types_have_their_plain_graphs),
                                DT_TEST(a_linear_layer_of_any_width_has_plans),
                                DT_TEST(every_other_described_gpu_has_plans),
                                DT_TEST(the_stem_is_planned_by_space_to_depth_at_every_size),
                                DT_TEST(the_fused_graphs_that_a_gpu_must_have_are_those_with_plans),
                                DT_TEST(a_refusal_names_the_graph_and_the_reason),
                                DT_TEST(a_described_gpu_executes_nothing),
                                DT_TEST(an_invalid_graph_is_an_internal_error_and_not_a_refusal),
                                DT_TEST(properties_that_cudnn_rejects_give_a_one_line_error),
                                DT_TEST(every_allocation_may_fail)};
#else
static void plans_without_a_gpu(void)
{
    dt_test_skip("this build has no cuDNN: " DT_WHY_NO_CUDA);
}

static const dt_test tests[] = {DT_TEST(plans_without_a_gpu)};
#endif
DT_TEST_MAIN("layers/cuda_plans", tests)
