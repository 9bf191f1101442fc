/* The learning rate and the size of images over a training. */
#include "core/training/schedule.h"
#include "tests/testing.h"

#include <math.h>

/* The rate of every step of `epochs` epochs of `per_epoch` steps. */
static void all_rates(const dt_config *config, int epochs, int per_epoch, double *lr)
{
    for (int step = 0; step < epochs * per_epoch; step++)
        lr[step] = dt_schedule_lr(config, (double)step / per_epoch, 1.0 / per_epoch, epochs);
}

/* --poly-power's and --step-gamma's. */
#define DEFAULTS .poly_power = 2, .step_gamma = 0.1

static const dt_schedule_kind kinds[] = {DT_SCHEDULE_COSINE, DT_SCHEDULE_POLY, DT_SCHEDULE_STEP,
                                         DT_SCHEDULE_CONSTANT};

static void warmup_climbs_in_equal_steps_to_the_peak(void)
{
    for (int k = 0; k < 4; k++) {
        const dt_config config = {.lr = 0.8, .warmup_epochs = 2, .schedule = kinds[k], DEFAULTS};
        double lr[100];
        all_rates(&config, 10, 10, lr);
        for (int step = 0; step < 20; step++)
            DT_CHECK_CLOSE(lr[step], 0.8 * (step + 1) / 20, 1e-12);
        DT_CHECK_CLOSE(lr[20], 0.8, 1e-12);
    }
}

static void without_warmup_the_first_step_has_the_peak(void)
{
    for (int k = 0; k < 4; k++) {
        const dt_config config = {.lr = 0.8, .schedule = kinds[k], DEFAULTS};
        DT_CHECK_CLOSE(dt_schedule_lr(&config, 0, 0.01, 90), 0.8, 1e-12);
    }
}

static void warmup_may_end_inside_an_epoch_and_inside_a_step(void)
{
    const dt_config config = {.lr = 1, .warmup_epochs = 0.25, .schedule = DT_SCHEDULE_CONSTANT};
    double lr[30];
    all_rates(&config, 3, 10, lr);
    DT_CHECK_CLOSE(lr[0], 0.4, 1e-12);
    DT_CHECK_CLOSE(lr[1], 0.8, 1e-12);
    DT_CHECK_CLOSE(lr[2], 1, 1e-12); /* never above the peak */
    DT_CHECK_CLOSE(lr[3], 1, 1e-12);
}

static void cosine_falls_along_half_a_wave(void)
{
    const dt_config config = {.lr = 2, .warmup_epochs = 10, .schedule = DT_SCHEDULE_COSINE};
    DT_CHECK_CLOSE(dt_schedule_lr(&config, 10, 0.1, 100), 2, 1e-12);
    DT_CHECK_CLOSE(dt_schedule_lr(&config, 40, 0.1, 100), 1.5, 1e-12); /* a third: cos 60 degrees */
    DT_CHECK_CLOSE(dt_schedule_lr(&config, 55, 0.1, 100), 1, 1e-12);
    DT_CHECK_CLOSE(dt_schedule_lr(&config, 70, 0.1, 100), 0.5, 1e-12);
    DT_CHECK_CLOSE(dt_schedule_lr(&config, 100, 0.1, 100), 0, 1e-12);
}

static void poly_falls_with_the_square(void)
{
    const dt_config config = {.lr = 2, .warmup_epochs = 10, .schedule = DT_SCHEDULE_POLY, .poly_power = 2};
    DT_CHECK_CLOSE(dt_schedule_lr(&config, 10, 0.1, 110), 2, 1e-12);
    DT_CHECK_CLOSE(dt_schedule_lr(&config, 60, 0.1, 110), 0.5, 1e-12);
    DT_CHECK_CLOSE(dt_schedule_lr(&config, 100, 0.1, 110), 0.02, 1e-12);
    DT_CHECK_CLOSE(dt_schedule_lr(&config, 110, 0.1, 110), 0, 1e-12);
}

static void step_drops_to_a_tenth_at_30_60_and_80_of_90_epochs(void)
{
    const dt_config config = {.lr = 0.1, .warmup_epochs = 5, .schedule = DT_SCHEDULE_STEP, .step_gamma = 0.1};
    static double lr[90 * 7];
    all_rates(&config, 90, 7, lr); /* sevenths are not exact in binary */
    DT_CHECK_CLOSE(lr[30 * 7 - 1], 0.1, 1e-12);
    DT_CHECK_CLOSE(lr[30 * 7], 0.01, 1e-12);
    DT_CHECK_CLOSE(lr[60 * 7 - 1], 0.01, 1e-12);
    DT_CHECK_CLOSE(lr[60 * 7], 0.001, 1e-12);
    DT_CHECK_CLOSE(lr[80 * 7 - 1], 0.001, 1e-12);
    DT_CHECK_CLOSE(lr[80 * 7], 0.0001, 1e-12);
}

