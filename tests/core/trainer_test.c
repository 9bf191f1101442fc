/* The training loop with fakes on every side but the arithmetic: a small net on the reference backend, made-up images, threads as
 * ranks, a store in memory. */
#include "core/training/trainer.h"
#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/model/device_host.h"
#include "core/training/evaluate.h"
#include "layers/ref/kernels_ref.h"
#include "layers/registry.h"
#include "tests/fakes/fake_comm.h"
#include "tests/fakes/fake_source.h"
#include "tests/fakes/fake_store.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_RANKS 4
#define SIZE 8
#define CLASSES 4
#define MAX_EVENTS 256

/* -- what a test sets and what it gets ------------------------------------------------------------------------------ */

typedef struct job {
    dt_config config;
    int size;
    int64_t n_train, n_val, broken;
    dt_store *store;     /* may be NULL */
    int64_t stop_after;  /* rank stop_rank asks to stop after so many steps; 0: never */
    int stop_rank;
    int64_t fail_next_at; /* rank 0's training source fails there */
    int *times_seen;      /* [n_val] */

    dt_status status[MAX_RANKS];
    bool local[MAX_RANKS];
    dt_error error[MAX_RANKS];
    dt_metrics_end end[MAX_RANKS];
    float *values[MAX_RANKS]; /* the flat vector at the end */
    dt_net_vectors vectors;
    dt_metrics_step steps[MAX_EVENTS];
    dt_metrics_eval evals[MAX_EVENTS];
    dt_metrics_epoch epochs[MAX_EVENTS];
    int64_t checkpoints[MAX_EVENTS];
    int64_t n_steps, n_evals, n_epochs, n_checkpoints, n_starts, n_ends;
} job;

static job new_job(int size)
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
                           .schedule = DT_SCHEDULE_COSINE,
                           .seed = 3,
                           .keep = 3,
                           .max_broken = 0.1,
                           .eval_every = 1.0};
    return j;
}

static void free_job(job *j)
{
    for (int r = 0; r < MAX_RANKS; r++)
        free(j->values[r]);
}

/* -- recording sink ----------------------------------------------------------------------------------------------- */

typedef struct recorder {
    dt_sink head;
    job *j;
} recorder;

static dt_status on_start(dt_sink *sink, const dt_metrics_start *m, dt_error *err)
{
    (void)m;
    (void)err;
    ((recorder *)sink)->j->n_starts++;
    return DT_OK;
}

static dt_status on_step(dt_sink *sink, const dt_metrics_step *m, dt_error *err)
{
    (void)err;
    job *j = ((recorder *)sink)->j;
    j->steps[j->n_steps++ % MAX_EVENTS] = *m;
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
    j->checkpoints[j->n_checkpoints++ % MAX_EVENTS] = m->step;
    return DT_OK;
}

static dt_status on_end(dt_sink *sink, const dt_metrics_end *m, dt_error *err)
{
    (void)m;
    (void)err;
    ((recorder *)sink)->j->n_ends++;
    return DT_OK;
}

static const dt_sink_ops recorder_ops = {
    .name = "recorder", .start = on_start, .step = on_step, .eval = on_eval, .epoch = on_epoch, .checkpoint = on_checkpoint, .end = on_end};

/* -- stop requests -------------------------------------------------------------------------------------------------- */

typedef struct stopper {
    dt_events head;
    int64_t asked, after;
} stopper;

static const char *stop_requested(dt_events *events)
{
    stopper *s = (stopper *)events;
    return s->after && ++s->asked > s->after ? "SIGTEST" : NULL;
}

static const dt_events_ops stopper_ops = {.name = "stopper", .stop_requested = stop_requested};

/* -- one rank --------------------------------------------------------------------------------------------------------- */

