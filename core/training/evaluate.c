#include "core/training/evaluate.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/training/agreement.h"
#include "core/training/upload.h"

typedef struct evaluation {
    dt_net *net;
    dt_kernels *kernels;
    dt_comm *comm;
    dt_source *val;
    dt_upload upload;
    double sums[4]; /* loss, top-1, top-5, n: exact counts beyond what a float holds */
} evaluation;

static dt_status evaluate_batch(evaluation *e, const dt_batch *batch, dt_error *err)
{
    dt_net_vectors vectors;
    dt_loss_sums sums = {0};
    const uint8_t *pixels = NULL;
    dt_device *device = e->kernels->device;
    dt_net_get_vectors(e->net, &vectors);
    dt_pass pass = {.loss = vectors.loss};
    DT_TRY(device->ops->zero(device, vectors.loss, sizeof sums, NULL, err));
    DT_TRY(dt_upload_batch(&e->upload, batch, &pixels, &pass.labels, err));
    DT_TRY(dt_net_forward(e->net, pixels, &pass, err));
    DT_TRY(device->ops->copy(device, &sums, vectors.loss, sizeof sums, DT_COPY_TO_HOST, NULL, err));
    DT_TRY(device->ops->stream_wait(device, NULL, err));
    e->sums[0] += (double)sums.loss;
    e->sums[1] += (double)sums.top1;
    e->sums[2] += (double)sums.top5;
    e->sums[3] += (double)sums.n;
    return DT_OK;
}

static void show_progress(dt_sink **sinks, int64_t n_sinks, int64_t done, int64_t total)
{
    dt_error ignored;
    for (int64_t i = 0; i < n_sinks; i++)
        if (sinks[i]->ops->eval_progress)
            (void)sinks[i]->ops->eval_progress(sinks[i], done, total, &ignored);
}

/* This rank's batches, without a collective: a sign of life after each, for ranks that have fewer, or are faster. */
static dt_status evaluate_own(evaluation *e, int64_t n_batches, dt_sink **sinks, int64_t n_sinks, dt_error *err)
{
    DT_TRY(e->val->ops->start(e->val, 0, 0, n_batches, err));
    for (int64_t i = 0; i < n_batches; i++) {
        dt_batch *batch = NULL;
        DT_TRY(e->val->ops->next(e->val, &batch, err));
        dt_status status = evaluate_batch(e, batch, err);
        e->val->ops->release(e->val, batch);
        DT_TRY(status);
        DT_TRY(e->comm->ops->progress(e->comm, err));
        show_progress(sinks, n_sinks, i + 1, n_batches);
    }
    return DT_OK;
}

dt_status dt_evaluate(dt_net *net, dt_kernels *kernels, dt_comm *comm, dt_source *val, int64_t batch, dt_sink **sinks, int64_t n_sinks,
                      dt_metrics_eval *result, dt_error *err)
{
    evaluation e = {.net = net, .kernels = kernels, .comm = comm, .val = val};
    dt_source_info info = {0};
    double start = dt_clock_s();
    val->ops->info(val, &info);
    int64_t per_round = batch * comm->size, n_batches = (info.n_samples + per_round - 1) / per_round;
    dt_status status = dt_upload_create(&e.upload, kernels->device, batch, info.image_size, err);
    if (status == DT_OK)
        status = evaluate_own(&e, n_batches, sinks, n_sinks, err);
    dt_upload_destroy(&e.upload);
    DT_TRY(dt_agree(comm, status, err));
    DT_TRY(comm->ops->all_reduce(comm, e.sums, 4, DT_F64, DT_REDUCE_SUM, err));
    if (e.sums[3] < 1.0)
        return dt_fail(err, DT_ERR_DATA, "there was no image to evaluate: all %lld validation files are broken", (long long)info.n_samples);
    result->val_loss = e.sums[0] / e.sums[3];
    result->val_top1 = e.sums[1] / e.sums[3];
    result->val_top5 = e.sums[2] / e.sums[3];
    result->n = (int64_t)e.sums[3];
    result->elapsed_s = dt_clock_s() - start;
    result->images_per_s = e.sums[3] / (result->elapsed_s > 0.0 ? result->elapsed_s : 1.0);
    return DT_OK;
}
