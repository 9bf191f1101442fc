/* What a training step enqueues, and the model of its time. */
#include "config.h"

#include "tests/testing.h"

#include "launch/estimate/step_model.h"

static const dt_step_speeds round_speeds = {.graph_bytes_per_s = 1e9,
                                            .kernel_bytes_per_s = 2e9,
                                            .flops = 1e12,
                                            .weight_gradient_flops = 0.5e12,
                                            .launch_s = 1e-3};

/* A convolution forward and backward, BatchNorm forward, and the update. */
typedef struct small_step {
    dt_step_part parts[4];
    dt_step_graph graphs[3];
    dt_step_trace trace;
} small_step;

static void make_step(small_step *s)
{
    *s = (small_step){
        .parts =
            {{.layer = 0, .phase = DT_LAYER_FORWARD, .n_graphs = 1, .bytes_moved = 100, .graphs_moved = 100},
             {.layer = 1, .phase = DT_LAYER_FORWARD, .n_kernels = 2, .bytes_moved = 400000000},
             {.layer = 0,
              .phase = DT_LAYER_BACKWARD,
              .n_kernels = 1,
              .first_graph = 1,
              .n_graphs = 2,
              .bytes_moved = 300000000,
              .graphs_moved = 100000000},
             {.layer = DT_STEP_NO_LAYER, .n_kernels = 3, .n_copies = 1}},
        .graphs = {{.bytes_moved = 100, .flops = 2e12, .has_sums = true, .n_channels = 64},
                   {.bytes_moved = 60000000, .flops = 2e12, .is_weight_gradient = true, .n_channels = 64},
                   {.bytes_moved = 40000000, .workspace_bytes = 30000000, .n_channels = 64}}};
    s->trace = (dt_step_trace){.parts = s->parts, .n_parts = 4, .graphs = s->graphs, .n_graphs = 3};
}

static double seconds(const small_step *s)
{
    return dt_step_model(&s->trace, DT_F16, &round_speeds).total_s;
}

static void each_graph_takes_the_longer_of_its_bytes_and_its_flops(void)
{
    small_step s;
    make_step(&s);
    dt_step_time t = dt_step_model(&s.trace, DT_F16, &round_speeds);
    DT_CHECK_CLOSE(t.forward_s, 2.0, 1e-12);
    DT_CHECK_CLOSE(t.weight_gradient_s, 4.0, 1e-12);
    DT_CHECK_CLOSE(t.data_gradient_s, 0.1, 1e-12); /* 40 MB, and 30 MB of workspace twice */
    DT_CHECK_CLOSE(t.kernels_s, 0.2 + 0.1, 1e-12);
    DT_CHECK_CLOSE(t.launches_s, 1e-3 * (7 + 2 + 2 + 1), 1e-12);
    DT_CHECK_CLOSE(t.total_s,
                   t.forward_s + t.weight_gradient_s + t.data_gradient_s + t.kernels_s + t.launches_s, 1e-12);
    s.graphs[0].n_channels = 4;
    DT_CHECK_CLOSE(dt_step_model(&s.trace, DT_F16, &round_speeds).forward_s, 2.0 / 0.35, 1e-12);
}

static void a_pass_that_is_removed_takes_its_time_with_it(void)
{
    small_step s, less;
    make_step(&s);
    less = s;
    less.trace.parts = less.parts;
    less.trace.graphs = less.graphs;
    less.parts[1].bytes_moved -= 200000000;
    DT_CHECK_CLOSE(seconds(&s) - seconds(&less), 0.1, 1e-12);
    less.parts[1].n_kernels--;
    DT_CHECK_CLOSE(seconds(&s) - seconds(&less), 0.101, 1e-12);
    less.parts[2].n_graphs--;
    less.parts[2].graphs_moved -= 40000000;
    less.parts[2].bytes_moved -= 40000000;
    DT_CHECK_CLOSE(seconds(&s) - seconds(&less), 0.202, 1e-12);
}

static void the_update_moves_its_vectors(void)
{
    dt_step_trace t = {.n_trained = 1000000000};
    DT_CHECK_CLOSE(dt_step_model(&t, DT_F16, &round_speeds).kernels_s, 32 / 2.0, 1e-12);
    DT_CHECK_CLOSE(dt_step_model(&t, DT_BF16, &round_speeds).kernels_s, 28 / 2.0, 1e-12);
    DT_CHECK_CLOSE(dt_step_model(&t, DT_F32, &round_speeds).kernels_s, 20 / 2.0, 1e-12);
}

#ifdef DT_WITH_CUDA
#    include "core/base/alloc.h"
#    include "launch/estimate/offline_device.h"
#    include "launch/estimate/trace_runner.h"
#    include "layers/cuda/cudnn_runner.h"
#    include "layers/cuda/kernels_cuda.h"
#    include "layers/cuda/launch.h"
#    include "layers/registry.h"
#    include "layers/resnet.h"

typedef struct traced {
    dt_gpu_spec gpu;
    int64_t n_kernels, n_graphs, n_copies;
    int64_t n_forward, n_before_layers; /* launches: of all layers forward; before the first layer */
    dt_step_time time;
} traced;

static void read_trace(const dt_step_trace *t, const dt_config *c, traced *r)
{
    dt_step_speeds speeds = dt_step_speeds_of(&r->gpu, c->precision);
    r->time = dt_step_model(t, c->precision, &speeds);
    r->n_kernels = t->n_kernels, r->n_graphs = t->n_graphs, r->n_copies = t->n_copies;
    r->n_before_layers = t->parts[0].n_kernels + t->parts[0].n_copies;
    int64_t n_kernels = 0, n_graphs = 0;
    for (int64_t i = 0; i < t->n_parts; i++) {
        const dt_step_part *p = &t->parts[i];
        n_kernels += p->n_kernels, n_graphs += p->n_graphs;
        if (p->layer != DT_STEP_NO_LAYER && p->phase == DT_LAYER_FORWARD)
            r->n_forward += p->n_kernels + p->n_graphs + p->n_copies;
    }
    DT_CHECK_INT(n_kernels, t->n_kernels);
    DT_CHECK_INT(n_graphs, t->n_graphs);
}

