/* stop.c: requests from outside: how this rank votes, how early the end must be thought of, and why
 * it was. */
#include "core/training/trainer_internal.h"

#include "core/base/log.h"

#include <math.h>
#include <stdio.h>

#define GUESSED_BYTES_PER_S 50e6 /* of a first checkpoint, until one has been measured: a busy network disk */
#define CAUTION 1.5              /* the next one may be slower than the last */

static double step_s(const dt_trainer *t)
{
    const double rate = dt_trainer_images_per_s(t);
    return rate > 0.0 ? (double)t->global_batch / rate : 0.0;
}

/* One write, as measured or else guessed; two where one is under way, which comes first. */
static double one_or_two(const dt_trainer *t, double measured_s, bool pending)
{
    const double guessed_s =
        (double)dt_net_state_layout(t->parts->net)->n_elems * sizeof(float) / GUESSED_BYTES_PER_S;
    return (measured_s > 0.0 ? measured_s : guessed_s) * (pending ? 2.0 : 1.0);
}

/* A checkpoint and its copy in the mirror. */
static double write_s(const dt_trainer *t)
{
    dt_writer_progress r;
    dt_writer_progress copy;
    double seconds = 0.0;
    if (!t->parts->store)
        return 0.0;
    dt_writer_poll(t->saver, &r);
    seconds += one_or_two(t, t->write_s, r.pending);
    if (t->mirror) {
        dt_writer_poll(t->mirror, &copy);
        seconds += one_or_two(t, t->mirror_s, copy.pending);
    }
    return seconds;
}

/* A vote is seen behind its step; where results come later, behind some more. */
static double reserve_s(const dt_trainer *t)
{
    const bool lags = t->step - t->first_step > t->n_told;
    return CAUTION * (step_s(t) * (lags ? 2 * DT_STEP_LAG + 1 : 2) + write_s(t)) + LEAVING_S;
}

static const char *ask(const dt_trainer *t, double needed_s)
{
    dt_events *e = t->parts->events;
    if (e && e->ops->reserve)
        e->ops->reserve(e, needed_s);
    return e ? e->ops->stop_requested(e) : NULL;
}

void dt_trainer_vote(dt_trainer *t, float votes[DT_N_VOTES])
{
    dt_events *e = t->parts->events;
    votes[DT_VOTE_STOP] = ask(t, reserve_s(t)) ? 1.0f : 0.0f;
    votes[DT_VOTE_SAVE] = e && e->ops->save_requested && e->ops->save_requested(e) ? 1.0f : 0.0f;
    votes[DT_VOTE_WRITTEN] = t->saver && dt_writer_is_ready(t->saver) ? 1.0f : 0.0f;
    votes[DT_VOTE_MIRRORED] = t->mirror && dt_writer_is_ready(t->mirror) ? 1.0f : 0.0f;
}

dt_status dt_trainer_time_to_evaluate(dt_trainer *t, bool *enough, dt_error *err)
{
    dt_events *e = t->parts->events;
    dt_source_info val = {0};
    t->parts->val->ops->info(t->parts->val, &val);
    const bool measured = t->last_evaluated_step >= 0;
    const double takes_s =
        measured ? t->last_eval.elapsed_s : (double)val.n_samples * step_s(t) / (double)t->global_batch;
    double spare_s =
        e && e->ops->seconds_left ? e->ops->seconds_left(e) - CAUTION * takes_s - reserve_s(t) : INFINITY;
    /* ranks may know different ends */
    DT_TRY(t->comm->ops->all_reduce(t->comm, &spare_s, 1, DT_F64, DT_REDUCE_MIN, err));
    *enough = spare_s > 0.0;
    if (*enough)
        return DT_OK;
    (void)ask(t, INFINITY); /* whoever knows of an end says so now, if it is asked why */
    if (t->comm->rank == 0)
        dt_log_info("no evaluation after step %lld: it takes about %.0f s, and there is no time for it "
                    "before the end",
                    (long long)t->step, takes_s);
    return DT_OK;
}

dt_status dt_trainer_why_stopped(dt_trainer *t, char *why, size_t why_bytes, dt_error *err)
{
    const dt_events *e = t->parts->events;
    const char *mine = e ? e->ops->stop_requested(t->parts->events) : NULL;
    struct {
        char text[192], host[64];
    } told = {.text = "a request that was taken back"};
    int64_t first = mine ? t->comm->rank : t->comm->size;
    DT_TRY(t->comm->ops->all_reduce(t->comm, &first, 1, DT_I64, DT_REDUCE_MIN, err));
    const bool somebody = first < t->comm->size;
    if (mine)
        snprintf(told.text, sizeof told.text, "%s", mine);
    snprintf(told.host, sizeof told.host, "%s", t->comm->host);
    if (somebody)
        DT_TRY(t->comm->ops->broadcast(t->comm, &told, sizeof told, (int)first, err));
    if (somebody && first > 0)
        snprintf(why, why_bytes, "%s (rank %lld on %s)", told.text, (long long)first, told.host);
    else
        snprintf(why, why_bytes, "%s", told.text);
    return DT_OK;
}
