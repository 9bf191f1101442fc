#include "core/training/trainer.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/fault.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/checkpoint/state_check.h"
#include "core/collective/agreement.h"
#include "core/training/evaluate.h"
#include "core/training/numeric.h"
#include "core/training/schedule.h"
#include "core/training/start.h"
#include "core/training/stop.h"

#include <math.h>
#include <stdio.h>

typedef struct dt_trainer {
    const dt_trainer_parts *parts;
    const dt_config *config;
    dt_comm *comm;
    dt_training training; /* the plan and the cursor */
    dt_step *step;
    dt_report report;
    dt_checkpointer *checkpointer;
    dt_stop stop;
    int64_t net_size, train_size; /* pixels: what the net is built for, what this epoch's images have */
    double mark_s;                /* since when the device works on the steps whose results are to come */
    double lr;                    /* of the newest step */
    int64_t n_skipped_in_a_row;
    int64_t n_broken, n_broken_val; /* of the epoch and of the evaluation that met most broken files */
    bool all_done;                  /* all steps, and the state is finite */
} dt_trainer;

/* -- sizes of images ------------------------------------------------------------------------------------- */

/* Collective; nothing is under way on the device. The flat vectors stay where they are: parameters, momentum,
 * averages and the loss scale keep their bits. What depends on the size (plans, activations, captured graphs)
 * is rebuilt. */
static dt_status resize_net(dt_trainer *t, int64_t size, dt_error *err)
{
    if (size == t->net_size)
        return DT_OK;
    DT_TRY(dt_step_resize(t->step, size, err));
    t->net_size = size;
    return DT_OK;
}

/* Set the size of the images of the epoch that begins. The net is resized before its first step. */
static dt_status choose_size(dt_trainer *t, dt_error *err)
{
    const int64_t size = dt_schedule_image_size(t->config, t->training.epoch);
    if (size == t->train_size)
        return DT_OK;
    DT_TRY(t->parts->train->ops->set_image_size(t->parts->train, size, err));
    t->train_size = size;
    if (t->comm->rank == 0)
        dt_log_info("from epoch %lld on, images of %lld pixels", (long long)t->training.epoch + 1,
                    (long long)size);
    return DT_OK;
}

/* -- evaluation ------------------------------------------------------------------------------------------ */

static bool is_evaluated(const dt_trainer *t)
{
    return t->report.last_eval.n > 0 && t->report.last_eval.step == t->training.step;
}

/* Collective, after an error that all ranks share: all steps are done, or a state was found not to be finite.
 * The newest checkpoint is what is committed by then. */
static int64_t last_checkpoint(dt_trainer *t)
{
    dt_checkpointer_wait(t->checkpointer);
    return dt_checkpointer_get_state(t->checkpointer).committed_step;
}

/* Collective. The loss of an evaluation, which *err is about, is not finite: name the tensor, if there is
 * one, that is not finite itself. */
static dt_status fail_evaluation(dt_trainer *t, const dt_metrics_eval *m, dt_error *err)
{
    const dt_state_io io = dt_net_state_io(t->parts->net);
    const dt_error why = *err;
    dt_error tensor = {0};
    const bool named = dt_state_check_all(dt_net_state_layout(t->parts->net), &io, &tensor) == DT_ERR_NUMERIC;
    return dt_numeric_fail(&t->training, last_checkpoint(t), err,
                           "%s at step %lld, epoch %lld, on each rank with learning rate %g%s%s", why.message,
                           (long long)t->training.step, (long long)m->epoch + 1, t->lr, named ? ": " : "",
                           tensor.message);
}

/* Whether the ranks may still call collectives after this error. */
static bool are_together(dt_status status, const dt_error *err)
{
    return status == DT_OK ||
           (err->shared && status != DT_ERR_COMM && status != DT_ERR_PEER && status != DT_ERR_DEVICE);
}

/* Collective; the results of all steps have come. *done is false, on all ranks, if some rank wants to stop,
 * or if the evaluation would last beyond an end that some rank knows of. */