static dt_net *small_net(dt_kernels *kernels, const dt_config *c)
{
    dt_layer_spec layers[] = {
        {.kind = "conv", .name = "conv1", .n_inputs = 1, .inputs = {0}, .channels = 16, .kernel = 3, .stride = 1, .pad = 1},
        {.kind = "batchnorm", .name = "bn1", .n_inputs = 1, .inputs = {1}, .relu = true},
        {.kind = "max_pool", .name = "pool", .n_inputs = 1, .inputs = {2}, .kernel = 3, .stride = 2, .pad = 1},
        {.kind = "average_pool", .name = "avg", .n_inputs = 1, .inputs = {3}},
        {.kind = "linear", .name = "fc", .n_inputs = 1, .inputs = {4}, .channels = CLASSES},
        {.kind = "softmax_loss", .name = "loss", .n_inputs = 1, .inputs = {5}},
    };
    dt_net_spec spec = {.arch = "small", .n_classes = CLASSES, .n_layers = sizeof layers / sizeof *layers, .layers = layers};
    const dt_net_options options = {.batch = c->batch, .image_size = c->image_size, .training = true};
    dt_error err = {0};
    dt_net *net = NULL;
    DT_REQUIRE_MSG(dt_net_create(&spec, dt_layer_registry(), kernels, &options, &net, &err) == DT_OK, "%s", err.message);
    return net;
}

static void run_rank(dt_comm *comm, void *context)
{
    job *j = context;
    dt_error err = {0};
    dt_device *device = NULL;
    dt_kernels *kernels = NULL;
    DT_REQUIRE(dt_device_host_create(1, &device, &err) == DT_OK && dt_kernels_ref_create(device, DT_F32, &kernels, &err) == DT_OK);
    dt_net *net = small_net(kernels, &j->config);
    DT_REQUIRE(dt_net_init(net, j->config.seed + (uint64_t)comm->rank, false, &err) == DT_OK); /* rank 0's must win */
    fake_source_options o = {.n_samples = j->n_train,
                             .n_classes = CLASSES,
                             .image_size = SIZE,
                             .batch = j->config.batch,
                             .accumulate = j->config.accumulate,
                             .rank = comm->rank,
                             .size = comm->size,
                             .seed = j->config.seed,
                             .broken_samples = j->broken,
                             .fail_at = comm->rank == 0 ? j->fail_next_at : 0};
    dt_source *train = fake_source_create(&o);
    o.n_samples = j->n_val;
    o.evaluation = true;
    o.fail_at = 0;
    o.times_seen = j->times_seen;
    dt_source *val = j->n_val ? fake_source_create(&o) : NULL;
    recorder r = {.head = {.ops = &recorder_ops}, .j = j};
    dt_sink *sinks[] = {&r.head};
    stopper s = {.head = {&stopper_ops}, .after = comm->rank == j->stop_rank ? j->stop_after : 0};
    const dt_trainer_parts parts = {.config = &j->config,
                                    .config_text = "seed = 3;",
                                    .arch = "small",
                                    .kernels = kernels,
                                    .net = net,
                                    .comm = comm,
                                    .train = train,
                                    .val = val,
                                    .store = j->store,
                                    .events = &s.head,
                                    .sinks = sinks,
                                    .n_sinks = comm->rank == 0 ? 1 : 0};
    j->status[comm->rank] = dt_trainer_run(&parts, &j->end[comm->rank], &j->local[comm->rank], &j->error[comm->rank]);
    dt_net_vectors v;
    dt_net_get_vectors(net, &v);
    j->values[comm->rank] = malloc((size_t)v.n_all * sizeof(float));
    memcpy(j->values[comm->rank], v.values, (size_t)v.n_all * sizeof(float));
    if (comm->rank == 0)
        j->vectors = v;
    if (val)
        val->ops->destroy(val);
    train->ops->destroy(train);
    dt_net_destroy(net);
    kernels->ops->destroy(kernels);
    device->ops->destroy(device);
}

static void run(job *j)
{
    DT_REQUIRE(j->size <= MAX_RANKS);
    fake_comm_run(j->size, run_rank, j);
}

static void check_all(const job *j, dt_status expected)
{
    for (int r = 0; r < j->size; r++)
        DT_CHECK_MSG(j->status[r] == expected, "rank %d: %s: %s", r, dt_status_name(j->status[r]), j->error[r].message);
}

/* -- tests ------------------------------------------------------------------------------------------------------------ */

