#include "core/training/report.h"

#include "core/base/clock.h"
#include "core/base/log.h"

#include <stdio.h>

/* -- sinks ----------------------------------------------------------------------------------------------- */

typedef enum event { START, STEP, EVAL, EPOCH, CHECKPOINT, MIRROR, END } event;

/* m: the event's struct of core/metrics.h. */
static dt_status send(dt_sink *sink, event e, const void *m, dt_error *err)
{
    const dt_sink_ops *o = sink->ops;
    switch (e) {
    case START:
        return o->start ? o->start(sink, m, err) : DT_OK;
    case STEP:
        return o->step ? o->step(sink, m, err) : DT_OK;
    case EVAL:
        return o->eval ? o->eval(sink, m, err) : DT_OK;
    case EPOCH:
        return o->epoch ? o->epoch(sink, m, err) : DT_OK;
    case CHECKPOINT:
        return o->checkpoint ? o->checkpoint(sink, m, err) : DT_OK;
    case MIRROR:
        return o->mirror ? o->mirror(sink, m, err) : DT_OK;
    case END:
        return o->end ? o->end(sink, m, err) : DT_OK;
    }
    return DT_OK;
}

/* With a full disk every event fails: log the first failure only, and at the end how many there were. */
static void send_to_all(const dt_report *r, event e, const void *m)
{
    const dt_trainer_parts *p = r->training->parts;
    if (dt_guard_check(p->guard, NULL) != DT_OK)
        return; /* the files belong to another run now */
    for (int64_t i = 0; i < p->n_sinks; i++) {
        dt_error err = {0};
        if (send(p->sinks[i], e, m, &err) != DT_OK && p->sinks[i]->n_lost++ == 0)
            dt_log_warn("%s: %s (the training goes on)", p->sinks[i]->ops->name, err.message);
    }
}

void dt_report_lost_events(const dt_trainer_parts *parts)
{
    for (int64_t i = 0; i < parts->n_sinks; i++)
        if (parts->sinks[i]->n_lost > 0)
            dt_log_warn("%s: %lld event%s could not be written", parts->sinks[i]->ops->name,
                        (long long)parts->sinks[i]->n_lost, parts->sinks[i]->n_lost == 1 ? "" : "s");
}

/* -- rates ----------------------------------------------------------------------------------------------- */

double dt_report_images_per_s(const dt_report *r)
{
    const int64_t n = r->n_steps < DT_REPORT_WINDOW ? r->n_steps : DT_REPORT_WINDOW;
    double seconds = 0.0;
    for (int64_t i = 0; i < n; i++)
        seconds += r->window[i];
    return seconds > 0.0 ? (double)(n * r->training->global_batch) / seconds : 0.0;
}

double dt_report_step_s(const dt_report *r)
{
    const double rate = dt_report_images_per_s(r);
    return rate > 0.0 ? (double)r->training->global_batch / rate : 0.0;
}

/* -- events ---------------------------------------------------------------------------------------------- */

void dt_report_start(dt_report *r)
{
    const dt_training *t = r->training;
    const dt_trainer_parts *p = t->parts;
    dt_net_info net;
    dt_source_info val = {0};
    r->start_s = dt_clock_s();
    dt_net_get_info(p->net, &net);
    if (p->val)
        p->val->ops->info(p->val, &val);
    const dt_metrics_start m = {.first_step = t->step,
                                .total_steps = t->total_steps,
                                .steps_per_epoch = t->steps_per_epoch,
                                .first_epoch = dt_training_current_epoch(t),
                                .epochs = p->config->epochs,
                                .world_size = p->comm->size,
                                .global_batch = t->global_batch,
                                .n_train = t->train.n_samples,
                                .n_val = val.n_samples,
                                .n_params = net.n_params};
    send_to_all(r, START, &m);
}

void dt_report_begin_epoch(dt_report *r)
{
    r->epoch_loss = r->epoch_top1 = 0.0;
    r->epoch_steps = 0;
    r->epoch_start_s = dt_clock_s();
}

