/* All operations of comm/mpi, for any number of ranks. mpi_test.sh runs it under mpirun with 1 to 4. */
#include "comm/mpi_internal.h"
#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "tests/testing.h"

#include <mpi.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_RANKS 8

static dt_comm *comm;                  /* with the default options */
static dt_comm *pieces, *pairs, *flat; /* with small messages; with 2 ranks per host; with 1 */

static dt_comm *create(const dt_comm_mpi_options *options)
{
    dt_comm *c = NULL;
    dt_error err = {0};
    if (dt_comm_mpi_create(options, &c, &err) != DT_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    return c;
}

void dt_test_set_up(void)
{
    int level;
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level); /* so that there can be several communicators */
    comm = create(NULL);
    pieces = create(&(dt_comm_mpi_options){.max_message_bytes = 7});
    pairs = create(&(dt_comm_mpi_options){.ranks_per_host = 2});
    flat = create(&(dt_comm_mpi_options){.ranks_per_host = 1});
}

void dt_test_tear_down(void)
{
    flat->ops->destroy(flat);
    pairs->ops->destroy(pairs);
    pieces->ops->destroy(pieces);
    comm->ops->destroy(comm);
    MPI_Finalize();
}

static void *allocate(int64_t bytes)
{
    void *p = malloc((size_t)bytes + 1);
    DT_REQUIRE(p != NULL);
    return p;
}

/* The gradient of a rank. Magnitudes differ a lot, so that another order of additions gives other bits. */
static void fill(float *out, int64_t n, int rank, uint64_t seed)
{
    dt_test_fill_random(out, n, seed * 1000 + (uint64_t)rank);
    for (int64_t i = 0; i < n; i++)
        out[i] *= ldexpf(1.0f, (int)((i * 7 + rank * 5) % 24));
}

static void rank_size_and_host_are_set(void)
{
    int rank = -1, size = -1;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    DT_CHECK_INT(comm->rank, rank);
    DT_CHECK_INT(comm->size, size);
    const char *per_host = getenv("DT_TEST_RANKS_PER_HOST"); /* set by multi_host_test.sh */
    int local_size = per_host ? atoi(per_host) : size;
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    DT_CHECK_INT(comm->local_rank, rank % local_size);
    DT_CHECK_INT(comm->local_size, local_size);
    DT_CHECK_STR(comm->host, host);
    DT_CHECK_STR(comm->ops->name, "mpi");
    DT_CHECK_CONTAINS(comm->detail, "MPI");
    DT_CHECK_CONTAINS(comm->detail, "thread level funneled");
    DT_CHECK(strchr(comm->detail, '\n') == NULL);
    DT_CHECK(dt_comm_mpi_launched());
}

static void a_barrier_waits_for_the_last_rank(void)
{
    dt_error err = {0};
    for (int last = 0; last < comm->size; last++) {
        double times[MAX_RANKS];
        if (comm->rank == last)
            dt_clock_sleep_s(0.05);
        double came = dt_clock_s(), left;
        DT_CHECK_INT(comm->ops->barrier(comm, &err), DT_OK);
        left = dt_clock_s(); /* one clock: all ranks are on this machine */
        DT_CHECK_INT(comm->ops->all_gather(comm, &came, sizeof came, times, &err), DT_OK);
        for (int r = 0; r < comm->size; r++)
            DT_CHECK(left >= times[r]);
    }
}

static void broadcasts(dt_comm *c, int64_t bytes)
{
    dt_error err = {0};
    unsigned char *buffer = allocate(bytes);
    for (int root = 0; root < c->size; root++) {
        for (int64_t i = 0; i < bytes; i++)
            buffer[i] = c->rank == root ? (unsigned char)(i * 31 + root) : 0;
        buffer[bytes] = 99;
        DT_CHECK_INT(c->ops->broadcast(c, buffer, bytes, root, &err), DT_OK);
        int64_t n_wrong = buffer[bytes] != 99;
        for (int64_t i = 0; i < bytes; i++)
            n_wrong += buffer[i] != (unsigned char)(i * 31 + root);
        DT_CHECK_INT(n_wrong, 0);
    }
    free(buffer);
}

