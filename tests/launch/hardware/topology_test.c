/* Where processors, GPUs and network cards are, on hosts that this machine is not. */
#include "config.h"

#include "launch/hardware/topology.h"

#include "launch/hardware/machine.h"
#include "tests/launch/hardware/topology_kit.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

#ifdef HAVE_HWLOC
static const char *describe(const dt_topology *t, const char *list)
{
    static char out[64];
    const dt_cpus cpus = topology_kit_cpus(list);
    dt_topology_describe(t, &cpus, out, sizeof out);
    return out;
}

static const char *near(const dt_topology *t, const char *address)
{
    static char out[64];
    dt_cpus cpus;
    const bool found = dt_topology_near(t, address, &cpus);
    dt_machine_format_cpus(&cpus, out, sizeof out);
    DT_CHECK(found == (out[0] != '\0'));
    return out;
}

static const char *card(const dt_topology *t, const char *address, const char *list)
{
    static char out[32];
    const dt_cpus cpus = topology_kit_cpus(list);
    dt_topology_card(t, address, &cpus, out, sizeof out);
    return out;
}

static void a_gpu_is_near_the_processors_of_its_socket(void)
{
    dt_topology *t =
        topology_kit_open(topology_kit_write(TOPOLOGY_KIT_P4D, topology_kit_p4d, TOPOLOGY_KIT_P4D_DEVICES));
    DT_CHECK_INT(t->n_sockets, 2);
    DT_CHECK_INT(t->n_numa, 2);
    DT_CHECK_INT(t->n_cores, 48);
    DT_CHECK_INT(t->core_of[0], t->core_of[48]);
    DT_CHECK(t->core_of[0] != t->core_of[1]);
    DT_CHECK_INT(t->core_of[96], -1);
    DT_CHECK_STR(near(t, "0000:10:1c.0"), "0-23,48-71");
    DT_CHECK_STR(near(t, "0000:A0:1D.0"), "24-47,72-95"); /* as CUDA writes it */
    DT_CHECK_STR(near(t, "0000:ff:1d.0"), "");
    DT_CHECK_STR(near(t, "nonsense"), "");
    DT_CHECK_STR(near(t, ""), "");
    dt_topology_close(t);
}

static void devices_whose_place_is_not_known_are_near_nothing(void)
{
    static const topology_kit_device devices[] = {
        {1, "0000:10:1c.0", NULL}, {-1, "0000:20:1b.0", "efa_0"}, {-1, "0000:20:1c.0", NULL}};
    dt_topology *t = topology_kit_open(topology_kit_write(TOPOLOGY_KIT_P4D, devices, 3));
    DT_CHECK_STR(near(t, "0000:10:1c.0"), "24-47,72-95");
    DT_CHECK_STR(near(t, "0000:20:1c.0"), "");
    DT_CHECK_STR(card(t, "0000:20:1c.0", ""), "");
    dt_topology_close(t);
}

static void the_card_of_the_gpus_bus_is_the_nearest(void)
{
    dt_topology *t =
        topology_kit_open(topology_kit_write(TOPOLOGY_KIT_P4D, topology_kit_p4d, TOPOLOGY_KIT_P4D_DEVICES));
    DT_CHECK_STR(card(t, "0000:10:1d.0", ""), "rdmap16s27");
    DT_CHECK_STR(card(t, "0000:20:1c.0", ""), "rdmap32s27");
    DT_CHECK_STR(card(t, "0000:a0:1c.0", ""), "rdmap160s27");
    DT_CHECK_STR(card(t, "", "30-35"), "rdmap144s27"); /* without a GPU: one of the socket's */
    DT_CHECK_STR(card(t, "", ""), "");
    dt_topology_close(t);
}

