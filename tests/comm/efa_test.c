/* EFA's devices and NCCL's plugin, in folders that look like a root file system. */
#include "comm/efa.h"

#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *root;
static int n_roots;

static void put(const char *path, const char *text)
{
    DT_REQUIRE(system(dt_test_path("mkdir -p \"$(dirname '%s/%s')\"", root, path)) == 0);
    dt_test_write_file(dt_test_path("%s/%s", root, path), text, strlen(text));
}

static void add_device(const char *name, const char *vendor)
{
    put(dt_test_path("sys/class/infiniband/%s/device/vendor", name), vendor);
}

/* A new root: an instance of this type, without devices. */
static void start(const char *type)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/root%d", dt_test_temp_dir(), n_roots++);
    root = path;
    put("sys/devices/virtual/dmi/id/product_name", type);
    unsetenv("LD_LIBRARY_PATH");
}

/* The same with four devices and their files, as a p4d.24xlarge has them. */
static void start_p4d(void)
{
    start("p4d.24xlarge\n");
    add_device("rdmap32s27", "0x1d0f\n");
    add_device("rdmap16s27", "0x1d0f\n");
    add_device("rdmap144s27", "0x1d0f\n");
    add_device("rdmap160s27", "0x1d0f\n");
    put("dev/infiniband/uverbs0", "");
}

static dt_efa read_root(dt_efa_state state)
{
    dt_efa efa;
    dt_efa_read(root, &efa);
    DT_CHECK_INT(efa.state, state);
    return efa;
}

/* What mends it, on the host n1. */
static const char *mend(dt_efa efa)
{
    static char out[500];
    snprintf(efa.host, sizeof efa.host, "n1");
    dt_efa_mend(&efa, out, sizeof out);
    DT_CHECK(strlen(out) < sizeof out - 1);
    return out;
}

static void a_host_with_all_of_it_is_ready(void)
{
    start_p4d();
    put("usr/lib/x86_64-linux-gnu/libnccl-net.so", "");
    dt_efa efa = read_root(DT_EFA_READY);
    DT_CHECK_STR(efa.machine_type, "p4d.24xlarge");
    DT_CHECK_INT(efa.n_devices, 4);
    DT_CHECK_STR(efa.device, "rdmap144s27");
    DT_CHECK_STR(efa.plugin, "/usr/lib/x86_64-linux-gnu");
    DT_CHECK_CONTAINS(mend(efa), "security group");
    DT_CHECK_CONTAINS(mend(efa), "fi_info -p efa");
}

static void cards_of_others_are_no_efa(void)
{
    start("p4d.24xlarge\n");
    add_device("mlx5_0", "0x15b3\n");
    put("dev/infiniband/uverbs0", "");
    DT_CHECK_INT(read_root(DT_EFA_NO_DEVICE).n_devices, 0);
    put("sys/class/infiniband/efa_0/node_type", "4: usnic\n"); /* older drivers; no vendor to be read */
    DT_CHECK_INT(read_root(DT_EFA_NO_PLUGIN).n_devices, 1);
}

static void a_missing_device_is_mended_at_the_instance(void)
{
    start("p5.48xlarge\n");
    const char *line = mend(read_root(DT_EFA_NO_DEVICE));
    DT_CHECK_CONTAINS(line, "n1 has no EFA device");
    DT_CHECK_CONTAINS(line, "`Efa: {Enabled: true}`");
    DT_CHECK_CONTAINS(line, "`InterfaceType=efa`");
    DT_CHECK_CONTAINS(line, "`sudo modprobe efa`");
}

static void a_container_without_the_files_is_started_with_them(void)
{
    start_p4d();
    DT_REQUIRE(remove(dt_test_path("%s/dev/infiniband/uverbs0", root)) == 0);
    const char *line = mend(read_root(DT_EFA_NO_FILES));
    DT_CHECK_CONTAINS(line, "`--device=/dev/infiniband --ulimit memlock=-1`");
    put("dev/infiniband/rdma_cm", "");
    (void)read_root(DT_EFA_NO_FILES);
}

