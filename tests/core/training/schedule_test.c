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

static const dt_schedule_kind kinds[] = {DT_SCHEDULE_COSINE, DT_SCHEDULE_POLY, DT_SCHEDULE_STEP,
                                         DT_SCHEDULE_CONSTANT};

static void warmup_climbs_in_equal_steps_to_the_peak(void)
{
    for (int k = 0; k < 4; k++) {
        const dt_config config = {.lr = 0.8, .warmup_epochs = 2, .schedule = kinds[k]};
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
        const dt_config config = {.lr = 0.8, .schedule = kinds[k]};
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
    const dt_config config = {.lr = 2, .warmup_epochs = 10, .schedule = DT_SCHEDULE_POLY};
    DT_CHECK_CLOSE(dt_schedule_lr(&config, 10, 0.1, 110), 2, 1e-12);
    DT_CHECK_CLOSE(dt_schedule_lr(&config, 60, 0.1, 110), 0.5, 1e-12);
    DT_CHECK_CLOSE(dt_schedule_lr(&config, 100, 0.1, 110), 0.02, 1e-12);
    DT_CHECK_CLOSE(dt_schedule_lr(&config, 110, 0.1, 110), 0, 1e-12);
}

static void step_drops_to_a_tenth_at_30_60_and_80_of_90_epochs(void)
{
    const dt_config config = {.lr = 0.1, .warmup_epochs = 5, .schedule = DT_SCHEDULE_STEP};
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
    const dt_config config = {.lr = 1, .schedule = DT_SCHEDULE_STEP};
    for (int epochs = 9; epochs <= 900; epochs += 9) {
        const double just_before = nextafter(epochs / 3.0, 0);
        DT_CHECK_CLOSE(dt_schedule_lr(&config, just_before, 0.001, epochs), 0.1, 1e-12);
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
        dt_config config = {.lr = 0.5, .warmup_epochs = 3, .schedule = kinds[k]};
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
    DT_TEST(constant_stays_at_the_peak),
    DT_TEST(the_rate_is_finite_past_the_end_and_in_corner_cases),
    DT_TEST(epochs_have_the_image_size_of_the_last_point_they_have_reached),
    DT_TEST(only_whole_global_batches_count_as_steps),
};

DT_TEST_MAIN("core/schedule", tests)