static dt_status evaluate(dt_trainer *t, bool *done, dt_error *err)
{
    const dt_trainer_parts *p = t->parts;
    *done = true;
    if (!p->val || is_evaluated(t))
        return DT_OK;
    *done = false;
    if (!t->stop.stop_requested)
        DT_TRY(dt_stop_has_time_to_evaluate(&t->stop, done, err));
    if (!*done)
        return DT_OK;
    dt_metrics_eval m = {.step = t->training.step,
                         .epoch = t->training.position == 0 && t->training.epoch > 0 ? t->training.epoch - 1
                                                                                     : t->training.epoch};
    DT_TRY(resize_net(t, t->config->image_size, err));
    DT_TRY(dt_agree(t->comm, dt_net_swap_ema(p->net, err), err));
    const dt_status status = dt_evaluate(p->net, p->kernels, t->comm, p->val, t->config->batch,
                                         t->config->max_broken, p->events, p->sinks, p->n_sinks, &m, err);
    *done = status == DT_OK;
    if (!are_together(status, err))
        return status;
    dt_error why = {0};
    DT_TRY(dt_first_error(t->comm, DT_OK, err, dt_agree(t->comm, dt_net_swap_ema(p->net, &why), &why), &why));
    if (status == DT_ERR_INTERRUPTED) {
        t->stop.stop_requested = true;
        return DT_OK;
    }
    if (status == DT_ERR_NUMERIC)
        return fail_evaluation(t, &m, err);
    if (status != DT_OK)
        return status;
    if (m.val_top1 > t->training.best_top1) {
        t->training.best_top1 = m.val_top1;
        t->training.best_epoch = m.epoch;
        t->training.best_step = m.step;
    }
    t->n_broken_val = m.n_broken > t->n_broken_val ? m.n_broken : t->n_broken_val;
    dt_report_eval(&t->report, &m);
    return DT_OK;
}

/* -- results --------------------------------------------------------------------------------------------- */

/* Collective if a loss is not finite. All ranks see the same sum; the error names the ranks whose own part of
 * it was not finite. */
static dt_status check_finite(dt_trainer *t, const dt_step_result *r, dt_error *err)
{
    if (isfinite(r->loss))
        return DT_OK;
    char ranks[256] = "";
    size_t used = 0;
    const double mine = r->local_loss;
    dt_step_result others[DT_STEP_MAX_RESULTS];
    int64_t n = 0;
    /* the steps after it end on all ranks */
    DT_TRY(dt_step_results(t->step, true, others, DT_STEP_MAX_RESULTS, &n, err));
    double *losses = dt_alloc((size_t)t->comm->size * sizeof *losses);
    if (!losses)
        return dt_fail_memory(err, (size_t)t->comm->size * sizeof *losses, "the ranks' losses");
    dt_status status = t->comm->ops->all_gather(t->comm, &mine, sizeof mine, losses, err);
    for (int i = 0; status == DT_OK && i < t->comm->size && used + 16 < sizeof ranks; i++)
        if (!isfinite(losses[i]))
            used += (size_t)snprintf(ranks + used, sizeof ranks - used, "%s%d", used ? ", " : "", i);
    dt_free(losses);
    DT_TRY(status);
    return dt_numeric_fail(
        &t->training, last_checkpoint(t), err,
        "the loss is not finite (%g) at step %lld, epoch %lld, on rank %s, with learning rate %g", r->loss,
        (long long)dt_training_step_of(&t->training, r), (long long)t->training.epoch + 1,
        used ? ranks : "none alone", r->lr);
}

/* The scale is at 1 long before so many. */
#define MAX_SKIPPED_IN_A_ROW 50

