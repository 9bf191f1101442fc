#include "tests/emulated/training_kit.h"

#include "comm/self.h"
#include "core/base/alloc.h"
#include "core/training/evaluate.h"
#include "layers/registry.h"
#include "layers/resnet.h"
#include "tests/fakes/fake_source.h"
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES = 10 };

static dt_error err;

#define OK(call) DT_REQUIRE_MSG((call) == DT_OK, "%s", err.message)

static float *state_of(dt_net *net)
{
    const dt_state_layout *layout = dt_net_state_layout(net);
    dt_state_io io = dt_net_state_io(net);
    float *state = malloc((size_t)layout->n_elems * sizeof *state);
    DT_REQUIRE(state != NULL);
    for (int64_t i = 0; i < layout->n_tensors; i++)
        OK(io.get(io.context, i, state + layout->tensors[i].first, &err));
    return state;
}

static dt_net *create_net(dt_kernels *kernels, const dt_training *t, bool training)
{
    dt_net_spec spec;
    dt_net *net = NULL;
    const dt_net_options options = {
        .batch = t->batch, .image_size = t->image_size, .training = training, .ema = t->ema};
    OK(dt_resnet_spec(t->arch, CLASSES, &spec, &err));
    dt_status status = dt_net_create(&spec, dt_layer_registry(), kernels, &options, &net, &err);
    dt_free(spec.layers);
    OK(status);
    if (!t->from)
        OK(dt_net_init(net, t->seed, t->zero_init_gamma, &err));
    OK(dt_net_start_ema(net, &err));
    return net;
}

/* `tensors` are those of `from` and of the net. */
static void set_state(dt_net *net, const float *from, const dt_state_tensor *tensors)
{
    dt_state_io io = dt_net_state_io(net);
    for (int64_t i = 0; i < dt_net_state_layout(net)->n_tensors; i++) {
        int64_t at = 0;
        while (strcmp(tensors[at].name, dt_net_state_layout(net)->tensors[i].name) != 0)
            at++;
        OK(io.set(io.context, i, from + tensors[at].first, &err));
    }
}

static dt_step_options step_options(dt_net *net, dt_kernels *kernels, dt_comm *comm, const dt_training *t)
{
    bool scaling = t->loss_scale > 0;
    return (dt_step_options){
        .net = net,
        .kernels = kernels,
        .comm = comm,
        .batch = t->batch,
        .image_size = t->image_size,
        .accumulate = t->accumulate,
        .optimizer = {.momentum = 0.9F,
                      .running_average_rate = 0.1F,
                      .lars_trust = 0.01F,
                      .lars_eps = 1e-9F,
                      .loss_scaling = scaling,
                      .growth = 2.0F,
                      .backoff = 0.5F,
                      .growth_interval = t->growth_interval},
        .update = {.weight_decay = 1e-4, .bn_decay = true, .bias_decay = true, .lars = t->lars},
        .ema_decay = t->ema ? 0.9 : 0.0,
        .label_smoothing = 0.1,
        .loss_scale = scaling ? t->loss_scale : 1.0F,
        .exchange = {.wire = DT_F32, .bucket_bytes = DT_BUCKET_BYTES_DEVICE},
        .no_graph = t->no_graph};
}

static dt_status collect_results(dt_step *step, bool drain, dt_trained *trained)
{
    int64_t n = 0;
    DT_TRY(
        dt_step_results(step, drain, trained->results + trained->n_results, DT_STEP_MAX_RESULTS, &n, &err));
    trained->n_results += n;
    return DT_OK;
}

static dt_status run_steps(dt_step *step, dt_source *source, const dt_training *t, dt_trained *trained)
{
    int64_t samples = t->batch * t->accumulate;
    DT_TRY(source->ops->start(source, 0, t->first_step * samples, t->n_steps * t->accumulate, &err));
    for (int64_t i = 0; i < t->n_steps; i++) {
        DT_TRY(dt_step_run(step, source, t->lr, (const float[DT_N_VOTES]){0}, &err));
        DT_TRY(collect_results(step, false, trained));
    }
    return collect_results(step, true, trained);
}