static void broadcast_from_every_rank(void)
{
    const int64_t sizes[] = {0, 1, 63, 4096, 1 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        broadcasts(comm, sizes[i]);
    dt_error err = {0};
    DT_CHECK_INT(comm->ops->broadcast(comm, &err, 4, comm->size, &err), DT_ERR_INTERNAL);
}

static void gathers(dt_comm *c, int64_t bytes)
{
    dt_error err = {0};
    unsigned char *own = allocate(bytes), *all = allocate(bytes * c->size);
    memset(own, c->rank + 1, (size_t)bytes);
    memset(all, 0, (size_t)(bytes * c->size) + 1);
    DT_CHECK_INT(c->ops->all_gather(c, own, bytes, all, &err), DT_OK);
    int64_t n_wrong = all[bytes * c->size] != 0;
    for (int64_t i = 0; i < bytes * c->size; i++)
        n_wrong += all[i] != i / bytes + 1;
    DT_CHECK_INT(n_wrong, 0);
    free(own);
    free(all);
}

static void all_gather_of_any_size(void)
{
    const int64_t sizes[] = {0, 1, 63, 4096, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        gathers(comm, sizes[i]);
}

/* What messages of more than 2 GiB need, with a limit of 7 bytes. */
static void large_messages_are_sent_in_pieces(void)
{
    const int64_t sizes[] = {0, 1, 6, 7, 8, 13, 14, 15, 100};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        broadcasts(pieces, sizes[i]);
        gathers(pieces, sizes[i]);
    }
}

static double expected_value(dt_reduce_op op, int64_t i, int size)
{
    double first = (double)(i % 1000), last = first + (double)(size - 1) * (double)(i % 3 - 1);
    if (op == DT_REDUCE_SUM)
        return (first + last) / 2.0 * (double)size;
    return op == DT_REDUCE_MIN ? fmin(first, last) : fmax(first, last);
}

#define REDUCE_CASE(type, dtype)                                                                             \
    static void reduce_##type(dt_comm *c, int64_t n, dt_reduce_op op)                                        \
    {                                                                                                        \
        dt_error err = {0};                                                                                  \
        type *v = allocate((n + 1) * (int64_t)sizeof *v);                                                    \
        for (int64_t i = 0; i < n; i++)                                                                      \
            v[i] = (type)(i % 1000 + c->rank * (i % 3 - 1));                                                 \
        v[n] = (type)77;                                                                                     \
        DT_CHECK_INT(c->ops->all_reduce(c, v, n, dtype, op, &err), DT_OK);                                   \
        int64_t n_wrong = v[n] != (type)77;                                                                  \
        for (int64_t i = 0; i < n; i++)                                                                      \
            n_wrong += v[i] != (type)expected_value(op, i, c->size);                                         \
        DT_CHECK_MSG(n_wrong == 0, "%lld of %lld wrong, operation %d", (long long)n_wrong, (long long)n,     \
                     (int)op);                                                                               \
        free(v);                                                                                             \
    }

REDUCE_CASE(float, DT_F32)
REDUCE_CASE(double, DT_F64)
REDUCE_CASE(int64_t, DT_I64)

static void all_reduce_of_all_types_and_operations(void)
{
    const int64_t sizes[] = {0, 1, 2, 15, 16, 17, 31, 100, 1023, 70001, 600000};
    dt_comm *all[] = {comm, pairs, flat};
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int op = DT_REDUCE_SUM; op <= DT_REDUCE_MAX; op++) {
                reduce_float(all[k], sizes[i], (dt_reduce_op)op);
                reduce_double(all[k], sizes[i], (dt_reduce_op)op);
                reduce_int64_t(all[k], sizes[i], (dt_reduce_op)op);
            }
    dt_error err = {0};
    float v = 0;
    DT_CHECK_INT(comm->ops->all_reduce(comm, &v, 1, DT_F16, DT_REDUCE_SUM, &err), DT_ERR_INTERNAL);
}

/* Sum the gradient v of n elements in buckets of the given size, with pauses that differ from rank to rank
 * and from run to run. */
