/* checkpointer.c: when checkpoints are written, what is done when one fails, and the last one. How they are
 * written: saver.h. */
#include "core/training/trainer_internal.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/checkpoint/save_interval.h"
#include "core/collective/agreement.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What the mirror copies must stay until it has. */
static int64_t keep(const dt_trainer *t)
{
    return t->parts->mirror && t->config->keep < 2 ? 2 : t->config->keep;
}

static dt_status create_saver(dt_trainer *t, dt_snapshot_memory *memory, dt_error *err)
{
    dt_state_io io = dt_net_state_io(t->parts->net);
    dt_state_addresses addresses = *io.addresses;
    addresses.loss = dt_step_get_local_loss(t->step_runner);
    addresses.step_state = t->scaling ? dt_step_get_state(t->step_runner) : NULL;
    io.addresses = &addresses;
    const dt_saver_options options = {.comm = t->comm,
                                      .store = t->parts->store,
                                      .per_host = t->parts->per_host,
                                      .keep = keep(t),
                                      .layout = dt_net_state_layout(t->parts->net),
                                      .io = &io};
    return dt_saver_create(&options, &t->saver, memory, err);
}

/* Nobody else writes here: launch/ holds the run folder's lock. */
dt_status dt_trainer_create_saver(dt_trainer *t, dt_error *err)
{
    dt_store *store = t->parts->store;
    dt_status status = DT_OK;
    dt_error why = {0};
    if (!store)
        return DT_OK;
    const bool cleans = t->parts->per_host ? t->comm->local_rank == 0 : t->comm->rank == 0;
    if (cleans)
        status = store->ops->clean(store, &why);
    /* What this host has of later steps is no whole checkpoint, and must not stand in the place of one when
     * older ones are removed. */
    if (cleans && status == DT_OK && t->parts->per_host && t->committed_step >= 0)
        status = store->ops->prune(store, t->committed_step, keep(t), &why);
    if (status != DT_OK)
        dt_log_warn("checkpoint: what an earlier start left unfinished was not removed: %s", why.message);
    dt_snapshot_memory memory = {0};
    status = create_saver(t, &memory, err);
    DT_TRY(dt_agree(t->comm, status, err));
    if (t->comm->rank == 0)
        dt_log_info(
            "checkpoints are written while training goes on, from a copy that takes %.1f MB on each rank%s",
            (double)memory.host_bytes / 1e6, memory.device_bytes ? ", and as much on its GPU" : "");
    return DT_OK;
}

static dt_status start_save(dt_trainer *t, dt_error *err)
{
    const dt_config *c = t->config;
    dt_manifest m = {.format_version = DT_MANIFEST_VERSION,
                     .step = t->step,
                     .epoch = t->epoch,
                     .position = t->position,
                     .seed = c->seed,
                     .loss_scale = 1.0, /* unless it is scaled: then the saver knows, when the step is done */
                     .n_good_steps = -1,
                     .world_size = t->comm->size,
                     .global_batch = t->global_batch,
                     .n_classes = t->train.n_classes,
                     .image_size = c->image_size,
                     .data_fingerprint = t->train.fingerprint,
                     .best_top1 = t->best_top1,
                     .computed_by = t->computed_by,
                     .config_text = dt_strdup(t->parts->config_text)};
    snprintf(m.arch, sizeof m.arch, "%s", t->parts->arch);
    dt_status status =
        m.config_text ? DT_OK
                      : dt_fail_memory(err, strlen(t->parts->config_text), "the checkpoint's configuration");
    status = dt_agree(t->comm, status, err);
    if (status == DT_OK)
        status = dt_writer_start(t->saver, &m, err);
    dt_manifest_clear(&m);
    t->written_seen = false;
    t->written_from = t->step;
    return status;
}

/* Rank 0: a checkpoint is there that the sinks have not been told of. */
static void tell_committed(dt_trainer *t, const dt_writer_progress *r)
{
    if (t->comm->rank != 0 || !r->committed || t->told_step == r->step)
        return;
    t->told_step = r->step;
    dt_metrics_checkpoint told = {.step = r->step, .bytes = r->bytes, .elapsed_s = r->write_s};
    snprintf(told.path, sizeof told.path, "%s", t->parts->store->ops->location(t->parts->store));
    TELL(t, checkpoint, &told);
}

