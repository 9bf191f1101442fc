/* Which communicator two ranks get, depending on their devices. */
#include "launch/hardware/transports.h"

#include "comm/nccl/api.h"
#include "layers/device_host.h"
#include "tests/fakes/fake_gpu.h"
#include "tests/testing.h"

#include <mpi.h>

#include <stdlib.h>
#include <string.h>

void dt_test_set_up(void)
{
    int level;
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
}

void dt_test_tear_down(void)
{
    MPI_Finalize();
}

static dt_device *host_device(void)
{
    dt_device *device = NULL;
    dt_error err = {0};
    DT_REQUIRE(dt_device_host_create(1, &device, &err) == DT_OK);
    return device;
}

/* Attaches a device: a fake GPU on rank r if gpu[r], else the host. Checks that the communicator stays. */
static dt_status attach(const char *name, const bool gpu[2], dt_error *err)
{
    dt_comm *comm = NULL;
    DT_REQUIRE_MSG(dt_transport_create(name, 60.0, &comm, err) == DT_OK, "%s", err->message);
    DT_CHECK_INT(comm->size, 2);
    DT_CHECK_STR(comm->ops->name, "mpi");
    dt_device *device = gpu[comm->rank] ? fake_gpu_create() : host_device();
    dt_comm *before = comm;
    dt_status status = dt_transport_attach_device(name, 60.0, device, &comm, err);
    DT_CHECK(comm == before);
    if (status != DT_ERR_COMM && status != DT_ERR_PEER)
        comm->ops->destroy(comm);
    device->ops->destroy(device);
    return status;
}

static const bool none[2] = {false, false}, both[2] = {true, true}, one[2] = {false, true};

static void hosts_keep_mpi(void)
{
    dt_error err = {0};
    DT_CHECK_INT(attach("auto", none, &err), DT_OK);
    DT_CHECK_INT(attach("mpi", none, &err), DT_OK);
    DT_CHECK_INT(attach("nccl", none, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "--backend cuda");
}

static void mpi_between_gpus_is_refused(void)
{
    dt_error err = {0};
    DT_CHECK_INT(attach("mpi", both, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "use --comm nccl");
}

static void all_ranks_fail_if_only_some_have_a_gpu(void)
{
    dt_error err = {0};
    DT_CHECK_INT(attach("auto", one, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "what ranks compute on differs between ranks: the host on rank 0");
    DT_CHECK_CONTAINS(err.message, "a GPU on rank 1");
}

static void gpus_need_nccl(void)
{
    char name[64];
    dt_error err = {0};
    if (dt_nccl_library() && dt_nccl_library()->gpu_name(name, sizeof name) == 0)
        DT_SKIP("there is a GPU, and the device of this test is none");
    dt_status expected = dt_nccl_library() ? DT_ERR_DEVICE : DT_ERR_UNSUPPORTED;
    DT_CHECK_INT(attach("auto", both, &err), expected);
    DT_CHECK_CONTAINS(err.message, "NCCL");
    DT_CHECK_INT(attach("nccl", both, &err), expected);
    DT_CHECK_CONTAINS(dt_transport_list(), dt_nccl_library() ? "nccl, mpi" : "mpi");
}

static void a_size_that_is_no_number_counts_as_one_rank(void)
{
    static const char *const sizes[] = {"2", "0", "-3", "many", ""};
    dt_launch_env env;
    setenv("OMPI_COMM_WORLD_RANK", "0", 1);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        setenv("OMPI_COMM_WORLD_SIZE", sizes[i], 1);
        dt_launch_env_read(&env);
        DT_CHECK_INT(env.size, i == 0 ? 2 : 1);
        DT_CHECK_STR(env.launcher, "mpirun (Open MPI)");
    }
}

static const dt_test tests[] = {
    DT_TEST(hosts_keep_mpi),
    DT_TEST(mpi_between_gpus_is_refused),
    DT_TEST(all_ranks_fail_if_only_some_have_a_gpu),
    DT_TEST(gpus_need_nccl),
    DT_TEST(a_size_that_is_no_number_counts_as_one_rank),
};

DT_TEST_MAIN_RANKS("launch/transports", tests, 2)
