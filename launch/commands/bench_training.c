/* bench_training.c: the measurements of bench_measure.h that run the trainer. */
#include "config.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/waits.h"
#include "core/collective/agreement.h"
#include "core/training/step.h"
#include "core/training/trainer.h"
#include "launch/commands/bench_measure.h"
#include "launch/hardware/computed_by.h"

#include <math.h>

/* -- the end of a measurement ---------------------------------------------------------------------------- */

typedef struct bench_events {
    dt_events base;
    const dt_bench_meter *meter; /* of rank 0; NULL: this rank does not end the measurement */
    double seconds;              /* from the first step on */
} bench_events;

static const char *stop_requested(dt_events *events)
{
    enum { SAMPLES = 2 }; /* at least, however long a step takes */
    const bench_events *e = (const bench_events *)events;
    const char *why = dt_waits_stop_requested();
    const bool is_over = e->meter && dt_bench_meter_has(e->meter, SAMPLES) &&
                         dt_clock_s() >= e->meter->first_step_s + e->seconds;
    return why ? why : is_over ? "the end of the measurement" : NULL;
}

static void destroy_events(dt_events *events)
{
    (void)events;
}

/* -- a validation set of limited size -------------------------------------------------------------------- */

/* The first `n` samples of a source. */
typedef struct limited {
    dt_source base;
    dt_source *all;
    int64_t n;
} limited;

static dt_source *all_of(dt_source *source)
{
    return ((limited *)source)->all;
}

static void limited_info(dt_source *source, dt_source_info *info)
{
    all_of(source)->ops->info(all_of(source), info);
    info->n_samples = ((limited *)source)->n;
}

static const char *limited_class_name(dt_source *source, int64_t label)
{
    return all_of(source)->ops->class_name(all_of(source), label);
}

static const char *limited_sample_name(dt_source *source, int64_t id)
{
    return all_of(source)->ops->sample_name(all_of(source), id);
}

static dt_status limited_start(dt_source *source, int64_t epoch, int64_t position, int64_t n_batches,
                               dt_error *err)
{
    return all_of(source)->ops->start(all_of(source), epoch, position, n_batches, err);
}

static dt_status limited_next(dt_source *source, dt_batch **batch, dt_error *err)
{
    return all_of(source)->ops->next(all_of(source), batch, err);
}

static void limited_release(dt_source *source, dt_batch *batch)
{
    all_of(source)->ops->release(all_of(source), batch);
}

static void limited_stats(dt_source *source, dt_source_stats *stats)
{
    all_of(source)->ops->stats(all_of(source), stats);
}

static const dt_source_ops limited_ops = {.name = "limited",
                                          .info = limited_info,
                                          .class_name = limited_class_name,
                                          .sample_name = limited_sample_name,
                                          .start = limited_start,
                                          .next = limited_next,
                                          .release = limited_release,
                                          .stats = limited_stats};

/* Whole rounds of all ranks, for about `seconds` at a rate. */
static void limit(dt_source *all, double seconds, double images_s, int64_t per_round, limited *out)
{
    dt_source_info info = {0};
    all->ops->info(all, &info);
    const int64_t n_rounds = (int64_t)ceil(seconds * images_s / (double)per_round);
    *out = (limited){.base = {&limited_ops}, .all = all, .n = (n_rounds > 1 ? n_rounds : 1) * per_round};
    if (out->n > info.n_samples)
        out->n = info.n_samples;
}

/* -- the trainer ----------------------------------------------------------------------------------------- */

/* A learning rate of 0: the weights stay what they are, and no loss diverges. */
static void configure(const dt_bench_parts *p, int64_t steps, int64_t checkpoint_every, dt_config *c)
{
    enum { NEVER_ENDS = 1000000 };
    *c = p->options->config;
    c->precision = p->session->kernels->dtype;
    c->lr = 0;
    c->warmup_epochs = 0;
    c->schedule = DT_SCHEDULE_CONSTANT;
    c->n_resize = 0;
    c->epochs = NEVER_ENDS;
    c->steps = steps;
    c->eval_every = 0;
    c->resume = DT_RESUME_NEVER;
    c->checkpoint_every = checkpoint_every;
    c->max_checkpoint_failures = 1;
    c->keep = 1;
}

