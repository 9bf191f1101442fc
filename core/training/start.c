#include "core/training/start.h"

#include "core/base/units.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/checkpoint/load.h"
#include "core/collective/agreement.h"
#include "core/training/resume_engines.h"
#include "core/training/schedule.h"

#include <stdio.h>
#include <string.h>

/* Collective: give all ranks rank 0's parameters. */
static dt_status broadcast(dt_training *t, dt_error *err)
{
    dt_net_vectors v;
    dt_device *device = t->parts->kernels->device;
    dt_net_get_vectors(t->parts->net, &v);
    int64_t bytes = v.n_all * (int64_t)sizeof(float);
    if (t->parts->comm->size == 1)
        return dt_agree(t->parts->comm, dt_net_start_ema(t->parts->net, err), err);
    float *host = dt_alloc((size_t)bytes);
    dt_error mine = {0};
    dt_status status = host ? DT_OK : dt_fail_memory(&mine, (size_t)bytes, "the parameters' broadcast");
    if (status == DT_OK)
        status = device->ops->copy(device, host, v.values, bytes, DT_COPY_TO_HOST, NULL, &mine);
    if (status == DT_OK)
        status = device->ops->stream_wait(device, NULL, &mine);
    status = dt_agree(t->parts->comm, status, &mine);
    if (status == DT_OK)
        status = t->parts->comm->ops->broadcast(t->parts->comm, host, bytes, 0, &mine);
    if (status == DT_OK)
        status = device->ops->copy(device, v.values, host, bytes, DT_COPY_TO_DEVICE, NULL, &mine);
    if (status == DT_OK)
        status = device->ops->stream_wait(device, NULL, &mine);
    if (status == DT_OK)
        status = dt_net_weights_changed(t->parts->net, &mine);
    if (status == DT_OK)
        status = dt_net_start_ema(t->parts->net, &mine);
    status = dt_agree(t->parts->comm, status, &mine);
    dt_free(host);
    if (status != DT_OK && err)
        *err = mine;
    return status;
}

/* Collective: all ranks must sum gradients of the same model, in the same order, from the same data. */
static dt_status check_ranks(dt_training *t, dt_error *err)
{
    char size[32], fingerprint[32], val_fingerprint[32], n_val[32], n_train[32];
    dt_net_vectors v;
    dt_source_info val = {0};
    dt_net_get_vectors(t->parts->net, &v);
    if (t->parts->val)
        t->parts->val->ops->info(t->parts->val, &val);
    snprintf(size, sizeof size, "%lld", (long long)v.n_all);
    snprintf(n_train, sizeof n_train, "%lld", (long long)t->train.n_samples);
    snprintf(n_val, sizeof n_val, "%lld", (long long)val.n_samples);
    snprintf(fingerprint, sizeof fingerprint, "%016llx", (unsigned long long)t->train.fingerprint);
    snprintf(val_fingerprint, sizeof val_fingerprint, "%016llx", (unsigned long long)val.fingerprint);
    const dt_same fields[] = {{"the number of training images", n_train},
                              {"the number of validation images", n_val},
                              {"the training data (fingerprint of names and sizes)", fingerprint},
                              {"the validation data (fingerprint of names and sizes)", val_fingerprint},
                              {"the architecture", t->parts->arch},
                              {"the model's size", size},
                              {"the layout of the gradients (the CPU's instruction set or the backend)",
                               t->parts->kernels->ops->layout_name(t->parts->kernels)}};
    return dt_check_same(t->parts->comm, fields, sizeof fields / sizeof *fields, err);
}

