/* What the sinks get, number by number: losses, hits and times come from the test
 * (tests/fakes/scripted_loss.h, fake_clock.h), which works out by plain loops what must be reported. */
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_store.h"
#include "tests/fakes/trainer_job.h"
#include "tests/testing.h"

#include "core/training/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* -- the script ------------------------------------------------------------------------------------------ */

/* All numbers are small multiples of 1/4, so sums of them are exact in float32. top5 differs from top1. */
static dt_loss_sums train_sums(int rank, int64_t index, int64_t n)
{
    return (dt_loss_sums){(float)(2 * index + rank + 1) / 4.0F, (float)((index + rank) % 4),
                          (float)((index + rank) % 4 + 1), (float)n};
}

/* A micro-batch takes rank 0 so long; different ones differ. */
static double train_s(int64_t index)
{
    return 0.25 * (double)(index % 5 + 1);
}

/* Evaluations have some batches each: which evaluation is it? In the first batch of rank 0 one image is
 * broken and not counted. */
static int64_t batches_per_eval;
static int64_t hits[8]; /* per whole batch of evaluation i */

static dt_loss_sums eval_sums(int rank, int64_t index, int64_t n)
{
    const int64_t eval = index / batches_per_eval;
    const float top1 = fminf((float)hits[eval % 8], (float)n);
    const bool broken = rank == 0 && index % batches_per_eval == 0;
    return (dt_loss_sums){(float)(n * (rank + 1 + eval)), top1, fminf(top1 + 1.0F, (float)n),
                          (float)(n - broken)};
}

#define EVAL_BATCH_S 0.5

static dt_loss_sums sums(int rank, bool training, int64_t index, int64_t n)
{
    if (rank == 0)
        fake_clock_advance(training ? train_s(index) : EVAL_BATCH_S);
    return training ? train_sums(rank, index, n) : eval_sums(rank, index, n);
}

static job scripted_job(int size, int64_t accumulate)
{
    job j = new_job(size);
    j.script.sums = sums;
    j.config.accumulate = accumulate;
    j.config.schedule = DT_SCHEDULE_CONSTANT;
    const int64_t per_round = j.config.batch * size;
    j.n_val = 2 * per_round + 3; /* in each evaluation 3 batches of each rank, the last not full or empty */
    batches_per_eval = 3;
    memcpy(hits, (const int64_t[]){1, 3, 2, 3, 0, 1, 2, 0}, sizeof hits);
    fake_clock_set(1000.0);
    return j;
}

/* -- steps ----------------------------------------------------------------------------------------------- */

/* What step `step` (1 is the first) of a job must report. */
typedef struct expected_step {
    double loss, top1, seconds;
} expected_step;

static expected_step expect_step(const job *j, int64_t step)
{
    const int64_t accumulate = j->config.accumulate;
    expected_step e = {0};
    for (int64_t m = 0; m < accumulate; m++) {
        const int64_t index = (step - 1) * accumulate + m;
        for (int rank = 0; rank < j->size; rank++) {
            const dt_loss_sums s = train_sums(rank, index, j->config.batch);
            e.loss += (double)s.loss;
            e.top1 += (double)s.top1;
        }
        e.seconds += train_s(index);
    }
    const double n = (double)(j->config.batch * accumulate * j->size);
    e.loss /= n;
    e.top1 /= n;
    return e;
}

static double expect_rate(const job *j, int64_t step)
{
    double seconds = 0.0;
    int64_t n = 0;
    for (int64_t s = step; s >= 1 && n < DT_REPORT_WINDOW; s--, n++)
        seconds += expect_step(j, s).seconds;
    return (double)(n * j->config.batch * j->config.accumulate * j->size) / seconds;
}

/* Of the first n steps. */
static double end_rate(const job *j, int64_t n)
{
    double seconds = 0.0;
    for (int64_t step = 1; step <= n; step++)
        seconds += expect_step(j, step).seconds;
    return (double)(n * j->config.batch * j->config.accumulate * j->size) / seconds;
}

#define STEPS_PER_EPOCH 13

