#include "core/training/checkpointer.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/checkpoint/mirror.h"
#include "core/checkpoint/save_interval.h"
#include "core/checkpoint/saver.h"
#include "core/collective/agreement.h"
#include "core/training/lane.h"

#include <math.h>
#include <stdio.h>

/* --checkpoint-every auto: the first checkpoint comes after so many steps, and the second after as many more;
 * the first one's time decides the interval. */
#define FIRST_AUTO_SAVE 20

struct dt_checkpointer {
    const dt_training *training;
    const dt_report *report;
    dt_lane store, mirror;
    int64_t committed_step; /* of the newest checkpoint in the store; -1: none */
    int64_t next_auto_step;
};

static bool is_root(const dt_checkpointer *c)
{
    return c->training->parts->comm->rank == 0;
}

/* -- create ---------------------------------------------------------------------------------------------- */

/* The mirror copies from a checkpoint, which must stay until it is done. */
static int64_t kept(const dt_trainer_parts *p)
{
    return p->mirror && p->config->keep < 2 ? 2 : p->config->keep;
}

/* No other process writes here: launch/ holds the run folder's lock. */
static void clean_store(const dt_checkpointer *c)
{
    const dt_trainer_parts *p = c->training->parts;
    dt_error why = {0};
    if (p->per_host ? p->comm->local_rank != 0 : p->comm->rank != 0)
        return;
    dt_status status = p->store->ops->clean(p->store, &why);
    /* What this host has of later steps is not a whole checkpoint, and must not count as one when older ones
     * are removed. */
    if (status == DT_OK && p->per_host && c->committed_step >= 0)
        status = p->store->ops->prune(p->store, c->committed_step, kept(p), &why);
    if (status != DT_OK)
        dt_log_warn("checkpoint: what an earlier start left unfinished was not removed: %s", why.message);
}

static dt_status create_store_lane(dt_checkpointer *c, const dt_step *step, dt_error *err)
{
    const dt_trainer_parts *p = c->training->parts;
    dt_state_io io = dt_net_state_io(p->net);
    dt_state_addresses addresses = *io.addresses;
    dt_snapshot_memory memory = {0};
    addresses.loss = dt_step_get_local_loss(step);
    addresses.step_state = c->training->scaling ? dt_step_get_state(step) : NULL;
    io.addresses = &addresses;
    clean_store(c);
    const dt_saver_options options = {.comm = p->comm,
                                      .store = p->store,
                                      .per_host = p->per_host,
                                      .keep = kept(p),
                                      .layout = dt_net_state_layout(p->net),
                                      .io = &io};
    DT_TRY(dt_agree(p->comm, dt_saver_create(&options, &c->store.writer, &memory, err), err));
    if (is_root(c))
        dt_log_info(
            "checkpoints are written while training goes on, from a copy that takes %.1f MB on each rank%s",
            (double)memory.host_bytes / 1e6, memory.device_bytes ? ", and as much on its GPU" : "");
    return DT_OK;
}

static dt_status create_mirror_lane(dt_checkpointer *c, dt_error *err)
{
    const dt_trainer_parts *p = c->training->parts;
    dt_error why = {0};
    if (is_root(c) && p->mirror->ops->clean(p->mirror, &why) != DT_OK)
        dt_log_warn("mirror: what an earlier start left unfinished was not removed: %s", why.message);
    return dt_agree(p->comm,
                    dt_mirror_create(p->comm, p->store, p->mirror, p->config->keep, &c->mirror.writer, err),
                    err);
}

static dt_status create(const dt_training *t, const dt_report *report, dt_checkpointer **checkpointer,
                        dt_error *err)
{
    dt_checkpointer *c = dt_calloc(1, sizeof *c);
    if (!c)
        return dt_fail_memory(err, sizeof *c, "the checkpointer");
    c->training = t;
    c->report = report;
    c->committed_step = t->resumed_step;
    c->store = (dt_lane){
        .training = t, .report = report, .started_step = t->resumed_step, .reported_step = t->resumed_step};
    c->mirror = (dt_lane){
        .training = t, .report = report, .is_mirror = true, .started_step = -1, .reported_step = -1};
    c->next_auto_step = t->first_step + FIRST_AUTO_SAVE;
    *checkpointer = c;
    return DT_OK;
}

dt_status dt_checkpointer_create(const dt_training *t, const dt_report *report, const dt_step *step,
                                 dt_checkpointer **checkpointer, dt_error *err)
{
    dt_checkpointer *c = NULL;
    dt_status status = dt_agree(t->parts->comm, create(t, report, &c, err), err);
    if (status == DT_OK && t->parts->store)
        status = create_store_lane(c, step, err);
    if (status == DT_OK && t->parts->mirror)
        status = create_mirror_lane(c, err);
    if (status == DT_OK)
        *checkpointer = c;
    else
        dt_checkpointer_destroy(c);
    return status;
}

