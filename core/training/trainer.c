#include "core/training/trainer_internal.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/fault.h"
#include "core/base/log.h"
#include "core/collective/agreement.h"
#include "core/training/evaluate.h"
#include "core/training/schedule.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int64_t dt_steps_per_epoch(int64_t n_samples, int64_t global_batch)
{
    return n_samples / global_batch;
}

static double epochs_done(const dt_trainer *t)
{
    return (double)t->epoch + (double)t->position / (double)(t->steps_per_epoch * t->global_batch);
}

/* -- sizes of images ------------------------------------------------------------------------------------- */

static int64_t size_of_epoch(const dt_config *c, int64_t epoch)
{
    const double done = (double)epoch / (double)c->epochs + 1e-9;
    int64_t size = c->image_size;
    for (int64_t i = 0; i < c->n_resize && c->resize[i].share <= done; i++)
        size = c->resize[i].image_size;
    return size;
}

/* Collective; nothing is under way. The flat vectors stay where they are: parameters, momentum, averages and
 * the loss scale keep their bits. What depends on the size (plans, activations, captured graphs) is made
 * anew. */
static dt_status bring_net_to(dt_trainer *t, int64_t size, dt_error *err)
{
    if (size == t->net_size)
        return DT_OK;
    dt_status status = dt_net_resize(t->parts->net, size, err);
    if (status == DT_OK)
        status = dt_step_resize(t->step_runner, size, err);
    DT_TRY(dt_agree(t->comm, status, err));
    t->net_size = size;
    return DT_OK;
}

/* The images of the epoch that begins. The net follows with its first step. */
static dt_status choose_size(dt_trainer *t, dt_error *err)
{
    const int64_t size = size_of_epoch(t->config, t->epoch);
    if (size == t->train_size)
        return DT_OK;
    DT_TRY(t->parts->train->ops->set_image_size(t->parts->train, size, err));
    t->train_size = size;
    if (t->comm->rank == 0)
        dt_log_info("from epoch %lld on, images of %lld pixels", (long long)t->epoch + 1, (long long)size);
    return DT_OK;
}

/* Not when somebody wants to stop, before or meanwhile, and not if it would last beyond an end that is known:
 * then *done is false, on all ranks. */
static dt_status evaluate(dt_trainer *t, bool *done, dt_error *err)
{
    const dt_trainer_parts *p = t->parts;
    *done = true;
    if (!p->val || t->last_evaluated_step == t->step)
        return DT_OK;
    *done = false;
    if (!t->stop_seen)
        DT_TRY(dt_trainer_time_to_evaluate(t, done, err));
    if (!*done)
        return DT_OK;
    dt_metrics_eval m = {.step = t->step,
                         .epoch = t->position == 0 && t->epoch > 0 ? t->epoch - 1 : t->epoch};
    DT_TRY(bring_net_to(t, t->config->image_size, err));
    DT_TRY(dt_agree(t->comm, dt_net_swap_ema(p->net, err), err));
    const dt_status status = dt_evaluate(p->net, p->kernels, t->comm, p->val, t->config->batch, p->events,
                                         p->sinks, p->n_sinks, &m, err);
    if (status != DT_OK && status != DT_ERR_INTERRUPTED)
        return status;
    DT_TRY(dt_agree(t->comm, dt_net_swap_ema(p->net, err), err));
    if (status == DT_ERR_INTERRUPTED) {
        t->stop_seen = true;
        *done = false;
        return DT_OK;
    }
    t->last_evaluated_step = t->step;
    t->last_eval = m;
    if (m.val_top1 > t->best_top1)
        t->best_top1 = m.val_top1;
    TELL(t, eval, &m);
    return DT_OK;
}

