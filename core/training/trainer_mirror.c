/* trainer_mirror.c: the second copy of checkpoints: when one is begun, what is done when it fails, how long
 * the end waits for it. How they are copied: mirror.h. Whatever happens to it, the training goes on, and its
 * own checkpoints count. */
#include "core/training/trainer_internal.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/collective/agreement.h"

#include <math.h>
#include <stdio.h>

dt_status dt_trainer_create_mirror(dt_trainer *t, dt_error *err)
{
    dt_store *to = t->parts->mirror;
    dt_error why = {0};
    if (!to)
        return DT_OK;
    if (t->comm->rank == 0 && to->ops->clean(to, &why) != DT_OK)
        dt_log_warn("mirror: what an earlier start left unfinished was not removed: %s", why.message);
    t->mirror_step = -1;
    return dt_agree(t->comm, dt_mirror_create(t->comm, t->parts->store, to, t->config->keep, &t->mirror, err),
                    err);
}

static const char *location(const dt_trainer *t)
{
    return t->parts->mirror->ops->location(t->parts->mirror);
}

static void tell(dt_trainer *t, const dt_writer_progress *r, const char *error)
{
    dt_metrics_checkpoint told = {.step = r->step, .bytes = r->bytes, .elapsed_s = r->write_s};
    if (t->comm->rank != 0)
        return;
    snprintf(told.path, sizeof told.path, "%s", location(t));
    snprintf(told.error, sizeof told.error, "%s", error);
    TELL(t, mirror, &told);
}

/* Each reason once in full. All ranks see the same failures. */
static void copy_failed(dt_trainer *t, const dt_writer_progress *r, const dt_error *why)
{
    const bool again =
        t->n_mirror_failures > 0 && dt_trainer_same_but_for_numbers(why->message, t->mirror_error.message);
    t->n_mirror_failures++;
    t->mirror_error = *why;
    tell(t, r, why->message);
    if (t->comm->rank != 0)
        return;
    if (again)
        dt_log_warn(
            "mirror: the checkpoint of step %lld was not copied either, for the same reason (%lld in a row)",
            (long long)r->step, (long long)t->n_mirror_failures);
    else
        dt_log_warn("mirror: the checkpoint of step %lld was not copied to %s: %s (training goes on; the "
                    "checkpoint itself stands)",
                    (long long)r->step, location(t), why->message);
}

static dt_status settle(dt_trainer *t, double until_s)
{
    dt_writer_progress r;
    dt_error why = {0};
    dt_writer_poll(t->mirror, &r);
    if (!r.pending)
        return DT_OK;
    const dt_status status = dt_writer_finish(t->mirror, until_s, &r, &why);
    if (status != DT_OK) {
        copy_failed(t, &r, &why);
        return status;
    }
    t->n_mirror_failures = 0;
    t->mirror_s = r.write_s;
    tell(t, &r, "");
    return DT_OK;
}

static void start(dt_trainer *t, const dt_manifest *m)
{
    dt_error why = {0};
    t->mirror_step = m->step;
    if (dt_writer_start(t->mirror, m, &why) != DT_OK)
        copy_failed(t, &(dt_writer_progress){.step = m->step}, &why);
    t->mirrored_seen = false;
    t->mirrored_from = t->step;
}

void dt_trainer_mirror_committed(dt_trainer *t)
{
    dt_writer_progress r;
    char why[256];
    const dt_manifest *m = t->mirror ? dt_writer_get_manifest(t->saver) : NULL;
    if (!m)
        return;
    dt_writer_poll(t->mirror, &r);
    if (!r.pending) {
        start(t, m);
        return;
    }
    snprintf(why, sizeof why, "still busy with that of step %lld", (long long)r.step);
    tell(t, &(dt_writer_progress){.step = m->step}, why);
    if (t->comm->rank == 0 && !t->mirror_busy_told)
        dt_log_warn("mirror: the checkpoint of step %lld is not copied: %s is %s; from now on such are only "
                    "told in metrics.jsonl",
                    (long long)m->step, location(t), why);
    t->mirror_busy_told = true;
}

void dt_trainer_take_mirror_votes(dt_trainer *t, const dt_step_result *r)
{
    const bool counts = dt_trainer_step_of(t, r) > t->mirrored_from;
    t->mirrored_seen = t->mirrored_seen || (counts && r->votes[DT_VOTE_MIRRORED] == t->comm->size);
}

dt_status dt_trainer_proceed_with_mirror(dt_trainer *t, dt_error *err)
{
    if (!t->mirrored_seen)
        return DT_OK;
    t->mirrored_seen = false;
    t->mirrored_from = t->step;
    if (!dt_writer_has_exchanged(t->mirror))
        return dt_writer_exchange_shards(t->mirror, INFINITY, err);
    (void)settle(t, INFINITY); /* has told */
    return DT_OK;
}

void dt_trainer_finish_mirror(dt_trainer *t)
{
    dt_events *e = t->parts->events;
    if (!t->mirror)
        return;
    const double left_s = e && e->ops->seconds_left ? e->ops->seconds_left(e) : INFINITY,
                 until_s = dt_clock_s() + left_s - LEAVING_S;
    const dt_manifest *m = dt_writer_get_manifest(t->saver);
    if (settle(t, until_s) == DT_ERR_TIMEOUT || !m || m->step == t->mirror_step)
        return;
    start(t, m);
    (void)settle(t, until_s);
}
