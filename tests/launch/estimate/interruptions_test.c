/* Simulated spot runs: against formulas, against a brute-force replay of the same up and down times, and
 * against what was measured on published traces. */
#include "launch/estimate/interruptions.h"
#include "tests/testing.h"

#include "core/base/clock.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define HOUR 3600.0

static dt_interruptions times;
static dt_error err;

static dt_spot_run run_of(double work_h, double startup_s, double save_s, double notice_s)
{
    return (dt_spot_run){.interruptions = &times,
                         .work_s = work_h * HOUR,
                         .startup_s = startup_s,
                         .save_s = save_s,
                         .notice_s = notice_s};
}

static dt_spot_outcome simulate(const dt_spot_run *run)
{
    dt_spot_outcome outcome = {0};
    DT_CHECK_INT(dt_spot_simulate(run, 10000, 1, &outcome, &err), DT_OK);
    DT_CHECK(outcome.finishes);
    return outcome;
}

static void check_within(double got, double expected, double share, const char *what)
{
    DT_CHECK_MSG(fabs(got / expected - 1) <= share, "%s: %g instead of %g", what, got, expected);
}

static void dalys_expectation_is_met(void)
{
    static const struct {
        double mtti_h, work_h, startup_s, save_s;
    } cases[] = {{3, 24, 600, 20}, {3, 24, 900, 5}, {8, 100, 300, 60}, {24, 12, 600, 20}, {1, 10, 120, 10}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        DT_REQUIRE(dt_interruptions_set(cases[i].mtti_h, &times, &err) == DT_OK);
        const dt_spot_run run = run_of(cases[i].work_h, cases[i].startup_s, cases[i].save_s, 0);
        check_within(simulate(&run).paid_s_mean, dt_spot_daly_s(&run), 0.02, "paid seconds");
    }
}

/* Known figures: 24 h of work, a save of 20 s, a start of 10 min, an interruption every 3 h. */
static void known_intervals_and_hours_are_reproduced(void)
{
    DT_REQUIRE(dt_interruptions_set(3, &times, &err) == DT_OK);
    const dt_spot_run run = run_of(24, 600, 20, 0);
    dt_spot_run noticed = run_of(24, 600, 20, 120);
    noticed.interval_s = 24 * HOUR; /* so it saves only at a notice */
    DT_CHECK_CLOSE(dt_spot_interval_s(&run) / 60, 10.7, 0.1);
    /* Daly counts a start after each interruption, and none at the beginning. */
    DT_CHECK_CLOSE(dt_spot_daly_s(&run) / HOUR, 26.98, 0.1);
    check_within(simulate(&noticed).paid_s_mean / HOUR, 25.68, 0.02, "paid hours with a notice");
}

/* -- a replay of its own --------------------------------------------------------------------------------- */

static uint64_t state = 88172645463325252ULL;

static double draw(const double *hours)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return hours[(state >> 20) % DT_SPOT_QUANTILES] * HOUR;
}

/* Goes through a run second by second, as a person would: no checkpoint, but a notice that saves. */
static void replay(const dt_spot_run *run, double *paid_s, double *wall_s)
{
    double done_s = 0, started_s = 0, up_s = draw(run->interruptions->up_h);
    *paid_s = *wall_s = 0;
    while (done_s < run->work_s) {
        if (started_s < run->startup_s)
            started_s += 1;
        else
            done_s += 1;
        *paid_s += 1;
        *wall_s += 1;
        up_s -= 1;
        if (up_s > 0)
            continue;
        *wall_s += draw(run->interruptions->down_h) + run->requeue_s;
        up_s = draw(run->interruptions->up_h);
        started_s = 0;
    }
}

static void traces_agree_with_a_replay_second_by_second(void)
{
    enum { N = 4000 };
    DT_REQUIRE(dt_interruptions_set(-1, &times, &err) == DT_OK);
    dt_spot_run run = run_of(6, 900, 0.001, 0.001);
    run.requeue_s = 120;
    const dt_spot_outcome outcome = simulate(&run);
    double paid = 0, wall = 0;
    for (int i = 0; i < N; i++) {
        double paid_s, wall_s;
        replay(&run, &paid_s, &wall_s);
        paid += paid_s / N;
        wall += wall_s / N;
    }
    check_within(outcome.paid_s_mean, paid, 0.02, "paid seconds");
    check_within(outcome.wall_s_mean, wall, 0.02, "seconds to the end");
}