/* All ranks see the same sum; each tells whether its own part of it was finite. */
static dt_status check_finite(dt_trainer *t, const dt_step_result *r, dt_error *err)
{
    if (isfinite(r->loss))
        return DT_OK;
    char ranks[256] = "";
    size_t used = 0;
    const double mine = r->local_loss;
    dt_step_result others[DT_STEP_MAX_RESULTS];
    int64_t n = 0;
    /* the steps behind it end on all ranks */
    DT_TRY(dt_step_results(t->step_runner, true, others, DT_STEP_MAX_RESULTS, &n, err));
    double *losses = dt_alloc((size_t)t->comm->size * sizeof *losses);
    if (!losses)
        return dt_fail_memory(err, (size_t)t->comm->size * sizeof *losses, "the ranks' losses");
    dt_status status = t->comm->ops->all_gather(t->comm, &mine, sizeof mine, losses, err);
    for (int i = 0; status == DT_OK && i < t->comm->size && used + 16 < sizeof ranks; i++)
        if (!isfinite(losses[i]))
            used += (size_t)snprintf(ranks + used, sizeof ranks - used, "%s%d", used ? ", " : "", i);
    dt_free(losses);
    DT_TRY(status);
    return dt_fail_shared(
        err, DT_ERR_NUMERIC,
        "the loss is not finite (%g) at step %lld, epoch %lld, on rank %s, with learning rate %g: "
        "lower --lr or lengthen --warmup-epochs; the last "
        "checkpoint is from before",
        r->loss, (long long)dt_trainer_step_of(t, r), (long long)t->epoch + 1, used ? ranks : "none alone",
        r->lr);
}

/* The scale is at 1 long before so many. */
#define MAX_SKIPPED_IN_A_ROW 50

/* Skipped steps are the price of a scale that is as large as can be; told they are, but not each of a
 * series. */
static dt_status check_skipped(dt_trainer *t, const dt_step_result *r, dt_error *err)
{
    t->n_skipped_in_a_row = r->skipped ? t->n_skipped_in_a_row + 1 : 0;
    if (!r->skipped)
        return DT_OK;
    if (t->comm->rank == 0)
        dt_log_info(
            "step %lld was skipped: gradients overflowed; the loss scale is %g now (%lld skipped so far)",
            (long long)dt_trainer_step_of(t, r), r->loss_scale, (long long)r->n_skipped);
    if (t->n_skipped_in_a_row < MAX_SKIPPED_IN_A_ROW)
        return DT_OK;
    return dt_fail_shared(
        err, DT_ERR_NUMERIC,
        "gradients were not finite in %d steps in a row, up to step %lld, though the loss scale "
        "has come down to %g: lower --lr, or lengthen "
        "--warmup-epochs, or take --precision bf16; the last checkpoint is from before",
        MAX_SKIPPED_IN_A_ROW, (long long)dt_trainer_step_of(t, r), r->loss_scale);
}

/* Broken files of this epoch, over all ranks. */
static dt_status count_broken(dt_trainer *t, int64_t *n, dt_error *err)
{
    dt_source_stats stats = {0};
    t->parts->train->ops->stats(t->parts->train, &stats);
    *n = stats.n_broken;
    return t->comm->ops->all_reduce(t->comm, n, 1, DT_I64, DT_REDUCE_SUM, err);
}

/* A source stops when its own rank has found too many; here they count together. */
static dt_status check_broken(dt_trainer *t, dt_error *err)
{
    double share = (double)t->n_broken / (double)t->train.n_samples;
    if (share <= t->config->max_broken + 1e-9)
        return DT_OK;
    return dt_fail_shared(
        err, DT_ERR_DATA,
        "%lld of the %lld training files are broken: %.3g%%, and --max-broken allows %.3g%%; the "
        "log names them",
        (long long)t->n_broken, (long long)t->train.n_samples, 100.0 * share, 100.0 * t->config->max_broken);
}

static dt_status end_epoch(dt_trainer *t, dt_error *err)
{
    int64_t broken = 0;
    DT_TRY(count_broken(t, &broken, err)); /* another epoch may meet others: each leaves out what does not
                                              fill a batch */
    t->n_broken = broken > t->n_broken ? broken : t->n_broken;
    DT_TRY(check_broken(t, err));
    double elapsed = dt_clock_s() - t->epoch_start_s;
    dt_metrics_epoch m = {.epoch = t->epoch,
                          .step = t->step,
                          .mean_loss = t->epoch_steps ? t->epoch_loss / (double)t->epoch_steps : 0.0,
                          .mean_top1 = t->epoch_steps ? t->epoch_top1 / (double)t->epoch_steps : 0.0,
                          .elapsed_s = elapsed,
                          .images_per_s =
                              elapsed > 0.0 ? (double)(t->epoch_steps * t->global_batch) / elapsed : 0.0,
                          .n_images = t->epoch_steps * t->global_batch,
                          .n_broken = broken};
    TELL(t, epoch, &m);
    t->epoch++;
    t->position = 0;
    return DT_OK;
}

static bool crosses(double before, double after, double every)
{
    return every > 0.0 && floor(after / every + 1e-9) > floor(before / every + 1e-9);
}

