/* Waiting with a deadline, missing ranks, giving up: one rank of several; the test is the side channel to the
 * others. */
#include "comm/deadline.h"
#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_RANKS = 20, MAX_NOTICES = 128 };

#define DEADLINE_S 0.4 /* a notice every 0.1 s */

typedef struct world {
    dt_comm comm;
    char hosts[MAX_RANKS][64];
    dt_watch *watch;
    /* Notices that arrive at their time, in any order. */
    struct {
        double at_s;
        int from;
        dt_notice notice;
    } in[MAX_NOTICES];
    int n_in;
    /* Busy ranks that reply with heartbeats. */
    double heartbeat_every_s[MAX_RANKS], last_heartbeat_s[MAX_RANKS];
    bool wants_heartbeat[MAX_RANKS];
    dt_notice last[MAX_RANKS]; /* the last notice sent to each rank */
    int n_sent[MAX_RANKS];
    bool refuses[MAX_RANKS]; /* the notice before is still being sent to this rank */
} world;

static dt_status send_notice(void *context, int rank, const dt_notice *notice, bool *sent, dt_error *err)
{
    world *w = context;
    (void)err;
    *sent = !w->refuses[rank];
    if (!*sent)
        return DT_OK;
    w->last[rank] = *notice;
    w->n_sent[rank]++;
    w->wants_heartbeat[rank] = notice->kind == DT_NOTICE_WAITS;
    return DT_OK;
}

static dt_status receive_notice(void *context, int *from, dt_notice *notice, dt_error *err)
{
    world *w = context;
    const double now_s = dt_clock_s();
    (void)err;
    *from = -1;
    for (int i = 0; i < w->n_in; i++)
        if (w->in[i].at_s <= now_s) {
            *from = w->in[i].from;
            *notice = w->in[i].notice;
            w->in[i] = w->in[--w->n_in];
            return DT_OK;
        }
    for (int r = 0; r < w->comm.size; r++)
        if (w->wants_heartbeat[r] && w->heartbeat_every_s[r] > 0 &&
            now_s - w->last_heartbeat_s[r] >= w->heartbeat_every_s[r]) {
            w->wants_heartbeat[r] = false;
            w->last_heartbeat_s[r] = now_s;
            *from = r;
            *notice = (dt_notice){.kind = DT_NOTICE_BUSY};
            return DT_OK;
        }
    return DT_OK;
}

static void begin(world *w, int rank, int size, double deadline_s)
{
    dt_error err = {0};
    memset(w, 0, sizeof *w);
    w->comm = (dt_comm){.rank = rank, .size = size};
    for (int r = 0; r < size; r++)
        snprintf(w->hosts[r], sizeof w->hosts[r], "node%d", r / 2);
    const dt_watch_options options = {
        .comm = &w->comm,
        .hosts = (const char(*)[64])w->hosts,
        .channel = {.context = w, .send = send_notice, .receive = receive_notice},
        .deadline_s = deadline_s};
    DT_REQUIRE(dt_watch_create(&options, &w->watch, &err) == DT_OK);
}

static void arrives(world *w, double in_s, int from, dt_notice notice)
{
    w->in[w->n_in].at_s = dt_clock_s() + in_s;
    w->in[w->n_in].from = from;
    w->in[w->n_in++].notice = notice;
}

/* Rank `from` waits at this position from now on. */
static void waits(world *w, int from, dt_position position)
{
    dt_notice n = {.kind = DT_NOTICE_WAITS, .position = position};
    n.n_begun[position.kind < DT_POSITION_START ? DT_SEQUENCE_HOST : DT_SEQUENCE_DEVICE] = position.number;
    for (int k = 0; k < 30; k++)
        arrives(w, 0.1 * k, from, n);
}

static dt_status wait_at(world *w, dt_position position, double at_most_s, dt_error *err)
{
    dt_waiting a = dt_waiting_begin(&position);
    dt_status status = DT_OK;
    for (double end_s = dt_clock_s() + at_most_s; status == DT_OK && dt_clock_s() < end_s;
         dt_clock_sleep_s(1e-4))
        status = dt_watch_poll(w->watch, &a, false, err);
    return status;
}

static const dt_position here = {.kind = DT_POSITION_BROADCAST, .number = 7, .bytes = 400, .step = 12};
static const dt_position bucket = {
    .kind = DT_POSITION_BUCKET, .number = 3 * 64 + 5, .bytes = 1000, .step = 30, .bucket = 5};

