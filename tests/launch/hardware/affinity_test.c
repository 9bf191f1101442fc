/* Shares of a host's cores among its ranks. */
#include "config.h"

#include "tests/testing.h"

#include "comm/self.h"
#include "launch/hardware/affinity.h"
#include "launch/hardware/machine.h"

#include <stdlib.h>

static int core_of[DT_CPUS_MAX];

/* Processors 0 to n-1 with one hardware thread a core, or (threads 2) n and n + n/2 on the same core, as
 * Linux numbers them. */
static void machine(int n_cpus, int threads)
{
    for (int cpu = 0; cpu < DT_CPUS_MAX; cpu++)
        core_of[cpu] = cpu < n_cpus ? cpu % (n_cpus / threads) : cpu;
}

static dt_cpus cpus(const char *text)
{
    dt_cpus set;
    DT_REQUIRE(dt_machine_parse_cpus(text, &set));
    return set;
}

static void lists_of_processors_are_parsed_and_formatted(void)
{
    static const char *const lists[] = {"0", "0-3", "0-1,4,6-7", "1,3,5", "1030,2040-2047,16383", ""};
    char text[64];
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        dt_cpus set = cpus(lists[i]);
        dt_machine_format_cpus(&set, text, sizeof text);
        DT_CHECK_STR(text, lists[i]);
    }
    dt_cpus set = cpus("0-1,4,6-7");
    DT_CHECK_INT(dt_cpus_count(&set), 5);
}

static void malformed_lists_of_processors_are_refused(void)
{
    static const char *const lists[] = {"a", "3-1", "1,,2", "-1", "1-", "0-99999", "16384", "0-16384"};
    dt_cpus set[2]; /* the second: what would be written one too far stays in the array */
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        DT_CHECK_MSG(!dt_machine_parse_cpus(lists[i], &set[0]), "%s was read", lists[i]);
    DT_CHECK(dt_machine_parse_cpus("16383", &set[0]));
}

static void ranks_that_share_all_cores_get_equal_parts(void)
{
    dt_cpus all[4];
    machine(16, 1);
    for (int i = 0; i < 4; i++)
        all[i] = cpus("0-15");
    DT_CHECK_INT(dt_affinity_share(all, 1, 0, core_of, 0), 16);
    DT_CHECK_INT(dt_affinity_share(all, 2, 1, core_of, 0), 8);
    DT_CHECK_INT(dt_affinity_share(all, 3, 2, core_of, 0), 5);
    DT_CHECK_INT(dt_affinity_share(all, 4, 0, core_of, 0), 4);
}

static void a_quarter_of_the_cores_decodes(void)
{
    static const int64_t cores_and_workers[][2] = {{1, 1}, {7, 1}, {8, 2}, {63, 15}, {64, 16}, {192, 16}};
    for (size_t i = 0; i < sizeof cores_and_workers / sizeof cores_and_workers[0]; i++)
        DT_CHECK_INT(dt_affinity_workers(cores_and_workers[i][0]), cores_and_workers[i][1]);
}

/* 6 times a third, and 10 times a fifth, add up to a little less than 2. */
static void fractions_of_cores_add_up_to_whole_ones(void)
{
    dt_cpus all[5];
    machine(16, 1);
    for (int i = 0; i < 5; i++)
        all[i] = cpus("0-5");
    DT_CHECK_INT(dt_affinity_share(all, 3, 0, core_of, 0), 2);
    DT_CHECK_INT(dt_affinity_share(all, 4, 0, core_of, 0), 1); /* 1.5 are one whole core */
    for (int i = 0; i < 5; i++)
        all[i] = cpus("0-9");
    DT_CHECK_INT(dt_affinity_share(all, 5, 4, core_of, 0), 2);
    DT_CHECK_INT(dt_affinity_share(all, 5, 4, core_of, 10), 2); /* the quota is as much */
    DT_CHECK_INT(dt_affinity_share(all, 5, 4, core_of, 9.9), 1);
}

static void bound_ranks_have_their_own_cores(void)
{
    dt_cpus sets[3] = {cpus("0-5"), cpus("6-7"), cpus("6-7")};
    machine(8, 1);
    DT_CHECK_INT(dt_affinity_share(sets, 3, 0, core_of, 0), 6);
    DT_CHECK_INT(dt_affinity_share(sets, 3, 1, core_of, 0), 1);
    DT_CHECK_INT(dt_affinity_share(sets, 3, 2, core_of, 0), 1);
}