static void sum_in_buckets(dt_comm *c, float *v, int64_t n, int64_t bucket, unsigned *random, bool pauses)
{
    dt_comm_request *open[64];
    int n_open = 0;
    dt_error err = {0};
    for (int64_t first = 0; first < n; first += bucket) {
        if (pauses && rand_r(random) % 3 == 0)
            dt_clock_sleep_s(rand_r(random) % 3 * 0.001);
        DT_REQUIRE_MSG(c->ops->all_reduce_start(c, v + first, n - first < bucket ? n - first : bucket, DT_F32,
                                                &open[n_open++], &err) == DT_OK,
                       "%s", err.message);
        if (rand_r(random) % 2)
            DT_CHECK_INT(c->ops->progress(c, &err), DT_OK);
    }
    for (int i = 0; i < n_open; i++) {
        if (pauses && rand_r(random) % 3 == 0)
            dt_clock_sleep_s(rand_r(random) % 3 * 0.001);
        DT_REQUIRE_MSG(c->ops->wait(c, open[i], &err) == DT_OK, "%s", err.message);
    }
}

/* Compare the bits of v with those of rank 0. */
static void check_same_on_all_ranks(dt_comm *c, const float *v, int64_t n)
{
    dt_error err = {0};
    float *first = allocate(n * (int64_t)sizeof *first);
    memcpy(first, v, (size_t)n * sizeof *v);
    DT_CHECK_INT(c->ops->broadcast(c, first, n * (int64_t)sizeof *first, 0, &err), DT_OK);
    DT_CHECK_BYTES(v, first, (size_t)n * sizeof *v);
    free(first);
}

static void sums_have_the_same_bits(dt_comm *c, bool in_order_of_ranks)
{
    /* more than a slice of 4 MiB */
    const int64_t n = 1200007, buckets[] = {n, 100000, 40000, n / 2, 700001, n};
    float *v = allocate(n * (int64_t)sizeof *v), *before = allocate(n * (int64_t)sizeof *v),
          *own = allocate(n * (int64_t)sizeof *v);
    unsigned random = (unsigned)(c->rank * 77 + 5) ^ (unsigned)(dt_clock_unix_s() * 1e3);
    fill(before, n, 0, 1);
    for (int r = 1; r < c->size; r++) {
        fill(own, n, r, 1);
        for (int64_t i = 0; i < n; i++)
            before[i] += own[i];
    }
    for (int k = 0; k < 8; k++) {
        fill(v, n, c->rank, 1);
        sum_in_buckets(c, v, n, buckets[k % 6], &random, k % 2);
        check_same_on_all_ranks(c, v, n);
        if (k > 0 || in_order_of_ranks)
            DT_CHECK_BYTES(v, before, (size_t)n * sizeof *v);
        memcpy(before, v, (size_t)n * sizeof *v);
    }
    free(v);
    free(before);
    free(own);
}

/* Where there are several hosts, each sums its own ranks first. */
static void sums_add_in_the_order_of_ranks(void)
{
    sums_have_the_same_bits(comm, comm->local_size == comm->size || comm->local_size == 1);
}

static void sums_with_one_rank_per_host_add_in_the_order_of_ranks(void)
{
    sums_have_the_same_bits(flat, true);
}

static void two_level_sums_have_the_same_bits_on_all_ranks_and_in_all_runs(void)
{
    sums_have_the_same_bits(pairs, false);
}

