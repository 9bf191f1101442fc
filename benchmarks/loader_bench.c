/* loader_bench.c: how many images a second does one core decode and augment?
 *
 *   loader_bench [--image-size 224] [--batch 32] [--passes 1] DIR         DIR/train/<class>/<file>.jpg
 *
 * Runs the loader with one thread and prints one JSON object: the keys are those of
 * benchmarks/peers/torch_loader.py, defined in benchmarks/README.md. In the first pass every file is checked
 * to its end; later ones are a little faster.
 *
 *   loader_bench --stages [--image-size 224] [--passes 1] DIR
 *
 * prints the CPU time of the stages instead: each line has one more stage, over all files, the fastest of the
 * passes:
 *
 *   read           the file into memory
 *   header         + parse its header
 *   entropy        + Huffman-decode all of it, without making pixels: the lower limit of every decoder of
 *                  whole files
 *   whole          read + decode every pixel, as a loader without windows does
 *   window         read + decode the rows and columns of a random-resized-crop
 *   sample         window + resize + flip: a sample of the second epoch or later
 *   sample, C      the same with the resizing in plain C
 *   first sight    sample + check the rest of the file: a sample of the first epoch
 *   evaluation     read + decode and resize the centre crop of an evaluation, from the second one on
 *   evaluation, DCT    the same, if evaluation shrank in the DCT as training does
 */
#define _GNU_SOURCE /* sched_setaffinity */
#include "core/base/clock.h"
#include "io/source/folder.h"
#include "io/source/jpeg.h"
#include "io/source/loader.h"
#include "io/source/resize.h"
#include "io/source/sample.h"

#include <argp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct bench_settings {
    const char *dir;
    int64_t image_size, batch, passes;
    bool stages;
} bench_settings;