/* Collective: join the values of all ranks, so that every host's manifest has the same bytes. */
static dt_status join_different(dt_training *t, dt_error *err)
{
    const size_t bytes = (size_t)t->parts->comm->size * sizeof(dt_computed_by);
    dt_computed_by *all = dt_alloc(bytes);
    dt_status status = dt_agree(t->parts->comm,
                                all ? DT_OK : dt_fail_memory(err, bytes, "what the ranks compute with"), err);
    if (status == DT_OK)
        status =
            t->parts->comm->ops->all_gather(t->parts->comm, t->parts->computed_by, sizeof *all, all, err);
    if (status == DT_OK)
        dt_computed_by_join(all, t->parts->comm->size, &t->computed_by);
    dt_free(all);
    return status;
}

/* Between GPUs the type and the buckets in which gradients are sent change the bits of sums. */
static void add_exchange(dt_training *t)
{
    const dt_trainer_parts *p = t->parts;
    const dt_grad_exchange exchange = dt_grad_exchange_choose(p->config->wire, p->config->precision, p->comm);
    char text[64];
    if (!p->comm->ops->device_wait || p->comm->size == 1)
        return;
    dt_grad_exchange_describe(&exchange, text, sizeof text);
    dt_computed_by_add(&t->computed_by, "gradient buckets", "%s", text);
}

/* Collective: set t->computed_by. Warn if ranks differ, with the ranks and values. */
static dt_status join_computed_by(dt_training *t, dt_error *err)
{
    char pairs[DT_COMPUTED_BY_MAX][DT_COMPUTED_BY_NAME_BYTES + DT_COMPUTED_BY_VALUE_BYTES] = {""};
    dt_same same[DT_COMPUTED_BY_MAX];
    dt_error why = {0};
    if (!t->parts->computed_by)
        return DT_OK;
    t->computed_by = *t->parts->computed_by;
    add_exchange(t);
    for (int64_t i = 0; i < DT_COMPUTED_BY_MAX; i++) {
        const dt_computed_by_field *f = &t->computed_by.fields[i];
        if (i < t->computed_by.n)
            snprintf(pairs[i], sizeof pairs[i], "%s %s", f->name, f->value);
        same[i] = (dt_same){"what computes", pairs[i]};
    }
    const dt_status status = dt_check_same(t->parts->comm, same, DT_COMPUTED_BY_MAX, &why);
    if (status != DT_ERR_USAGE) {
        if (status != DT_OK && err)
            *err = why;
        return status;
    }
    if (t->parts->comm->rank == 0)
        dt_log_warn("%s: to get the same bits again, run the same ranks on the same hosts", why.message);
    return join_different(t, err);
}

/* Fill what follows from the configuration and the data. */
static dt_status plan(dt_training *t, dt_error *err)
{
    const dt_config *c = t->parts->config;
    t->parts->train->ops->info(t->parts->train, &t->train);
    t->scaling = c->precision == DT_F16; /* BF16 has float32's exponents */
    t->global_batch = c->batch * c->accumulate * t->parts->comm->size;
    t->steps_per_epoch = dt_steps_per_epoch(t->train.n_samples, t->global_batch);
    if (t->steps_per_epoch < 1)
        return dt_fail(err, DT_ERR_USAGE,
                       "the training set has %lld image%s, fewer than one global batch of %lld (%d rank%s x "
                       "--batch %lld x --accumulate %lld): use a smaller --batch",
                       (long long)t->train.n_samples, DT_PLURAL(t->train.n_samples),
                       (long long)t->global_batch, t->parts->comm->size, DT_PLURAL(t->parts->comm->size),
                       (long long)c->batch, (long long)c->accumulate);
    return dt_class_names_of_source(t->parts->train, &t->class_names, err);
}

/* Count what is left from the cursor on, in steps of this world size. Steps before the cursor may have been
 * done at another world size. */
static void plan_steps(dt_training *t)
{
    int64_t left_of_epoch = (t->train.n_samples - t->position) / t->global_batch;
    t->total_steps = t->step;
    if (t->epoch < t->parts->config->epochs)
        t->total_steps += left_of_epoch + (t->parts->config->epochs - t->epoch - 1) * t->steps_per_epoch;
    if (t->parts->config->steps > 0 && t->parts->config->steps < t->total_steps)
        t->total_steps = t->parts->config->steps;
}