static dt_status stopped(dt_trainer *t, dt_error *err)
{
    char why[320];
    DT_TRY(dt_trainer_why_stopped(t, why, sizeof why, err));
    return dt_trainer_stopped(t, why, err);
}

static dt_status take_result(dt_trainer *t, const dt_step_result *r, double seconds, dt_error *err)
{
    DT_TRY(check_finite(t, r, err));
    t->window[t->n_told % RATE_WINDOW] = seconds;
    t->training_s += seconds;
    t->images += t->global_batch;
    t->n_told++;
    t->epoch_loss += r->loss;
    t->epoch_top1 += r->top1;
    t->epoch_steps++;
    t->stop_seen = t->stop_seen || r->votes[DT_VOTE_STOP] > 0;
    t->save_seen = t->save_seen || r->votes[DT_VOTE_SAVE] > 0;
    dt_trainer_take_save_votes(t, r);
    dt_trainer_take_mirror_votes(t, r);
    dt_trainer_tell_step(t, r);
    return check_skipped(t, r, err);
}

/* The results that have come; the time since the last ones is theirs, in equal parts. */
static dt_status take_results(dt_trainer *t, bool drain, dt_error *err)
{
    dt_step_result results[DT_STEP_MAX_RESULTS];
    int64_t n = 0;
    DT_TRY(dt_step_results(t->step_runner, drain, results, DT_STEP_MAX_RESULTS, &n, err));
    const double now = dt_clock_s(), seconds = n ? (now - t->mark_s) / (double)n : 0.0;
    for (int64_t i = 0; i < n; i++)
        DT_TRY(take_result(t, &results[i], seconds, err));
    if (n)
        t->mark_s = now;
    return DT_OK;
}

static dt_status enqueue_step(dt_trainer *t, dt_error *err)
{
    const dt_trainer_parts *p = t->parts;
    if (dt_fault("train.step"))
        return dt_fail(err, DT_ERR_INTERNAL, "train.step: a fault was asked for at step %lld",
                       (long long)t->step + 1);
    float votes[DT_N_VOTES] = {0};
    dt_trainer_vote(t, votes);
    double lr = dt_schedule_lr(t->config, epochs_done(t), 1.0 / (double)t->steps_per_epoch,
                               (double)t->config->epochs);
    if (t->n_told == t->step - t->first_step) /* nothing is under way */
        t->mark_s = dt_clock_s();
    DT_TRY(bring_net_to(t, t->train_size, err)); /* in the first step of an epoch, or behind an evaluation:
                                                    nothing is under way */
    t->comm->step = t->step + 1;
    DT_TRY(dt_step_run(t->step_runner, p->train, lr, votes, err));
    t->step++;
    t->position += t->global_batch;
    return DT_OK;
}

/* What is done behind a step depends on its number, and on results that all ranks see after the same step. */
static dt_status one_step(dt_trainer *t, dt_error *err)
{
    const dt_config *c = t->config;
    double before = epochs_done(t);
    DT_TRY(enqueue_step(t, err));
    bool epoch_ends = t->train.n_samples - t->position < t->global_batch;
    bool is_last = t->step == t->total_steps; /* what follows the last one, finish() does */
    bool evaluates =
        !is_last && crosses(before, epoch_ends ? (double)t->epoch + 1.0 : epochs_done(t), c->eval_every);
    bool saves = !is_last && dt_trainer_save_is_due(t, epoch_ends);
    bool drains = epoch_ends || is_last || evaluates; /* a save does not: its copy is enqueued behind the
                                                         step */
    bool evaluated;
    DT_TRY(take_results(t, drains, err));
    if (t->stop_seen && !drains)
        DT_TRY(take_results(t, true, err));
    DT_TRY(dt_trainer_proceed_with_mirror(t, err)); /* first: the next one may follow at once */
    DT_TRY(dt_trainer_proceed_with_save(t, err));
    if (epoch_ends)
        DT_TRY(end_epoch(t, err));
    if (evaluates)
        DT_TRY(evaluate(t, &evaluated, err));
    saves = saves || t->save_seen;
    t->save_seen = false;
    if (saves && !is_last && !t->stop_seen) { /* those two write their own, if there is time */
        dt_trainer_save(t, false);
        DT_TRY(dt_trainer_check_failures(t, err));
    }
    dt_trainer_look_at_save(t);
    return t->stop_seen && !is_last ? stopped(t, err) : DT_OK;
}

