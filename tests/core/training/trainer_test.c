/* The training loop with fakes on every side but the arithmetic: tests/fakes/trainer_job.h. */
#include "tests/fakes/trainer_job.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "tests/fakes/fake_store.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- tests ----------------------------------------------------------------------------------------------- */

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
    DT_CHECK(j.steps[0].loss > j.steps[63].loss && j.steps[0].lr > j.steps[63].lr &&
             j.steps[5].images_per_s > 0.0);
    DT_CHECK_BYTES(j.values[1], j.values[0],
                   (size_t)(j.vectors.n_trained + j.vectors.n_statistics) * sizeof(float));
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

/* -- images that grow ------------------------------------------------------------------------------------ */

/* 4 epochs: two at 8 pixels, one at 12, one at 10, and evaluation at SIZE. */
static job growing_job(int size, bool lagging)
{
    job j = new_job(size);
    j.lagging = lagging;
    j.config.epochs = 4;
    j.config.image_size = 12;
    j.config.resize[0] = (dt_resize_point){8, 0.0};
    j.config.resize[1] = (dt_resize_point){12, 0.5};
    j.config.resize[2] = (dt_resize_point){10, 0.75};
    j.config.n_resize = 3;
    return j;
}

static void images_have_the_sizes_of_the_schedule_and_evaluation_its_own(void)
{
    for (int lagging = 0; lagging < 2; lagging++) {
        const int64_t expected[] = {8, 8, 12, 10};
        job j = growing_job(2, lagging);
        run(&j);
        check_all(&j, DT_OK);
        DT_CHECK_INT(j.n_train_sizes, 4);
        for (int i = 0; i < 4; i++)
            DT_CHECK_INT(j.train_sizes[i], expected[i]);
        DT_CHECK_INT(j.n_evals, 4);
        DT_CHECK_INT(j.evals[3].n, 20);
        DT_CHECK(j.evals[3].val_top1 > 0.5);
        DT_CHECK_BYTES(j.values[1], j.values[0],
                       (size_t)(j.vectors.n_trained + j.vectors.n_statistics) * sizeof(float));
        free_job(&j);
    }
}

/* An evaluation at another size, in the middle of an epoch, between every two steps: no bit of the training
 * changes. */
static void evaluation_at_another_size_does_not_change_the_training(void)
{
    for (int lagging = 0; lagging < 2; lagging++) {
        job seldom = growing_job(1, lagging), often = growing_job(1, lagging);
        seldom.config.ema_decay = often.config.ema_decay = 0.9;
        seldom.config.eval_every = 0.0;
        often.config.eval_every = 1.0 / 16.0;
        run(&seldom);
        run(&often);
        check_all(&seldom, DT_OK);
        check_all(&often, DT_OK);
        DT_CHECK_INT(seldom.n_evals, 1);
        DT_CHECK_INT(often.n_evals, 64);
        DT_CHECK_BYTES(often.values[0], seldom.values[0],
                       2 * (size_t)(seldom.vectors.n_trained + seldom.vectors.n_statistics) * sizeof(float));
        DT_CHECK(often.end[0].final_loss == seldom.end[0].final_loss);
        free_job(&seldom);
        free_job(&often);
    }
}

/* From a checkpoint in the middle of an epoch, with the loss scale and running averages of a training in
 * FP16. */
static void resume_in_the_middle_of_a_schedule_gives_the_same_bits(void)
{
    for (int64_t stop = 20; stop <= 60; stop += 20) { /* of 64 steps */
        job whole = growing_job(1, true), again = growing_job(1, true);
        job *both[] = {&whole, &again};
        for (int i = 0; i < 2; i++) {
            both[i]->config.precision = DT_F16;
            both[i]->config.loss_scale_init = 65536.0;
            both[i]->config.ema_decay = 0.9;
            both[i]->store = fake_store_create(&(fake_store_options){0});
        }
        run(&whole);
        check_all(&whole, DT_OK);
        again.config.steps = stop;
        run(&again);
        check_all(&again, DT_OK);
        again.config.steps = 0;
        again.n_steps = 0;
        free(again.values[0]);
        run(&again);
        check_all(&again, DT_OK);
        DT_CHECK_INT(again.steps[0].step, stop + 1);
        DT_CHECK_BYTES(again.values[0], whole.values[0],
                       2 * (size_t)(whole.vectors.n_trained + whole.vectors.n_statistics) * sizeof(float));
        DT_CHECK(again.steps[63 - stop].loss_scale == whole.steps[63].loss_scale &&
                 whole.steps[63].loss_scale >= 1.0);
        for (int i = 0; i < 2; i++) {
            both[i]->store->ops->destroy(both[i]->store);
            free_job(both[i]);
        }
    }
}

