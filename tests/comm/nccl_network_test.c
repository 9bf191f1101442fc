/* The network that NCCL uses, read from its log. */
#include "config.h"

#include "comm/nccl/api.h"
#include "comm/nccl/log.h"
#include "comm/nccl/nccl.h"
#include "comm/nccl/network.h"
#include "comm/self.h"
#include "core/base/alloc.h"
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_gpu.h"
#include "tests/fakes/fake_nccl.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE "ip-10-0-0-1:3021:3040 [0] NCCL INFO "

static const char efa[] = LINE
    "Bootstrap : Using ens32:10.0.0.1<0>\n" LINE "NET/Plugin: Loaded net plugin AWS Libfabric (v8)\n" LINE
    "NET/OFI Initializing aws-ofi-nccl 1.9.1-aws\n" LINE
    "NET/OFI Selected Provider is efa (found 4 nics)\n" LINE "Using network AWS Libfabric\n" LINE
    "Pattern 4, crossNic 0, nChannels 8, bw 15.000000/12.500000, type NVL/PXB, sameChannels 1\n" LINE
    "Channel 00/0 : 7[7] -> 8[0] [receive] via NET/AWS Libfabric/0/GDRDMA\n" LINE
    "Channel 00/0 : 0[0] -> 1[1] via P2P/IPC\n" LINE "Connected all rings\n";

static const char sockets[] =
    LINE "NET/Plugin: No plugin found (libnccl-net.so)\n" LINE "NET/IB : No device found.\n" LINE
         "NET/Socket : Using [0]ens5:10.0.0.1<0> [1]ens6:10.0.1.1<0>\n" LINE "Using network Socket\n" LINE
         "Pattern 4, crossNic 0, nChannels 1, bw 6.000000/5.000000, type PHB/PHB, sameChannels 1\n" LINE
         "Channel 00/0 : 1[1] -> 0[0] via SHM/direct/direct\n" LINE
         "Channel 00/0 : 3[1] -> 0[0] [receive] via NET/Socket/0\n";

static const char infiniband[] = LINE
    "NET/IB : Using [0]mlx5_0:1/IB [1]mlx5_1:1/IB [RO]; OOB eth0:10.0.0.1<0>\n" LINE
    "Initialized NET plugin IB\n" LINE "Assigned NET plugin IB to comm\n" LINE "Connected NVLS tree\n" LINE
    "Pattern 4, crossNic 0, nChannels 16, bw 40.000000/40.000000, type NVL/PIX, sameChannels 1\n" LINE
    "Channel 00/0 : 0[0] -> 1[1] via P2P/CUMEM/read\n" LINE
    "Channel 02/0 : 8[0] -> 0[0] [send] via NET/IB/1(2)/GDRDMA\n";

static const char tcp_by_ofi[] =
    LINE "NET/OFI Selected provider is tcp;ofi_rxm, fabric is 10.0.0.0/16 (found 1 nics)\n" LINE
         "Assigned NET plugin AWS Libfabric to comm\n";

static void check(const char *log, dt_nccl_net net, const char *name, const char *description)
{
    dt_nccl_network n;
    char out[128];
    dt_nccl_network_parse(log, "no/such/maps", &n);
    DT_CHECK_INT(n.net, net);
    DT_CHECK_STR(n.name, name);
    dt_nccl_network_describe(&n, true, true, out, sizeof out);
    DT_CHECK_STR(out, description);
}

static void logs_of_all_networks_are_read(void)
{
    check(efa, DT_NET_EFA, "AWS Libfabric", "EFA with GPUDirect between hosts, NVLink within");
    check(sockets, DT_NET_SOCKETS, "Socket", "sockets (ens5) between hosts, shared memory within");
    check(infiniband, DT_NET_INFINIBAND, "IB",
          "InfiniBand (mlx5_0) with GPUDirect between hosts, NVLink with NVLS within");
    check(tcp_by_ofi, DT_NET_LIBFABRIC, "AWS Libfabric",
          "libfabric without EFA (tcp;ofi_rxm) between hosts, ways that NCCL_DEBUG=INFO shows within");
    check("no line of NCCL\n\nUsing", DT_NET_UNKNOWN, "",
          "a network that NCCL_DEBUG=INFO shows between hosts, ways that NCCL_DEBUG=INFO shows within");
    check(NULL, DT_NET_UNKNOWN, "",
          "a network that NCCL_DEBUG=INFO shows between hosts, ways that NCCL_DEBUG=INFO shows within");
    check(LINE "Using network Something New\n", DT_NET_OTHER, "Something New",
          "Something New between hosts, ways that NCCL_DEBUG=INFO shows within");
}