static dt_status one_epoch(dt_trainer *t, dt_error *err)
{
    int64_t steps = (t->train.n_samples - t->position) / t->global_batch;
    int64_t epoch = t->epoch;
    if (steps < 1) { /* a cursor near the end, and a larger global batch than before */
        t->epoch++;
        t->position = 0;
        return DT_OK;
    }
    if (steps > t->total_steps - t->step)
        steps = t->total_steps - t->step;
    DT_TRY(choose_size(t, err));
    t->epoch_loss = t->epoch_top1 = 0.0;
    t->epoch_steps = 0;
    t->epoch_start_s = dt_clock_s();
    DT_TRY(t->parts->train->ops->start(t->parts->train, t->epoch, t->position, steps * t->config->accumulate,
                                       err));
    while (t->epoch == epoch && t->step < t->total_steps)
        DT_TRY(one_step(t, err));
    return DT_OK;
}

static dt_status finish(dt_trainer *t, dt_error *err)
{
    bool evaluated = false;
    DT_TRY(evaluate(t, &evaluated, err));
    if (!evaluated)
        return stopped(t, err); /* the next start evaluates, and is done */
    dt_trainer_save(t, true);
    dt_trainer_finish_mirror(t);
    if (t->save_status != DT_OK) {
        *err = t->save_error;
        dt_error_prefix(err, "the training is done, but its last checkpoint was not written");
        return dt_error_share(err, t->save_status); /* all ranks see the same failures */
    }
    return DT_OK;
}

static dt_status run(dt_trainer *t, dt_error *err)
{
    DT_TRY(dt_agree(t->comm, dt_trainer_plan(t, err), err));
    DT_TRY(dt_trainer_check_ranks(t, err));
    DT_TRY(dt_trainer_join_computed_by(t, err));
    DT_TRY(dt_trainer_create_step(t, err));
    DT_TRY(dt_trainer_broadcast(t, err));
    DT_TRY(dt_trainer_resume(t, err));
    DT_TRY(dt_trainer_create_saver(t, err));
    DT_TRY(dt_trainer_create_mirror(t, err));
    dt_trainer_plan_steps(t);
    t->first_step = t->step;
    t->next_auto_step = t->step + FIRST_AUTO_SAVE;
    t->start_s = dt_clock_s();
    dt_trainer_tell_start(t);
    while (t->epoch < t->config->epochs && t->step < t->total_steps)
        DT_TRY(one_epoch(t, err));
    return finish(t, err);
}

static void summarize(dt_trainer *t, bool stopped_on_request, dt_metrics_end *result)
{
    bool evaluated = t->last_evaluated_step >= 0;
    *result = (dt_metrics_end){.steps = t->step,
                               .epochs = t->epoch,
                               .elapsed_s = dt_clock_s() - t->start_s,
                               .images_per_s = t->training_s > 0.0 ? (double)t->images / t->training_s : 0.0,
                               .final_loss = evaluated ? t->last_eval.val_loss : -1.0,
                               .final_top1 = evaluated ? t->last_eval.val_top1 : -1.0,
                               .final_top5 = evaluated ? t->last_eval.val_top5 : -1.0,
                               .best_top1 = t->best_top1,
                               .n_broken = t->n_broken,
                               .stopped_on_request = stopped_on_request};
    TELL(t, end, result);
}

dt_status dt_trainer_run(const dt_trainer_parts *parts, dt_metrics_end *result, dt_error *err)
{
    dt_error own = {0};
    dt_trainer t = {.parts = parts,
                    .config = parts->config,
                    .comm = parts->comm,
                    .best_top1 = -1.0,
                    .last_saved_step = -1,
                    .committed_step = -1,
                    .told_step = -1,
                    .last_evaluated_step = -1};
    t.net_size = t.train_size = parts->config->image_size;
    dt_status status = run(&t, &own);
    if (status == DT_OK || status == DT_ERR_INTERRUPTED)
        summarize(&t, status != DT_OK, result);
    else if (err)
        *err = own;
    if (status == DT_ERR_INTERRUPTED && err)
        *err = own;
    dt_writer_destroy(t.mirror);
    dt_writer_destroy(t.saver);
    dt_trainer_tell_losses(parts);
    if (!dt_comm_device_is_lost(t.comm, status))
        dt_step_destroy(t.step_runner);
    return status;
}
