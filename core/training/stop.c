#include "core/training/stop.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/collective/agreement.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CAUTION 1.5   /* the next checkpoint, or evaluation, may be slower than the last */
#define LEAVING_S 5.0 /* to free memory, end MPI, and for the launcher to notice */

/* -- requests and time ----------------------------------------------------------------------------------- */

static double seconds_left(const dt_stop *s)
{
    dt_events *e = s->training->parts->events;
    return e && e->ops->seconds_left ? e->ops->seconds_left(e) : INFINITY;
}

/* A vote is known after its step; where results come later, after some more. */
static double reserve_s(const dt_stop *s)
{
    const dt_training *t = s->training;
    const bool lags = t->step - t->first_step > s->report->n_steps;
    return CAUTION * (dt_report_step_s(s->report) * (lags ? 2 * DT_STEP_LAG + 1 : 2) +
                      dt_checkpointer_reserve_s(s->checkpointer)) +
           LEAVING_S;
}

/* The reason to stop, or NULL. */
static const char *ask(const dt_stop *s, double needed_s)
{
    dt_events *e = s->training->parts->events;
    if (e && e->ops->reserve)
        e->ops->reserve(e, needed_s);
    return e ? e->ops->stop_requested(e) : NULL;
}

void dt_stop_vote(const dt_stop *s, float votes[DT_N_VOTES])
{
    dt_events *e = s->training->parts->events;
    votes[DT_VOTE_STOP] = ask(s, reserve_s(s)) ? 1.0f : 0.0f;
    votes[DT_VOTE_SAVE] = e && e->ops->save_requested && e->ops->save_requested(e) ? 1.0f : 0.0f;
}

void dt_stop_note(dt_stop *s, const dt_step_result *r)
{
    s->stop_requested = s->stop_requested || r->votes[DT_VOTE_STOP] > 0;
    s->save_requested = s->save_requested || r->votes[DT_VOTE_SAVE] > 0;
}

dt_status dt_stop_has_time_to_evaluate(const dt_stop *s, bool *enough, dt_error *err)
{
    const dt_trainer_parts *p = s->training->parts;
    const dt_metrics_eval *last = &s->report->last_eval;
    dt_source_info val = {0};
    p->val->ops->info(p->val, &val);
    const double step_s = dt_report_step_s(s->report),
                 takes_s = last->n > 0 ? last->elapsed_s
                                       : (double)val.n_samples * step_s / (double)s->training->global_batch;
    double spare_s = seconds_left(s) - CAUTION * takes_s - reserve_s(s);
    /* ranks may know different ends */
    DT_TRY(p->comm->ops->all_reduce(p->comm, &spare_s, 1, DT_F64, DT_REDUCE_MIN, err));
    *enough = spare_s > 0.0;
    if (*enough)
        return DT_OK;
    (void)ask(s, INFINITY); /* a rank that knows of an end now gives it as the reason to stop */
    if (p->comm->rank == 0)
        dt_log_info("no evaluation after step %lld: it takes about %.0f s, and there is no time for it "
                    "before the end",
                    (long long)s->training->step, takes_s);
    return DT_OK;
}

double dt_stop_deadline_s(const dt_stop *s)
{
    return dt_clock_s() + seconds_left(s) - LEAVING_S;
}

/* -- the stop -------------------------------------------------------------------------------------------- */

/* A request that all ranks know of. */
typedef struct reason {
    char text[320]; /* "SIGTERM", "SIGTERM (rank 1 on node2)" */
    bool is_limit;  /* the next start has it again */
} reason;

/* Collective: the request of the lowest rank that has one; `mine` is this rank's, or NULL. *found: some rank
 * has one. */
static dt_status find_reason(const dt_stop *s, const char *mine, bool *found, reason *r, dt_error *err)
{
    dt_comm *comm = s->training->parts->comm;
    dt_events *e = s->training->parts->events;
    struct {
        char text[192], host[64];
        bool is_limit;
    } sent;
    int64_t first = mine ? comm->rank : comm->size;
    memset(&sent, 0, sizeof sent); /* all of it is sent */
    DT_TRY(comm->ops->all_reduce(comm, &first, 1, DT_I64, DT_REDUCE_MIN, err));
    *found = first < comm->size;
    snprintf(sent.text, sizeof sent.text, "%s", mine ? mine : "a request that was withdrawn");
    snprintf(sent.host, sizeof sent.host, "%s", comm->host);
    sent.is_limit = mine && e->ops->is_limit && e->ops->is_limit(e);
    if (*found)
        DT_TRY(comm->ops->broadcast(comm, &sent, sizeof sent, (int)first, err));
    if (*found && first > 0)
        snprintf(r->text, sizeof r->text, "%s (rank %lld on %s)", sent.text, (long long)first, sent.host);
    else
        snprintf(r->text, sizeof r->text, "%s", sent.text);
    r->is_limit = sent.is_limit;
    return DT_OK;
}

