/* The whole CUDA backend where engines are rejected: it composes the graphs that no engine runs correctly,
 * and reports an operation that it cannot compose. */
#include "layers/cuda/kernels_cuda.h"
#include "tests/emulated/faulty_engines.h"
#include "tests/emulated/gpu_emulated.h"
#include "tests/emulated/training_kit.h"
#include "tests/fakes/captured_log.h"
#include "tests/testing.h"

#include <math.h>
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

static dt_emulated_gpu create_gpu(dt_interpreted_gpu gpu)
{
    return dt_emulated_gpu_create(&(dt_emulated_gpu_options){.dtype = DT_F16, .interpreter = {.gpu = gpu}});
}

/* The backend on g's device with engines that behave as behaviour_of returns. */
static dt_kernels *create_kernels(const dt_emulated_gpu *g,
                                  dt_faulty_behaviour (*behaviour_of)(const dt_graph *graph),
                                  dt_graph_runner **runner)
{
    dt_error err;
    dt_kernels *kernels = NULL;
    DT_REQUIRE(dt_faulty_runner_create(g->device, g->runner, behaviour_of, runner, &err) == DT_OK);
    DT_REQUIRE(dt_kernels_cuda_create(g->device, *runner, &(dt_cuda_options){.dtype = DT_F16}, &kernels,
                                      &err) == DT_OK);
    return kernels;
}

static void destroy_kernels(dt_kernels *kernels, dt_graph_runner *runner)
{
    kernels->ops->destroy(kernels);
    runner->ops->destroy(runner);
}

/* -- fused graphs ---------------------------------------------------------------------------------------- */

static int64_t n_rejected[DT_ENGINE_IDLE + 1]; /* by behaviour */

/* Every fused graph's engine has one of the faults, in turn. */
static dt_faulty_behaviour no_fused_engine(const dt_graph *graph)
{
    static const dt_faulty_behaviour faults[] = {DT_ENGINE_WRONG, DT_ENGINE_FAILS, DT_ENGINE_DIFFERS,
                                                 DT_ENGINE_IDLE, DT_ENGINE_REFUSES};
    static int64_t n;
    if (graph->n_ops == 1)
        return DT_ENGINE_RIGHT;
    const dt_faulty_behaviour fault = faults[n++ % 5];
    n_rejected[fault]++;
    return fault;
}

static void a_step_without_usable_fused_engines_equals_the_composed_one(void)
{
    dt_graph_runner *runner = NULL;
    dt_emulated_gpu t4 = create_gpu(DT_INTERPRET_T4);
    dt_trained composed = dt_train(t4.kernels, &step);
    dt_emulated_gpu_destroy(&t4);
    dt_emulated_gpu g = create_gpu(DT_INTERPRET_ALL);
    dt_trained fused = dt_train(g.kernels, &step);
    dt_kernels *kernels = create_kernels(&g, no_fused_engine, &runner);
    captured_log_begin(DT_LOG_WARN);
    dt_trained rejected = dt_train(kernels, &step);
    captured_log_end();
    DT_CHECK_CONTAINS(captured_log_text(), "engine only is not used: ");
    DT_CHECK(dt_trained_same_bits(&rejected, &composed));
    DT_CHECK(!composed.results[0].skipped && rejected.results[0].loss == composed.results[0].loss);
    DT_CHECK(!dt_trained_same_bits(&fused, &composed));
    DT_CHECK(n_rejected[DT_ENGINE_WRONG] > 3 && n_rejected[DT_ENGINE_REFUSES] > 3);
    destroy_kernels(kernels, runner);
    dt_trained_free(&composed);
    dt_trained_free(&fused);
    dt_trained_free(&rejected);
    dt_emulated_gpu_destroy(&g);
}

/* -- graphs that are needed ------------------------------------------------------------------------------ */

static dt_faulty_behaviour wrong_weight_gradients(const dt_graph *graph)
{
    return graph->ops[graph->n_ops - 1].kind == DT_GRAPH_OP_CONV_BACKWARD_FILTER ? DT_ENGINE_WRONG
                                                                                 : DT_ENGINE_RIGHT;
}

static void a_convolution_without_a_usable_engine_is_an_error(void)
{
    dt_error err;
    dt_conv *conv = NULL;
    dt_graph_runner *runner = NULL;
    const dt_conv_desc d = {.n = 2,
                            .c = 32,
                            .h = 8,
                            .w = 8,
                            .k = 64,
                            .r = 3,
                            .s = 3,
                            .stride = 1,
                            .pad = 1,
                            .for_training = true};
    dt_emulated_gpu g = create_gpu(DT_INTERPRET_ALL);
    dt_kernels *kernels = create_kernels(&g, wrong_weight_gradients, &runner);
    captured_log_begin(DT_LOG_WARN);
    DT_CHECK_INT(kernels->ops->conv_create(kernels, &d, &conv, &err), DT_ERR_UNSUPPORTED);
    captured_log_end();
    DT_CHECK_CONTAINS(err.message, "faulty engines has no plan for ");
    DT_CHECK_CONTAINS(err.message, "wgrad 3x3");
    destroy_kernels(kernels, runner);
    dt_emulated_gpu_destroy(&g);
}

static const dt_test tests[] = {
    DT_TEST(a_step_without_usable_fused_engines_equals_the_composed_one),
    DT_TEST(a_convolution_without_a_usable_engine_is_an_error),
};
DT_TEST_MAIN("emulated/rejection", tests)
