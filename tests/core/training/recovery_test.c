/* What is left of a failure after the next success: counters, intervals, and what a stop or the next start
 * does. On one rank, with the test's clock (tests/fakes/fake_clock.h), the checkpoint of step k is known with
 * the result of step k + 1. */
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_store.h"
#include "tests/fakes/trainer_job.h"
#include "tests/testing.h"

#include "core/training/stop.h"

#include <math.h>
#include <string.h>

#define STEP_S 0.25

static int64_t
    near_from; /* from this step of a start on, an end is so near that no checkpoint fits; 0: none */
static bool is_near;
static double near_s; /* what is left then */

static dt_loss_sums sums(int rank, bool training, int64_t index, int64_t n)
{
    if (rank == 0)
        fake_clock_advance(STEP_S);
    is_near = is_near || (training && rank == 0 && index + 1 == near_from);
    return (dt_loss_sums){(float)n, 1.0F, 1.0F, (float)n};
}

static double seconds_left(void)
{
    return is_near ? near_s : INFINITY;
}

/* One epoch of n_steps steps on one rank. fail_commits: bit n: the n-th commit of the store fails. */
static job one_epoch(int64_t n_steps, int64_t every, uint64_t fail_commits)
{
    job j = new_job(1);
    j.n_train = 4 * n_steps;
    j.n_val = 0;
    j.config.epochs = 1;
    j.config.keep = 60;
    j.config.checkpoint_every = every;
    j.script.sums = sums;
    j.left_s = seconds_left;
    j.store = fake_store_create(&(fake_store_options){.fail_commits = fail_commits, .commit_s = 4.0});
    near_from = 0;
    near_s = 1.0;
    is_near = false;
    fake_clock_set(1000.0);
    return j;
}

static void run_captured(job *j)
{
    captured_log_begin(DT_LOG_WARN);
    run(j);
    captured_log_end();
}

static void end_job(job *j)
{
    j->store->ops->destroy(j->store);
    if (j->mirror)
        j->mirror->ops->destroy(j->mirror);
    free_job(j);
}

static int64_t times_logged(const char *text)
{
    int64_t n = 0;
    for (const char *p = captured_log_text(); (p = strstr(p, text)); p++)
        n++;
    return n;
}

static void check_checkpoints(const job *j, int64_t n, const int64_t *expected)
{
    DT_CHECK_INT(j->n_checkpoints, n);
    for (int64_t i = 0; i < n; i++)
        DT_CHECK_INT(j->checkpoints[i], expected[i]);
}

/* -- failures of checkpoints ----------------------------------------------------------------------------- */

/* Two may fail in a row, several times; a third in a row ends the training. */
static void a_checkpoint_that_succeeds_begins_a_new_count_of_failures(void)
{
    job j = one_epoch(16, 1, 0x16DB); /* commits 1, 2, 4, 5, 7, 8, 10, 11 and 13 fail */
    j.config.max_checkpoint_failures = 3;
    run_captured(&j);
    check_all(&j, DT_OK);
    check_checkpoints(&j, 7, (const int64_t[]){3, 6, 9, 12, 14, 15, 16});
    DT_CHECK_INT(times_logged("was not written: the fake disk is full (training goes on; older"), 5);
    DT_CHECK_INT(times_logged("was not written either, for the same reason (2 failures in a row)"), 4);
    DT_CHECK_INT(times_logged("(3 failures in a row)"), 0);
    end_job(&j);

    j = one_epoch(16, 1, 0x3B); /* failed twice, succeeded, failed three times */
    j.config.max_checkpoint_failures = 3;
    run_captured(&j);
    check_all(&j, DT_ERR_IO);
    DT_CHECK_INT(j.n_steps, 7);
    check_checkpoints(&j, 1, (const int64_t[]){3});
    DT_CHECK_CONTAINS(j.error[0].message,
                      "3 checkpoints in a row could not be written (--max-checkpoint-failures 3)");
    end_job(&j);
}

static void failures_of_the_mirror_do_not_count(void)
{
    job j = one_epoch(16, 2, 0);
    j.config.max_checkpoint_failures = 1;
    j.mirror = fake_store_create(&(fake_store_options){.fail_commits = 0x5}); /* fail, succeed, fail */
    run_captured(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.n_checkpoints, 8);
    DT_REQUIRE(j.n_mirrored == 8);
    for (int64_t i = 0; i < 8; i++) {
        DT_CHECK_INT(j.mirrored[i].step, 2 * (i + 1));
        DT_CHECK_STR(j.mirrored[i].error, i == 0 || i == 2 ? "the fake disk is full" : "");
    }
    /* a success is between them: the second is not "either" */
    DT_CHECK_INT(times_logged("was not copied to memory: the fake disk is full"), 2);
    end_job(&j);
}

/* A checkpoint every 20 steps until one has been timed; then by its time: 4 s and a mean time to interruption
 * of 36 s give 14.4 s, 57 steps. */