void dt_checkpointer_destroy(dt_checkpointer *c)
{
    if (!c)
        return;
    dt_writer_destroy(c->mirror.writer);
    dt_writer_destroy(c->store.writer);
    dt_free(c);
}

/* -- phases ---------------------------------------------------------------------------------------------- */

/* Young's and Daly's interval, from what rank 0 has measured, for all ranks. */
static dt_status choose_interval(dt_checkpointer *c, const dt_writer_progress *p, dt_error *err)
{
    const dt_training *t = c->training;
    dt_comm *comm = t->parts->comm;
    int64_t steps = 1;
    const double step_s = dt_report_step_s(c->report), mtti_s = t->parts->config->mtti_h * 3600.0;
    if (comm->rank == 0 && step_s > 0.0) {
        const double interval_s = dt_save_interval_s(p->write_s > 1e-3 ? p->write_s : 1e-3, mtti_s);
        steps = interval_s / step_s < 1.0 ? 1 : (int64_t)(interval_s / step_s);
        if (c->next_auto_step == t->first_step + 2 * FIRST_AUTO_SAVE)
            dt_log_info("a checkpoint every %lld step%s (%.0f s): one takes %.2f s, of which training waits "
                        "%.3f s; with an interruption every %g hour%s (--mtti) "
                        "%.2g%% of the time is lost",
                        (long long)steps, DT_PLURAL(steps), (double)steps * step_s, p->write_s, p->stall_s,
                        t->parts->config->mtti_h, DT_PLURAL(t->parts->config->mtti_h),
                        100.0 * dt_save_loss((double)steps * step_s, p->stall_s, p->write_s, mtti_s));
    }
    DT_TRY(comm->ops->broadcast(comm, &steps, sizeof steps, 0, err));
    c->next_auto_step = p->step + steps;
    return DT_OK;
}

/* A checkpoint is whole: start to copy it, unless the copy of an earlier one is under way. */
static void start_copy(dt_checkpointer *c)
{
    dt_writer_progress p;
    const dt_manifest *m = c->mirror.writer ? dt_writer_get_manifest(c->store.writer) : NULL;
    dt_lane_poll(&c->mirror, &p);
    if (m && p.pending)
        dt_lane_skip(&c->mirror, m->step, p.step);
    else if (m)
        dt_lane_start(&c->mirror, m);
}

/* Collective: waits for the checkpoint that is being written, if any. *whole: there was one, and it is. */
static void finish_save(dt_checkpointer *c, bool *whole)
{
    dt_writer_progress p;
    dt_error why = {0};
    *whole = dt_lane_finish(&c->store, INFINITY, &p) == DT_OK && p.pending;
    if (!*whole)
        return;
    c->committed_step = p.step;
    if (c->training->parts->config->checkpoint_every == DT_CHECKPOINT_AUTO &&
        choose_interval(c, &p, &why) != DT_OK)
        dt_lane_fail(&c->store, &p, &why);
}

static void finish_save_and_copy(dt_checkpointer *c)
{
    bool whole;
    finish_save(c, &whole);
    if (whole)
        start_copy(c);
}

/* The next checkpoint is due: this may have to wait for the last one. */
static void finish_late_save(dt_checkpointer *c)
{
    dt_writer_progress p;
    const double start = dt_clock_s();
    dt_lane_poll(&c->store, &p);
    finish_save_and_copy(c);
    if (p.pending && c->training->step != p.step && is_root(c) && dt_clock_s() - start > 0.1)
        dt_log_warn("checkpoint: the one of step %lld was still being written when the next was due: "
                    "training waited %.1f s",
                    (long long)p.step, dt_clock_s() - start);
}

static bool too_many_failures(const dt_checkpointer *c)
{
    const int64_t most = c->training->parts->config->max_checkpoint_failures;
    return most > 0 && c->store.n_failures >= most;
}

static bool is_not_finite(const dt_checkpointer *c)
{
    return c->store.n_failures > 0 && c->store.last.status == DT_ERR_NUMERIC;
}

static dt_status check_failures(const dt_checkpointer *c, dt_error *err)
{
    if (is_not_finite(c)) {
        if (err)
            *err = c->store.last;
        return dt_error_share(err, DT_ERR_NUMERIC);
    }
    /* after the last step there is nothing to end: the training's end reports the failure */
    if (!too_many_failures(c) || c->training->step == c->training->total_steps)
        return DT_OK;
    return dt_fail_shared(
        err, DT_ERR_IO,
        "%lld checkpoint%s could not be written (--max-checkpoint-failures %lld), the last because "
        "of: %.800s",
        (long long)c->store.n_failures, c->store.n_failures == 1 ? "" : "s in a row",
        (long long)c->training->parts->config->max_checkpoint_failures, c->store.last.message);
}

/* -- in each step ---------------------------------------------------------------------------------------- */

void dt_checkpointer_vote(const dt_checkpointer *c, float votes[DT_N_VOTES])
{
    votes[DT_VOTE_WRITTEN] = dt_lane_vote(&c->store);
    votes[DT_VOTE_MIRRORED] = dt_lane_vote(&c->mirror);
}

