/* How many connections: the search, on networks that are simulated. */
#include "launch/cloud/transfer_width.h"

#include "core/base/rng.h"
#include "tests/testing.h"

#include <math.h>

#define TICK_S 0.05

/* Each connection brings at most `each` bytes a second, all together at most `all`; beyond `best` connections
 * each one costs a hundredth. `noise`: the rate varies by so much. */
typedef struct network {
    double each, all, noise;
    int best; /* 0: more do no harm */
} network;

static double now_s;
static dt_rng numbers;

static double rate_of(const network *n, int width)
{
    const double rate = fmin(n->each * width, n->all);
    return n->best && width > n->best ? rate * pow(0.99, width - n->best) : rate;
}

/* Returns the mean rate of the last half. */
static double run(dt_transfer_width *w, const network *n, double seconds)
{
    double bytes = 0.0;
    const double end_s = now_s + seconds, half_s = now_s + seconds / 2.0;
    while (now_s < end_s) {
        const double noise = 1.0 + n->noise * (2.0 * dt_rng_uniform_double(&numbers) - 1.0);
        const double got = rate_of(n, w->now) * noise * TICK_S;
        now_s += TICK_S;
        bytes += now_s > half_s ? got : 0.0;
        dt_transfer_width_note(w, (int64_t)got, 0, true, now_s);
    }
    return bytes / (seconds / 2.0);
}

static dt_transfer_width begin(int first, int least, int most)
{
    dt_transfer_width w;
    now_s = 100.0;
    numbers = dt_rng_at(1, DT_RNG_TEST, 0, 0);
    dt_transfer_width_begin(&w, first, least, most, now_s);
    return w;
}

static void more_connections_come_while_they_bring_more(void)
{
    dt_transfer_width w = begin(16, 1, 128);
    const network n = {.each = 85e6, .all = 85e6 * 100.0, .noise = 0.02};
    const double rate = run(&w, &n, 20.0);
    DT_CHECK_MSG(w.now >= 80, "%d connections", w.now);
    DT_CHECK_MSG(rate > 0.9 * n.all, "%.2f of the network's rate", rate / n.all);
}

static void a_slow_network_needs_no_more(void)
{
    dt_transfer_width w = begin(16, 1, 128);
    const network n = {.each = 85e6, .all = 85e6 * 4.0, .noise = 0.02};
    const double rate = run(&w, &n, 120.0);
    DT_CHECK_MSG(w.now <= 16, "%d connections", w.now);
    DT_CHECK_MSG(rate > 0.93 * n.all, "%.2f of the network's rate", rate / n.all);
}

static void too_many_that_do_harm_are_taken_back(void)
{
    dt_transfer_width w = begin(16, 1, 128);
    const network n = {.each = 85e6, .all = 85e6 * 16.0, .noise = 0.01, .best = 20};
    const double rate = run(&w, &n, 30.0);
    DT_CHECK_MSG(w.now <= 32, "%d connections", w.now);
    DT_CHECK_MSG(rate > 0.85 * n.all, "%.2f of the network's rate", rate / n.all);
}

static void a_faster_network_is_noticed(void)
{
    dt_transfer_width w = begin(4, 1, 128);
    run(&w, &(network){.each = 10e6, .all = 40e6}, 20.0);
    DT_CHECK_MSG(w.now <= 8, "%d connections", w.now);
    const network n = {.each = 10e6, .all = 200e6};
    run(&w, &n, 120.0);
    DT_CHECK_MSG(w.now >= 10, "%d connections", w.now);
}

static void requests_count_where_objects_are_small(void)
{
    dt_transfer_width w = begin(16, 1, 128);
    for (const double end_s = now_s + 20.0; now_s < end_s;) { /* each answers 20 requests of 1 KB a second */
        now_s += TICK_S;
        dt_transfer_width_note(&w, w.now * 1000, w.now, true, now_s);
    }
    DT_CHECK_INT(w.now, 128);
}

static void intervals_without_enough_work_do_not_count(void)
{
    dt_transfer_width w = begin(16, 1, 128);
    for (int i = 0; i < 1000; i++) {
        now_s += TICK_S;
        dt_transfer_width_note(&w, i % 100 * 1000000, 0, i % 9 != 0, now_s);
    }
    DT_CHECK_INT(w.now, 16);
}

static void the_limits_hold(void)
{
    dt_transfer_width w = begin(3, 2, 5);
    for (int i = 0; i < 10; i++) {
        run(&w, &(network){.each = 1e6 * (1 + i % 3), .all = 1e9, .noise = 0.5}, 10.0);
        DT_CHECK_MSG(w.now >= 2 && w.now <= 5, "%d connections", w.now);
    }
    w = begin(7, 7, 7);
    run(&w, &(network){.each = 1e6, .all = 1e9, .noise = 0.5}, 60.0);
    DT_CHECK_INT(w.now, 7);
}

static void a_request_to_slow_down_takes_a_third_once_a_second(void)
{
    dt_transfer_width w = begin(60, 1, 128);
    dt_transfer_width_slow_down(&w, now_s);
    DT_CHECK_INT(w.now, 40);
    dt_transfer_width_slow_down(&w, now_s + 0.5);
    DT_CHECK_INT(w.now, 40);
    dt_transfer_width_slow_down(&w, now_s + 1.1);
    DT_CHECK_INT(w.now, 26);
    for (int i = 2; i < 40; i++)
        dt_transfer_width_slow_down(&w, now_s + 1.1 * i);
    DT_CHECK_INT(w.now, 1);
}

static const dt_test tests[] = {
    DT_TEST(more_connections_come_while_they_bring_more),
    DT_TEST(a_slow_network_needs_no_more),
    DT_TEST(too_many_that_do_harm_are_taken_back),
    DT_TEST(a_faster_network_is_noticed),
    DT_TEST(requests_count_where_objects_are_small),
    DT_TEST(intervals_without_enough_work_do_not_count),
    DT_TEST(the_limits_hold),
    DT_TEST(a_request_to_slow_down_takes_a_third_once_a_second),
};
DT_TEST_MAIN("launch/cloud/transfer_width", tests)
