/* Every kernel of layers/cuda, run on the CPU by tests/emulator, against layers/ref: at odd sizes; with
 * numbers of channels that fill a part of a block, a block, and several; in FP32, FP16 and BF16; with 1, 3
 * and 50 multiprocessors; with threads and blocks in four orders.
 *
 * The host side is the backend's own; device memory is that of tests/emulated. backend_kit.h provides guard
 * bands and poisoned outputs, and checks that a second call gives equal bits. */
#include "layers/cuda/kernels_cuda.h"
#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "tests/backend_kit.h"
#include "tests/emulated/device_emulated.h"
#include "tests/emulated/graph_interpreter.h"
#include "tests/emulator/emulator.h"
#include "tests/emulator/planted.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

int dt_test_time_limit_s = 300;

static dt_device *host, *gpu;
static dt_graph_runner *runner;
static dt_error err;

void dt_test_set_up(void)
{
    const dt_interpreter_options options = {.gpu = DT_INTERPRET_ALL};
    if (dt_device_host_create(1, &host, &err) != DT_OK ||
        dt_device_emulated_create(&(dt_emulated_options){0}, &gpu, &err) != DT_OK ||
        dt_graph_interpreter_create(gpu, &options, &runner, &err) != DT_OK)
        abort();
}

void dt_test_tear_down(void)
{
    runner->ops->destroy(runner);
    gpu->ops->destroy(gpu);
    host->ops->destroy(host);
}

/* -- against ref ----------------------------------------------------------------------------------------- */

typedef void group_of_cases(dt_kit *kit);

/* Twice half an ulp of the type, plus the difference of FP32 sums in another order. */
static double tolerance_of(dt_dtype dtype)
{
    return dtype == DT_F16 ? 1.1e-3 : dtype == DT_BF16 ? 9e-3 : 1e-5;
}

/* If not NULL, replaces operations of the candidate by planted ones. */
static void (*spoil)(dt_kernels_ops *ops);

/* Run the groups with both backends in `dtype`; return how many cases failed. */
static int run_cases(dt_dtype dtype, const char *filter, bool quiet, group_of_cases *const *groups)
{
    dt_kernels *cuda = NULL, *ref = NULL;
    const dt_cuda_options options = {.dtype = dtype};
    const char *verbose = getenv("DTRAIN_TEST_VERBOSE");
    DT_REQUIRE_MSG(dt_kernels_ref_create(host, dtype, &ref, &err) == DT_OK &&
                       dt_kernels_cuda_create(gpu, runner, &options, &cuda, &err) == DT_OK,
                   "%s", err.message);
    const dt_kernels_ops *ops = cuda->ops;
    dt_kernels_ops spoiled = *ops;
    if (spoil != NULL)
        spoil(&spoiled);
    cuda->ops = &spoiled;
    dt_kit kit = {.side = {cuda, ref}, .tolerance = tolerance_of(dtype), .filter = filter, .quiet = quiet};
    kit.verbose = verbose != NULL && strcmp(verbose, "1") == 0;
    for (; *groups != NULL; groups++)
        (*groups)(&kit);
    cuda->ops = ops;
    cuda->ops->destroy(cuda);
    ref->ops->destroy(ref);
    DT_CHECK_MSG(kit.n_run > 0, "no case has \"%s\" in its name", filter != NULL ? filter : "");
    return kit.n_failed;
}

/* Channels: a quarter of a warp's width, no power of two, the stem's, two uneven pieces, the widest. */
static const dt_kit_shape shapes[] = {{16, 7, 5}, {48, 5, 7}, {64, 16, 16}, {272, 3, 5}, {2048, 3, 2}};
static const dt_kit_shape one_value[] = {{16, 1, 1}, {512, 1, 1}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes, N_ONE_VALUE = sizeof one_value / sizeof *one_value };