static void sixty_four_sums_may_be_under_way(void)
{
    enum { N = 64 };
    dt_comm_request *requests[N], *one_more;
    float *v[N];
    dt_error err = {0};
    for (int k = 0; k < N; k++) {
        int64_t n = k % 5 == 0 ? k % 3 : (int64_t)k * k * 37;
        v[k] = allocate((n + 1) * (int64_t)sizeof(float));
        for (int64_t i = 0; i < n; i++)
            v[k][i] = (float)(i % 100 + k + comm->rank);
        v[k][n] = -1.0f;
        DT_REQUIRE_MSG(comm->ops->all_reduce_start(comm, v[k], n, DT_F32, &requests[k], &err) == DT_OK, "%s",
                       err.message);
    }
    DT_CHECK_INT(comm->ops->all_reduce_start(comm, v[0], 0, DT_F32, &one_more, &err), DT_ERR_INTERNAL);
    DT_CHECK_CONTAINS(err.message, "64");
    reduce_int64_t(comm, 3, DT_REDUCE_SUM); /* other collectives overtake them */
    broadcasts(comm, 10);
    for (int k = N - 1; k >= 0; k--) {
        int64_t n = k % 5 == 0 ? k % 3 : (int64_t)k * k * 37, n_wrong = 0;
        DT_REQUIRE_MSG(comm->ops->wait(comm, requests[k], &err) == DT_OK, "%s", err.message);
        for (int64_t i = 0; i < n; i++)
            n_wrong +=
                v[k][i] != (float)(comm->size * (i % 100 + k)) + (float)(comm->size * (comm->size - 1) / 2);
        DT_CHECK_MSG(n_wrong == 0 && v[k][n] == -1.0f, "request %d: %lld wrong", k, (long long)n_wrong);
        free(v[k]);
    }
    DT_CHECK_INT(comm->ops->wait(comm, requests[0], &err), DT_ERR_INTERNAL); /* it has ended */
}

/* Ranks that only compute and call progress get the whole sum before they call wait. */
static void calls_of_progress_complete_a_sum(void)
{
    const int64_t n = 3 << 20;
    dt_error err = {0};
    dt_comm_request *request;
    float *v = allocate(n * (int64_t)sizeof *v);
    for (int64_t i = 0; i < n; i++)
        v[i] = 1.0f;
    DT_REQUIRE(comm->ops->all_reduce_start(comm, v, n, DT_F32, &request, &err) == DT_OK);
    double start = dt_clock_s();
    volatile const float *last = v + n - 1;
    /* The end of the vector is summed last. Only this test may read it before wait(). */
    while ((*last != (float)comm->size || v[0] != (float)comm->size) && dt_clock_s() - start < 30.0) {
        dt_clock_sleep_s(0.0005);
        DT_CHECK_INT(comm->ops->progress(comm, &err), DT_OK);
    }
    DT_CHECK_MSG(*last == (float)comm->size, "after 30 s of progress the sum is not there");
    DT_CHECK_INT(comm->ops->barrier(comm, &err), DT_OK);
    DT_CHECK_INT(comm->ops->wait(comm, request, &err), DT_OK);
    free(v);
}

static void an_error_of_mpi_is_a_lost_rank_or_a_failure(void)
{
    static const struct {
        int code, size;
        dt_status status;
    } cases[] = {{MPI_ERR_OTHER, 2, DT_ERR_PEER},    {MPI_ERR_INTERN, 2, DT_ERR_PEER},
                 {MPI_ERR_UNKNOWN, 2, DT_ERR_PEER},  {MPI_ERR_ARG, 2, DT_ERR_COMM},
                 {MPI_ERR_TRUNCATE, 2, DT_ERR_COMM}, {MPI_ERR_OTHER, 1, DT_ERR_COMM}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_comm_mpi c = {.head = {.size = cases[i].size}};
        dt_error err = {0};
        DT_CHECK_INT(dt_mpi_fail(&c, cases[i].code, "a broadcast", &err), cases[i].status);
        DT_CHECK_CONTAINS(err.message, "MPI, in a broadcast: ");
        DT_CHECK(c.failed);
        DT_CHECK_INT(c.lost_peer, cases[i].status == DT_ERR_PEER);
        DT_CHECK_INT(strstr(err.message, "ranks send different things") != NULL,
                     cases[i].code == MPI_ERR_TRUNCATE);
    }
}

