/* Which processors ranks get on hosts that this machine is not. */
#include "config.h"

#include "launch/hardware/placement.h"

#include "launch/hardware/machine.h"
#include "tests/launch/hardware/topology_kit.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

#ifdef HAVE_HWLOC
enum { MOST_RANKS = 192, MOST_CPUS = 192 };
static dt_topology *host;
static dt_placement got[MOST_RANKS];
static dt_cpus near[MOST_RANKS];

/* The cores of a set of processors. */
static int n_cores(const dt_cpus *cpus)
{
    bool has[512] = {false};
    int n = 0;
    for (int cpu = dt_cpus_next(cpus, 0); cpu >= 0; cpu = dt_cpus_next(cpus, cpu + 1)) {
        n += !has[host->core_of[cpu]];
        has[host->core_of[cpu]] = true;
    }
    return n;
}

static bool overlap(const dt_cpus *a, const dt_cpus *b)
{
    for (int i = 0; i < DT_CPUS_MAX / 64; i++)
        if (a->bits[i] & b->bits[i])
            return true;
    return false;
}

static bool is_within(const dt_cpus *part, const dt_cpus *whole)
{
    for (int i = 0; i < DT_CPUS_MAX / 64; i++)
        if (part->bits[i] & ~whole->bits[i])
            return false;
    return true;
}

/* Places n ranks on these processors. What always holds is checked: all processors are used, none twice, and
 * a core's belong to one rank. */
static void choose(const char *list, int n)
{
    const dt_cpus all = topology_kit_cpus(list);
    dt_cpus used = {0};
    DT_REQUIRE(dt_placement_choose(host, &all, near, n, got));
    for (int r = 0; r < n; r++) {
        DT_CHECK_MSG(dt_cpus_count(&got[r].cpus) > 0, "rank %d of %d has no processor", r, n);
        DT_CHECK(is_within(&got[r].cpus, &got[r].workers));
        for (int other = 0; other < r; other++)
            DT_CHECK_MSG(!overlap(&got[r].workers, &got[other].workers), "ranks %d and %d of %d", other, r,
                         n);
        for (int i = 0; i < DT_CPUS_MAX / 64; i++)
            used.bits[i] |= got[r].workers.bits[i];
        for (int cpu = 0; cpu < MOST_CPUS; cpu++)
            for (int same = 0; same < cpu; same++)
                if (host->core_of[cpu] == host->core_of[same] && dt_cpus_has(&all, cpu) &&
                    dt_cpus_has(&all, same))
                    DT_CHECK(dt_cpus_has(&got[r].cpus, cpu) == dt_cpus_has(&got[r].cpus, same));
    }
    DT_CHECK_BYTES(&used, &all, sizeof all);
}

/* The processors of rank r, as a list. */
static const char *cpus_of(int r)
{
    static char out[128];
    dt_machine_format_cpus(&got[r].cpus, out, sizeof out);
    return out;
}

static void open_host(const char *source)
{
    dt_topology_close(host);
    host = topology_kit_open(source);
    memset(near, 0, sizeof near);
}

/* The host of `n` ranks whose GPUs have these addresses. */
static void open_p4d(const char *const *addresses, int n)
{
    open_host(topology_kit_write(TOPOLOGY_KIT_P4D, topology_kit_p4d, TOPOLOGY_KIT_P4D_DEVICES));
    for (int r = 0; r < n; r++)
        DT_REQUIRE(dt_topology_near(host, addresses[r], &near[r]));
}

static const char *const gpus[] = {"0000:10:1C.0", "0000:10:1D.0", "0000:20:1C.0", "0000:20:1D.0",
                                   "0000:90:1C.0", "0000:90:1D.0", "0000:A0:1C.0", "0000:A0:1D.0"};

static void each_rank_of_a_p4d_gets_six_cores_near_its_gpu(void)
{
    open_p4d(gpus, 8);
    choose("0-95", 8);
    DT_CHECK_STR(cpus_of(0), "0-5,48-53");
    DT_CHECK_STR(cpus_of(3), "18-23,66-71");
    DT_CHECK_STR(cpus_of(4), "24-29,72-77");
    DT_CHECK_STR(cpus_of(7), "42-47,90-95");
    for (int r = 0; r < 8; r++)
        DT_CHECK_BYTES(&got[r].workers, &got[r].cpus, sizeof got[r].cpus);
}

static void the_gpu_counts_not_the_number_of_the_rank(void)
{
    static const char *const mixed[] = {"0000:A0:1C.0", "0000:10:1C.0", "0000:A0:1D.0", "0000:10:1D.0"};
    open_p4d(mixed, 4);
    choose("0-95", 4);
    DT_CHECK_STR(cpus_of(0), "24-35,72-83");
    DT_CHECK_STR(cpus_of(1), "0-11,48-59");
    DT_CHECK_STR(cpus_of(2), "36-47,84-95");
    DT_CHECK_STR(cpus_of(3), "12-23,60-71");
}

static void cores_that_are_near_no_gpu_in_use_help_to_decode(void)
{
    open_p4d(gpus, 1);
    choose("0-95", 1);
    DT_CHECK_STR(cpus_of(0), "0-23,48-71");
    DT_CHECK_INT(dt_cpus_count(&got[0].workers), 96);
    open_p4d(gpus, 2);
    choose("0-95", 2);
    DT_CHECK_STR(cpus_of(1), "12-23,60-71");
    for (int r = 0; r < 2; r++)
        DT_CHECK_INT(n_cores(&got[r].workers), 24);
}