static void silent_ranks_are_named(void)
{
    world w;
    dt_error err = {0};
    begin(&w, 0, 4, DEADLINE_S);
    waits(&w, 2, here);
    DT_CHECK_INT(wait_at(&w, here, 5.0, &err), DT_ERR_PEER);
    DT_CHECK_STR(err.message, "after 0.4 s in a broadcast of 400 bytes (collective 7, step 12) there is no "
                              "sign of rank 1 (node0), rank 3 (node1): it hangs, or "
                              "waits for its data, or its host or network is down");
    DT_CHECK_INT(w.last[2].kind, DT_NOTICE_GIVES_UP);
    DT_CHECK_CONTAINS(w.last[2].text, "no sign of rank 1");
    dt_watch_destroy(w.watch);
}

static void at_most_eight_missing_ranks_are_named(void)
{
    world w;
    dt_error err = {0};
    begin(&w, 3, MAX_RANKS, DEADLINE_S);
    DT_CHECK_INT(wait_at(&w, here, 5.0, &err), DT_ERR_PEER);
    DT_CHECK_CONTAINS(err.message,
                      "no sign of rank 0 (node0), rank 1 (node0), rank 2 (node1), rank 4 (node2), rank 5");
    DT_CHECK_CONTAINS(err.message, "rank 8 (node4) and 11 more: ");
    dt_watch_destroy(w.watch);
}

static void the_network_is_blamed_when_no_rank_is_missing(void)
{
    world w;
    dt_error err = {0};
    begin(&w, 0, 2, DEADLINE_S);
    waits(&w, 1, bucket);
    DT_CHECK_INT(wait_at(&w, bucket, 5.0, &err), DT_ERR_PEER);
    DT_CHECK_STR(err.message, "after 0.4 s in the sum of gradient bucket 5 of step 30 (1000 bytes) nothing "
                              "arrives, although all ranks have come: check the network "
                              "between hosts");
    dt_watch_destroy(w.watch);
}

static void where_a_missing_rank_waits_is_reported(void)
{
    world w;
    dt_error err = {0};
    begin(&w, 0, 3, DEADLINE_S);
    waits(&w, 1, (dt_position){.kind = DT_POSITION_WORK, .number = 3 * 64 + 4, .step = 30, .bucket = 4});
    waits(&w, 2, bucket);
    DT_CHECK_INT(wait_at(&w, bucket, 5.0, &err), DT_ERR_PEER);
    DT_CHECK_CONTAINS(err.message, " rank 1 (node0) has not come; rank 1 is in the device's own work after "
                                   "gradient bucket 4 of step 30: ");
    dt_watch_destroy(w.watch);
    begin(&w, 0, 3, DEADLINE_S);
    waits(&w, 1, here);
    waits(&w, 2, (dt_position){.kind = DT_POSITION_LEAVE, .number = 8});
    DT_CHECK_INT(wait_at(&w, bucket, 5.0, &err), DT_ERR_PEER);
    DT_CHECK_CONTAINS(err.message, " rank 1 (node0), rank 2 (node1) have not come; rank 1 is in a broadcast "
                                   "of 400 bytes (collective 7, step 12)");
    dt_watch_destroy(w.watch);
}

static void busy_ranks_are_waited_for_while_heartbeats_come(void)
{
    world w;
    dt_error err = {0};
    begin(&w, 0, 3, DEADLINE_S);
    w.heartbeat_every_s[1] = 0.15;
    waits(&w, 2, here);
    DT_CHECK_INT(wait_at(&w, here, 4.0 * DEADLINE_S, &err), DT_OK);
    w.heartbeat_every_s[1] = 0; /* now it hangs */
    DT_CHECK_INT(wait_at(&w, here, 5.0, &err), DT_ERR_PEER);
    DT_CHECK_CONTAINS(err.message, "no sign of rank 1 (node0)");
    dt_watch_destroy(w.watch);
}

