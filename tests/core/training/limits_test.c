/* Limits of the training loop at equality and one unit beside: the number of evaluations, broken files,
 * failures, skipped steps, and the time that is reserved before an end. The clock is the test's
 * (tests/fakes/fake_clock.h). */
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_store.h"
#include "tests/fakes/trainer_job.h"
#include "tests/testing.h"

#include "core/checkpoint/save_interval.h"
#include "core/training/schedule.h"

#include <math.h>

/* -- the script ------------------------------------------------------------------------------------------ */

#define STEP_S 0.25
#define EVAL_BATCH_S 0.5

static double loss_per_image, left_s;
static int64_t end_at_step; /* an end comes near in this step of a start: left_s seconds are left; 0: never */
static bool end_is_near;

static dt_loss_sums sums(int rank, bool training, int64_t index, int64_t n)
{
    if (rank == 0)
        fake_clock_advance(training ? STEP_S : EVAL_BATCH_S);
    if (rank == 0 && training && index + 1 == end_at_step)
        end_is_near = true;
    return (dt_loss_sums){(float)(loss_per_image * (double)n), 1.0F, 1.0F, (float)n};
}

static double seconds_left(void)
{
    return end_is_near ? left_s : INFINITY;
}

/* 16 images an epoch: 4 steps of one rank. */
static job timed_job(void)
{
    job j = new_job(1);
    j.n_train = 4 * 4;
    j.n_val = 0;
    j.script.sums = sums;
    j.left_s = seconds_left;
    loss_per_image = 1.0;
    end_at_step = 0;
    end_is_near = false;
    fake_clock_set(1000.0);
    return j;
}

static void end_job(job *j)
{
    if (j->store)
        j->store->ops->destroy(j->store);
    if (j->mirror)
        j->mirror->ops->destroy(j->mirror);
    free_job(j);
}

/* -- how often ------------------------------------------------------------------------------------------- */

/* Evaluations after the steps in which a multiple of `hundredths` / 100 epochs is reached, and after the
 * last; worked out in whole numbers: multiples of 0.1 and 0.29 are not exact in binary. */
static void evaluate_every(int64_t hundredths)
{
    job j = timed_job();
    int64_t expected = 0;
    const int64_t n_steps = 20 * 10;
    j.n_train = 4 * 10;
    j.n_val = 1;
    j.config.epochs = 20;
    j.config.eval_every = (double)hundredths / 100.0;
    run(&j);
    check_all(&j, DT_OK);
    for (int64_t step = 1; step <= n_steps; step++) {
        if (step * 10 / hundredths == (step - 1) * 10 / hundredths && step < n_steps)
            continue;
        DT_CHECK_INT(j.evals[expected].step, step);
        expected++;
    }
    DT_CHECK_MSG(j.n_evals == expected, "every 0.%02lld epochs: %lld evaluations, expected %lld",
                 (long long)hundredths, (long long)j.n_evals, (long long)expected);
    free_job(&j);
}

static void fractions_of_epochs_lose_no_evaluation_to_rounding(void)
{
    evaluate_every(50);
    evaluate_every(29);
    evaluate_every(10);
    evaluate_every(20);
    evaluate_every(14);
}

static void checkpoints_are_due_at_whole_multiples_of_steps(void)
{
    static const struct {
        int64_t every, expected[5]; /* of 8 steps, the last of which is always saved */
    } cases[] = {{3, {3, 6, 8}}, {4, {4, 8}}, {7, {7, 8}}, {8, {8}}, {9, {8}}, {0, {4, 8}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job j = timed_job();
        int64_t n = 0;
        j.store = fake_store_create(&(fake_store_options){0});
        j.config.checkpoint_every = cases[i].every;
        run(&j);
        check_all(&j, DT_OK);
        while (cases[i].expected[n])
            n++;
        DT_CHECK_INT(j.n_checkpoints, n);
        for (int64_t k = 0; k < n; k++)
            DT_CHECK_INT(j.checkpoints[k], cases[i].expected[k]);
        end_job(&j);
    }
}

static void a_step_limit_at_the_end_of_an_epoch_ends_there_once(void)
{
    static const int64_t limits[] = {1, 3, 4, 5, 8, 9};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const int64_t steps = limits[i] < 8 ? limits[i] : 8;
        job j = timed_job();
        j.n_val = 1;
        j.config.steps = limits[i];
        run(&j);
        check_all(&j, DT_OK);
        DT_CHECK_INT(j.start.total_steps, steps);
        DT_CHECK_INT(j.n_steps, steps);
        DT_CHECK_INT(j.n_epochs, steps / 4);
        DT_CHECK_INT(j.n_evals, (steps + 3) / 4); /* after each epoch, and after the last step */
        DT_CHECK_INT(j.end[0].steps, steps);
        DT_CHECK_INT(j.end[0].epochs, steps / 4);
        free_job(&j);
    }
}

