#include "config.h"

#include "launch/commands/auto_batch.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/collective/agreement.h"
#include "layers/resnet.h"

#define LARGEST_BATCH 65536 /* the maximum of --batch */
#define USUAL_BATCH 256     /* up to here dt_auto_batch_limit does nothing */

/* A query, and the objects that it refers to. */
typedef struct planning {
    dt_net_spec spec;
    dt_backend planner;
    dt_memory_query query;
} planning;

static void end(planning *p)
{
    dt_backend_destroy(&p->planner);
    dt_free(p->spec.layers);
}

static dt_status begin(const dt_session *s, const dt_options *o, int64_t n_classes, bool training,
                       planning *p, dt_error *err)
{
    const dt_config *c = &o->config;
    dt_device_info info;
    *p = (planning){0};
    DT_TRY(dt_resnet_spec(o->arch, n_classes, &p->spec, err));
    dt_status status = dt_backend_create_planner(&s->backend, &s->backend_options, &p->planner, err);
    if (status != DT_OK) {
        end(p);
        return status;
    }
    s->device->ops->info(s->device, &info);
    p->query = (dt_memory_query){.spec = &p->spec,
                                 .kernels = p->planner.kernels,
                                 .device = s->device,
                                 .n_sharing = info.is_host ? s->comm->local_size : 1,
                                 .image_size = c->image_size,
                                 .training = training,
                                 .ema = training && c->ema_decay > 0.0};
    for (int64_t i = 0; training && i < c->n_resize; i++)
        if (c->resize[i].image_size > p->query.image_size)
            p->query.image_size = c->resize[i].image_size;
    return DT_OK;
}

static void log_batch(const dt_session *s, const dt_config *c, const dt_memory_estimate *estimate,
                      bool training)
{
    if (training)
        dt_log_info("--batch auto: %lld image%s per rank, with %.2f of %.2f GiB; a global batch of %lld: "
                    "check that --lr %g suits it",
                    (long long)c->batch, DT_PLURAL(c->batch), DT_TO_GIB(estimate->total_bytes),
                    DT_TO_GIB(estimate->free_bytes), (long long)(c->batch * c->accumulate * s->comm->size),
                    c->lr);
    else
        dt_log_info("--batch auto: %lld image%s per rank, with %.2f of %.2f GiB", (long long)c->batch,
                    DT_PLURAL(c->batch), DT_TO_GIB(estimate->total_bytes), DT_TO_GIB(estimate->free_bytes));
}

static dt_status resolve(const dt_session *s, dt_options *o, const dt_source_info *data, bool training,
                         bool net_trains, dt_error *err)
{
    dt_config *c = &o->config;
    planning p;
    dt_memory_estimate estimate = {0};
    int64_t largest = 0;
    int64_t most = data->n_samples / (s->comm->size * (training ? c->accumulate : 1));
    most = most < 1 ? 1 : most > LARGEST_BATCH ? LARGEST_BATCH : most;
    dt_status status = begin(s, o, data->n_classes, net_trains, &p, err);
    p.query.n_writers = training ? s->comm->size : 0;
    p.query.with_margin = true;
    if (status == DT_OK)
        status = dt_memory_largest_batch(&p.query, most, &largest, err);
    if (status == DT_OK && largest == 0)
        status = dt_fail(err, DT_ERR_MEMORY,
                         "--batch auto: not enough memory for %s at %lld pixels, even with one image",
                         o->arch, (long long)p.query.image_size);
    status = dt_agree(s->comm, status, err);
    if (status == DT_OK)
        status = s->comm->ops->all_reduce(s->comm, &largest, 1, DT_I64, DT_REDUCE_MIN, err);
    if (status == DT_OK)
        status = dt_agree(s->comm, dt_memory_estimate_batch(&p.query, largest, &estimate, err), err);
    if (status == DT_OK) {
        c->batch = largest;
        if (s->comm->rank == 0)
            log_batch(s, c, &estimate, training);
    }
    end(&p);
    return status;
}