static dt_status create_step(const dt_training *t, dt_step **step, dt_error *err)
{
    const dt_config *c = t->parts->config;
    const bool lars = strcmp(c->optimizer, "lars") == 0;
    const dt_step_options options = {.net = t->parts->net,
                                     .kernels = t->parts->kernels,
                                     .comm = t->parts->comm,
                                     .batch = c->batch,
                                     .image_size = c->image_size,
                                     .accumulate = c->accumulate,
                                     .optimizer = {.momentum = (float)c->momentum,
                                                   .nesterov = c->nesterov,
                                                   .rate_in_velocity = lars && c->lars_form == DT_LARS_PAPER,
                                                   .running_average_rate = 0.1f,
                                                   .lars_trust = (float)c->lars_trust,
                                                   .lars_eps = 1e-9f,
                                                   .loss_scaling = t->scaling,
                                                   .growth = 2.0f,
                                                   .backoff = 0.5f,
                                                   .growth_interval = 2000},
                                     .update = {.weight_decay = c->weight_decay,
                                                .bn_decay = c->bn_decay,
                                                .bias_decay = c->bias_decay,
                                                .lars = lars},
                                     .ema_decay = c->ema_decay,
                                     .ema_warmup = c->ema_warmup,
                                     .label_smoothing = c->label_smoothing,
                                     .loss_scale = t->scaling ? (float)c->loss_scale_init : 1.0f,
                                     .exchange =
                                         dt_grad_exchange_choose(c->wire, c->precision, t->parts->comm),
                                     .no_graph = c->no_graph};
    return dt_step_create(&options, step, err);
}

/* If the checkpoint was made without loss scaling, the scale begins as in a new training. */
static dt_status restore_loss_scale(const dt_training *t, dt_step *step, const dt_manifest *m, dt_error *err)
{
    const dt_loss_scale scale = {m->loss_scale, m->n_good_steps, m->n_skipped_steps};
    return t->scaling && m->n_good_steps >= 0 ? dt_step_set_loss_scale(step, &scale, err) : DT_OK;
}

/* Whether a training on this data can have come to the manifest's step, epoch and position. A training of
 * fewer --epochs than before has nothing left to do; it is not done, either. */
static dt_status check_cursor(const dt_training *t, const dt_manifest *m, const char *mend, dt_error *err)
{
    const int64_t n = t->train.n_samples, epochs = t->parts->config->epochs;
    if (m->epoch < 0 || m->position < 0 || m->position >= n)
        return dt_fail(
            err, DT_ERR_USAGE,
            "the checkpoint of step %lld has read %lld image%s of its epoch, and the data has %lld: its "
            "manifest is wrong; %s",
            (long long)m->step, (long long)m->position, DT_PLURAL(m->position), (long long)n, mend);
    if (m->step < 0 || (double)m->step > (double)m->epoch * (double)n + (double)m->position)
        return dt_fail(
            err, DT_ERR_USAGE,
            "the checkpoint of step %lld is in epoch %llu of %lld image%s, which has fewer steps: its "
            "manifest is wrong; %s",
            (long long)m->step, (unsigned long long)m->epoch + 1, (long long)n, DT_PLURAL(n), mend);
    if (m->epoch > epochs || (m->epoch == epochs && m->position > 0))
        return dt_fail(
            err, DT_ERR_USAGE,
            "the checkpoint of step %lld is in epoch %llu, and --epochs says %lld: raise --epochs, or %s",
            (long long)m->step, (unsigned long long)m->epoch + 1, (long long)epochs, mend);
    return DT_OK;
}

