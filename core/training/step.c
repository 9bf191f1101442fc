#include "core/training/step.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/collective/device_wait.h"
#include "core/collective/engines_build.h"
#include "core/training/step_results.h"
#include "core/training/upload.h"

#include <string.h>

/* Kinds of micro-batches, whose work on the device differs: each has its own captured graph. */
typedef struct variant {
    bool first, last; /* of its step */
    int slot;         /* of the upload */
} variant;

enum { N_VARIANTS = 4 * DT_UPLOAD_SLOTS };

struct dt_step {
    dt_step_options options;
    dt_device *device;
    dt_net_vectors vectors;
    dt_grad_buckets *buckets;
    dt_optimizer *optimizer;
    dt_upload upload;
    dt_step_results_ring results;
    int64_t n_before;            /* steps of the training before the first one of `results` */
    dt_step_inputs *inputs;      /* device memory */
    dt_step_inputs *host_inputs; /* [DT_STEP_RING] host memory: each step's inputs, until they are copied */
    dt_step_state *state;        /* device memory */
    dt_loss_sums *local_loss;    /* device memory: before the reduction */
    bool is_host, captures;
    bool
        has_run[N_VARIANTS]; /* enqueued once, so libraries have prepared what they prepare at a first call */
    void *graphs[N_VARIANTS]; /* captured */
};

static dt_status create_optimizer(dt_step *s, dt_error *err)
{
    dt_kernels *k = s->options.kernels;
    dt_update_segment *segments = NULL;
    int64_t n = 0;
    DT_TRY(dt_net_update_segments(s->options.net, &s->options.update, &segments, &n, err));
    dt_status status = k->ops->optimizer_create(k, &s->options.optimizer, segments, n, &s->optimizer, err);
    dt_free(segments);
    return status;
}

static dt_status create_memory(dt_step *s, dt_error *err)
{
    const dt_device_ops *ops = s->device->ops;
    const dt_step_state state = {.loss_scale = s->options.loss_scale};
    s->inputs = ops->alloc(s->device, sizeof *s->inputs);
    s->host_inputs = ops->host_alloc(s->device, DT_STEP_RING * (int64_t)sizeof *s->host_inputs);
    s->state = ops->alloc(s->device, sizeof *s->state);
    s->local_loss = ops->alloc(s->device, sizeof *s->local_loss);
    if (!s->inputs || !s->host_inputs || !s->state || !s->local_loss)
        return dt_fail_memory(err, DT_STEP_RING * sizeof *s->host_inputs, "the step's state");
    DT_TRY(ops->copy(s->device, s->state, &state, sizeof state, DT_COPY_TO_DEVICE, NULL, err));
    DT_TRY(ops->zero(s->device, s->local_loss, sizeof *s->local_loss, NULL, err));
    return ops->stream_wait(s->device, NULL, err);
}

/* Also a communicator that aborts calls it (dt_comm.drop_graphs). */
static void destroy_graphs(void *context)
{
    dt_step *s = context;
    for (int i = 0; i < N_VARIANTS; i++) {
        if (s->graphs[i])
            s->device->ops->graph_destroy(s->device, s->graphs[i]);
        s->graphs[i] = NULL;
        s->has_run[i] = false;
    }
}

dt_status dt_step_create(const dt_step_options *options, dt_step **step, dt_error *err)
{
    dt_status status = DT_OK;
    dt_device_info info = {0};
    dt_step *s = dt_calloc(1, sizeof *s);
    if (!s)
        return dt_fail_memory(err, sizeof *s, "the training step");
    s->options = *options;
    s->device = options->kernels->device;
    s->device->ops->info(s->device, &info);
    s->is_host = info.is_host;
    s->captures = s->device->ops->capture_begin && !options->no_graph;
    dt_net_get_vectors(options->net, &s->vectors);
    int64_t n_parts = 0;
    const dt_grad_part *parts = dt_net_grad_parts(options->net, &n_parts);
    if (!s->is_host && options->comm->size > 1 && !options->comm->ops->device_wait) {
        status = dt_fail(
            err, DT_ERR_USAGE,
            "--comm %s adds up gradients in host memory, but %s has them in its own memory: use --comm nccl",
            options->comm->ops->name, info.name);
        goto fail;
    }
    DT_TRY_OR_FAIL(status, dt_grad_buckets_create(options->comm, s->vectors.grads, s->vectors.n_all, parts,
                                                  n_parts, options->exchange.bucket_bytes,
                                                  options->exchange.wire, &s->buckets, err));
    DT_TRY_OR_FAIL(status, create_optimizer(s, err));
    DT_TRY_OR_FAIL(status, create_memory(s, err));
    DT_TRY_OR_FAIL(status, dt_step_results_create(&s->results, options->comm, s->device, err));
    DT_TRY_OR_FAIL(status, dt_upload_create(&s->upload, options->comm, s->device, options->batch,
                                            options->image_size, err));
    options->comm->drop_graphs = destroy_graphs;
    options->comm->drop_graphs_context = s;
    *step = s;
    return DT_OK;
fail:
    dt_step_destroy(s);
    return status;
}

