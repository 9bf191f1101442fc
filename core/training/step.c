#include "core/training/step.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/training/upload.h"

struct dt_step {
    dt_step_options options;
    dt_device *device;
    dt_net_vectors vectors;
    dt_grad_buckets *buckets;
    dt_optimizer *optimizer;
    dt_upload upload;
    dt_step_inputs *inputs;   /* device memory */
    dt_step_state *state;
    dt_step_record *ring;
    dt_loss_sums *local_loss; /* before the reduction */
    dt_step_result result;    /* of the last step */
    bool has_result;
    int64_t n_steps;
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

dt_status dt_step_create(const dt_step_options *options, dt_step **step, dt_error *err)
{
    dt_status status = DT_OK;
    dt_step *s = dt_calloc(1, sizeof *s);
    if (!s)
        return dt_fail_memory(err, sizeof *s, "the training step");
    s->options = *options;
    s->device = options->kernels->device;
    dt_net_get_vectors(options->net, &s->vectors);
    int64_t n_parts = 0;
    const dt_grad_part *parts = dt_net_grad_parts(options->net, &n_parts);
    DT_TRY_OR_FAIL(status, dt_grad_buckets_create(options->comm, s->vectors.grads, s->vectors.n_all, parts, n_parts, DT_GRAD_BUCKET_BYTES, options->wire,
                                                  &s->buckets, err));
    DT_TRY_OR_FAIL(status, create_optimizer(s, err));
    DT_TRY_OR_FAIL(status, dt_upload_create(&s->upload, s->device, options->batch, options->image_size, err));
    s->inputs = s->device->ops->alloc(s->device, sizeof *s->inputs);
    s->state = s->device->ops->alloc(s->device, sizeof *s->state);
    s->ring = s->device->ops->alloc(s->device, sizeof *s->ring);
    s->local_loss = s->device->ops->alloc(s->device, sizeof *s->local_loss);
    if (!s->inputs || !s->state || !s->ring || !s->local_loss) {
        status = dt_fail_memory(err, sizeof *s->state, "the step's state");
        goto fail;
    }
    const dt_step_state state = {.loss_scale = options->loss_scale};
    DT_TRY_OR_FAIL(status, s->device->ops->copy(s->device, s->state, &state, sizeof state, DT_COPY_TO_DEVICE, NULL, err));
    *step = s;
    return DT_OK;
fail:
    dt_step_destroy(s);
    return status;
}

void dt_step_destroy(dt_step *step)
{
    if (!step)
        return;
    dt_grad_buckets_destroy(step->buckets);
    dt_upload_destroy(&step->upload);
    step->device->ops->free(step->device, step->inputs);
    step->device->ops->free(step->device, step->state);
    step->device->ops->free(step->device, step->ring);
    step->device->ops->free(step->device, step->local_loss);
    if (step->optimizer)
        step->options.kernels->ops->optimizer_destroy(step->options.kernels, step->optimizer);
    dt_free(step);
}

static dt_status part_ready(void *context, int64_t part, dt_error *err)
{
    return dt_grad_buckets_ready(((dt_step *)context)->buckets, part, err);
}

static dt_status begin(dt_step *s, double lr, bool stop_wanted, dt_error *err)
{
    dt_kernels *k = s->options.kernels;
    const dt_step_inputs inputs = {.lr = (float)lr, .stop = stop_wanted ? 1.0f : 0.0f};
    const dt_device_ops *device = s->device->ops;
    int64_t step_floats = s->vectors.n_all - s->vectors.n_trained - s->vectors.n_statistics;
    DT_TRY(device->copy(s->device, s->inputs, &inputs, sizeof inputs, DT_COPY_TO_DEVICE, NULL, err));
    return k->ops->step_begin(k, s->inputs, s->vectors.loss, s->vectors.stop, step_floats, err);
}

static dt_status micro_batch(dt_step *s, const dt_batch *batch, int64_t index, dt_error *err)
{
    const dt_step_options *o = &s->options;
    const uint8_t *pixels = NULL;
    dt_pass pass = {.training = true,
                    .accumulate = index > 0,
                    .stat_weight = 1.0f / (float)(o->comm->size * o->accumulate),
                    .label_smoothing = (float)o->label_smoothing,
                    .grad_scale = 1.0f / (float)(o->comm->size * o->accumulate * o->batch),
                    .loss_scale = &s->state->loss_scale,
                    .loss = s->vectors.loss};
    bool last = index == o->accumulate - 1;
    DT_TRY(dt_upload_batch(&s->upload, batch, &pixels, &pass.labels, err));
    DT_TRY(dt_net_forward(o->net, pixels, &pass, err));
    if (last)
        DT_TRY(s->device->ops->copy(s->device, s->local_loss, s->vectors.loss, sizeof *s->local_loss, DT_COPY_ON_DEVICE, NULL, err));
    return dt_net_backward(o->net, &pass, last ? part_ready : NULL, s, err);
}

static dt_status read_result(dt_step *s, dt_step_result *result, dt_error *err)
{
    dt_step_record record = {0};
    const dt_device_ops *device = s->device->ops;
    DT_TRY(device->copy(s->device, &record, s->ring, sizeof record, DT_COPY_TO_HOST, NULL, err));
    DT_TRY(device->stream_wait(s->device, NULL, err));
    result->loss = (double)record.global.loss / (double)record.global.n;
    result->top1 = (double)record.global.top1 / (double)record.global.n;
    result->local_loss = (double)record.local.loss / (double)record.local.n;
    result->stop = record.stop > 0.0f;
    result->loss_scale = (double)record.loss_scale;
    result->n_skipped = record.n_skipped;
    return DT_OK;
}

dt_status dt_step_run(dt_step *s, dt_source *source, double lr, bool stop_wanted, dt_error *err)
{
    const dt_step_options *o = &s->options;
    dt_kernels *k = o->kernels;
    dt_step_result r = {.index = s->n_steps, .lr = lr};
    DT_TRY(begin(s, lr, stop_wanted, err));
    dt_grad_buckets_begin(s->buckets);
    for (int64_t i = 0; i < o->accumulate; i++) {
        dt_batch *batch = NULL;
        double before = dt_clock_s();
        DT_TRY(source->ops->next(source, &batch, err));
        r.data_wait_s += dt_clock_s() - before;
        dt_status status = micro_batch(s, batch, i, err);
        if (status == DT_OK)
            status = s->device->ops->stream_wait(s->device, NULL, err);
        source->ops->release(source, batch);
        DT_TRY(status);
    }
    DT_TRY(dt_grad_buckets_finish(s->buckets, &r.comm_wait_s, err));
    const dt_optimizer_vectors vectors = {s->vectors.values, s->vectors.grads, s->vectors.momentum, s->vectors.ema};
    DT_TRY(k->ops->optimizer_step(k, s->optimizer, &vectors, s->inputs, s->state, err));
    DT_TRY(dt_net_weights_updated(o->net, err));
    DT_TRY(k->ops->step_record(k, s->state, s->vectors.loss, s->local_loss, s->vectors.stop, s->ring, 1, err));
    DT_TRY(read_result(s, &r, err));
    r.skipped = r.n_skipped > s->result.n_skipped;
    s->result = r;
    s->has_result = true;
    s->n_steps++;
    return DT_OK;
}

dt_status dt_step_results(dt_step *s, bool drain, dt_step_result *results, int64_t max, int64_t *n, dt_error *err)
{
    (void)drain, (void)err;
    *n = s->has_result && max > 0;
    if (*n)
        results[0] = s->result;
    s->has_result = s->has_result && !*n;
    return DT_OK;
}

dt_status dt_step_resize(dt_step *s, int64_t image_size, dt_error *err)
{
    dt_upload_destroy(&s->upload);
    s->options.image_size = image_size;
    return dt_upload_create(&s->upload, s->device, s->options.batch, image_size, err);
}

dt_status dt_step_get_loss_scale(dt_step *s, dt_loss_scale *scale, dt_error *err)
{
    dt_step_state state = {0};
    DT_TRY(s->device->ops->copy(s->device, &state, s->state, sizeof state, DT_COPY_TO_HOST, NULL, err));
    DT_TRY(s->device->ops->stream_wait(s->device, NULL, err));
    *scale = (dt_loss_scale){(double)state.loss_scale, state.n_good, state.n_skipped};
    return DT_OK;
}

dt_status dt_step_set_loss_scale(dt_step *s, const dt_loss_scale *scale, dt_error *err)
{
    const dt_step_state state = {.loss_scale = (float)scale->scale, .n_good = (int32_t)scale->n_good, .n_skipped = (int32_t)scale->n_skipped};
    DT_TRY(s->device->ops->copy(s->device, s->state, &state, sizeof state, DT_COPY_TO_DEVICE, NULL, err));
    return s->device->ops->stream_wait(s->device, NULL, err);
}