/* Whoever rebuilds 20 times has what he would have after 2. */
static void rebuilding_leaks_nothing(void)
{
    int64_t most[2];
    for (int i = 0; i < 2; i++) {
        int64_t before = dt_alloc_live_blocks();
        job j = growing_job(1, true);
        j.config.eval_every = i ? 0.4 : 0.0;
        j.n_live_blocks_max = &most[i];
        run(&j);
        check_all(&j, DT_OK);
        DT_CHECK_INT(dt_alloc_live_blocks(), before);
        free_job(&j);
    }
    DT_CHECK_MSG(most[1] <= most[0] + 8, "%lld blocks at most with 20 rebuilds, %lld with 4",
                 (long long)most[1], (long long)most[0]);
}

static void a_size_that_is_too_small_ends_the_training_on_all_ranks(void)
{
    job j = growing_job(2, false);
    j.config.resize[1].image_size = 0;
    run(&j);
    for (int r = 0; r < 2; r++)
        DT_CHECK_MSG(j.status[r] != DT_OK, "rank %d", r);
    free_job(&j);
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
    DT_CHECK(j.error[0].shared && j.error[1].shared);
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
        DT_CHECK(j.error[r].shared && j.end[r].stopped_on_request);
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
    DT_CHECK(j.error[0].shared && j.error[1].shared);
    free_job(&j);
}

static void an_error_of_one_rank_is_not_shared(void)
{
    job j = new_job(1);
    j.fail_next_at = 3;
    run(&j);
    check_all(&j, DT_ERR_DATA);
    DT_CHECK(!j.error[0].shared);
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
        DT_CHECK_MSG(j.n_evals == cases[i].expected, "every %g epochs: %lld evaluations", cases[i].every,
                     (long long)j.n_evals);
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
    DT_CHECK_CONTAINS(j.error[1].message,
                      "8 of the 64 training files are broken: 12.5%, and --max-broken allows 10%");
    DT_CHECK(j.error[0].shared && j.error[1].shared);
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
    DT_TEST(images_have_the_sizes_of_the_schedule_and_evaluation_its_own),
    DT_TEST(evaluation_at_another_size_does_not_change_the_training),
    DT_TEST(resume_in_the_middle_of_a_schedule_gives_the_same_bits),
    DT_TEST(rebuilding_leaks_nothing),
    DT_TEST(a_size_that_is_too_small_ends_the_training_on_all_ranks),
    DT_TEST(resume_on_one_rank_gives_the_same_bits),
    DT_TEST(resume_on_two_ranks_gives_the_same_bits),
    DT_TEST(a_run_goes_on_at_another_world_size),
    DT_TEST(a_run_that_is_done_trains_no_more),
    DT_TEST(resume_refuses_what_does_not_fit),
    DT_TEST(a_stop_request_on_one_rank_stops_all_after_the_same_step),
    DT_TEST(a_loss_that_is_not_finite_stops_everybody),
    DT_TEST(an_error_of_one_rank_is_not_shared),
    DT_TEST(a_full_disk_does_not_stop_the_training),
    DT_TEST(too_few_images_are_refused),
    DT_TEST(evaluation_comes_as_often_as_asked),
    DT_TEST(a_sink_that_fails_is_told_once_and_counted_at_the_end),
    DT_TEST(broken_files_are_summed_over_ranks_epoch_by_epoch),
    DT_TEST(too_many_broken_files_of_all_ranks_together_stop_the_run),
    DT_TEST(steps_limit_counts_optimizer_steps),
};
DT_TEST_MAIN("core/trainer", tests)
