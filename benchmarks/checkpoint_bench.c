/* checkpoint_bench.c: how long does a checkpoint take to write and to load, compared with a plain file of the
 * same bytes?
 *
 *   checkpoint_bench FOLDER [ROUNDS [ARCH]]        5 rounds of resnet50; FOLDER must be empty
 *
 * In each round: a plain write and fsync of one file, a checkpoint of one rank (hashes, fsyncs and renames),
 * a plain read, a load as the checkpoint was left, which is not in the page cache, and a second one after
 * the file was brought there (both hash, and set the net). Prints one JSON object; benchmarks/README.md
 * defines the keys. */
#include "config.h"

#include "comm/self.h"
#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/checkpoint/load.h"
#include "core/checkpoint/saver.h"
#include "core/model/net.h"
#include "io/durable.h"
#include "io/store/hdf5_store.h"
#include "layers/device_host.h"
#ifdef DT_WITH_CPU
#    include "layers/cpu/kernels_cpu.h"
#else
#    include "layers/ref/kernels_ref.h"
#endif
#include "layers/registry.h"
#include "layers/resnet.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    PLAIN_WRITE,
    WRITE,
    WRITE_CPU,
    STALL,
    PLAIN_READ,
    LOAD,
    LOAD_CPU,
    CACHED,
    CACHED_CPU,
    N_TIMES,
    MAX_ROUNDS = 100
};
static const char *const names[N_TIMES] = {"plain_write_s", "write_s",       "write_cpu_s",
                                           "stall_s",       "plain_read_s",  "load_s",
                                           "load_cpu_s",    "cached_load_s", "cached_load_cpu_s"};

typedef struct bench {
    const char *folder;
    dt_net *net;
    dt_comm *comm;
    dt_store *store;
    dt_writer *saver;
    double seconds[N_TIMES][MAX_ROUNDS];
    int64_t bytes;
} bench;

/* Processor time of all threads so far. */
static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static dt_status plain(const char *folder, char *memory, int64_t bytes, bool writes, double *seconds,
                       dt_error *err)
{
    char path[DT_DURABLE_PATH_BYTES];
    DT_TRY(dt_durable_path(path, err, "%s/plain", folder));
    double start = dt_clock_s();
    int fd = open(path, writes ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY, 0666);
    if (fd < 0)
        return dt_fail_errno(err, "%s: cannot open it", path);
    dt_status status = writes ? dt_durable_write(fd, path, memory, bytes, 0, err)
                              : dt_durable_read(fd, path, memory, bytes, 0, err);
    if (status == DT_OK && writes)
        status = dt_durable_sync(fd, path, err);
    close(fd);
    *seconds = dt_clock_s() - start;
    return status;
}

static dt_status save(bench *b, int round, dt_error *err)
{
    dt_writer_progress progress = {0};
    dt_manifest m = {.format_version = DT_MANIFEST_VERSION,
                     .step = round + 1,
                     .loss_scale = 1,
                     .n_good_steps = -1,
                     .world_size = 1,
                     .global_batch = 1,
                     .arch = "bench",
                     .n_classes = 1,
                     .image_size = 1,
                     .config_text = dt_strdup("")};
    const double start = dt_clock_s(), start_cpu = cpu_s();
    dt_status status = dt_writer_start(b->saver, &m, err);
    b->seconds[STALL][round] = dt_clock_s() - start;
    if (status == DT_OK)
        status = dt_writer_finish(b->saver, INFINITY, &progress, err);
    b->seconds[WRITE][round] = dt_clock_s() - start;
    b->seconds[WRITE_CPU][round] = cpu_s() - start_cpu;
    b->bytes = progress.bytes;
    dt_manifest_clear(&m);
    return status;
}

/* Read the shard through the page cache, which keeps it. */
static dt_status bring_into_cache(const bench *b, const dt_manifest *m, dt_error *err)
{
    char path[DT_DURABLE_PATH_BYTES], part[1 << 16];
    DT_TRY(dt_durable_path(path, err, "%s/step-%08lld/%s", b->folder, (long long)m->step, m->shards[0].file));
    const int fd = open(path, O_RDONLY);
    if (fd < 0)
        return dt_fail_errno(err, "%s: cannot open it", path);
    while (read(fd, part, sizeof part) > 0)
        ;
    close(fd);
    return DT_OK;
}