dt_trained dt_train(dt_kernels *kernels, const dt_training *t)
{
    dt_comm *comm = NULL;
    dt_step *step = NULL;
    dt_trained trained = {0};
    /* the same images for any n_steps */
    const fake_source_options images = {.n_samples = t->batch * t->accumulate * 64,
                                        .n_classes = CLASSES,
                                        .image_size = t->image_size,
                                        .batch = t->batch,
                                        .accumulate = t->accumulate,
                                        .size = 1,
                                        .seed = t->seed};
    OK(dt_comm_self_create(&comm, &err));
    dt_source *source = fake_source_create(&images);
    dt_net *net = create_net(kernels, t, true);
    if (t->from)
        set_state(net, t->from, dt_net_state_layout(net)->tensors);
    OK(dt_net_weights_changed(net, &err));
    const dt_step_options options = step_options(net, kernels, comm, t);
    OK(dt_step_create(&options, &step, &err));
    trained.start = state_of(net);
    trained.failed = run_steps(step, source, t, &trained) != DT_OK;
    DT_REQUIRE_MSG(t->may_fail || !trained.failed, "%s", err.message);
    DT_REQUIRE(trained.failed || trained.n_results == t->n_steps);
    trained.end = state_of(net);
    if (t->at_end)
        t->at_end(t->context, kernels, net);
    trained.n_tensors = dt_net_state_layout(net)->n_tensors;
    trained.n_elems = dt_net_state_layout(net)->n_elems;
    trained.tensors = malloc((size_t)trained.n_tensors * sizeof *trained.tensors);
    DT_REQUIRE(trained.tensors != NULL);
    memcpy(trained.tensors, dt_net_state_layout(net)->tensors,
           (size_t)trained.n_tensors * sizeof *trained.tensors);
    dt_step_destroy(step);
    dt_net_destroy(net);
    source->ops->destroy(source);
    comm->ops->destroy(comm);
    return trained;
}

double dt_evaluated_loss(dt_kernels *kernels, const dt_training *t, const dt_trained *layout)
{
    dt_comm *comm = NULL;
    dt_metrics_eval result = {0};
    const fake_source_options images = {.n_samples = t->batch,
                                        .n_classes = CLASSES,
                                        .image_size = t->image_size,
                                        .batch = t->batch,
                                        .accumulate = 1,
                                        .size = 1,
                                        .seed = t->seed,
                                        .evaluation = true};
    OK(dt_comm_self_create(&comm, &err));
    dt_source *source = fake_source_create(&images);
    dt_net *net = create_net(kernels, t, false);
    set_state(net, t->from, layout->tensors);
    OK(dt_net_weights_changed(net, &err));
    dt_status status = dt_evaluate(net, kernels, comm, source, t->batch, 0, NULL, NULL, 0, &result, &err);
    DT_REQUIRE_MSG(status == DT_OK || status == DT_ERR_NUMERIC, "%s", err.message);
    dt_net_destroy(net);
    source->ops->destroy(source);
    comm->ops->destroy(comm);
    return status == DT_OK ? result.val_loss : (double)NAN;
}

void dt_trained_free(dt_trained *trained)
{
    free(trained->tensors);
    free(trained->start);
    free(trained->end);
    *trained = (dt_trained){0};
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

dt_distance dt_trained_distance(const dt_trained *a, const dt_trained *b)
{
    dt_distance distance = {.worst = ""};
    double *all = malloc((size_t)b->n_tensors * sizeof *all);
    DT_REQUIRE(all != NULL && a->n_tensors == b->n_tensors && a->n_elems == b->n_elems);
    for (int64_t i = 0; i < b->n_tensors; i++) {
        const dt_state_tensor *t = &b->tensors[i];
        double apart = 0, way = 0;
        for (int64_t j = t->first; j < t->first + t->n_elems; j++) {
            apart += pow((double)a->end[j] - (double)b->end[j], 2);
            way += pow((double)b->end[j] - (double)b->start[j], 2);
        }
        all[i] = apart > 0 ? sqrt(apart / way) : 0; /* infinity if a tensor changes that must not */
        if (isnan(apart))
            all[i] = INFINITY;
        if (all[i] > distance.largest) {
            distance.largest = all[i];
            distance.worst = t->name;
        }
    }
    qsort(all, (size_t)b->n_tensors, sizeof *all, compare);
    distance.median = all[b->n_tensors / 2];
    free(all);
    return distance;
}

bool dt_trained_same_bits(const dt_trained *a, const dt_trained *b)
{
    return a->n_elems == b->n_elems && memcmp(a->end, b->end, (size_t)a->n_elems * sizeof *a->end) == 0;
}