static void traces_have_their_mean_and_median(void)
{
    DT_REQUIRE(dt_interruptions_set(-1, &times, &err) == DT_OK);
    double up = 0, down = 0;
    for (int i = 0; i < DT_SPOT_QUANTILES; i++) {
        up += times.up_h[i] / DT_SPOT_QUANTILES;
        down += times.down_h[i] / DT_SPOT_QUANTILES;
    }
    DT_CHECK_CLOSE(up, 3.1, 0.001);
    DT_CHECK_CLOSE(down, 0.8, 0.001);
    DT_CHECK_CLOSE(times.up_h[DT_SPOT_QUANTILES / 2], 1.1, 0.02);
    DT_CHECK_CLOSE(times.down_h[DT_SPOT_QUANTILES - 1], 5, 0.001);
}

/* Measured on the trace itself: 24 h of work, a start of 10 min; 25.7 hours paid (95th percentile 27.1), 33
 * h to the end (44). */
static void the_fitted_trace_behaves_as_the_real_one(void)
{
    DT_REQUIRE(dt_interruptions_set(-1, &times, &err) == DT_OK);
    const dt_spot_run run = run_of(24, 600, 0.001, 0.001);
    const dt_spot_outcome outcome = simulate(&run);
    check_within(outcome.paid_s_mean / HOUR, 25.7, 0.02, "paid hours");
    check_within(outcome.paid_s_p95 / HOUR, 27.1, 0.02, "paid hours, 95th percentile");
    check_within(outcome.wall_s_mean / HOUR, 33, 0.05, "hours to the end");
    check_within(outcome.wall_s_p95 / HOUR, 44, 0.06, "hours to the end, 95th percentile");
}

/* -- deadlines ------------------------------------------------------------------------------------------- */

static void a_mixed_run_meets_its_deadline(void)
{
    DT_REQUIRE(dt_interruptions_set(3, &times, &err) == DT_OK);
    for (int noticed = 0; noticed < 2; noticed++)
        for (double deadline_h = 12; deadline_h < 40; deadline_h += 4) {
            dt_spot_run run = run_of(10, 600, 20, noticed ? 120 : 0);
            run.deadline_s = deadline_h * HOUR;
            for (int i = 0; i < 300; i++) {
                dt_spot_segment segments[400];
                const int64_t n = dt_spot_timeline(&run, 7, i, segments, 400);
                DT_REQUIRE(n > 0 && n <= 400);
                DT_CHECK_MSG(segments[n - 1].to_s <= run.deadline_s + 1, "run %d ends after %g h of %g", i,
                             segments[n - 1].to_s / HOUR, deadline_h);
            }
        }
}

static void a_later_deadline_needs_less_on_demand(void)
{
    DT_REQUIRE(dt_interruptions_set(3, &times, &err) == DT_OK);
    const dt_spot_prices prices = {.spot_usd_h = 1, .on_demand_usd_h = 4};
    double before = INFINITY;
    for (double deadline_h = 12; deadline_h <= 48; deadline_h *= 2) {
        dt_spot_run run = run_of(10, 600, 20, 120);
        dt_spot_outcome outcome;
        run.deadline_s = deadline_h * HOUR;
        DT_REQUIRE(dt_spot_simulate_usd(&run, 4000, 1, &prices, 1, &outcome, &err) == DT_OK);
        DT_CHECK(outcome.usd_mean < before);
        before = outcome.usd_mean;
    }
    DT_CHECK_CLOSE(before, 10.7, 0.5);
}

/* -- parts ----------------------------------------------------------------------------------------------- */

static void a_timeline_is_one_of_the_runs(void)
{
    DT_REQUIRE(dt_interruptions_set(3, &times, &err) == DT_OK);
    const dt_spot_run run = run_of(24, 600, 20, 0);
    dt_spot_segment segments[200];
    const int64_t n = dt_spot_timeline(&run, 1, 5, segments, 200);
    double at = 0, lost = 0, worked = 0;
    DT_REQUIRE(n > 2 && n <= 200);
    for (int64_t i = 0; i < n; i++) {
        DT_CHECK_CLOSE(segments[i].from_s, at, 1e-6);
        at = segments[i].to_s;
        lost += segments[i].kind == DT_SEGMENT_LOST ? at - segments[i].from_s : 0;
        worked += segments[i].kind == DT_SEGMENT_WORK ? at - segments[i].from_s : 0;
    }
    DT_CHECK(lost > 0);
    DT_CHECK(worked >= run.work_s - 1 && worked < run.work_s * 1.05);
}

