/* Axes: round ticks around every range, and numbers as people write them. */
#include "launch/show/axis.h"

#include "tests/testing.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void check_ticks(const dt_axis *axis, const char *expected)
{
    char all[1024] = "", one[64];
    for (int i = 0; i < axis->n_ticks; i++) {
        dt_axis_format(axis, i, one, sizeof one);
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? " " : "", one);
    }
    DT_CHECK_STR(all, expected);
}

static void linear_ticks_are_multiples_of_1_2_or_5(void)
{
    static const struct {
        double min, max;
        int n_most;
        const char *ticks;
    } cases[] = {
        {0, 41, 6, "0 10 20 30 40 50"}, {0, 50, 5, "0 10 20 30 40 50"},
        {0, 0.3, 3, "0.0 0.1 0.2 0.3"}, {0.7, 1.3, 6, "0.7 0.8 0.9 1.0 1.1 1.2 1.3"},
        {-3, 4, 4, "-4 -2 0 2 4"},      {0, 33000, 4, "0 10,000 20,000 30,000 40,000"},
        {98, 102, 2, "98 100 102"},     {0, 1, 2, "0.0 0.5 1.0"},
        {0, 2e9, 2, "0 1e+09 2e+09"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_axis axis;
        dt_axis_linear(cases[i].min, cases[i].max, 0, 100, cases[i].n_most, &axis);
        check_ticks(&axis, cases[i].ticks);
    }
}

static void logarithmic_ticks_are_1_2_and_5_times_powers_of_ten(void)
{
    dt_axis axis;
    dt_axis_log(0.4, 90, 0, 100, &axis);
    check_ticks(&axis, "0.2 0.5 1 2 5 10 20 50 100");
    dt_axis_log(0.001, 0.02, 0, 100, &axis);
    check_ticks(&axis, "0.001 0.002 0.005 0.01 0.02");
    dt_axis_log(1, 1000, 0, 100, &axis);
    check_ticks(&axis, "1 2 5 10 20 50 100 200 500 1,000");
    dt_axis_log(3, 2e6, 0, 100, &axis);
    check_ticks(&axis, "1 10 100 1,000 10,000 100,000 1,000,000 1e+07");
    dt_axis_log(7, 7, 0, 100, &axis);
    check_ticks(&axis, "5 10");
    dt_axis_log(10, 10, 0, 100, &axis);
    check_ticks(&axis, "10 20");
}

/* Random ranges of all sizes: the ticks ascend, enclose the range, and are not too many. */
static void ticks_enclose_every_range(void)
{
    float random[3000];
    dt_test_fill_random(random, 3000, 7);
    for (int i = 0; i < 1000; i++) {
        const double scale = pow(10, 12 * random[3 * i]), min = scale * random[3 * i + 1];
        const double max = min + scale * fabs(random[3 * i + 2]), slack = scale * 1e-6;
        dt_axis axis;
        const int n_most = 2 + i % 9;
        dt_axis_linear(min, max, 0, 100, n_most, &axis);
        DT_CHECK_MSG(axis.low <= min + slack && axis.high >= max - slack && axis.n_ticks >= 2 &&
                         axis.n_ticks <= n_most + 1,
                     "%g to %g: %d ticks from %g to %g", min, max, axis.n_ticks, axis.low, axis.high);
        const double low = pow(10, 9 * random[3 * i]), high = low * pow(10, 5 * fabs(random[3 * i + 1]));
        dt_axis_log(low, high, 0, 100, &axis);
        DT_CHECK_MSG(axis.low <= low * 1.0001 && axis.high >= high * 0.9999 && axis.n_ticks >= 2,
                     "%g to %g: %d ticks from %g to %g", low, high, axis.n_ticks, axis.low, axis.high);
        for (int k = 1; k < axis.n_ticks; k++)
            DT_CHECK(axis.ticks[k] > axis.ticks[k - 1]);
    }
}

static void what_is_no_range_still_gives_an_axis(void)
{
    static const double values[] = {0,      -1,      1,        5,   1e-300,   1e300,
                                    -1e300, DBL_MAX, -DBL_MAX, NAN, INFINITY, -INFINITY};
    const int n = sizeof values / sizeof *values;
    for (int i = 0; i < n * n; i++)
        for (int is_log = 0; is_log < 2; is_log++) {
            dt_axis axis;
            if (is_log)
                dt_axis_log(values[i % n], values[i / n], 10, 90, &axis);
            else
                dt_axis_linear(values[i % n], values[i / n], 10, 90, 5, &axis);
            DT_CHECK_MSG(axis.n_ticks >= 2 && axis.n_ticks <= DT_AXIS_MAX_TICKS && axis.low < axis.high &&
                             isfinite(axis.low) && isfinite(axis.high),
                         "%g to %g: %d ticks from %g to %g", values[i % n], values[i / n], axis.n_ticks,
                         axis.low, axis.high);
            for (int k = 0; k < n; k++) {
                const double at = dt_axis_position(&axis, values[k]);
                DT_CHECK_MSG(at >= 10 && at <= 90, "%g is at %g", values[k], at);
            }
        }
}

static void positions_run_from_the_first_tick_to_the_last(void)
{
    dt_axis axis;
    dt_axis_linear(0, 50, 380, 20, 5, &axis);
    DT_CHECK_CLOSE(dt_axis_position(&axis, 0), 380, 1e-9);
    DT_CHECK_CLOSE(dt_axis_position(&axis, 25), 200, 1e-9);
    DT_CHECK_CLOSE(dt_axis_position(&axis, 50), 20, 1e-9);
    DT_CHECK_CLOSE(dt_axis_position(&axis, 51), 20, 1e-9);
    dt_axis_log(1, 100, 0, 100, &axis);
    DT_CHECK_CLOSE(dt_axis_position(&axis, 10), 50, 1e-9);
    DT_CHECK_CLOSE(dt_axis_position(&axis, 0.1), 0, 1e-9);
    DT_CHECK_CLOSE(dt_axis_position(&axis, -5), 0, 1e-9);
}

static void values_have_three_significant_digits(void)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.5612, "0.56"}, {34.24, "34.2"}, {99.96, "100"},     {1380.4, "1,380"}, {1234567, "1,234,567"},
        {0, "0.00"},      {9.996, "10.0"}, {0.0123, "0.012"},  {-41.26, "-41.3"}, {-1234.4, "-1,234"},
        {999, "999"},     {1000, "1,000"}, {0.0004, "0.0004"}, {NAN, "-"},        {1e18, "1e+18"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        dt_axis_format_value(cases[i].value, text, sizeof text);
        DT_CHECK_STR(text, cases[i].text);
    }
}

/* A text that does not fit is cut, and ends with a zero. */
static void short_buffers_are_not_overrun(void)
{
    for (size_t n = 1; n < 12; n++) {
        char text[16];
        memset(text, '#', sizeof text);
        dt_axis_format_value(1234567, text, n);
        DT_CHECK(memchr(text, 0, n) != NULL);
        DT_CHECK_INT(text[n], '#');
    }
}

static const dt_test tests[] = {
    DT_TEST(linear_ticks_are_multiples_of_1_2_or_5),
    DT_TEST(logarithmic_ticks_are_1_2_and_5_times_powers_of_ten),
    DT_TEST(ticks_enclose_every_range),
    DT_TEST(what_is_no_range_still_gives_an_axis),
    DT_TEST(positions_run_from_the_first_tick_to_the_last),
    DT_TEST(values_have_three_significant_digits),
    DT_TEST(short_buffers_are_not_overrun),
};
DT_TEST_MAIN("launch/show/axis", tests)
