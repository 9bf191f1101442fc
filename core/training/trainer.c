#include "core/training/trainer.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/fault.h"
#include "core/base/log.h"
#include "core/training/agreement.h"
#include "core/training/checkpoint.h"
#include "core/training/evaluate.h"
#include "core/training/schedule.h"
#include "core/training/step.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define RATE_WINDOW 20 /* steps over which images/s is taken */

typedef struct trainer {
    const dt_trainer_parts *parts;
    const dt_config *config;
    dt_comm *comm;
    dt_step *step_runner;
    dt_source_info train;
    int64_t global_batch, steps_per_epoch, total_steps;
    bool scaling;                /* the loss is scaled */
    int64_t net_size, train_size; /* pixels: what the net is built for, what this epoch's images have */

    /* where the training is: what a checkpoint holds */
    int64_t step, epoch, position;
    double best_top1;

    /* this start */
    int64_t first_step, last_saved_step, last_evaluated_step;
    double start_s, training_s; /* training_s: time in steps */
    double window[RATE_WINDOW]; /* seconds of the last steps */
    int64_t n_told;             /* steps of this start whose results have come; the others are under way on the device */
    double mark_s;              /* since when the device works on those */
    int64_t n_skipped_in_a_row;
    bool stop_seen;             /* some rank wants to stop */
    int64_t images;
    dt_metrics_eval last_eval;
    double epoch_loss, epoch_top1, epoch_start_s;
    int64_t epoch_steps, n_broken;
    dt_status save_status; /* of the newest attempt */
    dt_error save_error;
    bool agreed; /* the error that is being returned is the same on all ranks */
} trainer;

int64_t dt_steps_per_epoch(int64_t n_samples, int64_t global_batch)
{
    return n_samples / global_batch;
}

/* -- telling ------------------------------------------------------------------------------------------------------ */

/* A full disk fails every step: the first is told, the end tells how many. */
static void sink_failed(dt_sink *sink, const dt_error *err)
{
    if (sink->n_lost++ == 0)
        dt_log_warn("%s: %s (the training goes on)", sink->ops->name, err->message);
}

static void tell_what_was_lost(const dt_trainer_parts *parts)
{
    for (int64_t i = 0; i < parts->n_sinks; i++)
        if (parts->sinks[i]->n_lost > 0)
            dt_log_warn("%s: %lld event%s could not be written", parts->sinks[i]->ops->name, (long long)parts->sinks[i]->n_lost,
                        parts->sinks[i]->n_lost == 1 ? "" : "s");
}

/* Call `event` of every sink that has it; what a sink says goes to the log and does not stop the training. */
#define TELL(t, event, ...)                                                                  \
    do {                                                                                     \
        for (int64_t tell_i = 0; tell_i < (t)->parts->n_sinks; tell_i++) {                   \
            dt_sink *tell_sink = (t)->parts->sinks[tell_i];                                  \
            dt_error tell_error = {0};                                                       \
            if (tell_sink->ops->event && tell_sink->ops->event(tell_sink, __VA_ARGS__, &tell_error) != DT_OK) \
                sink_failed(tell_sink, &tell_error);                                         \
        }                                                                                    \
    } while (0)

static double images_per_s(const trainer *t)
{
    int64_t n = t->n_told < RATE_WINDOW ? t->n_told : RATE_WINDOW;
    double seconds = 0.0;
    for (int64_t i = 0; i < n; i++)
        seconds += t->window[i];
    return seconds > 0.0 ? (double)(n * t->global_batch) / seconds : 0.0;
}

/* The number of the step that a result is of; 1 is the first of the training. */
static int64_t step_of(const trainer *t, const dt_step_result *r)
{
    return t->first_step + r->index + 1;
}

