/* Whether two sums of the same values have the same bits, on a fake NCCL with an NVSwitch. nccl_test.sh runs
 * it under mpirun with 3 ranks and more: with 2 every order gives the same bits. */
#include "comm/mpi.h"
#include "comm/nccl/nccl.h"
#include "core/base/log.h"
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_gpu.h"
#include "tests/fakes/fake_nccl.h"
#include "tests/testing.h"

#include <mpi.h>

#include <stdlib.h>
#include <string.h>

enum { N = 1000 };

static dt_device *device;

void dt_test_set_up(void)
{
    int level;
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    setenv("DT_FAKE_NCCL_NVSWITCH", "1", 1);
    setenv("HOME", "/nonexistent", 1); /* no nccl.conf */
    device = fake_gpu_create();
}

void dt_test_tear_down(void)
{
    device->ops->destroy(device);
    MPI_Finalize();
}

static dt_comm *create(void)
{
    dt_comm *host = NULL, *comm = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(dt_comm_mpi_create(NULL, &host, &err) == DT_OK, "%s", err.message);
    const dt_comm_nccl_options options = {.api = fake_nccl(), .watch = dt_comm_mpi_watch(host)};
    DT_REQUIRE_MSG(dt_comm_nccl_create(host, device, &options, &comm, &err) == DT_OK, "%s", err.message);
    return comm;
}

static void sum(dt_comm *comm, float *v)
{
    dt_comm_request *request = NULL;
    dt_event *event = NULL;
    dt_error err = {0};
    for (int i = 0; i < N; i++)
        v[i] = 1.0f / (float)(1 + i + 7 * comm->rank);
    DT_REQUIRE(comm->ops->all_reduce_start(comm, v, N, DT_F32, &request, &err) == DT_OK);
    DT_REQUIRE(comm->ops->wait(comm, request, &err) == DT_OK);
    DT_REQUIRE(device->ops->event_create(device, false, &event, &err) == DT_OK);
    DT_CHECK_INT(device->ops->event_record(device, event, NULL, &err), DT_OK);
    DT_REQUIRE_MSG(comm->ops->device_wait(comm, device, event, &err) == DT_OK, "%s", err.message);
    device->ops->event_destroy(device, event);
}

/* Returns whether several sums of the same values have the same bits. */
static bool are_equal(dt_comm *comm)
{
    float first[N], again[N];
    bool equal = true;
    sum(comm, first);
    for (int k = 0; k < 4; k++) {
        sum(comm, again);
        equal = equal && memcmp(first, again, sizeof first) == 0;
    }
    return equal;
}

static void by_default_two_sums_have_the_same_bits(void)
{
    unsetenv("NCCL_NVLS_ENABLE");
    captured_log_begin(DT_LOG_WARN);
    dt_comm *comm = create();
    captured_log_end();
    DT_CHECK_INT(captured_log_lines(), 0);
    DT_CHECK_STR(getenv("NCCL_NVLS_ENABLE"), "0");
    DT_CHECK_CONTAINS(comm->detail, ", NVLS off; ");
    DT_CHECK(are_equal(comm));
    comm->ops->destroy(comm);
}

static void nvls_that_the_user_allows_is_reported(void)
{
    static const char *const values[] = {"1", "2"};
    for (int i = 0; i < 2; i++) {
        setenv("NCCL_NVLS_ENABLE", values[i], 1);
        captured_log_begin(DT_LOG_WARN);
        dt_comm *comm = create();
        captured_log_end();
        DT_CHECK_CONTAINS(comm->detail, ", NVLS allowed; ");
        DT_CHECK_INT(captured_log_lines(), comm->rank == 0);
        if (comm->rank == 0) {
            DT_CHECK_CONTAINS(captured_log_text(), "NCCL_NVLS_ENABLE is '");
            DT_CHECK_CONTAINS(captured_log_text(), "need not have the same bits");
        }
        DT_CHECK(are_equal(comm) == (comm->size < 3)); /* the fake NCCL adds in another order each time */
        comm->ops->destroy(comm);
    }
    unsetenv("NCCL_NVLS_ENABLE");
}

static const dt_test tests[] = {
    DT_TEST(by_default_two_sums_have_the_same_bits),
    DT_TEST(nvls_that_the_user_allows_is_reported),
};

DT_TEST_MAIN("comm/nccl_bits", tests)