/* `mend`: what the user can do if the classes are others. */
static dt_status accept_classes(const dt_training *t, const dt_manifest *m, const char *mend, dt_error *err)
{
    const char *data = t->parts->config->data;
    const bool both_named = m->class_names.n > 0 && t->class_names.n > 0;
    dt_error why = {0};
    const dt_status status =
        both_named ? dt_class_names_match(&m->class_names, &t->class_names, NULL, &why) : DT_OK;
    if (status != DT_OK && status != DT_ERR_USAGE) {
        if (err)
            *err = why;
        return status;
    }
    if (m->n_classes != t->train.n_classes)
        return dt_fail(err, DT_ERR_USAGE,
                       "the checkpoint of step %lld knows %lld class%s, and the data has %lld: %s%s%s",
                       (long long)m->step, (long long)m->n_classes, m->n_classes == 1 ? "" : "es",
                       (long long)t->train.n_classes, why.message, why.message[0] ? ": " : "", mend);
    if (status == DT_OK)
        return DT_OK;
    return dt_fail(err, DT_ERR_USAGE, "the checkpoint of step %lld and %s: %s: %s", (long long)m->step,
                   data[0] ? data : "the demo's data", why.message, mend);
}

/* A dt_checkpoint_accept. */
static dt_status accept_checkpoint(void *context, const dt_manifest *m, dt_error *err)
{
    dt_training *t = context;
    const dt_config *c = t->parts->config;
    const char *mend = "use another --out, or --resume never to start over";
    if (strcmp(m->arch, t->parts->arch) != 0)
        return dt_fail(err, DT_ERR_USAGE, "the checkpoint of step %lld is of %s, and --arch says %s: %s",
                       (long long)m->step, m->arch, t->parts->arch, mend);
    DT_TRY(accept_classes(t, m, mend, err));
    if (m->data_fingerprint != t->train.fingerprint)
        return dt_fail(err, DT_ERR_USAGE,
                       "the checkpoint of step %lld was made with other training data than %s: %s",
                       (long long)m->step, c->data[0] ? c->data : "the demo's", mend);
    if (m->seed != c->seed)
        return dt_fail(err, DT_ERR_USAGE,
                       "the checkpoint of step %lld has seed %llu, and --seed says %llu: %s",
                       (long long)m->step, (unsigned long long)m->seed, (unsigned long long)c->seed, mend);
    t->new_momentum = false;
    if (t->parts->accepts)
        DT_TRY(t->parts->accepts(t->parts->accepts_context, m, &t->new_momentum, err));
    return check_cursor(t, m, mend, err);
}

/* Start with a momentum of zero if the checkpoint's is of no use for this start. */
static dt_status choose_momentum(const dt_training *t, dt_error *err)
{
    const dt_trainer_parts *p = t->parts;
    dt_device *device = p->kernels->device;
    dt_net_vectors v;
    if (!t->new_momentum)
        return DT_OK;
    if (p->comm->rank == 0)
        dt_log_warn("the momentum starts from zero: the checkpoint's is another optimizer's");
    dt_net_get_vectors(p->net, &v);
    return device->ops->zero(device, v.momentum, v.n_trained * (int64_t)sizeof(float), NULL, err);
}

/* Warn if this start computes with something else than the checkpoint's start did: then later bits may differ
 * from those of a run in one piece. */
static void warn_of_other_computer(const dt_training *t, const dt_manifest *m)
{
    char was[400], is[400];
    const bool known = m->computed_by.n > 0 && t->computed_by.n > 0; /* older formats do not say */
    if (t->parts->comm->rank == 0 && known &&
        dt_computed_by_compare(&m->computed_by, &t->computed_by, was, is, sizeof was))
        dt_log_warn("step %lld was computed with %s, this start computes with %s: training goes on "
                    "correctly, but later bits may differ from those of an "
                    "uninterrupted run",
                    (long long)m->step, was, is);
}