static void norms(dt_kit *kit)
{
    for (int i = 0; i < N_SHAPES; i++)
        dt_kit_batchnorm_cases(kit, 3, &shapes[i]);
    /* The variance of one value is 0. FP32 sums give exactly 0 only if the square is exact, as it is for
     * 16-bit values. */
    for (int i = 0; i < N_ONE_VALUE && kit->side[DT_KIT_CANDIDATE]->dtype != DT_F32; i++)
        dt_kit_batchnorm_cases(kit, 1, &one_value[i]);
}

static void joins(dt_kit *kit)
{
    for (int i = 0; i < N_SHAPES; i++) {
        dt_kit_residual_cases(kit, 3, &shapes[i], false);
        dt_kit_residual_cases(kit, 3, &shapes[i], true);
    }
    for (int i = 0; i < N_ONE_VALUE; i++)
        dt_kit_residual_cases(kit, 1, &one_value[i], true);
}

static void pools(dt_kit *kit)
{
    static const dt_pool_desc windows[] = {{3, 2, 1}, {2, 2, 0}, {3, 1, 1}, {5, 3, 2}};
    static const dt_kit_shape images[] = {{16, 7, 5}, {64, 16, 16}, {272, 6, 5}, {16, 5, 9}, {16, 1, 2}};
    for (size_t i = 0; i < sizeof images / sizeof *images; i++)
        for (size_t w = 0; w < sizeof windows / sizeof *windows; w++)
            if (i == 0 || w == 0)
                dt_kit_max_pool_cases(kit, 3, &images[i], &windows[w]);
    for (int i = 0; i < N_SHAPES; i++)
        dt_kit_average_pool_cases(kit, 3, &shapes[i]);
    dt_kit_average_pool_cases(kit, 1, &one_value[0]);
}

static void ends(dt_kit *kit)
{
    dt_kit_input_cases(kit, 3, 32);
    dt_kit_input_cases(kit, 3, 5);
    dt_kit_input_cases(kit, 1, 3);
    dt_kit_linear_cases(kit, 3, 16, 10);
    dt_kit_linear_cases(kit, 9, 64, 1000);
    dt_kit_loss_cases(kit, 9, 10);
    dt_kit_loss_cases(kit, 40, 1000);
    dt_kit_loss_cases(kit, 10, 129);
}

static void updates(dt_kit *kit)
{
    dt_kit_optimizer_cases(kit);
    dt_kit_step_cases(kit);
}

static group_of_cases *const all_groups[] = {norms, joins, pools, ends, updates, NULL};

static void every_kernel_agrees_with_ref_in_fp32(void)
{
    DT_CHECK_INT(run_cases(DT_F32, NULL, false, all_groups), 0);
}

static void every_kernel_agrees_with_ref_in_fp16(void)
{
    DT_CHECK_INT(run_cases(DT_F16, NULL, false, all_groups), 0);
}

static void every_kernel_agrees_with_ref_in_bf16(void)
{
    DT_CHECK_INT(run_cases(DT_BF16, NULL, false, all_groups), 0);
}

static void the_order_of_threads_and_blocks_does_not_matter(void)
{
    for (unsigned order = 1; order < 4; order++) {
        dt_emulator_set_order(order);
        DT_CHECK_INT(run_cases(DT_F16, NULL, false, all_groups), 0);
    }
    dt_emulator_set_order(0);
}

static void kernels_work_with_any_number_of_multiprocessors(void)
{
    static const int numbers[] = {1, 50};
    for (int i = 0; i < 2; i++) {
        dt_emulator_set_multiprocessors(numbers[i]);
        DT_CHECK_INT(run_cases(DT_F32, NULL, false, all_groups), 0);
    }
    dt_emulator_set_multiprocessors(3);
}

/* -- planted mistakes ------------------------------------------------------------------------------------ */

typedef struct planted_mistake {
    const char *kernel, *cases;
    dt_emulator_mistake mistake;
} planted_mistake;

static float planted_scratch[1 << 20];

static dt_status launched(int code)
{
    return code == 0 ? DT_OK : DT_ERR_DEVICE;
}

