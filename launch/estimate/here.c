#include "config.h"

#include "launch/estimate/here.h"

#include "core/base/units.h"
#include "core/checkpoint/save_interval.h"
#include "core/training/schedule.h"

#include <string.h>

static dt_status check(const dt_here_query *q, dt_error *err)
{
    const dt_measured_machine *m = q->machine;
    if (!m->arch || !dt_figure_is_known(m->train_images_s) || !dt_figure_is_known(m->start_s))
        return dt_fail(err, DT_ERR_USAGE,
                       "--here: no training was measured on %s: write --rates FILE by dtrain bench", m->name);
    if (strcmp(m->precision, dt_dtype_name(q->work->precision)) != 0)
        return dt_fail(err, DT_ERR_USAGE,
                       "--precision: %s was measured in %s, and this training is in %s: run dtrain bench in "
                       "that precision",
                       m->name, m->precision, dt_dtype_name(q->work->precision));
    return DT_OK;
}

/* Steps that are done, and those of an epoch. */
static dt_status count_steps(const dt_here_query *q, int64_t *per_epoch, dt_here *h, dt_error *err)
{
    const dt_workload *w = q->work;
    h->n_ranks = q->machine->n_ranks;
    h->batch = w->batch > 0 ? w->batch : q->machine->batch;
    const int64_t global_batch = h->batch * w->accumulate * h->n_ranks;
    *per_epoch = dt_steps_per_epoch((int64_t)w->n_images, global_batch);
    if (*per_epoch < 1)
        return dt_fail(err, DT_ERR_USAGE,
                       "--batch: %.0f image%s are fewer than one global batch of %lld (%lld rank%s)",
                       w->n_images, DT_PLURAL((int64_t)w->n_images), (long long)global_batch,
                       (long long)h->n_ranks, DT_PLURAL(h->n_ranks));
    h->n_steps = (int64_t)((double)*per_epoch * w->epochs);
    return DT_OK;
}

/* Operations of an image of this training beside those of an image of the measured one. */
static double relative_work(const dt_here_query *q)
{
    double flops = 0;
    for (int i = 0; i < q->work->n_sizes; i++)
        flops += q->work->sizes[i].share * q->work->sizes[i].flops;
    return flops / q->measured_flops;
}

static void estimate_evaluations(const dt_here_query *q, dt_here *h)
{
    enum { FASTER = 3 };
    const dt_measured_machine *m = q->machine;
    h->evaluates_by_guess = !dt_figure_is_known(m->evaluate_images_s);
    const double rate = h->evaluates_by_guess ? FASTER * m->train_images_s.value : m->evaluate_images_s.value;
    h->evaluate_s = q->work->val_images_of_run * q->evaluated_flops / q->measured_flops / rate;
}

/* every: steps between checkpoints. */
static int64_t checkpoint_interval(const dt_here_query *q, int64_t per_epoch, double cost_s, double step_s)
{
    enum { SECONDS_IN_AN_HOUR = 3600, USUAL_HOURS = 6 }; /* a training's default of --mtti */
    const dt_config *c = q->config;
    if (c->checkpoint_every != DT_CHECKPOINT_AUTO)
        return c->checkpoint_every > 0 ? c->checkpoint_every : per_epoch;
    /* a plan's --mtti may be a word */
    const double mtti_s = (c->mtti_h > 0 ? c->mtti_h : USUAL_HOURS) * SECONDS_IN_AN_HOUR;
    const int64_t steps = cost_s > 0 ? (int64_t)(dt_save_interval_s(cost_s, mtti_s) / step_s) : 1;
    return steps > 1 ? steps : 1;
}

/* How many times as large as the measured one a checkpoint of this network is. */
static double relative_checkpoint(const dt_here_query *q)
{
    const dt_figure *measured_mb = &q->machine->checkpoint_mb;
    const bool is_other = q->machine->arch && strcmp(q->machine->arch, q->work->arch) != 0;
    return is_other && dt_figure_is_known(*measured_mb) && measured_mb->value > 0
               ? q->work->checkpoint_bytes / (measured_mb->value * 1e6)
               : 1;
}

dt_status dt_here_estimate(const dt_here_query *q, dt_here *h, dt_error *err)
{
    const dt_measured_machine *m = q->machine;
    int64_t per_epoch = 0;
    *h = (dt_here){0};
    DT_TRY(check(q, err));
    DT_TRY(count_steps(q, &per_epoch, h, err));
    const double work = relative_work(q);
    const int64_t global_batch = h->batch * q->work->accumulate * h->n_ranks;
    const double size = relative_checkpoint(q);
    const double last_s = dt_figure_is_known(m->last_checkpoint_s) ? m->last_checkpoint_s.value * size : 0;
    const double delay_s = dt_figure_is_known(m->checkpoint_s) ? m->checkpoint_s.value * size : last_s;
    h->is_scaled = work < 1.0 || work > 1.0;
    h->images_s = m->train_images_s.value / work;
    const double step_s = (double)global_batch / h->images_s;
    const int64_t every = checkpoint_interval(q, per_epoch, delay_s, step_s);
    h->n_checkpoints = (h->n_steps - 1) / every + 1;
    h->start_s = m->start_s.value;
    h->train_s = (double)h->n_steps * step_s;
    estimate_evaluations(q, h);
    h->checkpoints_s = (double)(h->n_checkpoints - 1) * delay_s + last_s;
    h->total_s = h->start_s + h->train_s + h->evaluate_s + h->checkpoints_s;
    /* a checkpoint is read, with its hashes, in about the time in which it is written */
    h->stop_s = step_s + last_s + h->start_s + last_s;
    h->kill_s = (double)(every < h->n_steps ? every : h->n_steps) * step_s / 2 + h->start_s + last_s;
    if (dt_figure_is_known(m->usd_h))
        h->usd = m->usd_h.value * h->total_s / 3600.0;
    return DT_OK;
}