static error_t parse(int key, char *value, struct argp_state *state)
{
    bench_settings *s = state->input;
    switch (key) {
    case 'i':
        s->image_size = atol(value);
        break;
    case 'b':
        s->batch = atol(value);
        break;
    case 'p':
        s->passes = atol(value);
        break;
    case 's':
        s->stages = true;
        break;
    case ARGP_KEY_ARG:
        s->dir = value;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_option argp_options[] = {
    {"image-size", 'i', "PIXELS", 0, "(224)", 0},
    {"batch", 'b', "N", 0, "images per batch (32)", 0},
    {"passes", 'p', "N", 0, "over the folder (1)", 0},
    {"stages", 's', 0, 0, "print the rate of each stage", 0},
    {0},
};

typedef enum bench_stage {
    READ,
    HEADER,
    ENTROPY,
    WHOLE,
    WINDOW,
    SAMPLE,
    SAMPLE_C,
    FIRST_SIGHT,
    EVALUATION,
    EVALUATION_DCT,
    N_STAGES
} bench_stage;
static const char *const stage_names[N_STAGES] = {"read",       "header",         "entropy",   "whole",
                                                  "window",     "sample",         "sample, C", "first sight",
                                                  "evaluation", "evaluation, DCT"};

typedef struct bench {
    const dt_folder *folder;
    int64_t size;
    dt_jpeg *jpeg;
    dt_sample *sample, *sample_c;
    uint8_t *pixels, *file;
    size_t file_room;
} bench;

static void check(dt_status status, const dt_error *err)
{
    if (status == DT_OK)
        return;
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

static void *must(void *p)
{
    if (p)
        return p;
    fprintf(stderr, "out of memory\n");
    exit(1);
}

static size_t read_file(bench *b, const char *path)
{
    FILE *file = fopen(path, "rb");
    size_t n = 0;
    while (file) {
        if (n == b->file_room)
            b->file = must(realloc(b->file, b->file_room = 2 * b->file_room + 65536));
        size_t got = fread(b->file + n, 1, b->file_room - n, file);
        if (got == 0)
            break;
        n += got;
    }
    if (file)
        fclose(file);
    return n;
}

static dt_crop crop_of(const bench *b, int64_t id, int64_t width, int64_t height)
{
    static const dt_crop_random_settings settings = {.scale_min = 0.08, .scale_max = 1, .flip = 0.5};
    dt_rng g = dt_rng_at(1, DT_RNG_AUGMENT, 0, (uint64_t)id);
    dt_crop crop = dt_crop_random(&settings, width, height, b->size, &g);
    crop.may_shrink = true;
    return crop;
}

/* The stages up to WINDOW. Broken files end the benchmark. */
static void decode_one(bench *b, bench_stage until, int64_t id, const char *path)
{
    dt_error err;
    int64_t width, height, n_rows;
    uint8_t *const *rows;
    size_t n_bytes = read_file(b, path);
    if (until == READ)
        return;
    check(dt_jpeg_open(b->jpeg, b->file, n_bytes, &width, &height, &err), &err);
    if (until == HEADER)
        return;
    dt_rect window = {.w = width, .h = height};
    if (until == ENTROPY)
        window = (dt_rect){.w = 1, .h = 1};
    if (until == WINDOW)
        window = crop_of(b, id, width, height).box;
    check(dt_jpeg_begin(b->jpeg, 1, window, &err), &err);
    for (int64_t n = 0; n < window.h; n += n_rows)
        check(dt_jpeg_rows(b->jpeg, &rows, &n_rows, &err), &err);
    check(dt_jpeg_end(b->jpeg, until == ENTROPY, &err), &err);
}

static void run_one(bench *b, bench_stage stage, int64_t id)
{
    dt_error err;
    char path[4096];
    dt_folder_path(b->folder, id, path, sizeof path);
    if (stage <= WINDOW) {
        decode_one(b, stage, id, path);
        return;
    }
    dt_sample *sample = stage == SAMPLE_C ? b->sample_c : b->sample;
    int64_t width, height;
    check(dt_sample_open(sample, path, &width, &height, &err), &err);
    const dt_crop_centre_settings evaluation = {.share = 0.875};
    dt_crop crop = stage < EVALUATION ? crop_of(b, id, width, height)
                                      : dt_crop_centre(&evaluation, width, height, b->size);
    crop.may_shrink = stage != EVALUATION;
    check(dt_sample_decode(sample, &crop, stage == FIRST_SIGHT, b->pixels, &err), &err);
}

static int run_stages(const bench_settings *s)
{
    dt_error err;
    dt_folder *folder = NULL;
    bench b = {.size = s->image_size};
    check(dt_folder_open(s->dir, "train", NULL, &folder, &err), &err);
    b.folder = folder;
    check(dt_jpeg_create(&b.jpeg, &err), &err);
    check(dt_sample_create(&b.sample, &err), &err);
    dt_resize_allow_vectors(false);
    check(dt_sample_create(&b.sample_c, &err), &err);
    b.pixels = must(malloc((size_t)(b.size * b.size * 3)));
    int64_t n = dt_folder_n_samples(folder);
    double best_s[N_STAGES];
    for (int64_t pass = 0; pass < s->passes; pass++)
        for (int stage = 0; stage < N_STAGES; stage++) {
            double start_s = dt_clock_cpu_s();
            for (int64_t id = 0; id < n; id++)
                run_one(&b, (bench_stage)stage, id);
            double elapsed_s = dt_clock_cpu_s() - start_s;
            best_s[stage] = pass == 0 || elapsed_s < best_s[stage] ? elapsed_s : best_s[stage];
        }
    printf("%lld files, to %lld x %lld pixels, on one core\n", (long long)n, (long long)b.size,
           (long long)b.size);
    for (int stage = 0; stage < N_STAGES; stage++)
        printf("%-15s %8.0f images/s %8.3f ms\n", stage_names[stage], (double)n / best_s[stage],
               1000 * best_s[stage] / (double)n);
    free(b.file);
    free(b.pixels);
    dt_sample_destroy(b.sample_c);
    dt_sample_destroy(b.sample);
    dt_jpeg_destroy(b.jpeg);
    dt_folder_close(folder);
    return 0;
}

static int run_loader(const bench_settings *s)
{
    const dt_loader_options options = {
        .root = s->dir,
        .training = true,
        .image_size = s->image_size,
        .batch = s->batch,
        .accumulate = 1,
        .world = 1,
        .workers = 1,
        .crop_scale_min = 0.08,
        .crop_scale_max = 1,
        .flip = 0.5,
        .eval_crop = 0.875,
        .seed = 1,
        .shuffle = true,
    };
    dt_source *source = NULL;
    dt_source_info info;
    dt_error err;
    check(dt_loader_create(&options, &source, &err), &err);
    source->ops->info(source, &info);
    int64_t n_batches = info.n_samples / s->batch, n_images = 0;
    double start_s = 0, end_s = 0;
    for (int64_t pass = 0; pass < s->passes; pass++) {
        check(source->ops->start(source, pass, 0, n_batches, &err), &err);
        for (int64_t k = 0; k < n_batches; k++) {
            dt_batch *batch = NULL;
            check(source->ops->next(source, &batch, &err), &err);
            end_s = dt_clock_s();
            if (pass == 0 && k == 0)
                start_s = end_s; /* the thread's start and the first batch are not counted, as in the peer */
            else
                n_images += batch->n;
            source->ops->release(source, batch);
        }
    }
    source->ops->destroy(source);
    if (n_images == 0) {
        fprintf(stderr, "%s: %lld images are not more than one batch\n", s->dir, (long long)info.n_samples);
        return 2;
    }
    printf("{\"program\": \"dtrain\", \"image_size\": %lld, \"batch\": %lld, \"threads\": 1, \"images\": "
           "%lld, \"seconds\": %.3f, \"images_per_s\": %.3f}\n",
           (long long)s->image_size, (long long)s->batch, (long long)n_images, end_s - start_s,
           (double)n_images / (end_s - start_s));
    return 0;
}

/* Pins all threads to the last core that this process may use; the peer's worker runs there too. */
static void pin_to_last_core(void)
{
    cpu_set_t may, last;
    CPU_ZERO(&last);
    if (sched_getaffinity(0, sizeof may, &may) != 0)
        return;
    for (size_t core = CPU_SETSIZE; core-- > 0 && CPU_COUNT(&last) == 0;)
        if (CPU_ISSET(core, &may))
            CPU_SET(core, &last);
    sched_setaffinity(0, sizeof last, &last);
}

int main(int argc, char **argv)
{
    bench_settings s = {.image_size = 224, .batch = 32, .passes = 1};
    const struct argp argp = {
        argp_options, parse, "DIR", "How many images a second does one core decode and augment?",
        NULL,         NULL,  NULL};
    if (argp_parse(&argp, argc, argv, 0, NULL, &s) != 0 || !s.dir || s.passes < 1 || s.batch < 1 ||
        s.image_size < 1) {
        fprintf(stderr,
                "loader_bench: a data folder and positive numbers are wanted; see loader_bench --help\n");
        return 2;
    }
    pin_to_last_core();
    return s.stages ? run_stages(&s) : run_loader(&s);
}