static void a_plugin_is_found_where_the_linker_looks(void)
{
    start_p4d();
    DT_CHECK_CONTAINS(mend(read_root(DT_EFA_NO_PLUGIN)), "aws-ofi-nccl (libnccl-net.so)");
    put("opt/amazon/ofi-nccl/lib/x86_64-linux-gnu/libnccl-net-ofi.so", "");
    DT_CHECK_CONTAINS(mend(read_root(DT_EFA_PLUGIN_LOST)),
                      "`export LD_LIBRARY_PATH=/opt/amazon/ofi-nccl/lib/x86_64-linux-gnu:/opt/amazon/efa/lib:"
                      "$LD_LIBRARY_PATH`");
    setenv("LD_LIBRARY_PATH", "/nowhere::/opt/amazon/ofi-nccl/lib/x86_64-linux-gnu:/opt", 1);
    DT_CHECK_STR(read_root(DT_EFA_READY).plugin, "/opt/amazon/ofi-nccl/lib/x86_64-linux-gnu");
    setenv("LD_LIBRARY_PATH", ":", 1);
    (void)read_root(DT_EFA_PLUGIN_LOST);
    unsetenv("LD_LIBRARY_PATH");
}

static void a_variable_that_chooses_another_network_is_named(void)
{
    static const char *const off[][2] = {
        {"NCCL_NET", "Socket"}, {"NCCL_NET_PLUGIN", "none"}, {"FI_PROVIDER", "tcp"}};
    start_p4d();
    put("usr/lib64/libnccl-net.so", "");
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        setenv(off[i][0], off[i][1], 1);
        const char *line = mend(read_root(DT_EFA_SWITCHED_OFF));
        DT_CHECK_CONTAINS(line, dt_test_path("%s=%s on n1", off[i][0], off[i][1]));
        DT_CHECK_CONTAINS(line, dt_test_path("`unset %s`", off[i][0]));
        unsetenv(off[i][0]);
    }
    setenv("FI_PROVIDER", "efa", 1);
    setenv("NCCL_NET", "AWS Libfabric", 1);
    (void)read_root(DT_EFA_READY);
    unsetenv("FI_PROVIDER");
    unsetenv("NCCL_NET");
}

static void instances_that_are_chosen_for_efa_are_known(void)
{
    static const char *const with[] = {"p4d.24xlarge",  "p4de.24xlarge", "p5.48xlarge",     "p5e.48xlarge",
                                       "p5en.48xlarge", "p3dn.24xlarge", "p6-b200.48xlarge"};
    static const char *const without[] = {"g5.xlarge", "p3.2xlarge", "p4", "", "Standard", "hpc7a.96xlarge"};
    for (size_t i = 0; i < sizeof with / sizeof with[0]; i++)
        DT_CHECK_MSG(dt_efa_is_expected(with[i]), "%s", with[i]);
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++)
        DT_CHECK_MSG(!dt_efa_is_expected(without[i]), "%s", without[i]);
}

static void a_host_that_says_nothing_has_nothing(void)
{
    root = "/nowhere";
    DT_CHECK_STR(read_root(DT_EFA_NO_DEVICE).machine_type, "");
    root = "";
    dt_efa efa;
    dt_efa_read(root, &efa); /* this machine's: any result */
    DT_CHECK(efa.state != DT_EFA_UNKNOWN);
}

static const dt_test tests[] = {
    DT_TEST(a_host_with_all_of_it_is_ready),
    DT_TEST(cards_of_others_are_no_efa),
    DT_TEST(a_missing_device_is_mended_at_the_instance),
    DT_TEST(a_container_without_the_files_is_started_with_them),
    DT_TEST(a_plugin_is_found_where_the_linker_looks),
    DT_TEST(a_variable_that_chooses_another_network_is_named),
    DT_TEST(instances_that_are_chosen_for_efa_are_known),
    DT_TEST(a_host_that_says_nothing_has_nothing),
};

DT_TEST_MAIN("comm/efa", tests)
