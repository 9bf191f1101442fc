/* Trainings with --precision fp16 (a loss scale), --optimizer lars and --ema, and what their checkpoints
 * hold. */
#include "tests/fakes/fake_store.h"
#include "tests/fakes/trainer_job.h"
#include "tests/testing.h"

#include <math.h>
#include <string.h>

static job scaled_job(int size)
{
    job j = new_job(size);
    j.config.precision = DT_F16;
    j.config.loss_scale_init = 16777216.0; /* too much: the first steps are skipped */
    return j;
}

static void skipped_steps_are_counted_and_reported(void)
{
    job j = scaled_job(2);
    run(&j);
    check_all(&j, DT_OK);
    int64_t n = 0;
    while (n < j.n_steps && j.steps[n].skipped)
        n++;
    DT_CHECK_MSG(n >= 4 && n <= 14, "%d steps were skipped", (int)n);
    for (int64_t i = 0; i < j.n_steps; i++) {
        DT_CHECK(j.steps[i].scaled && j.steps[i].skipped == (i < n));
        DT_CHECK_INT(j.steps[i].n_skipped, i < n ? i + 1 : n);
        DT_CHECK_CLOSE(j.steps[i].loss_scale, 16777216.0 / pow(2.0, (double)j.steps[i].n_skipped), 0.0);
    }
    job plain = new_job(2);
    run(&plain);
    DT_CHECK(!plain.steps[0].scaled && !plain.steps[0].skipped && plain.steps[0].loss_scale == 1.0);
    free_job(&j);
    free_job(&plain);
}

/* Resume from a checkpoint among the skipped steps, or after them. */
static void go_on_after(int64_t step, bool lagging)
{
    job whole = scaled_job(1), again = scaled_job(1);
    whole.lagging = again.lagging = lagging;
    whole.config.ema_decay = again.config.ema_decay = 0.9;
    whole.config.ema_warmup = again.config.ema_warmup = true; /* until step 81 */
    run(&whole);
    check_all(&whole, DT_OK);
    again.store = fake_store_create(&(fake_store_options){0});
    again.config.steps = step;
    run(&again);
    check_all(&again, DT_OK);
    again.config.steps = 0;
    run_again(&again);
    check_all(&again, DT_OK);
    DT_CHECK_INT(again.steps[0].step, step + 1);
    DT_CHECK_INT(again.steps[0].n_skipped, whole.steps[step].n_skipped);
    DT_CHECK(again.steps[0].loss_scale == whole.steps[step].loss_scale &&
             again.steps[0].skipped == whole.steps[step].skipped);
    DT_CHECK_BYTES(again.values[0], whole.values[0], kept_bytes(&whole)); /* the averages too */
    again.store->ops->destroy(again.store);
    free_job(&whole);
    free_job(&again);
}

static void resume_restores_the_loss_scale_and_the_averages(void)
{
    go_on_after(3, false);
    go_on_after(20, false);
    go_on_after(3, true);
    go_on_after(20, true);
}

/* A checkpoint without a loss scale that is resumed with --precision fp16 begins with --loss-scale-init; one
 * with a scale that is resumed without fp16 ignores it. */
static void a_change_of_precision_resets_the_loss_scale(void)
{
    job plain = new_job(1), scaled = scaled_job(1);
    plain.store = scaled.store = fake_store_create(&(fake_store_options){0});
    plain.config.steps = 4;
    run(&plain);
    check_all(&plain, DT_OK);
    scaled.config.loss_scale_init = 512.0;
    scaled.config.steps = 8;
    run(&scaled);
    check_all(&scaled, DT_OK);
    DT_CHECK_INT(scaled.steps[0].step, 5);
    DT_CHECK(scaled.steps[0].loss_scale == 512.0 && scaled.steps[0].n_skipped == 0);
    plain.config.steps = 12;
    run_again(&plain);
    check_all(&plain, DT_OK);
    DT_CHECK_INT(plain.steps[0].step, 9);
    DT_CHECK(plain.steps[0].loss_scale == 1.0 && isfinite(plain.steps[3].loss));
    plain.store->ops->destroy(plain.store);
    free_job(&plain);
    free_job(&scaled);
}

static void resume_with_ema_refuses_a_checkpoint_without_averages(void)
{
    job plain = new_job(1), averaged = new_job(1);
    plain.store = averaged.store = fake_store_create(&(fake_store_options){0});
    plain.config.steps = 4;
    averaged.config.ema_decay = 0.9;
    run(&plain);
    run(&averaged);
    check_all(&averaged, DT_ERR_USAGE);
    DT_CHECK_CONTAINS(averaged.error[0].message, "was made without --ema");
    plain.store->ops->destroy(plain.store);
    free_job(&plain);
    free_job(&averaged);
}

static bool always(int64_t index)
{
    (void)index;
    return true;
}

static void double_weights(dt_net *net)
{
    dt_net_vectors v;
    dt_net_get_vectors(net, &v);
    for (int64_t i = 0; i < v.n_trained; i++)
        v.values[i] *= 2.0F;
}