static void it_learns_and_tells_everything(void)
{
    job j = new_job(2);
    j.config.epochs = 8;
    run(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.n_steps, 8 * 8);
    DT_CHECK_INT(j.n_epochs, 8);
    DT_CHECK_INT(j.n_evals, 8);
    DT_CHECK_INT(j.n_starts, 1);
    DT_CHECK_INT(j.n_ends, 1);
    DT_CHECK(j.evals[7].val_top1 > 0.9 && j.evals[7].val_loss < 0.9);
    DT_CHECK(j.end[0].final_top1 == j.evals[7].val_top1 && j.end[1].final_top1 == j.end[0].final_top1);
    DT_CHECK_INT(j.evals[7].n, 20);
    DT_CHECK_INT(j.steps[9].step, 10);
    DT_CHECK_INT(j.steps[9].epoch, 1);
    DT_CHECK_CLOSE(j.steps[9].epoch_progress, 0.25, 1e-12);
    DT_CHECK(j.steps[0].loss > j.steps[63].loss && j.steps[0].lr > j.steps[63].lr && j.steps[5].images_per_s > 0.0);
    DT_CHECK_BYTES(j.values[1], j.values[0], (size_t)(j.vectors.n_trained + j.vectors.n_statistics) * sizeof(float));
    free_job(&j);
}

/* Two ranks, one rank that accumulates two micro-batches: the same sums over the same samples. */
static void ranks_and_accumulation_are_interchangeable(void)
{
    job two = new_job(2), one = new_job(1), four = new_job(4);
    one.config.accumulate = 4;
    two.config.accumulate = 2;
    run(&two);
    run(&one);
    run(&four);
    check_all(&two, DT_OK);
    check_all(&one, DT_OK);
    check_all(&four, DT_OK);
    int64_t n = one.vectors.n_trained + one.vectors.n_statistics;
    DT_CHECK_NEAR(two.values[0], one.values[0], n, 1e-4);
    DT_CHECK_NEAR(four.values[0], one.values[0], n, 1e-4);
    DT_CHECK_CLOSE(four.steps[2].loss, one.steps[2].loss, 1e-4);
    free_job(&two);
    free_job(&one);
    free_job(&four);
}

static void evaluation_counts_each_image_once(void)
{
    const int64_t counts[] = {1, 7, 16, 33};
    for (int size = 1; size <= 4; size++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            int seen[64] = {0};
            job j = new_job(size);
            j.config.epochs = 1;
            j.n_val = counts[i];
            j.times_seen = seen;
            run(&j);
            check_all(&j, DT_OK);
            DT_CHECK_INT(j.n_evals, 1);
            DT_CHECK_INT(j.evals[0].n, counts[i]);
            for (int64_t k = 0; k < counts[i]; k++)
                DT_CHECK_INT(seen[k], 1);
            free_job(&j);
        }
}

static void resume_gives_the_same_bits(int size)
{
    job whole = new_job(size);
    whole.config.checkpoint_every = 3;
    whole.store = fake_store_create(&(fake_store_options){0});
    run(&whole);
    check_all(&whole, DT_OK);
    size_t bytes = (size_t)(whole.vectors.n_trained + whole.vectors.n_statistics) * sizeof(float);
    DT_CHECK_INT(whole.checkpoints[0], 3);
    DT_CHECK_INT(fake_store_count(whole.store), 3);
    whole.store->ops->destroy(whole.store);

    job again = new_job(size);
    again.config.checkpoint_every = 3;
    again.store = fake_store_create(&(fake_store_options){0});
    again.config.steps = size == 1 ? 22 : 10; /* the first start ends there, in the middle of an epoch */
    run(&again);
    check_all(&again, DT_OK);
    fake_store_forget_after(again.store, size == 1 ? 21 : 9);
    again.config.steps = 0;
    again.n_steps = 0;
    for (int r = 0; r < size; r++)
        free(again.values[r]);
    run(&again);
    check_all(&again, DT_OK);
    DT_CHECK_INT(again.steps[0].step, size == 1 ? 22 : 10);
    DT_CHECK_BYTES(again.values[0], whole.values[0], bytes);
    again.store->ops->destroy(again.store);
    free_job(&whole);
    free_job(&again);
}

static void resume_on_one_rank_gives_the_same_bits(void)
{
    resume_gives_the_same_bits(1);
}

static void resume_on_two_ranks_gives_the_same_bits(void)
{
    resume_gives_the_same_bits(2);
}

