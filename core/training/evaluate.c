#include "core/training/evaluate.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/fault.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/collective/agreement.h"
#include "core/collective/device_wait.h"
#include "core/training/upload.h"

#include <math.h>

/* Batches between the ranks' votes on whether to go on: some seconds of work, where a vote takes
 * microseconds. */
#define ROUND 16
#define N_SUMS 5

typedef struct evaluation {
    dt_net *net;
    dt_kernels *kernels;
    dt_comm *comm;
    dt_source *val;
    dt_events *events;
    dt_upload upload;
    dt_loss_sums *batch_sums; /* [batches] host memory; complete after all work on the main stream */
    dt_event *all;
    double sums[N_SUMS]; /* loss, top-1, top-5, n, broken files; double counts exactly where float does not */
} evaluation;

/* Waits only for the source: the device may still work on earlier batches. */
static dt_status enqueue_batch(evaluation *e, int64_t index, dt_error *err)
{
    dt_net_vectors vectors;
    dt_uploaded batch = {0};
    dt_device *device = e->kernels->device;
    dt_net_get_vectors(e->net, &vectors);
    DT_TRY(dt_upload_next(&e->upload, e->val, &batch, err));
    const dt_pass pass = {.labels = batch.labels, .loss = vectors.loss};
    DT_TRY(device->ops->zero(device, vectors.loss, sizeof *vectors.loss, NULL, err));
    DT_TRY(dt_net_forward(e->net, batch.pixels, &pass, err));
    DT_TRY(dt_upload_used(&e->upload, err));
    return device->ops->copy(device, &e->batch_sums[index], vectors.loss, sizeof *vectors.loss,
                             DT_COPY_TO_HOST, NULL, err);
}

static void show_progress(dt_sink **sinks, int64_t n_sinks, int64_t done, int64_t total)
{
    dt_error ignored;
    for (int64_t i = 0; i < n_sinks; i++)
        if (sinks[i]->ops->eval_progress)
            (void)sinks[i]->ops->eval_progress(sinks[i], done, total, &ignored);
}

static dt_status check_requests(const evaluation *e, dt_error *err)
{
    const char *why = e->events ? e->events->ops->stop_requested(e->events) : NULL;
    return why ? dt_fail(err, DT_ERR_INTERRUPTED, "%s", why) : DT_OK;
}

/* Evaluate up to ROUND of this rank's batches, without a collective. After each batch, let ranks that wait,
 * because they have fewer batches or are faster, know that this rank is alive. */
static dt_status evaluate_round(evaluation *e, int64_t first, int64_t n_batches, dt_sink **sinks,
                                int64_t n_sinks, dt_error *err)
{
    if (first == 0)
        DT_TRY(e->val->ops->start(e->val, 0, 0, n_batches, err));
    for (int64_t i = first; i < n_batches && i < first + ROUND; i++) {
        if (dt_fault("evaluate.batch"))
            return dt_fail(err, DT_ERR_INTERNAL, "evaluate.batch: a fault was asked for at batch %lld",
                           (long long)i + 1);
        DT_TRY(enqueue_batch(e, i, err));
        DT_TRY(e->comm->ops->progress(e->comm, err));
        show_progress(sinks, n_sinks, i + 1, n_batches);
    }
    return first + ROUND < n_batches ? check_requests(e, err) : DT_OK;
}

static dt_status sum_up(evaluation *e, int64_t n_batches, dt_error *err)
{
    DT_TRY(dt_device_wait_all(NULL, e->kernels->device, e->all, err));
    DT_TRY(dt_upload_flush(&e->upload, err));
    for (int64_t i = 0; i < n_batches; i++) {
        e->sums[0] += (double)e->batch_sums[i].loss;
        e->sums[1] += (double)e->batch_sums[i].top1;
        e->sums[2] += (double)e->batch_sums[i].top5;
        e->sums[3] += (double)e->batch_sums[i].n;
    }
    dt_source_stats stats = {0};
    e->val->ops->stats(e->val, &stats);
    e->sums[4] = (double)stats.n_broken;
    return DT_OK;
}

