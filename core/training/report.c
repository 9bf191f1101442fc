#include "core/training/trainer_internal.h"

#include "core/base/clock.h"
#include "core/base/log.h"

/* A full disk fails every step: the first is told, the end tells how many. */
void dt_trainer_sink_failed(dt_sink *sink, const dt_error *err)
{
    if (sink->n_lost++ == 0)
        dt_log_warn("%s: %s (the training goes on)", sink->ops->name, err->message);
}

void dt_trainer_tell_losses(const dt_trainer_parts *parts)
{
    for (int64_t i = 0; i < parts->n_sinks; i++)
        if (parts->sinks[i]->n_lost > 0)
            dt_log_warn("%s: %lld event%s could not be written", parts->sinks[i]->ops->name,
                        (long long)parts->sinks[i]->n_lost, parts->sinks[i]->n_lost == 1 ? "" : "s");
}

double dt_trainer_images_per_s(const dt_trainer *t)
{
    int64_t n = t->n_told < RATE_WINDOW ? t->n_told : RATE_WINDOW;
    double seconds = 0.0;
    for (int64_t i = 0; i < n; i++)
        seconds += t->window[i];
    return seconds > 0.0 ? (double)(n * t->global_batch) / seconds : 0.0;
}

int64_t dt_trainer_step_of(const dt_trainer *t, const dt_step_result *r)
{
    return t->first_step + r->index + 1;
}

void dt_trainer_tell_step(dt_trainer *t, const dt_step_result *r)
{
    double rate = dt_trainer_images_per_s(t);
    int64_t step = dt_trainer_step_of(t, r), position = t->position - (t->step - step) * t->global_batch;
    dt_metrics_step m = {.step = step,
                         .epoch = t->epoch,
                         .epoch_progress = (double)position / (double)(t->steps_per_epoch * t->global_batch),
                         .loss = r->loss,
                         .top1 = r->top1,
                         .lr = r->lr,
                         .images_per_s = rate,
                         .elapsed_s = dt_clock_s() - t->start_s,
                         .left_s =
                             rate > 0.0 ? (double)((t->total_steps - step) * t->global_batch) / rate : 0.0,
                         .data_wait_s = r->data_wait_s,
                         .comm_wait_s = r->comm_wait_s,
                         .scaled = t->scaling,
                         .skipped = r->skipped,
                         .loss_scale = r->loss_scale,
                         .n_skipped = r->n_skipped};
    if (m.epoch_progress > 1.0)
        m.epoch_progress = 1.0;
    TELL(t, step, &m);
}

void dt_trainer_tell_start(dt_trainer *t)
{
    dt_net_info net;
    dt_source_info val = {0};
    dt_net_get_info(t->parts->net, &net);
    if (t->parts->val)
        t->parts->val->ops->info(t->parts->val, &val);
    dt_metrics_start m = {.first_step = t->step,
                          .total_steps = t->total_steps,
                          .steps_per_epoch = t->steps_per_epoch,
                          .first_epoch = t->epoch,
                          .epochs = t->config->epochs,
                          .world_size = t->comm->size,
                          .global_batch = t->global_batch,
                          .n_train = t->train.n_samples,
                          .n_val = val.n_samples,
                          .n_params = net.n_params};
    if (t->parts->resumed)
        t->parts->resumed(t->parts->resumed_context, t->step);
    TELL(t, start, &m);
}
