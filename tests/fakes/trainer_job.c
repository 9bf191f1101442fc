#include "tests/fakes/trainer_job.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "layers/registry.h"
#include "tests/fakes/fake_comm.h"
#include "tests/fakes/fake_source.h"
#include "tests/fakes/fake_store.h"
#include "tests/fakes/lagging_comm.h"
#include "tests/fakes/lagging_kernels.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

job new_job(int size)
{
    job j = {.size = size, .n_train = 64, .n_val = 20};
    j.config = (dt_config){.image_size = SIZE,
                           .batch = 4,
                           .accumulate = 1,
                           .epochs = 2,
                           .lr = 0.05,
                           .momentum = 0.9,
                           .weight_decay = 1e-4,
                           .label_smoothing = 0.1,
                           .bn_decay = true,
                           .bias_decay = true,
                           .schedule = DT_SCHEDULE_COSINE,
                           .poly_power = 2.0,
                           .step_gamma = 0.1,
                           .seed = 3,
                           .keep = 3,
                           .max_broken = 0.1,
                           .eval_every = 1.0};
    return j;
}

void free_job(job *j)
{
    for (int r = 0; r < MAX_RANKS; r++) {
        free(j->values[r]);
        j->values[r] = NULL;
    }
}

/* -- recording sink -------------------------------------------------------------------------------------- */

typedef struct recorder {
    dt_sink head;
    job *j;
} recorder;

static dt_status on_start(dt_sink *sink, const dt_metrics_start *m, dt_error *err)
{
    (void)err;
    ((recorder *)sink)->j->n_starts++;
    ((recorder *)sink)->j->start = *m;
    return DT_OK;
}

static dt_status on_step(dt_sink *sink, const dt_metrics_step *m, dt_error *err)
{
    (void)err;
    job *j = ((recorder *)sink)->j;
    j->steps[j->n_steps++ % MAX_EVENTS] = *m;
    if (j->n_live_blocks_max && (j->n_steps == 1 || dt_alloc_live_blocks() > *j->n_live_blocks_max))
        *j->n_live_blocks_max = dt_alloc_live_blocks();
    return DT_OK;
}

static dt_status on_eval(dt_sink *sink, const dt_metrics_eval *m, dt_error *err)
{
    job *j = ((recorder *)sink)->j;
    j->evals[j->n_evals++ % MAX_EVENTS] = *m;
    return dt_fail(err, DT_ERR_IO, "a sink that fails does not stop the training");
}

static dt_status on_epoch(dt_sink *sink, const dt_metrics_epoch *m, dt_error *err)
{
    (void)err;
    job *j = ((recorder *)sink)->j;
    j->epochs[j->n_epochs++ % MAX_EVENTS] = *m;
    return DT_OK;
}

static dt_status on_checkpoint(dt_sink *sink, const dt_metrics_checkpoint *m, dt_error *err)
{
    (void)err;
    job *j = ((recorder *)sink)->j;
    j->checkpoints_reported_at[j->n_checkpoints % MAX_EVENTS] = j->n_steps;
    j->saved[j->n_checkpoints % MAX_EVENTS] = *m;
    j->checkpoints[j->n_checkpoints++ % MAX_EVENTS] = m->step;
    return DT_OK;
}

static dt_status on_mirror(dt_sink *sink, const dt_metrics_checkpoint *m, dt_error *err)
{
    (void)err;
    job *j = ((recorder *)sink)->j;
    j->mirrored[j->n_mirrored++ % MAX_EVENTS] = *m;
    return DT_OK;
}

static dt_status on_end(dt_sink *sink, const dt_metrics_end *m, dt_error *err)
{
    (void)err;
    ((recorder *)sink)->j->n_ends++;
    ((recorder *)sink)->j->sent_end = *m;
    return DT_OK;
}

static const dt_sink_ops recorder_ops = {.name = "recorder",
                                         .start = on_start,
                                         .step = on_step,
                                         .eval = on_eval,
                                         .epoch = on_epoch,
                                         .checkpoint = on_checkpoint,
                                         .mirror = on_mirror,
                                         .end = on_end};

/* -- stop requests --------------------------------------------------------------------------------------- */

typedef struct stopper {
    dt_events head;
    int64_t asked, after, save_asked, save_after;
    double left_s, end_s, reserve_s; /* end: by dt_clock_s; 0: not known */
    bool at_start, is_limit, is_stop_rank;
    job *j;
} stopper;

static double seconds_left(dt_events *events)
{
    const stopper *s = (const stopper *)events;
    if (s->j->left_s && s->is_stop_rank)
        return s->j->left_s();
    return s->end_s > 0.0 ? s->end_s - dt_clock_s() : INFINITY;
}

static const char *stop_requested(dt_events *events)
{
    stopper *s = (stopper *)events;
    if (s->after && ++s->asked > s->after) {
        if (s->left_s > 0.0 && s->end_s <= 0.0)
            s->end_s = dt_clock_s() + s->left_s;
        return "SIGTEST";
    }
    return seconds_left(events) < s->reserve_s ? "the end" : NULL;
}

