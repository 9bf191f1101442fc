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
#include "tests/gpu/fused_bench.h"
#include "tests/gpu/fused_counts.h"
#include "tests/gpu/fused_times.h"
#include "tests/gpu/kept_convs.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* -- the two sides --------------------------------------------------------------------------------------- */

typedef struct sides {
    dt_graph_runner *cudnn, *side; /* side: all graphs of cudnn, or those of one operation */
    dt_kernels *cuda, *ref;
} sides;

static sides open_sides(dt_dtype dtype, bool fused)
{
    sides s = {0};
    dt_error err = {0};
    /* BF16's fused graphs have only engines that are compiled at run time, for a second or more each */
    const dt_cudnn_options cudnn = {.autotune = dtype == DT_BF16 ? DT_AUTOTUNE_OFF : DT_AUTOTUNE_HEURISTIC,
                                    .workspace_limit_bytes = DT_CUDNN_WORKSPACE_LIMIT_BYTES,
                                    .cache_path = ""};
    const dt_cuda_options cuda = {.dtype = dtype};
    DT_REQUIRE_MSG(dt_cudnn_runner_create(gpu, &cudnn, &s.cudnn, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE(dt_side_runner_create(s.cudnn, fused ? DT_SIDE_FUSED : DT_SIDE_COMPOSED, &s.side, &err) ==
               DT_OK);
    DT_REQUIRE_MSG(dt_kernels_cuda_create(gpu, s.side, &cuda, &s.cuda, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_kernels_ref_create(host, dtype, &s.ref, &err) == DT_OK, "%s", err.message);
    return s;
}

static void close_sides(sides *s)
{
    s->cuda->ops->destroy(s->cuda);
    s->ref->ops->destroy(s->ref);
    s->side->ops->destroy(s->side);
    s->cudnn->ops->destroy(s->cudnn);
}

/* The compute capability. */
static int sm_of_gpu(void)
{
    char text[200];
    dt_device_cuda_describe(0, text, sizeof text);
    const char *sm = strstr(text, "sm_");
    DT_REQUIRE_MSG(sm != NULL, "%s", text);
    return atoi(sm + strlen("sm_"));
}

/* first_hour.sh takes the line as the note of its table. */
static void check_counts(const dt_fused_counts *counts, int least)
{
    char text[1024];
    const bool is_enough = dt_fused_counts_check(counts, sm_of_gpu(), least, text, sizeof text);
    printf("fused graphs: %s\n", text);
    DT_CHECK_MSG(is_enough, "%s", text);
}

/* -- operations ------------------------------------------------------------------------------------------ */

static void check_operations(dt_dtype dtype, bool fused, double tolerance)
{
    sides s = open_sides(dtype, fused);
    dt_fused_counts counts = {0};
    dt_kept_convs *kept = dt_keep_convs(s.cuda);
    DT_CHECK_INT(dt_backend_cases_run(s.cuda, s.ref, 32, 2, tolerance, getenv("DTRAIN_GPU_CASES")), 0);
    dt_kernels_cuda_plans(s.cuda, dt_fused_counts_visit, &counts);
    if (fused && dtype == DT_F16)
        check_counts(&counts, 0);
    dt_release_convs(kept);
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

/* -- graphs ---------------------------------------------------------------------------------------------- */

/* 20 executions on one input, after the executions of tuning and of its check. */
static void check_repeated(dt_kernels *const kernels[2], const dt_conv_desc *desc, dt_fused_counts *counts)
{
    dt_error err = {0};
    dt_fused_bench *bench = NULL;
    DT_REQUIRE_MSG(dt_fused_bench_create(kernels, desc, &bench, &err) == DT_OK, "%s", err.message);
    for (int i = 0; i < dt_fused_bench_n(bench); i++) {
        bool same = true;
        dt_fused_counts_add(counts, dt_fused_bench_graph(bench, i), dt_fused_bench_has(bench, i));
        if (!dt_fused_bench_has(bench, i))
            continue;
        DT_REQUIRE_MSG(dt_fused_bench_repeat(bench, i, 20, &same, &err) == DT_OK, "%s", err.message);
        DT_CHECK_MSG(same, "%s %lldx%lld/%lld %lld->%lld %lldx%lld: other bits",
                     dt_fused_bench_graph(bench, i), (long long)desc->r, (long long)desc->s,
                     (long long)desc->stride, (long long)desc->c, (long long)desc->k, (long long)desc->h,
                     (long long)desc->w);
    }
    dt_fused_bench_destroy(bench);
}

static void each_fused_graph_gives_the_same_bits_twenty_times(void)
{
    NEED_GPU();
    static const dt_fused_times_options net = {.arch = "resnet50", .batch = 32, .image_size = 224};
    static dt_fused_convs convs;
    dt_error err = {0};
    dt_fused_counts counts = {0};
    sides fused = open_sides(DT_F16, true), composed = open_sides(DT_F16, false);
    dt_kernels *const kernels[2] = {fused.cuda, composed.cuda};
    DT_REQUIRE_MSG(dt_fused_convs_list(gpu, &net, &convs, &err) == DT_OK, "%s", err.message);
    for (int i = 0; i < convs.n; i++)
        check_repeated(kernels, &convs.descs[i], &counts);
    check_counts(&counts, dt_fused_counts_of_resnet50(sm_of_gpu()) / 2);
    close_sides(&composed);
    close_sides(&fused);
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

/* cuDNN's ReLU may make a NaN 0 (layers/cuda/README.md). A NaN in the second channel of a tensor. */
static void check_nan(dt_kernels *cuda, const dt_trained *good, const char *name, const char *how)
{
    dt_training from = small;
    const dt_state_tensor *t = good->tensors;
    while (strcmp(t->name, name) != 0)
        t++;
    float *at = good->start + t->first + t->n_elems / t->dims[0];
    const float kept = *at;
    *at = NAN;
    from.from = good->start;
    dt_trained bad = dt_train(cuda, &from);
    *at = kept;
    DT_CHECK_MSG(isnan(bad.results[0].loss), "a NaN in %s, %s: the loss is %g", name, how,
                 (double)bad.results[0].loss);
    dt_trained_free(&bad);
}

static void a_nan_in_the_weights_makes_the_loss_nan(void)
{
    NEED_GPU();
    for (int fused = 0; fused < 2; fused++) {
        sides s = open_sides(DT_F16, fused == 1);
        dt_trained good = dt_train(s.cuda, &small);
        DT_CHECK(isfinite(good.results[0].loss));
        check_nan(s.cuda, &good, "param/layer1.0.conv1.weight", fused ? "fused" : "composed");
        check_nan(s.cuda, &good, "param/layer2.0.downsample.1.bias", fused ? "fused" : "composed");
        dt_trained_free(&good);
        close_sides(&s);
    }
}

static const dt_test tests[] = {
    DT_TEST(fp16_fused_operations_agree_with_ref),
    DT_TEST(fp16_composed_operations_agree_with_ref),
    DT_TEST(bf16_operations_agree_with_ref),
    DT_TEST(tf32_operations_agree_with_ref),
    DT_TEST(fp32_operations_agree_with_ref),
    DT_TEST(each_fused_graph_gives_the_same_bits_twenty_times),
    DT_TEST(a_nan_in_the_weights_makes_the_loss_nan),
    DT_TEST(a_step_in_fp16_agrees_with_ref),
    DT_TEST(a_step_in_bf16_agrees_with_ref),
    DT_TEST(fifty_captured_and_fifty_enqueued_steps_have_the_same_bits),
    DT_TEST(fifty_steps_twice_have_the_same_bits),
};
DT_TEST_MAIN("gpu", tests)