static void a_size_begins_with_the_epoch_that_reaches_its_share(void)
{
    for (int64_t percent = 1; percent < 100; percent++) {
        const dt_config c = {.epochs = 100,
                             .image_size = 224,
                             .n_resize = 2,
                             .resize = {{160, 0.0}, {192, (double)percent / 100.0}}};
        DT_CHECK_INT(dt_schedule_image_size(&c, percent - 1), 160);
        DT_CHECK_INT(dt_schedule_image_size(&c, percent), 192);
    }
    /* a share that was written with ten digits counts as the one that was meant */
    dt_config c = {
        .epochs = 90, .image_size = 224, .n_resize = 2, .resize = {{160, 0.0}, {192, 0.6666666667}}};
    DT_CHECK_INT(dt_schedule_image_size(&c, 59), 160);
    DT_CHECK_INT(dt_schedule_image_size(&c, 60), 192);
    c.resize[1].share = 0.66666667;
    DT_CHECK_INT(dt_schedule_image_size(&c, 60), 160);
}

/* -- how many -------------------------------------------------------------------------------------------- */

static void broken_files(double max, int64_t broken, int64_t n, bool val, dt_status expected)
{
    job j = timed_job();
    j.config.epochs = 1;
    j.config.max_broken = max;
    j.n_train = val ? 4 : n;
    j.n_val = val ? n : 0;
    j.broken = val ? 0 : broken;
    j.broken_val = val ? broken : 0;
    run(&j);
    DT_CHECK_MSG(j.status[0] == expected, "%lld of %lld at %.10g: %s: %s", (long long)broken, (long long)n,
                 max, dt_status_name(j.status[0]), j.error[0].message);
    free_job(&j);
}

/* A share that was written with nine digits counts as the one that was meant. */
static void as_many_broken_files_as_allowed_are_no_error(void)
{
    for (int val = 0; val <= 1; val++) {
        broken_files(0.29, 29, 100, val, DT_OK);
        broken_files(0.29, 30, 100, val, DT_ERR_DATA);
        broken_files(0.07, 7, 100, val, DT_OK);
        broken_files(0.07, 8, 100, val, DT_ERR_DATA);
        broken_files(0.333333333, 12, 36, val, DT_OK);
        broken_files(0.33333333, 12, 36, val, DT_ERR_DATA);
        broken_files(0.0, 1, 36, val, DT_ERR_DATA);
        broken_files(0.0, 0, 36, val, DT_OK);
    }
}

/* A save after each step; the failure of step k's is known with the result of step k + 1. */
static void as_many_failures_as_allowed_end_the_training(void)
{
    for (int64_t allowed = 1; allowed <= 3; allowed++) {
        job j = timed_job();
        j.store = fake_store_create(&(fake_store_options){.fail_commit_from = 1});
        j.config.checkpoint_every = 1;
        j.config.max_checkpoint_failures = allowed;
        run(&j);
        check_all(&j, DT_ERR_IO);
        DT_CHECK_INT(j.n_steps, allowed + 1);
        DT_CHECK_INT(fake_store_commits(j.store), allowed);
        DT_CHECK_CONTAINS(j.error[0].message, "could not be written (--max-checkpoint-failures");
        end_job(&j);

        j = timed_job(); /* one failure fewer */
        j.store =
            fake_store_create(&(fake_store_options){.fail_commits = ((uint64_t)1 << (allowed - 1)) - 1});
        j.config.checkpoint_every = 1;
        j.config.max_checkpoint_failures = allowed;
        run(&j);
        check_all(&j, DT_OK);
        DT_CHECK_INT(j.n_steps, 8);
        DT_CHECK_INT(j.n_checkpoints, 8 - (allowed - 1));
        end_job(&j);
    }
}