static void a_run_goes_on_at_another_world_size(void)
{
    job first = new_job(1);
    first.store = fake_store_create(&(fake_store_options){0});
    first.config.steps = 5; /* 20 of 64 samples */
    run(&first);
    job second = new_job(2);
    second.store = first.store;
    run(&second);
    check_all(&second, DT_OK);
    DT_CHECK_INT(second.steps[0].step, 6);
    DT_CHECK_INT(second.n_steps, 5 + 8); /* 44 samples left: 5 global batches of 8, then an epoch of 8 */
    DT_CHECK_INT(second.end[0].epochs, 2);
    first.store->ops->destroy(first.store);
    free_job(&first);
    free_job(&second);
}

static void a_run_that_is_done_trains_no_more(void)
{
    job j = new_job(1);
    j.store = fake_store_create(&(fake_store_options){0});
    run(&j);
    j.n_steps = j.n_evals = 0;
    free(j.values[0]);
    run(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.n_steps, 0);
    DT_CHECK_INT(j.n_evals, 1);
    j.store->ops->destroy(j.store);
    free_job(&j);
}

static void resume_refuses_what_does_not_fit(void)
{
    job j = new_job(2);
    j.store = fake_store_create(&(fake_store_options){0});
    j.config.resume = DT_RESUME_MUST;
    run(&j);
    check_all(&j, DT_ERR_USAGE);
    DT_CHECK_CONTAINS(j.error[1].message, "--resume must");
    DT_CHECK(!j.local[0] && !j.local[1]);
    free_job(&j);

    job first = new_job(2);
    first.store = j.store;
    run(&first);
    check_all(&first, DT_OK);
    job other_seed = new_job(2), other_data = new_job(2);
    other_seed.store = other_data.store = j.store;
    other_seed.config.seed = 4;
    other_data.n_train = 80;
    run(&other_seed);
    run(&other_data);
    check_all(&other_seed, DT_ERR_USAGE);
    check_all(&other_data, DT_ERR_USAGE);
    DT_CHECK_CONTAINS(other_seed.error[0].message, "--seed says 4");
    DT_CHECK_CONTAINS(other_data.error[0].message, "other training data");
    j.store->ops->destroy(j.store);
    free_job(&first);
    free_job(&other_seed);
    free_job(&other_data);
}