/* The checkpoint's classes may be in another order than the data's folders: an earlier --init has done so. */
static dt_status use_classes(dt_training *t, const dt_manifest *m, dt_error *err)
{
    const dt_trainer_parts *p = t->parts;
    bool moved = false, moved_val = false;
    DT_TRY(dt_class_names_apply(&m->class_names, p->train, &moved, err));
    if (p->val)
        DT_TRY(dt_class_names_apply(&m->class_names, p->val, &moved_val, err));
    if (!moved)
        return DT_OK;
    if (p->comm->rank == 0)
        dt_log_info(
            "the classes keep the labels that they have in the checkpoint, in another order than the data's "
            "folders");
    dt_class_names_clear(&t->class_names);
    return dt_class_names_copy(&m->class_names, &t->class_names, err);
}

/* The checkpoint has been loaded into the net: set the cursor and the loss scale. */
static dt_status go_on_from(dt_training *t, dt_step *step, const dt_manifest *m, dt_error *err)
{
    const dt_trainer_parts *p = t->parts;
    t->step = t->resumed_step = m->step;
    t->epoch = m->epoch;
    t->position = m->position;
    t->best_top1 = m->best_top1;
    t->best_epoch = m->best_epoch;
    t->best_step = m->best_step;
    if (p->comm->rank == 0)
        dt_log_info("going on after step %lld, epoch %lld, from %s", (long long)m->step,
                    (long long)dt_training_current_epoch(t) + 1, p->store->ops->location(p->store));
    if (m->global_batch != t->global_batch && p->comm->rank == 0)
        dt_log_warn("the global batch was %lld when the checkpoint was made and is %lld now",
                    (long long)m->global_batch, (long long)t->global_batch);
    warn_of_other_computer(t, m);
    DT_TRY(use_classes(t, m, err));
    DT_TRY(choose_momentum(t, err));
    DT_TRY(restore_loss_scale(t, step, m, err));
    dt_step_set_n_before(step, m->step);
    return dt_net_weights_changed(p->net, err);
}

/* Go on from the newest whole checkpoint, if there is one. */
static dt_status resume(dt_training *t, dt_step *step, dt_error *err)
{
    const dt_trainer_parts *p = t->parts;
    if (!p->store || p->config->resume == DT_RESUME_NEVER)
        return DT_OK;
    bool found = false;
    dt_manifest m = {0};
    const dt_state_io io = dt_net_state_io(p->net);
    const dt_checkpoint_location location = {.store = p->store, .mirror = p->mirror, .per_host = p->per_host};
    DT_TRY(dt_checkpoint_load(p->comm, &location, dt_net_state_layout(p->net), &io, accept_checkpoint, t, &m,
                              &found, err));
    if (found) {
        dt_status status = dt_agree(p->comm, go_on_from(t, step, &m, err), err);
        if (status == DT_OK)
            status = dt_resume_engines(p, &m, err);
        dt_manifest_clear(&m);
        return status;
    }
    const char *mirror = p->mirror ? p->mirror->ops->location(p->mirror) : NULL;
    if (p->config->resume == DT_RESUME_MUST)
        return dt_fail_shared(err, DT_ERR_USAGE, "--resume must: there is no checkpoint in %s%s%s",
                              p->store->ops->location(p->store), mirror ? ", nor in the mirror " : "",
                              mirror ? mirror : "");
    return DT_OK;
}

dt_status dt_start(dt_training *t, dt_step **step, dt_error *err)
{
    dt_comm *comm = t->parts->comm;
    dt_step *created = NULL;
    DT_TRY(dt_agree(comm, plan(t, err), err));
    DT_TRY(check_ranks(t, err));
    DT_TRY(join_computed_by(t, err));
    dt_status status = dt_agree(comm, create_step(t, &created, err), err);
    if (status == DT_OK)
        status = broadcast(t, err);
    if (status == DT_OK)
        status = resume(t, created, err);
    if (status != DT_OK) {
        if (!dt_comm_device_is_lost(comm, status))
            dt_step_destroy(created);
        return status;
    }
    t->first_step = t->step;
    plan_steps(t);
    *step = created;
    return DT_OK;
}