static void check_steps(const job *j)
{
    double elapsed_s = 0.0;
    const int64_t total = STEPS_PER_EPOCH * j->config.epochs;
    const double global = (double)(j->config.batch * j->config.accumulate * j->size);
    DT_REQUIRE(j->n_steps == total);
    for (int64_t i = 0; i < total; i++) {
        const dt_metrics_step *m = &j->steps[i];
        const expected_step e = expect_step(j, i + 1);
        elapsed_s += e.seconds;
        DT_CHECK_INT(m->step, i + 1);
        DT_CHECK_INT(m->epoch, i / STEPS_PER_EPOCH);
        DT_CHECK_CLOSE(m->epoch_progress, (double)(i % STEPS_PER_EPOCH + 1) / STEPS_PER_EPOCH, 0);
        DT_CHECK_CLOSE(m->loss, e.loss, 0);
        DT_CHECK_CLOSE(m->top1, e.top1, 0);
        DT_CHECK_CLOSE(m->elapsed_s, elapsed_s, 0);
        DT_CHECK_CLOSE(m->images_per_s, expect_rate(j, i + 1), 1e-9);
        DT_CHECK_CLOSE(m->left_s, (double)(total - i - 1) * global / expect_rate(j, i + 1), 1e-9);
        DT_CHECK(!m->scaled && !m->skipped && m->n_skipped == 0);
    }
}

static void check_epochs(const job *j)
{
    const int64_t global = j->config.batch * j->config.accumulate * j->size;
    DT_REQUIRE(j->n_epochs == j->config.epochs);
    for (int64_t epoch = 0; epoch < j->n_epochs; epoch++) {
        const dt_metrics_epoch *m = &j->epochs[epoch];
        double loss = 0.0, top1 = 0.0, seconds = 0.0;
        for (int64_t i = 0; i < STEPS_PER_EPOCH; i++) {
            const expected_step e = expect_step(j, epoch * STEPS_PER_EPOCH + i + 1);
            loss += e.loss;
            top1 += e.top1;
            seconds += e.seconds;
        }
        DT_CHECK_INT(m->epoch, epoch);
        DT_CHECK_INT(m->step, (epoch + 1) * STEPS_PER_EPOCH);
        DT_CHECK_CLOSE(m->mean_loss, loss / STEPS_PER_EPOCH, 1e-12);
        DT_CHECK_CLOSE(m->mean_top1, top1 / STEPS_PER_EPOCH, 1e-12);
        DT_CHECK_CLOSE(m->elapsed_s, seconds, 0);
        DT_CHECK_CLOSE(m->images_per_s, (double)(STEPS_PER_EPOCH * global) / seconds, 1e-9);
        DT_CHECK_INT(m->n_images, STEPS_PER_EPOCH * global);
        DT_CHECK_INT(m->n_broken, 0);
    }
}

/* Without evaluations between the steps. The last images of an epoch do not fill a batch. */
static void steps_and_epochs_of(int size, int64_t accumulate)
{
    job j = scripted_job(size, accumulate);
    const int64_t global = j.config.batch * accumulate * size;
    j.n_val = 0;
    j.n_train = global * STEPS_PER_EPOCH + global - 1;
    j.config.epochs = 3;
    run(&j);
    check_all(&j, DT_OK);
    check_steps(&j);
    check_epochs(&j);
    DT_CHECK_INT(j.start.first_step, 0);
    DT_CHECK_INT(j.start.total_steps, 3 * STEPS_PER_EPOCH);
    DT_CHECK_INT(j.start.steps_per_epoch, STEPS_PER_EPOCH);
    DT_CHECK_INT(j.start.first_epoch, 0);
    DT_CHECK_INT(j.start.epochs, 3);
    DT_CHECK_INT(j.start.world_size, size);
    DT_CHECK_INT(j.start.global_batch, global);
    DT_CHECK_INT(j.start.n_train, j.n_train);
    DT_CHECK_INT(j.start.n_val, 0);
    DT_CHECK_INT(j.start.n_params, 16 * 3 * 9 + 2 * 16 + CLASSES * 16 + CLASSES);
    const dt_metrics_end *end = &j.sent_end;
    double seconds = 0.0;
    for (int64_t i = 1; i <= 3 * STEPS_PER_EPOCH; i++)
        seconds += expect_step(&j, i).seconds;
    DT_CHECK_INT(end->steps, 3 * STEPS_PER_EPOCH);
    DT_CHECK_INT(end->epochs, 3);
    DT_CHECK_CLOSE(end->elapsed_s, seconds, 0);
    DT_CHECK_CLOSE(end->images_per_s, end_rate(&j, 3 * STEPS_PER_EPOCH), 1e-9);
    DT_CHECK(end->final_loss == -1.0 && end->final_top1 == -1.0 && end->final_top5 == -1.0);
    DT_CHECK(end->final_step == -1 && end->best_top1 == -1.0 && end->best_step == -1 &&
             end->best_epoch == -1);
    DT_CHECK(end->all_done && !end->stopped_on_request && end->n_val == 0 && end->n_train == j.n_train);
    free_job(&j);
}