static void the_description_depends_on_where_ranks_are(void)
{
    dt_nccl_network n;
    char out[128];
    dt_nccl_network_parse(efa, "no/such/maps", &n);
    dt_nccl_network_describe(&n, true, false, out, sizeof out);
    DT_CHECK_STR(out, "EFA with GPUDirect between hosts");
    dt_nccl_network_describe(&n, false, true, out, sizeof out);
    DT_CHECK_STR(out, "NVLink");
    dt_nccl_network_describe(&n, false, false, out, sizeof out);
    DT_CHECK_STR(out, "EFA with GPUDirect if there were other hosts");
}

static void long_and_truncated_lines_are_parsed(void)
{
    static char text[5000];
    dt_nccl_network n;
    memset(text, 'x', sizeof text - 1);
    memcpy(text, "Using network ", 14);
    dt_nccl_network_parse(text, "no/such/maps", &n);
    DT_CHECK_INT(strlen(n.name), sizeof n.name - 1);
    for (size_t cut = 0; cut < sizeof infiniband; cut++) {
        snprintf(text, sizeof text, "%.*s", (int)cut, infiniband);
        dt_nccl_network_parse(text, "no/such/maps", &n);
    }
    DT_CHECK_INT(n.net, DT_NET_INFINIBAND);
}

static void join_keeps_the_worst_network(void)
{
    dt_nccl_network all, one;
    char out[128];
    dt_nccl_network_parse(efa, "no/such/maps", &all);
    dt_nccl_network_parse(sockets, "no/such/maps", &one);
    dt_nccl_network_join(&all, &one);
    DT_CHECK_INT(all.net, DT_NET_SOCKETS);
    dt_nccl_network_describe(&all, true, false, out, sizeof out);
    DT_CHECK_STR(out, "sockets (ens5) between hosts");
    dt_nccl_network_parse(NULL, "no/such/maps", &one);
    dt_nccl_network_join(&all, &one);
    DT_CHECK_INT(all.net, DT_NET_SOCKETS);
}

static void dump(const char *path, const char *content)
{
    FILE *f = fopen(path, "w");
    DT_REQUIRE(f != NULL);
    fputs(content, f);
    fclose(f);
}

/* The advice for a machine of this type whose EFA is in that state; NULL: none. */
static const char *advice_for(dt_nccl_network n, const char *type, dt_efa_state state)
{
    static char out[800];
    n.efa = (dt_efa){.state = state, .n_devices = 4, .host = "n2"};
    snprintf(n.efa.machine_type, sizeof n.efa.machine_type, "%s", type);
    const bool advised = dt_nccl_network_advice(&n, out, sizeof out);
    DT_CHECK(!advised || strlen(out) < sizeof out - 1);
    return advised ? out : NULL;
}

static void machines_that_do_not_use_their_efa_get_a_warning(void)
{
    dt_nccl_network n;
    dt_nccl_network_parse(sockets, "no/such/maps", &n);
    const char *out = advice_for(n, "p4d.24xlarge", DT_EFA_READY);
    DT_CHECK_CONTAINS(out,
                      "EFA is not used: this is a p4d.24xlarge, and NCCL uses sockets (ens5) between hosts");
    DT_CHECK_CONTAINS(out, "libnccl-net.so");
    DT_CHECK_CONTAINS(out, "fi_info -p efa");
    DT_CHECK_CONTAINS(advice_for(n, "p4d.24xlarge", DT_EFA_NO_DEVICE), "n2 has no EFA device");
    DT_CHECK_CONTAINS(advice_for(n, "p4d.24xlarge", DT_EFA_PLUGIN_LOST), "LD_LIBRARY_PATH");
    DT_CHECK(advice_for(n, "p5.48xlarge", DT_EFA_UNKNOWN) != NULL);
    DT_CHECK(advice_for(n, "p4de.24xlarge", DT_EFA_UNKNOWN) != NULL);
    DT_CHECK(advice_for(n, "g5.xlarge", DT_EFA_NO_DEVICE) == NULL);
    DT_CHECK(advice_for(n, "", DT_EFA_NO_DEVICE) == NULL);
    dt_nccl_network_parse(tcp_by_ofi, "no/such/maps", &n);
    DT_CHECK_CONTAINS(advice_for(n, "p5en.48xlarge", DT_EFA_READY), "libfabric without EFA (tcp;ofi_rxm)");
    dt_nccl_network_parse(efa, "no/such/maps", &n);
    DT_CHECK(advice_for(n, "p4d.24xlarge", DT_EFA_READY) == NULL);
    dt_nccl_network_parse(NULL, "no/such/maps", &n); /* no log: the user has set NCCL_DEBUG and reads it */
    DT_CHECK(advice_for(n, "p4d.24xlarge", DT_EFA_READY) == NULL);
    DT_CHECK(advice_for(n, "p4d.24xlarge", DT_EFA_NO_PLUGIN) == NULL);
    DT_CHECK(advice_for(n, "p4d.24xlarge", DT_EFA_NO_DEVICE) != NULL);
}