/* Dynamic loss scaling is expected to skip a few steps. Log each; fail after MAX_SKIPPED_IN_A_ROW. */
static dt_status check_skipped(dt_trainer *t, const dt_step_result *r, dt_error *err)
{
    t->n_skipped_in_a_row = r->skipped ? t->n_skipped_in_a_row + 1 : 0;
    if (!r->skipped)
        return DT_OK;
    if (t->comm->rank == 0)
        dt_log_info(
            "step %lld was skipped: gradients overflowed; the loss scale is %g now (%lld skipped so far)",
            (long long)dt_training_step_of(&t->training, r), r->loss_scale, (long long)r->n_skipped);
    if (t->n_skipped_in_a_row < MAX_SKIPPED_IN_A_ROW)
        return DT_OK;
    return dt_numeric_fail(&t->training, last_checkpoint(t), err,
                           "gradients were not finite in %d steps in a row, up to step %lld, though the loss "
                           "scale (--precision bf16 needs none) has come down to %g",
                           MAX_SKIPPED_IN_A_ROW, (long long)dt_training_step_of(&t->training, r),
                           r->loss_scale);
}

static dt_status collect_result(dt_trainer *t, const dt_step_result *r, double seconds, dt_error *err)
{
    DT_TRY(check_finite(t, r, err));
    dt_stop_note(&t->stop, r);
    dt_checkpointer_note(t->checkpointer, r);
    dt_report_step(&t->report, r, seconds);
    return check_skipped(t, r, err);
}

/* The results that have come; the time since the ones before is divided among them evenly. */
static dt_status collect_results(dt_trainer *t, bool drain, dt_error *err)
{
    dt_step_result results[DT_STEP_MAX_RESULTS];
    int64_t n = 0;
    DT_TRY(dt_step_results(t->step, drain, results, DT_STEP_MAX_RESULTS, &n, err));
    const double now = dt_clock_s(), seconds = n ? (now - t->mark_s) / (double)n : 0.0;
    for (int64_t i = 0; i < n; i++)
        DT_TRY(collect_result(t, &results[i], seconds, err));
    if (n)
        t->mark_s = now;
    return DT_OK;
}

/* -- epochs ---------------------------------------------------------------------------------------------- */

/* Broken files of this epoch, over all ranks. */
static dt_status count_broken(dt_trainer *t, int64_t *n, dt_error *err)
{
    dt_source_stats stats = {0};
    t->parts->train->ops->stats(t->parts->train, &stats);
    *n = stats.n_broken;
    return t->comm->ops->all_reduce(t->comm, n, 1, DT_I64, DT_REDUCE_SUM, err);
}

/* epochs differ: each leaves out other samples, those that do not fill a batch */
static void keep_most_broken(dt_trainer *t, int64_t n)
{
    t->n_broken = n > t->n_broken ? n : t->n_broken;
}

/* Collective, where the training ends or stops: what an epoch that has not ended has met counts, too. */
static dt_status count_unfinished_epoch(dt_trainer *t, dt_error *err)
{
    int64_t broken = 0;
    if (t->training.position == 0)
        return DT_OK;
    DT_TRY(count_broken(t, &broken, err));
    keep_most_broken(t, broken);
    return DT_OK;
}

/* A source fails when its own rank has found too many; here those of all ranks count together. */
static dt_status check_broken(dt_trainer *t, dt_error *err)
{
    double share = (double)t->n_broken / (double)t->training.train.n_samples;
    if (share <= t->config->max_broken + 1e-9)
        return DT_OK;
    return dt_fail_shared(
        err, DT_ERR_DATA,
        "%lld of the %lld training file%s %s broken: %.3g%%, and --max-broken allows %.3g%%; the "
        "log names them",
        (long long)t->n_broken, (long long)t->training.train.n_samples,
        DT_PLURAL(t->training.train.n_samples), t->n_broken == 1 ? "is" : "are", 100.0 * share,
        100.0 * t->config->max_broken);
}

static dt_status end_epoch(dt_trainer *t, dt_error *err)
{
    int64_t broken = 0;
    DT_TRY(count_broken(t, &broken, err));
    keep_most_broken(t, broken);
    DT_TRY(check_broken(t, err));
    dt_report_epoch(&t->report, broken);
    t->training.epoch++;
    t->training.position = 0;
    return DT_OK;
}

static bool crosses(double before, double after, double every)
{
    return every > 0.0 && floor(after / every + 1e-9) > floor(before / every + 1e-9);
}