/* All results of an epoch have come before the next one begins. */
static void tell_step(trainer *t, const dt_step_result *r)
{
    double rate = images_per_s(t);
    int64_t step = step_of(t, r), position = t->position - (t->step - step) * t->global_batch;
    dt_metrics_step m = {.step = step,
                         .epoch = t->epoch,
                         .epoch_progress = (double)position / (double)(t->steps_per_epoch * t->global_batch),
                         .loss = r->loss,
                         .top1 = r->top1,
                         .lr = r->lr,
                         .images_per_s = rate,
                         .elapsed_s = dt_clock_s() - t->start_s,
                         .left_s = rate > 0.0 ? (double)((t->total_steps - step) * t->global_batch) / rate : 0.0,
                         .data_wait_s = r->data_wait_s,
                         .comm_wait_s = r->comm_wait_s,
                         .scaled = t->scaling,
                         .skipped = r->skipped,
                         .loss_scale = r->loss_scale,
                         .n_skipped = r->n_skipped};
    if (m.epoch_progress > 1.0)
        m.epoch_progress = 1.0;
    TELL(t, step, &m);
}

/* -- checkpoints ---------------------------------------------------------------------------------------------------- */

static dt_status save_loss_scale(const trainer *t, dt_manifest *m, dt_error *err)
{
    dt_loss_scale scale = {0};
    if (!t->scaling)
        return DT_OK;
    DT_TRY(dt_step_get_loss_scale(t->step_runner, &scale, err));
    m->loss_scale = scale.scale;
    m->n_good_steps = scale.n_good;
    m->n_skipped_steps = scale.n_skipped;
    return DT_OK;
}

/* A training that was not scaled before begins as a new one does. */
static dt_status restore_loss_scale(const trainer *t, const dt_manifest *m, dt_error *err)
{
    const dt_loss_scale scale = {m->loss_scale, m->n_good_steps, m->n_skipped_steps};
    return t->scaling && m->n_good_steps >= 0 ? dt_step_set_loss_scale(t->step_runner, &scale, err) : DT_OK;
}

static dt_status save(trainer *t, dt_error *err)
{
    const dt_config *c = t->config;
    const dt_state_io io = dt_net_state_io(t->parts->net);
    double start = dt_clock_s();
    int64_t bytes = 0;
    dt_manifest m = {.format_version = DT_MANIFEST_VERSION,
                     .step = t->step,
                     .epoch = t->epoch,
                     .position = t->position,
                     .seed = c->seed,
                     .loss_scale = 1.0,
                     .n_good_steps = -1,
                     .world_size = t->comm->size,
                     .global_batch = t->global_batch,
                     .n_classes = t->train.n_classes,
                     .image_size = c->image_size,
                     .data_fingerprint = t->train.fingerprint,
                     .best_top1 = t->best_top1,
                     .config_text = dt_strdup(t->parts->config_text)};
    snprintf(m.arch, sizeof m.arch, "%s", t->parts->arch);
    dt_status status = save_loss_scale(t, &m, err);
    if (status == DT_OK)
        status = m.config_text ? DT_OK : dt_fail_memory(err, strlen(t->parts->config_text), "the checkpoint's configuration");
    status = dt_agree(t->comm, status, err);
    if (status == DT_OK)
        status = dt_checkpoint_save(t->comm, t->parts->store, dt_net_state_layout(t->parts->net), &io, &m, c->keep, &bytes, err);
    dt_manifest_clear(&m);
    if (status != DT_OK)
        return status;
    dt_metrics_checkpoint told = {.step = t->step, .bytes = bytes, .elapsed_s = dt_clock_s() - start};
    snprintf(told.path, sizeof told.path, "%s", t->parts->store->ops->location(t->parts->store));
    TELL(t, checkpoint, &told);
    return DT_OK;
}

/* A failed write is told and leaves older generations standing: the training goes on. */
static void save_if_needed(trainer *t)
{
    if (!t->parts->store || t->last_saved_step == t->step)
        return;
    t->save_error = (dt_error){0};
    t->save_status = save(t, &t->save_error);
    if (t->save_status == DT_OK)
        t->last_saved_step = t->step;
    else if (t->comm->rank == 0)
        dt_log_error("the checkpoint of step %lld was not written: %s (training goes on; older checkpoints stand)", (long long)t->step,
                     t->save_error.message);
}