static void the_host_that_lacks_the_most_is_named(void)
{
    dt_nccl_network all = {.efa = {.state = DT_EFA_READY, .host = "n1"}},
                    one = {.efa = {.state = DT_EFA_NO_FILES, .host = "n2"}};
    dt_nccl_network_join(&all, &one);
    DT_CHECK_STR(all.efa.host, "n2");
    one.efa = (dt_efa){.state = DT_EFA_NO_PLUGIN, .host = "n3"};
    dt_nccl_network_join(&all, &one);
    DT_CHECK_STR(all.efa.host, "n2");
}

static void a_missing_plugin_is_detected_without_a_log(void)
{
    dt_nccl_network n;
    dump("maps", "7f00-7f01 r-xp 00000000 08:01 12 /opt/amazon/efa/lib/libfabric.so.1\n7f01-7f02 r-xp "
                 "00000000 08:01 13 /usr/lib/libnccl.so.2\n");
    dt_nccl_network_parse(NULL, "maps", &n);
    DT_CHECK_INT(n.net, DT_NET_UNKNOWN);
    DT_CHECK_CONTAINS(advice_for(n, "p4d.24xlarge", DT_EFA_READY),
                      "NCCL uses a network of its own that NCCL_DEBUG=INFO shows between hosts");
    DT_CHECK(advice_for(n, "g5.xlarge", DT_EFA_READY) == NULL);
    dump("maps", "7f00-7f01 r-xp 00000000 08:01 12 /opt/amazon/ofi-nccl/lib/libnccl-net-ofi.so\n");
    dt_nccl_network_parse(NULL, "maps", &n);
    DT_CHECK(advice_for(n, "p4d.24xlarge", DT_EFA_READY) == NULL);
    unlink("maps");
    dt_nccl_network_parse(efa, NULL, &n); /* a log overrides the libraries */
    DT_CHECK(!n.no_plugin);
    dt_nccl_network_parse(NULL, NULL, &n); /* this process */
    DT_CHECK(n.no_plugin);
}

static const char *const variables[] = {"NCCL_DEBUG", "NCCL_DEBUG_SUBSYS", "NCCL_DEBUG_FILE"};

static void the_users_settings_are_kept(void)
{
    dt_nccl_log log;
    for (int i = 0; i < 3; i++) {
        setenv(variables[i], "mine", 1);
        dt_nccl_log_begin(&log);
        for (int k = 0; k < 3; k++)
            DT_CHECK_STR(getenv(variables[k]), k == i ? "mine" : NULL);
        DT_CHECK(dt_nccl_log_end(&log) == NULL);
        dt_nccl_log_close(&log);
        DT_CHECK_STR(getenv(variables[i]), "mine");
        unsetenv(variables[i]);
    }
    dump("nccl.conf", "NCCL_IB_HCA=mlx5\n NCCL_DEBUG=WARN\n"); /* and those in a file */
    setenv("NCCL_CONF_FILE", "nccl.conf", 1);
    dt_nccl_log_begin(&log);
    DT_CHECK(getenv("NCCL_DEBUG") == NULL);
    DT_CHECK(dt_nccl_log_end(&log) == NULL);
    dt_nccl_log_close(&log);
    unsetenv("NCCL_CONF_FILE");
    unlink("nccl.conf");
}