static dt_status enqueue_step(dt_trainer *t, dt_error *err)
{
    dt_training *tr = &t->training;
    if (dt_fault("train.step"))
        return dt_fail(err, DT_ERR_INTERNAL, "train.step: a fault was asked for at step %lld",
                       (long long)tr->step + 1);
    float votes[DT_N_VOTES] = {0};
    dt_stop_vote(&t->stop, votes);
    dt_checkpointer_vote(t->checkpointer, votes);
    t->lr = dt_schedule_lr(t->config, dt_training_epochs_done(tr), 1.0 / (double)tr->steps_per_epoch,
                           (double)t->config->epochs);
    if (t->report.n_steps == tr->step - tr->first_step) /* nothing is under way */
        t->mark_s = dt_clock_s();
    /* in the first step of an epoch or after an evaluation, when nothing is under way */
    DT_TRY(resize_net(t, t->train_size, err));
    t->comm->step = tr->step + 1;
    DT_TRY(dt_step_run(t->step, t->parts->train, t->lr, votes, err));
    tr->step++;
    tr->position += tr->global_batch;
    return DT_OK;
}

/* Collective. status: of a function of the checkpointer. A state that is not finite ends the training, but a
 * step whose loss is not, and whose result has not come yet, is the better reason. */
static dt_status check_checkpoints(dt_trainer *t, dt_status status, dt_error *err)
{
    if (status != DT_ERR_NUMERIC)
        return status;
    const dt_error why = *err;
    DT_TRY(collect_results(t, true, err));
    return dt_numeric_fail(&t->training, last_checkpoint(t), err, "%s", why.message);
}

/* A sample does not come, a stop is requested, and this is the only rank: the last step is whole. Other ranks
 * would wait in the sum of this step for ever. */
static dt_status stop_before_step(dt_trainer *t, dt_error *err)
{
    DT_TRY(collect_results(t, true, err));
    DT_TRY(check_checkpoints(t, dt_checkpointer_advance(t->checkpointer, err), err));
    return dt_stop_now(&t->stop, err);
}

/* What follows a step depends on its number, and on results that all ranks see after the same step. */
static dt_status one_step(dt_trainer *t, dt_error *err)
{
    const dt_training *tr = &t->training;
    const double before = dt_training_epochs_done(tr);
    const dt_status enqueued = enqueue_step(t, err);
    if (enqueued == DT_ERR_INTERRUPTED && t->comm->size == 1)
        return stop_before_step(t, err);
    DT_TRY(enqueued);
    const bool epoch_ends = tr->train.n_samples - tr->position < tr->global_batch;
    const bool is_last = tr->step == tr->total_steps; /* finish() evaluates and saves after it */
    const bool evaluates =
        !is_last && crosses(before, epoch_ends ? (double)tr->epoch + 1.0 : dt_training_epochs_done(tr),
                            t->config->eval_every);
    const bool is_due = !is_last && dt_checkpointer_is_due(t->checkpointer, epoch_ends);
    /* a save needs no drain: the copy of the state is enqueued after the step */
    const bool drains = epoch_ends || is_last || evaluates;
    bool evaluated;
    DT_TRY(collect_results(t, drains, err));
    if (t->stop.stop_requested && !drains)
        DT_TRY(collect_results(t, true, err));
    DT_TRY(check_checkpoints(t, dt_checkpointer_advance(t->checkpointer, err), err));
    if (epoch_ends)
        DT_TRY(end_epoch(t, err));
    if (evaluates)
        DT_TRY(evaluate(t, &evaluated, err));
    const bool saves = is_due || t->stop.save_requested;
    t->stop.save_requested = false;
    /* the last step and a stop save in their own way */
    if (saves && !is_last && !t->stop.stop_requested)
        DT_TRY(check_checkpoints(t, dt_checkpointer_save(t->checkpointer, false, err), err));
    dt_checkpointer_poll(t->checkpointer);
    if (!t->stop.stop_requested || is_last)
        return DT_OK;
    DT_TRY(count_unfinished_epoch(t, err));
    return dt_stop_now(&t->stop, err);
}