/* Does a generation fit this run? */
static dt_status accept_generation(void *context, const dt_manifest *m, dt_error *err)
{
    const trainer *t = context;
    const dt_config *c = t->config;
    const char *mend = "take another --out, or --resume never to start anew";
    if (strcmp(m->arch, t->parts->arch) != 0)
        return dt_fail(err, DT_ERR_USAGE, "the checkpoint of step %lld is of %s, and --arch says %s: %s", (long long)m->step, m->arch, t->parts->arch, mend);
    if (m->n_classes != t->train.n_classes)
        return dt_fail(err, DT_ERR_USAGE, "the checkpoint of step %lld knows %lld classes, and the data has %lld: %s", (long long)m->step,
                       (long long)m->n_classes, (long long)t->train.n_classes, mend);
    if (m->data_fingerprint != t->train.fingerprint)
        return dt_fail(err, DT_ERR_USAGE, "the checkpoint of step %lld was made with other training data than %s: %s", (long long)m->step,
                       c->data[0] ? c->data : "the demo's", mend);
    if (m->seed != c->seed)
        return dt_fail(err, DT_ERR_USAGE, "the checkpoint of step %lld has seed %llu, and --seed says %llu: %s", (long long)m->step,
                       (unsigned long long)m->seed, (unsigned long long)c->seed, mend);
    return DT_OK;
}

/* Go on where the newest whole generation stopped, if there is one. */
static dt_status resume(trainer *t, dt_error *err)
{
    const dt_config *c = t->config;
    if (!t->parts->store || c->resume == DT_RESUME_NEVER)
        return DT_OK;
    bool found = false;
    dt_manifest m = {0};
    const dt_state_io io = dt_net_state_io(t->parts->net);
    DT_TRY(dt_checkpoint_load(t->comm, t->parts->store, dt_net_state_layout(t->parts->net), &io, accept_generation, t, &m, &found, err));
    if (found) {
        t->step = m.step;
        t->epoch = m.epoch;
        t->position = m.position;
        t->best_top1 = m.best_top1;
        t->last_saved_step = m.step;
        if (t->comm->rank == 0)
            dt_log_info("going on after step %lld, epoch %lld, from %s", (long long)m.step, (long long)m.epoch + 1,
                        t->parts->store->ops->location(t->parts->store));
        if (m.global_batch != t->global_batch && t->comm->rank == 0)
            dt_log_warn("the global batch was %lld when the checkpoint was made and is %lld now", (long long)m.global_batch, (long long)t->global_batch);
    }
    dt_status status = found ? restore_loss_scale(t, &m, err) : DT_OK;
    dt_manifest_clear(&m);
    if (found && status == DT_OK)
        status = dt_net_weights_changed(t->parts->net, err);
    if (found)
        return dt_agree(t->comm, status, err);
    if (c->resume == DT_RESUME_MUST)
        return dt_fail(err, DT_ERR_USAGE, "--resume must: there is no checkpoint in %s", t->parts->store->ops->location(t->parts->store));
    return DT_OK;
}

/* -- the start -------------------------------------------------------------------------------------------------------- */

/* All ranks start from rank 0's parameters. */
static dt_status broadcast_parameters(trainer *t, dt_error *err)
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
static dt_status check_ranks(trainer *t, dt_error *err)
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

