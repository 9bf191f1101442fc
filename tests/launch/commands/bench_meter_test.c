/* The rates that `dtrain bench` derives from what a training reports, on a clock that only the test moves. */
#include "launch/commands/bench_meter.h"

#include "tests/fakes/fake_clock.h"
#include "tests/testing.h"

#include <math.h>

static dt_bench_meter meter;
static dt_bench_training figures;
static dt_error err;

static void begin(int64_t n_warmup, int64_t lag, int64_t checkpoint_every, int64_t total_steps)
{
    const dt_metrics_start m = {.global_batch = 64, .total_steps = total_steps};
    fake_clock_set(1000.0);
    dt_bench_meter_init(&meter, n_warmup, lag, checkpoint_every);
    DT_REQUIRE(meter.base.ops->start(&meter.base, &m, &err) == DT_OK);
}

/* Moves the clock and reports a step. */
static void step(int64_t number, double seconds)
{
    const dt_metrics_step m = {.step = number};
    fake_clock_advance(seconds);
    DT_REQUIRE(meter.base.ops->step(&meter.base, &m, &err) == DT_OK);
}

static void checkpoint(int64_t of_step, double seconds)
{
    const dt_metrics_checkpoint m = {.step = of_step, .bytes = 5000};
    fake_clock_advance(seconds);
    DT_REQUIRE(meter.base.ops->checkpoint(&meter.base, &m, &err) == DT_OK);
}

static void the_rate_is_that_of_the_steps_after_the_warm_up(void)
{
    begin(2, 1, 0, 0);
    step(1, 10.0);
    step(2, 5.0);
    step(3, 0.25);
    step(4, 0.5);
    step(5, 0.75);
    dt_bench_meter_get(&meter, &figures);
    DT_CHECK_CLOSE(figures.images_s, 3 * 64 / 1.5, 1e-9);
    DT_CHECK_CLOSE(figures.first_step_s, 1010.0 - 0.5, 1e-9);
    DT_CHECK(isnan(figures.checkpoint_s) && isnan(figures.last_checkpoint_s) &&
             isnan(figures.checkpoint_bytes) && isnan(figures.evaluate_images_s));
    DT_CHECK(dt_bench_meter_has(&meter, 3) && !dt_bench_meter_has(&meter, 4));
}

/* Seconds of 64 images in 1 s, of 128 in 1.25 s, and of 64 in 1.6 s; 0.5 s are no whole second. */
static void the_slowest_and_the_fastest_second_are_known(void)
{
    begin(1, 1, 0, 0);
    step(1, 1.0);
    step(2, 1.0);
    dt_bench_meter_get(&meter, &figures);
    DT_CHECK(isnan(figures.slowest_images_s) && isnan(figures.fastest_images_s));
    step(3, 0.5);
    step(4, 0.75);
    step(5, 1.6);
    step(6, 0.5);
    dt_bench_meter_get(&meter, &figures);
    DT_CHECK_CLOSE(figures.slowest_images_s, 64 / 1.6, 1e-9);
    DT_CHECK_CLOSE(figures.fastest_images_s, 128 / 1.25, 1e-9);
}

static void nothing_is_known_during_the_warm_up(void)
{
    begin(2, 1, 0, 0);
    step(1, 10.0);
    step(2, 5.0);
    dt_bench_meter_get(&meter, &figures);
    DT_CHECK(isnan(figures.images_s) && isnan(figures.first_step_s));
    DT_CHECK(!dt_bench_meter_has(&meter, 1));
}

/* Steps of 1 s; those beside a checkpoint take 1.5 s, 2 s and 1.1 s. */
static void a_checkpoint_delays_by_what_its_steps_take_longer(void)
{
    begin(1, 1, 3, 7);
    step(1, 3.0);
    step(2, 1.0);
    step(3, 1.0);
    step(4, 1.5); /* the checkpoint of step 3 is written */
    step(5, 2.0);
    checkpoint(3, 0.0);
    step(6, 1.0);
    step(7, 1.1); /* that of step 6 */
    checkpoint(6, 0.0);
    checkpoint(7, 0.75); /* the last one */
    dt_bench_meter_get(&meter, &figures);
    DT_CHECK_INT(meter.n_steps, 3);
    DT_CHECK_INT(meter.n_saving, 3);
    DT_CHECK_CLOSE(figures.images_s, 64.0, 1e-9);
    DT_CHECK_CLOSE(figures.checkpoint_s, (0.5 + 1.0 + 0.1) / 2, 1e-9);
    DT_CHECK_CLOSE(figures.last_checkpoint_s, 0.75, 1e-9);
    DT_CHECK_CLOSE(figures.checkpoint_bytes, 5000.0, 0.0);
}

