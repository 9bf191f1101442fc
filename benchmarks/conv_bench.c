/* conv_bench.c: how long does each convolution of a ResNet take on the cpu backend, and how much of that do
 * its fusions take?
 *
 *   conv_bench --arch resnet50 --image-size 224 --batch 8 --threads 1 --repeats 3
 *
 * For each distinct convolution and direction: oneDNN's direct convolution of the whole batch on its own
 * (`bare`, on one thread), and the backend's with the fusions that the net uses there (`fused`): lazy x and
 * sums forward, relu and sums after the data gradient, lazy x of the weight gradient. README.md in this
 * folder defines the columns. Times are processor time, the minimum of --repeats. */
#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "layers/cpu/conv_internal.h"
#include "layers/cpu/kernels_cpu.h"
#include "layers/device_host.h"
#include "layers/resnet.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *arch;
    int64_t image_size, batch, threads, repeats;
} settings;

enum { MAX_CONVS = 64 };

/* A distinct convolution, and whether its input is normalised. */
typedef struct work {
    dt_conv_desc desc;
    bool lazy;
    int64_t count;
} work;

typedef struct bench {
    dt_kernels *k;
    int64_t repeats;
    dt_tensor x, y, dx; /* the largest that any convolution needs */
    float *w, *dw, *vectors;
    void *sums;
    double bare_ms[3], fused_ms[3]; /* totals */
} bench;

static const char *const directions[] = {"forward", "data", "weights"};

