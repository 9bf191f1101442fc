/* The training loop on a device whose work is done later: queues that run when a thread waits for them,
 * captured graphs, results in bulk. The arithmetic is layers/ref's, so all results must have the bits that
 * the host gives. */
#include "tests/fakes/fake_store.h"
#include "tests/fakes/lagging_kernels.h"
#include "tests/fakes/trainer_job.h"
#include "tests/testing.h"

#include <string.h>

/* Run the job on the host and on the lagging device; both must end with `expected`. */
static void run_both(job *host, job *lagging, dt_status expected)
{
    lagging->lagging = true;
    run(host);
    run(lagging);
    check_all(host, expected);
    check_all(lagging, expected);
}

static void check_same_values(const job *a, const job *b)
{
    for (int r = 0; r < a->size; r++)
        DT_CHECK_BYTES(b->values[r], a->values[r], kept_bytes(a));
}

static void check_same_story(const job *a, const job *b)
{
    DT_CHECK_INT(b->n_steps, a->n_steps);
    DT_CHECK_INT(b->n_epochs, a->n_epochs);
    DT_CHECK_INT(b->n_evals, a->n_evals);
    DT_CHECK_INT(b->n_checkpoints, a->n_checkpoints);
    for (int64_t i = 0; i < a->n_steps; i++) {
        DT_CHECK_INT(b->steps[i].step, i + 1);
        DT_CHECK_INT(b->steps[i].epoch, a->steps[i].epoch);
        DT_CHECK(b->steps[i].loss == a->steps[i].loss && b->steps[i].top1 == a->steps[i].top1 &&
                 b->steps[i].lr == a->steps[i].lr);
        DT_CHECK(b->steps[i].epoch_progress == a->steps[i].epoch_progress);
        DT_CHECK(b->steps[i].images_per_s > 0.0 && b->steps[i].left_s >= 0.0);
    }
    for (int64_t i = 0; i < a->n_epochs; i++)
        DT_CHECK(b->epochs[i].mean_loss == a->epochs[i].mean_loss &&
                 b->epochs[i].n_images == a->epochs[i].n_images);
    for (int64_t i = 0; i < a->n_evals; i++)
        DT_CHECK(b->evals[i].val_loss == a->evals[i].val_loss && b->evals[i].n == a->evals[i].n &&
                 b->evals[i].step == a->evals[i].step);
}

static void compare(int size, int64_t accumulate, bool no_graph, double ema)
{
    job host = new_job(size), lagging = new_job(size);
    /* 21 steps an epoch: not a multiple of the lag */
    host.n_train = lagging.n_train = 4 * size * accumulate * 21;
    host.config.accumulate = lagging.config.accumulate = accumulate;
    host.config.ema_decay = lagging.config.ema_decay = ema;
    host.config.ema_warmup = lagging.config.ema_warmup = true; /* another decay in every step */
    lagging.config.no_graph = no_graph;
    run_both(&host, &lagging, DT_OK);
    check_same_values(&host, &lagging);
    check_same_story(&host, &lagging);
    const dt_emulated_counts *c = &lagging.counts[0];
    DT_CHECK(c->n_graphs == 0); /* all were destroyed */
    if (no_graph)
        DT_CHECK_INT(c->n_launches, 0);
    else /* each variant (first, middle, last micro-batch; two slots) first runs once without a graph */
        DT_CHECK_INT(c->n_launches, 42 * accumulate - (accumulate == 1 ? 2 : 6));
    DT_CHECK_INT(lagging.max_held[0], 2);
    DT_CHECK_INT(host.max_held[0], 1);
    free_job(&host);
    free_job(&lagging);
}

static void captured_steps_give_the_bits_of_the_host(void)
{
    compare(1, 1, false, 0.0);
    compare(1, 3, false, 0.0);
}

static void steps_without_captured_graphs_give_the_bits_of_the_host(void)
{
    compare(1, 1, true, 0.0);
    compare(1, 3, true, 0.0);
}

static void two_ranks_with_captured_collectives_give_the_bits_of_the_host(void)
{
    compare(2, 1, false, 0.0);
    compare(2, 3, false, 0.0);
    compare(2, 1, true, 0.0);
}