static void reserve(dt_events *events, double seconds)
{
    stopper *s = (stopper *)events;
    s->reserve_s = seconds;
    if (s->is_stop_rank)
        s->j->reserved[s->j->n_reserved++ % MAX_EVENTS] = seconds;
}

static const char *save_requested(dt_events *events)
{
    stopper *s = (stopper *)events;
    return s->save_after && ++s->save_asked == s->save_after + 1 ? "advice" : NULL;
}

static const char *start_stop_requested(dt_events *events)
{
    const stopper *s = (const stopper *)events;
    return s->at_start ? "SIGTEST" : seconds_left(events) < 0.0 ? "the end" : NULL;
}

static bool is_limit(dt_events *events)
{
    return ((const stopper *)events)->is_limit;
}

static const dt_events_ops stopper_ops = {.name = "stopper",
                                          .stop_requested = stop_requested,
                                          .seconds_left = seconds_left,
                                          .reserve = reserve,
                                          .save_requested = save_requested,
                                          .start_stop_requested = start_stop_requested,
                                          .is_limit = is_limit};

/* -- one rank -------------------------------------------------------------------------------------------- */

static dt_net *small_net(dt_kernels *kernels, const dt_config *c)
{
    dt_layer_spec layers[] = {
        {.kind = "conv",
         .name = "conv1",
         .n_inputs = 1,
         .inputs = {0},
         .channels = 16,
         .kernel = 3,
         .stride = 1,
         .pad = 1},
        {.kind = "batchnorm", .name = "bn1", .n_inputs = 1, .inputs = {1}, .relu = true},
        {.kind = "max_pool",
         .name = "pool",
         .n_inputs = 1,
         .inputs = {2},
         .kernel = 3,
         .stride = 2,
         .pad = 1},
        {.kind = "average_pool", .name = "avg", .n_inputs = 1, .inputs = {3}},
        {.kind = "linear", .name = "fc", .n_inputs = 1, .inputs = {4}, .channels = CLASSES},
        {.kind = "softmax_loss", .name = "loss", .n_inputs = 1, .inputs = {5}},
    };
    dt_net_spec spec = {
        .arch = "small", .n_classes = CLASSES, .n_layers = sizeof layers / sizeof *layers, .layers = layers};
    const dt_net_options options = {
        .batch = c->batch, .image_size = c->image_size, .training = true, .ema = c->ema_decay > 0.0};
    dt_error err = {0};
    dt_net *net = NULL;
    DT_REQUIRE_MSG(dt_net_create(&spec, dt_layer_registry(), kernels, &options, &net, &err) == DT_OK, "%s",
                   err.message);
    return net;
}

static void keep_values(job *j, int rank, dt_net *net, dt_device *device)
{
    dt_error err = {0};
    dt_net_vectors v;
    dt_net_get_vectors(net, &v);
    const int64_t n_kept = v.n_trained + v.n_statistics;
    j->values[rank] = calloc((size_t)(v.n_all + n_kept), sizeof(float));
    DT_REQUIRE(j->values[rank] != NULL);
    DT_CHECK_INT(device->ops->copy(device, j->values[rank], v.values, n_kept * (int64_t)sizeof(float),
                                   DT_COPY_TO_HOST, NULL, &err),
                 DT_OK);
    if (v.ema)
        DT_CHECK_INT(device->ops->copy(device, j->values[rank] + n_kept, v.ema,
                                       n_kept * (int64_t)sizeof(float), DT_COPY_TO_HOST, NULL, &err),
                     DT_OK);
    DT_CHECK_INT(device->ops->stream_wait(device, NULL, &err), DT_OK);
    if (rank == 0)
        j->vectors = v;
}

/* What one rank has. */
typedef struct rank_parts {
    dt_device *device;
    dt_kernels *kernels;
    dt_kernels_ops scripted_ops;
    dt_comm *comm;      /* the trainer's */
    dt_comm *on_device; /* the same, if the job is lagging; else NULL */
    dt_net *net;
    dt_source *train, *val;
} rank_parts;

static void create_backend(const job *j, dt_comm *comm, rank_parts *p)
{
    dt_error err = {0};
    p->comm = comm;
    if (j->lagging) {
        const dt_emulated_options lazy = {.lazy = true, .capture = true};
        DT_REQUIRE(dt_device_emulated_create(&lazy, &p->device, &err) == DT_OK);
        DT_REQUIRE((j->create_kernels ? j->create_kernels : lagging_kernels_create)(
                       p->device, j->config.precision, &p->kernels, &err) == DT_OK);
        DT_REQUIRE_MSG((j->attach ? j->attach : lagging_comm_create)(comm, p->device, &p->on_device, &err) ==
                           DT_OK,
                       "%s", err.message);
        p->comm = p->on_device;
    } else {
        DT_REQUIRE(dt_device_host_create(1, &p->device, &err) == DT_OK &&
                   dt_kernels_ref_create(p->device, j->config.precision, &p->kernels, &err) == DT_OK);
    }
    if (j->script.sums || j->script.overflows)
        scripted_loss_begin(p->kernels, &p->scripted_ops, &j->script, comm->rank);
    if (j->change_kernels)
        j->change_kernels(p->kernels);
    p->net = small_net(p->kernels, &j->config);
    /* rank 0's must win */
    DT_REQUIRE(dt_net_init(p->net, j->config.seed + (uint64_t)comm->rank, false, &err) == DT_OK);
    if (j->change_net && comm->rank == 0)
        j->change_net(p->net);
}

