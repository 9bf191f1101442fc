#include "config.h"

#include "launch/commands/bench_meter.h"

#include "core/base/clock.h"

#include <math.h>

static dt_status start(dt_sink *sink, const dt_metrics_start *m, dt_error *err)
{
    dt_bench_meter *t = (dt_bench_meter *)sink;
    (void)err;
    t->global_batch = m->global_batch;
    t->total_steps = m->total_steps;
    return DT_OK;
}

static void count_second(dt_bench_meter *t, int64_t n, double seconds)
{
    t->second_steps += n;
    t->second_s += seconds;
    if (t->second_s < 1.0)
        return;
    const double step_s = t->second_s / (double)t->second_steps;
    t->fastest_step_s = t->n_seconds == 0 || step_s < t->fastest_step_s ? step_s : t->fastest_step_s;
    t->slowest_step_s = step_s > t->slowest_step_s ? step_s : t->slowest_step_s;
    t->n_seconds++;
    t->second_steps = 0;
    t->second_s = 0;
}

static void count(dt_bench_meter *t, int64_t step, double now)
{
    const int64_t n = step - t->sample_step;
    if (t->was_saving) {
        t->n_saving += n;
        t->saving_s += now - t->sample_s;
    } else {
        t->n_steps += n;
        t->steps_s += now - t->sample_s;
        count_second(t, n, now - t->sample_s);
    }
}

static dt_status step(dt_sink *sink, const dt_metrics_step *m, dt_error *err)
{
    dt_bench_meter *t = (dt_bench_meter *)sink;
    const double now = dt_clock_s();
    (void)err;
    if (isnan(t->first_step_s))
        t->first_step_s = now;
    t->last_event_s = now;
    t->last_step = m->step;
    if (m->step >= t->n_warmup && (!t->is_sampling || m->step - t->sample_step >= t->lag)) {
        if (t->is_sampling)
            count(t, m->step, now);
        t->is_sampling = true;
        t->sample_step = m->step;
        t->sample_s = now;
        t->was_saving = t->is_saving;
    }
    if (t->checkpoint_every > 0 && m->step % t->checkpoint_every == 0 && m->step < t->total_steps)
        t->is_saving = t->was_saving = true;
    return DT_OK;
}

static dt_status eval(dt_sink *sink, const dt_metrics_eval *m, dt_error *err)
{
    dt_bench_meter *t = (dt_bench_meter *)sink;
    (void)err;
    t->eval = *m;
    t->last_event_s = dt_clock_s();
    return DT_OK;
}

static dt_status checkpoint(dt_sink *sink, const dt_metrics_checkpoint *m, dt_error *err)
{
    dt_bench_meter *t = (dt_bench_meter *)sink;
    (void)err;
    t->checkpoint_bytes = m->bytes;
    t->is_saving = false;
    if (t->last_step == t->sample_step) /* the steps of the next sample begin now */
        t->was_saving = false;
    if (m->step < t->total_steps)
        t->n_checkpoints++;
    else
        t->last_checkpoint_s = dt_clock_s() - t->last_event_s;
    return DT_OK;
}

void dt_bench_meter_init(dt_bench_meter *t, int64_t n_warmup, int64_t lag, int64_t checkpoint_every)
{
    static const dt_sink_ops ops = {
        .name = "bench", .start = start, .step = step, .eval = eval, .checkpoint = checkpoint};
    *t = (dt_bench_meter){.base = {.ops = &ops},
                          .n_warmup = n_warmup,
                          .lag = lag,
                          .checkpoint_every = checkpoint_every,
                          .first_step_s = NAN,
                          .last_checkpoint_s = NAN};
}

void dt_bench_meter_get(const dt_bench_meter *t, dt_bench_training *f)
{
    const double step_s = t->n_steps > 0 ? t->steps_s / (double)t->n_steps : NAN,
                 delay_s = t->saving_s - step_s * (double)t->n_saving;
    *f = (dt_bench_training){.images_s = (double)t->global_batch / step_s,
                             .first_step_s = t->first_step_s - step_s,
                             .evaluate_images_s =
                                 t->eval.n > 0 && t->eval.elapsed_s > 0 ? t->eval.images_per_s : NAN,
                             .checkpoint_s = NAN,
                             .last_checkpoint_s = t->last_checkpoint_s,
                             .checkpoint_bytes = t->checkpoint_bytes > 0 ? (double)t->checkpoint_bytes : NAN};
    f->slowest_images_s = t->n_seconds > 1 ? (double)t->global_batch / t->slowest_step_s : NAN;
    f->fastest_images_s = t->n_seconds > 1 ? (double)t->global_batch / t->fastest_step_s : NAN;
    if (t->n_checkpoints > 0 && t->n_steps > 0)
        f->checkpoint_s = delay_s > 0 ? delay_s / (double)t->n_checkpoints : 0;
}

bool dt_bench_meter_has(const dt_bench_meter *t, int64_t n)
{
    return t->n_steps + t->n_saving >= n * t->lag;
}