static void rounding_does_not_move_a_drop_by_a_step(void)
{
    const dt_config config = {.lr = 1, .schedule = DT_SCHEDULE_STEP, .step_gamma = 0.1};
    for (int epochs = 9; epochs <= 900; epochs += 9) {
        const double just_before = nextafter(epochs / 3.0, 0);
        DT_CHECK_CLOSE(dt_schedule_lr(&config, just_before, 0.001, epochs), 0.1, 1e-12);
    }
}

static void poly_has_the_given_power(void)
{
    /* half of the time after the warm-up is left: 2 * 0.5^power */
    static const double cases[][2] = {{1, 1}, {2, 0.5}, {3, 0.25}, {0.5, 1.4142135623730951}, {100, 0x1p-99}};
    for (int i = 0; i < 5; i++) {
        const dt_config config = {
            .lr = 2, .warmup_epochs = 10, .schedule = DT_SCHEDULE_POLY, .poly_power = cases[i][0]};
        DT_CHECK_CLOSE(dt_schedule_lr(&config, 10, 0.1, 110), 2, 0);
        DT_CHECK_CLOSE(dt_schedule_lr(&config, 60, 0.1, 110), cases[i][1], 1e-15);
        DT_CHECK_CLOSE(dt_schedule_lr(&config, 110, 0.1, 110), 0, 0);
        DT_CHECK_CLOSE(dt_schedule_lr(&config, 120, 0.1, 110), 0, 0);
    }
}

static void step_drops_by_the_given_factor_at_the_given_epochs(void)
{
    const dt_config config = {.lr = 0.8,
                              .warmup_epochs = 2,
                              .schedule = DT_SCHEDULE_STEP,
                              .step_gamma = 0.25,
                              .n_step_epochs = 3,
                              .step_epochs = {2, 3.5, 7}};
    static double lr[10 * 7];
    all_rates(&config, 10, 7, lr);
    DT_CHECK_CLOSE(lr[13], 0.8, 0); /* the warm-up's last step: its target is the peak */
    DT_CHECK_CLOSE(lr[14], 0.2, 0); /* a drop at the end of the warm-up */
    DT_CHECK_CLOSE(lr[24], 0.2, 0);
    DT_CHECK_CLOSE(lr[25], 0.05, 0); /* 25 / 7 is the first time after 3.5 */
    DT_CHECK_CLOSE(lr[48], 0.05, 0);
    DT_CHECK_CLOSE(lr[49], 0.0125, 0);
    DT_CHECK_CLOSE(lr[69], 0.0125, 0);
    DT_CHECK_CLOSE(dt_schedule_lr(&config, 100, 0.1, 10), 0.0125, 0);
}

static void a_drop_inside_the_warmup_comes_at_its_end(void)
{
    /* by default at 3, 6 and 8 of 9 epochs */
    const dt_config config = {.lr = 1, .warmup_epochs = 7, .schedule = DT_SCHEDULE_STEP, .step_gamma = 0.5};
    double lr[18];
    all_rates(&config, 9, 2, lr);
    for (int step = 0; step < 14; step++)
        DT_CHECK_CLOSE(lr[step], (step + 1) / 14.0, 1e-15);
    DT_CHECK_CLOSE(lr[14], 0.25, 0);
    DT_CHECK_CLOSE(lr[15], 0.25, 0);
    DT_CHECK_CLOSE(lr[16], 0.125, 0);
}

/* Each drop comes at the first step of its epoch, for any number of steps in an epoch, although the time of
 * that step is rounded, up or down. */
static void a_drop_comes_with_the_first_step_of_its_epoch(void)
{
    dt_config config = {.lr = 1, .schedule = DT_SCHEDULE_STEP, .step_gamma = 0.5, .n_step_epochs = 1};
    for (int per_epoch = 1; per_epoch <= 49; per_epoch++)
        for (int epoch = 1; epoch < 30; epoch++) {
            const double dt = 1.0 / per_epoch;
            double sum = 0; /* the same time, with the error of many sums */
            config.step_epochs[0] = epoch;
            for (int i = 0; i < epoch * per_epoch; i++)
                sum += dt;
            DT_CHECK_CLOSE(dt_schedule_lr(&config, sum, dt, 30), 0.5, 0);
            DT_CHECK_CLOSE(dt_schedule_lr(&config, sum - dt, dt, 30), 1, 0);
        }
}