static dt_status plan(trainer *t, dt_error *err)
{
    const dt_config *c = t->config;
    t->parts->train->ops->info(t->parts->train, &t->train);
    t->scaling = c->precision == DT_F16; /* BF16 has float32's exponents */
    t->global_batch = c->batch * c->accumulate * t->comm->size;
    t->steps_per_epoch = dt_steps_per_epoch(t->train.n_samples, t->global_batch);
    if (t->steps_per_epoch < 1)
        return dt_fail(err, DT_ERR_USAGE,
                       "the training set has %lld images, fewer than one global batch of %lld (%d ranks x --batch %lld x --accumulate %lld): take a smaller "
                       "--batch",
                       (long long)t->train.n_samples, (long long)t->global_batch, t->comm->size, (long long)c->batch, (long long)c->accumulate);
    return DT_OK;
}

/* What is left from here on, at this world size: steps that were done at another one do not count in its units. */
static void plan_steps(trainer *t)
{
    int64_t left_of_epoch = (t->train.n_samples - t->position) / t->global_batch;
    t->total_steps = t->step;
    if (t->epoch < t->config->epochs)
        t->total_steps += left_of_epoch + (t->config->epochs - t->epoch - 1) * t->steps_per_epoch;
    if (t->config->steps > 0 && t->config->steps < t->total_steps)
        t->total_steps = t->config->steps;
}

static dt_status create_step(trainer *t, dt_error *err)
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
                                     .update = {.weight_decay = c->weight_decay, .bn_decay = c->bn_decay, .lars = strcmp(c->optimizer, "lars") == 0},
                                     .label_smoothing = c->label_smoothing,
                                     .loss_scale = t->scaling ? (float)c->loss_scale_init : 1.0f,
                                     .wire = c->precision == DT_F16 || c->precision == DT_BF16 ? c->precision : DT_F32,
                                     .no_graph = c->no_graph};
    return dt_agree(t->comm, dt_step_create(&options, &t->step_runner, err), err);
}

static void tell_start(trainer *t)
{
    dt_net_info net;
    dt_source_info val = {0};
    dt_net_get_info(t->parts->net, &net);
    if (t->parts->val)
        t->parts->val->ops->info(t->parts->val, &val);
    dt_metrics_start m = {.first_step = t->step,
                          .total_steps = t->total_steps,
                          .steps_per_epoch = t->steps_per_epoch,
                          .first_epoch = t->epoch,
                          .epochs = t->config->epochs,
                          .world_size = t->comm->size,
                          .global_batch = t->global_batch,
                          .n_train = t->train.n_samples,
                          .n_val = val.n_samples,
                          .n_params = net.n_params};
    if (t->parts->resumed)
        t->parts->resumed(t->parts->resumed_context, t->step);
    TELL(t, start, &m);
}

/* -- the loop ----------------------------------------------------------------------------------------------------------- */

static double epochs_done(const trainer *t)
{
    return (double)t->epoch + (double)t->position / (double)(t->steps_per_epoch * t->global_batch);
}

/* -- sizes of images ------------------------------------------------------------------------------------------------------ */

static int64_t size_of_epoch(const dt_config *c, int64_t epoch)
{
    const double done = (double)epoch / (double)c->epochs + 1e-9;
    int64_t size = c->image_size;
    for (int64_t i = 0; i < c->n_resize && c->resize[i].share <= done; i++)
        size = c->resize[i].image_size;
    return size;
}

/* Collective; nothing is under way. The flat vectors stay where they are: parameters, momentum, averages and the loss scale keep their bits. What
 * depends on the size (plans, activations, captured graphs) is made anew. */
static dt_status bring_net_to(trainer *t, int64_t size, dt_error *err)
{
    if (size == t->net_size)
        return DT_OK;
    t->agreed = true;
    dt_status status = dt_net_resize(t->parts->net, size, err);
    if (status == DT_OK)
        status = dt_step_resize(t->step_runner, size, err);
    DT_TRY(dt_agree(t->comm, status, err));
    t->agreed = false;
    t->net_size = size;
    return DT_OK;
}

/* The images of the epoch that begins. The net follows with its first step. */
static dt_status choose_size(trainer *t, dt_error *err)
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