void dt_step_destroy(dt_step *s)
{
    dt_error ignored;
    if (!s)
        return;
    /* after an error the device may still use what is freed below */
    if (s->results.all && s->results.n_read < s->results.n_steps)
        (void)dt_device_wait_all(s->options.comm, s->device, s->results.all, &ignored);
    if (s->options.comm->drop_graphs_context == s)
        s->options.comm->drop_graphs = NULL;
    destroy_graphs(s);
    dt_grad_buckets_destroy(s->buckets);
    dt_upload_destroy(&s->upload);
    dt_step_results_destroy(&s->results);
    s->device->ops->free(s->device, s->inputs);
    s->device->ops->host_free(s->device, s->host_inputs);
    s->device->ops->free(s->device, s->state);
    s->device->ops->free(s->device, s->local_loss);
    if (s->optimizer)
        s->options.kernels->ops->optimizer_destroy(s->options.kernels, s->optimizer);
    dt_free(s);
}

static dt_status part_ready(void *context, int64_t part, dt_error *err)
{
    dt_step *s = context;
    if (dt_grad_buckets_starts_sum(s->buckets, part))
        DT_TRY(dt_net_complete_grads(s->options.net, err));
    return dt_grad_buckets_ready(s->buckets, part, err);
}

/* The loss sums begin at zero, the votes with this rank's own. */
static dt_status begin(dt_step *s, dt_error *err)
{
    dt_kernels *k = s->options.kernels;
    int64_t n_step_floats = s->vectors.n_all - s->vectors.n_trained - s->vectors.n_statistics;
    return k->ops->step_begin(k, s->inputs, s->vectors.loss, s->vectors.votes, n_step_floats, err);
}

static dt_status end(dt_step *s, double *comm_wait_s, dt_error *err)
{
    dt_kernels *k = s->options.kernels;
    const dt_optimizer_vectors vectors = {s->vectors.values, s->vectors.grads, s->vectors.momentum,
                                          s->vectors.ema};
    DT_TRY(dt_grad_buckets_finish(s->buckets, comm_wait_s, err));
    DT_TRY(k->ops->optimizer_step(k, s->optimizer, &vectors, s->inputs, s->state, err));
    DT_TRY(dt_net_weights_updated(s->options.net, err));
    return k->ops->step_record(k, s->state, s->vectors.loss, s->local_loss, s->vectors.votes,
                               s->results.records, DT_STEP_RING, err);
}

/* All the work of a micro-batch on the main stream. Only what it reads from device memory changes from step
 * to step, so it can be captured. */
static dt_status enqueue(dt_step *s, const variant *v, const dt_uploaded *batch, double *comm_wait_s,
                         dt_error *err)
{
    const dt_step_options *o = &s->options;
    const dt_pass pass = {.training = true,
                          .accumulate = !v->first,
                          .stat_weight = 1.0f / (float)(o->comm->size * o->accumulate),
                          .labels = batch->labels,
                          .label_smoothing = (float)o->label_smoothing,
                          .grad_scale = 1.0f / (float)(o->comm->size * o->accumulate * o->batch),
                          .loss_scale = &s->state->loss_scale,
                          .loss = s->vectors.loss};
    if (v->first)
        DT_TRY(begin(s, err));
    DT_TRY(dt_net_forward(o->net, batch->pixels, &pass, err));
    if (v->last) {
        dt_grad_buckets_begin(s->buckets);
        DT_TRY(s->device->ops->copy(s->device, s->local_loss, s->vectors.loss, sizeof *s->local_loss,
                                    DT_COPY_ON_DEVICE, NULL, err));
    }
    DT_TRY(dt_net_backward(o->net, &pass, v->last ? part_ready : NULL, s, err));
    return v->last ? end(s, comm_wait_s, err) : DT_OK;
}