static void the_last_warnings_of_the_log_are_printed(void)
{
    dt_nccl_log log;
    setenv("HOME", "/nonexistent", 1);
    dt_nccl_log_begin(&log);
    FILE *f = fopen(getenv("NCCL_DEBUG_FILE"), "w"); /* as NCCL opens it */
    DT_REQUIRE(f != NULL);
    fputs("h:1:1 [0] NCCL INFO Using network Socket\n", f);
    fflush(f);
    char *text = dt_nccl_log_end(&log);
    DT_CHECK_STR(text, "h:1:1 [0] NCCL INFO Using network Socket\n");
    dt_free(text);
    captured_log_begin(DT_LOG_WARN);
    dt_nccl_log_warnings(&log);
    DT_CHECK_INT(captured_log_lines(), 0);
    for (int i = 1; i <= 7; i++) /* after the start, too */
        fprintf(f, "\n[2026-01-01] h:1:1 [0] net.cc:%d NCCL WARN failure %d\nh:1:1 [0] NCCL INFO ok\n", i, i);
    fflush(f);
    dt_nccl_log_warnings(&log);
    captured_log_end();
    DT_CHECK_INT(captured_log_lines(), DT_NCCL_LOG_WARNINGS);
    DT_CHECK_CONTAINS(captured_log_text(), "NCCL's log: failure 3\n");
    DT_CHECK_CONTAINS(captured_log_text(), "NCCL's log: failure 7\n");
    DT_CHECK(strstr(captured_log_text(), "failure 2") == NULL);
    fclose(f);
    dt_nccl_log_close(&log);
    dt_nccl_log_warnings(&log); /* there is none */
}

/* All of comm/nccl/library.c that can be tested without a GPU. */
static void nccl_reports_that_there_is_no_gpu(void)
{
    char name[64];
    const dt_nccl_api *nccl = dt_nccl_library(NULL);
    dt_comm *host = NULL, *comm = NULL;
    dt_error err = {0};
    if (!nccl)
        DT_SKIP("NCCL is not built in");
    if (nccl->gpu_name(name, sizeof name) == 0)
        DT_SKIP("there is a GPU");
    dt_device *device = fake_gpu_create();
    DT_REQUIRE(dt_comm_self_create(&host, &err) == DT_OK);
    DT_CHECK_INT(dt_comm_nccl_create(host, device, NULL, &comm, &err), DT_ERR_DEVICE);
    DT_CHECK_CONTAINS(err.message, "GPU");
    dt_nccl_api with_name = *nccl;
    with_name.gpu_name = fake_nccl()->gpu_name;
    DT_CHECK_INT(dt_comm_nccl_create(host, device, &(dt_comm_nccl_options){.api = &with_name}, &comm, &err),
                 DT_ERR_COMM);
    DT_CHECK_CONTAINS(err.message, "NCCL, in NCCL's start (ncclCommInitRankConfig): ");
    DT_CHECK_CONTAINS(err.message, "Cuda failure");
    DT_CHECK(comm == NULL);
    host->ops->destroy(host);
    device->ops->destroy(device);
}

/* Must run before other tests that call NCCL, which reads the environment once in a process. */
static void nccls_log_is_captured_and_the_environment_is_restored(void)
{
    dt_nccl_log log;
    dt_nccl_id id;
    const dt_nccl_api *nccl = dt_nccl_library(NULL);
    setenv("HOME", "/nonexistent", 1);
    dt_nccl_log_begin(&log);
    DT_CHECK_STR(getenv("NCCL_DEBUG"), "INFO");
    DT_CHECK_CONTAINS(getenv("NCCL_DEBUG_FILE"), "/proc/self/fd/");
    int result = nccl ? nccl->unique_id(&id) : 0; /* needs no GPU */
    char *text = dt_nccl_log_end(&log);
    dt_nccl_log_close(&log);
    for (int k = 0; k < 3; k++)
        DT_CHECK(getenv(variables[k]) == NULL);
    if (nccl) {
        DT_CHECK_INT(result, DT_NCCL_SUCCESS);
        DT_REQUIRE(text != NULL);
        DT_CHECK_CONTAINS(text, "NCCL INFO ");
    }
    dt_free(text);
    if (!nccl)
        DT_SKIP("NCCL is not built in: its log was not tested");
}

static const dt_test tests[] = {
    DT_TEST(logs_of_all_networks_are_read),
    DT_TEST(the_description_depends_on_where_ranks_are),
    DT_TEST(long_and_truncated_lines_are_parsed),
    DT_TEST(join_keeps_the_worst_network),
    DT_TEST(machines_that_do_not_use_their_efa_get_a_warning),
    DT_TEST(the_host_that_lacks_the_most_is_named),
    DT_TEST(a_missing_plugin_is_detected_without_a_log),
    DT_TEST(the_users_settings_are_kept),
    DT_TEST(the_last_warnings_of_the_log_are_printed),
    DT_TEST(nccls_log_is_captured_and_the_environment_is_restored),
    DT_TEST(nccl_reports_that_there_is_no_gpu),
};

DT_TEST_MAIN("comm/nccl_network", tests)