static void evaluation_uses_the_running_averages(void)
{
    compare(1, 1, false, 0.9);
    job plain = new_job(1), averaged = new_job(1);
    averaged.config.ema_decay = 0.9;
    run(&plain);
    run(&averaged);
    check_all(&averaged, DT_OK);
    const size_t n = (size_t)(plain.vectors.n_trained + plain.vectors.n_statistics);
    /* averaging does not change the training */
    DT_CHECK_BYTES(averaged.values[0], plain.values[0], n * sizeof(float));
    DT_CHECK(averaged.evals[0].val_loss != plain.evals[0].val_loss);
    DT_CHECK(memcmp(averaged.values[0], averaged.values[0] + n, n * sizeof(float)) != 0);
    free_job(&plain);
    free_job(&averaged);
}

/* 30 steps an epoch, and nothing drains in between. Rank 1 votes in step 3; the record of step 3 is in the
 * first block of 8, which is read after step 16. */
static void all_ranks_see_a_stop_request_late_and_after_the_same_step(void)
{
    job j = new_job(2);
    j.lagging = true;
    j.n_train = 4 * 2 * 30;
    j.store = fake_store_create(&(fake_store_options){0});
    j.stop_rank = 1;
    j.stop_after = 2;
    run(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_INT(j.n_steps, 16);
    DT_CHECK_INT(j.checkpoints[0], 16);
    DT_CHECK_CONTAINS(j.error[0].message, "after step 16");
    DT_CHECK(j.error[0].shared && j.error[1].shared);
    /* The same command goes on, and ends where a run in one piece does. */
    job whole = new_job(2);
    whole.n_train = j.n_train;
    run_again(&j);
    run(&whole);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.steps[0].step, 17);
    check_same_values(&whole, &j);
    j.store->ops->destroy(j.store);
    free_job(&j);
    free_job(&whole);
}

static void a_loss_that_is_not_finite_is_reported_with_its_own_step(void)
{
    job host = new_job(2), lagging = new_job(2);
    host.n_train = lagging.n_train = 4 * 2 * 30;
    host.config.lr = lagging.config.lr = 1e30;
    host.config.schedule = lagging.config.schedule = DT_SCHEDULE_CONSTANT;
    run_both(&host, &lagging, DT_ERR_NUMERIC);
    DT_CHECK_STR(lagging.error[0].message, host.error[0].message);
    DT_CHECK_STR(lagging.error[1].message, host.error[0].message);
    DT_CHECK(lagging.error[0].shared && lagging.error[1].shared);
    DT_CHECK_INT(lagging.n_steps, host.n_steps);
    free_job(&host);
    free_job(&lagging);
}

/* -- checkpoints ----------------------------------------------------------------------------------------- */

#define MAX_ELEMS 4096

/* Read the whole stream of a checkpoint; return the manifest's scale and counts. */
static dt_manifest checkpoint_of(dt_store *store, int64_t step, float *stream)
{
    dt_error err = {0};
    dt_manifest m = {0};
    DT_REQUIRE_MSG(store->ops->read_manifest(store, step, &m, &err) == DT_OK, "%s", err.message);
    for (int64_t i = 0; i < m.n_shards; i++) {
        DT_REQUIRE(m.shards[i].first + m.shards[i].n_elems <= MAX_ELEMS);
        DT_REQUIRE_MSG(store->ops->read_shard(store, &m, &m.shards[i], stream + m.shards[i].first, &err) ==
                           DT_OK,
                       "%s", err.message);
    }
    const dt_manifest scalars = {.loss_scale = m.loss_scale,
                                 .n_good_steps = m.n_good_steps,
                                 .n_skipped_steps = m.n_skipped_steps,
                                 .position = m.position};
    dt_manifest_clear(&m);
    return scalars;
}

static int64_t checkpoints_of(dt_store *store, int64_t *steps)
{
    int64_t n = 0;
    dt_error err = {0};
    DT_REQUIRE(store->ops->list(store, steps, MAX_EVENTS, &n, &err) == DT_OK && n <= MAX_EVENTS);
    return n;
}

/* Every checkpoint has the same bits, whether or not the device had gone on while it was written. */
static void check_same_checkpoints(const job *a, const job *b)
{
    static float stream_a[MAX_ELEMS], stream_b[MAX_ELEMS];
    int64_t steps_a[MAX_EVENTS], steps_b[MAX_EVENTS], n = checkpoints_of(a->store, steps_a);
    DT_CHECK_INT(checkpoints_of(b->store, steps_b), n);
    for (int64_t i = 0; i < n; i++) {
        DT_CHECK_INT(steps_b[i], steps_a[i]);
        memset(stream_a, 0, sizeof stream_a);
        memset(stream_b, 0, sizeof stream_b);
        const dt_manifest in_a = checkpoint_of(a->store, steps_a[i], stream_a),
                          in_b = checkpoint_of(b->store, steps_a[i], stream_b);
        DT_CHECK_BYTES(stream_b, stream_a, sizeof stream_a);
        DT_CHECK(in_a.loss_scale == in_b.loss_scale && in_a.position == in_b.position);
        DT_CHECK_INT(in_b.n_good_steps, in_a.n_good_steps);
        DT_CHECK_INT(in_b.n_skipped_steps, in_a.n_skipped_steps);
        DT_CHECK(in_a.loss_scale == a->steps[steps_a[i] - 1].loss_scale);
        DT_CHECK_INT(in_a.n_skipped_steps, a->steps[steps_a[i] - 1].n_skipped);
    }
}

