/* The parts of comm/mpi that need no MPI: the groups of ranks that sum, the state after a failure. */
#include "comm/mpi_internal.h"
#include "core/base/clock.h"
#include "tests/testing.h"

#include <string.h>

enum { MAX_RANKS = 6 };

/* -- groups ---------------------------------------------------------------------------------------------- */

static void check_group(const dt_mpi_group *g, const int *expected, int n, int rank)
{
    DT_CHECK_INT(g->size, n);
    for (int i = 0; i < n && i < g->size; i++)
        DT_CHECK_INT(g->ranks[i], expected[i]);
    DT_CHECK_INT(g->ranks[g->me], rank);
}

/* Of `size` ranks, rank r is on host hosts[r]. */
static void check_groups(const int *hosts, int size)
{
    int leaders[MAX_RANKS], local_sizes[MAX_RANKS] = {0}, local_ranks[MAX_RANKS] = {0};
    bool even = true;
    for (int r = 0; r < size; r++) {
        leaders[r] = -1;
        for (int q = 0; q < size; q++) {
            if (hosts[q] != hosts[r])
                continue;
            leaders[r] = leaders[r] < 0 ? q : leaders[r];
            local_sizes[r]++;
            local_ranks[r] += q < r;
        }
        even = even && local_sizes[r] == local_sizes[0];
    }
    for (int rank = 0; rank < size; rank++) {
        int same_host[MAX_RANKS], same_number[MAX_RANKS], n_host = 0, n_number = 0;
        dt_comm_mpi c = {.head = {.rank = rank, .size = size}};
        dt_error err = {0};
        for (int r = 0; r < size; r++) {
            if (!even || hosts[r] == hosts[rank])
                same_host[n_host++] = r;
            if (even ? local_ranks[r] == local_ranks[rank] : r == rank)
                same_number[n_number++] = r;
        }
        DT_REQUIRE(dt_mpi_sum_create(&c, leaders, local_sizes, &err) == DT_OK);
        check_group(&c.sum.hosts[0], same_host, n_host, rank);
        check_group(&c.sum.hosts[1], same_number, n_number, rank);
        DT_CHECK_INT(c.sum.n_messages, 2 * ((n_host > n_number ? n_host : n_number) - 1));
        dt_mpi_sum_destroy(&c.sum);
    }
}

static void ranks_sum_on_their_host_and_then_with_those_of_their_number(void)
{
    static const int one[] = {0, 0, 0}, each[] = {0, 1, 2}, blocks[] = {0, 0, 1, 1, 2, 2},
                     turns[] = {0, 1, 0, 1}, single[] = {0};
    check_groups(single, 1);
    check_groups(one, 3);
    check_groups(each, 3);
    check_groups(blocks, 6);
    check_groups(turns, 4);
}

static void hosts_with_different_numbers_of_ranks_are_one_group(void)
{
    static const int last[] = {0, 0, 1}, first[] = {0, 1, 1}, middle[] = {0, 1, 0}, many[] = {0, 1, 1, 0, 0};
    check_groups(last, 3);
    check_groups(first, 3);
    check_groups(middle, 3);
    check_groups(many, 5);
}

/* -- failures -------------------------------------------------------------------------------------------- */

static dt_status send_nothing(void *context, int rank, const dt_notice *notice, bool *sent, dt_error *err)
{
    (void)context, (void)rank, (void)notice, (void)err;
    *sent = true;
    return DT_OK;
}

static dt_status receive_failure(void *context, int *from, dt_notice *notice, dt_error *err)
{
    (void)from, (void)notice;
    const dt_status status = *(const dt_status *)context;
    return status == DT_OK ? DT_OK : dt_fail(err, status, "planted");
}

static void a_wait_that_fails_marks_the_communicator(void)
{
    static const char hosts[2][64] = {"a", "b"};
    static const dt_position here = {.kind = DT_POSITION_BARRIER, .number = 1};
    dt_status planted = DT_ERR_COMM;
    dt_comm_mpi c = {.head = {.size = 2}};
    const dt_watch_options options = {
        .comm = &c.head,
        .hosts = hosts,
        .channel = {.context = &planted, .send = send_nothing, .receive = receive_failure},
        .deadline_s = 1e6};
    dt_error err = {0};
    DT_REQUIRE(dt_watch_create(&options, &c.watch, &err) == DT_OK);
    dt_waiting w = dt_waiting_begin(&here);
    w.start_s = dt_clock_s() - 100.0;
    for (int i = 0; i < 15; i++) /* notices are received by the sixteenth poll */
        DT_CHECK_INT(dt_mpi_poll(&c, &w, false, &err), DT_OK);
    DT_CHECK(!c.failed && !c.lost_peer);
    DT_CHECK_INT(dt_mpi_poll(&c, &w, false, &err), DT_ERR_COMM);
    DT_CHECK(c.failed && !c.lost_peer);
    planted = DT_ERR_PEER;
    for (int i = 0; i < 16; i++)
        (void)dt_mpi_poll(&c, &w, false, &err);
    DT_CHECK(c.failed && c.lost_peer);
    DT_CHECK_INT(dt_mpi_poll(&c, &w, true, &err), DT_OK); /* the marks stay */
    DT_CHECK(c.failed && c.lost_peer);
    dt_watch_destroy(c.watch);
}

static const dt_test tests[] = {
    DT_TEST(ranks_sum_on_their_host_and_then_with_those_of_their_number),
    DT_TEST(hosts_with_different_numbers_of_ranks_are_one_group),
    DT_TEST(a_wait_that_fails_marks_the_communicator),
};

DT_TEST_MAIN("comm/mpi_local", tests)