static void a_checkpoint_that_delays_nothing_has_a_delay_of_0(void)
{
    begin(1, 1, 2, 9);
    step(1, 1.0);
    step(2, 1.0);
    step(3, 0.9);
    checkpoint(2, 0.0);
    step(4, 1.0);
    dt_bench_meter_get(&meter, &figures);
    DT_CHECK_CLOSE(figures.images_s, 64.0, 1e-9);
    DT_CHECK_CLOSE(figures.checkpoint_s, 0.0, 0.0);
}

/* Results of a device come eight at a time: the first of each group has the time of all. */
static void results_in_groups_are_counted_by_the_group(void)
{
    begin(8, 8, 0, 0);
    for (int64_t i = 1; i <= 32; i++)
        step(i, i % 8 == 1 ? 2.0 : 0.0);
    dt_bench_meter_get(&meter, &figures);
    DT_CHECK_CLOSE(figures.images_s, 8 * 64 / 2.0, 1e-9);
    DT_CHECK(dt_bench_meter_has(&meter, 3) && !dt_bench_meter_has(&meter, 4));
}

/* A checkpoint that begins and ends within a group makes the whole group one of a checkpoint. */
static void a_group_with_a_checkpoint_is_not_part_of_the_rate(void)
{
    begin(8, 8, 10, 30);
    for (int64_t i = 1; i <= 32; i++) {
        step(i, i % 8 == 1 ? (i == 9 ? 3.0 : 2.0) : 0.0);
        if (i == 11)
            checkpoint(10, 0.0);
        if (i == 20)
            checkpoint(20, 0.0); /* begins and ends between two groups' ends */
    }
    dt_bench_meter_get(&meter, &figures);
    DT_CHECK_INT(meter.n_saving, 16);
    DT_CHECK_INT(meter.n_steps, 8);
    DT_CHECK_CLOSE(figures.images_s, 8 * 64 / 2.0, 1e-9);
    DT_CHECK_CLOSE(figures.checkpoint_s, 0.5, 1e-9);
}

static void the_last_checkpoint_counts_from_the_evaluation_on(void)
{
    const dt_metrics_eval m = {.n = 100, .images_per_s = 50.0, .elapsed_s = 2.0};
    begin(1, 1, 4, 4);
    for (int64_t i = 1; i <= 4; i++)
        step(i, 1.0);
    fake_clock_advance(2.0);
    DT_REQUIRE(meter.base.ops->eval(&meter.base, &m, &err) == DT_OK);
    checkpoint(4, 0.5);
    dt_bench_meter_get(&meter, &figures);
    DT_CHECK_CLOSE(figures.evaluate_images_s, 50.0, 0.0);
    DT_CHECK_CLOSE(figures.last_checkpoint_s, 0.5, 1e-9);
    DT_CHECK(isnan(figures.checkpoint_s));
}

static const dt_test tests[] = {
    DT_TEST(the_rate_is_that_of_the_steps_after_the_warm_up),
    DT_TEST(the_slowest_and_the_fastest_second_are_known),
    DT_TEST(nothing_is_known_during_the_warm_up),
    DT_TEST(a_checkpoint_delays_by_what_its_steps_take_longer),
    DT_TEST(a_checkpoint_that_delays_nothing_has_a_delay_of_0),
    DT_TEST(results_in_groups_are_counted_by_the_group),
    DT_TEST(a_group_with_a_checkpoint_is_not_part_of_the_rate),
    DT_TEST(the_last_checkpoint_counts_from_the_evaluation_on),
};
DT_TEST_MAIN("launch/commands/bench_meter", tests)
