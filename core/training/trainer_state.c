#include "core/training/trainer_internal.h"

#include "core/base/log.h"
#include "core/checkpoint/load.h"
#include "core/collective/agreement.h"

#include <string.h>

/* A training that was not scaled before begins as a new one does. */
static dt_status restore_loss_scale(const dt_trainer *t, const dt_manifest *m, dt_error *err)
{
    const dt_loss_scale scale = {m->loss_scale, m->n_good_steps, m->n_skipped_steps};
    return t->scaling && m->n_good_steps >= 0 ? dt_step_set_loss_scale(t->step_runner, &scale, err) : DT_OK;
}

/* Does a checkpoint fit this run? */
static dt_status accept_checkpoint(void *context, const dt_manifest *m, dt_error *err)
{
    const dt_trainer *t = context;
    const dt_config *c = t->config;
    const char *mend = "take another --out, or --resume never to start anew";
    if (strcmp(m->arch, t->parts->arch) != 0)
        return dt_fail(err, DT_ERR_USAGE, "the checkpoint of step %lld is of %s, and --arch says %s: %s",
                       (long long)m->step, m->arch, t->parts->arch, mend);
    if (m->n_classes != t->train.n_classes)
        return dt_fail(err, DT_ERR_USAGE,
                       "the checkpoint of step %lld knows %lld classes, and the data has %lld: %s",
                       (long long)m->step, (long long)m->n_classes, (long long)t->train.n_classes, mend);
    if (m->data_fingerprint != t->train.fingerprint)
        return dt_fail(err, DT_ERR_USAGE,
                       "the checkpoint of step %lld was made with other training data than %s: %s",
                       (long long)m->step, c->data[0] ? c->data : "the demo's", mend);
    if (m->seed != c->seed)
        return dt_fail(err, DT_ERR_USAGE,
                       "the checkpoint of step %lld has seed %llu, and --seed says %llu: %s",
                       (long long)m->step, (unsigned long long)m->seed, (unsigned long long)c->seed, mend);
    return DT_OK;
}

/* Warn if something else computes now than before the checkpoint: then the promise of the same bits does not
 * hold. */
static void report_other_computer(const dt_trainer *t, const dt_manifest *m)
{
    char was[400], is[400];
    const bool known = m->computed_by.n > 0 && t->computed_by.n > 0; /* older formats do not say */
    if (t->comm->rank == 0 && known &&
        dt_computed_by_compare(&m->computed_by, &t->computed_by, was, is, sizeof was))
        dt_log_warn("step %lld was computed with %s, this start computes with %s: training goes on "
                    "correctly, but later bits may differ from those of an "
                    "uninterrupted run",
                    (long long)m->step, was, is);
}

/* Go on where the newest whole checkpoint stopped, if there is one. */
dt_status dt_trainer_resume(dt_trainer *t, dt_error *err)
{
    const dt_config *c = t->config;
    if (!t->parts->store || c->resume == DT_RESUME_NEVER)
        return DT_OK;
    bool found = false;
    dt_manifest m = {0};
    const dt_state_io io = dt_net_state_io(t->parts->net);
    const dt_checkpoint_location place = {
        .store = t->parts->store, .mirror = t->parts->mirror, .per_host = t->parts->per_host};
    DT_TRY(dt_checkpoint_load(t->comm, &place, dt_net_state_layout(t->parts->net), &io, accept_checkpoint, t,
                              &m, &found, err));
    if (found) {
        t->step = m.step;
        t->epoch = m.epoch;
        t->position = m.position;
        t->best_top1 = m.best_top1;
        t->last_saved_step = t->committed_step = t->told_step = m.step;
        if (t->comm->rank == 0)
            dt_log_info("going on after step %lld, epoch %lld, from %s", (long long)m.step,
                        (long long)m.epoch + 1, t->parts->store->ops->location(t->parts->store));
        if (m.global_batch != t->global_batch && t->comm->rank == 0)
            dt_log_warn("the global batch was %lld when the checkpoint was made and is %lld now",
                        (long long)m.global_batch, (long long)t->global_batch);
        report_other_computer(t, &m);
    }
    dt_status status = found ? restore_loss_scale(t, &m, err) : DT_OK;
    dt_manifest_clear(&m);
    if (found && status == DT_OK)
        status = dt_net_weights_changed(t->parts->net, err);
    if (found)
        return dt_agree(t->comm, status, err);
    const char *mirror = t->parts->mirror ? t->parts->mirror->ops->location(t->parts->mirror) : NULL;
    if (c->resume == DT_RESUME_MUST)
        return dt_fail_shared(err, DT_ERR_USAGE, "--resume must: there is no checkpoint in %s%s%s",
                              t->parts->store->ops->location(t->parts->store),
                              mirror ? ", nor in the mirror " : "", mirror ? mirror : "");
    return DT_OK;
}
