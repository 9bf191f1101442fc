/* gpu_test.c: the cuda backend on a real GPU, beside layers/ref on the host. Skipped where there is no GPU.
 *
 * An operation's tolerance is two units in the last place of the dtype, in relation to the largest element:
 * cuDNN adds in an order of its own, and may round the scaled and shifted input of a fused convolution once
 * more (layers/cuda/graph.h). A step's limits are the distance between ref in FP32 and ref in FP16, which
 * tests/emulated/training_test.c measures: a mistake is far beyond it, a rounding is not.
 *
 * DTRAIN_GPU_CASES=TEXT runs only the cases of operations whose names contain the text
 * (tests/backend_cases.h). */
#include "config.h"

#include "layers/cuda/cudnn_runner.h"
#include "layers/cuda/device_cuda.h"
#include "layers/cuda/gpu_info_cuda.h"
#include "layers/cuda/kernels_cuda.h"
#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "tests/backend_cases.h"
#include "tests/emulated/training_kit.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>

int dt_test_time_limit_s = 1800;

static char why_no_gpu[256];
static dt_device *gpu, *host;

void dt_test_set_up(void)
{
    dt_error err = {0};
    if (dt_device_cuda_count(why_no_gpu, sizeof why_no_gpu) == 0)
        return;
    if (dt_device_cuda_create(0, 1, &gpu, &err) != DT_OK || dt_device_host_create(0, &host, &err) != DT_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

void dt_test_tear_down(void)
{
    if (host)
        host->ops->destroy(host);
    if (gpu)
        gpu->ops->destroy(gpu);
}

#define NEED_GPU()                                                                                           \
    if (!gpu)                                                                                                \
    DT_SKIP("%s", why_no_gpu)

/* -- a runner that refuses all graphs of several operations, so that the backend composes them ----------- */

typedef struct composing {
    dt_graph_runner base;
    dt_graph_runner_ops ops;
    dt_graph_runner *cudnn;
} composing;

static composing composer;

static dt_status create_plain_plan(dt_graph_runner *runner, const dt_graph *graph,
                                   const dt_graph_engine *chosen, dt_graph_plan **plan, dt_error *err)
{
    (void)runner;
    if (graph->n_ops > 1)
        return dt_fail(err, DT_ERR_UNSUPPORTED, "%s: composed by this test", graph->name);
    return composer.cudnn->ops->plan_create(composer.cudnn, graph, chosen, plan, err);
}

static const char *describe(dt_graph_runner *runner)
{
    (void)runner;
    return composer.cudnn->ops->describe(composer.cudnn);
}

static void destroy_plan(dt_graph_runner *runner, dt_graph_plan *plan)
{
    (void)runner;
    composer.cudnn->ops->plan_destroy(composer.cudnn, plan);
}

static dt_status execute_plan(dt_graph_runner *runner, dt_graph_plan *plan, const dt_graph_binding *tensors,
                              int n_tensors, void *workspace, void *stream, dt_error *err)
{
    (void)runner;
    return composer.cudnn->ops->plan_execute(composer.cudnn, plan, tensors, n_tensors, workspace, stream,
                                             err);
}

static dt_graph_runner *compose(dt_graph_runner *cudnn)
{
    composer = (composing){.cudnn = cudnn, .ops = *cudnn->ops};
    composer.ops.plan_create = create_plain_plan;
    composer.ops.plan_destroy = destroy_plan;
    composer.ops.plan_execute = execute_plan;
    composer.ops.describe = describe;
    composer.base.ops = &composer.ops;
    return &composer.base;
}

/* -- the two sides --------------------------------------------------------------------------------------- */

typedef struct sides {
    dt_graph_runner *cudnn;
    dt_kernels *cuda, *ref;
} sides;

static sides open_sides(dt_dtype dtype, bool fused)
{
    sides s = {0};
    dt_error err = {0};
    const dt_cudnn_options cudnn = {.autotune = DT_AUTOTUNE_HEURISTIC,
                                    .workspace_limit_bytes = DT_CUDNN_WORKSPACE_LIMIT_BYTES,
                                    .cache_path = ""};
    const dt_cuda_options cuda = {.dtype = dtype};
    DT_REQUIRE_MSG(dt_cudnn_runner_create(gpu, &cudnn, &s.cudnn, &err) == DT_OK, "%s", err.message);
    dt_graph_runner *runner = fused ? s.cudnn : compose(s.cudnn);
    DT_REQUIRE_MSG(dt_kernels_cuda_create(gpu, runner, &cuda, &s.cuda, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_kernels_ref_create(host, dtype, &s.ref, &err) == DT_OK, "%s", err.message);
    return s;
}

static void close_sides(sides *s)
{
    s->cuda->ops->destroy(s->cuda);
    s->ref->ops->destroy(s->ref);
    s->cudnn->ops->destroy(s->cudnn);
}

/* -- operations ------------------------------------------------------------------------------------------ */

static void check_operations(dt_dtype dtype, bool fused, double tolerance)
{
    sides s = open_sides(dtype, fused);
    DT_CHECK_INT(dt_backend_cases_run(s.cuda, s.ref, 32, 2, tolerance, getenv("DTRAIN_GPU_CASES")), 0);
    close_sides(&s);
}

static void fp16_fused_operations_agree_with_ref(void)
{
    NEED_GPU();
    check_operations(DT_F16, true, 0x1p-9);
}

static void fp16_composed_operations_agree_with_ref(void)
{
    NEED_GPU();
    check_operations(DT_F16, false, 0x1p-9);
}

static void bf16_operations_agree_with_ref(void)
{
    NEED_GPU();
    check_operations(DT_BF16, true, 0x1p-6);
}

static void tf32_operations_agree_with_ref(void)
{
    NEED_GPU();
    check_operations(DT_TF32, true, 0x1p-9);
}

static void fp32_operations_agree_with_ref(void)
{
    NEED_GPU();
    check_operations(DT_F32, true, 1e-5);
}

/* -- steps ----------------------------------------------------------------------------------------------- */

static const dt_training small = {.arch = "resnet18",
                                  .batch = 8,
                                  .image_size = 32,
                                  .accumulate = 1,
                                  .n_steps = 1,
                                  .seed = 1,
                                  .lr = 0.001,
                                  .zero_init_gamma = true,
                                  .loss_scale = 1024.0F,
                                  .growth_interval = 2};

static void check_step(const char *arch, int64_t image_size, dt_dtype dtype)
{
    sides s = open_sides(dtype, true);
    dt_training training = small;
    training.arch = arch;
    training.image_size = image_size;
    if (dtype != DT_F16)
        training.loss_scale = 0.0F;
    dt_trained on_gpu = dt_train(s.cuda, &training), on_host = dt_train(s.ref, &training);
    const dt_distance d = dt_trained_distance(&on_gpu, &on_host);
    printf("%s at %lld pixels: largest %.4f (%s), median %.5f\n", arch, (long long)image_size, d.largest,
           d.worst, d.median);
    DT_CHECK_MSG(d.largest < 0.35 && d.median < 0.02, "largest %g (%s), median %g", d.largest, d.worst,
                 d.median);
    dt_trained_free(&on_gpu);
    dt_trained_free(&on_host);
    close_sides(&s);
}

static void a_step_in_fp16_agrees_with_ref(void)
{
    NEED_GPU();
    check_step("resnet18", 32, DT_F16);
    check_step("resnet50", 64, DT_F16);
}

static void a_step_in_bf16_agrees_with_ref(void)
{
    NEED_GPU();
    check_step("resnet18", 32, DT_BF16);
}

/* Two trainings of 50 steps; `no_graph` of the second one. */
static void check_same_bits(bool no_graph)
{
    sides s = open_sides(DT_F16, true);
    dt_training training = small;
    training.n_steps = 50;
    dt_trained first = dt_train(s.cuda, &training);
    training.no_graph = no_graph;
    dt_trained second = dt_train(s.cuda, &training);
    DT_CHECK(dt_trained_same_bits(&first, &second));
    dt_trained_free(&first);
    dt_trained_free(&second);
    close_sides(&s);
}

static void fifty_captured_and_fifty_enqueued_steps_have_the_same_bits(void)
{
    NEED_GPU();
    check_same_bits(true);
}

static void fifty_steps_twice_have_the_same_bits(void)
{
    NEED_GPU();
    check_same_bits(false);
}

static const dt_test tests[] = {
    DT_TEST(fp16_fused_operations_agree_with_ref),
    DT_TEST(fp16_composed_operations_agree_with_ref),
    DT_TEST(bf16_operations_agree_with_ref),
    DT_TEST(tf32_operations_agree_with_ref),
    DT_TEST(fp32_operations_agree_with_ref),
    DT_TEST(a_step_in_fp16_agrees_with_ref),
    DT_TEST(a_step_in_bf16_agrees_with_ref),
    DT_TEST(fifty_captured_and_fifty_enqueued_steps_have_the_same_bits),
    DT_TEST(fifty_steps_twice_have_the_same_bits),
};
DT_TEST_MAIN("gpu", tests)