static void prices_change_dollars_and_nothing_else(void)
{
    DT_REQUIRE(dt_interruptions_set(-1, &times, &err) == DT_OK);
    const dt_spot_run run = run_of(5, 600, 2, 120);
    const dt_spot_prices prices[] = {{.spot_usd_h = 1}, {.spot_usd_h = 2}, {.waiting_usd_h = 1}};
    dt_spot_outcome o[3];
    DT_REQUIRE(dt_spot_simulate_usd(&run, 3000, 1, prices, 3, o, &err) == DT_OK);
    DT_CHECK_CLOSE(o[0].usd_mean, o[0].paid_s_mean / HOUR, 1e-9);
    DT_CHECK_CLOSE(o[1].usd_mean, 2 * o[0].usd_mean, 1e-9);
    DT_CHECK_CLOSE(o[1].usd_p95, 2 * o[0].paid_s_p95 / HOUR, 1e-9);
    DT_CHECK_CLOSE(o[2].usd_mean, o[0].wall_s_mean / HOUR, 1e-9);
}

static void waiting_is_not_paid(void)
{
    DT_REQUIRE(dt_interruptions_set(3, &times, &err) == DT_OK);
    dt_spot_run run = run_of(10, 600, 2, 120);
    const dt_spot_outcome at_once = simulate(&run);
    run.requeue_s = HOUR;
    const dt_spot_outcome later = simulate(&run);
    DT_CHECK_CLOSE(later.paid_s_mean, at_once.paid_s_mean, 1e-6);
    DT_CHECK_CLOSE(later.wall_s_mean - at_once.wall_s_mean, HOUR * at_once.n_interruptions_mean, 1);
}

static void starts_that_take_longer_than_up_times_never_finish(void)
{
    DT_REQUIRE(dt_interruptions_set(0.01, &times, &err) == DT_OK);
    const dt_spot_run run = run_of(5, 900, 2, 120);
    dt_spot_outcome outcome;
    DT_CHECK_INT(dt_spot_simulate(&run, 100, 1, &outcome, &err), DT_OK);
    DT_CHECK(!outcome.finishes);
}

static void very_long_runs_are_scaled(void)
{
    DT_REQUIRE(dt_interruptions_set(3, &times, &err) == DT_OK);
    const dt_spot_run year = run_of(24 * 365, 600, 20, 0), days = run_of(24 * 30, 600, 20, 0);
    const double start_s = dt_clock_cpu_s();
    const dt_spot_outcome long_run = simulate(&year), short_run = simulate(&days);
    check_within(long_run.paid_s_mean / year.work_s, short_run.paid_s_mean / days.work_s, 0.01,
                 "paid for work");
    /* The spread of a sum grows with the root of its length. */
    const double long_spread = long_run.wall_s_p95 / long_run.wall_s_mean - 1;
    const double short_spread = short_run.wall_s_p95 / short_run.wall_s_mean - 1;
    check_within(long_spread, short_spread * sqrt(days.work_s / year.work_s), 0.25, "spread");
    DT_CHECK_MSG(dt_clock_cpu_s() - start_s < 5, "%g s", dt_clock_cpu_s() - start_s);
}

static void wrong_times_are_refused(void)
{
    dt_spot_outcome outcome;
    DT_CHECK_INT(dt_interruptions_set(0, &times, &err), DT_ERR_USAGE);
    DT_CHECK_INT(dt_interruptions_set(2e6, &times, &err), DT_ERR_USAGE);
    DT_CHECK_INT(dt_interruptions_set((double)NAN, &times, &err), DT_ERR_USAGE);
    DT_CHECK_INT(dt_interruptions_of_trace("p9.large mars", &times, &err), DT_ERR_USAGE);
    DT_REQUIRE(dt_interruptions_of_trace("p3.2xlarge us-east-1f 2023-08", &times, &err) == DT_OK);
    DT_CHECK_CLOSE(times.mtti_h, 1.75, 1e-9);
    const dt_spot_run run = run_of(-1, 900, 2, 120);
    DT_CHECK_INT(dt_spot_simulate(&run, 100, 1, &outcome, &err), DT_ERR_USAGE);
}

static const dt_test tests[] = {
    DT_TEST(dalys_expectation_is_met),
    DT_TEST(known_intervals_and_hours_are_reproduced),
    DT_TEST(traces_agree_with_a_replay_second_by_second),
    DT_TEST(traces_have_their_mean_and_median),
    DT_TEST(the_fitted_trace_behaves_as_the_real_one),
    DT_TEST(a_mixed_run_meets_its_deadline),
    DT_TEST(a_later_deadline_needs_less_on_demand),
    DT_TEST(a_timeline_is_one_of_the_runs),
    DT_TEST(prices_change_dollars_and_nothing_else),
    DT_TEST(waiting_is_not_paid),
    DT_TEST(starts_that_take_longer_than_up_times_never_finish),
    DT_TEST(very_long_runs_are_scaled),
    DT_TEST(wrong_times_are_refused),
};
DT_TEST_MAIN("launch/estimate/interruptions", tests)
