/* Shares of a host's cores among its ranks. */
#include "config.h"

#include "tests/testing.h"

#include "comm/self.h"
#include "launch/hardware/affinity.h"
#include "launch/hardware/machine.h"
#include "tests/fakes/fake_comm.h"
#include "tests/launch/hardware/topology_kit.h"

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

/* A p4d.24xlarge has 6 cores with two hardware threads for each GPU. */
static void cores_beside_a_gpu_decode_but_one(void)
{
    DT_CHECK_INT(dt_affinity_gpu_workers(6, 2, 0), 10);
    DT_CHECK_INT(dt_affinity_gpu_workers(2, 2, 0), 2); /* g5.xlarge */
    DT_CHECK_INT(dt_affinity_gpu_workers(1, 2, 0), 1);
    DT_CHECK_INT(dt_affinity_gpu_workers(8, 1, 0), 7);
    DT_CHECK_INT(dt_affinity_gpu_workers(48, 2, 0), 32);
    DT_CHECK_INT(dt_affinity_gpu_workers(6, 2, 6.5), 5); /* 6 hardware threads' time, not 12 */
    DT_CHECK_INT(dt_affinity_gpu_workers(1, 2, 0.5), 1);
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
    const dt_affinity_options three = {.threads = 3, .workers = 5}, none = {0};
    DT_REQUIRE(dt_affinity_plan(comm, &three, &a, &err) == DT_OK);
    DT_CHECK_INT(a.n_threads, 3);
    DT_CHECK_INT(a.n_workers, 5);
    setenv("OMP_NUM_THREADS", "7", 1);
    DT_REQUIRE(dt_affinity_plan(comm, &three, &a, &err) == DT_OK); /* the option counts more */
    DT_CHECK_INT(a.n_threads, 3);
    DT_REQUIRE(dt_affinity_plan(comm, &none, &a, &err) == DT_OK);
    DT_CHECK_INT(a.n_threads, 7);
    DT_CHECK(a.n_cores >= 1 && a.n_workers >= 1);
    unsetenv("OMP_NUM_THREADS");
    DT_REQUIRE(dt_affinity_plan(comm, &none, &a, &err) == DT_OK);
    DT_CHECK_INT(a.n_threads, a.n_cores);
    comm->ops->destroy(comm);
}

/* A job of containers has a group for each rank, or for some of them together. */
static void a_quota_is_divided_by_the_ranks_of_its_group(void)
{
    static const uint64_t groups[] = {7, 7, 7, 9};
    dt_cpus sets[4];
    machine(16, 1);
    for (int i = 0; i < 4; i++)
        sets[i] = cpus("0-15");
    DT_CHECK_CLOSE(dt_affinity_quota(groups, 4, 0, 6), 8, 1e-9); /* a third of 6 is a quarter of 8 */
    DT_CHECK_CLOSE(dt_affinity_quota(groups, 4, 3, 2), 8, 1e-9);
    DT_CHECK_CLOSE(dt_affinity_quota(groups, 4, 3, 0), 0, 0);
    DT_CHECK_INT(dt_affinity_share(sets, 4, 0, core_of, dt_affinity_quota(groups, 4, 0, 6)), 2);
    DT_CHECK_INT(dt_affinity_share(sets, 4, 3, core_of, dt_affinity_quota(groups, 4, 3, 3)), 3);
    DT_CHECK_INT(dt_affinity_share(sets, 4, 3, core_of, dt_affinity_quota(groups, 4, 3, 0)), 4);
}

/* -- ranks that run on this machine ---------------------------------------------------------------------- */

/* Ranks are threads, so each has its own processors. */
typedef struct placed {
    dt_affinity_options options[2];
    const char *before[2]; /* where the launcher puts the rank; NULL: on both processors */
    dt_affinity got[2];
    dt_cpus real[2]; /* the rank's, asked of the kernel after the plan */
} placed;

static void place_rank(dt_comm *comm, void *context)
{
    placed *p = context;
    dt_error err = {0};
    const dt_cpus before = cpus(p->before[comm->rank] ? p->before[comm->rank] : "0-1");
    DT_CHECK(dt_cpus_bind(&before));
    DT_CHECK_MSG(dt_affinity_plan(comm, &p->options[comm->rank], &p->got[comm->rank], &err) == DT_OK, "%s",
                 err.message);
    (void)dt_cpus_read(0, &p->real[comm->rank]);
}

/* A host of two sockets with one core each, which are this machine's first two processors. The GPU of 10 is
 * near socket 0, that of 90 near socket 1. */
static const char *two_sockets(void)
{
    static const topology_kit_device devices[] = {
        {0, "0000:10:1c.0", NULL}, {1, "0000:90:1b.0", "efa_0"}, {1, "0000:90:1c.0", NULL}};
    return topology_kit_write("pack:2 [numa] core:1 pu:1", devices, 3);
}

#ifdef HAVE_HWLOC
/* Whether this process may use processors 0 and 1, on two cores. */
static bool has_two_processors(void)
{
    dt_cpus own;
    (void)dt_cpus_read(0, &own);
    return dt_cpus_has(&own, 0) && dt_cpus_has(&own, 1) && dt_machine_core_of(1) == 1;
}