static void steps_and_epochs_report_means_over_micro_batches_and_ranks(void)
{
    steps_and_epochs_of(1, 1);
    steps_and_epochs_of(1, 3);
    steps_and_epochs_of(2, 2);
    steps_and_epochs_of(3, 1);
}

/* Results come eight steps at a time, or all at the end of an epoch; together they have the epoch's time. */
static void a_device_that_works_later_reports_the_same_rate(void)
{
    job j = new_job(1);
    fake_clock_set(1000.0);
    j.lagging = true;
    j.next_s = 0.25;
    j.n_val = 0;
    j.n_train = 4 * 60;
    j.config.accumulate = 2;
    j.config.epochs = 1;
    run(&j);
    check_all(&j, DT_OK);
    DT_CHECK_CLOSE(j.sent_end.images_per_s, 4 / 0.25, 1e-9);
    DT_CHECK_CLOSE(j.sent_end.elapsed_s, 60 * 0.25, 0);
    DT_CHECK_CLOSE(j.steps[29].data_wait_s, 2 * 0.25, 0);
    DT_CHECK_CLOSE(j.steps[0].images_per_s, 4 / 0.5, 1e-9); /* 8 results after 16 steps */
    DT_CHECK_CLOSE(j.steps[0].elapsed_s, 16 * 0.5, 0);
    DT_CHECK_CLOSE(j.steps[0].left_s, 29 * 2 * 4 / 8.0, 1e-9); /* from its own step on */
    free_job(&j);
}

static void every_step_reports_its_own_learning_rate(void)
{
    job j = scripted_job(1, 1);
    j.n_train = 4 * 10;
    j.config.epochs = 3;
    j.config.warmup_epochs = 1.0;
    j.config.schedule = DT_SCHEDULE_COSINE;
    j.config.lr = 0.5;
    run(&j);
    check_all(&j, DT_OK);
    DT_REQUIRE(j.n_steps == 30);
    for (int i = 0; i < 10; i++)
        DT_CHECK_CLOSE(j.steps[i].lr, 0.5 * (i + 1) / 10.0, 1e-12);
    for (int i = 10; i < 30; i++)
        DT_CHECK_CLOSE(j.steps[i].lr, 0.25 * (1.0 + cos(acos(-1.0) * (i - 10) / 20.0)), 1e-12);
    j.config.warmup_epochs = 3.0; /* the warm-up is all there is: the last step has the peak */
    free_job(&j);
    j.n_steps = j.n_evals = j.n_epochs = 0;
    run(&j);
    for (int i = 0; i < 30; i++)
        DT_CHECK_CLOSE(j.steps[i].lr, 0.5 * (i + 1) / 30.0, 1e-12);
    free_job(&j);
}

/* -- evaluations ----------------------------------------------------------------------------------------- */

typedef struct expected_eval {
    double loss, top1, top5;
} expected_eval;

static expected_eval expect_eval(const job *j, int64_t eval)
{
    double loss = 0.0, top1 = 0.0, top5 = 0.0;
    for (int64_t b = 0; b < batches_per_eval; b++)
        for (int rank = 0; rank < j->size; rank++) {
            const int64_t first = (b * j->size + rank) * j->config.batch, left = j->n_val - first;
            const int64_t n = left < 0 ? 0 : left < j->config.batch ? left : j->config.batch;
            const dt_loss_sums s = eval_sums(rank, eval * batches_per_eval + b, n);
            loss += (double)s.loss;
            top1 += (double)s.top1;
            top5 += (double)s.top5;
        }
    const double n = (double)(j->n_val - 1);
    return (expected_eval){loss / n, top1 / n, top5 / n};
}

/* 4 epochs of 4 steps, evaluated twice each; the best ones are the second, third and so on of 3 hits: the
 * first of those counts. */
