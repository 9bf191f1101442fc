/* The training loop with fakes on every side but the arithmetic: tests/fakes/trainer_job.h. */
#include "tests/fakes/trainer_job.h"

#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_store.h"
#include "tests/testing.h"

static void training_learns_and_reports_every_event(void)
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
    DT_CHECK_BYTES(j.values[1], j.values[0], kept_bytes(&j));
    free_job(&j);
}

/* One rank with 4 micro-batches, two ranks with 2 each, four ranks: the same sums over the same samples. */
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

static void a_stop_request_on_one_rank_stops_all_ranks_after_the_same_step(void)
{
    job j = new_job(3);
    j.store = fake_store_create(&(fake_store_options){0});
    j.stop_rank = 2;
    j.stop_after = 4; /* the vote is in the fifth step */
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

static void a_loss_that_is_not_finite_stops_all_ranks(void)
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

static void evaluation_runs_as_often_as_eval_every_says(void)
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

static void a_failing_sink_is_logged_once_and_counted_at_the_end(void)
{
    job j = new_job(1);
    captured_log_begin(DT_LOG_WARN);
    run(&j);
    captured_log_end();
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.n_evals, 2);
    DT_CHECK_STR(captured_log_text(),
                 "recorder: a sink that fails does not stop the training (the training goes on)\n"
                 "recorder: 2 events could not be written\n");
    free_job(&j);
}

static void broken_files_are_summed_over_ranks_in_each_epoch(void)
{
    job j = new_job(2);
    j.broken = 3;
    run(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.epochs[0].n_broken, 6);
    DT_CHECK_INT(j.epochs[1].n_broken, 4);
    DT_CHECK_INT(j.end[0].n_broken, 6);
    j.config.steps = 3; /* the training ends in the middle of an epoch */
    run_again(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.end[0].n_broken, 6);
    free_job(&j);
    j = new_job(2);
    j.broken = 3;
    j.stop_after = 3; /* or stops there */
    run(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
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

static void broken_evaluation_files_are_counted_and_limited_over_all_ranks(void)
{
    job j = new_job(2);
    j.n_val = 100;
    j.broken_val = 5; /* 10 of 100, the limit */
    run(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.evals[0].n_broken, 10);
    DT_CHECK_INT(j.end[0].n_broken_val, 10);
    DT_CHECK_INT(j.end[0].n_broken, 0);
    DT_CHECK_INT(j.end[0].n_val, 100);
    j.broken_val = 6; /* each rank alone is below the limit */
    run_again(&j);
    check_all(&j, DT_ERR_DATA);
    DT_CHECK_CONTAINS(j.error[1].message,
                      "12 of the 100 validation files are broken: 12%, and --max-broken allows 10%");
    DT_CHECK(j.error[0].shared && j.error[1].shared);
    free_job(&j);
}

static void the_best_evaluation_is_reported_with_its_step(void)
{
    job j = new_job(1);
    run(&j);
    check_all(&j, DT_OK);
    const dt_metrics_end *end = &j.end[0];
    double best = -1.0;
    int64_t at = -1;
    for (int64_t i = 0; i < j.n_evals; i++)
        if (j.evals[i].val_top1 > best) {
            best = j.evals[i].val_top1;
            at = i;
        }
    DT_REQUIRE(at >= 0);
    DT_CHECK(end->best_top1 == best);
    DT_CHECK_INT(end->best_step, j.evals[at].step);
    DT_CHECK_INT(end->best_epoch, j.evals[at].epoch);
    DT_CHECK_INT(end->final_step, end->steps);
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
    DT_TEST(training_learns_and_reports_every_event),
    DT_TEST(ranks_and_accumulation_are_interchangeable),
    DT_TEST(evaluation_counts_each_image_once),
    DT_TEST(a_stop_request_on_one_rank_stops_all_ranks_after_the_same_step),
    DT_TEST(a_loss_that_is_not_finite_stops_all_ranks),
    DT_TEST(an_error_of_one_rank_is_not_shared),
    DT_TEST(a_full_disk_does_not_stop_the_training),
    DT_TEST(too_few_images_are_refused),
    DT_TEST(evaluation_runs_as_often_as_eval_every_says),
    DT_TEST(a_failing_sink_is_logged_once_and_counted_at_the_end),
    DT_TEST(broken_files_are_summed_over_ranks_in_each_epoch),
    DT_TEST(too_many_broken_files_of_all_ranks_together_stop_the_run),
    DT_TEST(broken_evaluation_files_are_counted_and_limited_over_all_ranks),
    DT_TEST(the_best_evaluation_is_reported_with_its_step),
    DT_TEST(steps_limit_counts_optimizer_steps),
};
DT_TEST_MAIN("core/trainer", tests)
