/* Every operation of layers/cuda against layers/ref, without a GPU: the emulated device, the graph
 * interpreter, the kernels on the CPU.
 *
 * Tolerances. ref rounds where the backend stores 16 bits, so in FP16 and BF16 both sides round the same
 * values, except for the rare value that lies so near to the middle of two numbers that a sum in FP32 and one
 * in float64 fall on different sides. That is one element in a thousand: invisible in the 2-norm, and in the
 * largest error one unit in the last place, 2^-10 of an element (2^-7 in BF16), less in relation to the
 * largest one. Measured: 4e-7 everywhere, so the tolerance is 1e-5, and larger where a rounding may differ.
 * In TF32 both round the factors of products. */
#include "tests/backend_cases.h"
#include "tests/emulated/gpu_emulated.h"
#include "tests/testing.h"

int dt_test_time_limit_s = 1800; /* for the long cases */

static const char *const everything[] = {"", NULL};
/* Each kind of operation at some shape: the stem, 1x1 and 3x3, strides 1 and 2. */
static const char *const few[] = {
    "c3 ",       "c64 h8 w8 k", "c128 h4 w4 k128", "c256 h2 w2 k512", "pool", "normalize_input",
    "optimizer", "step",        "linear",          "softmax_loss",    NULL};

static void check(dt_dtype dtype, dt_interpreted_gpu gpu, int64_t image_size, int64_t batch, double tolerance,
                  const char *const *filters)
{
    dt_emulated_gpu g =
        dt_emulated_gpu_create(&(dt_emulated_gpu_options){.dtype = dtype, .interpreter = {.gpu = gpu}});
    for (; *filters != NULL; filters++)
        DT_CHECK_INT(dt_backend_cases_run(g.kernels, g.ref, image_size, batch, tolerance, *filters), 0);
    dt_emulated_gpu_destroy(&g);
}

/* AddressSanitizer takes ten times as long, and other shapes run the same code. */
static void fp16_fused_as_on_an_a100_agrees_with_ref(void)
{
#if defined(__SANITIZE_ADDRESS__)
    check(DT_F16, DT_INTERPRET_A100, 32, 2, 1e-5, few);
#else
    check(DT_F16, DT_INTERPRET_A100, 32, 2, 1e-5, everything);
#endif
}

static void fp16_composed_as_on_a_t4_agrees_with_ref(void)
{
    check(DT_F16, DT_INTERPRET_T4, 32, 2, 1e-5, few);
}

static void bf16_agrees_with_ref(void)
{
    check(DT_BF16, DT_INTERPRET_A100, 32, 3, 1e-5, few);
}

static void fp32_and_tf32_agree_with_ref(void)
{
    check(DT_F32, DT_INTERPRET_A100, 32, 2, 1e-5, few);
    check(DT_TF32, DT_INTERPRET_A100, 32, 2, 1e-5, few);
}

/* With a library whose dgrad cannot accumulate, the backend adds afterwards, to values that were rounded once
 * more. */
static void a_gradient_that_cannot_accumulate_is_added_afterwards(void)
{
    dt_emulated_gpu g = dt_emulated_gpu_create(&(dt_emulated_gpu_options){
        .dtype = DT_F16, .interpreter = {.gpu = DT_INTERPRET_T4, .refuse_accumulate = true}});
    DT_CHECK_INT(dt_backend_cases_run(g.kernels, g.ref, 32, 2, 1e-3, "conv_backward_data n2 c64"), 0);
    dt_emulated_gpu_destroy(&g);
}

/* With work that runs as late as possible: the backend must not rely on the host being slower than the
 * GPU. */
static void results_do_not_depend_on_when_work_runs(void)
{
    dt_emulated_gpu g = dt_emulated_gpu_create(&(dt_emulated_gpu_options){
        .dtype = DT_F16, .interpreter = {.gpu = DT_INTERPRET_A100}, .device = {.lazy = true}});
    for (const char *const *filter = few; *filter != NULL; filter++)
        DT_CHECK_INT(dt_backend_cases_run(g.kernels, g.ref, 32, 1, 1e-5, *filter), 0);
    dt_emulated_gpu_destroy(&g);
}

static void every_shape_in_every_precision_agrees_with_ref(void)
{
    DT_LONG_TEST();
    check(DT_F16, DT_INTERPRET_T4, 32, 2, 1e-5, everything);
    check(DT_BF16, DT_INTERPRET_A100, 32, 2, 1e-5, everything);
    check(DT_BF16, DT_INTERPRET_T4, 32, 3, 1e-5, everything);
    check(DT_F32, DT_INTERPRET_A100, 32, 2, 1e-5, everything);
    check(DT_TF32, DT_INTERPRET_A100, 32, 2, 1e-5, everything);
    check(DT_F16, DT_INTERPRET_ALL, 32, 1, 1e-5, everything);
}

static void other_sizes_agree_with_ref(void)
{
    DT_LONG_TEST();
    check(DT_F16, DT_INTERPRET_A100, 64, 3, 1e-3, everything);
    check(DT_F16, DT_INTERPRET_A100, 37, 5, 1e-3, everything);
    check(DT_BF16, DT_INTERPRET_T4, 75, 1, 1e-2, few);
}

static const dt_test tests[] = {
    DT_TEST(fp16_fused_as_on_an_a100_agrees_with_ref),
    DT_TEST(fp16_composed_as_on_a_t4_agrees_with_ref),
    DT_TEST(bf16_agrees_with_ref),
    DT_TEST(fp32_and_tf32_agree_with_ref),
    DT_TEST(a_gradient_that_cannot_accumulate_is_added_afterwards),
    DT_TEST(results_do_not_depend_on_when_work_runs),
    DT_TEST(every_shape_in_every_precision_agrees_with_ref),
    DT_TEST(other_sizes_agree_with_ref),
};
DT_TEST_MAIN("emulated/cases", tests)
