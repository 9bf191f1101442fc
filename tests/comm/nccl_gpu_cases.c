/* comm/nccl on real GPUs with NCCL itself, with one rank for each GPU. nccl_gpu_test.sh runs it where there
 * are GPUs. It sums small integers, which are exact in any order and in 16 bits. */
#include "comm/mpi.h"
#include "comm/nccl/internal.h"
#include "layers/cuda/device_cuda.h"
#include "layers/cuda/gpu_info_cuda.h"
#include "tests/testing.h"

#include <mpi.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_device *device;
static dt_comm *comm;

void dt_test_set_up(void)
{
    int level;
    char why[256] = "";
    dt_error err = {0};
    dt_comm *host = NULL;
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    if (dt_device_cuda_count(why, sizeof why) == 0) {
        printf("no GPU: %s\n", why);
        return;
    }
    dt_comm_mpi_create(&(dt_comm_mpi_options){.deadline_s = 30.0}, &host, &err);
    if (!host || dt_device_cuda_create(host->local_rank, host->local_size, &device, &err) != DT_OK ||
        dt_comm_nccl_create(host, device, &(dt_comm_nccl_options){.watch = dt_comm_mpi_watch(host)}, &comm,
                            &err) != DT_OK) {
        fprintf(stderr, "%s\n", err.message);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    if (comm->rank == 0)
        printf("%s\n", comm->detail);
}

void dt_test_tear_down(void)
{
    if (comm)
        comm->ops->destroy(comm);
    if (device)
        device->ops->destroy(device);
    MPI_Finalize();
}

#define NEED_GPU()                                                                                           \
    if (!comm)                                                                                               \
    DT_SKIP("there is no GPU")

/* -- helpers --------------------------------------------------------------------------------------------- */

typedef struct vector {
    int64_t n;
    float *gpu, *host;
} vector;

static vector new_vector(int64_t n)
{
    vector v = {n, device->ops->alloc(device, (n + 4) * (int64_t)sizeof(float)),
                device->ops->host_alloc(device, (n + 4) * (int64_t)sizeof(float))};
    DT_REQUIRE(v.gpu && v.host);
    return v;
}

static void free_vector(vector *v)
{
    device->ops->free(device, v->gpu);
    device->ops->host_free(device, v->host);
}

static float term(int rank, int64_t i)
{
    return (float)((i * 7 + rank * 3) % 13 - 6);
}

static void finish(void)
{
    dt_event *event = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(device->ops->event_create(device, false, &event, &err) == DT_OK &&
                       device->ops->event_record(device, event, NULL, &err) == DT_OK &&
                       comm->ops->device_wait(comm, device, event, &err) == DT_OK,
                   "%s", err.message);
    device->ops->event_destroy(device, event);
}

static void fill(vector *v)
{
    dt_error err = {0};
    for (int64_t i = 0; i < v->n + 4; i++)
        v->host[i] = term(comm->rank, i);
    DT_CHECK_INT(device->ops->copy(device, v->gpu, v->host, (v->n + 4) * (int64_t)sizeof(float),
                                   DT_COPY_TO_DEVICE, NULL, &err),
                 DT_OK);
    finish();
    memset(v->host, 0, (size_t)(v->n + 4) * sizeof(float));
}

static void fetch(vector *v)
{
    dt_error err = {0};
    DT_CHECK_INT(device->ops->copy(device, v->host, v->gpu, (v->n + 4) * (int64_t)sizeof(float),
                                   DT_COPY_TO_HOST, NULL, &err),
                 DT_OK);
    finish();
}

/* Count wrong elements: [first, first + n) must be sums, the others unchanged. */
static int64_t n_wrong(const vector *v, int64_t first, int64_t n)
{
    int64_t wrong = 0;
    for (int64_t i = 0; i < v->n + 4; i++) {
        float expected = 0;
        for (int r = 0; r < comm->size; r++)
            expected += term(r, i);
        if (i < first || i >= first + n)
            expected = term(comm->rank, i);
        wrong += v->host[i] != expected;
    }
    return wrong;
}

static void sum(float *p, int64_t n, dt_dtype wire)
{
    dt_comm_request *request = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(comm->ops->all_reduce_start(comm, p, n, wire, &request, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(comm->ops->wait(comm, request, &err) == DT_OK, "%s", err.message);
}

/* -- cases ----------------------------------------------------------------------------------------------- */

static void the_detail_names_nccls_version_and_network(void)
{
    NEED_GPU();
    DT_CHECK_STR(comm->ops->name, "nccl");
    DT_CHECK_CONTAINS(comm->detail, "NCCL 2.");
    DT_CHECK(strstr(comm->detail, "NCCL_DEBUG=INFO shows") == NULL || getenv("NCCL_DEBUG"));
}

static void sums_of_any_size_alignment_and_wire(void)
{
    NEED_GPU();
    const int64_t sizes[] = {1, 7, 8, 1023, 100003, 3 << 20};
    const dt_dtype wires[] = {DT_F32, DT_F16, DT_BF16};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (size_t w = 0; w < 3; w++)
            for (int64_t first = 0; first < 4; first += 3) {
                vector v = new_vector(sizes[k]);
                fill(&v);
                sum(v.gpu + first, v.n, wires[w]);
                fetch(&v);
                DT_CHECK_INT(n_wrong(&v, first, v.n), 0);
                free_vector(&v);
            }
}

static void buckets_larger_than_the_wire_buffer_are_summed(void)
{
    NEED_GPU();
    vector v = new_vector(2 * DT_NCCL_WIRE_BYTES / 2 + 5);
    fill(&v);
    sum(v.gpu, v.n, DT_F16);
    fetch(&v);
    DT_CHECK_INT(n_wrong(&v, 0, v.n), 0);
    free_vector(&v);
}

static void values_too_large_for_16_bits_become_infinite(void)
{
    NEED_GPU();
    vector v = new_vector(16);
    fill(&v);
    v.host[3] = 1e6F;
    dt_error err = {0};
    DT_CHECK_INT(device->ops->copy(device, v.gpu, v.host, 64, DT_COPY_TO_DEVICE, NULL, &err), DT_OK);
    sum(v.gpu, 16, DT_F16);
    fetch(&v);
    DT_CHECK(isinf(v.host[3]) && v.host[3] > 0);
    free_vector(&v);
}

enum { BUCKETS = 6, BUCKET = 300000 };

static void step(vector *v)
{
    dt_comm_request *requests[BUCKETS];
    dt_error err = {0};
    for (int k = 0; k < BUCKETS; k++)
        DT_REQUIRE_MSG(comm->ops->all_reduce_start(comm, v->gpu + k * BUCKET, BUCKET,
                                                   k == BUCKETS - 1 ? DT_F32 : DT_BF16, &requests[k],
                                                   &err) == DT_OK,
                       "%s", err.message);
    for (int k = 0; k < BUCKETS; k++)
        DT_REQUIRE_MSG(comm->ops->wait(comm, requests[k], &err) == DT_OK, "%s", err.message);
}

/* The marks also count the sums that a graph makes. */
static void captured_sums_are_the_same_and_counted(void)
{
    NEED_GPU();
    enum { LAUNCHES = 50 };
    dt_comm_nccl *c = (dt_comm_nccl *)comm;
    dt_error err = {0};
    void *graph = NULL;
    vector v = new_vector(BUCKETS * BUCKET);
    fill(&v);
    step(&v);
    fetch(&v);
    DT_CHECK_INT(n_wrong(&v, 0, v.n), 0);
    DT_REQUIRE_MSG(device->ops->capture_begin(device, &err) == DT_OK, "%s", err.message);
    step(&v);
    DT_REQUIRE_MSG(device->ops->capture_end(device, &graph, &err) == DT_OK, "%s", err.message);
    const int64_t before = dt_nccl_device_position(c).number;
    for (int k = 0; k < LAUNCHES; k++) {
        fill(&v);
        DT_REQUIRE_MSG(device->ops->graph_launch(device, graph, &err) == DT_OK, "%s", err.message);
    }
    fetch(&v);
    DT_CHECK_INT(n_wrong(&v, 0, v.n), 0);
    const dt_position after = dt_nccl_device_position(c);
    DT_CHECK_INT(after.number - before, LAUNCHES * DT_NCCL_BUCKETS);
    DT_CHECK_INT(after.bucket, BUCKETS - 1);
    DT_CHECK_INT(after.kind, DT_POSITION_WORK);
    device->ops->graph_destroy(device, graph);
    free_vector(&v);
}

static const dt_test tests[] = {
    DT_TEST(the_detail_names_nccls_version_and_network),
    DT_TEST(sums_of_any_size_alignment_and_wire),
    DT_TEST(buckets_larger_than_the_wire_buffer_are_summed),
    DT_TEST(values_too_large_for_16_bits_become_infinite),
    DT_TEST(captured_sums_are_the_same_and_counted),
};

DT_TEST_MAIN("comm/nccl_gpu", tests)
