/* Trainings whose images change their size from epoch to epoch (--resize-schedule), on the host and on a
 * device that works later: tests/fakes/trainer_job.h. */
#include "tests/fakes/fake_store.h"
#include "tests/fakes/trainer_job.h"

#include "core/base/alloc.h"
#include "tests/testing.h"

/* 4 epochs: two at 8 pixels, one at 12, one at 10, and evaluation at 12. */
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

static void epochs_have_the_scheduled_image_sizes_and_evaluation_keeps_its_own(void)
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
        DT_CHECK_BYTES(j.values[1], j.values[0], kept_bytes(&j));
        free_job(&j);
    }
}

/* Even if there is an evaluation at another size after every step. */
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
        DT_CHECK_BYTES(often.values[0], seldom.values[0], kept_bytes(&seldom));
        DT_CHECK(often.end[0].final_loss == seldom.end[0].final_loss);
        free_job(&seldom);
        free_job(&often);
    }
}

/* From checkpoints in the middle of an epoch, with the loss scale and running averages of a training in
 * FP16. */
static void resume_in_the_middle_of_a_resize_schedule_gives_the_same_bits(void)
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
        run_again(&again);
        check_all(&again, DT_OK);
        DT_CHECK_INT(again.steps[0].step, stop + 1);
        DT_CHECK_BYTES(again.values[0], whole.values[0], kept_bytes(&whole));
        DT_CHECK(again.steps[63 - stop].loss_scale == whole.steps[63].loss_scale &&
                 whole.steps[63].loss_scale >= 1.0);
        for (int i = 0; i < 2; i++) {
            both[i]->store->ops->destroy(both[i]->store);
            free_job(both[i]);
        }
    }
}

/* 20 resizes leave no more memory allocated than 4. */
static void resizing_leaks_no_memory(void)
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

static void a_size_that_is_too_small_ends_training_on_all_ranks(void)
{
    job j = growing_job(2, false);
    j.config.resize[1].image_size = 0;
    run(&j);
    for (int r = 0; r < 2; r++)
        DT_CHECK_MSG(j.status[r] != DT_OK, "rank %d", r);
    free_job(&j);
}

static const dt_test tests[] = {
    DT_TEST(epochs_have_the_scheduled_image_sizes_and_evaluation_keeps_its_own),
    DT_TEST(evaluation_at_another_size_does_not_change_the_training),
    DT_TEST(resume_in_the_middle_of_a_resize_schedule_gives_the_same_bits),
    DT_TEST(resizing_leaks_no_memory),
    DT_TEST(a_size_that_is_too_small_ends_training_on_all_ranks),
};
DT_TEST_MAIN("core/trainer_resize", tests)
