/* Daly's interval against the loss of time that it is to minimise. */
#include "core/checkpoint/save_interval.h"

#include "tests/testing.h"

#include <math.h>

/* Daly's model of the time for a unit of work, with interruptions: M (exp((T + C) / M) - 1) / T. */
static double time_of_work(double interval, double cost, double mtti)
{
    return mtti * expm1((interval + cost) / mtti) / interval;
}

static void no_other_interval_loses_less_time(void)
{
    const double costs[] = {0.01, 1.0, 30.0, 300.0}, mttis[] = {3600.0, 6 * 3600.0, 1e6};
    for (int c = 0; c < 4; c++)
        for (int m = 0; m < 3; m++) {
            double best = INFINITY, chosen = dt_save_interval_s(costs[c], mttis[m]);
            for (double t = 0.01; t < mttis[m]; t *= 1.01)
                best = fmin(best, time_of_work(t, costs[c], mttis[m]));
            DT_CHECK_MSG(time_of_work(chosen, costs[c], mttis[m]) < best * 1.001, "cost %g, mtti %g: %g",
                         costs[c], mttis[m], chosen);
        }
}

static void a_checkpoint_slower_than_the_mean_time_to_interruption_has_that_interval(void)
{
    DT_CHECK(dt_save_interval_s(100.0, 10.0) == 10.0);
    DT_CHECK(fabs(dt_save_loss(100.0, 0.0, 0.0, 1000.0) - 0.05) < 1e-12);
}

/* From the formulas of save_interval.h, by hand. */
static void interval_and_loss_are_exact(void)
{
    DT_CHECK_CLOSE(dt_save_interval_s(30.0, 3600.0), 444.973167286, 1e-8);
    DT_CHECK(dt_save_interval_s(20.0, 10.0) == 10.0); /* C = 2M */
    DT_CHECK_CLOSE(dt_save_loss(90.0, 10.0, 0.0, 1e300), 0.1, 1e-15);
    DT_CHECK_CLOSE(dt_save_loss(90.0, 0.0, 5.0, 1000.0), 0.05, 1e-15);
    DT_CHECK_CLOSE(dt_save_loss(90.0, 10.0, 5.0, 1000.0), 0.15, 1e-15);
}

static const dt_test tests[] = {
    DT_TEST(no_other_interval_loses_less_time),
    DT_TEST(a_checkpoint_slower_than_the_mean_time_to_interruption_has_that_interval),
    DT_TEST(interval_and_loss_are_exact),
};
DT_TEST_MAIN("core/save_interval", tests)