static dt_status one_epoch(dt_trainer *t, dt_error *err)
{
    dt_training *tr = &t->training;
    dt_source *train = t->parts->train;
    const int64_t epoch = tr->epoch;
    int64_t steps = (tr->train.n_samples - tr->position) / tr->global_batch;
    if (steps < 1) { /* a cursor near the end, and a larger global batch than before */
        tr->epoch++;
        tr->position = 0;
        return DT_OK;
    }
    if (steps > tr->total_steps - tr->step)
        steps = tr->total_steps - tr->step;
    DT_TRY(choose_size(t, err));
    dt_report_begin_epoch(&t->report);
    DT_TRY(train->ops->start(train, tr->epoch, tr->position, steps * t->config->accumulate, err));
    while (tr->epoch == epoch && tr->step < tr->total_steps)
        DT_TRY(one_step(t, err));
    return DT_OK;
}

/* -- the training ---------------------------------------------------------------------------------------- */

/* A last evaluation and a last checkpoint that fail do not keep the weights from being exported. */
static dt_status finish(dt_trainer *t, dt_error *err)
{
    bool evaluated = false;
    dt_error why = {0};
    DT_TRY(count_unfinished_epoch(t, err));
    const dt_status status = evaluate(t, &evaluated, err);
    if (status == DT_ERR_NUMERIC || !are_together(status, err))
        return status;
    if (status == DT_OK && !evaluated)
        return dt_stop_now(&t->stop, err); /* the next start evaluates, and is done */
    if (status != DT_OK)
        dt_error_prefix(err, "the training is done, but its last evaluation failed");
    const dt_status saved = dt_checkpointer_save(t->checkpointer, true, &why);
    dt_checkpointer_finish(t->checkpointer, dt_stop_deadline_s(&t->stop));
    if (saved != DT_OK)
        dt_error_prefix(&why, "the training is done, but its last checkpoint was not written");
    t->all_done = saved != DT_ERR_NUMERIC;
    return dt_first_error(t->comm, status, err, saved, &why);
}

static dt_status run(dt_trainer *t, dt_error *err)
{
    DT_TRY(dt_start(&t->training, &t->step, err));
    DT_TRY(dt_checkpointer_create(&t->training, &t->report, t->step, &t->checkpointer, err));
    t->stop.checkpointer = t->checkpointer;
    if (t->parts->resumed)
        t->parts->resumed(t->parts->resumed_context, t->training.step);
    DT_TRY(dt_stop_before_first_step(&t->stop, err));
    dt_report_start(&t->report);
    while (t->training.epoch < t->config->epochs && t->training.step < t->training.total_steps)
        DT_TRY(one_epoch(t, err));
    return finish(t, err);
}

dt_status dt_trainer_run(const dt_trainer_parts *parts, dt_metrics_end *result, dt_error *err)
{
    dt_error own = {0};
    dt_trainer t = {.parts = parts,
                    .config = parts->config,
                    .comm = parts->comm,
                    .training = {.parts = parts,
                                 .best_top1 = -1.0,
                                 .best_epoch = -1,
                                 .best_step = -1,
                                 .resumed_step = -1},
                    .report = {.training = &t.training},
                    .stop = {.training = &t.training, .report = &t.report},
                    .net_size = parts->config->image_size,
                    .train_size = parts->config->image_size};
    const dt_status status = run(&t, &own);
    if (t.all_done || (t.report.start_s > 0.0 && status == DT_ERR_INTERRUPTED))
        dt_report_end(&t.report, !t.all_done, t.n_broken, t.n_broken_val, result);
    if (status != DT_OK && err)
        *err = own;
    dt_checkpointer_destroy(t.checkpointer);
    dt_report_lost_events(parts);
    if (!dt_comm_device_is_lost(t.comm, status))
        dt_step_destroy(t.step);
    dt_class_names_clear(&t.training.class_names);
    return status;
}
