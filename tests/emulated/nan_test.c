/* A NaN anywhere in the forward pass of a training makes that step's loss NaN, and a NaN in a gradient makes
 * the step skipped: also where the library's ReLU, fused into convolutions, makes a NaN 0. In evaluation a
 * BatchNorm that is not finite makes the loss NaN. Whole CUDA backend, ResNet-18 at 32 pixels in FP16. */
#include "tests/emulated/gpu_emulated.h"
#include "tests/emulated/training_kit.h"
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int dt_test_time_limit_s = 900;

static const dt_training step = {.arch = "resnet18",
                                 .batch = 2,
                                 .image_size = 32,
                                 .accumulate = 1,
                                 .n_steps = 1,
                                 .seed = 1,
                                 .lr = 0.001,
                                 .loss_scale = 8.0F,
                                 .growth_interval = 2};

/* .start: a state without NaNs. The first test that needs it computes it. */
static dt_trained good;

static dt_emulated_gpu create_gpu(dt_interpreter_options options)
{
    options.relu_loses_nan = true;
    return dt_emulated_gpu_create(&(dt_emulated_gpu_options){.dtype = DT_F16, .interpreter = options});
}

static void need_good(void)
{
    if (good.n_elems > 0)
        return;
    dt_emulated_gpu g = create_gpu((dt_interpreter_options){.gpu = DT_INTERPRET_A100});
    good = dt_train(g.kernels, &step);
    DT_REQUIRE(!good.results[0].skipped && isfinite(good.results[0].loss));
    dt_emulated_gpu_destroy(&g);
}

void dt_test_tear_down(void)
{
    dt_trained_free(&good);
}

/* The good state with a NaN in the second output channel of a tensor; free it. */
static float *state_with_nan(const char *name)
{
    need_good();
    const dt_state_tensor *t = good.tensors;
    float *state = malloc((size_t)good.n_elems * sizeof *state);
    DT_REQUIRE(state != NULL);
    memcpy(state, good.start, (size_t)good.n_elems * sizeof *state);
    while (strcmp(t->name, name) != 0)
        t++;
    state[t->first + t->n_elems / t->dims[0]] = NAN;
    return state;
}

/* -- training -------------------------------------------------------------------------------------------- */

static dt_step_result train_with_nan(dt_interpreted_gpu gpu, const char *name)
{
    dt_emulated_gpu g = create_gpu((dt_interpreter_options){.gpu = gpu});
    dt_training from = step;
    float *state = state_with_nan(name);
    from.from = state;
    dt_trained trained = dt_train(g.kernels, &from);
    const dt_step_result result = trained.results[0];
    dt_trained_free(&trained);
    free(state);
    dt_emulated_gpu_destroy(&g);
    return result;
}

static void check_training(dt_interpreted_gpu gpu, const char *const *names, int n)
{
    for (int i = 0; i < n; i++) {
        const dt_step_result result = train_with_nan(gpu, names[i]);
        DT_CHECK_MSG(isnan(result.loss), "a NaN in %s: the loss is %g", names[i], result.loss);
    }
}

/* bn1 is read lazily by a convolution; bn2 and the downsampling's by a join. */
static void a_nan_in_the_state_makes_the_loss_nan_in_fused_graphs(void)
{
    static const char *const names[] = {"param/layer1.0.conv1.weight", "param/layer1.1.bn1.weight",
                                        "param/layer1.1.bn1.bias", "param/layer2.0.downsample.1.bias",
                                        "param/layer4.1.conv2.weight"};
    check_training(DT_INTERPRET_A100, names, 5);
}

static void a_nan_in_the_state_makes_the_loss_nan_in_composed_operations(void)
{
    static const char *const names[] = {"param/layer1.0.conv1.weight", "param/layer1.1.bn1.bias",
                                        "param/fc.weight"};
    check_training(DT_INTERPRET_T4, names, 3);
}