bool dt_trainer_same_but_for_numbers(const char *a, const char *b)
{
    static const char digits[] = "0123456789.";
    for (;; a++, b++) {
        a += strspn(a, digits);
        b += strspn(b, digits);
        if (*a != *b)
            return false;
        if (!*a)
            return true;
    }
}

/* A failed write is told and leaves older checkpoints standing: the training goes on. All ranks see the same
 * failures. */
static void save_failed(dt_trainer *t, int64_t step, const dt_error *why)
{
    const bool again =
        t->n_save_failures > 0 && dt_trainer_same_but_for_numbers(why->message, t->save_error.message);
    t->n_save_failures++;
    if (t->last_saved_step == step)
        t->last_saved_step = -1;
    if (why != &t->save_error)
        t->save_error = *why;
    t->save_status = why->status;
    if (t->comm->rank != 0)
        return;
    if (again)
        dt_log_error("the checkpoint of step %lld was not written either, for the same reason (%lld failures "
                     "in a row)",
                     (long long)step, (long long)t->n_save_failures);
    else
        dt_log_error(
            "the checkpoint of step %lld was not written: %s (training goes on; older checkpoints stand)",
            (long long)step, why->message);
}

/* Young's and Daly's interval, of what rank 0 has measured, for all ranks. */
static dt_status choose_interval(dt_trainer *t, const dt_writer_progress *r, dt_error *err)
{
    int64_t steps = 1;
    const double rate = dt_trainer_images_per_s(t),
                 step_s = rate > 0.0 ? (double)t->global_batch / rate : 0.0,
                 mtti_s = t->config->mtti_h * 3600.0;
    if (t->comm->rank == 0 && step_s > 0.0) {
        const double interval_s = dt_save_interval_s(r->write_s > 1e-3 ? r->write_s : 1e-3, mtti_s);
        steps = interval_s / step_s < 1.0 ? 1 : (int64_t)(interval_s / step_s);
        if (t->next_auto_step == t->first_step + 2 * FIRST_AUTO_SAVE)
            dt_log_info("a checkpoint every %lld steps (%.0f s): one takes %.2f s, of which training waits "
                        "%.3f s; with an interruption every %g hours (--mtti) "
                        "%.2g%% of the time is lost",
                        (long long)steps, (double)steps * step_s, r->write_s, r->stall_s, t->config->mtti_h,
                        100.0 * dt_save_loss((double)steps * step_s, r->stall_s, r->write_s, mtti_s));
    }
    DT_TRY(t->comm->ops->broadcast(t->comm, &steps, sizeof steps, 0, err));
    t->next_auto_step = r->step + steps;
    return DT_OK;
}

/* Collective: what became of the checkpoint that was being written, if there is one; waits for it. goes_on:
 * else the end of the training sees to its copy. */
static void settle_save(dt_trainer *t, bool goes_on)
{
    dt_writer_progress r;
    dt_error why = {0};
    dt_writer_poll(t->saver, &r);
    if (!r.pending)
        return;
    dt_status status = dt_writer_finish(t->saver, INFINITY, &r, &why);
    if (status == DT_OK && t->config->checkpoint_every == DT_CHECKPOINT_AUTO)
        status = choose_interval(t, &r, &why);
    if (status != DT_OK) {
        save_failed(t, r.step, &why);
        return;
    }
    t->n_save_failures = 0;
    t->committed_step = r.step;
    t->write_s = r.write_s;
    tell_committed(t, &r);
    if (goes_on)
        dt_trainer_mirror_committed(t);
}

/* The same when the next one is due: it may have to wait. */
static void settle_late_save(dt_trainer *t)
{
    dt_writer_progress r;
    const double start = dt_clock_s();
    dt_writer_poll(t->saver, &r);
    settle_save(t, true);
    if (r.pending && t->step != r.step && t->comm->rank == 0 && dt_clock_s() - start > 0.1)
        dt_log_warn("checkpoint: the one of step %lld was still being written when the next was due: "
                    "training waited %.1f s",
                    (long long)r.step, dt_clock_s() - start);
}

void dt_trainer_take_save_votes(dt_trainer *t, const dt_step_result *r)
{
    const bool counts = dt_trainer_step_of(t, r) > t->written_from;
    t->written_seen = t->written_seen || (counts && r->votes[DT_VOTE_WRITTEN] == t->comm->size);
}

dt_status dt_trainer_proceed_with_save(dt_trainer *t, dt_error *err)
{
    if (!t->written_seen)
        return DT_OK;
    t->written_seen = false;
    t->written_from = t->step;
    if (!dt_writer_has_exchanged(t->saver))
        return dt_writer_exchange_shards(t->saver, INFINITY, err);
    settle_save(t, true);
    return dt_trainer_check_failures(t, err);
}