/* With a rate of 0 the weights stay, and so do averages that begin with rank 0's weights. */
static void averages_begin_with_the_weights_that_rank_0_loaded(void)
{
    for (int size = 1; size <= 2; size++) {
        job j = new_job(size);
        j.change_net = double_weights;
        j.config.ema_decay = 0.5;
        j.config.lr = 0.0;
        j.config.steps = 2;
        run(&j);
        check_all(&j, DT_OK);
        const dt_net_vectors *v = &j.vectors;
        for (int r = 0; r < size; r++)
            DT_CHECK_BYTES(j.values[r] + v->n_trained + v->n_statistics, j.values[0],
                           (size_t)v->n_trained * sizeof(float));
        free_job(&j);
    }
}

static void gradients_that_always_overflow_end_the_training(void)
{
    job j = scaled_job(2);
    j.script.overflows = always;
    j.n_train = 4 * 2 * 60;
    run(&j);
    check_all(&j, DT_ERR_NUMERIC);
    DT_CHECK_INT(j.n_steps, 50);
    DT_CHECK_CONTAINS(j.error[1].message, "not finite in 50 steps in a row, up to step 50");
    DT_CHECK_CONTAINS(j.error[1].message, "come down to 1:");
    DT_CHECK(j.error[0].shared && j.error[1].shared);
    free_job(&j);
}

static void lars_trains(void)
{
    job j = new_job(2), sgd = new_job(2);
    strcpy(j.config.optimizer, "lars");
    j.config.lars_trust = 0.02;
    j.config.lr = 2.0;
    j.config.epochs = sgd.config.epochs = 8;
    run(&j);
    run(&sgd);
    check_all(&j, DT_OK);
    DT_CHECK(j.evals[7].val_top1 > 0.9);
    DT_CHECK(memcmp(j.values[0], sgd.values[0], kept_bytes(&j)) != 0);
    DT_CHECK_BYTES(j.values[1], j.values[0], kept_bytes(&j));
    free_job(&j);
    free_job(&sgd);
}

/* -- checkpoints that the caller accepts ----------------------------------------------------------------- */

static dt_status refuse(void *context, const dt_manifest *m, bool *new_momentum, dt_error *err)
{
    (void)context;
    (void)new_momentum;
    return dt_fail(err, DT_ERR_USAGE, "the checkpoint of step %d with '%s' is refused", (int)m->step,
                   m->config_text);
}

static dt_status without_momentum(void *context, const dt_manifest *m, bool *new_momentum, dt_error *err)
{
    (void)context;
    (void)m;
    (void)err;
    *new_momentum = true;
    return DT_OK;
}

static void a_checkpoint_that_the_caller_refuses_is_not_resumed(void)
{
    job j = new_job(2);
    j.store = fake_store_create(&(fake_store_options){0});
    j.config.steps = 4;
    run(&j);
    check_all(&j, DT_OK);
    j.accepts = refuse;
    run_again(&j);
    check_all(&j, DT_ERR_USAGE);
    DT_CHECK_STR(j.error[1].message, "the checkpoint of step 4 with 'seed = 3;' is refused");
    j.store->ops->destroy(j.store);
    free_job(&j);
}

/* With a momentum of zero the first step goes along its own gradient. It equals that of a resume without
 * momentum, --momentum 0. */
static void the_momentum_can_begin_with_zero(void)
{
    job plain = new_job(1), zero = new_job(1), kept = new_job(1);
    job *const all[] = {&plain, &zero, &kept};
    for (int i = 0; i < 3; i++) {
        job *j = all[i];
        j->store = fake_store_create(&(fake_store_options){0});
        j->config.steps = 4;
        run(j);
        check_all(j, DT_OK);
        j->config.steps = 5;
        j->accepts = j == &zero ? without_momentum : NULL;
        j->config.momentum = j == &plain ? 0.0 : 0.9;
        run_again(j);
        check_all(j, DT_OK);
        DT_CHECK_INT(j->steps[0].step, 5);
        j->store->ops->destroy(j->store);
    }
    DT_CHECK_BYTES(zero.values[0], plain.values[0], kept_bytes(&zero));
    DT_CHECK(memcmp(kept.values[0], plain.values[0], kept_bytes(&kept)) != 0);
    for (int i = 0; i < 3; i++)
        free_job(all[i]);
}

static const dt_test tests[] = {
    DT_TEST(skipped_steps_are_counted_and_reported),
    DT_TEST(resume_restores_the_loss_scale_and_the_averages),
    DT_TEST(a_change_of_precision_resets_the_loss_scale),
    DT_TEST(resume_with_ema_refuses_a_checkpoint_without_averages),
    DT_TEST(averages_begin_with_the_weights_that_rank_0_loaded),
    DT_TEST(gradients_that_always_overflow_end_the_training),
    DT_TEST(lars_trains),
    DT_TEST(a_checkpoint_that_the_caller_refuses_is_not_resumed),
    DT_TEST(the_momentum_can_begin_with_zero),
};
DT_TEST_MAIN("core/trainer_options", tests)
