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
    const dt_nccl_api *nccl = dt_nccl_library(NULL);
    if (nccl && nccl->gpu_name(name, sizeof name) == 0)
        DT_SKIP("there is a GPU, and the device of this test is none");
    dt_status expected = nccl ? DT_ERR_DEVICE : DT_ERR_UNSUPPORTED;
    DT_CHECK_INT(attach("auto", both, &err), expected);
    DT_CHECK_CONTAINS(err.message, "NCCL");
    DT_CHECK_INT(attach("nccl", both, &err), expected);
    DT_CHECK_CONTAINS(dt_transport_list(), nccl ? "nccl, mpi" : "mpi");
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

/* Slurm sets SLURM_NTASKS for the whole job; a step may have fewer ranks. MPICH's mpiexec may run inside a
 * step, and then counts. */
static void each_launcher_is_known_by_its_own_variables(void)
{
    static const struct {
        const char *name, *value;
    } variables[] = {{"SLURM_NTASKS", "64"},
                     {"SLURM_STEP_NUM_TASKS", "6"},
                     {"SLURM_PROCID", "5"},
                     {"PMI_SIZE", "4"},
                     {"PMI_RANK", "3"},
                     {"MPI_LOCALNRANKS", "2"},
                     {"OMPI_COMM_WORLD_SIZE", "3"},
                     {"OMPI_COMM_WORLD_RANK", "2"}};
    enum { OF_JOB = 1, OF_STEP = 7, OF_PMI = 0x18, OF_MPICH = 0x38, OF_OPEN_MPI = 0xC0 };
    static const struct {
        unsigned set;
        const char *launcher;
        int size, rank;
    } cases[] = {{0, NULL, 1, 0},
                 {OF_JOB, NULL, 1, 0},
                 {OF_STEP, "srun", 6, 5},
                 {OF_PMI, "a launcher that speaks PMI", 4, 3},
                 {OF_STEP | OF_PMI, "srun", 6, 5},
                 {OF_JOB | OF_PMI, "a launcher that speaks PMI", 4, 3},
                 {OF_MPICH, "mpiexec (MPICH)", 4, 3},
                 {OF_STEP | OF_MPICH, "mpiexec (MPICH)", 4, 3},
                 {OF_STEP | OF_MPICH | OF_OPEN_MPI, "mpirun (Open MPI)", 3, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dt_launch_env env;
        for (unsigned v = 0; v < sizeof variables / sizeof variables[0]; v++)
            if (cases[i].set >> v & 1)
                setenv(variables[v].name, variables[v].value, 1);
            else
                unsetenv(variables[v].name);
        dt_launch_env_read(&env);
        DT_CHECK_STR(env.launcher, cases[i].launcher);
        DT_CHECK_INT(env.size, cases[i].size);
        DT_CHECK_INT(env.rank, cases[i].rank);
    }
}

static const dt_test tests[] = {
    DT_TEST(hosts_keep_mpi),
    DT_TEST(mpi_between_gpus_is_refused),
    DT_TEST(all_ranks_fail_if_only_some_have_a_gpu),
    DT_TEST(gpus_need_nccl),
    DT_TEST(a_size_that_is_no_number_counts_as_one_rank),
    DT_TEST(each_launcher_is_known_by_its_own_variables),
};

DT_TEST_MAIN_RANKS("launch/transports", tests, 2)