static void the_peak_comes_twice(void)
{
    for (int k = 0; k < 4; k++)
        for (int per_epoch = 1; per_epoch <= 30; per_epoch++) {
            const dt_config config = {.lr = 0.7, .warmup_epochs = 3, .schedule = kinds[k], DEFAULTS};
            static double lr[30 * 90];
            all_rates(&config, 90, per_epoch, lr);
            const int last = 3 * per_epoch - 1; /* of the warm-up */
            if (last > 0)
                DT_CHECK(lr[last - 1] < 0.7 - 1e-3);
            DT_CHECK_CLOSE(lr[last], 0.7, 1e-15);
            DT_CHECK_CLOSE(lr[last + 1], 0.7, 0);
            DT_CHECK((kinds[k] == DT_SCHEDULE_COSINE || kinds[k] == DT_SCHEDULE_POLY) ==
                     (lr[last + 2] < 0.7));
        }
}

/* The step at the end of the warm-up, and the drop there, do not depend on how its time is rounded; the rate
 * is never above the peak. */
static void rounding_does_not_move_the_end_of_the_warmup(void)
{
    const dt_config step = {.lr = 1,
                            .warmup_epochs = 3,
                            .schedule = DT_SCHEDULE_STEP,
                            .step_gamma = 0.5,
                            .n_step_epochs = 1,
                            .step_epochs = {3}};
    const dt_config poly = {.lr = 1, .warmup_epochs = 3, .schedule = DT_SCHEDULE_POLY, .poly_power = 100};
    DT_CHECK_CLOSE(dt_schedule_lr(&step, nextafter(3, 0), 0.1, 10), 0.5, 0);
    DT_CHECK_CLOSE(dt_schedule_lr(&step, 3, 0.1, 10), 0.5, 0);
    DT_CHECK_CLOSE(dt_schedule_lr(&step, 3 - 1e-7, 0.1, 10), 1, 0);
    DT_CHECK_CLOSE(dt_schedule_lr(&poly, 3 - 5e-9, 0.1, 10), 1, 0);
}

static void a_warmup_as_long_as_the_training_ends_at_the_peak(void)
{
    for (int k = 0; k < 4; k++) {
        const dt_config config = {.lr = 0.6, .warmup_epochs = 4, .schedule = kinds[k], DEFAULTS};
        double lr[12];
        all_rates(&config, 4, 3, lr);
        for (int step = 0; step < 12; step++)
            DT_CHECK_CLOSE(lr[step], 0.05 * (step + 1), 1e-15);
    }
}

/* The last step begins before the end, so that its rate is not 0: of 10 steps it is the one at 9 tenths. */
static void the_last_step_still_trains(void)
{
    const dt_config cosine = {.lr = 1, .schedule = DT_SCHEDULE_COSINE};
    const dt_config poly = {.lr = 1, .schedule = DT_SCHEDULE_POLY, .poly_power = 1};
    DT_CHECK_CLOSE(dt_schedule_lr(&cosine, 1.8, 0.2, 2), 0.024471741852423234, 1e-15); /* (1 - cos 18°) / 2 */
    DT_CHECK_CLOSE(dt_schedule_lr(&poly, 1.8, 0.2, 2), 0.1, 1e-15);
}

/* 6 epochs of 4 steps, 2 of warm-up, peak 0.8. Printed by torch 2.5.1, one scheduler step per optimizer step:
 * SequentialLR([LinearLR(start_factor=1/8, total_iters=7), S], milestones=[8]), where S is
 * CosineAnnealingLR(T_max=16), PolynomialLR(total_iters=16, power=2), the same with its default power, and
 * MultiStepLR(milestones=[4, 10], gamma=0.3), which counts from the end of the warm-up: epochs 3 and 4.5. */