void dt_checkpointer_note(dt_checkpointer *c, const dt_step_result *r)
{
    const int64_t step = dt_training_step_of(c->training, r);
    dt_lane_note(&c->store, step, r->votes[DT_VOTE_WRITTEN]);
    dt_lane_note(&c->mirror, step, r->votes[DT_VOTE_MIRRORED]);
}

dt_status dt_checkpointer_advance(dt_checkpointer *c, dt_error *err)
{
    bool finishes;
    dt_writer_progress p;
    /* the mirror first: it is then free for the store's next checkpoint */
    DT_TRY(dt_lane_advance(&c->mirror, &finishes, err));
    if (finishes)
        (void)dt_lane_finish(&c->mirror, INFINITY, &p); /* its failure is logged; training goes on */
    DT_TRY(dt_lane_advance(&c->store, &finishes, err));
    if (!finishes)
        return DT_OK;
    finish_save_and_copy(c);
    return check_failures(c, err);
}

void dt_checkpointer_poll(dt_checkpointer *c)
{
    dt_writer_progress p;
    dt_lane_poll(&c->store, &p);
    dt_lane_report_committed(&c->store, &p);
}

bool dt_checkpointer_is_due(dt_checkpointer *c, bool epoch_ends)
{
    const int64_t every = c->training->parts->config->checkpoint_every, step = c->training->step;
    if (!c->store.writer)
        return false;
    if (every != DT_CHECKPOINT_AUTO)
        return every > 0 ? step % every == 0 : epoch_ends;
    if (step < c->next_auto_step)
        return false;
    const int64_t was = c->next_auto_step;
    finish_late_save(c); /* chooses the interval */
    if (c->next_auto_step == was)
        c->next_auto_step = was + FIRST_AUTO_SAVE;
    return step >= c->next_auto_step || c->next_auto_step == was + FIRST_AUTO_SAVE;
}

/* -- saves ----------------------------------------------------------------------------------------------- */

static void start_save(dt_checkpointer *c)
{
    const dt_training *t = c->training;
    const dt_config *config = t->parts->config;
    dt_kernels *k = t->parts->kernels;
    const dt_engine_choices *engines = k->ops->engines ? k->ops->engines(k) : NULL;
    dt_manifest m = {.format_version = DT_MANIFEST_VERSION,
                     .step = t->step,
                     .epoch = t->epoch,
                     .position = t->position,
                     .seed = config->seed,
                     .loss_scale = 1.0, /* with loss scaling, the saver replaces these two after the step */
                     .n_good_steps = -1,
                     .world_size = t->parts->comm->size,
                     .global_batch = t->global_batch,
                     .n_classes = t->train.n_classes,
                     .image_size = config->image_size,
                     .data_fingerprint = t->train.fingerprint,
                     .best_top1 = t->best_top1,
                     .best_epoch = t->best_epoch,
                     .best_step = t->best_step,
                     .class_names = t->class_names, /* dt_writer_start only reads it, and the next ones */
                     .engines = engines ? engines->list : (dt_engines){0},
                     .computed_by = t->computed_by,
                     .config_text = (char *)t->parts->config_text};
    snprintf(m.arch, sizeof m.arch, "%s", t->parts->arch);
    dt_lane_start(&c->store, &m);
}

dt_status dt_checkpointer_save(dt_checkpointer *c, bool wait, dt_error *err)
{
    const dt_lane *l = &c->store;
    if (!l->writer)
        return DT_OK;
    if (l->started_step != c->training->step) {
        finish_late_save(c);
        if (!too_many_failures(c) && !is_not_finite(c))
            start_save(c);
    }
    if (!wait)
        return check_failures(c, err);
    dt_checkpointer_wait(c);
    if (l->n_failures == 0)
        return DT_OK;
    if (err)
        *err = l->last;
    return dt_error_share(err, l->last.status);
}

void dt_checkpointer_wait(dt_checkpointer *c)
{
    bool whole;
    finish_save(c, &whole);
}

void dt_checkpointer_finish(dt_checkpointer *c, double until_s)
{
    const dt_manifest *m = c->mirror.writer ? dt_writer_get_manifest(c->store.writer) : NULL;
    dt_writer_progress p;
    if (dt_lane_finish(&c->mirror, until_s, &p) == DT_ERR_TIMEOUT || !m || m->step == c->mirror.started_step)
        return;
    dt_lane_start(&c->mirror, m);
    (void)dt_lane_finish(&c->mirror, until_s, &p);
}

dt_checkpointer_state dt_checkpointer_get_state(const dt_checkpointer *c)
{
    return (dt_checkpointer_state){.committed_step = c->committed_step,
                                   .started_step = c->store.started_step,
                                   .write_s = c->store.last_s};
}

double dt_checkpointer_reserve_s(const dt_checkpointer *c)
{
    return dt_lane_reserve_s(&c->store) + dt_lane_reserve_s(&c->mirror);
}
