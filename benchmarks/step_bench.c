/* step_bench.c: how long is a training step (forward, loss, backward, update) on one rank, on synthetic
 * images?
 *
 *   step_bench --arch resnet50 --image-size 224 --batch 16 --threads 2 --steps 10 --warmup 2 [--backend
 *   cpu|ref] [--classes 1000]
 *
 * Prints one JSON object: the keys are those of benchmarks/peers/torch_step.py, defined in
 * benchmarks/README.md. The update is SGD with momentum, weight decay and label smoothing, as in the peer.
 * Decoding is not part of it: see loader_bench. */
#include "config.h"

#include "comm/self.h"
#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/rng.h"
#include "core/training/step.h"
#include "layers/device_host.h"
#ifdef DT_WITH_CPU
#    include "layers/cpu/kernels_cpu.h"
#endif
#include "layers/ref/kernels_ref.h"
#include "layers/registry.h"
#include "layers/resnet.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct settings {
    const char *arch, *backend;
    int64_t image_size, batch, classes, threads, steps, warmup;
} settings;

static error_t parse(int key, char *value, struct argp_state *state)
{
    settings *s = state->input;
    switch (key) {
    case 'a':
        s->arch = value;
        break;
    case 'k':
        s->backend = value;
        break;
    case 'i':
        s->image_size = atol(value);
        break;
    case 'b':
        s->batch = atol(value);
        break;
    case 'c':
        s->classes = atol(value);
        break;
    case 't':
        s->threads = atol(value);
        break;
    case 's':
        s->steps = atol(value);
        break;
    case 'w':
        s->warmup = atol(value);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_option argp_options[] = {
    {"arch", 'a', "NAME", 0, "resnet18 to resnet152 (resnet50)", 0},
    {"backend", 'k', "NAME", 0, "cpu or ref (cpu)", 0},
    {"image-size", 'i', "PIXELS", 0, "(224)", 0},
    {"batch", 'b', "N", 0, "images per step (16)", 0},
    {"classes", 'c', "N", 0, "(1000)", 0},
    {"threads", 't', "N", 0, "compute threads (2)", 0},
    {"steps", 's', "N", 0, "steps that are timed (10)", 0},
    {"warmup", 'w', "N", 0, "steps before them (2)", 0},
    {0},
};

/* A source whose one batch is always ready. */
typedef struct synthetic {
    dt_source head;
    dt_batch batch;
} synthetic;

static dt_status next(dt_source *source, dt_batch **batch, dt_error *err)
{
    (void)err;
    *batch = &((synthetic *)source)->batch;
    return DT_OK;
}

static void release(dt_source *source, dt_batch *batch)
{
    (void)source;
    (void)batch;
}

static const dt_source_ops synthetic_ops = {.name = "synthetic", .next = next, .release = release};

static dt_status create_synthetic(const settings *s, synthetic *source, dt_error *err)
{
    int64_t bytes = s->batch * s->image_size * s->image_size * 3;
    *source = (synthetic){.head = {&synthetic_ops}, .batch = {.n = s->batch, .size = s->image_size}};
    source->batch.pixels = dt_alloc((size_t)bytes);
    source->batch.labels = dt_alloc((size_t)s->batch * sizeof(int32_t));
    if (!source->batch.pixels || !source->batch.labels)
        return dt_fail_memory(err, (size_t)bytes, "synthetic images");
    dt_rng g = dt_rng_at(1, DT_RNG_TEST, 0, 0);
    for (int64_t i = 0; i < bytes; i++)
        source->batch.pixels[i] = (uint8_t)dt_rng_u32(&g);
    for (int64_t i = 0; i < s->batch; i++)
        source->batch.labels[i] = (int32_t)dt_rng_below(&g, (uint64_t)s->classes);
    return DT_OK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* VmHWM (the maximum so far) or VmRSS (now) of this process, in bytes. */
static long long memory_bytes(const char *key)
{
    char line[256];
    long long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            kib = strtoll(line + strlen(key) + 1, NULL, 10);
    if (f)
        fclose(f);
    return kib * 1024;
}

static double median(double *values, int64_t n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    return n % 2 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

static void print_result(const settings *s, double *ms, double *cpu_ms, long long start_rss, double loss)
{
    double middle = median(ms, s->steps), cpu_middle = median(cpu_ms, s->steps);
    printf("{\"program\": \"dtrain %s\", \"arch\": \"%s\", \"image_size\": %lld, \"batch\": %lld, "
           "\"threads\": %lld, \"steps\": %lld, ",
           s->backend, s->arch, (long long)s->image_size, (long long)s->batch, (long long)s->threads,
           (long long)s->steps);
    printf("\"ms_per_step\": %.3f, \"ms_min\": %.3f, \"ms_max\": %.3f, \"cpu_ms_per_step\": %.3f, "
           "\"images_per_s\": %.3f, ",
           middle, ms[0], ms[s->steps - 1], cpu_middle, 1e3 * (double)s->batch / middle);
    printf("\"start_rss_bytes\": %lld, \"peak_rss_bytes\": %lld, \"loss\": %.6f}\n", start_rss,
           memory_bytes("VmHWM:"), loss);
}

static dt_status time_steps(const settings *s, dt_step *step, dt_source *source, long long start_rss,
                            dt_error *err)
{
    dt_step_result result = {0};
    dt_status status = DT_OK;
    double *ms = dt_alloc(2 * (size_t)s->steps * sizeof *ms), *cpu_ms = ms + s->steps;
    if (!ms)
        return dt_fail_memory(err, 2 * (size_t)s->steps * sizeof *ms, "the timings");
    for (int64_t i = -s->warmup; i < s->steps && status == DT_OK; i++) {
        double start = dt_clock_s(), cpu_start = dt_clock_cpu_s();
        status = dt_step_run(step, source, 1e-3, (const float[DT_N_VOTES]){0}, err);
        int64_t n = 0;
        if (status == DT_OK)
            status = dt_step_results(step, true, &result, 1, &n, err);
        if (i >= 0) {
            ms[i] = 1e3 * (dt_clock_s() - start);
            cpu_ms[i] = 1e3 * (dt_clock_cpu_s() - cpu_start);
        }
    }
    if (status == DT_OK)
        print_result(s, ms, cpu_ms, start_rss, result.loss);
    dt_free(ms);
    return status;
}

static dt_status create_kernels(const settings *s, dt_device *device, dt_kernels **kernels, dt_error *err)
{
    if (strcmp(s->backend, "ref") == 0)
        return dt_kernels_ref_create(device, DT_F32, kernels, err);
#ifdef DT_WITH_CPU
    return dt_kernels_cpu_create(device, s->threads, kernels, err);
#else
    return dt_fail(err, DT_ERR_UNSUPPORTED,
                   "--backend %s: this build has no cpu backend: it was configured without oneDNN; there is "
                   "--backend ref",
                   s->backend);
#endif
}

static dt_status run(const settings *s, dt_error *err)
{
    dt_device *device = NULL;
    dt_kernels *kernels = NULL;
    dt_comm *comm = NULL;
    dt_net *net = NULL;
    dt_step *step = NULL;
    dt_net_spec spec;
    synthetic source;
    const long long start_rss = memory_bytes("VmRSS:");
    DT_TRY(dt_device_host_create(s->threads, &device, err));
    DT_TRY(create_kernels(s, device, &kernels, err));
    DT_TRY(dt_comm_self_create(&comm, err));
    DT_TRY(dt_resnet_spec(s->arch, s->classes, &spec, err));
    const dt_net_options net_options = {.batch = s->batch, .image_size = s->image_size, .training = true};
    DT_TRY(dt_net_create(&spec, dt_layer_registry(), kernels, &net_options, &net, err));
    DT_TRY(dt_net_init(net, 1, false, err));
    DT_TRY(create_synthetic(s, &source, err));
    const dt_step_options options = {.net = net,
                                     .kernels = kernels,
                                     .comm = comm,
                                     .batch = s->batch,
                                     .image_size = s->image_size,
                                     .accumulate = 1,
                                     .optimizer = {.momentum = 0.9f, .running_average_rate = 0.1f},
                                     .update = {.weight_decay = 1e-4, .bn_decay = true, .bias_decay = true},
                                     .label_smoothing = 0.1,
                                     .loss_scale = 1.0f};
    DT_TRY(dt_step_create(&options, &step, err));
    DT_TRY(time_steps(s, step, &source.head, start_rss, err));
    dt_step_destroy(step);
    dt_net_destroy(net);
    dt_free(source.batch.pixels);
    dt_free(source.batch.labels);
    dt_free(spec.layers);
    comm->ops->destroy(comm);
    kernels->ops->destroy(kernels);
    device->ops->destroy(device);
    return DT_OK;
}

int main(int argc, char **argv)
{
    settings s = {.arch = "resnet50",
                  .backend = "cpu",
                  .image_size = 224,
                  .batch = 16,
                  .classes = 1000,
                  .threads = 2,
                  .steps = 10,
                  .warmup = 2};
    const struct argp argp = {
        .options = argp_options, .parser = parse, .doc = "Time training steps on synthetic images."};
    dt_error err = {0};
    if (argp_parse(&argp, argc, argv, 0, NULL, &s) != 0 || s.image_size < 1 || s.batch < 1 || s.classes < 1 ||
        s.threads < 1 || s.steps < 1 || s.warmup < 0) {
        fprintf(stderr, "step_bench: a number is out of range\n");
        return 2;
    }
    if (run(&s, &err) != DT_OK) {
        fprintf(stderr, "step_bench: %s\n", err.message);
        return dt_status_exit_code(err.status);
    }
    return 0;
}
