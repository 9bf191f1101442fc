/* What options do to steps, rates, checkpoints and evaluations of a training, from their text on. */
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_store.h"
#include "tests/launch/options/effects_kit.h"
#include "tests/testing.h"

#include <math.h>

/* -- steps and rates ------------------------------------------------------------------------------------- */

static void batch_accumulate_epochs_and_steps_count_the_steps(void)
{
    static const struct {
        const char *words[9];
        int64_t steps, epochs;
    } cases[] = {{{"--steps", "0"}, 32, 2},
                 {{"--steps", "0", "--batch", "8"}, 16, 2},
                 {{"--steps", "0", "--batch", "5"}, 24, 2}, /* 4 of 64 images are left out */
                 {{"--steps", "0", "--accumulate", "4"}, 8, 2},
                 {{"--steps", "0", "--accumulate", "3"}, 10, 2},
                 {{"--steps", "0", "--epochs", "3"}, 48, 3},
                 {{"--steps", "1"}, 1, 0},
                 {{"--steps", "7"}, 7, 0},
                 {{"--steps", "16"}, 16, 1},
                 {{"--steps", "33"}, 32, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job j = train_words(cases[i].words);
        DT_CHECK_INT(j.n_steps, cases[i].steps);
        DT_CHECK_INT(j.n_epochs, cases[i].epochs);
        DT_CHECK_INT(j.end[0].steps, cases[i].steps);
        free_job(&j);
    }
}

/* 2 epochs of 16 steps with a peak of 0.5; the rate before step i + 1. */
static void warmup_and_schedule_give_each_step_its_rate(void)
{
    static const char *const kinds[] = {"cosine", "poly", "step", "constant"};
    for (int k = 0; k < 4; k++) {
        job j = TRAIN("--steps", "0", "--lr", "0.5", "--warmup-epochs", "0.5", "--schedule", kinds[k]);
        for (int i = 0; i < 32; i++) {
            const double share = (i - 8) / 24.0;
            const double rates[] = {0.25 * (1 + cos(acos(-1) * share)), 0.5 * (1 - share) * (1 - share),
                                    i < 11   ? 0.5
                                    : i < 22 ? 0.05
                                    : i < 29 ? 0.005
                                             : 0.0005,
                                    0.5};
            DT_CHECK_CLOSE(j.steps[i].lr, i < 8 ? 0.0625 * (i + 1) : rates[k], 1e-12);
        }
        free_job(&j);
    }
    job none = TRAIN("--warmup-epochs", "0", "--lr", "0.5"),
        two = TRAIN("--warmup-epochs", "2", "--lr", "0.5");
    DT_CHECK_CLOSE(none.steps[0].lr, 0.5, 0);
    DT_CHECK_CLOSE(two.steps[0].lr, 0.5 / 32, 1e-12);
    free_job(&none), free_job(&two);
}

static void options_of_a_schedule_change_its_rates(void)
{
    job poly = TRAIN("--steps", "0", "--schedule", "poly", "--poly-power", "1");
    job step =
        TRAIN("--steps", "0", "--schedule", "step", "--step-epochs", "0.5,1.25", "--step-gamma", "0.5");
    for (int i = 0; i < 32; i++) {
        DT_CHECK_CLOSE(poly.steps[i].lr, 1 - i / 32.0, 1e-12);
        DT_CHECK_CLOSE(step.steps[i].lr, i < 8 ? 1 : i < 20 ? 0.5 : 0.25, 1e-12);
    }
    free_job(&poly), free_job(&step);
}

static void the_seed_changes_the_data_and_the_weights(void)
{
    job one = TRAIN("--seed", "1"), by_default = TRAIN("--steps", "1"), two = TRAIN("--seed", "2");
    check_same_weights(&one, &by_default, true);
    DT_CHECK(one.steps[0].loss == by_default.steps[0].loss);
    DT_CHECK(!same_tensor(&one, &two, CONV) && !same_tensor(&one, &two, FC));
    DT_CHECK(one.steps[0].loss != two.steps[0].loss);
    free_job(&one), free_job(&by_default), free_job(&two);
}

/* -- the run --------------------------------------------------------------------------------------------- */

static void run_in(dt_store *store, job *j, dt_status expected)
{
    j->store = store;
    run(j);
    check_all(j, expected);
}

static void checkpoint_every_and_keep_count_the_checkpoints(void)
{
    static const struct {
        const char *words[7];
        int64_t n, kept, steps[8];
    } cases[] = {{{"--steps", "0"}, 2, 2, {16, 32}},
                 {{"--steps", "0", "--checkpoint-every", "10"}, 4, 3, {10, 20, 30, 32}},
                 {{"--steps", "0", "--checkpoint-every", "10", "--keep", "1"}, 4, 1, {10, 20, 30, 32}},
                 {{"--steps", "0", "--checkpoint-every", "16", "--keep", "2"}, 2, 2, {16, 32}},
                 {{"--steps", "0", "--checkpoint-every", "33"}, 1, 1, {32}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job j = job_of(cases[i].words);
        run_in(fake_store_create(&(fake_store_options){0}), &j, DT_OK);
        DT_CHECK_INT(j.n_checkpoints, cases[i].n);
        for (int64_t k = 0; k < cases[i].n; k++)
            DT_CHECK_INT(j.checkpoints[k], cases[i].steps[k]);
        DT_CHECK_INT(fake_store_count(j.store), cases[i].kept);
        j.store->ops->destroy(j.store);
        free_job(&j);
    }
}

static void resume_goes_on_starts_over_or_fails(void)
{
    dt_store *store = fake_store_create(&(fake_store_options){0});
    job must = job_of((const char *const[]){"--steps", "2", "--resume", "must", NULL});
    run_in(store, &must, DT_ERR_USAGE);
    DT_CHECK_CONTAINS(must.error[0].message, "--resume must: there is no checkpoint in ");
    job first_start = job_of((const char *const[]){"--steps", "2", NULL});
    run_in(store, &first_start, DT_OK);
    static const struct {
        const char *words[7];
        int64_t first_step;
    } cases[] = {{{"--steps", "4", "--resume", "must"}, 3},
                 {{"--steps", "6"}, 5},
                 {{"--steps", "8", "--resume", "auto"}, 7},
                 {{"--steps", "10", "--resume", "never"}, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job j = job_of(cases[i].words);
        run_in(store, &j, DT_OK);
        DT_CHECK_INT(j.steps[0].step, cases[i].first_step);
        free_job(&j);
    }
    store->ops->destroy(store);
    free_job(&must), free_job(&first_start);
}

static void eval_every_counts_epochs(void)
{
    static const struct {
        const char *every;
        int64_t n, steps[4];
    } cases[] = {{"1", 2, {16, 32}}, {"0.5", 4, {8, 16, 24, 32}}, {"1.5", 2, {24, 32}}, {"2", 1, {32}},
                 {"0", 1, {32}},     {"1000000", 1, {32}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job j = TRAIN("--steps", "0", "--eval-every", cases[i].every);
        DT_CHECK_INT(j.n_evals, cases[i].n);
        for (int64_t k = 0; k < cases[i].n; k++)
            DT_CHECK_INT(j.evals[k].step, cases[i].steps[k]);
        free_job(&j);
    }
}

/* A checkpoint of every second step fails. That is known two steps later at the latest, when the next one is
 * due. */
static void max_checkpoint_failures_ends_the_training_after_so_many(void)
{
    static const char *const most[] = {"0", "1", "2", "4"};
    static const int64_t steps[] = {16, 2, 4, 8};
    for (int i = 0; i < 4; i++) {
        job j = job_of((const char *const[]){"--steps", "0", "--epochs", "1", "--checkpoint-every", "2",
                                             "--max-checkpoint-failures", most[i], NULL});
        captured_log_begin(DT_LOG_ERROR);
        run_in(fake_store_create(&(fake_store_options){.fail_commit_from = 1}), &j, DT_ERR_IO);
        captured_log_end();
        DT_CHECK_MSG(j.n_steps >= steps[i] && j.n_steps <= steps[i] + (i ? 2 : 0), "%s: %d steps", most[i],
                     (int)j.n_steps);
        DT_CHECK_INT(j.end[0].all_done, i == 0); /* but for its last checkpoint */
        j.store->ops->destroy(j.store);
        free_job(&j);
    }
}

static void max_broken_is_the_largest_share_that_is_allowed(void)
{
    static const struct {
        const char *most;
        dt_status status;
    } cases[] = {{"0.125", DT_OK}, {"0.12", DT_ERR_DATA}, {"1", DT_OK}, {"0", DT_ERR_DATA}};
    for (int i = 0; i < 4; i++) {
        job j = job_of((const char *const[]){"--steps", "0", "--max-broken", cases[i].most, NULL});
        j.broken = 8; /* of 64 */
        run(&j);
        check_all(&j, cases[i].status);
        free_job(&j);
    }
}

static void resize_schedule_and_image_size_set_the_size_of_images(void)
{
    job plain = TRAIN("--steps", "0"),
        resized = TRAIN("--steps", "0", "--epochs", "4", "--resize-schedule", "20:0,24:0.5");
    static const int64_t sizes[] = {20, 20, 24, 24};
    DT_CHECK_INT(plain.n_train_sizes, 2);
    DT_CHECK_INT(resized.n_train_sizes, 4);
    for (int i = 0; i < 4; i++)
        DT_CHECK_INT(resized.train_sizes[i], sizes[i]);
    DT_CHECK(plain.train_sizes[0] == 16 && plain.train_sizes[1] == 16);
    free_job(&plain), free_job(&resized);
}

static const dt_test tests[] = {
    DT_TEST(batch_accumulate_epochs_and_steps_count_the_steps),
    DT_TEST(warmup_and_schedule_give_each_step_its_rate),
    DT_TEST(options_of_a_schedule_change_its_rates),
    DT_TEST(the_seed_changes_the_data_and_the_weights),
    DT_TEST(checkpoint_every_and_keep_count_the_checkpoints),
    DT_TEST(resume_goes_on_starts_over_or_fails),
    DT_TEST(eval_every_counts_epochs),
    DT_TEST(max_checkpoint_failures_ends_the_training_after_so_many),
    DT_TEST(max_broken_is_the_largest_share_that_is_allowed),
    DT_TEST(resize_schedule_and_image_size_set_the_size_of_images),
};
DT_TEST_MAIN("launch/options/run_effects", tests)
