/* What options of the optimization do to the weights, from their text on: a base training and one with the
 * option. Numbers are those of formulas; what an option does not concern keeps its bits. */
#include "tests/launch/options/effects_kit.h"
#include "tests/testing.h"

#include <math.h>

/* Checks a - b = factor * (c - d) for all elements of a tensor; b and d NULL: 0. */
static void check_difference(const job *a, const job *b, double factor, const job *c, const job *d, int t)
{
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < tensor_elems[t]; i++) {
        const double left = tensor(a, t)[i] - (b ? (double)tensor(b, t)[i] : 0);
        const double right = factor * (tensor(c, t)[i] - (d ? (double)tensor(d, t)[i] : 0));
        worst = fmax(worst, fabs(left - right));
        largest = fmax(largest, fabs(right));
    }
    DT_CHECK_MSG(worst <= 1e-6, "tensor %d: off by %g of %g", t, worst, largest);
    DT_CHECK_MSG(largest > 1e-5 || (t == BETA && !d), "tensor %d: the option does nothing", t);
}

static double norm(const job *a, const job *b, int t)
{
    double sum = 0;
    for (int64_t i = 0; i < tensor_elems[t]; i++) {
        const double x = tensor(a, t)[i] - (b ? (double)tensor(b, t)[i] : 0);
        sum += x * x;
    }
    return sqrt(sum);
}

/* -- the update ------------------------------------------------------------------------------------------ */

static void lr_is_the_factor_of_the_gradient(void)
{
    job start = TRAIN("--lr", "0"), one = TRAIN("--lr", "1"), quarter = TRAIN("--lr", "0.25");
    for (int t = CONV; t <= BIAS; t++)
        check_difference(&start, &quarter, 0.25, &start, &one, t);
    DT_CHECK_CLOSE(quarter.steps[0].lr, 0.25, 0);
    free_job(&start), free_job(&one), free_job(&quarter);
}

static void weight_decay_subtracts_its_share_of_the_weights(void)
{
    job start = TRAIN("--lr", "0"), plain = TRAIN("--lr", "1"), decayed = TRAIN("--weight-decay", "0.5");
    for (int t = CONV; t <= BIAS; t++)
        check_difference(&plain, &decayed, 0.5, &start, NULL, t);
    free_job(&start), free_job(&plain), free_job(&decayed);
}

static void no_bn_decay_spares_scale_and_shift_only(void)
{
    job plain = TRAIN("--steps", "1"), decayed = TRAIN("--weight-decay", "0.5"),
        spared = TRAIN("--weight-decay", "0.5", "--no-bn-decay");
    for (int t = CONV; t <= BIAS; t++)
        DT_CHECK_MSG(same_tensor(&spared, t == GAMMA || t == BETA ? &plain : &decayed, t), "tensor %d", t);
    DT_CHECK(!same_tensor(&decayed, &plain, GAMMA));
    free_job(&plain), free_job(&decayed), free_job(&spared);
    /* in the first step all shifts are 0 */
    job longer = TRAIN("--weight-decay", "0.5", "--steps", "2"),
        spared_longer = TRAIN("--weight-decay", "0.5", "--steps", "2", "--no-bn-decay");
    DT_CHECK(!same_tensor(&longer, &spared_longer, BETA));
    free_job(&longer), free_job(&spared_longer);
}

static void no_bias_decay_spares_biases_and_shifts_only(void)
{
    job plain = TRAIN("--steps", "1"), decayed = TRAIN("--weight-decay", "0.5"),
        spared = TRAIN("--weight-decay", "0.5", "--no-bias-decay");
    for (int t = CONV; t <= BIAS; t++)
        DT_CHECK_MSG(same_tensor(&spared, t == BETA || t == BIAS ? &plain : &decayed, t), "tensor %d", t);
    DT_CHECK(!same_tensor(&decayed, &plain, BIAS) && !same_tensor(&decayed, &plain, GAMMA));
    free_job(&plain), free_job(&decayed), free_job(&spared);
}

/* v2 = m v1 + g2, and v1 is the first step. */
static void momentum_repeats_its_share_of_the_step_before(void)
{
    job start = TRAIN("--lr", "0"), one = TRAIN("--lr", "0.125"),
        one_with = TRAIN("--lr", "0.125", "--momentum", "0.5"), two = TRAIN("--lr", "0.125", "--steps", "2"),
        two_with = TRAIN("--lr", "0.125", "--steps", "2", "--momentum", "0.5");
    check_same_weights(&one, &one_with, true);
    for (int t = CONV; t <= BIAS; t++)
        check_difference(&two, &two_with, 0.5, &start, &one, t);
    free_job(&start), free_job(&one), free_job(&one_with), free_job(&two), free_job(&two_with);
}