/* One element is NaN in the tensor with this id, in the graph of one convolution. */
static dt_step_result train_with_nan_in(dt_interpreted_gpu gpu, const char *graph, int tensor)
{
    dt_emulated_gpu g =
        create_gpu((dt_interpreter_options){.gpu = gpu, .nan_graph = graph, .nan_tensor = tensor});
    dt_training from = step;
    need_good();
    from.from = good.start;
    dt_trained trained = dt_train(g.kernels, &from);
    const dt_step_result result = trained.results[0];
    dt_trained_free(&trained);
    dt_emulated_gpu_destroy(&g);
    return result;
}

static void a_nan_in_one_element_is_found(void)
{
    dt_step_result result = train_with_nan_in(DT_INTERPRET_A100, "3x3/2 64->128", DT_GRAPH_Y);
    DT_CHECK_MSG(isnan(result.loss), "in a raw tensor: the loss is %g", result.loss);
    result = train_with_nan_in(DT_INTERPRET_A100, "3x3 256->256", DT_GRAPH_DX);
    DT_CHECK(result.skipped && isfinite(result.loss));
    result = train_with_nan_in(DT_INTERPRET_A100, "3x3 256->256", DT_GRAPH_DW);
    DT_CHECK(result.skipped && isfinite(result.loss));
}

/* A flag that BatchNorm sets for one loss does not reach the next one. */
static void the_step_after_a_nan_is_finite(void)
{
    dt_emulated_gpu g = create_gpu((dt_interpreter_options){.gpu = DT_INTERPRET_A100});
    dt_training from = step;
    float *state = state_with_nan("param/layer1.1.bn1.bias");
    from.from = state;
    dt_trained bad = dt_train(g.kernels, &from);
    dt_trained again = dt_train(g.kernels, &step);
    DT_CHECK(isnan(bad.results[0].loss) && again.results[0].loss == good.results[0].loss);
    DT_CHECK(dt_trained_same_bits(&again, &good));
    dt_trained_free(&bad);
    dt_trained_free(&again);
    free(state);
    dt_emulated_gpu_destroy(&g);
}

/* -- evaluation ------------------------------------------------------------------------------------------ */

static double loss_with_nan(dt_interpreted_gpu gpu, const char *name)
{
    dt_emulated_gpu g = create_gpu((dt_interpreter_options){.gpu = gpu});
    dt_training from = step;
    need_good();
    float *state = name ? state_with_nan(name) : good.start;
    from.from = state;
    const double loss = dt_evaluated_loss(g.kernels, &from, &good);
    if (name)
        free(state);
    dt_emulated_gpu_destroy(&g);
    return loss;
}

static void evaluation_finds_a_batchnorm_that_is_not_finite(void)
{
    static const char *const names[] = {"param/layer1.1.bn1.weight", "param/layer1.1.bn1.bias",
                                        "buffer/layer2.0.bn2.running_mean", "buffer/layer3.0.bn1.running_var",
                                        "param/fc.bias"};
    DT_CHECK(isfinite(loss_with_nan(DT_INTERPRET_A100, NULL)));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        DT_CHECK_MSG(isnan(loss_with_nan(DT_INTERPRET_A100, names[i])), "a NaN in %s", names[i]);
    DT_CHECK(isnan(loss_with_nan(DT_INTERPRET_T4, names[1])));
    DT_CHECK(isnan(loss_with_nan(DT_INTERPRET_T4, "param/layer1.0.conv1.weight")));
}

static const dt_test tests[] = {
    DT_TEST(a_nan_in_the_state_makes_the_loss_nan_in_fused_graphs),
    DT_TEST(a_nan_in_the_state_makes_the_loss_nan_in_composed_operations),
    DT_TEST(a_nan_in_one_element_is_found),
    DT_TEST(the_step_after_a_nan_is_finite),
    DT_TEST(evaluation_finds_a_batchnorm_that_is_not_finite),
};
DT_TEST_MAIN("emulated/nan", tests)