static void create_sources(job *j, rank_parts *p)
{
    const bool is_root = p->comm->rank == 0;
    fake_source_options o = {.device = p->device,
                             .n_samples = j->n_train,
                             .n_classes = CLASSES,
                             .image_size = j->config.image_size,
                             .starts = is_root ? j->train_sizes : NULL,
                             .n_starts = is_root ? &j->n_train_sizes : NULL,
                             .batch = j->config.batch,
                             .accumulate = j->config.accumulate,
                             .rank = p->comm->rank,
                             .size = p->comm->size,
                             .seed = j->config.seed,
                             .broken_samples = j->broken,
                             .label_shift = j->label_shift,
                             .next_s = is_root ? j->next_s : 0.0,
                             .interrupt_at = is_root ? j->interrupt_next_at : 0,
                             .fail_at = is_root ? j->fail_next_at : 0};
    p->train = fake_source_create(&o);
    o.n_samples = j->n_val;
    o.evaluation = true;
    o.starts = o.n_starts = NULL;
    o.fail_at = o.interrupt_at = 0;
    o.next_s = 0.0;
    o.broken_samples = j->broken_val;
    o.times_seen = j->times_seen;
    p->val = j->n_val ? fake_source_create(&o) : NULL;
}

static void train_on(job *j, const rank_parts *p)
{
    const int rank = p->comm->rank;
    recorder r = {.head = {.ops = &recorder_ops}, .j = j};
    dt_sink *sinks[] = {&r.head};
    stopper s = {.head = {&stopper_ops}, .j = j};
    if (rank == j->stop_rank) {
        s.is_stop_rank = true;
        s.after = j->stop_after;
        s.save_after = j->save_after;
        s.left_s = j->end_s;
        s.end_s = j->end_s != 0.0 && !j->stop_after ? dt_clock_s() + j->end_s : 0.0;
        s.at_start = j->stop_at_start;
        s.is_limit = j->end_is_limit;
    }
    const dt_trainer_parts parts = {.config = &j->config,
                                    .config_text = "seed = 3;",
                                    .arch = "small",
                                    .computed_by = j->computed_by[rank],
                                    .kernels = p->kernels,
                                    .net = p->net,
                                    .comm = p->comm,
                                    .train = p->train,
                                    .val = p->val,
                                    .store = j->second_store && rank >= 2 ? j->second_store : j->store,
                                    .per_host = j->second_store != NULL,
                                    .mirror = j->mirror,
                                    .accepts = j->accepts,
                                    .events = &s.head,
                                    .sinks = sinks,
                                    .n_sinks = rank == 0 ? 1 : 0};
    j->status[rank] = dt_trainer_run(&parts, &j->end[rank], &j->error[rank]);
}

static void run_rank(dt_comm *comm, void *context)
{
    job *j = context;
    const int rank = comm->rank; /* destroying on_device may destroy comm */
    rank_parts p = {0};
    create_backend(j, comm, &p);
    create_sources(j, &p);
    train_on(j, &p);
    keep_values(j, rank, p.net, p.device);
    j->max_held[rank] = fake_source_max_held(p.train);
    if (p.val)
        p.val->ops->destroy(p.val);
    p.train->ops->destroy(p.train);
    dt_net_destroy(p.net);
    if (j->lagging) {
        p.on_device->ops->destroy(p.on_device);
        dt_emulated_get_counts(p.device, &j->counts[rank]);
        DT_CHECK_STR(dt_emulated_fault(p.device), "");
    }
    p.kernels->ops->destroy(p.kernels);
    p.device->ops->destroy(p.device);
}

void run_as_rank(job *j, dt_comm *comm)
{
    DT_REQUIRE(j->size == comm->size && comm->size <= MAX_RANKS);
    run_rank(comm, j);
}

void run(job *j)
{
    DT_REQUIRE(j->size <= MAX_RANKS);
    fake_comm_run(j->size, run_rank, j);
}

void run_again(job *j)
{
    free_job(j);
    j->stop_after = j->save_after = j->n_steps = j->n_evals = j->n_checkpoints = 0;
    j->n_epochs = j->n_mirrored = j->n_reserved = 0;
    j->end_s = 0.0;
    run(j);
}

size_t kept_bytes(const job *j)
{
    return (size_t)(j->vectors.n_trained + j->vectors.n_statistics) * (j->config.ema_decay > 0.0 ? 2 : 1) *
           sizeof(float);
}

void check_all(const job *j, dt_status expected)
{
    for (int r = 0; r < j->size; r++)
        DT_CHECK_MSG(j->status[r] == expected, "rank %d: %s: %s", r, dt_status_name(j->status[r]),
                     j->error[r].message);
}
