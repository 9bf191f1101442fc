/* All operations of comm/nccl, on a fake GPU and a fake NCCL, for any number of ranks. nccl_test.sh runs it
 * under mpirun with 1 to 4. */
#include "comm/mpi.h"
#include "comm/nccl/internal.h"
#include "comm/self.h"
#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/collective/grad_buckets.h"
#include "layers/device_host.h"
#include "layers/half.h"
#include "tests/fakes/fake_gpu.h"
#include "tests/fakes/fake_nccl.h"
#include "tests/testing.h"

#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_device *device;
static dt_comm *comm;

static dt_status create(const dt_comm_nccl_options *options, dt_comm **out, dt_error *err)
{
    dt_comm *host = NULL;
    dt_comm_nccl_options o = *options;
    if (dt_comm_mpi_create(NULL, &host, err) != DT_OK)
        exit(1);
    if (getenv("OWN_HOSTS"))
        snprintf(host->host, sizeof host->host, "host%d", host->rank);
    o.api = o.api ? o.api : fake_nccl();
    o.watch = dt_comm_mpi_watch(host);
    dt_status status = dt_comm_nccl_create(host, device, &o, out, err);
    if (status != DT_OK)
        host->ops->destroy(host);
    return status;
}

void dt_test_set_up(void)
{
    int level;
    dt_error err = {0};
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    device = fake_gpu_create();
    if (create(&(dt_comm_nccl_options){0}, &comm, &err) != DT_OK) {
        fprintf(stderr, "%s\n", err.message);
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
}

void dt_test_tear_down(void)
{
    comm->ops->destroy(comm);
    device->ops->destroy(device);
    MPI_Finalize();
}

static float term(int rank, int64_t i, uint64_t seed)
{
    return (float)((i * 37 + rank * 11 + (int64_t)seed * 5) % 1000 - 500) *
           ldexpf(1.0f, (int)((i * 7 + rank * 5) % 12 - 6));
}

static float through(float v, dt_dtype wire)
{
    return wire == DT_F16    ? dt_half_to_float(dt_half_from_float(v))
           : wire == DT_BF16 ? dt_bfloat_to_float(dt_bfloat_from_float(v))
                             : v;
}

/* The sum of element i, added in the order of the ranks and rounded to the wire's type. */
static float expected(int64_t i, uint64_t seed, dt_dtype wire)
{
    float sum = through(term(0, i, seed), wire);
    for (int r = 1; r < comm->size; r++)
        sum = through(sum + through(term(r, i, seed), wire), wire);
    return sum;
}

typedef struct fill_arguments {
    float *v;
    int64_t n;
    uint64_t seed;
    int rank;
    double sleep_s;
} fill_arguments;

/* Stands for the backward pass. */
static void fill_work(void *arguments)
{
    const fill_arguments *a = arguments;
    dt_clock_sleep_s(a->sleep_s);
    for (int64_t i = 0; i < a->n; i++)
        a->v[i] = term(a->rank, i, a->seed);
}

static void fill(float *v, int64_t n, uint64_t seed, double sleep_s)
{
    fake_gpu_enqueue(device->ops->native_stream(device, NULL), fill_work,
                     &(fill_arguments){v, n, seed, comm->rank, sleep_s}, sizeof(fill_arguments));
}

static void finish(dt_comm *c)
{
    dt_event *event = NULL;
    dt_error err = {0};
    DT_CHECK_INT(device->ops->event_create(device, false, &event, &err), DT_OK);
    DT_CHECK_INT(device->ops->event_record(device, event, NULL, &err), DT_OK);
    DT_REQUIRE_MSG(c->ops->device_wait(c, device, event, &err) == DT_OK, "%s", err.message);
    device->ops->event_destroy(device, event);
}

static float *allocate(int64_t n)
{
    float *p = malloc((size_t)(n + 1) * sizeof *p);
    DT_REQUIRE(p != NULL);
    return p;
}

/* Start a sum and wait for it. */
static void sum(dt_comm *c, float *v, int64_t n, dt_dtype wire)
{
    dt_comm_request *request = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(c->ops->all_reduce_start(c, v, n, wire, &request, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(c->ops->wait(c, request, &err) == DT_OK, "%s", err.message);
}

static int64_t n_wrong(const float *v, int64_t n, uint64_t seed, dt_dtype wire)
{
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; i++)
        wrong += memcmp(&v[i], &(float){expected(i, seed, wire)}, sizeof *v) != 0;
    return wrong;
}

/* -- cases ----------------------------------------------------------------------------------------------- */

static void name_rank_and_detail_are_set(void)
{
    int rank = -1, size = -1;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    DT_CHECK_INT(comm->rank, rank);
    DT_CHECK_INT(comm->size, size);
    DT_CHECK_STR(comm->ops->name, "nccl");
    DT_CHECK_CONTAINS(comm->detail, "NCCL 2.28.9, ");
    DT_CHECK_CONTAINS(comm->detail, "; Open MPI");
    DT_CHECK(comm->ops->device_wait != NULL);
}

static void the_other_communicator_handles_host_memory(void)
{
    dt_error err = {0};
    int64_t value = comm->rank, all[64] = {0};
    double most = comm->rank;
    DT_CHECK_INT(comm->ops->all_gather(comm, &value, sizeof value, all, &err), DT_OK);
    for (int r = 0; r < comm->size; r++)
        DT_CHECK_INT(all[r], r);
    DT_CHECK_INT(comm->ops->broadcast(comm, &value, sizeof value, comm->size - 1, &err), DT_OK);
    DT_CHECK_INT(value, comm->size - 1);
    DT_CHECK_INT(comm->ops->all_reduce(comm, &most, 1, DT_F64, DT_REDUCE_MAX, &err), DT_OK);
    DT_CHECK(most == (double)(comm->size - 1));
    DT_CHECK_INT(comm->ops->barrier(comm, &err), DT_OK);
    DT_CHECK_INT(comm->ops->progress(comm, &err), DT_OK);
}

static void sums_of_any_size_and_alignment(void)
{
    const int64_t sizes[] = {0, 1, 2, 7, 8, 9, 1023, 100003};
    const dt_dtype wires[] = {DT_F32, DT_F16, DT_BF16};
    for (size_t w = 0; w < 3; w++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
            for (int64_t offset = 0; offset < 3; offset++) {
                const int64_t n = sizes[k];
                float *v = allocate(n + offset);
                v[n + offset] = -77.0f;
                fill(v + offset, n, k, 0.0);
                sum(comm, v + offset, n, wires[w]);
                finish(comm);
                DT_CHECK_INT(n_wrong(v + offset, n, k, wires[w]), 0);
                DT_CHECK(v[n + offset] == -77.0f);
                free(v);
            }
}

/* The sum reads the bucket after the main stream has written it, and the main stream reads it after the sum
 * has ended. Between start and wait the main stream goes on. */
static void sums_happen_between_start_and_wait(void)
{
    enum { N = 5000 };
    dt_comm_request *request = NULL;
    dt_error err = {0};
    float *v = allocate(N), *other = allocate(N), *read = allocate(N);
    for (int k = 0; k < 3; k++) {
        memset(v, 0, N * sizeof *v);
        fill(v, N, 3, 0.03);
        DT_CHECK_INT(comm->ops->all_reduce_start(comm, v, N, DT_F16, &request, &err), DT_OK);
        fill(other, N, 4, 0.0);
        DT_CHECK_INT(comm->ops->wait(comm, request, &err), DT_OK);
        DT_CHECK_INT(
            device->ops->copy(device, read, v, N * (int64_t)sizeof *v, DT_COPY_ON_DEVICE, NULL, &err), DT_OK);
        fill(v, N, 5, 0.0);
        finish(comm);
        DT_CHECK_INT(n_wrong(read, N, 3, DT_F16), 0);
    }
    free(v);
    free(other);
    free(read);
}

static void fp16_overflow_is_infinite_and_float32_is_exact(void)
{
    float v[4] = {1e6f, -1e6f, 1.0f / 3.0f, 65504.0f}, w[4] = {1e6f, 1e-30f, 1.0f / 3.0f, 16777216.0f};
    if (comm->rank > 0)
        memset(v, 0, sizeof v), memset(w, 0, sizeof w);
    sum(comm, v, 4, DT_F16);
    sum(comm, w, 4, DT_F32);
    finish(comm);
    DT_CHECK(isinf(v[0]) && v[0] > 0 && isinf(v[1]) && v[1] < 0);
    DT_CHECK(v[2] == 0.333251953125f && v[3] == 65504.0f);
    DT_CHECK(w[0] == 1e6f && w[1] == 1e-30f && w[2] == 1.0f / 3.0f && w[3] == 16777216.0f);
}

static void buckets_larger_than_the_wire_buffer_are_sent_in_pieces(void)
{
    enum { N = 5003 }; /* AddressSanitizer detects writes beyond the buffer */
    dt_comm *small = NULL;
    dt_error err = {0};
    float *v = allocate(N);
    DT_REQUIRE_MSG(create(&(dt_comm_nccl_options){.wire_bytes = 4096}, &small, &err) == DT_OK, "%s",
                   err.message);
    fill(v, N, 9, 0.0);
    sum(small, v, N, DT_BF16);
    finish(small);
    DT_CHECK_INT(n_wrong(v, N, 9, DT_BF16), 0);
    const dt_position position = dt_nccl_device_position((dt_comm_nccl *)small);
    DT_CHECK_INT(position.kind, DT_POSITION_WORK);
    DT_CHECK_INT(position.number, 64); /* one sum of bucket 0, not three */
    small->ops->destroy(small);
    free(v);
}

static void sixty_four_buckets_may_be_under_way(void)
{
    enum { N = 64 };
    dt_comm_request *requests[N], *one_more;
    float *v[N];
    dt_error err = {0};
    for (int k = 0; k < N; k++) {
        v[k] = allocate(k * 17);
        fill(v[k], k * 17, (uint64_t)k, k % 16 ? 0.0 : 0.001);
        DT_REQUIRE_MSG(comm->ops->all_reduce_start(comm, v[k], k * 17, k % 2 ? DT_F16 : DT_F32, &requests[k],
                                                   &err) == DT_OK,
                       "%s", err.message);
        DT_CHECK_INT(comm->ops->progress(comm, &err), DT_OK);
    }
    DT_CHECK_INT(comm->ops->all_reduce_start(comm, v[0], 0, DT_F32, &one_more, &err), DT_ERR_INTERNAL);
    DT_CHECK_CONTAINS(err.message, "64");
    for (int k = N - 1; k >= 0; k--)
        DT_CHECK_INT(comm->ops->wait(comm, requests[k], &err), DT_OK);
    finish(comm);
    for (int k = 0; k < N; k++) {
        DT_CHECK_INT(n_wrong(v[k], k * 17, (uint64_t)k, k % 2 ? DT_F16 : DT_F32), 0);
        free(v[k]);
    }
    DT_CHECK_INT(comm->ops->wait(comm, requests[0], &err), DT_ERR_INTERNAL); /* it has ended */
    DT_CHECK_INT(comm->ops->all_reduce_start(comm, NULL, 0, DT_F64, &one_more, &err), DT_ERR_INTERNAL);
}

enum { BUCKETS = 5, BUCKET = 700 };

static void step(dt_comm *c, float *v, uint64_t seed)
{
    dt_comm_request *requests[BUCKETS];
    dt_error err = {0};
    for (int k = 0; k < BUCKETS; k++) {
        fill(v + k * BUCKET, BUCKET, seed + (uint64_t)k, 0.0);
        DT_REQUIRE_MSG(c->ops->all_reduce_start(c, v + k * BUCKET, BUCKET, k == BUCKETS - 1 ? DT_F32 : DT_F16,
                                                &requests[k], &err) == DT_OK,
                       "%s", err.message);
    }
    for (int k = 0; k < BUCKETS; k++)
        DT_REQUIRE_MSG(c->ops->wait(c, requests[k], &err) == DT_OK, "%s", err.message);
}

static void a_captured_step_gives_the_same_bits_and_marks(void)
{
    enum { N = BUCKETS * BUCKET };
    dt_comm *c = NULL;
    dt_error err = {0};
    void *graph = NULL;
    float *plain = allocate(N), *v = allocate(N);
    DT_REQUIRE_MSG(create(&(dt_comm_nccl_options){0}, &c, &err) == DT_OK, "%s", err.message);
    c->step = 100;
    step(c, plain, 1);
    finish(c);
    for (int k = 0; k < BUCKETS; k++)
        DT_CHECK_INT(
            n_wrong(plain + k * BUCKET, BUCKET, (uint64_t)(1 + k), k == BUCKETS - 1 ? DT_F32 : DT_F16), 0);
    DT_REQUIRE(device->ops->capture_begin(device, &err) == DT_OK);
    step(c, v, 1);
    DT_REQUIRE_MSG(device->ops->capture_end(device, &graph, &err) == DT_OK, "%s", err.message);
    const int64_t n_allocs = fake_gpu_n_allocs(), n_blocks = dt_alloc_live_blocks();
    for (c->step = 101; c->step < 120; c->step++) {
        DT_CHECK_INT(device->ops->zero(device, v, N * (int64_t)sizeof *v, NULL, &err), DT_OK);
        DT_CHECK_INT(device->ops->graph_launch(device, graph, &err), DT_OK);
        if (c->step % 3)
            continue;
        finish(c);
        DT_CHECK_BYTES(v, plain, N * sizeof *v);
        const dt_position position = dt_nccl_device_position((dt_comm_nccl *)c);
        DT_CHECK_INT(position.kind, DT_POSITION_WORK);
        DT_CHECK_INT(position.step, c->step);
        DT_CHECK_INT(position.bucket, BUCKETS - 1);
    }
    DT_CHECK_INT(fake_gpu_n_allocs(), n_allocs);
    DT_CHECK_INT(dt_alloc_live_blocks(), n_blocks);
    finish(c);
    device->ops->graph_destroy(device, graph);
    c->ops->destroy(c);
    free(plain);
    free(v);
}

/* Buckets as the trainer cuts them. Exact parts at the end are sent as float32. */
static void grad_buckets_sum_over_nccl(void)
{
    enum { PARTS = 12, PART = 1000 };
    dt_grad_part parts[PARTS];
    dt_grad_buckets *buckets = NULL;
    dt_error err = {0};
    float *v = allocate(PARTS * PART);
    for (int i = 0; i < PARTS; i++)
        parts[i] = (dt_grad_part){.first = i * PART, .n = PART, .exact = i == PARTS - 1};
    DT_REQUIRE_MSG(dt_grad_buckets_create(comm, v, PARTS * PART, parts, PARTS, 3 * PART * 4, DT_F16, &buckets,
                                          &err) == DT_OK,
                   "%s", err.message);
    for (int k = 0; k < 3; k++) {
        dt_grad_buckets_begin(buckets);
        for (int i = PARTS - 1; i >= 0; i--) {
            fill(v + i * PART, PART, (uint64_t)(i + k), 0.0);
            DT_REQUIRE_MSG(dt_grad_buckets_ready(buckets, i, &err) == DT_OK, "%s", err.message);
        }
        DT_REQUIRE_MSG(dt_grad_buckets_finish(buckets, NULL, &err) == DT_OK, "%s", err.message);
        finish(comm);
        for (int i = 0; i < PARTS && comm->size > 1; i++)
            DT_CHECK_INT(n_wrong(v + i * PART, PART, (uint64_t)(i + k), i == PARTS - 1 ? DT_F32 : DT_F16), 0);
    }
    dt_grad_buckets_destroy(buckets);
    free(v);
}

static void ranks_that_share_a_gpu_are_named(void)
{
    dt_comm *c = NULL;
    dt_error err = {0};
    setenv("DT_FAKE_NCCL_GPU", "0000:0f:00.0", 1);
    setenv("OWN_HOSTS", "1", 1); /* GPUs of two hosts may have one address */
    DT_REQUIRE_MSG(create(&(dt_comm_nccl_options){0}, &c, &err) == DT_OK, "%s", err.message);
    c->ops->destroy(c);
    unsetenv("OWN_HOSTS");
    dt_status status = create(&(dt_comm_nccl_options){0}, &c, &err);
    if (comm->size > 1) {
        DT_CHECK_INT(status, DT_ERR_USAGE);
        DT_CHECK_CONTAINS(err.message, "ranks 0 and 1 are both on GPU 0000:0f:00.0 of ");
        DT_CHECK_CONTAINS(err.message, comm->host);
        DT_CHECK_CONTAINS(err.message, "CUDA_VISIBLE_DEVICES");
        setenv("NCCL_MULTI_RANK_GPU_ENABLE", "1", 1);
        fake_nccl_mistakes.version = 22999;
        DT_CHECK_INT(create(&(dt_comm_nccl_options){0}, &c, &err), DT_ERR_USAGE);
        fake_nccl_mistakes.version = 23000; /* the first version that can, with the setting */
        status = create(&(dt_comm_nccl_options){0}, &c, &err);
    }
    DT_CHECK_INT(status, DT_OK);
    c->ops->destroy(c);
    unsetenv("NCCL_MULTI_RANK_GPU_ENABLE");
    unsetenv("DT_FAKE_NCCL_GPU");
    fake_nccl_mistakes.version = 0;
}

static void gpus_that_sum_wrongly_fail_the_start(void)
{
    dt_comm *c = NULL;
    dt_error err = {0};
    fake_nccl_mistakes.wrong_sums = true;
    DT_CHECK_INT(create(&(dt_comm_nccl_options){0}, &c, &err), DT_ERR_DEVICE);
    DT_CHECK_CONTAINS(err.message, "the first sum between the GPUs is wrong: 0.5 instead of ");
    DT_CHECK_CONTAINS(err.message, "NCCL_P2P_DISABLE");
    fake_nccl_mistakes.wrong_sums = false;
    DT_CHECK(c == NULL);
}

static void a_device_without_streams_is_refused(void)
{
    dt_comm *c = NULL, *host = NULL;
    dt_device *cpu = NULL;
    dt_error err = {0};
    DT_REQUIRE(dt_device_host_create(1, &cpu, &err) == DT_OK && dt_comm_self_create(&host, &err) == DT_OK);
    DT_CHECK_INT(dt_comm_nccl_create(host, cpu, &(dt_comm_nccl_options){.api = fake_nccl()}, &c, &err),
                 DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "--comm mpi");
    host->ops->destroy(host);
    cpu->ops->destroy(cpu);
}

static void creation_survives_every_failed_allocation(void)
{
    if (comm->size > 1)
        DT_SKIP("a rank that fails makes the others fail too: tested with one rank");
    const int64_t before = dt_alloc_live_blocks();
    dt_status status = DT_ERR_MEMORY;
    int n = 0;
    for (; status == DT_ERR_MEMORY && n < 100; n++) {
        dt_comm *c = NULL, *host = NULL;
        dt_error err = {0};
        DT_REQUIRE(dt_comm_self_create(&host, &err) == DT_OK);
        dt_alloc_fail_after(n + 1);
        status = dt_comm_nccl_create(host, device, &(dt_comm_nccl_options){.api = fake_nccl()}, &c, &err);
        dt_alloc_fail_after(0);
        DT_CHECK((status == DT_OK) == (c != NULL));
        if (c)
            c->ops->destroy(c);
        else
            host->ops->destroy(host);
        DT_CHECK_INT(dt_alloc_live_blocks(), before);
    }
    DT_CHECK_INT(status, DT_OK);
    DT_CHECK(n > 5);
}

static const dt_test tests[] = {
    DT_TEST(name_rank_and_detail_are_set),
    DT_TEST(the_other_communicator_handles_host_memory),
    DT_TEST(sums_of_any_size_and_alignment),
    DT_TEST(sums_happen_between_start_and_wait),
    DT_TEST(fp16_overflow_is_infinite_and_float32_is_exact),
    DT_TEST(buckets_larger_than_the_wire_buffer_are_sent_in_pieces),
    DT_TEST(sixty_four_buckets_may_be_under_way),
    DT_TEST(a_captured_step_gives_the_same_bits_and_marks),
    DT_TEST(grad_buckets_sum_over_nccl),
    DT_TEST(ranks_that_share_a_gpu_are_named),
    DT_TEST(gpus_that_sum_wrongly_fail_the_start),
    DT_TEST(a_device_without_streams_is_refused),
    DT_TEST(creation_survives_every_failed_allocation),
};

DT_TEST_MAIN("comm/nccl", tests)
