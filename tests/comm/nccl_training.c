/* The training loop with comm/nccl: steps are captured, their results are read later, and a fake NCCL sums
 * gradients when the device reaches them. nccl_test.sh runs it under mpirun. The arithmetic is that of
 * layers/ref, and sums add in the order of the ranks, so the result must have the bits that the host and
 * comm/mpi give. */
#include "comm/mpi.h"
#include "comm/nccl/nccl.h"
#include "tests/fakes/fake_nccl.h"
#include "tests/fakes/fake_nccl_emulated.h"
#include "tests/fakes/trainer_job.h"
#include "tests/testing.h"

#include <mpi.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int n_ranks;

void dt_test_set_up(void)
{
    int level;
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
}

void dt_test_tear_down(void)
{
    MPI_Finalize();
}

static dt_status attach(dt_comm *host, dt_device *d, dt_comm **comm, dt_error *err)
{
    fake_nccl_use_emulated(d);
    return dt_comm_nccl_create(
        host, d, &(dt_comm_nccl_options){.api = fake_nccl(), .watch = dt_comm_mpi_watch(host)}, comm, err);
}

/* -- cases ----------------------------------------------------------------------------------------------- */

static dt_comm *new_host(void)
{
    dt_comm *host = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(dt_comm_mpi_create(NULL, &host, &err) == DT_OK, "%s", err.message);
    return host;
}

static job small_job(int64_t accumulate, dt_dtype precision)
{
    job j = new_job(n_ranks);
    j.config.accumulate = accumulate;
    j.config.precision = precision;
    j.config.loss_scale_init = 1024.0;
    j.n_train = 4 * n_ranks * accumulate * 21;
    return j;
}

static void run_on_host(job *j, int *rank)
{
    dt_comm *host = new_host();
    *rank = host->rank;
    run_as_rank(j, host);
    host->ops->destroy(host);
}

static void run_on_device(job *j)
{
    j->lagging = true;
    j->attach = attach;
    run_as_rank(j, new_host()); /* comm/nccl owns the host from now on */
}

static void compare(int64_t accumulate, bool no_graph)
{
    int rank = 0;
    job host = small_job(accumulate, DT_F32), gpu = small_job(accumulate, DT_F32);
    gpu.config.no_graph = no_graph;
    run_on_host(&host, &rank);
    run_on_device(&gpu);
    DT_CHECK_MSG(host.status[rank] == DT_OK, "%s", host.error[rank].message);
    DT_CHECK_MSG(gpu.status[rank] == DT_OK, "%s", gpu.error[rank].message);
    DT_CHECK_INT(gpu.n_steps, host.n_steps);
    for (int64_t i = 0; i < host.n_steps; i++)
        DT_CHECK_MSG(gpu.steps[i].loss == host.steps[i].loss && gpu.steps[i].top1 == host.steps[i].top1,
                     "step %lld: loss %.9g, and %.9g on the host; top-1 %g, and %g", (long long)i + 1,
                     gpu.steps[i].loss, host.steps[i].loss, gpu.steps[i].top1, host.steps[i].top1);
    if (host.values[rank] && gpu.values[rank] && rank == 0)
        DT_CHECK_BYTES(gpu.values[0], host.values[0],
                       (size_t)(host.vectors.n_trained + host.vectors.n_statistics) * sizeof(float));
    DT_CHECK((gpu.counts[rank].n_launches > 0) == !no_graph);
    free_job(&host);
    free_job(&gpu);
}

static void captured_steps_give_the_bits_of_the_host(void)
{
    compare(1, false);
    compare(3, false);
}

static void uncaptured_steps_give_the_same_bits(void)
{
    compare(1, true);
}

/* With FP16, on the wire too, the bits differ from the host's, but are the same on all ranks, and losses are
 * close. */
static void half_precision_is_equal_on_all_ranks_and_near_float32(void)
{
    int rank = 0;
    job host = small_job(1, DT_F32), gpu = small_job(1, DT_F16);
    run_on_host(&host, &rank);
    run_on_device(&gpu);
    DT_REQUIRE_MSG(gpu.status[rank] == DT_OK, "%s", gpu.error[rank].message);
    DT_CHECK_INT(gpu.n_steps, host.n_steps);
    for (int64_t i = 0; i < gpu.n_steps; i++)
        DT_CHECK_CLOSE(gpu.steps[i].loss, host.steps[i].loss, 0.02);
    dt_comm *comm = new_host();
    int64_t n = 0;
    dt_error err = {0};
    if (rank == 0)
        n = gpu.vectors.n_trained + gpu.vectors.n_statistics;
    DT_CHECK_INT(comm->ops->broadcast(comm, &n, sizeof n, 0, &err), DT_OK);
    float *first = malloc((size_t)n * sizeof *first);
    DT_REQUIRE(first != NULL);
    memcpy(first, gpu.values[rank], (size_t)n * sizeof *first);
    DT_CHECK_INT(comm->ops->broadcast(comm, first, n * (int64_t)sizeof *first, 0, &err), DT_OK);
    DT_CHECK_BYTES(gpu.values[rank], first, (size_t)n * sizeof *first);
    comm->ops->destroy(comm);
    free(first);
    free_job(&host);
    free_job(&gpu);
}

static const dt_test tests[] = {
    DT_TEST(captured_steps_give_the_bits_of_the_host),
    DT_TEST(uncaptured_steps_give_the_same_bits),
    DT_TEST(half_precision_is_equal_on_all_ranks_and_near_float32),
};

DT_TEST_MAIN("comm/nccl_training", tests)