/* g + m v, and v = g in the first step. */
static void nesterov_lengthens_the_first_step(void)
{
    job start = TRAIN("--lr", "0"), plain = TRAIN("--momentum", "0.5"),
        nesterov = TRAIN("--momentum", "0.5", "--nesterov");
    for (int t = CONV; t <= BIAS; t++)
        check_difference(&start, &nesterov, 1.5, &start, &plain, t);
    free_job(&start), free_job(&plain), free_job(&nesterov);
}

/* |step| = lr T |w|, because the direction is the gradient's. */
static void lars_makes_steps_as_long_as_the_weights(void)
{
    job start = TRAIN("--lr", "0"), sgd = TRAIN("--lr", "2"),
        lars = TRAIN("--lr", "2", "--optimizer", "lars", "--lars-trust", "0.0625"),
        small = TRAIN("--lr", "2", "--optimizer", "lars");
    static const int weights[] = {CONV, FC};
    for (int i = 0; i < 2; i++) {
        const int t = weights[i];
        DT_CHECK_CLOSE(norm(&start, &lars, t) / norm(&start, NULL, t), 2 * 0.0625, 1e-6);
        DT_CHECK_CLOSE(norm(&start, &small, t) / norm(&start, NULL, t), 2 * 0.001, 1e-6);
    }
    DT_CHECK(same_tensor(&lars, &sgd, GAMMA) && same_tensor(&lars, &sgd, BETA) &&
             same_tensor(&lars, &sgd, BIAS));
    free_job(&start), free_job(&sgd), free_job(&lars), free_job(&small);
}

static void lars_decays_weights_only_unless_the_user_says_so(void)
{
    job start = TRAIN("--lr", "0"), sgd = TRAIN("--lr", "1"),
        lars = TRAIN("--optimizer", "lars", "--weight-decay", "0.5"),
        all = TRAIN("--optimizer", "lars", "--weight-decay", "0.5", "--no-bn-decay=no", "--no-bias-decay=no");
    for (int t = CONV; t <= BIAS; t++)
        if (t != CONV && t != FC) {
            DT_CHECK_MSG(same_tensor(&lars, &sgd, t), "tensor %d", t);
            check_difference(&sgd, &all, 0.5, &start, NULL, t);
        } else {
            DT_CHECK_MSG(same_tensor(&lars, &all, t), "tensor %d", t);
        }
    free_job(&start), free_job(&sgd), free_job(&lars), free_job(&all);
}

/* In the warm-up the rate of step 2 is twice that of step 1. With a velocity of g1 it doubles the repeated
 * step, with one of lr1 g1 it does not. */
static void lars_form_chooses_the_rate_of_the_repeated_step(void)
{
#define FORM(form, steps)                                                                                    \
    TRAIN("--optimizer", "lars", "--lars-form", form, "--momentum", "0.5", "--warmup-epochs", "1",           \
          "--steps", steps, "--lr", "8", "--lars-trust", "0.125")
    job start = TRAIN("--lr", "0"), one = FORM("torch", "1"), paper_one = FORM("paper", "1"),
        torch = FORM("torch", "2"), paper = FORM("paper", "2"),
        by_default = TRAIN("--optimizer", "lars", "--momentum", "0.5", "--warmup-epochs", "1", "--steps", "2",
                           "--lr", "8", "--lars-trust", "0.125");
    check_same_weights(&one, &paper_one, true);
    check_same_weights(&paper, &by_default, true);
    for (int t = CONV; t <= BIAS; t++)
        check_difference(&paper, &torch, 0.5, &start, &one, t);
    free_job(&start), free_job(&one), free_job(&paper_one), free_job(&torch), free_job(&paper);
    free_job(&by_default);
}

/* Smoothing mixes two losses: that of the label and the mean over all classes. */
static void label_smoothing_mixes_two_losses(void)
{
    job none = TRAIN("--label-smoothing", "0"), quarter = TRAIN("--label-smoothing", "0.25"),
        half = TRAIN("--label-smoothing", "0.5"), by_default = TRAIN("--steps", "1"),
        tenth = TRAIN("--label-smoothing", "0.1");
    const double loss = none.steps[0].loss, other = half.steps[0].loss;
    DT_CHECK(fabs(loss - other) > 1e-3);
    DT_CHECK_CLOSE(quarter.steps[0].loss, (loss + other) / 2, 1e-6);
    DT_CHECK_CLOSE(by_default.steps[0].loss, 0.8 * loss + 0.2 * other, 1e-6);
    check_same_weights(&by_default, &tenth, true);
    check_same_weights(&by_default, &none, false);
    free_job(&none), free_job(&quarter), free_job(&half), free_job(&by_default), free_job(&tenth);
}