/* Collective. Counts images and classes, with a source that has a batch of 1. */
static dt_status count(const dt_session *s, dt_options *o, bool training, dt_source_info *info, dt_error *err)
{
    dt_source *source = NULL;
    const int64_t batch = o->config.batch;
    o->config.batch = 1;
    dt_status status = dt_session_source(s, o, training, &source, err);
    o->config.batch = batch;
    if (status == DT_OK) {
        source->ops->info(source, info);
        source->ops->destroy(source);
    }
    return dt_agree(s->comm, status, err);
}

dt_status dt_auto_batch_resolve(const dt_session *s, dt_options *o, bool training, bool net_trains,
                                dt_error *err)
{
    dt_source_info info = {0};
    if (o->config.batch > 0)
        return DT_OK;
    DT_TRY(count(s, o, training, &info, err));
    return resolve(s, o, &info, training, net_trains, err);
}

static dt_status too_large(const planning *p, const dt_options *o, const dt_memory_estimate *estimate,
                           dt_error *err)
{
    const dt_config *c = &o->config;
    int64_t largest = 0, too_large = c->batch;
    DT_TRY(dt_memory_largest_batch(&p->query, c->batch - 1, &largest, err));
    while (largest > 0 && too_large - largest > 1) { /* it tried some sizes only */
        const int64_t middle = largest + (too_large - largest) / 2;
        dt_memory_estimate of_middle;
        DT_TRY(dt_memory_estimate_batch(&p->query, middle, &of_middle, err));
        if (dt_memory_estimate_fits(&of_middle))
            largest = middle;
        else
            too_large = middle;
    }
    if (largest == 0)
        return dt_fail(err, DT_ERR_USAGE,
                       "--batch %lld: %s at %lld pixels does not fit with any batch: %.2f GiB are free",
                       (long long)c->batch, o->arch, (long long)p->query.image_size,
                       DT_TO_GIB(estimate->free_bytes));
    return dt_fail(err, DT_ERR_USAGE,
                   "--batch %lld does not fit: %s at %lld pixels would need %.2f GiB, and %.2f are free; the "
                   "largest that fits is --batch %lld",
                   (long long)c->batch, o->arch, (long long)p->query.image_size,
                   DT_TO_GIB(estimate->total_bytes), DT_TO_GIB(estimate->free_bytes), (long long)largest);
}

dt_status dt_auto_batch_check(const dt_session *s, const dt_options *o, int64_t n_classes, bool training,
                              bool net_trains, dt_memory_estimate *estimate, dt_error *err)
{
    planning p;
    dt_status status = begin(s, o, n_classes, net_trains, &p, err);
    if (status != DT_OK)
        return status;
    p.query.n_writers = training ? s->comm->size : 0;
    status = dt_memory_estimate_batch(&p.query, o->config.batch, estimate, err);
    if (status == DT_OK && !dt_memory_estimate_fits(estimate))
        status = too_large(&p, o, estimate, err);
    end(&p);
    return status;
}

dt_status dt_auto_batch_limit(const dt_session *s, dt_options *o, bool net_trains, dt_error *err)
{
    dt_config *c = &o->config;
    dt_source_info info = {0};
    dt_memory_estimate estimate;
    if (c->batch <= USUAL_BATCH)
        return DT_OK;
    DT_TRY(count(s, o, false, &info, err));
    const int64_t share = (info.n_samples + s->comm->size - 1) / s->comm->size;
    if (c->batch > share) {
        if (s->comm->rank == 0)
            dt_log_info(
                "--batch %lld is more than there is: each rank evaluates its %lld image%s in one batch",
                (long long)c->batch, (long long)share, DT_PLURAL(share));
        c->batch = share;
    }
    return dt_agree(s->comm, dt_auto_batch_check(s, o, info.n_classes, false, net_trains, &estimate, err),
                    err);
}
