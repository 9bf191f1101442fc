/* The warning that hosts communicate without EFA, from the start of comm/nccl on a fake GPU and a fake NCCL.
 * nccl_test.sh runs it under mpirun; each rank is a host. */
#include "comm/mpi.h"
#include "comm/nccl/nccl.h"
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_gpu.h"
#include "tests/fakes/fake_nccl.h"
#include "tests/testing.h"

#include <fcntl.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static dt_device *device;

void dt_test_set_up(void)
{
    int level;
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    device = fake_gpu_create();
}

void dt_test_tear_down(void)
{
    device->ops->destroy(device);
    MPI_Finalize();
}

static void put(const char *path, const char *text)
{
    const char *whole = dt_test_path("%s/%s", dt_test_temp_dir(), path);
    DT_REQUIRE(system(dt_test_path("mkdir -p \"$(dirname '%s')\"", whole)) == 0);
    dt_test_write_file(whole, text, strlen(text));
}

/* Stands for NCCL, which loads its plugin: /proc/self/maps has the file until the process ends. */
static void map_plugin(const char *path)
{
    const int fd = open(path, O_RDONLY);
    DT_REQUIRE(fd >= 0);
    DT_REQUIRE(mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED);
    close(fd);
}

/* This rank's host: an instance of the type; with EFA and NCCL's plugin, or without. */
static void make_host(const char *type, bool with_efa)
{
    put("sys/devices/virtual/dmi/id/product_name", type);
    if (!with_efa)
        return;
    put("sys/class/infiniband/rdmap16s27/device/vendor", "0x1d0f\n");
    put("dev/infiniband/uverbs0", "");
    put("usr/lib64/libnccl-net.so", "plugin");
    map_plugin(dt_test_path("%s/usr/lib64/libnccl-net.so", dt_test_temp_dir()));
}

/* Starts NCCL between the hosts, or between ranks of one host. Returns what this rank logs; detail[160]: the
 * communicator's. */
static const char *start(bool several_hosts, char *detail)
{
    dt_comm *host = NULL, *comm = NULL;
    dt_error err = {0};
    DT_REQUIRE(dt_comm_mpi_create(NULL, &host, &err) == DT_OK);
    snprintf(host->host, sizeof host->host, "host%d", host->rank);
    host->local_size = several_hosts ? 1 : host->size;
    captured_log_begin(DT_LOG_WARN);
    const dt_comm_nccl_options options = {
        .api = fake_nccl(), .watch = dt_comm_mpi_watch(host), .root = dt_test_temp_dir()};
    DT_REQUIRE_MSG(dt_comm_nccl_create(host, device, &options, &comm, &err) == DT_OK, "%s", err.message);
    captured_log_end();
    snprintf(detail, 160, "%s", comm->detail);
    comm->ops->destroy(comm);
    return captured_log_text();
}

static int rank(void)
{
    int mine = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &mine);
    return mine;
}

static void the_host_without_efa_is_named_once(void)
{
    char detail[160];
    make_host("p4d.24xlarge\n", rank() != 1);
    const char *log = start(true, detail);
    DT_CHECK_CONTAINS(detail, ": EFA is not used");
    if (rank() > 0) {
        DT_CHECK_STR(log, "");
        return;
    }
    DT_CHECK_CONTAINS(log, "EFA is not used: this is a p4d.24xlarge, and NCCL uses ");
    DT_CHECK_CONTAINS(log, "host1 has no EFA device");
    DT_CHECK_CONTAINS(log, "`Efa: {Enabled: true}`");
}

static void hosts_with_efa_get_no_warning(void)
{
    char detail[160];
    make_host("p4d.24xlarge\n", true);
    DT_CHECK_STR(start(true, detail), "");
    DT_CHECK(strstr(detail, "EFA is not used") == NULL);
}

static void other_instances_and_single_hosts_get_no_warning(void)
{
    char detail[160];
    make_host("g5.48xlarge\n", false);
    DT_CHECK_STR(start(true, detail), "");
    DT_CHECK(strstr(detail, "EFA is not used") == NULL);
    make_host("p5.48xlarge\n", false);
    DT_CHECK_STR(start(false, detail), "");
    DT_CHECK(strstr(detail, "EFA is not used") == NULL);
}

static const dt_test tests[] = {
    DT_TEST(the_host_without_efa_is_named_once),
    DT_TEST(hosts_with_efa_get_no_warning),
    DT_TEST(other_instances_and_single_hosts_get_no_warning),
};

DT_TEST_MAIN("comm/nccl_efa", tests)
