/* The training loop with the whole CUDA backend on the emulated device, whose work runs late: captured or
 * not, and resumed, the bits are the same. (tests/core/training/trainer_lag_test.c runs layers/ref on that
 * device.) */
#include "tests/emulated/gpu_emulated.h"
#include "tests/emulator/emulator.h"
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_store.h"
#include "tests/fakes/trainer_job.h"
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static dt_graph_runner *runner; /* of the present run */
/* The engines of the interpreted library, with the times that a measurement finds; n 0: it has one. */
static const dt_interpreted_engine *engines;
static int n_engines;
static int64_t n_tunings; /* of the last run */

static dt_status create_kernels(dt_device *device, dt_dtype dtype, dt_kernels **kernels, dt_error *err)
{
    const dt_interpreter_options options = {
        .gpu = DT_INTERPRET_A100, .engines = engines, .n_engines = n_engines};
    return dt_emulated_gpu_attach(device, dtype, &options, &runner, kernels, err);
}

static job gpu_job(bool no_graph)
{
    job j = new_job(1);
    j.lagging = true;
    j.create_kernels = create_kernels;
    j.config.precision = DT_F16;
    j.config.loss_scale_init = 256;
    j.config.ema_decay = 0.9;
    j.config.ema_warmup = true;
    j.config.accumulate = 2;
    j.config.no_graph = no_graph;
    j.n_train = 4 * 2 * 11;
    return j;
}

static void end_run(void)
{
    dt_emulator_set_queue(NULL, NULL);
    DT_CHECK_INT(dt_graph_interpreter_live_plans(runner), 0);
    n_tunings = dt_graph_interpreter_tunings(runner);
    runner->ops->destroy(runner);
}

static void run_on_gpu(job *j)
{
    run(j);
    end_run();
}

static void run_again_on_gpu(job *j)
{
    run_again(j);
    end_run();
}

static void check_same_values(const job *a, const job *b)
{
    const size_t n = 2 * (size_t)(a->vectors.n_trained + a->vectors.n_statistics);
    DT_CHECK_BYTES(b->values[0], a->values[0], n * sizeof(float));
}

static void captured_and_uncaptured_steps_give_the_same_bits(void)
{
    job uncaptured = gpu_job(true), captured = gpu_job(false), ref = gpu_job(true);
    ref.lagging = false;
    run_on_gpu(&uncaptured);
    run_on_gpu(&captured);
    run(&ref);
    check_all(&uncaptured, DT_OK);
    check_all(&captured, DT_OK);
    check_same_values(&uncaptured, &captured);
    DT_CHECK_INT(uncaptured.counts[0].n_launches, 0);
    DT_CHECK(captured.counts[0].n_launches > 22);
    DT_CHECK_INT(captured.n_steps, 22);
    for (int64_t i = 0; i < captured.n_steps; i++) {
        DT_CHECK(captured.steps[i].loss == uncaptured.steps[i].loss);
        DT_CHECK_CLOSE(captured.steps[i].loss, ref.steps[i].loss, 0.02);
    }
    DT_CHECK_INT(captured.n_evals, 2);
    for (int64_t i = 0; i < captured.n_evals; i++) {
        DT_CHECK(captured.evals[i].val_loss == uncaptured.evals[i].val_loss);
        DT_CHECK_CLOSE(captured.evals[i].val_loss, ref.evals[i].val_loss, 0.02);
    }
    free_job(&uncaptured);
    free_job(&captured);
    free_job(&ref);
}

static void a_resumed_run_gives_the_same_bits(void)
{
    job whole = gpu_job(false), pieces = gpu_job(false);
    pieces.store = fake_store_create(&(fake_store_options){0});
    pieces.config.steps = 7;
    run_on_gpu(&whole);
    run_on_gpu(&pieces);
    check_all(&pieces, DT_OK);
    pieces.config.steps = 0;
    pieces.n_steps = 0;
    free(pieces.values[0]);
    run_on_gpu(&pieces);
    check_all(&pieces, DT_OK);
    DT_CHECK_INT(pieces.steps[0].step, 8);
    check_same_values(&whole, &pieces);
    pieces.store->ops->destroy(pieces.store);
    free_job(&whole);
    free_job(&pieces);
}

/* The job, stopped after step 7 and resumed on a host whose measurements find `second`; `second` NULL:
 * without a stop. */