static void save_on_both(int size, bool scaled)
{
    job host = new_job(size), lagging = new_job(size);
    for (int i = 0; i < 2; i++) {
        job *j = i ? &lagging : &host;
        j->config.checkpoint_every = 3;
        j->config.keep = 30;
        j->config.ema_decay = 0.9;
        j->n_train = 4 * size * 21;
        if (scaled) {
            j->config.precision = DT_F16;
            j->config.loss_scale_init = 1 << 20; /* too large: it comes down */
        }
        j->store = fake_store_create(&(fake_store_options){0});
    }
    run_both(&host, &lagging, DT_OK);
    check_same_values(&host, &lagging);
    DT_CHECK_INT(fake_store_count(host.store), 14);
    check_same_checkpoints(&host, &lagging);
    host.store->ops->destroy(host.store);
    lagging.store->ops->destroy(lagging.store);
    free_job(&host);
    free_job(&lagging);
}

static void every_checkpoint_has_the_bits_of_its_own_step(void)
{
    save_on_both(1, false);
    save_on_both(2, false);
    save_on_both(1, true);
    save_on_both(3, true);
}

/* As all_ranks_see_a_stop_request_late_and_after_the_same_step, with saves: if a save waited for the device,
 * ranks would see the request after the first save. */
static void a_save_does_not_wait_for_the_device(void)
{
    job j = new_job(2);
    j.lagging = true;
    j.n_train = 4 * 2 * 30;
    j.config.checkpoint_every = 3;
    j.store = fake_store_create(&(fake_store_options){0});
    j.stop_rank = 1;
    j.stop_after = 2;
    run(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_INT(j.n_steps, 16);
    j.store->ops->destroy(j.store);
    free_job(&j);
}

/* Results come steps later than saves, so the loss of the weights that are saved is not known yet. */
static void weights_after_a_loss_that_is_not_finite_are_not_saved(void)
{
    static float stream[MAX_ELEMS];
    job j = new_job(2);
    int64_t steps[MAX_EVENTS];
    j.lagging = true;
    j.n_train = 4 * 2 * 30;
    j.config.lr = 1e20;
    j.config.schedule = DT_SCHEDULE_CONSTANT;
    j.config.checkpoint_every = 1;
    j.config.keep = 30;
    j.store = fake_store_create(&(fake_store_options){0});
    run(&j);
    check_all(&j, DT_ERR_NUMERIC);
    const int64_t n = checkpoints_of(j.store, steps);
    for (int64_t i = 0; i < n; i++)
        DT_CHECK_MSG(steps[i] <= j.n_steps,
                     "a checkpoint of step %lld, and the loss of step %lld was not finite",
                     (long long)steps[i], (long long)j.n_steps + 1);
    DT_CHECK(n > 0);
    (void)checkpoint_of(j.store, steps[0], stream);
    j.store->ops->destroy(j.store);
    free_job(&j);
}

static const dt_device_ops *device_ops;
static dt_device_ops breaking_ops;
static int64_t n_side_copies;

static dt_status run_broken(void *context, dt_error *err)
{
    (void)context;
    return dt_fail(err, DT_ERR_DEVICE, "an ECC error");
}

/* A copy to the host on a stream of its own is a snapshot's; the second one fails, when the device does
 * it. */
static dt_status break_second(dt_device *device, void *dst, const void *src, int64_t bytes, dt_copy_kind kind,
                              dt_stream *stream, dt_error *err)
{
    if (kind == DT_COPY_TO_HOST && stream && ++n_side_copies == 2)
        DT_TRY(dt_emulated_enqueue(device, stream,
                                   &(dt_emulated_work){.name = "a broken copy", .run = run_broken}, err));
    return device_ops->copy(device, dst, src, bytes, kind, stream, err);
}

static dt_status create_on_breaking(dt_device *device, dt_dtype dtype, dt_kernels **kernels, dt_error *err)
{
    device_ops = device->ops;
    breaking_ops = *device->ops;
    breaking_ops.copy = break_second;
    device->ops = &breaking_ops;
    return lagging_kernels_create(device, dtype, kernels, err);
}

static void a_failing_copy_costs_one_checkpoint_and_nothing_else(void)
{
    job j = new_job(1);
    int64_t steps[MAX_EVENTS];
    j.lagging = true;
    j.create_kernels = create_on_breaking;
    j.config.checkpoint_every = 10;
    j.config.keep = 30;
    j.store = fake_store_create(&(fake_store_options){0});
    run(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(n_side_copies, 4); /* steps 10, 20, 30, 32 */
    DT_CHECK_INT(checkpoints_of(j.store, steps), 3);
    DT_CHECK_INT(steps[2], 10);
    DT_CHECK_INT(steps[1], 30);
    j.store->ops->destroy(j.store);
    free_job(&j);
}

static void a_checkpoint_between_evaluations_holds_its_own_step(void)
{
    job host = new_job(1), lagging = new_job(1);
    host.config.checkpoint_every = lagging.config.checkpoint_every = 3;
    host.config.eval_every = lagging.config.eval_every = 0.4;
    host.store = fake_store_create(&(fake_store_options){0});
    lagging.store = fake_store_create(&(fake_store_options){0});
    run_both(&host, &lagging, DT_OK);
    check_same_story(&host, &lagging);
    fake_store_forget_after(host.store, 30);
    fake_store_forget_after(lagging.store, 30);
    for (int i = 0; i < 2; i++) { /* go on from step 30 */
        job *j = i ? &lagging : &host;
        run_again(j);
        check_all(j, DT_OK);
        DT_CHECK_INT(j->steps[0].step, 31);
        j->store->ops->destroy(j->store);
    }
    check_same_values(&host, &lagging);
    free_job(&host);
    free_job(&lagging);
}

/* Ranks learn only from the votes in the steps that all shards are ready. */
static void a_checkpoint_is_committed_while_training_goes_on(void)
{
    for (int lagging = 0; lagging < 2; lagging++) {
        job j = new_job(2);
        j.config.checkpoint_every = 1000000;
        j.config.epochs = 30;
        j.config.eval_every = 0.0;
        j.save_after = 4;
        j.lagging = lagging;
        j.store = fake_store_create(&(fake_store_options){0});
        run(&j);
        check_all(&j, DT_OK);
        DT_CHECK_INT(j.n_steps, 240);
        DT_CHECK_INT(j.n_checkpoints, 2);
        DT_CHECK(j.checkpoints[0] < 240 && j.checkpoints_reported_at[0] >= j.checkpoints[0] &&
                 j.checkpoints_reported_at[0] < 240);
        DT_CHECK_INT(j.checkpoints[1], 240);
        j.store->ops->destroy(j.store);
        free_job(&j);
    }
}

static void a_failing_source_leaves_no_memory_and_no_work_on_the_device(void)
{
    job j = new_job(1);
    j.lagging = true;
    j.fail_next_at = 13;
    run(&j);
    check_all(&j, DT_ERR_DATA);
    DT_CHECK(!j.error[0].shared);
    free_job(&j);
}

static const dt_test tests[] = {
    DT_TEST(captured_steps_give_the_bits_of_the_host),
    DT_TEST(steps_without_captured_graphs_give_the_bits_of_the_host),
    DT_TEST(two_ranks_with_captured_collectives_give_the_bits_of_the_host),
    DT_TEST(evaluation_uses_the_running_averages),
    DT_TEST(all_ranks_see_a_stop_request_late_and_after_the_same_step),
    DT_TEST(a_loss_that_is_not_finite_is_reported_with_its_own_step),
    DT_TEST(every_checkpoint_has_the_bits_of_its_own_step),
    DT_TEST(a_save_does_not_wait_for_the_device),
    DT_TEST(weights_after_a_loss_that_is_not_finite_are_not_saved),
    DT_TEST(a_failing_copy_costs_one_checkpoint_and_nothing_else),
    DT_TEST(a_checkpoint_between_evaluations_holds_its_own_step),
    DT_TEST(a_checkpoint_is_committed_while_training_goes_on),
    DT_TEST(a_failing_source_leaves_no_memory_and_no_work_on_the_device),
};
DT_TEST_MAIN("core/trainer_lag", tests)
