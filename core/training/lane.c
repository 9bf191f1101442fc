#include "core/training/lane.h"

#include "core/base/log.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define GUESSED_BYTES_PER_S 50e6 /* of a first checkpoint, until one has been measured: a busy network disk */

static bool is_root(const dt_lane *l)
{
    return l->training->parts->comm->rank == 0;
}

/* -- reports --------------------------------------------------------------------------------------------- */

void dt_lane_report_committed(dt_lane *l, const dt_writer_progress *p)
{
    dt_metrics_checkpoint m = {.step = p->step, .bytes = p->bytes, .elapsed_s = p->write_s};
    if (!is_root(l) || !p->committed || l->reported_step == p->step)
        return;
    l->reported_step = p->step;
    dt_report_checkpoint(l->report, &m);
}

/* Rank 0: report a copy in the mirror, or why there is none (error is not ""). */
static void report_copy(const dt_lane *l, const dt_writer_progress *p, const char *error)
{
    dt_metrics_checkpoint m = {.step = p->step, .bytes = p->bytes, .elapsed_s = p->write_s};
    snprintf(m.error, sizeof m.error, "%s", error);
    if (is_root(l))
        dt_report_mirror(l->report, &m);
}

void dt_lane_skip(dt_lane *l, int64_t step, int64_t busy_with)
{
    char why[256];
    dt_store *mirror = l->training->parts->mirror;
    snprintf(why, sizeof why, "still busy with that of step %lld", (long long)busy_with);
    report_copy(l, &(dt_writer_progress){.step = step}, why);
    if (is_root(l) && !l->skip_was_logged)
        dt_log_warn("mirror: the checkpoint of step %lld is not copied: %s is %s; later ones that are "
                    "skipped are only reported in metrics.jsonl",
                    (long long)step, mirror->ops->location(mirror), why);
    l->skip_was_logged = true;
}

/* -- failures -------------------------------------------------------------------------------------------- */

/* Two messages of one reason often differ in the step in a path, or in the bytes that are free. */
static bool same_but_for_numbers(const char *a, const char *b)
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

static void log_failed_save(const dt_lane *l, int64_t step, bool again)
{
    if (again)
        dt_log_error("the checkpoint of step %lld was not written either, for the same reason (%lld failures "
                     "in a row)",
                     (long long)step, (long long)l->n_failures);
    else
        dt_log_error("the checkpoint of step %lld was not written: %s (%solder checkpoints stand)",
                     (long long)step, l->last.message,
                     l->last.status == DT_ERR_NUMERIC ? "" : "training goes on; ");
}

static void log_failed_copy(const dt_lane *l, int64_t step, bool again)
{
    dt_store *mirror = l->training->parts->mirror;
    if (again)
        dt_log_warn(
            "mirror: the checkpoint of step %lld was not copied either, for the same reason (%lld in a row)",
            (long long)step, (long long)l->n_failures);
    else
        dt_log_warn("mirror: the checkpoint of step %lld was not copied to %s: %s (training goes on; the "
                    "checkpoint itself stands)",
                    (long long)step, mirror->ops->location(mirror), l->last.message);
}

void dt_lane_fail(dt_lane *l, const dt_writer_progress *p, const dt_error *why)
{
    const bool again = l->n_failures > 0 && same_but_for_numbers(why->message, l->last.message);
    l->n_failures++;
    l->last = *why;
    if (l->is_mirror)
        report_copy(l, p, why->message);
    else if (l->started_step == p->step)
        l->started_step = -1; /* the training's end saves its last step once more */
    if (!is_root(l))
        return;
    if (l->is_mirror)
        log_failed_copy(l, p->step, again);
    else
        log_failed_save(l, p->step, again);
}

/* -- phases ---------------------------------------------------------------------------------------------- */

float dt_lane_vote(const dt_lane *l)
{
    return l->writer && dt_writer_is_ready(l->writer) ? 1.0f : 0.0f;
}

void dt_lane_note(dt_lane *l, int64_t step, int64_t n_ready)
{
    if (step > l->asked_at_step && n_ready == l->training->parts->comm->size)
        l->all_ready = true;
}

void dt_lane_poll(const dt_lane *l, dt_writer_progress *p)
{
    *p = (dt_writer_progress){0};
    if (l->writer)
        dt_writer_poll(l->writer, p);
}

void dt_lane_start(dt_lane *l, const dt_manifest *m)
{
    dt_error why = {0};
    l->started_step = m->step;
    l->all_ready = false;
    l->asked_at_step = l->training->step;
    if (dt_writer_start(l->writer, m, &why) != DT_OK)
        dt_lane_fail(l, &(dt_writer_progress){.step = m->step}, &why);
}

dt_status dt_lane_advance(dt_lane *l, bool *finishes, dt_error *err)
{
    *finishes = l->all_ready && dt_writer_has_exchanged(l->writer);
    if (!l->all_ready)
        return DT_OK;
    l->all_ready = false;
    l->asked_at_step = l->training->step;
    return *finishes ? DT_OK : dt_writer_exchange_shards(l->writer, INFINITY, err);
}

dt_status dt_lane_finish(dt_lane *l, double until_s, dt_writer_progress *p)
{
    dt_error why = {0};
    dt_lane_poll(l, p);
    if (!p->pending)
        return DT_OK;
    const dt_status status = dt_writer_finish(l->writer, until_s, p, &why);
    if (status != DT_OK) {
        dt_lane_fail(l, p, &why);
        return status;
    }
    l->n_failures = 0;
    l->last_s = p->write_s;
    if (l->is_mirror)
        report_copy(l, p, "");
    else
        dt_lane_report_committed(l, p);
    return DT_OK;
}

double dt_lane_reserve_s(const dt_lane *l)
{
    dt_writer_progress p;
    if (!l->writer)
        return 0.0;
    const double state_bytes = (double)dt_net_state_layout(l->training->parts->net)->n_elems * sizeof(float);
    dt_lane_poll(l, &p);
    return (l->last_s > 0.0 ? l->last_s : state_bytes / GUESSED_BYTES_PER_S) * (p.pending ? 2.0 : 1.0);
}
