/* Trainings that get requests from outside: to stop, with and without a known end, and to write a checkpoint
 * now. */
#include "tests/fakes/fake_store.h"
#include "tests/fakes/trainer_job.h"
#include "tests/testing.h"

#include <math.h>

static void end_job(job *j)
{
    if (j->store)
        j->store->ops->destroy(j->store);
    free_job(j);
}

static void save_at(bool lagging, int64_t every, int64_t expected)
{
    job j = new_job(2);
    j.lagging = lagging;
    j.n_train = 4 * 2 * 30;
    j.config.checkpoint_every = every;
    j.config.mtti_h = 6.0;
    j.store = fake_store_create(&(fake_store_options){0});
    j.stop_rank = 1;
    j.save_after = 4; /* the vote is in the fifth step */
    run(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.checkpoints[0], expected);
    DT_CHECK_INT(j.n_steps, 60);
    end_job(&j);
}

static void a_checkpoint_that_one_rank_requests_is_written_by_all_and_training_goes_on(void)
{
    save_at(false, 0, 5);
    save_at(false, DT_CHECKPOINT_AUTO, 5);
    save_at(true, 0, 16); /* results are read steps later */
}

static void a_requested_checkpoint_that_is_due_anyway_is_written_once(void)
{
    job j = new_job(2);
    j.config.checkpoint_every = 5; /* of 16 steps: 5, 10, 15, and the last one */
    j.store = fake_store_create(&(fake_store_options){0});
    j.save_after = 4;
    run(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(fake_store_commits(j.store), 4);
    end_job(&j);
}

static void an_end_that_one_rank_knows_of_stops_all_ranks_in_time(void)
{
    job j = new_job(3);
    j.store = fake_store_create(&(fake_store_options){0});
    j.stop_rank = 2;
    j.end_s = 3.0; /* less than the time that is reserved to leave */
    run(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_INT(j.n_steps, 1);
    DT_CHECK_INT(j.checkpoints[0], 1);
    for (int r = 0; r < 3; r++)
        DT_CHECK_CONTAINS(j.error[r].message, "stopped on the end (rank 2 on ");
    end_job(&j);

    job far = new_job(2);
    far.end_s = 600.0;
    run(&far);
    check_all(&far, DT_OK);
    DT_CHECK_INT(far.n_evals, 2);
    end_job(&far);
}

static void with_too_little_time_to_save_the_newest_checkpoint_is_kept(void)
{
    job j = new_job(2);
    j.config.checkpoint_every = 3;
    j.store = fake_store_create(&(fake_store_options){.commit_s = 0.4});
    j.stop_rank = 1;
    j.stop_after = 8; /* in the ninth step, after which a checkpoint is due; that of step 6 is being
                         written */
    j.end_s = 0.2;
    run(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_INT(j.n_steps, 9);
    DT_CHECK_INT(fake_store_commits(j.store), 2);
    DT_CHECK_CONTAINS(j.error[0].message, "so none was written: the newest is that of step 6");
    DT_CHECK_CONTAINS(j.error[1].message, "stopped on SIGTEST (rank 1 on ");
    run_again(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.steps[0].step, 7);
    end_job(&j);
}

static const job *stopped_job;

/* Of rank 0, whose thread counts the steps. */
static double nearly_none_after_step_9(void)
{
    return stopped_job->n_steps < 9 ? INFINITY : 0.3;
}

/* Rank 1 commits nothing, so its own part took no time: all ranks go by the slowest. */
static void without_time_for_the_slowest_rank_no_rank_saves(void)
{
    job j = new_job(2);
    j.config.eval_every = 0.0;
    j.config.checkpoint_every = 3;
    j.store = fake_store_create(&(fake_store_options){.commit_s = 0.4});
    j.stop_after = 8;
    j.left_s = nearly_none_after_step_9;
    stopped_job = &j;
    run(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_INT(fake_store_commits(j.store), 2);
    for (int r = 0; r < 2; r++)
        DT_CHECK_CONTAINS(j.error[r].message, "so none was written: the newest is that of step 6");
    end_job(&j);
}

static void an_evaluation_that_would_last_beyond_the_end_is_left_for_the_next_start(void)
{
    job j = new_job(2);
    j.n_val = 1000000000; /* hours */
    j.store = fake_store_create(&(fake_store_options){0});
    j.stop_rank = 1;
    j.end_s = 100.0;
    run(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_INT(j.n_steps, 16); /* training went on to its end */
    DT_CHECK_INT(j.n_evals, 0);
    DT_CHECK_INT(j.checkpoints[j.n_checkpoints - 1], 16);
    DT_CHECK_CONTAINS(j.error[0].message, "stopped on the end (rank 1 on ");
    j.n_val = 20;
    run_again(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.n_steps, 0);
    DT_CHECK_INT(j.n_evals, 1);
    end_job(&j);
}

static void a_stop_request_ends_an_evaluation_and_does_not_change_the_bits(void)
{
    job j = new_job(2), whole = new_job(2);
    j.config.ema_decay = whole.config.ema_decay = 0.9;
    j.n_val = whole.n_val = 4 * 2 * 40; /* 40 batches: ranks vote after 16 and 32 */
    j.store = fake_store_create(&(fake_store_options){0});
    j.stop_rank = 1;
    j.stop_after = 8; /* asked once in each step of the first epoch: the ninth time is in the evaluation */
    run(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_INT(j.n_steps, 8);
    DT_CHECK_INT(j.n_evals, 0);
    DT_CHECK_INT(j.checkpoints[0], 8);
    run_again(&j);
    check_all(&j, DT_OK);
    run(&whole);
    DT_CHECK_BYTES(j.values[0], whole.values[0], kept_bytes(&j));
    end_job(&j);
    end_job(&whole);
}

static void a_stop_request_in_the_last_step_leaves_the_evaluation_for_the_next_start(void)
{
    job j = new_job(2);
    j.store = fake_store_create(&(fake_store_options){0});
    j.stop_after = 15; /* of 16 steps */
    j.config.eval_every = 0.0;
    run(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_INT(j.n_evals, 0);
    run_again(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.n_steps, 0);
    DT_CHECK_INT(j.n_evals, 1);
    end_job(&j);
}

static void a_request_before_the_first_step_stops_all_ranks_and_saves_nothing(void)
{
    job j = new_job(3);
    j.store = fake_store_create(&(fake_store_options){0});
    j.stop_rank = 2;
    j.stop_at_start = true;
    run(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_INT(j.n_steps, 0);
    DT_CHECK_INT(fake_store_commits(j.store), 0);
    for (int r = 0; r < 3; r++) {
        DT_CHECK_CONTAINS(j.error[r].message, "stopped on SIGTEST (rank 2 on ");
        DT_CHECK_CONTAINS(j.error[r].message, " before the first step; nothing was lost");
    }
    j.stop_at_start = false;
    run_again(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.steps[0].step, 1);
    end_job(&j);
}

static void a_limit_that_has_passed_before_the_first_step_is_an_error(void)
{
    job j = new_job(2);
    j.store = fake_store_create(&(fake_store_options){0});
    j.stop_rank = 1;
    j.end_s = -1.0;
    j.end_is_limit = true;
    run(&j);
    check_all(&j, DT_ERR_USAGE);
    DT_CHECK_INT(j.n_steps, 0);
    DT_CHECK_CONTAINS(j.error[0].message, " is too short: it has passed before the first step");
    end_job(&j);
}

/* Goes on; after so many steps rank stop_rank knows that nearly no time is left. */
static void run_again_until(job *j, int64_t stop_after)
{
    free_job(j);
    j->n_steps = j->n_evals = j->n_checkpoints = 0;
    j->stop_after = stop_after;
    j->end_s = 1e-6;
    run(j);
}

/* A restart after code 75 would end in the same way, for ever. */
static void a_limit_in_which_no_step_and_checkpoint_fit_is_an_error(void)
{
    job j = new_job(2);
    j.store = fake_store_create(&(fake_store_options){.commit_s = 0.2});
    j.stop_rank = 1;
    j.end_s = 0.1;
    j.end_is_limit = true;
    run(&j); /* with nothing there, the checkpoint is tried */
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_INT(fake_store_commits(j.store), 1);
    run_again_until(&j, 1);
    check_all(&j, DT_ERR_USAGE);
    DT_CHECK_CONTAINS(j.error[1].message, " is too short: it has ended this start after step 3, without a "
                                          "checkpoint that is newer than that of step 1");
    DT_CHECK_INT(fake_store_commits(j.store), 1);
    j.end_is_limit = false; /* a signal: the next start may have more time */
    run_again_until(&j, 1);
    check_all(&j, DT_ERR_INTERRUPTED);
    end_job(&j);
}

static const dt_test tests[] = {
    DT_TEST(a_checkpoint_that_one_rank_requests_is_written_by_all_and_training_goes_on),
    DT_TEST(a_requested_checkpoint_that_is_due_anyway_is_written_once),
    DT_TEST(an_end_that_one_rank_knows_of_stops_all_ranks_in_time),
    DT_TEST(with_too_little_time_to_save_the_newest_checkpoint_is_kept),
    DT_TEST(without_time_for_the_slowest_rank_no_rank_saves),
    DT_TEST(an_evaluation_that_would_last_beyond_the_end_is_left_for_the_next_start),
    DT_TEST(a_stop_request_ends_an_evaluation_and_does_not_change_the_bits),
    DT_TEST(a_stop_request_in_the_last_step_leaves_the_evaluation_for_the_next_start),
    DT_TEST(a_request_before_the_first_step_stops_all_ranks_and_saves_nothing),
    DT_TEST(a_limit_that_has_passed_before_the_first_step_is_an_error),
    DT_TEST(a_limit_in_which_no_step_and_checkpoint_fit_is_an_error),
};
DT_TEST_MAIN("core/stop", tests)
