/* Ranks that train on emulated GPUs: the training loop with captured steps, the whole CUDA backend on the
 * emulated device (tests/emulated/gpu_emulated.h), and gradients that are sent as FP16 through the kernels of
 * comm/nccl/wire.cu. Only NCCL's sums are made by a fake. nccl_test.sh runs it under mpirun. */
#include "comm/mpi.h"
#include "comm/nccl/nccl.h"
#include "comm/nccl/wire.h"
#include "tests/emulated/gpu_emulated.h"
#include "tests/emulator/emulator.h"
#include "tests/fakes/fake_nccl.h"
#include "tests/fakes/fake_nccl_emulated.h"
#include "tests/fakes/trainer_job.h"
#include "tests/testing.h"

#include <mpi.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static dt_graph_runner *runner; /* of the current run */
static int n_ranks, rank;

void dt_test_set_up(void)
{
    int level;
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
}

void dt_test_tear_down(void)
{
    MPI_Finalize();
}

static dt_status create_kernels(dt_device *device, dt_dtype dtype, dt_kernels **kernels, dt_error *err)
{
    return dt_emulated_gpu_attach(device, dtype, &(dt_interpreter_options){.gpu = DT_INTERPRET_A100}, &runner,
                                  kernels, err);
}

/* The fake NCCL with the real kernels, emulated. */
static dt_status attach(dt_comm *host, dt_device *device, dt_comm **comm, dt_error *err)
{
    static dt_nccl_api api;
    api = *fake_nccl();
    api.pack = dt_nccl_wire_pack;
    api.unpack = dt_nccl_wire_unpack;
    api.mark = dt_nccl_wire_mark;
    api.launch_error = dt_nccl_wire_error;
    fake_nccl_use_emulated(device);
    return dt_comm_nccl_create(
        host, device, &(dt_comm_nccl_options){.api = &api, .watch = dt_comm_mpi_watch(host)}, comm, err);
}

static dt_comm *new_host(void)
{
    dt_comm *host = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(dt_comm_mpi_create(NULL, &host, &err) == DT_OK, "%s", err.message);
    return host;
}

static job new_run(bool no_graph)
{
    job j = new_job(n_ranks);
    j.config.precision = DT_F16;
    j.config.loss_scale_init = 256;
    j.config.accumulate = 2;
    j.config.no_graph = no_graph;
    j.n_train = 4 * 2 * 11 * n_ranks;
    return j;
}

static void run_on_gpu(job *j)
{
    j->lagging = true;
    j->create_kernels = create_kernels;
    j->attach = attach;
    run_as_rank(j, new_host()); /* comm/nccl owns the host from now on */
    dt_emulator_set_queue(NULL, NULL);
    DT_CHECK_INT(dt_graph_interpreter_live_plans(runner), 0);
    runner->ops->destroy(runner);
}

/* The reference backend, which rounds to FP16, with float32 sums by MPI. */
static void run_on_ref(job *j)
{
    dt_comm *host = new_host();
    run_as_rank(j, host);
    host->ops->destroy(host);
}

static bool is_same_on_all_ranks(const job *j)
{
    dt_comm *comm = new_host();
    dt_error err = {0};
    int64_t n = j->vectors.n_trained + j->vectors.n_statistics; /* of rank 0 */
    DT_CHECK_INT(comm->ops->broadcast(comm, &n, sizeof n, 0, &err), DT_OK);
    float *first = malloc((size_t)n * sizeof *first);
    DT_REQUIRE(first != NULL);
    memcpy(first, j->values[rank], (size_t)n * sizeof *first);
    DT_CHECK_INT(comm->ops->broadcast(comm, first, n * (int64_t)sizeof *first, 0, &err), DT_OK);
    int64_t n_different = memcmp(j->values[rank], first, (size_t)n * sizeof *first) != 0;
    DT_CHECK_INT(comm->ops->all_reduce(comm, &n_different, 1, DT_I64, DT_REDUCE_SUM, &err), DT_OK);
    free(first);
    comm->ops->destroy(comm);
    return n_different == 0;
}

static void ranks_on_emulated_gpus_train_as_the_reference_does(void)
{
    job uncaptured = new_run(true), captured = new_run(false), ref = new_run(true);
    run_on_gpu(&uncaptured);
    run_on_gpu(&captured);
    run_on_ref(&ref);
    DT_REQUIRE_MSG(uncaptured.status[rank] == DT_OK, "%s", uncaptured.error[rank].message);
    DT_REQUIRE_MSG(captured.status[rank] == DT_OK, "%s", captured.error[rank].message);
    DT_REQUIRE_MSG(ref.status[rank] == DT_OK, "%s", ref.error[rank].message);
    DT_CHECK(is_same_on_all_ranks(&captured));
    DT_CHECK_INT(captured.n_steps, rank == 0 ? 22 : 0);
    for (int64_t i = 0; i < captured.n_steps; i++) {
        DT_CHECK(captured.steps[i].loss == uncaptured.steps[i].loss);
        DT_CHECK_CLOSE(captured.steps[i].loss, ref.steps[i].loss, 0.02);
    }
    DT_CHECK(captured.counts[rank].n_launches > 22);
    free_job(&uncaptured);
    free_job(&captured);
    free_job(&ref);
}

static void a_missing_unpack_kernel_is_detected(void)
{
    if (n_ranks == 1)
        DT_SKIP("with one rank nothing is sent");
    job j = new_run(false);
    dt_emulator_plant("unpack", DT_EMULATOR_NO_LAUNCH);
    run_on_gpu(&j);
    dt_emulator_plant(NULL, DT_EMULATOR_NO_LAUNCH);
    DT_REQUIRE_MSG(j.status[rank] == DT_OK, "%s", j.error[rank].message);
    DT_CHECK(!is_same_on_all_ranks(&j));
    free_job(&j);
}

static const dt_test tests[] = {
    DT_TEST(ranks_on_emulated_gpus_train_as_the_reference_does),
    DT_TEST(a_missing_unpack_kernel_is_detected),
};

DT_TEST_MAIN("comm/nccl_emulated", tests)