static traced trace_of(const char *gpu, const char *arch, int64_t batch)
{
    traced r = {0};
    dt_error err = {0};
    dt_device *device = NULL;
    dt_graph_runner *planner = NULL, *runner = NULL;
    dt_kernels *k = NULL;
    dt_net *net = NULL;
    dt_step_trace *t = NULL;
    dt_net_spec spec;
    const dt_config config = {.batch = batch, .image_size = 224, .precision = DT_F16, .momentum = 0.9};
    const dt_cudnn_options cudnn = {.autotune = DT_AUTOTUNE_OFF,
                                    .workspace_limit_bytes = DT_CUDNN_WORKSPACE_LIMIT_BYTES};
    const dt_cuda_options cuda = {.dtype = DT_F16};
    const dt_net_options options = {.batch = batch, .image_size = 224, .training = true};
    DT_REQUIRE(dt_gpu_spec_load(gpu, &r.gpu, &err) == DT_OK);
    DT_REQUIRE(dt_cudnn_runner_create_offline(r.gpu.model, r.gpu.properties, &cudnn, &planner, &err) ==
               DT_OK);
    DT_REQUIRE(dt_trace_runner_create(planner, &runner, &err) == DT_OK);
    DT_REQUIRE(dt_offline_device_create(&r.gpu, DT_F16, &device, &err) == DT_OK);
    DT_REQUIRE(dt_kernels_cuda_create(device, runner, &cuda, &k, &err) == DT_OK);
    DT_REQUIRE(dt_resnet_spec(arch, 1000, &spec, &err) == DT_OK);
    DT_REQUIRE_MSG(dt_net_create(&spec, dt_layer_registry(), k, &options, &net, &err) == DT_OK, "%s",
                   err.message);
    DT_REQUIRE_MSG(dt_step_trace_create(net, k, runner, &config, &t, &err) == DT_OK, "%s", err.message);
    read_trace(t, &config, &r);
    dt_step_trace_destroy(t);
    dt_net_destroy(net);
    dt_free(spec.layers);
    k->ops->destroy(k);
    runner->ops->destroy(runner);
    device->ops->destroy(device);
    dt_gpu_spec_free(&r.gpu);
    return r;
}

static void launchers_are_counted_where_there_is_no_gpu(void)
{
    int64_t n = 0;
    dt_tensor y = {.data = &n, .dtype = DT_F16, .n = 1, .c = 64, .h = 8, .w = 8};
    dt_cuda_count_launches(&n);
    DT_CHECK_INT(dt_cuda_bn_sums(NULL, &y, &n, (float *)&n), 0);
    DT_CHECK_INT(n, 2); /* the blocks' sums, and their sum */
    dt_cuda_count_launches(NULL);
    DT_CHECK(!dt_cuda_is_only_counted());
    DT_CHECK_INT(n, 2);
}

/* Limits that further fusion may undercut, and nothing may exceed. ResNet-50 has 53 convolutions: 53 graphs
 * forward, 53 weight gradients and 52 data gradients, and 3 of the linear layer. */
static void a_step_of_resnet50_is_counted_and_estimated(void)
{
    traced h200 = trace_of("h200", "resnet50", 256), a100 = trace_of("a100-40gb", "resnet50", 256);
    DT_CHECK_INT(h200.n_graphs, 161);
    DT_CHECK_INT(a100.n_graphs, 161);
    DT_CHECK(h200.n_kernels > 100 && h200.n_kernels <= 172);
    DT_CHECK(a100.n_kernels > 100 && a100.n_kernels <= 172);
    DT_CHECK_INT(h200.n_copies, 2);        /* the step's inputs, and this rank's loss */
    DT_CHECK_INT(h200.n_before_layers, 2); /* the inputs, and step_begin */
    DT_CHECK(h200.n_forward > 53 + 53 && h200.n_forward < 53 + 53 + 30);
    DT_CHECK(h200.time.total_s > 0.027 && h200.time.total_s < 0.0304);
    DT_CHECK(a100.time.total_s > 0.072 && a100.time.total_s < 0.082);
    DT_CHECK_CLOSE(h200.time.weight_gradient_s, 6.5e-3, 0.1);
    DT_CHECK_CLOSE(h200.time.forward_s, 5.9e-3, 0.1);
}

static void what_is_composed_costs_launches_and_time(void)
{
    traced a10g = trace_of("a10g", "resnet18", 32), t4 = trace_of("t4", "resnet18", 32);
    DT_CHECK(t4.n_kernels > a10g.n_kernels + 16); /* BatchNorm's sums alone are two launches a convolution */
    DT_CHECK(t4.time.kernels_s > a10g.time.kernels_s * 2);
}
#endif

static const dt_test tests[] = {
    DT_TEST(each_graph_takes_the_longer_of_its_bytes_and_its_flops),
    DT_TEST(a_pass_that_is_removed_takes_its_time_with_it),
    DT_TEST(the_update_moves_its_vectors),
#ifdef DT_WITH_CUDA
    DT_TEST(launchers_are_counted_where_there_is_no_gpu),
    DT_TEST(a_step_of_resnet50_is_counted_and_estimated),
    DT_TEST(what_is_composed_costs_launches_and_time),
#endif
};

DT_TEST_MAIN("launch/estimate/step_model", tests)