static dt_status evaluate(trainer *t, dt_error *err)
{
    const dt_trainer_parts *p = t->parts;
    if (!p->val || t->last_evaluated_step == t->step)
        return DT_OK;
    dt_metrics_eval m = {.step = t->step, .epoch = t->position == 0 && t->epoch > 0 ? t->epoch - 1 : t->epoch};
    DT_TRY(bring_net_to(t, t->config->image_size, err));
    t->agreed = true;
    DT_TRY(dt_agree(t->comm, dt_net_swap_ema(p->net, err), err));
    DT_TRY(dt_evaluate(p->net, p->kernels, t->comm, p->val, t->config->batch, p->sinks, p->n_sinks, &m, err));
    DT_TRY(dt_agree(t->comm, dt_net_swap_ema(p->net, err), err));
    t->agreed = false;
    t->last_evaluated_step = t->step;
    t->last_eval = m;
    if (m.val_top1 > t->best_top1)
        t->best_top1 = m.val_top1;
    TELL(t, eval, &m);
    return DT_OK;
}

/* All ranks see the same sum; each tells whether its own part of it was finite. */
static dt_status check_finite(trainer *t, const dt_step_result *r, dt_error *err)
{
    if (isfinite(r->loss))
        return DT_OK;
    char ranks[256] = "";
    size_t used = 0;
    const double mine = r->local_loss;
    dt_step_result others[DT_STEP_MAX_RESULTS];
    int64_t n = 0;
    DT_TRY(dt_step_results(t->step_runner, true, others, DT_STEP_MAX_RESULTS, &n, err)); /* the steps behind it end on all ranks */
    double *losses = dt_alloc((size_t)t->comm->size * sizeof *losses);
    if (!losses)
        return dt_fail_memory(err, (size_t)t->comm->size * sizeof *losses, "the ranks' losses");
    dt_status status = t->comm->ops->all_gather(t->comm, &mine, sizeof mine, losses, err);
    for (int i = 0; status == DT_OK && i < t->comm->size && used + 16 < sizeof ranks; i++)
        if (!isfinite(losses[i]))
            used += (size_t)snprintf(ranks + used, sizeof ranks - used, "%s%d", used ? ", " : "", i);
    dt_free(losses);
    DT_TRY(status);
    t->agreed = true;
    return dt_fail(err, DT_ERR_NUMERIC,
                   "the loss is not finite (%g) at step %lld, epoch %lld, on rank %s, with learning rate %g: lower --lr or lengthen --warmup-epochs; the last "
                   "checkpoint is from before",
                   r->loss, (long long)step_of(t, r), (long long)t->epoch + 1, used ? ranks : "none alone", r->lr);
}

/* The scale is at 1 long before so many. */
#define MAX_SKIPPED_IN_A_ROW 50

/* Skipped steps are the price of a scale that is as large as can be; told they are, but not each of a series. */
static dt_status check_skipped(trainer *t, const dt_step_result *r, dt_error *err)
{
    t->n_skipped_in_a_row = r->skipped ? t->n_skipped_in_a_row + 1 : 0;
    if (!r->skipped)
        return DT_OK;
    if (t->comm->rank == 0)
        dt_log_info("step %lld was skipped: gradients overflowed; the loss scale is %g now (%lld skipped so far)", (long long)step_of(t, r), r->loss_scale,
                    (long long)r->n_skipped);
    if (t->n_skipped_in_a_row < MAX_SKIPPED_IN_A_ROW)
        return DT_OK;
    t->agreed = true;
    return dt_fail(err, DT_ERR_NUMERIC,
                   "gradients were not finite in %d steps in a row, up to step %lld, though the loss scale has come down to %g: lower --lr, or lengthen "
                   "--warmup-epochs, or take --precision bf16; the last checkpoint is from before",
                   MAX_SKIPPED_IN_A_ROW, (long long)step_of(t, r), r->loss_scale);
}