static dt_status load(bench *b, double *seconds, double *cpu_seconds, dt_error *err)
{
    bool found = false;
    dt_manifest m = {0};
    const dt_checkpoint_location location = {.store = b->store};
    const dt_state_io io = dt_net_state_io(b->net);
    const double start = dt_clock_s(), start_cpu = cpu_s();
    DT_TRY(dt_checkpoint_load(b->comm, &location, dt_net_state_layout(b->net), &io, NULL, NULL, &m, &found,
                              err));
    *seconds = dt_clock_s() - start;
    *cpu_seconds = cpu_s() - start_cpu;
    const dt_status status = found ? bring_into_cache(b, &m, err) : DT_OK;
    dt_manifest_clear(&m);
    DT_TRY(status);
    return found ? DT_OK : dt_fail(err, DT_ERR_INTERNAL, "the checkpoint just written is not there");
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static dt_status run_rounds(bench *b, int rounds, dt_error *err)
{
    const int64_t bytes = dt_net_state_layout(b->net)->n_elems * (int64_t)sizeof(float);
    char *memory = dt_calloc(1, (size_t)bytes);
    if (!memory)
        return dt_fail_memory(err, (size_t)bytes, "the bytes of a plain file");
    dt_status status = DT_OK;
    for (int r = 0; r < rounds && status == DT_OK; r++) {
        status = plain(b->folder, memory, bytes, true, &b->seconds[PLAIN_WRITE][r], err);
        if (status == DT_OK)
            status = save(b, r, err);
        if (status == DT_OK)
            status = plain(b->folder, memory, bytes, false, &b->seconds[PLAIN_READ][r], err);
        if (status == DT_OK)
            status = load(b, &b->seconds[LOAD][r], &b->seconds[LOAD_CPU][r], err);
        if (status == DT_OK)
            status = load(b, &b->seconds[CACHED][r], &b->seconds[CACHED_CPU][r], err);
    }
    dt_free(memory);
    if (status != DT_OK)
        return status;
    printf("{\"program\": \"dtrain\", \"state_bytes\": %lld, \"file_bytes\": %lld, \"rounds\": %d",
           (long long)bytes, (long long)b->bytes, rounds);
    for (int t = 0; t < N_TIMES; t++) {
        qsort(b->seconds[t], (size_t)rounds, sizeof(double), by_value);
        printf(", \"%s\": %.4f", names[t], b->seconds[t][rounds / 2]);
    }
    printf("}\n");
    return DT_OK;
}

static dt_status run(bench *b, const char *arch, int rounds, dt_error *err)
{
    dt_device *device = NULL;
    dt_kernels *kernels = NULL;
    dt_net_spec spec;
    DT_TRY(dt_device_host_create(1, &device, err));
#ifdef DT_WITH_CPU
    DT_TRY(dt_kernels_cpu_create(device, 1, &kernels, err));
#else
    DT_TRY(dt_kernels_ref_create(device, DT_F32, &kernels, err)); /* only changes the layout of tensors */
#endif
    DT_TRY(dt_comm_self_create(&b->comm, err));
    DT_TRY(dt_resnet_spec(arch, 1000, &spec, err));
    const dt_net_options options = {.batch = 1, .image_size = 64, .training = true};
    DT_TRY(dt_net_create(&spec, dt_layer_registry(), kernels, &options, &b->net, err));
    DT_TRY(dt_net_init(b->net, 1, false, err));
    DT_TRY(dt_store_hdf5_create(b->folder, &b->store, err));
    const dt_state_io io = dt_net_state_io(b->net);
    const dt_saver_options saver_options = {
        .comm = b->comm, .store = b->store, .keep = 2, .layout = dt_net_state_layout(b->net), .io = &io};
    dt_snapshot_memory memory;
    DT_TRY(dt_saver_create(&saver_options, &b->saver, &memory, err));
    DT_TRY(run_rounds(b, rounds, err));
    dt_writer_destroy(b->saver);
    b->store->ops->destroy(b->store);
    dt_net_destroy(b->net);
    dt_free(spec.layers);
    b->comm->ops->destroy(b->comm);
    kernels->ops->destroy(kernels);
    device->ops->destroy(device);
    return DT_OK;
}

int main(int argc, char **argv)
{
    static bench b;
    dt_error err = {0};
    const int rounds = argc > 2 ? atoi(argv[2]) : 5;
    if (argc < 2 || argc > 4 || rounds < 1 || rounds > MAX_ROUNDS) {
        fprintf(stderr, "usage: checkpoint_bench FOLDER [ROUNDS [ARCH]]\n");
        return 2;
    }
    b.folder = argv[1];
    if (run(&b, argc > 3 ? argv[3] : "resnet50", rounds, &err) != DT_OK) {
        fprintf(stderr, "checkpoint_bench: %s\n", err.message);
        return dt_status_exit_code(err.status);
    }
    return 0;
}