static void a_failed_checkpoint_leaves_the_interval_as_it_was(void)
{
    job j = one_epoch(100, DT_CHECKPOINT_AUTO, 0x1);
    j.config.mtti_h = 0.01;
    run_captured(&j);
    check_all(&j, DT_OK);
    check_checkpoints(&j, 3, (const int64_t[]){40, 40 + 57, 100});
    end_job(&j);

    j = one_epoch(180, DT_CHECKPOINT_AUTO, 0x2); /* the second fails: 20 steps after it comes the next */
    j.config.mtti_h = 0.01;
    run_captured(&j);
    check_all(&j, DT_OK);
    check_checkpoints(&j, 4, (const int64_t[]){20, 20 + 57 + 20, 20 + 57 + 20 + 57, 180});
    end_job(&j);
}

/* The first checkpoint of a start comes after 20 steps of its own, and the time to stop is that of a start
 * whose results are all there. */
static void a_resumed_start_saves_and_reserves_as_a_first_one_does(void)
{
    job j = one_epoch(60, DT_CHECKPOINT_AUTO, 0);
    j.config.mtti_h = 6.0; /* 4 s a checkpoint: more than 1000 steps from one to the next */
    j.stop_after = 10;
    run(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    check_checkpoints(&j, 1, (const int64_t[]){11});
    const double first = j.reserved[1];
    run_again(&j);
    check_all(&j, DT_OK);
    check_checkpoints(&j, 2, (const int64_t[]){31, 60});
    DT_CHECK_CLOSE(j.reserved[1], first, 0);
    end_job(&j);
}

/* The result of a stop depends on the newest whole checkpoint, not on the newest that was tried. */
static void a_stop_after_a_failed_checkpoint_tries_again(void)
{
    job j = one_epoch(16, 5, 0x1);
    j.stop_after = 5; /* in step 6, with whose result the failure of step 5's is known */
    near_from = 6;
    near_s = 0.0;
    run_captured(&j);
    check_all(&j, DT_ERR_INTERRUPTED); /* nothing is there, so it is tried although it may not fit */
    DT_CHECK_INT(j.n_steps, 6);
    check_checkpoints(&j, 1, (const int64_t[]){6});
    end_job(&j);

    j = one_epoch(16, 5, 0x2);
    j.stop_after = 10;
    near_from = 11;
    run_captured(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    check_checkpoints(&j, 1, (const int64_t[]){5});
    DT_CHECK_CONTAINS(j.error[0].message, "so none was written: the newest is that of step 5");
    end_job(&j);
}

static void a_last_checkpoint_that_fails_at_a_stop_is_the_error(void)
{
    job j = one_epoch(16, 5, 0x2);
    j.stop_after = 6;
    run_captured(&j);
    check_all(&j, DT_ERR_IO);
    DT_CHECK_CONTAINS(j.error[0].message,
                      "stopped on SIGTEST after step 7, but the checkpoint was not written");
    check_checkpoints(&j, 1, (const int64_t[]){5});
    /* the next start goes on from the one that is whole, and its first failure is a first one */
    j.config.max_checkpoint_failures = 2;
    is_near = false;
    captured_log_begin(DT_LOG_WARN);
    run_again(&j);
    captured_log_end();
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.steps[0].step, 6);
    check_checkpoints(&j, 3, (const int64_t[]){10, 15, 16});
    end_job(&j);
}

static double twelve_s(dt_events *events)
{
    (void)events;
    return 12.0;
}

/* Until 5 s before the end, which it takes to leave. */
static void the_end_waits_for_the_mirror_as_long_as_there_is_time(void)
{
    static const dt_events_ops ops = {.name = "an end", .seconds_left = twelve_s}, none = {.name = "no end"};
    dt_events events = {.ops = &ops};
    dt_trainer_parts parts = {.events = &events};
    const dt_training training = {.parts = &parts};
    const dt_stop stop = {.training = &training};
    fake_clock_set(1000.0);
    DT_CHECK_CLOSE(dt_stop_deadline_s(&stop), 1007.0, 0);
    events.ops = &none;
    DT_CHECK(isinf(dt_stop_deadline_s(&stop)));
    parts.events = NULL;
    DT_CHECK(isinf(dt_stop_deadline_s(&stop)));
}

/* -- starts ---------------------------------------------------------------------------------------------- */

/* A start that resumed, and is stopped before its first checkpoint. None has been timed: any time is enough,
 * but there must be some. */
static void a_resumed_start_that_has_no_time_to_save_keeps_what_it_found(void)
{
    for (int some = 0; some <= 1; some++) {
        job j = one_epoch(16, 5, 0);
        j.stop_after = 5;
        run_captured(&j);
        check_all(&j, DT_ERR_INTERRUPTED);
        DT_CHECK_INT(j.checkpoints[j.n_checkpoints - 1], 6);
        free_job(&j);
        j.n_steps = j.n_checkpoints = 0;
        j.stop_after = 2;
        near_from = 3;
        near_s = some ? 1e-3 : 0.0;
        run_captured(&j);
        check_all(&j, DT_ERR_INTERRUPTED);
        DT_CHECK_INT(j.steps[0].step, 7);
        check_checkpoints(&j, some, (const int64_t[]){9});
        if (!some)
            DT_CHECK_CONTAINS(j.error[0].message, "so none was written: the newest is that of step 6");
        end_job(&j);
    }
}

/* The only rank waits for a sample and gets a stop instead, right after the checkpoint of the last step was
 * begun: it is finished, and written once more only if it fails. */
static void a_stop_that_ends_the_wait_for_a_sample_finishes_the_checkpoint(void)
{
    for (int fails = 0; fails <= 1; fails++) {
        job j = one_epoch(16, 5, fails ? 0x1 : 0x0);
        j.interrupt_next_at = 6;
        near_from = 5; /* what is written needs no more time */
        near_s = 0.0;
        run_captured(&j);
        check_all(&j, DT_ERR_INTERRUPTED);
        DT_CHECK_INT(j.n_steps, 5);
        check_checkpoints(&j, 1, (const int64_t[]){5});
        DT_CHECK_INT(fake_store_commits(j.store), fails ? 2 : 1);
        DT_CHECK_CONTAINS(j.error[0].message, "after step 5; the same command goes on from memory");
        j.interrupt_next_at = 0;
        near_from = 0;
        is_near = false;
        run_again(&j);
        check_all(&j, DT_OK);
        DT_CHECK_INT(j.steps[0].step, 6);
        end_job(&j);
    }
}

/* Evaluations count on; the first of this start is worse than the best of the one before. */
static int64_t n_evaluated;

static dt_loss_sums falling(int rank, bool training, int64_t index, int64_t n)
{
    const dt_loss_sums s = sums(rank, training, index, n);
    return training ? s : (dt_loss_sums){s.loss, n_evaluated++ ? 1.0F : 3.0F, 4.0F, s.n};
}

static void the_best_of_an_earlier_start_stays_the_best(void)
{
    job j = one_epoch(8, 1, 0);
    n_evaluated = 0;
    j.script.sums = falling;
    j.n_val = 4;
    j.config.epochs = 3;
    j.stop_after = 11;
    run_captured(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_INT(j.n_evals, 1);
    run_again(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.n_evals, 2);
    DT_CHECK_CLOSE(j.end[0].best_top1, 0.75, 0);
    DT_CHECK_INT(j.end[0].best_step, 8);
    DT_CHECK_INT(j.end[0].best_epoch, 0);
    DT_CHECK_CLOSE(j.end[0].final_top1, 0.25, 0);
    end_job(&j);
}

/* The evaluation after the first epoch is interrupted: the checkpoint is of that step, and has no best. The
 * next start does not repeat it, and does its own. */
static void an_interrupted_evaluation_is_not_counted(void)
{
    job j = one_epoch(8, 100, 0);
    n_evaluated = 0;
    j.script.sums = falling;
    j.n_val = 4 * 17; /* ranks vote after 16 batches */
    j.config.epochs = 2;
    j.stop_after = 8;
    run_captured(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_INT(j.n_evals, 0);
    DT_CHECK_INT(j.n_epochs, 1);
    check_checkpoints(&j, 1, (const int64_t[]){8});
    DT_CHECK(j.end[0].best_top1 == -1.0 && j.end[0].best_step == -1 && j.end[0].final_step == -1);
    run_again(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.n_steps, 8);
    DT_REQUIRE(j.n_evals == 1);
    DT_CHECK_INT(j.evals[0].step, 16);
    DT_CHECK_INT(j.evals[0].epoch, 1);
    DT_CHECK_INT(j.end[0].best_step, 16);
    end_job(&j);
}

static const dt_test tests[] = {
    DT_TEST(a_checkpoint_that_succeeds_begins_a_new_count_of_failures),
    DT_TEST(failures_of_the_mirror_do_not_count),
    DT_TEST(a_failed_checkpoint_leaves_the_interval_as_it_was),
    DT_TEST(a_resumed_start_saves_and_reserves_as_a_first_one_does),
    DT_TEST(a_stop_after_a_failed_checkpoint_tries_again),
    DT_TEST(a_last_checkpoint_that_fails_at_a_stop_is_the_error),
    DT_TEST(the_end_waits_for_the_mirror_as_long_as_there_is_time),
    DT_TEST(a_resumed_start_that_has_no_time_to_save_keeps_what_it_found),
    DT_TEST(a_stop_that_ends_the_wait_for_a_sample_finishes_the_checkpoint),
    DT_TEST(the_best_of_an_earlier_start_stays_the_best),
    DT_TEST(an_interrupted_evaluation_is_not_counted),
};
DT_TEST_MAIN("core/training/recovery", tests)