dt_status dt_stop_before_first_step(const dt_stop *s, dt_error *err)
{
    dt_events *e = s->training->parts->events;
    bool found = false;
    reason why;
    if (!e || !e->ops->start_stop_requested)
        return DT_OK;
    DT_TRY(dt_agree(s->training->parts->comm, dt_guard_check(s->training->parts->guard, err), err));
    DT_TRY(find_reason(s, e->ops->start_stop_requested(e), &found, &why, err));
    if (!found && e->ops->begin)
        e->ops->begin(e);
    if (!found)
        return DT_OK;
    if (why.is_limit)
        return dt_fail_shared(
            err, DT_ERR_USAGE,
            "%s is too short: it has passed before the first step, and a restart would come "
            "no further; give it more time",
            why.text);
    return dt_fail_shared(
        err, DT_ERR_INTERRUPTED,
        "stopped on %s before the first step; nothing was lost, and the same command starts again", why.text);
}

/* Is there time for a checkpoint? Ranks may know different deadlines; the nearest counts, and the slowest
 * rank's write. */
static dt_status has_time_to_save(const dt_stop *s, const dt_checkpointer_state *state, bool *enough,
                                  double *left_s, double *write_s, dt_error *err)
{
    dt_comm *comm = s->training->parts->comm;
    double least[2] = {seconds_left(s), -state->write_s};
    DT_TRY(comm->ops->all_reduce(comm, least, 2, DT_F64, DT_REDUCE_MIN, err));
    *left_s = least[0];
    *write_s = -least[1];
    *enough = *left_s > 1.25 * *write_s || state->committed_step < 0; /* with nothing there, try */
    return DT_OK;
}

/* The error of a stop that has written no checkpoint, for lack of time. */
static dt_status fail_late(const dt_stop *s, const reason *why, int64_t newest, double left_s, double write_s,
                           dt_error *err)
{
    const dt_training *t = s->training;
    return dt_fail_shared(err, DT_ERR_INTERRUPTED,
                          "stopped on %s after step %lld; %.0f s are left and a checkpoint takes %.0f s, so "
                          "none was written: the newest is that of step %lld",
                          why->text, (long long)t->step, left_s, write_s, (long long)newest);
}

/* The error of a start that a limit has ended, and that leaves no more than it found. */
static dt_status fail_without_progress(const dt_stop *s, const reason *why, dt_error *err)
{
    const dt_training *t = s->training;
    return dt_fail_shared(
        err, DT_ERR_USAGE,
        "%s is too short: it has ended this start after step %lld, without a checkpoint that is newer than "
        "that of step %lld, and a restart would come no further; give it more time (a step takes %.2g s, a "
        "checkpoint %.2g s)",
        why->text, (long long)t->step, (long long)t->resumed_step, dt_report_step_s(s->report),
        dt_checkpointer_reserve_s(s->checkpointer));
}

dt_status dt_stop_now(dt_stop *s, dt_error *err)
{
    const dt_training *t = s->training;
    dt_store *store = t->parts->store;
    dt_events *e = t->parts->events;
    bool enough = true, found = false;
    double left_s = INFINITY, write_s = 0.0;
    reason why;
    dt_error save_error = {0};
    DT_TRY(dt_agree(t->parts->comm, dt_guard_check(t->parts->guard, err), err));
    DT_TRY(find_reason(s, e ? e->ops->stop_requested(e) : NULL, &found, &why, err));
    dt_checkpointer_wait(s->checkpointer); /* what is nearly written comes first */
    const dt_checkpointer_state state = dt_checkpointer_get_state(s->checkpointer);
    if (store && state.started_step != t->step)
        DT_TRY(has_time_to_save(s, &state, &enough, &left_s, &write_s, err));
    dt_status status = enough ? dt_checkpointer_save(s->checkpointer, true, &save_error) : DT_OK;
    dt_checkpointer_finish(s->checkpointer, dt_stop_deadline_s(s));
    if (!store)
        return dt_fail_shared(err, DT_ERR_INTERRUPTED, "stopped on %s after step %lld; no checkpoint is kept",
                              why.text, (long long)t->step);
    if (status != DT_OK)
        return dt_fail_shared(err, status == DT_ERR_NUMERIC ? status : DT_ERR_IO,
                              "stopped on %s after step %lld, but the checkpoint was not written: %.700s",
                              why.text, (long long)t->step, save_error.message);
    if (why.is_limit && (enough ? t->step : state.committed_step) <= t->resumed_step)
        return fail_without_progress(s, &why, err);
    if (!enough)
        return fail_late(s, &why, state.committed_step, left_s, write_s, err);
    return dt_fail_shared(err, DT_ERR_INTERRUPTED, "stopped on %s after step %lld; %s goes on from %s",
                          why.text, (long long)t->step,
                          t->parts->resumes_by ? t->parts->resumes_by : "the same command",
                          store->ops->location(store));
}