static void a_stop_request_on_one_rank_stops_all_after_the_same_step(void)
{
    job j = new_job(3);
    j.store = fake_store_create(&(fake_store_options){0});
    j.stop_rank = 2;
    j.stop_after = 4; /* the fifth step carries it */
    run(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_INT(j.n_steps, 5);
    DT_CHECK_INT(j.checkpoints[0], 5);
    DT_CHECK_CONTAINS(j.error[2].message, "SIGTEST");
    DT_CHECK_CONTAINS(j.error[0].message, "after step 5");
    for (int r = 0; r < 3; r++)
        DT_CHECK(!j.local[r] && j.end[r].stopped_on_request);
    j.store->ops->destroy(j.store);
    free_job(&j);
}

static void a_loss_that_is_not_finite_stops_everybody(void)
{
    job j = new_job(2);
    j.config.lr = 1e30;
    j.config.schedule = DT_SCHEDULE_CONSTANT;
    run(&j);
    check_all(&j, DT_ERR_NUMERIC);
    DT_CHECK_CONTAINS(j.error[1].message, "not finite");
    DT_CHECK_CONTAINS(j.error[1].message, "learning rate 1e+30");
    DT_CHECK_CONTAINS(j.error[1].message, "at step ");
    DT_CHECK_CONTAINS(j.error[1].message, "on rank ");
    DT_CHECK(!j.local[0] && !j.local[1]);
    free_job(&j);
}

static void an_error_of_one_rank_is_local(void)
{
    job j = new_job(1);
    j.fail_next_at = 3;
    run(&j);
    check_all(&j, DT_ERR_DATA);
    DT_CHECK(j.local[0]);
    DT_CHECK_INT(j.n_steps, 2);
    free_job(&j);
}

static void a_full_disk_does_not_stop_the_training(void)
{
    job j = new_job(2);
    j.config.checkpoint_every = 2;
    j.store = fake_store_create(&(fake_store_options){.fail_commit_from = 2});
    run(&j);
    check_all(&j, DT_ERR_IO);
    DT_CHECK_INT(j.n_steps, 16);
    DT_CHECK_INT(j.n_checkpoints, 1);
    DT_CHECK_CONTAINS(j.error[1].message, "the training is done");
    DT_CHECK_INT(fake_store_count(j.store), 1);
    j.store->ops->destroy(j.store);
    free_job(&j);
}

static void too_few_images_are_refused(void)
{
    job j = new_job(2);
    j.n_train = 7;
    run(&j);
    check_all(&j, DT_ERR_USAGE);
    DT_CHECK_CONTAINS(j.error[0].message, "7 images, fewer than one global batch of 8");
    free_job(&j);
}

static void evaluation_comes_as_often_as_asked(void)
{
    const struct {
        double every;
        int64_t expected;
    } cases[] = {{0.0, 1}, {0.5, 4}, {1.0, 2}, {2.0, 1}, {5.0, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job j = new_job(1);
        j.config.eval_every = cases[i].every;
        run(&j);
        check_all(&j, DT_OK);
        DT_CHECK_MSG(j.n_evals == cases[i].expected, "every %g epochs: %lld evaluations", cases[i].every, (long long)j.n_evals);
        free_job(&j);
    }
}

static char log_text[1024];

static void keep_line(void *context, dt_log_level level, const char *text)
{
    (void)context;
    (void)level;
    size_t used = strlen(log_text);
    snprintf(log_text + used, sizeof log_text - used, "%s\n", text);
}

static void a_sink_that_fails_is_told_once_and_counted_at_the_end(void)
{
    job j = new_job(1);
    log_text[0] = '\0';
    dt_log_set_sink(keep_line, NULL, DT_LOG_WARN);
    run(&j);
    dt_log_set_sink(NULL, NULL, DT_LOG_DEBUG);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.n_evals, 2);
    DT_CHECK_STR(log_text, "recorder: a sink that fails does not stop the training (the training goes on)\n"
                           "recorder: 2 events could not be written\n");
    free_job(&j);
}

static void broken_files_are_summed_over_ranks_epoch_by_epoch(void)
{
    job j = new_job(2);
    j.broken = 3;
    run(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.epochs[0].n_broken, 6);
    DT_CHECK_INT(j.epochs[1].n_broken, 4);
    DT_CHECK_INT(j.end[0].n_broken, 6);
    free_job(&j);
}

/* Each rank alone is below the limit. */
static void too_many_broken_files_of_all_ranks_together_stop_the_run(void)
{
    job j = new_job(2);
    j.broken = 4; /* 8 of 64 */
    run(&j);
    check_all(&j, DT_ERR_DATA);
    DT_CHECK_CONTAINS(j.error[1].message, "8 of the 64 training files are broken: 12.5%, and --max-broken allows 10%");
    DT_CHECK(!j.local[0] && !j.local[1]);
    free_job(&j);
}

static void steps_limit_counts_optimizer_steps(void)
{
    job j = new_job(1);
    j.config.steps = 3;
    j.config.accumulate = 2;
    run(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.n_steps, 3);
    DT_CHECK_INT(j.n_evals, 1);
    free_job(&j);
}

static const dt_test tests[] = {
    DT_TEST(it_learns_and_tells_everything),
    DT_TEST(ranks_and_accumulation_are_interchangeable),
    DT_TEST(evaluation_counts_each_image_once),
    DT_TEST(resume_on_one_rank_gives_the_same_bits),
    DT_TEST(resume_on_two_ranks_gives_the_same_bits),
    DT_TEST(a_run_goes_on_at_another_world_size),
    DT_TEST(a_run_that_is_done_trains_no_more),
    DT_TEST(resume_refuses_what_does_not_fit),
    DT_TEST(a_stop_request_on_one_rank_stops_all_after_the_same_step),
    DT_TEST(a_loss_that_is_not_finite_stops_everybody),
    DT_TEST(an_error_of_one_rank_is_local),
    DT_TEST(a_full_disk_does_not_stop_the_training),
    DT_TEST(too_few_images_are_refused),
    DT_TEST(evaluation_comes_as_often_as_asked),
    DT_TEST(a_sink_that_fails_is_told_once_and_counted_at_the_end),
    DT_TEST(broken_files_are_summed_over_ranks_epoch_by_epoch),
    DT_TEST(too_many_broken_files_of_all_ranks_together_stop_the_run),
    DT_TEST(steps_limit_counts_optimizer_steps),
};
DT_TEST_MAIN("core/trainer", tests)