static dt_status capture(dt_step *s, const variant *v, const dt_uploaded *batch, void **graph, dt_error *err)
{
    void *captured = NULL;
    dt_error ignored;
    DT_TRY(s->device->ops->capture_begin(s->device, err));
    dt_status status = enqueue(s, v, batch, NULL, err);
    dt_status ended = s->device->ops->capture_end(s->device, &captured, status == DT_OK ? err : &ignored);
    if (status == DT_OK && ended == DT_OK)
        *graph = captured;
    else if (ended == DT_OK)
        s->device->ops->graph_destroy(s->device, captured);
    return status == DT_OK ? ended : status;
}

static dt_status micro_batch(dt_step *s, const variant *v, const dt_uploaded *batch, double *comm_wait_s,
                             dt_error *err)
{
    const int index = v->slot * 4 + v->first * 2 + v->last;
    if (!s->captures || !s->has_run[index]) {
        s->has_run[index] = true;
        return enqueue(s, v, batch, comm_wait_s, err);
    }
    if (!s->graphs[index])
        DT_TRY(capture(s, v, batch, &s->graphs[index], err));
    return s->device->ops->graph_launch(s->device, s->graphs[index], err);
}

/* The decay of the running averages in step t of the training, from 1. */
static float ema_decay_at(const dt_step_options *o, int64_t t)
{
    const double early = (1.0 + (double)t) / (10.0 + (double)t);
    return (float)(o->ema_warmup && early < o->ema_decay ? early : o->ema_decay);
}

dt_status dt_step_run(dt_step *s, dt_source *source, double lr, const float votes[DT_N_VOTES], dt_error *err)
{
    const int64_t n = s->options.accumulate;
    dt_step_result known = {.lr = lr};
    dt_step_inputs *host_inputs = &s->host_inputs[s->results.n_steps % DT_STEP_RING];
    host_inputs->lr = (float)lr;
    host_inputs->ema_decay = ema_decay_at(&s->options, s->n_before + s->results.n_steps + 1);
    memcpy(host_inputs->votes, votes, sizeof host_inputs->votes);
    DT_TRY(s->device->ops->copy(s->device, s->inputs, host_inputs, sizeof *host_inputs, DT_COPY_TO_DEVICE,
                                NULL, err));
    for (int64_t i = 0; i < n; i++) {
        dt_uploaded batch = {0};
        DT_TRY(dt_upload_next(&s->upload, source, &batch, err));
        known.data_wait_s += batch.wait_s;
        const variant v = {.first = i == 0, .last = i == n - 1, .slot = batch.slot};
        DT_TRY(micro_batch(s, &v, &batch, &known.comm_wait_s, err));
        DT_TRY(dt_upload_used(&s->upload, err));
    }
    return dt_step_results_enqueued(&s->results, &known, err);
}

dt_status dt_step_results(dt_step *s, bool drain, dt_step_result *results, int64_t max, int64_t *n,
                          dt_error *err)
{
    DT_TRY(dt_step_results_pop(&s->results, drain, results, max, n, err));
    return drain ? dt_upload_flush(&s->upload, err) : DT_OK;
}

void dt_step_set_n_before(dt_step *s, int64_t n_steps)
{
    s->n_before = n_steps - s->results.n_steps;
}

typedef struct resizing {
    dt_step *step;
    int64_t image_size;
} resizing;

/* A dt_engines_builder. */
static dt_status resize(void *context, dt_error *err)
{
    const resizing *r = context;
    dt_step *s = r->step;
    DT_TRY(dt_net_resize(s->options.net, r->image_size, err));
    destroy_graphs(s);
    dt_upload_destroy(&s->upload);
    s->options.image_size = r->image_size;
    return dt_upload_create(&s->upload, s->options.comm, s->device, s->options.batch, r->image_size, err);
}

dt_status dt_step_resize(dt_step *s, int64_t image_size, dt_error *err)
{
    return dt_engines_build(s->options.comm, s->options.kernels, resize, &(resizing){s, image_size}, err);
}

const dt_step_state *dt_step_get_state(const dt_step *s)
{
    return s->state;
}

const dt_loss_sums *dt_step_get_local_loss(const dt_step *s)
{
    return s->local_loss;
}

dt_status dt_step_set_loss_scale(dt_step *s, const dt_loss_scale *scale, dt_error *err)
{
    const dt_step_state state = {.loss_scale = (float)scale->scale,
                                 .n_good = (int32_t)scale->n_good,
                                 .n_skipped = (int32_t)scale->n_skipped,
                                 .n_recorded = (int32_t)s->results.n_steps};
    s->results.n_skipped = state.n_skipped;
    DT_TRY(s->device->ops->copy(s->device, s->state, &state, sizeof state, DT_COPY_TO_DEVICE, NULL, err));
    return s->device->ops->stream_wait(s->device, NULL, err);
}