/* The decay of the first step is min(DECAY, 2 / 11) unless there is no warm-up. */
static void ema_averages_the_weights_and_leaves_them_alone(void)
{
    job start = TRAIN("--lr", "0"), plain = TRAIN("--lr", "1");
    DT_CHECK(plain.vectors.ema == NULL);
    for (int i = 0; i < 3; i++) {
        static const char *const words[][4] = {
            {"--ema", "0.75"}, {"--ema", "0.75", "--no-ema-warmup"}, {"--ema", "0.125"}};
        const double decay = (const double[]){2.0 / 11, 0.75, 0.125}[i];
        job averaged = train_words(words[i]);
        check_same_weights(&plain, &averaged, true);
        DT_REQUIRE(averaged.vectors.ema != NULL);
        const float *ema = averaged.values[0] + averaged.vectors.n_trained + averaged.vectors.n_statistics;
        for (int t = CONV; t <= BIAS; t++)
            for (int64_t k = 0; k < tensor_elems[t]; k++)
                DT_CHECK_CLOSE(ema[tensor_first[t] + k],
                               decay * tensor(&start, t)[k] + (1 - decay) * tensor(&averaged, t)[k], 1e-6);
        free_job(&averaged);
    }
    free_job(&start), free_job(&plain);
}

/* -- precision ------------------------------------------------------------------------------------------- */

static void each_precision_computes_other_bits_near_fp32(void)
{
    static const char *const names[] = {"fp32", "fp16", "bf16", "tf32"};
    static const double tolerances[] = {0, 0.02, 0.1, 0.02};
    job plain = TRAIN("--steps", "1");
    for (int i = 0; i < 4; i++) {
        job j = TRAIN("--precision", names[i]);
        DT_CHECK_CLOSE(j.steps[0].loss, plain.steps[0].loss, tolerances[i]);
        check_same_weights(&j, &plain, i == 0);
        DT_CHECK_INT(j.steps[0].scaled, i == 1);
        free_job(&j);
    }
    free_job(&plain);
}

static void loss_scale_is_the_first_factor_and_changes_no_step_much(void)
{
    job by_default = TRAIN("--precision", "fp16"), small = TRAIN("--precision", "fp16", "--loss-scale", "64");
    DT_CHECK_CLOSE(small.steps[0].loss_scale, 64, 0);
    DT_CHECK(!small.steps[0].skipped);
    /* the default may be halved in its first step */
    DT_CHECK(by_default.steps[0].loss_scale == (by_default.steps[0].skipped ? 32768 : 65536));
    DT_CHECK_CLOSE(small.steps[0].loss, by_default.steps[0].loss, 0);
    free_job(&by_default), free_job(&small);
}

static void no_graph_gives_the_same_bits_without_captured_graphs(void)
{
    for (int i = 0; i < 2; i++) {
        static job with, without;
        job *j = i ? &without : &with;
        *j = job_of(i ? (const char *const[]){"--steps", "12", "--no-graph", NULL}
                      : (const char *const[]){"--steps", "12", NULL});
        j->lagging = true;
        run(j);
        check_all(j, DT_OK);
        DT_CHECK_INT(j->counts[0].n_launches > 0, !i);
        if (!i)
            continue;
        check_same_weights(&with, &without, true);
        free_job(&with), free_job(&without);
    }
}

static const dt_test tests[] = {
    DT_TEST(lr_is_the_factor_of_the_gradient),
    DT_TEST(weight_decay_subtracts_its_share_of_the_weights),
    DT_TEST(no_bn_decay_spares_scale_and_shift_only),
    DT_TEST(no_bias_decay_spares_biases_and_shifts_only),
    DT_TEST(momentum_repeats_its_share_of_the_step_before),
    DT_TEST(nesterov_lengthens_the_first_step),
    DT_TEST(lars_makes_steps_as_long_as_the_weights),
    DT_TEST(lars_decays_weights_only_unless_the_user_says_so),
    DT_TEST(lars_form_chooses_the_rate_of_the_repeated_step),
    DT_TEST(label_smoothing_mixes_two_losses),
    DT_TEST(ema_averages_the_weights_and_leaves_them_alone),
    DT_TEST(each_precision_computes_other_bits_near_fp32),
    DT_TEST(loss_scale_is_the_first_factor_and_changes_no_step_much),
    DT_TEST(no_graph_gives_the_same_bits_without_captured_graphs),
};
DT_TEST_MAIN("launch/options/weights_effects", tests)