/* Broken files of this epoch, over all ranks. */
static dt_status count_broken(trainer *t, int64_t *n, dt_error *err)
{
    dt_source_stats stats = {0};
    t->parts->train->ops->stats(t->parts->train, &stats);
    *n = stats.n_broken;
    return t->comm->ops->all_reduce(t->comm, n, 1, DT_I64, DT_REDUCE_SUM, err);
}

/* A source stops when its own rank has found too many; here they count together. */
static dt_status check_broken(trainer *t, dt_error *err)
{
    double share = (double)t->n_broken / (double)t->train.n_samples;
    if (share <= t->config->max_broken + 1e-9)
        return DT_OK;
    t->agreed = true;
    return dt_fail(err, DT_ERR_DATA, "%lld of the %lld training files are broken: %.3g%%, and --max-broken allows %.3g%%; the log names them", (long long)t->n_broken,
                   (long long)t->train.n_samples, 100.0 * share, 100.0 * t->config->max_broken);
}

static dt_status end_epoch(trainer *t, dt_error *err)
{
    int64_t broken = 0;
    DT_TRY(count_broken(t, &broken, err)); /* another epoch may meet others: each leaves out what does not fill a batch */
    t->n_broken = broken > t->n_broken ? broken : t->n_broken;
    DT_TRY(check_broken(t, err));
    double elapsed = dt_clock_s() - t->epoch_start_s;
    dt_metrics_epoch m = {.epoch = t->epoch,
                          .step = t->step,
                          .mean_loss = t->epoch_steps ? t->epoch_loss / (double)t->epoch_steps : 0.0,
                          .mean_top1 = t->epoch_steps ? t->epoch_top1 / (double)t->epoch_steps : 0.0,
                          .elapsed_s = elapsed,
                          .images_per_s = elapsed > 0.0 ? (double)(t->epoch_steps * t->global_batch) / elapsed : 0.0,
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

static dt_status stopped(trainer *t, dt_error *err)
{
    const char *why = t->parts->events ? t->parts->events->ops->stop_requested(t->parts->events) : NULL;
    if (!why)
        why = "another rank's request";
    save_if_needed(t);
    t->agreed = true;
    if (!t->parts->store)
        return dt_fail(err, DT_ERR_INTERRUPTED, "stopped on %s after step %lld; no checkpoint is kept", why, (long long)t->step);
    if (t->save_status != DT_OK)
        return dt_fail(err, DT_ERR_IO, "stopped on %s after step %lld, but the checkpoint was not written: %.700s", why, (long long)t->step,
                       t->save_error.message);
    return dt_fail(err, DT_ERR_INTERRUPTED, "stopped on %s after step %lld; the same command goes on from %s", why, (long long)t->step,
                   t->parts->store->ops->location(t->parts->store));
}

static dt_status take_result(trainer *t, const dt_step_result *r, double seconds, dt_error *err)
{
    DT_TRY(check_finite(t, r, err));
    t->window[t->n_told % RATE_WINDOW] = seconds;
    t->training_s += seconds;
    t->images += t->global_batch;
    t->n_told++;
    t->epoch_loss += r->loss;
    t->epoch_top1 += r->top1;
    t->epoch_steps++;
    t->stop_seen = t->stop_seen || r->stop;
    tell_step(t, r);
    return check_skipped(t, r, err);
}

/* The results that have come; the time since the last ones is theirs, in equal parts. */
static dt_status take_results(trainer *t, bool drain, dt_error *err)
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

static dt_status enqueue_step(trainer *t, dt_error *err)
{
    const dt_trainer_parts *p = t->parts;
    if (dt_fault("train.step"))
        return dt_fail(err, DT_ERR_INTERNAL, "train.step: a fault was asked for at step %lld", (long long)t->step + 1);
    bool stop_wanted = p->events && p->events->ops->stop_requested(p->events);
    double lr = dt_schedule_lr(t->config, epochs_done(t), 1.0 / (double)t->steps_per_epoch, (double)t->config->epochs);
    if (t->n_told == t->step - t->first_step) /* nothing is under way */
        t->mark_s = dt_clock_s();
    DT_TRY(bring_net_to(t, t->train_size, err)); /* in the first step of an epoch, or behind an evaluation: nothing is under way */
    t->comm->step = t->step + 1;
    DT_TRY(dt_step_run(t->step_runner, p->train, lr, stop_wanted, err));
    t->step++;
    t->position += t->global_batch;
    return DT_OK;
}

/* What is done behind a step depends on its number, and on results that all ranks see after the same step. */
static dt_status one_step(trainer *t, dt_error *err)
{
    const dt_config *c = t->config;
    double before = epochs_done(t);
    DT_TRY(enqueue_step(t, err));
    bool epoch_ends = t->train.n_samples - t->position < t->global_batch;
    bool is_last = t->step == t->total_steps; /* what follows the last one, finish() does */
    bool evaluates = !is_last && crosses(before, epoch_ends ? (double)t->epoch + 1.0 : epochs_done(t), c->eval_every);
    bool saves = !is_last && (c->checkpoint_every > 0 ? t->step % c->checkpoint_every == 0 : epoch_ends);
    bool drains = epoch_ends || is_last || evaluates || saves;
    DT_TRY(take_results(t, drains, err));
    if (t->stop_seen && !drains)
        DT_TRY(take_results(t, true, err));
    if (epoch_ends)
        DT_TRY(end_epoch(t, err));
    if (evaluates && !t->stop_seen)
        DT_TRY(evaluate(t, err));
    if (saves)
        save_if_needed(t);
    return t->stop_seen && !is_last ? stopped(t, err) : DT_OK;
}

static dt_status one_epoch(trainer *t, dt_error *err)
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
    DT_TRY(t->parts->train->ops->start(t->parts->train, t->epoch, t->position, steps * t->config->accumulate, err));
    while (t->epoch == epoch && t->step < t->total_steps)
        DT_TRY(one_step(t, err));
    return DT_OK;
}

static dt_status finish(trainer *t, dt_error *err)
{
    DT_TRY(evaluate(t, err));
    save_if_needed(t);
    t->agreed = true;
    if (t->save_status != DT_OK) {
        *err = t->save_error;
        dt_error_prefix(err, "the training is done, but its last checkpoint was not written");
        return t->save_status;
    }
    return DT_OK;
}

static dt_status run(trainer *t, dt_error *err)
{
    t->agreed = true; /* everything up to the first epoch is voted on */
    DT_TRY(plan(t, err));
    DT_TRY(check_ranks(t, err));
    DT_TRY(create_step(t, err));
    DT_TRY(broadcast_parameters(t, err));
    DT_TRY(resume(t, err));
    plan_steps(t);
    t->agreed = false;
    t->first_step = t->step;
    t->start_s = dt_clock_s();
    tell_start(t);
    while (t->epoch < t->config->epochs && t->step < t->total_steps)
        DT_TRY(one_epoch(t, err));
    return finish(t, err);
}

static void summarize(trainer *t, bool stopped_on_request, dt_metrics_end *result)
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

dt_status dt_trainer_run(const dt_trainer_parts *parts, dt_metrics_end *result, bool *local, dt_error *err)
{
    dt_error own = {0};
    trainer t = {.parts = parts, .config = parts->config, .comm = parts->comm, .best_top1 = -1.0, .last_saved_step = -1, .last_evaluated_step = -1};
    t.net_size = t.train_size = parts->config->image_size;
    dt_status status = run(&t, &own);
    *local = status != DT_OK && !t.agreed;
    if (status == DT_OK || status == DT_ERR_INTERRUPTED)
        summarize(&t, status != DT_OK, result);
    else if (err)
        *err = own;
    if (status == DT_ERR_INTERRUPTED && err)
        *err = own;
    tell_what_was_lost(parts);
    if (!dt_comm_device_is_lost(t.comm, status))
        dt_step_destroy(t.step_runner);
    return status;
}