static void evaluations_of(int size)
{
    job j = scripted_job(size, 1);
    j.n_train = j.config.batch * size * 4;
    j.config.epochs = 4;
    j.config.eval_every = 0.5;
    j.broken_val = 2; /* of each rank in the first evaluation */
    j.config.max_broken = 0.5;
    run(&j);
    check_all(&j, DT_OK);
    DT_REQUIRE(j.n_evals == 8);
    for (int64_t i = 0; i < 8; i++) {
        const dt_metrics_eval *m = &j.evals[i];
        const expected_eval e = expect_eval(&j, i);
        DT_CHECK_INT(m->step, 2 * (i + 1));
        DT_CHECK_INT(m->epoch, i / 2);
        DT_CHECK_CLOSE(m->val_loss, e.loss, 0);
        DT_CHECK_CLOSE(m->val_top1, e.top1, 0);
        DT_CHECK_CLOSE(m->val_top5, e.top5, 0);
        DT_CHECK(m->val_top5 > m->val_top1);
        DT_CHECK_INT(m->n, j.n_val - 1);
        DT_CHECK_INT(m->n_broken, i == 0 ? 2 * size : size);
        DT_CHECK_CLOSE(m->elapsed_s, 3 * EVAL_BATCH_S, 0);
        DT_CHECK_CLOSE(m->images_per_s, (double)(j.n_val - 1) / (3 * EVAL_BATCH_S), 1e-12);
    }
    /* steps take no longer because evaluations are between them */
    for (int64_t i = 0; i < 16; i++)
        DT_CHECK_CLOSE(j.steps[i].images_per_s, expect_rate(&j, i + 1), 1e-9);
    for (int r = 0; r < size; r++) {
        const dt_metrics_end *end = &j.end[r];
        const expected_eval last = expect_eval(&j, 7);
        DT_CHECK_CLOSE(end->best_top1, expect_eval(&j, 1).top1, 0);
        DT_CHECK_INT(end->best_step, 4);
        DT_CHECK_INT(end->best_epoch, 0);
        DT_CHECK_CLOSE(end->final_loss, last.loss, 0);
        DT_CHECK_CLOSE(end->final_top1, last.top1, 0);
        DT_CHECK_CLOSE(end->final_top5, last.top5, 0);
        DT_CHECK_INT(end->final_step, 16);
        DT_CHECK_INT(end->n_val, j.n_val);
        DT_CHECK_INT(end->n_broken_val, 2 * size); /* the most */
        DT_CHECK_INT(end->n_broken, 0);
        if (r == 0) /* without the evaluations' time */
            DT_CHECK_CLOSE(end->images_per_s, end_rate(&j, 16), 1e-9);
        DT_CHECK(!end->best_is_kept); /* no checkpoint is */
    }
    free_job(&j);
}

static void evaluations_report_sums_over_the_images_of_all_ranks(void)
{
    for (int size = 1; size <= 3; size++)
        evaluations_of(size);
}

/* -- checkpoints ----------------------------------------------------------------------------------------- */

static void end_job(job *j)
{
    j->store->ops->destroy(j->store);
    if (j->mirror)
        j->mirror->ops->destroy(j->mirror);
    free_job(j);
}

/* parameters, statistics and momentum of the small net */
#define STATE_BYTES (((16 * 3 * 9 + 2 * 16 + CLASSES * 16 + CLASSES) * 2 + 2 * 16) * (int64_t)sizeof(float))

static void checkpoints_report_their_step_size_and_time(void)
{
    job j = scripted_job(1, 1);
    j.n_train = 4 * 16;
    j.n_val = 0;
    j.config.checkpoint_every = 5;
    j.config.epochs = 1;
    j.store = fake_store_create(&(fake_store_options){.shard_s = 0.25, .commit_s = 2.0});
    run(&j);
    check_all(&j, DT_OK);
    DT_REQUIRE(j.n_checkpoints == 4);
    for (int64_t i = 0; i < 4; i++) {
        DT_CHECK_INT(j.saved[i].step, i < 3 ? 5 * (i + 1) : 16);
        DT_CHECK_INT(j.saved[i].bytes, STATE_BYTES);
        DT_CHECK_CLOSE(j.saved[i].elapsed_s, 2.25, 0);
        DT_CHECK_STR(j.saved[i].path, "memory");
        DT_CHECK_STR(j.saved[i].error, "");
        /* ready at the latest in the vote of the next step, and known with its result */
        DT_CHECK(j.checkpoints_reported_at[i] >= j.saved[i].step &&
                 j.checkpoints_reported_at[i] <= j.saved[i].step + 1);
    }
    /* the time of checkpoints is not a step's */
    for (int64_t i = 0; i < 16; i++)
        DT_CHECK_CLOSE(j.steps[i].images_per_s, expect_rate(&j, i + 1), 1e-9);
    end_job(&j);
}