static dt_status residual_backward(dt_kernels *k, const dt_tensor *dy, const dt_tensor *y, const void *mask,
                                   const dt_bn_backward *branch, const dt_bn_backward *skip,
                                   const dt_tensor *g, dt_error *e)
{
    (void)k, (void)y, (void)e;
    return launched(planted_residual_backward(dy, mask, branch, skip, planted_scratch, g));
}

static dt_status max_pool_forward(dt_kernels *k, const dt_pool_desc *pool, const dt_act *x,
                                  const dt_tensor *y, uint8_t *argmax, dt_error *e)
{
    (void)k, (void)e;
    return launched(planted_max_pool_forward(pool, x, y, argmax));
}

static dt_status bn_backward_reduce(dt_kernels *k, const dt_bn_backward *bn, const dt_tensor *dv,
                                    const dt_tensor *dz, dt_error *e)
{
    (void)k, (void)e;
    return launched(planted_bn_backward_reduce(bn, dv, planted_scratch, dz));
}

static dt_status bn_backward_apply(dt_kernels *k, const dt_bn_backward_apply *bn, const dt_act *x,
                                   const dt_tensor *dz, const dt_tensor *dy, dt_error *e)
{
    (void)k, (void)e;
    return launched(planted_bn_backward_apply(bn, x, dz, dy));
}

static dt_status bn_backward_apply_without_mask(dt_kernels *k, const dt_bn_backward_apply *bn,
                                                const dt_act *x, const dt_tensor *dz, const dt_tensor *dy,
                                                dt_error *e)
{
    (void)k, (void)e;
    return launched(planted_bn_backward_apply_without_mask(bn, x, dz, dy));
}

static dt_status softmax_loss(dt_kernels *k, const dt_tensor *logits, const int32_t *labels, float smoothing,
                              float grad_scale, const float *loss_scale, const dt_tensor *dlogits,
                              dt_loss_sums *sums, dt_error *e)
{
    (void)k, (void)e;
    return launched(planted_softmax_loss(logits, labels, smoothing, grad_scale, loss_scale, planted_scratch,
                                         dlogits, sums));
}

static void spoil_the_mask(dt_kernels_ops *ops)
{
    ops->residual_backward = residual_backward;
}

static void spoil_ties_of_pooling(dt_kernels_ops *ops)
{
    ops->max_pool_forward = max_pool_forward;
}

static void spoil_the_gradient_of_relu(dt_kernels_ops *ops)
{
    ops->bn_backward_reduce = bn_backward_reduce;
}

static void spoil_the_order_of_coefficients(dt_kernels_ops *ops)
{
    ops->bn_backward_apply = bn_backward_apply;
}

static void spoil_the_mask_of_an_unmasked_gradient(dt_kernels_ops *ops)
{
    ops->bn_backward_apply = bn_backward_apply_without_mask;
}

static void spoil_ties_of_logits(dt_kernels_ops *ops)
{
    ops->softmax_loss = softmax_loss;
}

typedef struct planted_formula {
    void (*spoil)(dt_kernels_ops *ops);
    const char *cases;
} planted_formula;

/* The formulas are in tests/emulator/planted.cu. */
static void planted_formulas_are_caught(void)
{
    static const planted_formula formulas[] = {{spoil_the_mask, "residual"},
                                               {spoil_ties_of_pooling, "max_pool"},
                                               {spoil_the_gradient_of_relu, "bn_backward_reduce"},
                                               {spoil_the_order_of_coefficients, "bn_backward_apply"},
                                               {spoil_the_mask_of_an_unmasked_gradient, "relu in place"},
                                               {spoil_ties_of_logits, "softmax_loss"}};
    for (size_t i = 0; i < sizeof formulas / sizeof *formulas; i++) {
        spoil = formulas[i].spoil;
        int n_failed = run_cases(DT_F16, formulas[i].cases, true, all_groups);
        spoil = NULL;
        DT_CHECK_MSG(n_failed > 0, "planted formula %d was not detected by the cases of %s", (int)i,
                     formulas[i].cases);
    }
}