static job run_with_engines(const dt_interpreted_engine *first, const dt_interpreted_engine *second, int n)
{
    job j = gpu_job(false);
    engines = first;
    n_engines = n;
    if (!second) {
        run_on_gpu(&j);
        return j;
    }
    j.store = fake_store_create(&(fake_store_options){0});
    j.config.steps = 7;
    run_on_gpu(&j);
    check_all(&j, DT_OK);
    engines = second;
    j.config.steps = 0;
    run_again_on_gpu(&j);
    j.store->ops->destroy(j.store);
    j.store = NULL;
    return j;
}

static void a_resume_where_other_engines_are_faster_gives_the_same_bits(void)
{
    static const dt_interpreted_engine one[] = {{"one", 1}, {"two", 2}}, two[] = {{"one", 2}, {"two", 1}},
                                       new[] = {{"three", 1}, {"two", 2}};
    job whole = run_with_engines(one, NULL, 2), other = run_with_engines(two, NULL, 2);
    DT_CHECK(n_tunings > 0);
    DT_CHECK(whole.steps[0].loss != other.steps[0].loss); /* engines change bits, and the test notices it */
    captured_log_begin(DT_LOG_WARN);
    job resumed = run_with_engines(one, two, 2);
    captured_log_end();
    DT_CHECK(strstr(captured_log_text(), "engine") == NULL);
    check_same_values(&whole, &resumed);

    captured_log_begin(DT_LOG_WARN);
    job changed = run_with_engines(one, new, 2); /* the library has no `one` any more */
    captured_log_end();
    DT_CHECK_CONTAINS(captured_log_text(),
                      "of the checkpoint of step 7 cannot run with their engines here: ");
    DT_CHECK_CONTAINS(captured_log_text(), "this start has chosen other ones, so later bits will differ");
    free_job(&whole);
    free_job(&other);
    free_job(&resumed);
    free_job(&changed);
    n_engines = 0;
}

/* Return the newest checkpoint's stream; the caller frees it. */
static float *newest(dt_store *store, int64_t *n_elems)
{
    dt_error err = {0};
    dt_manifest m = {0};
    int64_t steps[32], n = 0;
    DT_REQUIRE(store->ops->list(store, steps, 32, &n, &err) == DT_OK && n > 0);
    DT_REQUIRE(store->ops->read_manifest(store, steps[0], &m, &err) == DT_OK && m.n_shards == 1);
    float *stream = malloc((size_t)m.shards[0].n_elems * sizeof *stream);
    DT_REQUIRE(stream != NULL && store->ops->read_shard(store, &m, &m.shards[0], stream, &err) == DT_OK);
    *n_elems = m.shards[0].n_elems;
    dt_manifest_clear(&m);
    return stream;
}

/* One run saves every third step while captured steps run. The other ends after step 9, and waits for the
 * device before it saves. */
static void a_checkpoint_taken_while_steps_run_equals_one_of_an_idle_device(void)
{
    job goes_on = gpu_job(false), waits = gpu_job(false);
    int64_t n = 0, n_waits = 0;
    goes_on.config.checkpoint_every = 3;
    goes_on.config.keep = 30;
    goes_on.store = fake_store_create(&(fake_store_options){0});
    waits.config.steps = 9;
    waits.store = fake_store_create(&(fake_store_options){0});
    run_on_gpu(&goes_on);
    run_on_gpu(&waits);
    check_all(&goes_on, DT_OK);
    check_all(&waits, DT_OK);
    DT_CHECK(goes_on.counts[0].n_launches > 22);
    fake_store_forget_after(goes_on.store, 9);
    float *a = newest(goes_on.store, &n), *b = newest(waits.store, &n_waits);
    DT_REQUIRE(n == n_waits);
    DT_CHECK_BYTES(a, b, (size_t)n * sizeof *a);
    free(a);
    free(b);
    goes_on.store->ops->destroy(goes_on.store);
    waits.store->ops->destroy(waits.store);
    free_job(&goes_on);
    free_job(&waits);
}

static const dt_test tests[] = {
    DT_TEST(captured_and_uncaptured_steps_give_the_same_bits),
    DT_TEST(a_resumed_run_gives_the_same_bits),
    DT_TEST(a_resume_where_other_engines_are_faster_gives_the_same_bits),
    DT_TEST(a_checkpoint_taken_while_steps_run_equals_one_of_an_idle_device),
};
DT_TEST_MAIN("emulated/trainer", tests)