static void the_deadline_starts_over_when_the_position_moves(void)
{
    world w;
    dt_error err = {0};
    const double deadline_s = 1.0; /* this machine may be busy for half of it */
    begin(&w, 0, 2, deadline_s);
    dt_position position = bucket;
    dt_waiting a = dt_waiting_begin(&position);
    dt_status status = DT_OK;
    double end_s = dt_clock_s() + 2.5 * deadline_s, moved_s = dt_clock_s();
    for (; status == DT_OK && dt_clock_s() < end_s; dt_clock_sleep_s(1e-4)) {
        status = dt_watch_poll(w.watch, &a, false, &err);
        if (dt_clock_s() - moved_s > 0.5 * deadline_s) {
            position.number++;
            moved_s = dt_clock_s();
            dt_waiting_move(&a, &position);
        }
    }
    DT_CHECK_INT(status, DT_OK);
    dt_watch_destroy(w.watch);
}

static void different_collectives_fail_before_the_deadline(void)
{
    world w;
    dt_error err = {0};
    begin(&w, 0, 2, 40.0);
    waits(&w, 1, (dt_position){.kind = DT_POSITION_BARRIER, .number = 7});
    DT_CHECK_INT(wait_at(&w, here, 5.0, &err), DT_ERR_COMM);
    DT_CHECK_STR(err.message, "rank 0 is in a broadcast of 400 bytes (collective 7, step 12), and rank 1 "
                              "(node0) in a barrier (collective 7): a bug");
    dt_watch_destroy(w.watch);
    begin(&w, 0, 2, DEADLINE_S); /* numbers of the device are another sequence */
    waits(&w, 1, (dt_position){.kind = DT_POSITION_BUCKET, .number = 7, .bytes = 1});
    DT_CHECK_INT(wait_at(&w, here, 5.0, &err), DT_ERR_PEER);
    dt_watch_destroy(w.watch);
}

static void other_ranks_give_up_with_the_reason_they_received(void)
{
    world w;
    dt_error err = {0};
    dt_notice n = {.kind = DT_NOTICE_GIVES_UP, .status = DT_ERR_DEVICE, .text = "its GPU fell off the bus"};
    begin(&w, 0, 3, 40.0);
    arrives(&w, 0.2, 2, n);
    DT_CHECK_INT(wait_at(&w, here, 5.0, &err), DT_ERR_DEVICE);
    DT_CHECK_STR(err.message, "rank 2 (node1) has given up: its GPU fell off the bus");
    DT_CHECK(w.last[1].kind != DT_NOTICE_GIVES_UP); /* rank 2 has sent its notice to all */
    dt_watch_give_up(w.watch, &(dt_error){.status = DT_ERR_COMM, .message = "reasons"});
    DT_CHECK_INT(w.last[1].status, DT_ERR_COMM);
    DT_CHECK_INT(w.last[1].kind, DT_NOTICE_GIVES_UP);
    DT_CHECK_STR(w.last[1].text, "reasons");
    dt_watch_destroy(w.watch);
}

static void leaving_waits_for_ranks_that_are_alive(void)
{
    world w;
    begin(&w, 0, 4, DEADLINE_S);
    w.refuses[3] = true; /* it hangs, and nothing can be sent to it */
    for (int r = 1; r < 3; r++)
        arrives(&w, 0.0, r, (dt_notice){.kind = DT_NOTICE_BUSY});
    dt_watch_drain(w.watch);
    arrives(&w, 0.15, 1, (dt_notice){.kind = DT_NOTICE_GONE});
    arrives(&w, 0.20, 2, (dt_notice){.kind = DT_NOTICE_GONE});
    double start_s = dt_clock_s();
    dt_watch_leave(w.watch, 10.0);
    double took_s = dt_clock_s() - start_s;
    DT_CHECK_MSG(took_s > 0.15 && took_s < 5.0, "%g s", took_s);
    DT_CHECK_INT(w.last[1].kind, DT_NOTICE_GONE);
    DT_CHECK_INT(w.n_sent[3], 0);
    for (int k = 0; k < 30; k++) /* a rank that stays alive is waited for until the grace time is over */
        arrives(&w, 0.05 * k, 3, (dt_notice){.kind = DT_NOTICE_WAITS});
    dt_watch_drain(w.watch);
    start_s = dt_clock_s();
    dt_watch_leave(w.watch, 0.3);
    DT_CHECK(dt_clock_s() - start_s < 1.2);
    dt_watch_destroy(w.watch);
}

