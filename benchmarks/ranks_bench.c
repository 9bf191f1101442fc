/* ranks_bench: dtrain itself, linked with a small net (tests/program/small_net.c) and some functions wrapped
 * (ld --wrap), to measure what grows with the number of ranks:
 *
 *   RANKS_BENCH=FOLDER mpirun -np 64 ranks_bench --data DIR --steps 3 ...        dtrain's options
 *
 * Every rank writes one JSON object to FOLDER/RANK when it destroys its communicator. Times are in seconds
 * from the start of the process: setup_s (MPI is set up), start_s (the first step begins), cpu_start_s
 * (processor time until then). Of this rank's collectives on host memory (not the sums of gradients): calls,
 * and bytes that it receives, in the start, in two steps, and from then to the end (evaluation, checkpoint).
 * Memory: setup_kib and end_kib, the process's proportional share. benchmarks/README.md has the table. */
#include "core/base/clock.h"
#include "core/comm.h"
#include "core/model/net.h"
#include "launch/hardware/transports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { START, STEPS, END, N_PHASES, STEPS_COUNTED = 2 };

typedef struct counts {
    int64_t calls, bytes;
} counts;

static struct {
    const dt_comm_ops *ops; /* of the communicator that counts */
    dt_comm_ops counting;
    double began_s, setup_s, start_s, cpu_start_s;
    int64_t setup_kib, n_forward;
    counts phases[N_PHASES];
    int phase;
} bench;

dt_status __real_dt_transport_create(const char *name, double timeout_s, dt_comm **comm, dt_error *err);
dt_status __wrap_dt_transport_create(const char *name, double timeout_s, dt_comm **comm, dt_error *err);
dt_status __real_dt_net_forward(dt_net *net, const uint8_t *pixels, const dt_pass *pass, dt_error *err);
dt_status __wrap_dt_net_forward(dt_net *net, const uint8_t *pixels, const dt_pass *pass, dt_error *err);

/* Before main, so that the loading of libraries counts. */
__attribute__((constructor)) static void begin(void)
{
    bench.began_s = dt_clock_s();
}

static double cpu_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* KiB of memory, shared pages divided by the number of processes that share them. */
static int64_t memory_kib(void)
{
    char line[256];
    long long kib = -1;
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "Pss: %lld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

static void count(int64_t bytes)
{
    bench.phases[bench.phase].calls++;
    bench.phases[bench.phase].bytes += bytes;
}

static dt_status broadcast(dt_comm *comm, void *buffer, int64_t bytes, int root, dt_error *err)
{
    count(bytes);
    return bench.ops->broadcast(comm, buffer, bytes, root, err);
}

static dt_status all_gather(dt_comm *comm, const void *mine, int64_t bytes, void *all, dt_error *err)
{
    count(bytes * comm->size);
    return bench.ops->all_gather(comm, mine, bytes, all, err);
}

static dt_status all_reduce(dt_comm *comm, void *buffer, int64_t n, dt_dtype dtype, dt_reduce_op op,
                            dt_error *err)
{
    count(n * (int64_t)dt_dtype_bytes(dtype));
    return bench.ops->all_reduce(comm, buffer, n, dtype, op, err);
}

static void put_phase(FILE *f, const char *name, const counts *c)
{
    fprintf(f, ", \"%s_calls\": %lld, \"%s_bytes\": %lld", name, (long long)c->calls, name,
            (long long)c->bytes);
}

static void destroy(dt_comm *comm)
{
    char path[4096];
    const char *folder = getenv("RANKS_BENCH");
    snprintf(path, sizeof path, "%s/%d", folder ? folder : ".", comm->rank);
    FILE *f = fopen(path, "w");
    if (!f) {
        fprintf(stderr, "ranks_bench: %s cannot be written; RANKS_BENCH names its folder\n", path);
        abort();
    }
    fprintf(f,
            "{\"setup_s\": %.3f, \"start_s\": %.3f, \"cpu_start_s\": %.3f, \"setup_kib\": %lld, \"end_kib\": "
            "%lld",
            bench.setup_s, bench.start_s, bench.cpu_start_s, (long long)bench.setup_kib,
            (long long)memory_kib());
    put_phase(f, "start", &bench.phases[START]);
    put_phase(f, "steps", &bench.phases[STEPS]);
    put_phase(f, "end", &bench.phases[END]);
    fprintf(f, "}\n");
    fclose(f);
    bench.ops->destroy(comm);
}

dt_status __wrap_dt_transport_create(const char *name, double timeout_s, dt_comm **comm, dt_error *err)
{
    DT_TRY(__real_dt_transport_create(name, timeout_s, comm, err));
    bench.setup_s = dt_clock_s() - bench.began_s;
    bench.setup_kib = memory_kib();
    bench.ops = (*comm)->ops;
    bench.counting = *bench.ops;
    bench.counting.broadcast = broadcast;
    bench.counting.all_gather = all_gather;
    bench.counting.all_reduce = all_reduce;
    bench.counting.destroy = destroy;
    (*comm)->ops = &bench.counting;
    return DT_OK;
}

dt_status __wrap_dt_net_forward(dt_net *net, const uint8_t *pixels, const dt_pass *pass, dt_error *err)
{
    if (bench.n_forward == 0) {
        bench.start_s = dt_clock_s() - bench.began_s;
        bench.cpu_start_s = cpu_s();
    }
    bench.phase = bench.n_forward < STEPS_COUNTED ? STEPS : END;
    bench.n_forward++;
    return __real_dt_net_forward(net, pixels, pass, err);
}
