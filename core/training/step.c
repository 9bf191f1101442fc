#include "core/training/step.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/training/upload.h"

struct dt_step {
    dt_step_options options;
    dt_device *device;
    dt_net_vectors vectors;
    dt_grad_buckets *buckets;
    dt_update_segment *segments;
    int64_t n_segments;
    dt_upload upload;
    dt_step_scalars *scalars; /* device memory */
    dt_loss_sums *local_loss; /* device memory: before the reduction */
};

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
    DT_TRY_OR_FAIL(status, dt_grad_buckets_create(options->comm, s->vectors.grads, s->vectors.n_all, parts, n_parts, DT_GRAD_BUCKET_BYTES, &s->buckets, err));
    DT_TRY_OR_FAIL(status, dt_net_update_segments(options->net, options->weight_decay, options->bn_decay, &s->segments, &s->n_segments, err));
    DT_TRY_OR_FAIL(status, dt_upload_create(&s->upload, s->device, options->batch, options->image_size, err));
    s->scalars = s->device->ops->alloc(s->device, sizeof *s->scalars);
    s->local_loss = s->device->ops->alloc(s->device, sizeof *s->local_loss);
    if (!s->scalars || !s->local_loss) {
        status = dt_fail_memory(err, sizeof *s->scalars, "the step's scalars");
        goto fail;
    }
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
    step->device->ops->free(step->device, step->scalars);
    step->device->ops->free(step->device, step->local_loss);
    dt_free(step->segments);
    dt_free(step);
}

static dt_status part_ready(void *context, int64_t part, dt_error *err)
{
    return dt_grad_buckets_ready(((dt_step *)context)->buckets, part, err);
}

/* Loss sums and the stop request start from zero, or from this rank's wish. */
static dt_status begin(dt_step *s, double lr, bool stop_wanted, dt_error *err)
{
    const float stop = stop_wanted ? 1.0f : 0.0f;
    const dt_step_scalars scalars = {.lr = (float)lr, .grad_multiplier = 1.0f};
    const dt_device_ops *device = s->device->ops;
    int64_t step_floats = s->vectors.n_all - s->vectors.n_trained - s->vectors.n_statistics;
    DT_TRY(device->zero(s->device, s->vectors.loss, step_floats * (int64_t)sizeof(float), NULL, err));
    DT_TRY(device->copy(s->device, s->vectors.stop, &stop, sizeof stop, DT_COPY_TO_DEVICE, NULL, err));
    return device->copy(s->device, s->scalars, &scalars, sizeof scalars, DT_COPY_TO_DEVICE, NULL, err);
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
    dt_loss_sums local = {0};
    struct {
        dt_loss_sums loss;
        float stop;
    } global = {0};
    const dt_device_ops *device = s->device->ops;
    DT_TRY(device->copy(s->device, &global, s->vectors.loss, sizeof global, DT_COPY_TO_HOST, NULL, err));
    DT_TRY(device->copy(s->device, &local, s->local_loss, sizeof local, DT_COPY_TO_HOST, NULL, err));
    DT_TRY(device->stream_wait(s->device, NULL, err));
    result->loss = (double)global.loss.loss / (double)global.loss.n;
    result->top1 = (double)global.loss.top1 / (double)global.loss.n;
    result->local_loss = (double)local.loss / (double)local.n;
    result->stop = global.stop > 0.0f;
    return DT_OK;
}

dt_status dt_step_run(dt_step *s, dt_source *source, double lr, bool stop_wanted, dt_step_result *result, dt_error *err)
{
    const dt_step_options *o = &s->options;
    dt_step_result r = {0};
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
    DT_TRY(o->kernels->ops->optimizer_step(o->kernels, &o->optimizer, s->segments, s->n_segments, s->vectors.values, s->vectors.grads, s->vectors.momentum,
                                           s->scalars, err));
    DT_TRY(dt_net_weights_changed(o->net, err));
    DT_TRY(read_result(s, &r, err));
    *result = r;
    return DT_OK;
}
