/* all_reduce_bench.c: how much time and processor time does it take to sum gradients over ranks, during
 * computation or alone?
 *
 *   mpirun -np 2 all_reduce_bench --mib 98 --bucket-kib 4096 --compute-ms 0 --rounds 10
 *
 * Runs four ways in turn, round by round, so that a busy machine slows all of them down, and prints one JSON
 * object for each:
 *   blocking      MPI_Allreduce in place on the whole vector, after the work
 *   nonblocking   MPI_Iallreduce in place on a bucket as soon as it is ready, MPI_Testall after every part of
 *                 the work
 *   silent        the same without the MPI_Testall: does the library progress by itself?
 *   dtrain        core/collective/grad_buckets over comm/mpi
 * The "work" is compute-ms of arithmetic on this rank, in as many parts as the vector has. Keys:
 * benchmarks/README.md. */
#include "comm/mpi.h"
#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/collective/grad_buckets.h"

#include <mpi.h>

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_ROUNDS 200
#define MAX_BUCKETS 4096

typedef struct settings {
    double mib, compute_ms;
    int64_t bucket_kib, parts, rounds;
    int ranks_per_host;
} settings;

typedef struct bench {
    settings s;
    dt_comm *comm;
    float *grads;
    int64_t n, n_parts;
    dt_grad_part *parts; /* ascending; ready from the last on */
    dt_grad_buckets *buckets;
    double work_per_part_s;
} bench;

typedef struct times {
    double wall_s, cpu_s, wait_s;
} times;

