/* comm/deadline.h at exact times: one rank of several; the test is the clock (tests/fakes/fake_clock.h), and
 * the side channel to the other ranks. All times are multiples of 1/1024 s, so that sums of them are
 * exact. */
#include "comm/deadline.h"
#include "core/base/clock.h"
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_clock.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_RANKS = 4, MAX_NOTICES = 8, POLLS = 16 /* one of so many reads the clock */ };

#define START_S 1024.0
#define MOMENT_S (1.0 / 1024.0)

static dt_comm comm;
static dt_watch *watch;
static struct {
    int from;
    dt_notice notice;
} arrived[MAX_NOTICES];
static int n_arrived, n_receives;
static dt_notice last[MAX_RANKS]; /* sent to each rank */
static int n_sent[MAX_RANKS];

static dt_status send_notice(void *context, int rank, const dt_notice *notice, bool *sent, dt_error *err)
{
    (void)context, (void)err;
    last[rank] = *notice;
    n_sent[rank]++;
    *sent = true;
    return DT_OK;
}

static dt_status receive_notice(void *context, int *from, dt_notice *notice, dt_error *err)
{
    (void)context, (void)err;
    n_receives++;
    *from = -1;
    if (n_arrived == 0)
        return DT_OK;
    *from = arrived[0].from;
    *notice = arrived[0].notice;
    memmove(arrived, arrived + 1, (size_t)--n_arrived * sizeof *arrived);
    return DT_OK;
}

static void begin(int rank, int size, double deadline_s)
{
    static const char hosts[MAX_RANKS][64] = {"node0", "node0", "node1", "node1"};
    dt_error err = {0};
    fake_clock_set(START_S);
    comm = (dt_comm){.rank = rank, .size = size};
    n_arrived = n_receives = 0;
    memset(n_sent, 0, sizeof n_sent);
    memset(last, 0, sizeof last);
    const dt_watch_options options = {.comm = &comm,
                                      .hosts = hosts,
                                      .channel = {.send = send_notice, .receive = receive_notice},
                                      .deadline_s = deadline_s};
    DT_REQUIRE(dt_watch_create(&options, &watch, &err) == DT_OK);
}

static void arrives(int from, dt_notice notice)
{
    arrived[n_arrived].from = from;
    arrived[n_arrived++].notice = notice;
}

static void arrives_now(int from, dt_notice notice)
{
    arrives(from, notice);
    dt_watch_drain(watch);
}

static const dt_position here = {.kind = DT_POSITION_BROADCAST, .number = 7, .bytes = 400, .step = 12};

static dt_notice waits_at(dt_position position)
{
    return (dt_notice){.kind = DT_NOTICE_WAITS, .position = position, .n_begun = {position.number, 0}};
}

/* Poll once, `after_s` seconds after START_S. */
static dt_status poll_at(double after_s, dt_waiting *waiting, dt_error *err)
{
    dt_status status = DT_OK;
    fake_clock_set(START_S + after_s);
    for (int i = 0; i < POLLS && status == DT_OK; i++)
        status = dt_watch_poll(watch, waiting, false, err);
    return status;
}