static bool too_many_failures(const dt_trainer *t)
{
    const int64_t most = t->config->max_checkpoint_failures;
    return most > 0 && t->n_save_failures >= most;
}

void dt_trainer_save(dt_trainer *t, bool wait)
{
    if (!t->parts->store)
        return;
    if (t->last_saved_step != t->step) {
        dt_error why = {0};
        settle_late_save(t); /* one at a time */
        if (too_many_failures(t))
            return; /* the training ends */
        t->save_status = start_save(t, &why);
        if (t->save_status == DT_OK)
            t->last_saved_step = t->step;
        else
            save_failed(t, t->step, &why);
    }
    if (wait)
        settle_save(t, false);
}

bool dt_trainer_save_is_due(dt_trainer *t, bool epoch_ends)
{
    const int64_t every = t->config->checkpoint_every;
    if (!t->parts->store)
        return false;
    if (every != DT_CHECKPOINT_AUTO)
        return every > 0 ? t->step % every == 0 : epoch_ends;
    if (t->step < t->next_auto_step)
        return false;
    const int64_t was = t->next_auto_step;
    settle_late_save(t); /* tells the interval */
    if (t->next_auto_step == was)
        t->next_auto_step = was + FIRST_AUTO_SAVE;
    return t->step >= t->next_auto_step || t->next_auto_step == was + FIRST_AUTO_SAVE;
}

dt_status dt_trainer_check_failures(dt_trainer *t, dt_error *err)
{
    if (!too_many_failures(t))
        return DT_OK;
    return dt_fail_shared(
        err, DT_ERR_IO,
        "%lld checkpoints in a row could not be written (--max-checkpoint-failures %lld), the "
        "last because of: %.800s",
        (long long)t->n_save_failures, (long long)t->config->max_checkpoint_failures, t->save_error.message);
}

/* Ranks may know different deadlines; the nearest counts. */
static dt_status time_to_save(dt_trainer *t, bool *enough, double *left_s, double *write_s, dt_error *err)
{
    dt_events *e = t->parts->events;
    double least[2] = {e && e->ops->seconds_left ? e->ops->seconds_left(e) : INFINITY, -t->write_s};
    DT_TRY(t->comm->ops->all_reduce(t->comm, least, 2, DT_F64, DT_REDUCE_MIN, err));
    *left_s = least[0];
    *write_s = -least[1];
    *enough = *left_s > 1.25 * *write_s || t->committed_step < 0; /* with nothing there, try */
    return DT_OK;
}

/* A request to stop: write what there is time for. */
dt_status dt_trainer_stopped(dt_trainer *t, const char *why, dt_error *err)
{
    bool enough = true;
    double left_s = INFINITY, write_s = 0.0;
    if (t->parts->store)
        settle_save(t, false); /* what is nearly written comes first */
    if (t->parts->store && t->last_saved_step != t->step)
        DT_TRY(time_to_save(t, &enough, &left_s, &write_s, err));
    if (enough)
        dt_trainer_save(t, true);
    dt_trainer_finish_mirror(t);
    if (!t->parts->store)
        return dt_fail_shared(err, DT_ERR_INTERRUPTED, "stopped on %s after step %lld; no checkpoint is kept",
                              why, (long long)t->step);
    if (!enough)
        return dt_fail_shared(
            err, DT_ERR_INTERRUPTED,
            "stopped on %s after step %lld; %.0f s are left and a checkpoint takes %.0f s, so "
            "none was written: the one of step %lld stands",
            why, (long long)t->step, left_s, write_s, (long long)t->committed_step);
    if (t->save_status != DT_OK)
        return dt_fail_shared(err, DT_ERR_IO,
                              "stopped on %s after step %lld, but the checkpoint was not written: %.700s",
                              why, (long long)t->step, t->save_error.message);
    return dt_fail_shared(err, DT_ERR_INTERRUPTED,
                          "stopped on %s after step %lld; the same command goes on from %s", why,
                          (long long)t->step, t->parts->store->ops->location(t->parts->store));
}

void dt_trainer_look_at_save(dt_trainer *t)
{
    dt_writer_progress r;
    if (!t->parts->store || t->comm->rank != 0)
        return;
    dt_writer_poll(t->saver, &r);
    tell_committed(t, &r);
}