static void a_busy_rank_sends_one_heartbeat_to_a_waiting_rank(void)
{
    world w;
    dt_error err = {0};
    begin(&w, 0, 3, DEADLINE_S);
    dt_watch_set_begun(w.watch, DT_SEQUENCE_HOST, 6);
    dt_watch_set_begun(w.watch, DT_SEQUENCE_DEVICE, 99);
    arrives(&w, 0.0, 2, (dt_notice){.kind = DT_NOTICE_WAITS, .position = here});
    w.refuses[2] = true; /* at first nothing can be sent to it */
    for (double end_s = dt_clock_s() + 0.3; dt_clock_s() < end_s; dt_clock_sleep_s(1e-3)) {
        DT_CHECK_INT(dt_watch_heartbeat(w.watch, &err), DT_OK);
        if (dt_clock_s() > end_s - 0.2)
            w.refuses[2] = false;
    }
    DT_CHECK_INT(w.n_sent[1], 0);
    DT_CHECK_INT(w.n_sent[2], 1);
    DT_CHECK_INT(w.last[2].kind, DT_NOTICE_BUSY);
    DT_CHECK_INT(w.last[2].n_begun[DT_SEQUENCE_HOST], 6);
    DT_CHECK_INT(w.last[2].n_begun[DT_SEQUENCE_DEVICE], 99);
    dt_watch_destroy(w.watch);
}

static void one_rank_needs_no_channel(void)
{
    const dt_comm comm = {.size = 1};
    const char hosts[1][64] = {"here"};
    dt_watch *watch = NULL;
    dt_error err = {0};
    world w = {.comm = comm};
    DT_REQUIRE(dt_watch_create(&(dt_watch_options){.comm = &comm, .hosts = hosts, .deadline_s = 0.2}, &watch,
                               &err) == DT_OK);
    w.watch = watch;
    DT_CHECK_INT(dt_watch_heartbeat(watch, &err), DT_OK);
    DT_CHECK_INT(
        wait_at(&w, (dt_position){.kind = DT_POSITION_WORK, .number = 70, .step = 2, .bucket = 6}, 5.0, &err),
        DT_ERR_TIMEOUT);
    DT_CHECK_STR(err.message, "after 0.2 s in the device's own work after gradient bucket 6 of step 2 "
                              "nothing moves: the device hangs");
    dt_watch_leave(watch, 5.0);
    dt_watch_drain(watch);
    dt_watch_destroy(watch);
}

static void an_infinite_deadline_never_expires(void)
{
    world w;
    dt_error err = {0};
    begin(&w, 0, 2, (double)INFINITY);
    DT_CHECK_INT(wait_at(&w, here, 1.5, &err), DT_OK);
    DT_CHECK_INT(w.last[1].kind, DT_NOTICE_WAITS);
    dt_watch_destroy(w.watch);
}

static void creation_survives_every_failed_allocation(void)
{
    const int64_t before = dt_alloc_live_blocks();
    const dt_comm comm = {.size = 1};
    const char hosts[1][64] = {"here"};
    for (int n = 1; n <= 2; n++) {
        dt_watch *watch = NULL;
        dt_error err = {0};
        dt_alloc_fail_after(n);
        DT_CHECK_INT(dt_watch_create(&(dt_watch_options){.comm = &comm, .hosts = hosts, .deadline_s = 1.0},
                                     &watch, &err),
                     DT_ERR_MEMORY);
        dt_alloc_fail_after(0);
        DT_CHECK(watch == NULL);
        DT_CHECK_INT(dt_alloc_live_blocks(), before);
    }
    dt_watch_destroy(NULL);
}

static const dt_test tests[] = {
    DT_TEST(silent_ranks_are_named),
    DT_TEST(at_most_eight_missing_ranks_are_named),
    DT_TEST(the_network_is_blamed_when_no_rank_is_missing),
    DT_TEST(where_a_missing_rank_waits_is_reported),
    DT_TEST(busy_ranks_are_waited_for_while_heartbeats_come),
    DT_TEST(the_deadline_starts_over_when_the_position_moves),
    DT_TEST(different_collectives_fail_before_the_deadline),
    DT_TEST(other_ranks_give_up_with_the_reason_they_received),
    DT_TEST(leaving_waits_for_ranks_that_are_alive),
    DT_TEST(a_busy_rank_sends_one_heartbeat_to_a_waiting_rank),
    DT_TEST(one_rank_needs_no_channel),
    DT_TEST(an_infinite_deadline_never_expires),
    DT_TEST(creation_survives_every_failed_allocation),
};

DT_TEST_MAIN("comm/deadline", tests)