static void notices_are_sent_at_each_interval(void)
{
    static const struct {
        double deadline_s, interval_s;
    } cases[] = {{100.0, 1.0}, {4.0, 1.0}, {2.0, 0.5}, {0.5, 0.125}, {(double)INFINITY, 1.0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_error err = {0};
        begin(0, 3, cases[i].deadline_s);
        dt_watch_set_begun(watch, DT_SEQUENCE_HOST, 7);
        dt_waiting a = dt_waiting_begin(&here);
        for (int k = 0; k < 4; k++) {
            const double at_s = (k + 1) * cases[i].interval_s;
            DT_CHECK_INT(poll_at(at_s - MOMENT_S, &a, &err), DT_OK);
            DT_CHECK_INT(n_sent[1], k);
            DT_CHECK_INT(poll_at(at_s, &a, &err), DT_OK);
            DT_CHECK_INT(n_sent[1], k + 1);
            DT_CHECK_INT(n_sent[2], k + 1);
        }
        DT_CHECK_INT(n_sent[0], 0);
        DT_CHECK_INT(last[1].kind, DT_NOTICE_WAITS);
        DT_CHECK_INT(last[1].position.number, 7);
        DT_CHECK_INT(last[1].n_begun[DT_SEQUENCE_HOST], 7);
        dt_watch_destroy(watch);
    }
}

static void a_rank_gives_up_one_and_a_half_intervals_after_the_deadline(void)
{
    dt_error err = {0};
    begin(0, 2, 8.0);
    dt_waiting a = dt_waiting_begin(&here);
    arrives(1, waits_at(here));
    DT_CHECK_INT(poll_at(9.5 - MOMENT_S, &a, &err), DT_OK);
    DT_CHECK_INT(poll_at(9.5, &a, &err), DT_ERR_PEER);
    DT_CHECK_CONTAINS(err.message, "although all ranks have come");
    dt_watch_destroy(watch);
    begin(0, 2, 8.0); /* rank 1 is busy, and its last heartbeat comes after 5 s */
    a = dt_waiting_begin(&here);
    fake_clock_set(START_S + 5.0);
    arrives_now(1, (dt_notice){.kind = DT_NOTICE_BUSY});
    DT_CHECK_INT(poll_at(14.5 - MOMENT_S, &a, &err), DT_OK);
    DT_CHECK_INT(poll_at(14.5, &a, &err), DT_ERR_PEER);
    DT_CHECK_CONTAINS(err.message, "no sign of rank 1");
    dt_watch_destroy(watch);
}

static void what_moves_begins_the_deadline_again(void)
{
    dt_error err = {0};
    begin(0, 2, 8.0);
    dt_waiting a = dt_waiting_begin(&here);
    fake_clock_set(START_S + 9.0);
    DT_CHECK_INT(dt_watch_poll(watch, &a, true, &err), DT_OK);
    DT_CHECK_INT(poll_at(18.5 - MOMENT_S, &a, &err), DT_OK);
    DT_CHECK_INT(poll_at(18.5, &a, &err), DT_ERR_PEER);
    dt_watch_destroy(watch);
}

static void a_rank_is_silent_after_three_intervals(void)
{
    char text[200];
    begin(0, 2, 100.0);
    dt_waiting a = dt_waiting_begin(&here);
    arrives_now(1, (dt_notice){.kind = DT_NOTICE_BUSY});
    fake_clock_set(START_S + 3.0);
    DT_CHECK_INT(dt_watch_describe_missing(watch, &a, text, sizeof text), 1);
    DT_CHECK_STR(text, "rank 1 (node0) has not come; rank 1 is busy with its own work");
    fake_clock_set(START_S + 3.0 + MOMENT_S);
    DT_CHECK_INT(dt_watch_describe_missing(watch, &a, text, sizeof text), 1);
    DT_CHECK_STR(text, "there is no sign of rank 1 (node0)");
    arrives_now(1, waits_at(here));
    DT_CHECK_INT(dt_watch_describe_missing(watch, &a, text, sizeof text), 0);
    dt_watch_destroy(watch);
}

static void a_long_wait_is_logged_once_by_the_lowest_rank_that_waits(void)
{
    dt_error err = {0};
    for (int other = 0; other <= 1; other++) { /* this is rank 1; rank 0 is missing, or waits too */
        begin(1, 3, 100.0);
        dt_waiting a = dt_waiting_begin(&here);
        if (other == 1)
            arrives(0, waits_at(here));
        captured_log_begin(DT_LOG_WARN);
        DT_CHECK_INT(poll_at(60.0 - MOMENT_S, &a, &err), DT_OK);
        DT_CHECK_INT(captured_log_lines(), 0);
        DT_CHECK_INT(poll_at(60.0, &a, &err), DT_OK);
        DT_CHECK_INT(poll_at(61.0, &a, &err), DT_OK);
        captured_log_end();
        DT_CHECK_INT(captured_log_lines(), 1 - other);
        if (other == 0)
            DT_CHECK_CONTAINS(captured_log_text(),
                              "rank 1 has waited 60 s, and gives up after 100 s: there is no sign of rank 0 "
                              "(node0), rank 2 (node1)\n");
        dt_watch_destroy(watch);
    }
}

static void polls_sleep_after_a_second_without_arrivals(void)
{
    dt_error err = {0};
    begin(0, 2, 2.0);
    dt_waiting a = dt_waiting_begin(&here);
    DT_CHECK_INT(poll_at(1.0 - MOMENT_S, &a, &err), DT_OK);
    DT_CHECK(dt_clock_s() == START_S + 1.0 - MOMENT_S);
    DT_CHECK_INT(poll_at(1.0, &a, &err), DT_OK);
    DT_CHECK_CLOSE(dt_clock_s() - START_S, 1.001, 1e-9);
    dt_watch_destroy(watch);
}

static void notices_are_received_ten_times_an_interval_while_busy(void)
{
    static const struct {
        double deadline_s, every_s;
    } cases[] = {{100.0, 0.1}, {2.0, 0.05}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_error err = {0};
        begin(0, 2, cases[i].deadline_s);
        DT_CHECK_INT(dt_watch_heartbeat(watch, &err), DT_OK);
        DT_CHECK_INT(n_receives, 1);
        fake_clock_set(START_S + cases[i].every_s - MOMENT_S);
        DT_CHECK_INT(dt_watch_heartbeat(watch, &err), DT_OK);
        DT_CHECK_INT(n_receives, 1);
        fake_clock_set(START_S + cases[i].every_s + MOMENT_S);
        DT_CHECK_INT(dt_watch_heartbeat(watch, &err), DT_OK);
        DT_CHECK_INT(n_receives, 2);
        dt_watch_destroy(watch);
    }
}

static void the_first_reason_of_a_rank_counts_with_its_status(void)
{
    static const struct {
        int64_t sent;
        dt_status counts;
    } cases[] = {{DT_ERR_INTERNAL, DT_ERR_INTERNAL},
                 {DT_ERR_INTERNAL + 1, DT_ERR_COMM},
                 {1, (dt_status)1},
                 {DT_OK, DT_ERR_COMM},
                 {-1, DT_ERR_COMM}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_error err = {0};
        begin(0, 3, 100.0);
        dt_waiting a = dt_waiting_begin(&here);
        arrives(2, (dt_notice){.kind = DT_NOTICE_GIVES_UP, .status = cases[i].sent, .text = "the first"});
        arrives(2, (dt_notice){.kind = DT_NOTICE_GIVES_UP, .status = DT_ERR_DEVICE, .text = "the second"});
        arrives(2, (dt_notice){.kind = DT_NOTICE_GONE});
        DT_CHECK_INT(poll_at(1.0, &a, &err), cases[i].counts);
        DT_CHECK_STR(err.message, "rank 2 (node1) has given up: the first");
        dt_watch_destroy(watch);
    }
}

static void a_rank_that_is_gone_without_a_reason_is_lost(void)
{
    dt_error err = {0};
    begin(0, 3, 100.0);
    dt_waiting a = dt_waiting_begin(&here);
    arrives(1, (dt_notice){.kind = DT_NOTICE_GONE});
    DT_CHECK_INT(poll_at(1.0, &a, &err), DT_ERR_PEER);
    DT_CHECK_STR(err.message, "rank 1 (node0) has given up: ");
    dt_watch_give_up(watch, &(dt_error){.status = DT_ERR_COMM, .message = "reason"});
    DT_CHECK_INT(last[2].kind, DT_NOTICE_GIVES_UP);
    DT_CHECK_INT(last[1].kind, DT_NOTICE_WAITS); /* nothing is sent to a rank that is gone */
    dt_watch_destroy(watch);
}

static void another_size_in_the_same_collective_is_a_bug(void)
{
    dt_error err = {0};
    dt_position other = here;
    begin(0, 2, 100.0);
    dt_waiting a = dt_waiting_begin(&here);
    other.bytes = 404;
    arrives(1, waits_at(other));
    DT_CHECK_INT(poll_at(1.0, &a, &err), DT_ERR_COMM);
    DT_CHECK_STR(err.message,
                 "rank 0 is in a broadcast of 400 bytes (collective 7, step 12), and rank 1 (node0) in a "
                 "broadcast of 404 bytes (collective 7, step 12): a bug");
    DT_CHECK_INT(last[1].kind, DT_NOTICE_GIVES_UP);
    dt_watch_destroy(watch);
}

static void leaving_ends_with_the_grace_time_or_the_last_sign(void)
{
    begin(0, 2, 100.0);
    arrives_now(1, (dt_notice){.kind = DT_NOTICE_BUSY});
    dt_watch_leave(watch, 2.0); /* rank 1 is not silent before */
    DT_CHECK_CLOSE(dt_clock_s() - START_S, 2.0, 0.0015);
    DT_CHECK_INT(n_sent[1], 1);
    DT_CHECK_INT(last[1].kind, DT_NOTICE_GONE);
    dt_watch_destroy(watch);
    begin(0, 2, 100.0);
    arrives_now(1, (dt_notice){.kind = DT_NOTICE_BUSY});
    dt_watch_leave(watch, 20.0);
    DT_CHECK_CLOSE(dt_clock_s() - START_S, 3.0, 0.0025);
    dt_watch_destroy(watch);
}

static const dt_test tests[] = {
    DT_TEST(notices_are_sent_at_each_interval),
    DT_TEST(a_rank_gives_up_one_and_a_half_intervals_after_the_deadline),
    DT_TEST(what_moves_begins_the_deadline_again),
    DT_TEST(a_rank_is_silent_after_three_intervals),
    DT_TEST(a_long_wait_is_logged_once_by_the_lowest_rank_that_waits),
    DT_TEST(polls_sleep_after_a_second_without_arrivals),
    DT_TEST(notices_are_received_ten_times_an_interval_while_busy),
    DT_TEST(the_first_reason_of_a_rank_counts_with_its_status),
    DT_TEST(a_rank_that_is_gone_without_a_reason_is_lost),
    DT_TEST(another_size_in_the_same_collective_is_a_bug),
    DT_TEST(leaving_ends_with_the_grace_time_or_the_last_sign),
};

DT_TEST_MAIN("comm/deadline_clock", tests)