#    define NEED_HWLOC_AND_PROCESSORS                                                                        \
        if (!has_two_processors())                                                                           \
        DT_SKIP("this process may not use processors 0 and 1, or they are on one core")
#else
#    define NEED_HWLOC_AND_PROCESSORS DT_SKIP("hwloc is not built in")
#endif

static void check_place(const placed *p, int rank, const char *expected, const char *workers,
                        const char *near)
{
    const dt_cpus set = cpus(expected), of_workers = cpus(workers);
    DT_CHECK_BYTES(&p->got[rank].cpus, &set, sizeof set);
    DT_CHECK_BYTES(&p->real[rank], &set, sizeof set);
    DT_CHECK_BYTES(&p->got[rank].worker_cpus, &of_workers, sizeof of_workers);
    DT_CHECK_STR(p->got[rank].near, near);
    DT_CHECK_INT(p->got[rank].n_cores, dt_cpus_count(&of_workers));
}

static void ranks_go_near_their_gpus(void)
{
    NEED_HWLOC_AND_PROCESSORS;
    const char *host = two_sockets();
    placed p = {
        .options = {{.gpu = "0000:90:1C.0", .topology = host}, {.gpu = "0000:10:1C.0", .topology = host}}};
    fake_comm_run_on_hosts(2, 2, place_rank, &p);
    check_place(&p, 0, "1", "1", "socket 1");
    check_place(&p, 1, "0", "0", "socket 0");
    DT_CHECK(!p.got[0].is_far && !p.got[0].lifted_the_default);
    fake_comm_run_on_hosts(2, 1, place_rank, &p); /* each alone on its host: the rest decodes, too */
    check_place(&p, 0, "1", "0-1", "socket 1, efa_0");
    check_place(&p, 1, "0", "0-1", "socket 0, efa_0");
}

static void processors_that_somebody_has_chosen_stay(void)
{
    NEED_HWLOC_AND_PROCESSORS;
    const char *host = two_sockets();
    placed p = {
        .options = {{.gpu = "0000:90:1C.0", .topology = host}, {.gpu = "0000:10:1C.0", .topology = host}},
        .before = {"0", NULL}};
    fake_comm_run_on_hosts(2, 2, place_rank, &p);
    DT_CHECK_STR(p.got[0].near, "socket 0");
    DT_CHECK(p.got[0].is_far && !p.got[1].is_far);
    for (int rank = 0; rank < 2; rank++) {
        const dt_cpus expected = cpus(rank == 0 ? "0" : "0-1");
        DT_CHECK_BYTES(&p.real[rank], &expected, sizeof expected);
    }
}

static void bind_none_leaves_the_affinity_alone(void)
{
    NEED_HWLOC_AND_PROCESSORS;
    placed p = {.options = {{.leaves_binding = true}, {.leaves_binding = true}}};
    fake_comm_run_on_hosts(2, 2, place_rank, &p);
    for (int rank = 0; rank < 2; rank++) {
        const dt_cpus both = cpus("0-1");
        DT_CHECK_BYTES(&p.real[rank], &both, sizeof both);
        DT_CHECK_BYTES(&p.got[rank].cpus, &both, sizeof both);
        DT_CHECK_INT(p.got[rank].n_cores, 1);
    }
    p.options[0].leaves_binding = p.options[1].leaves_binding = false; /* the opposite */
    p.options[0].topology = p.options[1].topology = two_sockets();
    fake_comm_run_on_hosts(2, 2, place_rank, &p);
    check_place(&p, 0, "0", "0", "socket 0");
    check_place(&p, 1, "1", "1", "socket 1");
}

static const dt_test tests[] = {
    DT_TEST(lists_of_processors_are_parsed_and_formatted),
    DT_TEST(malformed_lists_of_processors_are_refused),
    DT_TEST(ranks_that_share_all_cores_get_equal_parts),
    DT_TEST(a_quarter_of_the_cores_decodes),
    DT_TEST(cores_beside_a_gpu_decode_but_one),
    DT_TEST(fractions_of_cores_add_up_to_whole_ones),
    DT_TEST(bound_ranks_have_their_own_cores),
    DT_TEST(two_hardware_threads_count_as_one_core),
    DT_TEST(a_quota_is_divided_by_the_ranks),
    DT_TEST(processors_beyond_1024_count),
    DT_TEST(each_of_more_ranks_than_cores_gets_one_core),
    DT_TEST(parts_cover_the_machine_once_and_keep_cores_whole),
    DT_TEST(requested_numbers_of_threads_are_kept),
    DT_TEST(a_quota_is_divided_by_the_ranks_of_its_group),
    DT_TEST(ranks_go_near_their_gpus),
    DT_TEST(processors_that_somebody_has_chosen_stay),
    DT_TEST(bind_none_leaves_the_affinity_alone),
};

DT_TEST_MAIN("launch/affinity", tests)