/* A source fails when its own rank has found too many; here those of all ranks count together. */
static dt_status check_broken(const evaluation *e, int64_t n_files, double max_broken, dt_error *err)
{
    const double share = e->sums[4] / (double)n_files;
    if (e->sums[3] < 1.0)
        return dt_fail_shared(err, DT_ERR_DATA,
                              "there was no image to evaluate: every validation file is broken");
    if (share <= max_broken + 1e-9)
        return DT_OK;
    return dt_fail_shared(
        err, DT_ERR_DATA,
        "%.0f of the %lld validation file%s %s broken: %.3g%%, and --max-broken allows %.3g%%; "
        "the log names them",
        e->sums[4], (long long)n_files, DT_PLURAL(n_files), e->sums[4] == 1.0 ? "is" : "are", 100.0 * share,
        100.0 * max_broken);
}

static dt_status prepare(evaluation *e, int64_t batch, int64_t image_size, int64_t n_batches, dt_error *err)
{
    dt_device *device = e->kernels->device;
    e->batch_sums = device->ops->host_alloc(device, n_batches * (int64_t)sizeof *e->batch_sums);
    if (!e->batch_sums)
        return dt_fail_memory(err, (size_t)n_batches * sizeof *e->batch_sums, "the sums of an evaluation");
    DT_TRY(device->ops->event_create(device, false, &e->all, err));
    /* comm is NULL: no wait here is for a collective */
    return dt_upload_create(&e->upload, NULL, device, batch, image_size, err);
}

static void clean_up(evaluation *e, dt_status status)
{
    dt_device *device = e->kernels->device;
    dt_error ignored;
    if (status != DT_OK && e->all) /* the device may still use what is freed below */
        (void)dt_device_wait_all(NULL, device, e->all, &ignored);
    dt_upload_destroy(&e->upload);
    device->ops->event_destroy(device, e->all);
    device->ops->host_free(device, e->batch_sums);
}

dt_status dt_evaluate(dt_net *net, dt_kernels *kernels, dt_comm *comm, dt_source *val, int64_t batch,
                      double max_broken, dt_events *events, dt_sink **sinks, int64_t n_sinks,
                      dt_metrics_eval *result, dt_error *err)
{
    evaluation e = {.net = net, .kernels = kernels, .comm = comm, .val = val, .events = events};
    dt_source_info info = {0};
    double start = dt_clock_s();
    val->ops->info(val, &info);
    int64_t per_round = batch * comm->size, n_batches = (info.n_samples + per_round - 1) / per_round;
    dt_status status = prepare(&e, batch, info.image_size, n_batches, err);
    for (int64_t i = 0; i == 0 || i < n_batches; i += ROUND) { /* all ranks have as many rounds */
        if (status == DT_OK)
            status = evaluate_round(&e, i, n_batches, sinks, n_sinks, err);
        if (status == DT_OK && i + ROUND >= n_batches)
            status = sum_up(&e, n_batches, err);
        status = dt_agree(comm, status, err);
        if (status != DT_OK)
            break;
    }
    clean_up(&e, status);
    DT_TRY(status);
    DT_TRY(comm->ops->all_reduce(comm, e.sums, N_SUMS, DT_F64, DT_REDUCE_SUM, err));
    DT_TRY(check_broken(&e, info.n_samples, max_broken, err));
    if (!isfinite(e.sums[0]))
        return dt_fail_shared(err, DT_ERR_NUMERIC, "the loss is not finite (%g) in the evaluation",
                              e.sums[0] / e.sums[3]);
    result->val_loss = e.sums[0] / e.sums[3];
    result->val_top1 = e.sums[1] / e.sums[3];
    result->val_top5 = e.sums[2] / e.sums[3];
    result->n = (int64_t)e.sums[3];
    result->n_broken = (int64_t)e.sums[4];
    result->elapsed_s = dt_clock_s() - start;
    result->images_per_s = e.sums[3] / (result->elapsed_s > 0.0 ? result->elapsed_s : 1.0);
    return DT_OK;
}