static void two_hardware_threads_count_as_one_core(void)
{
    dt_cpus sets[2] = {cpus("0-15"), cpus("0-15")};
    machine(16, 2);
    DT_CHECK_INT(dt_affinity_share(sets, 1, 0, core_of, 0), 8);
    DT_CHECK_INT(dt_affinity_share(sets, 2, 0, core_of, 0), 4);
}

static void a_quota_is_divided_by_the_ranks(void)
{
    dt_cpus sets[2] = {cpus("0-15"), cpus("0-15")};
    machine(16, 1);
    DT_CHECK_INT(dt_affinity_share(sets, 1, 0, core_of, 6.5), 6);
    DT_CHECK_INT(dt_affinity_share(sets, 2, 0, core_of, 6.5), 3);
    DT_CHECK_INT(dt_affinity_share(sets, 2, 0, core_of, 0.5), 1);
}

static void processors_beyond_1024_count(void)
{
    dt_cpus sets[2] = {cpus("1022-1025"), cpus("0-4095")};
    machine(4096, 1);
    DT_CHECK_INT(dt_affinity_share(sets, 1, 0, core_of, 0), 4);
    DT_CHECK_INT(dt_affinity_share(sets, 2, 1, core_of, 0), 4094);
}

static void each_of_more_ranks_than_cores_gets_one_core(void)
{
    dt_cpus sets[3] = {cpus("0-1"), cpus("0-1"), cpus("0-1")};
    machine(2, 1);
    for (int i = 0; i < 3; i++)
        DT_CHECK_INT(dt_affinity_share(sets, 3, i, core_of, 0), 1);
}

static void parts_cover_the_machine_once_and_keep_cores_whole(void)
{
    dt_cpus all = cpus("0-15"), part, seen = {0};
    machine(16, 2);
    for (int i = 0; i < 3; i++) {
        dt_affinity_part(&all, 3, i, core_of, &part);
        for (int cpu = 0; cpu < 16; cpu++) {
            if (!dt_cpus_has(&part, cpu))
                continue;
            DT_CHECK(!dt_cpus_has(&seen, cpu));
            DT_CHECK(dt_cpus_has(&part, (cpu + 8) % 16));
            dt_cpus_add(&seen, cpu);
        }
    }
    DT_CHECK_BYTES(&seen, &all, sizeof seen);
    dt_cpus two = cpus("0-1");
    dt_affinity_part(&two, 3, 2, core_of, &part);
    DT_CHECK_BYTES(&part, &two, sizeof part);
}

static void requested_numbers_of_threads_are_kept(void)
{
    dt_comm *comm = NULL;
    dt_error err;
    dt_affinity a;
    DT_REQUIRE(dt_comm_self_create(&comm, &err) == DT_OK);
    DT_REQUIRE(dt_affinity_plan(comm, 3, 5, &a, &err) == DT_OK);
    DT_CHECK_INT(a.n_threads, 3);
    DT_CHECK_INT(a.n_workers, 5);
    setenv("OMP_NUM_THREADS", "7", 1);
    DT_REQUIRE(dt_affinity_plan(comm, 3, 5, &a, &err) == DT_OK); /* the option counts more */
    DT_CHECK_INT(a.n_threads, 3);
    DT_REQUIRE(dt_affinity_plan(comm, 0, 0, &a, &err) == DT_OK);
    DT_CHECK_INT(a.n_threads, 7);
    DT_CHECK(a.n_cores >= 1 && a.n_workers >= 1);
    unsetenv("OMP_NUM_THREADS");
    DT_REQUIRE(dt_affinity_plan(comm, 0, 0, &a, &err) == DT_OK);
    DT_CHECK_INT(a.n_threads, a.n_cores);
    comm->ops->destroy(comm);
}

static const dt_test tests[] = {
    DT_TEST(lists_of_processors_are_parsed_and_formatted),
    DT_TEST(malformed_lists_of_processors_are_refused),
    DT_TEST(ranks_that_share_all_cores_get_equal_parts),
    DT_TEST(a_quarter_of_the_cores_decodes),
    DT_TEST(fractions_of_cores_add_up_to_whole_ones),
    DT_TEST(bound_ranks_have_their_own_cores),
    DT_TEST(two_hardware_threads_count_as_one_core),
    DT_TEST(a_quota_is_divided_by_the_ranks),
    DT_TEST(processors_beyond_1024_count),
    DT_TEST(each_of_more_ranks_than_cores_gets_one_core),
    DT_TEST(parts_cover_the_machine_once_and_keep_cores_whole),
    DT_TEST(requested_numbers_of_threads_are_kept),
};

DT_TEST_MAIN("launch/affinity", tests)