static const struct argp_option argp_options[] = {
    {"arch", 'a', "NAME", 0, "resnet18 to resnet152 (resnet50)", 0},
    {"image-size", 'i', "PIXELS", 0, "(224)", 0},
    {"batch", 'b', "N", 0, "images (8)", 0},
    {"threads", 't', "N", 0, "compute threads (1)", 0},
    {"repeats", 'r', "N", 0, "runs, of which the fastest counts (3)", 0},
    {0},
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    settings *s = state->input;
    switch (key) {
    case 'a':
        s->arch = value;
        break;
    case 'i':
        s->image_size = atol(value);
        break;
    case 'b':
        s->batch = atol(value);
        break;
    case 't':
        s->threads = atol(value);
        break;
    case 'r':
        s->repeats = atol(value);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* -- the convolutions of a network ----------------------------------------------------------------------- */

typedef struct value {
    int64_t c, h, w;
    bool lazy;
} value;

static value value_after(const dt_layer_spec *layer, const value *x)
{
    value y = *x;
    y.lazy = strcmp(layer->kind, "batchnorm") == 0;
    if (layer->kernel > 0) {
        y.h = (x->h + 2 * layer->pad - layer->kernel) / layer->stride + 1;
        y.w = (x->w + 2 * layer->pad - layer->kernel) / layer->stride + 1;
    }
    if (layer->channels > 0)
        y.c = layer->channels;
    return y;
}

static void add_work(work *list, int *n, const dt_conv_desc *desc, bool lazy)
{
    for (int i = 0; i < *n; i++) {
        const dt_conv_desc *d = &list[i].desc;
        if (d->c == desc->c && d->h == desc->h && d->k == desc->k && d->r == desc->r &&
            d->stride == desc->stride && list[i].lazy == lazy) {
            list[i].count++;
            return;
        }
    }
    if (*n < MAX_CONVS)
        list[(*n)++] = (work){*desc, lazy, 1};
}

static dt_status find_work(const settings *s, work *list, int *n, dt_error *err)
{
    dt_net_spec spec;
    DT_TRY(dt_resnet_spec(s->arch, 1000, &spec, err));
    value *values = dt_calloc((size_t)spec.n_layers + 1, sizeof *values);
    if (!values) {
        dt_free(spec.layers);
        return dt_fail_memory(err, (size_t)spec.n_layers * sizeof *values, "the shapes");
    }
    values[0] = (value){3, s->image_size, s->image_size, false};
    for (int64_t i = 0; i < spec.n_layers; i++) {
        const dt_layer_spec *l = &spec.layers[i];
        const value *x = &values[l->inputs[0]];
        values[i + 1] = value_after(l, x);
        const dt_conv_desc desc = {.n = s->batch,
                                   .c = x->c,
                                   .h = x->h,
                                   .w = x->w,
                                   .k = l->channels,
                                   .r = l->kernel,
                                   .s = l->kernel,
                                   .stride = l->stride,
                                   .pad = l->pad,
                                   .for_training = true,
                                   .reads_image = l->inputs[0] == 0,
                                   .input = x->lazy ? DT_CONV_INPUT_LAZY : DT_CONV_INPUT_PLAIN};
        if (strcmp(l->kind, "conv") == 0)
            add_work(list, n, &desc, x->lazy);
    }
    dt_free(values);
    dt_free(spec.layers);
    return DT_OK;
}

/* -- timing ---------------------------------------------------------------------------------------------- */

static dt_tensor shaped(const dt_tensor *memory, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return (dt_tensor){memory->data, DT_F32, n, c, h, w};
}

static dt_status fused(bench *b, const work *job, dt_conv *conv, dt_direction direction, dt_error *err)
{
    const dt_conv_desc *d = &job->desc;
    const dt_tensor y = shaped(&b->y, d->n, d->k, dt_conv_out_h(d), dt_conv_out_w(d)),
                    dx = shaped(&b->dx, d->n, d->c, d->h, d->w);
    const dt_act x = {shaped(&b->x, d->n, d->c, d->h, d->w), job->lazy ? b->vectors : NULL,
                      job->lazy ? b->vectors : NULL, job->lazy};
    const dt_bn_backward bn = {.x = &x,
                               .mean = b->vectors,
                               .invstd = b->vectors,
                               .gamma = b->vectors,
                               .beta = b->vectors,
                               .sums = b->sums};
    switch (direction) {
    case DT_FORWARD:
        break;
    case DT_BACKWARD_DATA:
        return b->k->ops->conv_backward_data(b->k, conv, &y, b->w, NULL, job->lazy ? &bn : NULL, &dx, err);
    case DT_BACKWARD_WEIGHTS:
        return b->k->ops->conv_backward_weights(b->k, conv, &x, &y, b->dw, false, err);
    }
    return b->k->ops->conv_forward(b->k, conv, &x, b->w, &y, b->sums, err);
}

/* Run both alternately, so that other work on the machine slows both down; *ms is the minimum of each. */
static dt_status time_both(bench *b, const work *job, dt_conv *conv, const dt_onednn_conv *bare,
                           dt_direction direction, void *scratchpad, double *bare_ms, double *fused_ms,
                           dt_error *err)
{
    for (int64_t i = 0; i <= b->repeats; i++) {
        const double start = dt_clock_cpu_s();
        if (bare->primitive)
            DT_TRY(dt_onednn_conv_run(dt_cpu(b->k), bare, &job->desc, direction, job->desc.n, 0,
                                      &(dt_onednn_arrays){b->x.data, b->w, b->y.data, scratchpad}, err));
        const double middle = dt_clock_cpu_s();
        DT_TRY(fused(b, job, conv, direction, err));
        const double end = dt_clock_cpu_s();
        if (i == 1 || (i > 1 && 1e3 * (middle - start) < *bare_ms))
            *bare_ms = 1e3 * (middle - start);
        if (i == 1 || (i > 1 && 1e3 * (end - middle) < *fused_ms))
            *fused_ms = 1e3 * (end - middle);
    }
    return DT_OK;
}

static const dt_conv_pass *pass_of(const dt_conv *conv, dt_direction direction)
{
    return direction == DT_FORWARD         ? &conv->forward
           : direction == DT_BACKWARD_DATA ? &conv->backward_data
                                           : &conv->backward_weights;
}

static const char *name_of(const dt_conv_pass *pass)
{
    if (pass->method != DT_CONV_BY_ONEDNN)
        return pass->method == DT_CONV_BY_OWN_WINOGRAD ? "own winograd" : "own";
    return pass->prepared[0].primitive ? pass->prepared[0].implementation : "gemm";
}

static dt_status time_direction(bench *b, const work *job, dt_conv *conv, dt_direction direction,
                                dt_error *err)
{
    const dt_conv_desc *d = &job->desc;
    const dt_conv_pass *pass = pass_of(conv, direction);
    const double gflop = 2e-9 * (double)(conv->weights_elems * d->n * dt_conv_out_h(d) * dt_conv_out_w(d));
    dt_onednn_conv bare;
    double bare_ms = 0, fused_ms = 0;
    DT_TRY(dt_onednn_conv_create(dt_cpu(b->k), d, direction, d->n, &bare, err));
    void *scratchpad = dt_alloc((size_t)bare.scratchpad_bytes);
    const dt_status status =
        scratchpad ? time_both(b, job, conv, &bare, direction, scratchpad, &bare_ms, &fused_ms, err)
                   : dt_fail_memory(err, (size_t)bare.scratchpad_bytes, "oneDNN's scratchpad");
    dt_free(scratchpad);
    dt_onednn_conv_destroy(&bare);
    DT_TRY(status);
    printf("%4lld %4lld %3lldx%-3lld %lld /%lld %-4s x%-2lld %-7s %9.3f %7.1f %9.3f %7.1f %6.2f %6lld  %s\n",
           (long long)d->c, (long long)d->k, (long long)d->h, (long long)d->w, (long long)d->r,
           (long long)d->stride, job->lazy ? "lazy" : "", (long long)job->count, directions[direction],
           bare_ms, gflop / bare_ms * 1e3, fused_ms, gflop / fused_ms * 1e3, fused_ms / bare_ms,
           (long long)pass->larger, name_of(pass));
    b->bare_ms[direction] += bare_ms * (double)job->count;
    b->fused_ms[direction] += fused_ms * (double)job->count;
    return DT_OK;
}

static dt_status time_work(bench *b, const work *job, dt_error *err)
{
    dt_conv *conv = NULL;
    DT_TRY(b->k->ops->conv_create(b->k, &job->desc, &conv, err));
    dt_status status = time_direction(b, job, conv, DT_FORWARD, err);
    if (status == DT_OK && !job->desc.reads_image)
        status = time_direction(b, job, conv, DT_BACKWARD_DATA, err);
    if (status == DT_OK)
        status = time_direction(b, job, conv, DT_BACKWARD_WEIGHTS, err);
    b->k->ops->conv_destroy(b->k, conv);
    return status;
}

/* -- memory ---------------------------------------------------------------------------------------------- */

static float *filled(int64_t n)
{
    float *p = dt_alloc((size_t)n * sizeof *p);
    for (int64_t i = 0; p && i < n; i++)
        p[i] = (float)(i * 7919 % 1000) * 1e-3F - 0.3F;
    return p;
}

static dt_status allocate(bench *b, const work *list, int n, dt_error *err)
{
    int64_t x = 0, y = 0, w = 0, c = 0;
    for (int i = 0; i < n; i++) {
        const dt_conv_desc *d = &list[i].desc;
        const int64_t most[] = {d->n * d->c * d->h * d->w, d->n * d->k * dt_conv_out_h(d) * dt_conv_out_w(d),
                                d->k * d->c * d->r * d->s};
        x = most[0] > x ? most[0] : x;
        y = most[1] > y ? most[1] : y;
        w = most[2] > w ? most[2] : w;
        c = d->c > c ? d->c : c;
        c = d->k > c ? d->k : c;
    }
    b->x.data = filled(x);
    b->dx.data = filled(x);
    b->y.data = filled(y);
    b->w = filled(w);
    b->dw = filled(w);
    b->vectors = filled(c);
    b->sums = dt_alloc((size_t)b->k->ops->bn_sums_bytes(b->k, c));
    if (!b->x.data || !b->dx.data || !b->y.data || !b->w || !b->dw || !b->vectors || !b->sums)
        return dt_fail_memory(err, (size_t)(2 * x + y + 2 * w) * sizeof(float), "the tensors");
    return DT_OK;
}

static void release(bench *b)
{
    void *const all[] = {b->x.data, b->dx.data, b->y.data, b->w, b->dw, b->vectors, b->sums};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        dt_free(all[i]);
}

static dt_status time_all(bench *b, const settings *s, dt_error *err)
{
    work list[MAX_CONVS];
    int n = 0;
    DT_TRY(find_work(s, list, &n, err));
    DT_TRY(allocate(b, list, n, err));
    printf("%4s %4s %7s %s /%s %4s %3s %-7s %9s %7s %9s %7s %6s %6s  %s\n", "c", "k", "h x w", "r", "s", "x",
           "", "", "bare ms", "GF/s", "fused ms", "GF/s", "ratio", "chunk", "implementation");
    for (int i = 0; i < n; i++)
        DT_TRY(time_work(b, &list[i], err));
    for (int i = 0; i < 3; i++)
        printf("all %-7s bare %9.1f ms   fused %9.1f ms\n", directions[i], b->bare_ms[i], b->fused_ms[i]);
    printf("all         bare %9.1f ms   fused %9.1f ms\n", b->bare_ms[0] + b->bare_ms[1] + b->bare_ms[2],
           b->fused_ms[0] + b->fused_ms[1] + b->fused_ms[2]);
    return DT_OK;
}

static dt_status run(const settings *s, dt_error *err)
{
    dt_device *device = NULL;
    bench b = {.repeats = s->repeats};
    DT_TRY(dt_device_host_create(s->threads, &device, err));
    dt_status status = dt_kernels_cpu_create(device, s->threads, &b.k, err);
    if (status == DT_OK)
        status = time_all(&b, s, err);
    release(&b);
    if (b.k)
        b.k->ops->destroy(b.k);
    device->ops->destroy(device);
    return status;
}

int main(int argc, char **argv)
{
    settings s = {.arch = "resnet50", .image_size = 224, .batch = 8, .threads = 1, .repeats = 3};
    const struct argp argp = {.options = argp_options,
                              .parser = parse,
                              .doc = "Time the convolutions of a ResNet on the cpu backend."};
    dt_error err = {0};
    if (argp_parse(&argp, argc, argv, 0, NULL, &s) != 0 || s.image_size < 32 || s.batch < 1 ||
        s.threads < 1 || s.repeats < 1) {
        fprintf(stderr, "conv_bench: a number is out of range\n");
        return 2;
    }
    if (run(&s, &err) != DT_OK) {
        fprintf(stderr, "conv_bench: %s\n", err.message);
        return dt_status_exit_code(err.status);
    }
    return 0;
}