static void after_a_failure_each_operation_reports_it(void)
{
    dt_comm_mpi *c = (dt_comm_mpi *)comm;
    for (int lost = 0; lost <= 1; lost++) {
        const dt_status status = lost ? DT_ERR_PEER : DT_ERR_COMM;
        dt_comm_request open = {.open = true}, *request = &open;
        dt_error err = {0};
        float v[2] = {0}, all[2 * MAX_RANKS];
        c->failed = true;
        c->lost_peer = lost;
        DT_CHECK_INT(comm->ops->barrier(comm, &err), status);
        DT_CHECK_INT(comm->ops->broadcast(comm, v, sizeof v, 0, &err), status);
        DT_CHECK_INT(comm->ops->all_gather(comm, v, sizeof v, all, &err), status);
        DT_CHECK_INT(comm->ops->all_reduce(comm, v, 2, DT_F32, DT_REDUCE_SUM, &err), status);
        DT_CHECK_INT(comm->ops->wait(comm, request, &err), status);
        DT_CHECK_INT(comm->ops->all_reduce_start(comm, v, 2, DT_F32, &request, &err), status);
        DT_CHECK_INT(comm->ops->progress(comm, &err), status);
        DT_CHECK_STR(err.message, lost ? "gradients: communication has failed before: another rank is lost"
                                       : "gradients: communication has failed before");
        c->failed = c->lost_peer = false;
    }
    DT_CHECK_INT(comm->ops->barrier(comm, &(dt_error){0}), DT_OK);
}

/* The ranks with even numbers, while the others wait in a collective of all. */
static void a_part_of_the_ranks_has_collectives_of_its_own(void)
{
    dt_comm *part = NULL;
    dt_error err = {0};
    const bool takes_part = comm->rank % 2 == 0;
    DT_REQUIRE(dt_comm_mpi_create_part(takes_part, NULL, &part, &err) == DT_OK);
    DT_CHECK((part != NULL) == takes_part);
    if (part) {
        int64_t sum = comm->rank, all[MAX_RANKS] = {0}, mine = comm->rank;
        DT_CHECK_INT(part->size, (comm->size + 1) / 2);
        DT_CHECK_INT(part->rank, comm->rank / 2);
        DT_CHECK_INT(part->ops->all_reduce(part, &sum, 1, DT_I64, DT_REDUCE_SUM, &err), DT_OK);
        DT_CHECK_INT(sum, part->size * (part->size - 1));
        DT_CHECK_INT(part->ops->all_gather(part, &mine, sizeof mine, all, &err), DT_OK);
        for (int r = 0; r < part->size; r++)
            DT_CHECK_INT(all[r], 2 * r);
        part->ops->destroy(part);
    }
    DT_CHECK_INT(comm->ops->barrier(comm, &err), DT_OK);
}

static void creation_survives_every_failed_allocation(void)
{
    if (comm->size > 1)
        DT_SKIP("a rank that fails leaves the others waiting: tested with one rank");
    const int64_t before = dt_alloc_live_blocks();
    dt_status status = DT_ERR_MEMORY;
    int n = 0;
    for (; status == DT_ERR_MEMORY && n < 100; n++) {
        dt_comm *c = NULL;
        dt_error err = {0};
        dt_alloc_fail_after(n + 1);
        status = dt_comm_mpi_create(NULL, &c, &err);
        dt_alloc_fail_after(0);
        DT_CHECK((status == DT_OK) == (c != NULL));
        if (c)
            c->ops->destroy(c);
        DT_CHECK_INT(dt_alloc_live_blocks(), before);
    }
    DT_CHECK_INT(status, DT_OK);
    DT_CHECK(n > 5);
}

static const dt_test tests[] = {
    DT_TEST(rank_size_and_host_are_set),
    DT_TEST(a_barrier_waits_for_the_last_rank),
    DT_TEST(broadcast_from_every_rank),
    DT_TEST(all_gather_of_any_size),
    DT_TEST(large_messages_are_sent_in_pieces),
    DT_TEST(all_reduce_of_all_types_and_operations),
    DT_TEST(sums_add_in_the_order_of_ranks),
    DT_TEST(sums_with_one_rank_per_host_add_in_the_order_of_ranks),
    DT_TEST(two_level_sums_have_the_same_bits_on_all_ranks_and_in_all_runs),
    DT_TEST(sixty_four_sums_may_be_under_way),
    DT_TEST(calls_of_progress_complete_a_sum),
    DT_TEST(an_error_of_mpi_is_a_lost_rank_or_a_failure),
    DT_TEST(after_a_failure_each_operation_reports_it),
    DT_TEST(a_part_of_the_ranks_has_collectives_of_its_own),
    DT_TEST(creation_survives_every_failed_allocation),
};

DT_TEST_MAIN("comm/mpi", tests)
