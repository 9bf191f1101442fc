/* Trainings whose numbers are not finite any more, or are about to be: what is saved, and what the error
 * says. */
#include "tests/fakes/trainer_job.h"

#include "tests/fakes/fake_store.h"
#include "tests/testing.h"

#include <math.h>

/* A checkpoint after each step, and an evaluation after each epoch of 8. */
static job diverging_job(int size, double lr)
{
    job j = new_job(size);
    j.store = fake_store_create(&(fake_store_options){0});
    j.config.checkpoint_every = 1;
    j.config.keep = 3;
    j.config.max_checkpoint_failures = 0;
    j.config.epochs = 8;
    j.config.lr = lr;
    j.config.schedule = DT_SCHEDULE_CONSTANT;
    return j;
}

static void free_diverging_job(job *j)
{
    j->store->ops->destroy(j->store);
    free_job(j);
}

/* Whatever the learning rate is, a training ends well, or with an error before it saves a state that a
 * restart dies of. */
static void no_state_that_has_diverged_is_saved(void)
{
    for (double lr = 1.0; lr < 1e36; lr *= 1e5) {
        int64_t n_good = 0;
        job j = diverging_job(2, lr);
        run(&j);
        DT_CHECK(j.status[0] == DT_OK || j.status[0] == DT_ERR_NUMERIC || j.status[0] == DT_ERR_DATA);
        for (int64_t i = 0; i < j.n_steps; i++)
            n_good += j.steps[i].loss < 1e4;
        DT_CHECK_MSG(j.n_checkpoints <= n_good, "lr %g: %lld checkpoints of %lld steps with a good loss", lr,
                     (long long)j.n_checkpoints, (long long)n_good);
        for (int64_t i = 0; i < j.n_evals; i++)
            DT_CHECK(isfinite(j.evals[i].val_loss));
        if (j.status[0] == DT_ERR_NUMERIC)
            DT_CHECK(!j.end[0].all_done && j.error[0].shared && j.error[1].shared);
        free_diverging_job(&j);
    }
}

/* An evaluation after each epoch of 8 steps. */
static void only_a_checkpoint_that_is_there_is_said_to_have_the_best_weights(void)
{
    const int64_t every[] = {4, 5, 8};
    for (int i = 0; i < 3; i++) {
        bool was_kept = false;
        job j = diverging_job(1, 0.1);
        j.config.checkpoint_every = every[i];
        j.config.keep = i == 2 ? 1 : 30;
        run(&j);
        check_all(&j, DT_OK);
        int64_t steps[40], n = 0;
        DT_REQUIRE(j.store->ops->list(j.store, steps, 40, &n, NULL) == DT_OK && n <= 40);
        for (int64_t k = 0; k < n; k++)
            was_kept |= steps[k] == j.end[0].best_step;
        DT_CHECK_INT(j.end[0].best_is_kept, was_kept);
        free_diverging_job(&j);
    }
}

/* A first start stops after step 10; then the learning rate is such that the update of step 11 leaves finite
 * weights that step 12 dies of. */
static job dying_job(int64_t keep)
{
    job j = diverging_job(1, 0.1);
    j.config.keep = keep;
    j.stop_after = 9;
    run(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    j.config.lr = 1e30;
    run_again(&j);
    check_all(&j, DT_ERR_NUMERIC);
    DT_CHECK_CONTAINS(j.error[0].message, "at step 12");
    DT_CHECK_CONTAINS(j.error[0].message,
                      "lower --lr or lengthen --warmup-epochs; the last checkpoint, of step "
                      "11, is from before that");
    run_again(&j);
    check_all(&j, DT_ERR_NUMERIC);
    return j;
}

static void the_second_death_at_a_step_names_the_checkpoint_before(void)
{
    job j = dying_job(3);
    DT_CHECK_CONTAINS(j.error[0].message, "at step 12");
    DT_CHECK_CONTAINS(j.error[0].message,
                      "; every restart from the checkpoint of step 11 ends here; to go back "
                      "to that of step 10, move the folder of step 11 out of ");
    fake_store_forget_after(j.store, 10);
    j.config.lr = 0.1;
    run_again(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.steps[0].step, 11);
    free_diverging_job(&j);
}

static void without_an_older_checkpoint_the_message_says_so(void)
{
    job j = dying_job(1);
    DT_CHECK_CONTAINS(j.error[0].message, "every restart from the checkpoint of step 11, the only one in ");
    free_diverging_job(&j);
}

/* The rest of the end does not depend on it: the results are filled, and the sinks get the last event. */
static void a_last_checkpoint_that_fails_leaves_a_training_that_is_done(void)
{
    for (int max_failures = 0; max_failures < 3; max_failures += 2) { /* 2 is reached at the last step */
        job j = new_job(2);
        j.store = fake_store_create(&(fake_store_options){.fail_commit_from = 14});
        j.config.checkpoint_every = 1;
        j.config.epochs = 2;
        j.config.max_checkpoint_failures = max_failures;
        run(&j);
        check_all(&j, DT_ERR_IO);
        DT_CHECK_CONTAINS(j.error[1].message,
                          "the training is done, but its last checkpoint was not written: ");
        DT_CHECK_INT(j.n_steps, 16);
        DT_CHECK_INT(j.n_evals, 2);
        DT_CHECK_INT(j.n_ends, 1);
        for (int r = 0; r < 2; r++)
            DT_CHECK(j.end[r].all_done && j.end[r].steps == 16 && j.end[r].final_top1 == j.evals[1].val_top1);
        free_diverging_job(&j);
    }
}

static const dt_test tests[] = {
    DT_TEST(only_a_checkpoint_that_is_there_is_said_to_have_the_best_weights),
    DT_TEST(no_state_that_has_diverged_is_saved),
    DT_TEST(the_second_death_at_a_step_names_the_checkpoint_before),
    DT_TEST(without_an_older_checkpoint_the_message_says_so),
    DT_TEST(a_last_checkpoint_that_fails_leaves_a_training_that_is_done),
};

DT_TEST_MAIN("core/trainer_numeric", tests)