static void an_efa_counts_before_a_card_of_the_kernels(void)
{
    static const topology_kit_device devices[] = {
        {0, "0000:10:1a.0", "eth0"}, {0, "0000:10:1c.0", NULL}, {0, "0000:20:1b.0", "efa_0"}};
    dt_topology *t = topology_kit_open(topology_kit_write(TOPOLOGY_KIT_P4D, devices, 3));
    DT_CHECK_STR(card(t, "0000:10:1c.0", ""), "efa_0");
    dt_topology_close(t);
    t = topology_kit_open(topology_kit_write(TOPOLOGY_KIT_P4D, devices, 2));
    DT_CHECK_STR(card(t, "0000:10:1c.0", ""), "eth0");
    dt_topology_close(t);
}

static void only_what_a_host_has_several_times_is_named(void)
{
    dt_topology *t = topology_kit_open(TOPOLOGY_KIT_P4D);
    DT_CHECK_STR(describe(t, "0-5,48-53"), "socket 0");
    DT_CHECK_STR(describe(t, "24-29"), "socket 1");
    DT_CHECK_STR(describe(t, "20-29"), "socket 0-1");
    DT_CHECK_STR(describe(t, "0-95"), "");
    dt_topology_close(t);
    t = topology_kit_open(TOPOLOGY_KIT_HPC7A);
    DT_CHECK_INT(t->n_cores, 192);
    DT_CHECK_STR(describe(t, "0-47"), "socket 0, NUMA 0, L3 0-5");
    DT_CHECK_STR(describe(t, "184-191"), "socket 1, NUMA 3, L3 23");
    DT_CHECK_STR(describe(t, ""), "");
    dt_topology_close(t);
    t = topology_kit_open(TOPOLOGY_KIT_G5);
    DT_CHECK_STR(describe(t, "0,2"), "");
    dt_topology_close(t);
    t = topology_kit_open("pu:3"); /* neither cores nor sockets */
    DT_CHECK_INT(t->n_cores, 3);
    DT_CHECK_STR(describe(t, "0"), "");
    dt_topology_close(t);
}

static void this_host_has_the_processors_that_the_kernel_shows(void)
{
    dt_topology *t = topology_kit_open(NULL);
    dt_cpus cpus;
    (void)dt_cpus_read(0, &cpus);
    for (int cpu = dt_cpus_next(&cpus, 0); cpu >= 0; cpu = dt_cpus_next(&cpus, cpu + 1)) {
        DT_CHECK_MSG(t->core_of[cpu] >= 0, "processor %d", cpu);
        const int first = dt_machine_core_of(cpu);
        DT_CHECK_MSG(!dt_cpus_has(&cpus, first) || t->core_of[first] == t->core_of[cpu], "processor %d", cpu);
    }
    dt_topology_close(t);
}

static void a_host_that_cannot_be_read_is_an_error(void)
{
    dt_topology *t = NULL;
    dt_error err = {0};
    const char *path = dt_test_path("%s/broken.xml", dt_test_temp_dir());
    dt_test_write_file(path, "<topology", 9);
    DT_CHECK_INT(dt_topology_open(path, &t, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "broken.xml");
    DT_CHECK_INT(dt_topology_open("nonsense:2", &t, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK(t == NULL);
    dt_topology_close(t);
}

static const dt_test tests[] = {
    DT_TEST(a_gpu_is_near_the_processors_of_its_socket),
    DT_TEST(devices_whose_place_is_not_known_are_near_nothing),
    DT_TEST(the_card_of_the_gpus_bus_is_the_nearest),
    DT_TEST(an_efa_counts_before_a_card_of_the_kernels),
    DT_TEST(only_what_a_host_has_several_times_is_named),
    DT_TEST(this_host_has_the_processors_that_the_kernel_shows),
    DT_TEST(a_host_that_cannot_be_read_is_an_error),
};
#else
static void a_build_without_hwloc_says_so(void)
{
    dt_topology *t = NULL;
    dt_error err = {0};
    DT_CHECK_INT(dt_topology_open(NULL, &t, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "this build has no hwloc: configure ");
    dt_topology_close(t);
}

static const dt_test tests[] = {DT_TEST(a_build_without_hwloc_says_so)};
#endif

DT_TEST_MAIN("launch/hardware/topology", tests)