/* Each kernel in turn loses its last block or all of its barriers, or is not launched; the cases that use it
 * must fail. */
static void planted_gaps_are_caught(void)
{
    static const planted_mistake mistakes[] = {
        {"normalize_input", "normalize_input", DT_EMULATOR_NO_LAST_BLOCK},
        {"normalize_input", "normalize_input", DT_EMULATOR_NO_BARRIERS},
        {"bn_sums", "bn_sums", DT_EMULATOR_NO_BARRIERS},
        {"sums_finish", "bn_backward", DT_EMULATOR_NO_BARRIERS},
        {"sums_finish", "bn_backward", DT_EMULATOR_NO_LAST_BLOCK},
        {"bn_finalize", "bn_finalize", DT_EMULATOR_NO_LAST_BLOCK},
        {"bn_inference", "bn_inference", DT_EMULATOR_NO_LAST_BLOCK},
        {"bn_backward_reduce", "bn_backward_reduce", DT_EMULATOR_NO_LAST_BLOCK},
        {"bn_backward_apply", "bn_backward_apply", DT_EMULATOR_NO_LAST_BLOCK},
        {"bn_backward_apply", "bn_backward_apply", DT_EMULATOR_NO_BARRIERS},
        {"act_materialize", "act_materialize", DT_EMULATOR_NO_LAST_BLOCK},
        {"residual_forward", "residual_forward", DT_EMULATOR_NO_LAST_BLOCK},
        {"residual_backward", "residual", DT_EMULATOR_NO_BARRIERS},
        {"max_pool_forward", "max_pool_forward", DT_EMULATOR_NO_LAST_BLOCK},
        {"max_pool_backward", "max_pool_backward", DT_EMULATOR_NO_LAST_BLOCK},
        {"average_pool_forward", "average_pool_forward", DT_EMULATOR_NO_LAST_BLOCK},
        {"average_pool_backward", "average_pool_backward", DT_EMULATOR_NO_LAST_BLOCK},
        {"bias_add", "linear_forward", DT_EMULATOR_NO_LAST_BLOCK},
        {"bias_gradient", "linear_backward", DT_EMULATOR_NO_BARRIERS},
        {"softmax_loss", "softmax_loss", DT_EMULATOR_NO_BARRIERS},
        {"softmax_loss_finish", "softmax_loss", DT_EMULATOR_NO_LAUNCH},
        {"optimizer_inspect", "optimizer", DT_EMULATOR_NO_LAST_BLOCK},
        {"optimizer_decide", "optimizer", DT_EMULATOR_NO_LAUNCH},
        {"optimizer_update", "optimizer", DT_EMULATOR_NO_LAST_BLOCK},
        {"step_begin", "step", DT_EMULATOR_NO_LAUNCH},
        {"step_record", "step", DT_EMULATOR_NO_LAUNCH},
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        dt_emulator_plant(mistakes[i].kernel, mistakes[i].mistake);
        int n_failed = run_cases(DT_F16, mistakes[i].cases, true, all_groups);
        dt_emulator_plant(NULL, DT_EMULATOR_NO_LAUNCH);
        DT_CHECK_MSG(n_failed > 0, "no case detected mistake %d in %s", (int)mistakes[i].mistake,
                     mistakes[i].kernel);
    }
}

static const dt_test tests[] = {
    DT_TEST(every_kernel_agrees_with_ref_in_fp32),
    DT_TEST(every_kernel_agrees_with_ref_in_fp16),
    DT_TEST(every_kernel_agrees_with_ref_in_bf16),
    DT_TEST(the_order_of_threads_and_blocks_does_not_matter),
    DT_TEST(kernels_work_with_any_number_of_multiprocessors),
    DT_TEST(planted_formulas_are_caught),
    DT_TEST(planted_gaps_are_caught),
};
DT_TEST_MAIN("layers/cuda_kernels", tests)