static void copies_in_the_mirror_report_their_own_time(void)
{
    job j = scripted_job(1, 1);
    j.n_train = 4 * 20; /* the last checkpoint is due at the end: no other is then being copied */
    j.n_val = 0;
    j.config.checkpoint_every = 5;
    j.config.epochs = 1;
    j.store = fake_store_create(&(fake_store_options){.commit_s = 2.0});
    j.mirror = fake_store_create(&(fake_store_options){.copy_s = 3.0, .commit_s = 0.5});
    run(&j);
    check_all(&j, DT_OK);
    DT_REQUIRE(j.n_mirrored == 4);
    for (int64_t i = 0; i < 4; i++) {
        DT_CHECK_INT(j.mirrored[i].step, 5 * (i + 1));
        DT_CHECK_INT(j.mirrored[i].bytes, STATE_BYTES);
        DT_CHECK_CLOSE(j.mirrored[i].elapsed_s, 3.5, 0);
        DT_CHECK_STR(j.mirrored[i].error, "");
    }
    end_job(&j);
}

/* -- resumed trainings ----------------------------------------------------------------------------------- */

/* 4 epochs of 4 steps. The best evaluation, after step 8, is of the first start; the second start goes on in
 * the middle of an epoch. */
static void a_resume_goes_on_with_the_counts_of_the_checkpoint(void)
{
    job j = scripted_job(2, 1);
    j.n_train = j.config.batch * 2 * 4;
    j.config.epochs = 4;
    j.config.keep = 20;
    j.config.checkpoint_every = 8;
    j.store = fake_store_create(&(fake_store_options){0});
    memcpy(hits, (const int64_t[]){1, 3, 0, 0, 0, 0, 0, 0}, sizeof hits);
    j.stop_after = 9;
    run(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_INT(j.end[0].steps, 10);
    DT_CHECK_INT(j.end[0].epochs, 2);
    DT_CHECK(j.end[0].stopped_on_request && !j.end[0].all_done && !j.end[0].best_is_kept);
    DT_CHECK_INT(j.sent_end.final_step, 8);
    const double best = expect_eval(&j, 1).top1;
    memcpy(hits, (const int64_t[]){2, 1, 0, 0, 0, 0, 0, 0}, sizeof hits); /* less than 3 */
    fake_clock_set(5000.0);
    run_again(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.start.first_step, 10);
    DT_CHECK_INT(j.start.first_epoch, 2);
    DT_CHECK_INT(j.start.total_steps, 16);
    DT_REQUIRE(j.n_steps == 6 && j.n_epochs == 2 && j.n_evals == 2);
    for (int64_t i = 0; i < 6; i++) {
        DT_CHECK_INT(j.steps[i].step, 11 + i);
        DT_CHECK_INT(j.steps[i].epoch, i < 2 ? 2 : 3);
        DT_CHECK_CLOSE(j.steps[i].epoch_progress, (double)((10 + i) % 4 + 1) / 4.0, 0);
        DT_CHECK_CLOSE(j.steps[i].images_per_s, expect_rate(&j, i + 1), 1e-9);
    }
    DT_CHECK_CLOSE(j.steps[0].elapsed_s, train_s(0), 0); /* since this start */
    DT_CHECK_INT(j.epochs[0].epoch, 2);
    DT_CHECK_INT(j.epochs[0].n_images, 2 * 8); /* of this start */
    DT_CHECK_INT(j.epochs[1].n_images, 4 * 8);
    DT_CHECK_INT(j.evals[0].step, 12);
    DT_CHECK_INT(j.evals[0].epoch, 2);
    DT_CHECK_CLOSE(j.end[0].best_top1, best, 0);
    DT_CHECK_INT(j.end[0].best_step, 8);
    DT_CHECK_INT(j.end[0].best_epoch, 1);
    DT_CHECK(j.end[0].best_is_kept);
    DT_CHECK_INT(j.end[0].steps, 16);
    DT_CHECK_INT(j.end[0].final_step, 16);
    end_job(&j);
}

static const dt_test tests[] = {
    DT_TEST(steps_and_epochs_report_means_over_micro_batches_and_ranks),
    DT_TEST(a_device_that_works_later_reports_the_same_rate),
    DT_TEST(every_step_reports_its_own_learning_rate),
    DT_TEST(evaluations_report_sums_over_the_images_of_all_ranks),
    DT_TEST(checkpoints_report_their_step_size_and_time),
    DT_TEST(copies_in_the_mirror_report_their_own_time),
    DT_TEST(a_resume_goes_on_with_the_counts_of_the_checkpoint),
};
DT_TEST_MAIN("core/training/reports", tests)