static void save_at_loss(double loss, int64_t n_saved)
{
    job j = timed_job();
    loss_per_image = loss;
    j.store = fake_store_create(&(fake_store_options){0});
    j.config.checkpoint_every = 4;
    run(&j);
    check_all(&j, n_saved ? DT_OK : DT_ERR_DATA);
    DT_CHECK_INT(j.n_checkpoints, n_saved);
    end_job(&j);
}

static void a_loss_of_10000_is_saved_and_a_larger_one_is_not(void)
{
    save_at_loss(1e4, 2);
    save_at_loss((double)nextafterf(4e4F, INFINITY) / 4.0, 0); /* 4 images */
}

static int64_t skipped_in_a_row;

static bool overflow_in_series(int64_t index)
{
    return index % (skipped_in_a_row + 1) != skipped_in_a_row;
}

/* A good step begins a new count. */
static void fifty_skipped_steps_in_a_row_end_the_training(void)
{
    for (skipped_in_a_row = 49; skipped_in_a_row <= 50; skipped_in_a_row++) {
        job j = timed_job();
        j.script.overflows = overflow_in_series;
        j.config.precision = DT_F16;
        j.config.loss_scale_init = 1.0;
        j.n_train = 4 * 120;
        j.config.epochs = 1;
        run(&j);
        check_all(&j, skipped_in_a_row == 49 ? DT_OK : DT_ERR_NUMERIC);
        DT_CHECK_INT(j.n_steps, skipped_in_a_row == 49 ? 120 : 50);
        free_job(&j);
    }
}

static void one_checkpoint_with_a_mirror_is_kept_as_two(void)
{
    for (int with_mirror = 0; with_mirror <= 1; with_mirror++) {
        job j = timed_job();
        j.store = fake_store_create(&(fake_store_options){0});
        j.mirror = with_mirror ? fake_store_create(&(fake_store_options){0}) : NULL;
        j.config.checkpoint_every = 2;
        j.config.keep = 1;
        run(&j);
        check_all(&j, DT_OK);
        DT_CHECK_INT(fake_store_count(j.store), with_mirror ? 2 : 1);
        if (with_mirror)
            DT_CHECK_INT(fake_store_count(j.mirror), 1);
        end_job(&j);
    }
}

/* -- time to reserve ------------------------------------------------------------------------------------- */

/* core/training/stop.c: 1.5 times (two steps, and what checkpoints take), and 5 s to leave. */
static void the_time_to_stop_is_reserved_before_each_step(void)
{
    job j = timed_job();
    run(&j);
    check_all(&j, DT_OK);
    DT_REQUIRE(j.n_reserved == 8);
    DT_CHECK_CLOSE(j.reserved[0], 5.0, 0); /* no step has been timed */
    for (int i = 1; i < 8; i++)
        DT_CHECK_CLOSE(j.reserved[i], 1.5 * 2 * STEP_S + 5.0, 0);
    free_job(&j);

    j = timed_job();
    j.store = fake_store_create(&(fake_store_options){.commit_s = 4.0});
    j.mirror = fake_store_create(&(fake_store_options){.commit_s = 2.0});
    j.config.checkpoint_every = 3;
    run(&j);
    check_all(&j, DT_OK);
    /* 50 MB/s until one was timed: parameters, momentum and statistics */
    const double guess = ((16 * 3 * 9 + 2 * 16 + CLASSES * 16 + CLASSES) * 2 + 2 * 16) * 4 / 50e6;
    DT_REQUIRE(j.n_reserved == 8);
    DT_CHECK_CLOSE(j.reserved[0], 1.5 * 2 * guess + 5.0, 1e-12);
    DT_CHECK_CLOSE(j.reserved[2], 1.5 * (2 * STEP_S + 2 * guess) + 5.0, 1e-12);
    /* step 3's is being written: it counts twice */
    DT_CHECK_CLOSE(j.reserved[3], 1.5 * (2 * STEP_S + 3 * guess) + 5.0, 1e-12);
    /* it took 4 s; now it is being copied */
    DT_CHECK_CLOSE(j.reserved[4], 1.5 * (2 * STEP_S + 4.0 + 2 * guess) + 5.0, 1e-12);
    DT_CHECK_CLOSE(j.reserved[5], 1.5 * (2 * STEP_S + 4.0 + 2.0) + 5.0, 1e-12);
    DT_CHECK_CLOSE(j.reserved[6], 1.5 * (2 * STEP_S + 2 * 4.0 + 2.0) + 5.0, 1e-12); /* step 6's */
    end_job(&j);
}