static dt_status run_trainer(const dt_bench_parts *p, dt_trainer_parts *parts, const dt_config *config,
                             dt_bench_meter *meter, dt_error *err)
{
    const dt_session *s = p->session;
    dt_sink *sinks[] = {&meter->base};
    dt_computed_by computed_by;
    dt_metrics_end result = {0};
    dt_computed_by_collect(&s->backend, s->comm, &computed_by);
    parts->config = config;
    parts->config_text = "";
    parts->arch = p->options->arch;
    parts->computed_by = &computed_by;
    parts->kernels = s->kernels;
    parts->net = p->net;
    parts->comm = s->comm;
    parts->sinks = sinks;
    parts->n_sinks = s->comm->rank == 0 ? 1 : 0;
    dt_error why = {0};
    const dt_status status = dt_trainer_run(parts, &result, &why);
    if (status == DT_ERR_INTERRUPTED && why.shared) /* on all ranks: by the events' end, or by a signal */
        return dt_agree(s->comm, dt_waits_check("measuring", err), err);
    if (status != DT_OK && err)
        *err = why;
    return status;
}

/* Samples of results: one by one on a host; a device's come in groups. The first steps touch memory for the
 * first time, start threads and try algorithms. */
static void init_meter(const dt_bench_parts *p, int64_t checkpoint_every, dt_bench_meter *meter)
{
    dt_device_info device = {0};
    p->session->device->ops->info(p->session->device, &device);
    if (device.is_host)
        dt_bench_meter_init(meter, 2, 1, checkpoint_every);
    else
        dt_bench_meter_init(meter, 2 * DT_STEP_LAG, DT_STEP_LAG, checkpoint_every);
}

dt_status dt_bench_measure_steps(dt_bench_parts *p, double seconds, dt_bench_figures *f, dt_error *err)
{
    dt_config config;
    dt_bench_meter meter;
    dt_bench_training t;
    const dt_session *s = p->session;
    static const dt_events_ops ops = {
        .name = "bench", .destroy = destroy_events, .stop_requested = stop_requested};
    init_meter(p, 0, &meter);
    bench_events events = {.base = {&ops}, .meter = s->comm->rank == 0 ? &meter : NULL, .seconds = seconds};
    configure(p, 0, 0, &config);
    dt_trainer_parts parts = {.train = p->synthetic, .events = &events.base};
    DT_TRY(run_trainer(p, &parts, &config, &meter, err));
    dt_bench_meter_get(&meter, &t);
    double both[] = {t.images_s, t.first_step_s - s->start_s - p->preparing_s};
    DT_TRY(s->comm->ops->broadcast(s->comm, both, sizeof both, 0, err));
    f->step_images_s = both[0];
    f->start_s = both[1];
    return DT_OK;
}

/* Steps that take about 2 `seconds`, in four equal parts between which checkpoints are. */
static int64_t count_steps(double seconds, double images_s, int64_t global_batch)
{
    enum { PARTS = 4, AT_LEAST = 3 };
    const int64_t n = (int64_t)ceil(2.0 * seconds * images_s / (double)(global_batch * PARTS));
    return PARTS * (n > AT_LEAST ? n : AT_LEAST);
}

dt_status dt_bench_measure_training(dt_bench_parts *p, double seconds, dt_bench_figures *f, dt_error *err)
{
    dt_config config;
    dt_bench_meter meter;
    dt_bench_training t;
    limited val;
    dt_comm *comm = p->session->comm;
    static const dt_events_ops ops = {
        .name = "bench", .destroy = destroy_events, .stop_requested = stop_requested};
    bench_events events = {.base = {&ops}};
    const int64_t global_batch = p->options->config.batch * p->options->config.accumulate * comm->size;
    const int64_t steps = count_steps(seconds, f->step_images_s, global_batch);
    init_meter(p, steps / 4, &meter);
    configure(p, steps, steps / 4, &config);
    dt_trainer_parts parts = {.train = p->train,
                              .store = p->checkpoints.store,
                              .per_host = p->checkpoints.per_host,
                              .guard = &p->locks.recent,
                              .events = &events.base};
    if (p->val) {
        limit(p->val, seconds, f->step_images_s, p->options->config.batch * comm->size, &val);
        parts.val = &val.base;
    }
    DT_TRY(run_trainer(p, &parts, &config, &meter, err));
    dt_bench_meter_get(&meter, &t);
    DT_TRY(comm->ops->broadcast(comm, &t, sizeof t, 0, err));
    f->train_images_s = t.images_s;
    f->slowest_train_images_s = t.slowest_images_s;
    f->fastest_train_images_s = t.fastest_images_s;
    f->evaluate_images_s = t.evaluate_images_s;
    f->checkpoint_s = t.checkpoint_s;
    f->last_checkpoint_s = t.last_checkpoint_s;
    f->checkpoint_bytes = t.checkpoint_bytes;
    return DT_OK;
}