static void rates_are_those_of_torch(void)
{
    static const double warmup[8] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8};
    static const double after[4][16] = {
        {0.8, 0.7923141121612922, 0.7695518130045148, 0.7325878449210182, 0.682842712474619,
         0.6222280932078409, 0.553073372946036, 0.4780361288064514, 0.4, 0.32196387119354875,
         0.24692662705396415, 0.17777190679215923, 0.11715728752538102, 0.06741215507898186,
         0.030448186995485307, 0.007685887838707829},
        {0.8, 0.703125, 0.6125, 0.528125, 0.45, 0.378125, 0.3125, 0.253125, 0.2, 0.153125, 0.1125, 0.078125,
         0.05, 0.028125, 0.0125, 0.003125},
        {0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05},
        {0.8, 0.8, 0.8, 0.8, 0.24, 0.24, 0.24, 0.24, 0.24, 0.24, 0.072, 0.072, 0.072, 0.072, 0.072, 0.072}};
    static const dt_config configs[4] = {
        {.schedule = DT_SCHEDULE_COSINE},
        {.schedule = DT_SCHEDULE_POLY, .poly_power = 2},
        {.schedule = DT_SCHEDULE_POLY, .poly_power = 1},
        {.schedule = DT_SCHEDULE_STEP, .step_gamma = 0.3, .n_step_epochs = 2, .step_epochs = {3, 4.5}}};
    for (int k = 0; k < 4; k++) {
        double lr[24];
        dt_config config = configs[k];
        config.lr = 0.8;
        config.warmup_epochs = 2;
        all_rates(&config, 6, 4, lr);
        for (int step = 0; step < 24; step++)
            DT_CHECK_CLOSE(lr[step], step < 8 ? warmup[step] : after[k][step - 8], 1e-15);
    }
}

static void constant_stays_at_the_peak(void)
{
    const dt_config config = {.lr = 0.3, .schedule = DT_SCHEDULE_CONSTANT};
    DT_CHECK_CLOSE(dt_schedule_lr(&config, 0, 0.1, 10), 0.3, 0);
    DT_CHECK_CLOSE(dt_schedule_lr(&config, 9.9, 0.1, 10), 0.3, 0);
}

static void the_rate_is_finite_past_the_end_and_in_corner_cases(void)
{
    for (int k = 0; k < 4; k++) {
        dt_config config = {.lr = 0.5, .warmup_epochs = 3, .schedule = kinds[k], DEFAULTS};
        static const double times[] = {0, 1, 2.999, 3, 4, 100};
        static const double totals[] = {0, 1, 3, 5};
        for (int t = 0; t < 6; t++) {
            for (int total = 0; total < 4; total++) {
                const double lr = dt_schedule_lr(&config, times[t], 0.1, totals[total]);
                DT_CHECK_MSG(lr >= 0 && lr <= 0.5, "kind %d, t = %g, total = %g: %g", k, times[t],
                             totals[total], lr);
            }
        }
    }
}

static void epochs_have_the_image_size_of_the_last_point_they_have_reached(void)
{
    const dt_config plain = {.epochs = 4, .image_size = 224};
    const dt_config growing = {
        .epochs = 3, .image_size = 224, .n_resize = 2, .resize = {{160, 0.0}, {192, 1.0 / 3.0}}};
    for (int64_t epoch = 0; epoch < 4; epoch++) {
        DT_CHECK_INT(dt_schedule_image_size(&plain, epoch), 224);
        DT_CHECK_INT(dt_schedule_image_size(&growing, epoch), epoch < 1 ? 160 : 192);
    }
}

static void only_whole_global_batches_count_as_steps(void)
{
    DT_CHECK_INT(dt_steps_per_epoch(64, 8), 8);
    DT_CHECK_INT(dt_steps_per_epoch(71, 8), 8);
    DT_CHECK_INT(dt_steps_per_epoch(7, 8), 0);
}

static const dt_test tests[] = {
    DT_TEST(warmup_climbs_in_equal_steps_to_the_peak),
    DT_TEST(without_warmup_the_first_step_has_the_peak),
    DT_TEST(warmup_may_end_inside_an_epoch_and_inside_a_step),
    DT_TEST(cosine_falls_along_half_a_wave),
    DT_TEST(poly_falls_with_the_square),
    DT_TEST(step_drops_to_a_tenth_at_30_60_and_80_of_90_epochs),
    DT_TEST(rounding_does_not_move_a_drop_by_a_step),
    DT_TEST(poly_has_the_given_power),
    DT_TEST(step_drops_by_the_given_factor_at_the_given_epochs),
    DT_TEST(a_drop_inside_the_warmup_comes_at_its_end),
    DT_TEST(a_drop_comes_with_the_first_step_of_its_epoch),
    DT_TEST(the_peak_comes_twice),
    DT_TEST(rounding_does_not_move_the_end_of_the_warmup),
    DT_TEST(a_warmup_as_long_as_the_training_ends_at_the_peak),
    DT_TEST(the_last_step_still_trains),
    DT_TEST(rates_are_those_of_torch),
    DT_TEST(constant_stays_at_the_peak),
    DT_TEST(the_rate_is_finite_past_the_end_and_in_corner_cases),
    DT_TEST(epochs_have_the_image_size_of_the_last_point_they_have_reached),
    DT_TEST(only_whole_global_batches_count_as_steps),
};

DT_TEST_MAIN("core/schedule", tests)
