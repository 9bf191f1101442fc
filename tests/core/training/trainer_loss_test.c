/* The losses that a training reports, against losses worked out in float64 from the logits: the training loss
 * is smoothed and a mean over ranks and micro-batches, val_loss is neither; and what an epoch leaves out. */
#include "tests/fakes/trainer_job.h"
#include "tests/testing.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* ranks are threads */
static struct {
    double smoothing; /* of the training loss below */
    double train, eval;
    int64_t n_train, n_eval; /* images */
} summed;

static dt_kernels_ops ops;
static const dt_kernels_ops *true_ops;

/* - sum of target log(softmax), target = (1 - s) onehot + s / K */
static double loss_of(const float *logits, int64_t n_classes, int64_t label, double s)
{
    double exps = 0, loss = 0;
    for (int64_t k = 0; k < n_classes; k++)
        exps += exp((double)logits[k]);
    for (int64_t k = 0; k < n_classes; k++)
        loss -= ((k == label ? 1 - s : 0) + s / (double)n_classes) * ((double)logits[k] - log(exps));
    return loss;
}

static dt_status sum_losses(dt_kernels *k, const dt_tensor *logits, const int32_t *labels, float smoothing,
                            float grad_scale, const float *loss_scale, const dt_tensor *dlogits,
                            dt_loss_sums *sums, dt_error *err)
{
    const float *rows = logits->data;
    pthread_mutex_lock(&lock);
    for (int64_t i = 0; i < logits->n; i++) {
        if (labels[i] < 0)
            continue;
        if (dlogits) {
            summed.train += loss_of(rows + i * logits->c, logits->c, labels[i], summed.smoothing);
            summed.n_train++;
        } else {
            summed.eval += loss_of(rows + i * logits->c, logits->c, labels[i], 0);
            summed.n_eval++;
        }
    }
    pthread_mutex_unlock(&lock);
    return true_ops->softmax_loss(k, logits, labels, smoothing, grad_scale, loss_scale, dlogits, sums, err);
}

static void record(dt_kernels *kernels)
{
    pthread_mutex_lock(&lock);
    if (kernels->ops != &ops) {
        true_ops = kernels->ops;
        ops = *kernels->ops;
        ops.softmax_loss = sum_losses;
    }
    kernels->ops = &ops;
    pthread_mutex_unlock(&lock);
}

static void the_training_loss_is_smoothed_and_val_loss_is_not(void)
{
    static const double smoothings[] = {0, 0.1, 0.5};
    for (int i = 0; i < 6; i++) {
        const int n_ranks = i < 3 ? 1 : 2;
        job j = new_job(n_ranks);
        memset(&summed, 0, sizeof summed);
        summed.smoothing = j.config.label_smoothing = smoothings[i % 3];
        j.config.accumulate = n_ranks;
        j.config.steps = 1;
        j.change_kernels = record;
        run(&j);
        check_all(&j, DT_OK);
        DT_CHECK_INT(summed.n_train, 4 * n_ranks * n_ranks);
        DT_CHECK_INT(summed.n_eval, 20);
        DT_CHECK_CLOSE(j.steps[0].loss, summed.train / (double)summed.n_train, 2e-7);
        DT_CHECK_CLOSE(j.evals[0].val_loss, summed.eval / 20, 2e-7);
        free_job(&j);
    }
}

/* 64 images are 8 global batches of 2 ranks x 4; up to 7 more images make no step more. */
static void the_incomplete_last_batch_of_an_epoch_is_left_out(void)
{
    for (int64_t n = 63; n <= 72; n++) {
        const int64_t steps = n < 64 ? 7 : n < 72 ? 8 : 9;
        job j = new_job(2);
        memset(&summed, 0, sizeof summed);
        j.n_train = n;
        j.n_val = 19; /* the last batch of an evaluation is not */
        j.change_kernels = record;
        run(&j);
        check_all(&j, DT_OK);
        DT_CHECK_INT(j.n_steps, 2 * steps);
        DT_CHECK_INT(j.epochs[0].step, steps);
        DT_CHECK_INT(j.epochs[0].n_images, 8 * steps);
        DT_CHECK_INT(summed.n_train, 2 * 8 * steps);
        DT_CHECK_INT(summed.n_eval, 2 * 19);
        free_job(&j);
    }
}

/* The rate of a step is that at its begin, in whole global batches: images that an epoch leaves out do not
 * count. The last step of the warm-up and the first after it have the peak. */
static void rates_count_the_steps_of_an_epoch(void)
{
    job j = new_job(2);
    j.n_train = 39; /* 4 steps an epoch */
    j.config.epochs = 5;
    j.config.lr = 0.8;
    j.config.warmup_epochs = 1;
    j.config.schedule = DT_SCHEDULE_POLY;
    j.config.poly_power = 1;
    run(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.n_steps, 20);
    for (int i = 0; i < 20; i++)
        DT_CHECK_CLOSE(j.steps[i].lr, i < 4 ? 0.2 * (i + 1) : 0.05 * (20 - i), 1e-15);
    DT_CHECK(j.steps[3].lr == 0.8 && j.steps[4].lr == 0.8);
    free_job(&j);
}

static const dt_test tests[] = {
    DT_TEST(the_training_loss_is_smoothed_and_val_loss_is_not),
    DT_TEST(the_incomplete_last_batch_of_an_epoch_is_left_out),
    DT_TEST(rates_count_the_steps_of_an_epoch),
};
DT_TEST_MAIN("core/training/trainer_loss", tests)