/* 4 GPUs of one socket and 1 of the other: 48 cores are 9 or 10 each. */
static void ranks_have_about_as_many_cores_where_gpus_are_not(void)
{
    open_p4d(gpus, 5);
    choose("0-95", 5);
    for (int r = 0; r < 5; r++) {
        const int n = n_cores(&got[r].workers);
        DT_CHECK_MSG(n == 9 || n == 10, "rank %d: %d cores", r, n);
        DT_CHECK(is_within(&got[r].cpus, &near[r]));
    }
}

/* A control group, or a batch system, that leaves 12 cores of socket 0. */
static void only_processors_that_ranks_may_use_are_given(void)
{
    open_p4d(gpus, 4);
    choose("0-11,48-59", 4);
    DT_CHECK_STR(cpus_of(3), "9-11,57-59");
    open_p4d(gpus, 8); /* socket 1 is not there for ranks 4 to 7 */
    choose("0-11,48-59", 8);
    open_p4d(gpus, 8);
    choose("0-47", 8); /* one hardware thread of each core */
    DT_CHECK_STR(cpus_of(4), "24-29");
}

static void domains_of_a_host_without_gpus_are_filled_evenly(void)
{
    static const struct {
        int n, r;
        const char *cpus;
    } cases[] = {
        {1, 0, "0-191"},  {2, 1, "96-191"}, {4, 3, "144-191"},   {8, 1, "24-47"},  {24, 5, "40-47"},
        {12, 1, "16-31"}, {192, 77, "77"},  {96, 95, "190-191"}, {3, 1, "64-127"},
    };
    open_host(TOPOLOGY_KIT_HPC7A);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        choose("0-191", cases[i].n);
        DT_CHECK_MSG(strcmp(cpus_of(cases[i].r), cases[i].cpus) == 0, "rank %d of %d: %s, not %s", cases[i].r,
                     cases[i].n, cpus_of(cases[i].r), cases[i].cpus);
    }
    choose("0-191", 20); /* 9 or 10 cores: caches do not fit, NUMA nodes do */
    for (int r = 0; r < 20; r++) {
        const int first = dt_cpus_next(&got[r].cpus, 0), n = dt_cpus_count(&got[r].cpus);
        DT_CHECK_MSG(first / 48 == (first + n - 1) / 48, "rank %d: %s", r, cpus_of(r));
        DT_CHECK(n == 9 || n == 10);
    }
}

/* 5 ranks on two sockets of 24 cores: 3 and 2 would leave some with 8 cores, and 9 are possible: within an
 * eighth. 3 ranks: 12 instead of 16 are too few. */
static void a_boundary_that_costs_too_much_is_crossed(void)
{
    open_host(TOPOLOGY_KIT_P4D);
    choose("0-95", 5);
    DT_CHECK_STR(cpus_of(2), "16-23,64-71");
    DT_CHECK_STR(cpus_of(3), "24-35,72-83");
    choose("0-95", 3);
    DT_CHECK_STR(cpus_of(1), "16-31,64-79");
}

static void a_small_host_is_one_part(void)
{
    open_host(TOPOLOGY_KIT_G5);
    choose("0-3", 1);
    DT_CHECK_STR(cpus_of(0), "0-3");
    choose("0-3", 2);
    DT_CHECK_STR(cpus_of(1), "1,3");
}

static void more_ranks_than_cores_share_all_of_them(void)
{
    const dt_cpus all = topology_kit_cpus("0-3");
    open_host(TOPOLOGY_KIT_G5);
    DT_REQUIRE(dt_placement_choose(host, &all, near, 3, got));
    for (int r = 0; r < 3; r++)
        DT_CHECK_STR(cpus_of(r), "0-3");
}

static void processors_that_the_topology_does_not_have_are_refused(void)
{
    const dt_cpus all = topology_kit_cpus("0-4");
    open_host(TOPOLOGY_KIT_G5);
    memset(got, 1, sizeof got[0]);
    DT_CHECK(!dt_placement_choose(host, &all, near, 1, got));
    DT_CHECK(dt_cpus_has(&got[0].cpus, 0)); /* as it was */
}

/* GPUs behind two NUMA nodes of one socket, of which one host bridge is said to be near the whole socket. */
static void sets_that_overlap_are_not_used(void)
{
    open_host("pack:2 numa:2 core:4 pu:1");
    near[0] = topology_kit_cpus("0-3");
    near[1] = topology_kit_cpus("0-7");
    choose("0-15", 2);
    DT_CHECK_STR(cpus_of(0), "0-7");
    DT_CHECK_STR(cpus_of(1), "8-15");
}

void dt_test_tear_down(void)
{
    dt_topology_close(host);
}

static const dt_test tests[] = {
    DT_TEST(each_rank_of_a_p4d_gets_six_cores_near_its_gpu),
    DT_TEST(the_gpu_counts_not_the_number_of_the_rank),
    DT_TEST(cores_that_are_near_no_gpu_in_use_help_to_decode),
    DT_TEST(ranks_have_about_as_many_cores_where_gpus_are_not),
    DT_TEST(only_processors_that_ranks_may_use_are_given),
    DT_TEST(domains_of_a_host_without_gpus_are_filled_evenly),
    DT_TEST(a_boundary_that_costs_too_much_is_crossed),
    DT_TEST(a_small_host_is_one_part),
    DT_TEST(more_ranks_than_cores_share_all_of_them),
    DT_TEST(processors_that_the_topology_does_not_have_are_refused),
    DT_TEST(sets_that_overlap_are_not_used),
};
#else
static void ranks_are_placed(void)
{
    DT_SKIP("hwloc is not built in");
}

static const dt_test tests[] = {DT_TEST(ranks_are_placed)};
#endif

DT_TEST_MAIN("launch/hardware/placement", tests)