/* Where results come later, votes do, too: up to 17 steps. */
static void more_steps_are_reserved_where_results_come_later(void)
{
    job j = timed_job();
    j.script.sums = NULL;
    j.lagging = true;
    j.next_s = STEP_S;
    j.n_train = 4 * 20;
    j.config.epochs = 1;
    run(&j);
    check_all(&j, DT_OK);
    DT_CHECK_CLOSE(j.reserved[15], 5.0, 0);
    DT_CHECK_CLOSE(j.reserved[16], 1.5 * 17 * (2 * STEP_S) + 5.0, 1e-12); /* 8 results after 16 steps */
    free_job(&j);
}

/* Step 8 is the last; that of step 6 took 4 s, of which 1.25 times must be left. */
static void stop_with_left(double left, bool saves)
{
    job j = timed_job();
    j.store = fake_store_create(&(fake_store_options){.commit_s = 3.0, .shard_s = 1.0});
    j.config.checkpoint_every = 6;
    j.config.epochs = 4;
    j.stop_after = 7;
    end_at_step = 8;
    left_s = left;
    run(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_INT(j.n_steps, 8);
    DT_CHECK_INT(j.checkpoints[j.n_checkpoints - 1], saves ? 8 : 6);
    if (!saves)
        DT_CHECK_CONTAINS(j.error[0].message,
                          "after step 8; 5 s are left and a checkpoint takes 4 s, so none was "
                          "written: the newest is that of step 6");
    end_job(&j);
}

static void a_last_checkpoint_needs_a_quarter_more_than_its_time(void)
{
    stop_with_left(5.0, false);
    stop_with_left(nextafter(5.0, 6.0), true);
}

/* The first evaluation of 8 images on each rank takes as long as training on them, by the estimate: 0.5 s.
 * The second takes what the first took: two batches. Beside 1.5 times that, what is reserved to stop must be
 * left. */
static void evaluate_with_left(int size, int64_t at_step, double left, int64_t n_evals)
{
    job j = timed_job();
    j.size = size;
    j.n_train *= size;
    j.n_val = 8 * size;
    end_at_step = at_step;
    left_s = left;
    run(&j);
    DT_CHECK_MSG(j.n_evals == n_evals, "%lld evaluations with %.17g s left after step %lld",
                 (long long)j.n_evals, left, (long long)at_step);
    free_job(&j);
}

static void an_evaluation_needs_half_more_than_its_time(void)
{
    const double reserved = 1.5 * 2 * STEP_S + 5.0, first = 1.5 * 0.5 + reserved,
                 second = 1.5 * 2 * EVAL_BATCH_S + reserved;
    for (int size = 1; size <= 2; size++) {
        evaluate_with_left(size, 4, first, 0);
        evaluate_with_left(size, 4, nextafter(first, 100.0), 1);
        evaluate_with_left(size, 8, second, 1);
        evaluate_with_left(size, 8, nextafter(second, 100.0), 2);
    }
}

/* Ranks vote in an evaluation after each 16 batches, if there are more. */
static void a_stop_request_is_read_where_a_sixteenth_batch_is_not_the_last(void)
{
    for (int64_t n_batches = 16; n_batches <= 17; n_batches++) {
        job j = timed_job();
        j.store = fake_store_create(&(fake_store_options){0});
        j.n_val = 4 * n_batches;
        j.stop_after = 4; /* the fifth time is in the evaluation, or else in the fifth step */
        run(&j);
        check_all(&j, DT_ERR_INTERRUPTED);
        DT_CHECK_INT(j.n_steps, n_batches == 16 ? 5 : 4);
        DT_CHECK_INT(j.n_evals, n_batches == 16 ? 1 : 0);
        end_job(&j);
    }
}

/* -- --checkpoint-every auto ----------------------------------------------------------------------------- */

static void auto_interval(double write_s, double mtti_h)
{
    const double cost_s = write_s > 1e-3 ? write_s : 1e-3;
    const double interval_s = dt_save_interval_s(cost_s, mtti_h * 3600.0);
    const int64_t steps = interval_s < STEP_S ? 1 : (int64_t)(interval_s / STEP_S);
    job j = timed_job();
    j.store = fake_store_create(&(fake_store_options){.commit_s = write_s});
    j.n_train = 4 * 80;
    j.config.epochs = 1;
    j.config.checkpoint_every = DT_CHECKPOINT_AUTO;
    j.config.mtti_h = mtti_h;
    run(&j);
    check_all(&j, DT_OK);
    int64_t n = 0;
    /* the first one after 20 steps; it is timed when the result of step 21 has come, so the next can be that
     * of step 22 */
    for (int64_t step = 20; step < 80; step += steps < 2 ? 2 : steps, n++)
        DT_CHECK_MSG(j.checkpoints[n] == step, "%g s, mtti %g h: checkpoint %lld is of step %lld, not %lld",
                     write_s, mtti_h, (long long)n, (long long)j.checkpoints[n], (long long)step);
    DT_CHECK_INT(j.checkpoints[n], 80);
    DT_CHECK_INT(j.n_checkpoints, n + 1);
    end_job(&j);
}

static void the_interval_is_dalys_in_whole_steps(void)
{
    DT_CHECK_CLOSE(dt_save_interval_s(2.0, 100.0), 20.0 * (1.0 + 0.1 / 3.0 + 0.01 / 9.0) - 2.0, 1e-12);
    DT_CHECK_CLOSE(dt_save_interval_s(200.0, 100.0), 100.0, 0);
    DT_CHECK_CLOSE(dt_save_loss(30.0, 10.0, 5.0, 1000.0), 10.0 / 40.0 + (15.0 + 5.0) / 1000.0, 1e-12);
    auto_interval(0.5, 0.01); /* 5.67 s: 22 steps */
    auto_interval(0.5, 1e-3); /* 1.44 s: 5 steps */
    auto_interval(0.0, 0.01); /* 1 ms: 0.268 s, one step */
}

static const dt_test tests[] = {
    DT_TEST(fractions_of_epochs_lose_no_evaluation_to_rounding),
    DT_TEST(checkpoints_are_due_at_whole_multiples_of_steps),
    DT_TEST(a_step_limit_at_the_end_of_an_epoch_ends_there_once),
    DT_TEST(a_size_begins_with_the_epoch_that_reaches_its_share),
    DT_TEST(as_many_broken_files_as_allowed_are_no_error),
    DT_TEST(as_many_failures_as_allowed_end_the_training),
    DT_TEST(a_loss_of_10000_is_saved_and_a_larger_one_is_not),
    DT_TEST(fifty_skipped_steps_in_a_row_end_the_training),
    DT_TEST(one_checkpoint_with_a_mirror_is_kept_as_two),
    DT_TEST(the_time_to_stop_is_reserved_before_each_step),
    DT_TEST(more_steps_are_reserved_where_results_come_later),
    DT_TEST(a_last_checkpoint_needs_a_quarter_more_than_its_time),
    DT_TEST(an_evaluation_needs_half_more_than_its_time),
    DT_TEST(a_stop_request_is_read_where_a_sixteenth_batch_is_not_the_last),
    DT_TEST(the_interval_is_dalys_in_whole_steps),
};
DT_TEST_MAIN("core/training/limits", tests)
