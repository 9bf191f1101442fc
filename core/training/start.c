#include "core/training/trainer_internal.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/collective/agreement.h"

#include <stdio.h>
#include <string.h>

/* All ranks start from rank 0's parameters. */
dt_status dt_trainer_broadcast(dt_trainer *t, dt_error *err)
{
    dt_net_vectors v;
    dt_device *device = t->parts->kernels->device;
    dt_net_get_vectors(t->parts->net, &v);
    int64_t bytes = v.n_all * (int64_t)sizeof(float);
    if (t->comm->size == 1)
        return dt_net_start_ema(t->parts->net, err);
    float *host = dt_alloc((size_t)bytes);
    dt_error mine = {0};
    dt_status status = host ? DT_OK : dt_fail_memory(&mine, (size_t)bytes, "the parameters' broadcast");
    if (status == DT_OK)
        status = device->ops->copy(device, host, v.values, bytes, DT_COPY_TO_HOST, NULL, &mine);
    if (status == DT_OK)
        status = device->ops->stream_wait(device, NULL, &mine);
    status = dt_agree(t->comm, status, &mine);
    if (status == DT_OK)
        status = t->comm->ops->broadcast(t->comm, host, bytes, 0, &mine);
    if (status == DT_OK)
        status = device->ops->copy(device, v.values, host, bytes, DT_COPY_TO_DEVICE, NULL, &mine);
    if (status == DT_OK)
        status = device->ops->stream_wait(device, NULL, &mine);
    if (status == DT_OK)
        status = dt_net_weights_changed(t->parts->net, &mine);
    if (status == DT_OK)
        status = dt_net_start_ema(t->parts->net, &mine);
    status = dt_agree(t->comm, status, &mine);
    dt_free(host);
    if (status != DT_OK && err)
        *err = mine;
    return status;
}

/* All ranks must add up gradients of the same model in the same order, made from the same data. */
dt_status dt_trainer_check_ranks(dt_trainer *t, dt_error *err)
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
    return dt_check_same(t->comm, fields, sizeof fields / sizeof *fields, err);
}

/* Collective: joins the values of all ranks, so that every host writes the same bytes into its manifest. */
static dt_status join_different(dt_trainer *t, dt_error *err)
{
    const size_t bytes = (size_t)t->comm->size * sizeof(dt_computed_by);
    dt_computed_by *all = dt_alloc(bytes);
    dt_status status =
        dt_agree(t->comm, all ? DT_OK : dt_fail_memory(err, bytes, "what the ranks compute with"), err);
    if (status == DT_OK)
        status = t->comm->ops->all_gather(t->comm, t->parts->computed_by, sizeof *all, all, err);
    if (status == DT_OK)
        dt_computed_by_join(all, t->comm->size, &t->computed_by);
    dt_free(all);
    return status;
}

dt_status dt_trainer_join_computed_by(dt_trainer *t, dt_error *err)
{
    char pairs[DT_COMPUTED_BY_MAX][DT_COMPUTED_BY_NAME_BYTES + DT_COMPUTED_BY_VALUE_BYTES] = {""};
    dt_same same[DT_COMPUTED_BY_MAX];
    dt_error why = {0};
    if (!t->parts->computed_by)
        return DT_OK;
    t->computed_by = *t->parts->computed_by;
    for (int64_t i = 0; i < DT_COMPUTED_BY_MAX; i++) {
        const dt_computed_by_field *f = &t->computed_by.fields[i];
        if (i < t->computed_by.n)
            snprintf(pairs[i], sizeof pairs[i], "%s %s", f->name, f->value);
        same[i] = (dt_same){"what computes", pairs[i]};
    }
    const dt_status status = dt_check_same(t->comm, same, DT_COMPUTED_BY_MAX, &why);
    if (status != DT_ERR_USAGE) {
        if (status != DT_OK && err)
            *err = why;
        return status;
    }
    if (t->comm->rank == 0)
        dt_log_warn("%s: the same bits again want the same ranks on the same hosts", why.message);
    return join_different(t, err);
}

dt_status dt_trainer_plan(dt_trainer *t, dt_error *err)
{
    const dt_config *c = t->config;
    t->parts->train->ops->info(t->parts->train, &t->train);
    t->scaling = c->precision == DT_F16; /* BF16 has float32's exponents */
    t->global_batch = c->batch * c->accumulate * t->comm->size;
    t->steps_per_epoch = dt_steps_per_epoch(t->train.n_samples, t->global_batch);
    if (t->steps_per_epoch < 1)
        return dt_fail(err, DT_ERR_USAGE,
                       "the training set has %lld images, fewer than one global batch of %lld (%d ranks x "
                       "--batch %lld x --accumulate %lld): take a smaller "
                       "--batch",
                       (long long)t->train.n_samples, (long long)t->global_batch, t->comm->size,
                       (long long)c->batch, (long long)c->accumulate);
    return DT_OK;
}

/* What is left from here on, at this world size: steps that were done at another one do not count in its
 * units. */
void dt_trainer_plan_steps(dt_trainer *t)
{
    int64_t left_of_epoch = (t->train.n_samples - t->position) / t->global_batch;
    t->total_steps = t->step;
    if (t->epoch < t->config->epochs)
        t->total_steps += left_of_epoch + (t->config->epochs - t->epoch - 1) * t->steps_per_epoch;
    if (t->config->steps > 0 && t->config->steps < t->total_steps)
        t->total_steps = t->config->steps;
}

dt_status dt_trainer_create_step(dt_trainer *t, dt_error *err)
{
    const dt_config *c = t->config;
    const dt_step_options options = {.net = t->parts->net,
                                     .kernels = t->parts->kernels,
                                     .comm = t->comm,
                                     .batch = c->batch,
                                     .image_size = c->image_size,
                                     .accumulate = c->accumulate,
                                     .optimizer = {.momentum = (float)c->momentum,
                                                   .nesterov = c->nesterov,
                                                   .running_average_rate = 0.1f,
                                                   .lars_trust = (float)c->lars_trust,
                                                   .lars_eps = 1e-9f,
                                                   .loss_scaling = t->scaling,
                                                   .growth = 2.0f,
                                                   .backoff = 0.5f,
                                                   .growth_interval = 2000,
                                                   .ema_decay = (float)c->ema_decay},
                                     .update = {.weight_decay = c->weight_decay,
                                                .bn_decay = c->bn_decay,
                                                .lars = strcmp(c->optimizer, "lars") == 0},
                                     .label_smoothing = c->label_smoothing,
                                     .loss_scale = t->scaling ? (float)c->loss_scale_init : 1.0f,
                                     .wire = c->precision == DT_F16 || c->precision == DT_BF16 ? c->precision
                                                                                               : DT_F32,
                                     .no_graph = c->no_graph};
    return dt_agree(t->comm, dt_step_create(&options, &t->step_runner, err), err);
}