static error_t parse(int key, char *value, struct argp_state *state)
{
    settings *s = state->input;
    switch (key) {
    case 'm':
        s->mib = atof(value);
        break;
    case 'b':
        s->bucket_kib = atol(value);
        break;
    case 'c':
        s->compute_ms = atof(value);
        break;
    case 'p':
        s->parts = atol(value);
        break;
    case 'r':
        s->rounds = atol(value);
        break;
    case 'h':
        s->ranks_per_host = atoi(value);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_option argp_options[] = {
    {"mib", 'm', "MIB", 0, "of gradients, in units of 2^20 bytes (98: ResNet-50)", 0},
    {"bucket-kib", 'b', "KIB", 0, "(4096)", 0},
    {"compute-ms", 'c', "MS", 0, "of work while gradients become ready (0)", 0},
    {"parts", 'p', "N", 0, "that the gradients become ready in (54)", 0},
    {"rounds", 'r', "N", 0, "(10)", 0},
    {"ranks-per-host", 'h', "N", 0, "take so many ranks as those of one host (as found)", 0},
    {0},
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "all_reduce_bench: %s\n", what);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* Computes for this much processor time, in place of a layer's backward pass. */
static void work(const bench *b)
{
    volatile float x = 1.0f;
    const double end = dt_clock_cpu_s() + b->work_per_part_s;
    while (b->work_per_part_s > 0 && dt_clock_cpu_s() < end)
        for (int i = 0; i < 200; i++)
            x = x * 0.999f + 0.001f;
}

static int64_t bucket_elems(const bench *b)
{
    return b->s.bucket_kib * 1024 / (int64_t)sizeof(float);
}

/* Each way: work on part after part from the end on, and sum; returns the time blocked after the last
 * part. */

static double way_blocking(bench *b)
{
    for (int64_t p = b->n_parts - 1; p >= 0; p--)
        work(b);
    const double start = dt_clock_s();
    for (int64_t at = 0; at < b->n; at += 1 << 28) {
        int piece = (int)(b->n - at < 1 << 28 ? b->n - at : 1 << 28);
        must(MPI_Allreduce(MPI_IN_PLACE, b->grads + at, piece, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD) ==
                 MPI_SUCCESS,
             "MPI_Allreduce");
    }
    return dt_clock_s() - start;
}

static double way_iallreduce(bench *b, bool tests)
{
    static MPI_Request open[MAX_BUCKETS];
    int n_open = 0, done = 0;
    int64_t first = b->n;
    for (int64_t p = b->n_parts - 1; p >= 0; p--) {
        work(b);
        while (first > 0 && first - bucket_elems(b) >= b->parts[p].first - (p == 0 ? bucket_elems(b) : 0)) {
            int64_t next = first > bucket_elems(b) ? first - bucket_elems(b) : 0;
            must(n_open < MAX_BUCKETS, "too many buckets");
            must(MPI_Iallreduce(MPI_IN_PLACE, b->grads + next, (int)(first - next), MPI_FLOAT, MPI_SUM,
                                MPI_COMM_WORLD, &open[n_open++]) == MPI_SUCCESS,
                 "MPI_Iallreduce");
            first = next;
        }
        if (tests)
            MPI_Testall(n_open, open, &done, MPI_STATUSES_IGNORE);
    }
    const double start = dt_clock_s();
    must(MPI_Waitall(n_open, open, MPI_STATUSES_IGNORE) == MPI_SUCCESS, "MPI_Waitall");
    return dt_clock_s() - start;
}

static double way_nonblocking(bench *b)
{
    return way_iallreduce(b, true);
}

static double way_silent(bench *b)
{
    return way_iallreduce(b, false);
}

static double way_dtrain(bench *b)
{
    dt_error err = {0};
    double wait_s = 0;
    dt_grad_buckets_begin(b->buckets);
    for (int64_t p = b->n_parts - 1; p >= 0; p--) {
        work(b);
        must(dt_grad_buckets_ready(b->buckets, p, &err) == DT_OK, err.message);
    }
    must(dt_grad_buckets_finish(b->buckets, &wait_s, &err) == DT_OK, err.message);
    return wait_s;
}

static const struct {
    const char *name;
    double (*run)(bench *b);
} ways[] = {{"blocking", way_blocking},
            {"nonblocking", way_nonblocking},
            {"silent", way_silent},
            {"dtrain", way_dtrain}};
enum { N_WAYS = sizeof ways / sizeof *ways };

/* The slowest rank's times. */
static times measure(bench *b, int way)
{
    for (int64_t i = 0; i < b->n; i++)
        b->grads[i] = 1.0f;
    MPI_Barrier(MPI_COMM_WORLD);
    const double wall = dt_clock_s(), cpu = dt_clock_cpu_s();
    double wait_s = ways[way].run(b);
    times t = {dt_clock_s() - wall, dt_clock_cpu_s() - cpu, wait_s};
    must(b->grads[0] == (float)b->comm->size && b->grads[b->n - 1] == (float)b->comm->size, "a wrong sum");
    must(MPI_Allreduce(MPI_IN_PLACE, &t, 3, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD) == MPI_SUCCESS,
         "MPI_Allreduce");
    return t;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const bench *b, int way, double *wall, double *cpu, double *wait)
{
    const size_t n = (size_t)b->s.rounds;
    qsort(wall, n, sizeof *wall, compare);
    qsort(cpu, n, sizeof *cpu, compare);
    qsort(wait, n, sizeof *wait, compare);
    printf("{\"way\": \"%s\", \"ranks\": %d, \"mib\": %g, \"bucket_kib\": %lld, \"compute_ms\": %g, "
           "\"rounds\": %zu, \"ms\": %.1f, \"ms_min\": %.1f, "
           "\"cpu_ms\": %.1f, \"cpu_ms_min\": %.1f, \"wait_ms\": %.1f, \"wait_ms_min\": %.1f}\n",
           ways[way].name, b->comm->size, b->s.mib, (long long)b->s.bucket_kib, b->s.compute_ms, n,
           1e3 * wall[n / 2], 1e3 * wall[0], 1e3 * cpu[n / 2], 1e3 * cpu[0], 1e3 * wait[n / 2],
           1e3 * wait[0]);
}

static void create(bench *b)
{
    dt_error err = {0};
    const dt_comm_mpi_options options = {.ranks_per_host = b->s.ranks_per_host};
    must(dt_comm_mpi_create(&options, &b->comm, &err) == DT_OK, err.message);
    b->n = (int64_t)(b->s.mib * 1048576.0 / sizeof(float));
    b->n_parts = b->s.parts;
    b->work_per_part_s = 1e-3 * b->s.compute_ms / (double)b->n_parts;
    b->grads = dt_alloc((size_t)b->n * sizeof *b->grads);
    b->parts = dt_calloc((size_t)b->n_parts, sizeof *b->parts);
    must(b->grads && b->parts, "out of memory");
    for (int64_t p = 0; p < b->n_parts; p++)
        b->parts[p] =
            (dt_grad_part){b->n * p / b->n_parts, b->n * (p + 1) / b->n_parts - b->n * p / b->n_parts, false};
    must(dt_grad_buckets_create(b->comm, b->grads, b->n, b->parts, b->n_parts, b->s.bucket_kib * 1024, DT_F32,
                                &b->buckets, &err) == DT_OK,
         err.message);
}

int main(int argc, char **argv)
{
    static double wall[N_WAYS][MAX_ROUNDS], cpu[N_WAYS][MAX_ROUNDS], wait[N_WAYS][MAX_ROUNDS];
    bench b = {.s = {.mib = 98, .bucket_kib = 4096, .parts = 54, .rounds = 10}};
    const struct argp argp = {
        argp_options, parse, NULL, "What it costs to sum gradients over ranks. Run it under mpirun.",
        NULL,         NULL,  NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &b.s);
    must(b.s.rounds >= 1 && b.s.rounds <= MAX_ROUNDS && b.s.parts >= 1 && b.s.mib > 0 && b.s.bucket_kib >= 1,
         "a value is out of range");
    create(&b);
    for (int way = 0; way < N_WAYS; way++) /* warm up */
        measure(&b, way);
    for (int64_t r = 0; r < b.s.rounds; r++)
        for (int way = 0; way < N_WAYS; way++) {
            times t = measure(&b, way);
            wall[way][r] = t.wall_s;
            cpu[way][r] = t.cpu_s;
            wait[way][r] = t.wait_s;
        }
    for (int way = 0; way < N_WAYS && b.comm->rank == 0; way++)
        report(&b, way, wall[way], cpu[way], wait[way]);
    dt_grad_buckets_destroy(b.buckets);
    dt_free(b.parts);
    dt_free(b.grads);
    b.comm->ops->destroy(b.comm);
    return 0;
}