void dt_report_step(dt_report *r, const dt_step_result *result, double seconds)
{
    const dt_training *t = r->training;
    r->window[r->n_steps % DT_REPORT_WINDOW] = seconds;
    r->steps_s += seconds;
    r->n_steps++;
    r->epoch_loss += result->loss;
    r->epoch_top1 += result->top1;
    r->epoch_steps++;
    const double rate = dt_report_images_per_s(r);
    /* the cursor may be some steps ahead of the result */
    const int64_t step = dt_training_step_of(t, result),
                  position = t->position - (t->step - step) * t->global_batch;
    dt_metrics_step m = {.step = step,
                         .epoch = t->epoch,
                         .epoch_progress = (double)position / (double)(t->steps_per_epoch * t->global_batch),
                         .loss = result->loss,
                         .top1 = result->top1,
                         .lr = result->lr,
                         .images_per_s = rate,
                         .elapsed_s = dt_clock_s() - r->start_s,
                         .left_s =
                             rate > 0.0 ? (double)((t->total_steps - step) * t->global_batch) / rate : 0.0,
                         .data_wait_s = result->data_wait_s,
                         .comm_wait_s = result->comm_wait_s,
                         .scaled = t->scaling,
                         .skipped = result->skipped,
                         .loss_scale = result->loss_scale,
                         .n_skipped = result->n_skipped};
    if (m.epoch_progress > 1.0)
        m.epoch_progress = 1.0;
    send_to_all(r, STEP, &m);
}

void dt_report_epoch(dt_report *r, int64_t n_broken)
{
    const dt_training *t = r->training;
    const int64_t n = r->epoch_steps;
    const double elapsed_s = dt_clock_s() - r->epoch_start_s;
    const dt_metrics_epoch m = {.epoch = t->epoch,
                                .step = t->step,
                                .mean_loss = n ? r->epoch_loss / (double)n : 0.0,
                                .mean_top1 = n ? r->epoch_top1 / (double)n : 0.0,
                                .elapsed_s = elapsed_s,
                                .images_per_s =
                                    elapsed_s > 0.0 ? (double)(n * t->global_batch) / elapsed_s : 0.0,
                                .n_images = n * t->global_batch,
                                .n_broken = n_broken};
    send_to_all(r, EPOCH, &m);
}

void dt_report_eval(dt_report *r, const dt_metrics_eval *eval)
{
    r->last_eval = *eval;
    send_to_all(r, EVAL, eval);
}

static void set_path(dt_metrics_checkpoint *m, dt_store *store)
{
    snprintf(m->path, sizeof m->path, "%s", store->ops->location(store));
}

void dt_report_checkpoint(const dt_report *r, dt_metrics_checkpoint *m)
{
    set_path(m, r->training->parts->store);
    send_to_all(r, CHECKPOINT, m);
}

void dt_report_mirror(const dt_report *r, dt_metrics_checkpoint *m)
{
    set_path(m, r->training->parts->mirror);
    send_to_all(r, MIRROR, m);
}

/* Whether the checkpoint of a step is there: `keep` may have removed it, or none was due after that step. */
static bool has_checkpoint(dt_store *store, int64_t step)
{
    dt_manifest manifest = {0};
    dt_error ignored;
    const bool has =
        store && step >= 0 && store->ops->read_manifest(store, step, &manifest, &ignored) == DT_OK;
    dt_manifest_clear(&manifest);
    return has;
}

void dt_report_end(const dt_report *r, bool stopped_on_request, int64_t n_broken, int64_t n_broken_val,
                   dt_metrics_end *end)
{
    const dt_training *t = r->training;
    const dt_metrics_eval *e = &r->last_eval;
    const bool evaluated = e->n > 0;
    dt_source_info val = {0};
    if (t->parts->val)
        t->parts->val->ops->info(t->parts->val, &val);
    const double n_images = (double)(r->n_steps * t->global_batch);
    /* after a stop, the storage may be what does not answer */
    const bool best_is_kept = !stopped_on_request && has_checkpoint(t->parts->store, t->best_step);
    *end = (dt_metrics_end){.steps = t->step,
                            .epochs = t->epoch,
                            .elapsed_s = dt_clock_s() - r->start_s,
                            .images_per_s = r->steps_s > 0.0 ? n_images / r->steps_s : 0.0,
                            .final_loss = evaluated ? e->val_loss : -1.0,
                            .final_top1 = evaluated ? e->val_top1 : -1.0,
                            .final_top5 = evaluated ? e->val_top5 : -1.0,
                            .final_step = evaluated ? e->step : -1,
                            .best_top1 = t->best_top1,
                            .best_epoch = t->best_epoch,
                            .best_step = t->best_step,
                            .best_is_kept = best_is_kept,
                            .n_train = t->train.n_samples,
                            .n_val = val.n_samples,
                            .n_broken = n_broken,
                            .n_broken_val = n_broken_val,
                            .stopped_on_request = stopped_on_request,
                            .all_done = !stopped_on_request};
    send_to_all(r, END, end);
}
