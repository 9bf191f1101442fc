#include "tests/emulated/torch_dump.h"

#include "tests/emulator/emulator.h"
#include "tests/testing.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const misreadings[DT_N_MISREADINGS] = {
    [DT_MISREADING_NONE] = "none",
    [DT_MISREADING_UNBIASED_VARIANCE] = "unbiased-variance",
    [DT_MISREADING_BIASED_RUNNING_VARIANCE] = "biased-running-variance",
    [DT_MISREADING_NORMALISED_PADDING] = "normalised-padding",
    [DT_MISREADING_FLIPPED_FILTER] = "flipped-filter",
    [DT_MISREADING_EARLY_RELU] = "early-relu",
    [DT_MISREADING_MASK_OF_RAW] = "mask-of-raw",
    [DT_MISREADING_MASK_WITHOUT_SKIP] = "mask-without-skip",
    [DT_MISREADING_LOST_SHORTCUT] = "lost-shortcut",
    [DT_MISREADING_CONSTANT_MEAN] = "constant-mean",
    [DT_MISREADING_SCALED_SUMS] = "scaled-sums",
    [DT_MISREADING_OTHER_CLASSES] = "other-classes",
    [DT_MISREADING_DAMPED_MOMENTUM] = "damped-momentum"};

void dt_dump_require(dt_dump *d, dt_status status)
{
    if (status == DT_OK)
        return;
    fprintf(stderr, "torch_dump: %s\n", d->err.message);
    exit(1);
}

static void free_blocks(dt_dump *d)
{
    while (d->n_blocks > 0)
        d->gpu.device->ops->free(d->gpu.device, d->blocks[--d->n_blocks]);
}

void dt_dump_begin(dt_dump *d, const char *kind, double first, double second)
{
    free_blocks(d);
    fprintf(d->index, "case %s %.9g %.9g\n", kind, first, second);
}

void *dt_dump_alloc(dt_dump *d, int64_t bytes)
{
    void *block = d->gpu.device->ops->alloc(d->gpu.device, bytes);
    if (block == NULL || d->n_blocks == DT_DUMP_MAX_BLOCKS)
        dt_dump_require(d, dt_fail(&d->err, DT_ERR_MEMORY,
                                   "no memory for %" PRId64 " bytes, or more than %d "
                                   "blocks",
                                   bytes, DT_DUMP_MAX_BLOCKS));
    d->blocks[d->n_blocks++] = block;
    return block;
}

/* -- tensors --------------------------------------------------------------------------------------------- */

static float *random_array(dt_dump *d, int64_t n_elems, float low, float high)
{
    float *values = malloc((size_t)n_elems * sizeof *values);
    if (values == NULL)
        abort();
    dt_test_fill_random(values, n_elems, ++d->seed);
    for (int64_t i = 0; i < n_elems; i++)
        values[i] = low + (high - low) * 0.5F * (values[i] + 1.0F);
    return values;
}

dt_tensor dt_dump_output(dt_dump *d, int64_t n, int64_t c, int64_t h, int64_t w)
{
    dt_kernels *k = d->gpu.kernels;
    return (dt_tensor){dt_dump_alloc(d, k->ops->tensor_bytes(k, n, c, h, w)), k->dtype, n, c, h, w};
}

dt_tensor dt_dump_input(dt_dump *d, const char *name, int64_t n, int64_t c, int64_t h, int64_t w, float low,
                        float high)
{
    dt_tensor t = dt_dump_output(d, n, c, h, w);
    float *nchw = random_array(d, n * c * h * w, low, high);
    dt_dump_require(d, d->gpu.kernels->ops->tensor_import(d->gpu.kernels, nchw, &t, &d->err));
    free(nchw);
    dt_dump_write(d, name, &t);
    return t;
}

void dt_dump_write_floats(dt_dump *d, const char *name, const float *values, int64_t n, int64_t c, int64_t h,
                          int64_t w)
{
    fprintf(d->index, "%s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n", name, n, c, h, w);
    fwrite(values, sizeof *values, (size_t)(n * c * h * w), d->data);
}

void dt_dump_write(dt_dump *d, const char *name, const dt_tensor *t)
{
    float *nchw = malloc((size_t)(t->n * t->c * t->h * t->w) * sizeof *nchw);
    if (nchw == NULL)
        abort();
    dt_dump_require(d, d->gpu.kernels->ops->tensor_export(d->gpu.kernels, t, nchw, &d->err));
    dt_dump_write_floats(d, name, nchw, t->n, t->c, t->h, t->w);
    free(nchw);
}

static float *vector(dt_dump *d, int64_t c)
{
    return dt_dump_alloc(d, c * (int64_t)sizeof(float));
}

float *dt_dump_vector(dt_dump *d, const char *name, int64_t c, float low, float high)
{
    float *values = random_array(d, c, low, high), *v = vector(d, c);
    memcpy(v, values, (size_t)c * sizeof *v);
    free(values);
    if (name)
        dt_dump_write_floats(d, name, v, 1, c, 1, 1);
    return v;
}

/* -- BatchNorm ------------------------------------------------------------------------------------------- */

static void misread_statistics(const dt_dump *d, const dt_dump_norm *norm, double count)
{
    for (int64_t i = 0; i < norm->raw.c; i++) {
        if (d->misreading == DT_MISREADING_BIASED_RUNNING_VARIANCE)
            norm->stat_var[i] *= (float)((count - 1) / count);
        if (d->misreading != DT_MISREADING_UNBIASED_VARIANCE)
            continue;
        norm->invstd[i] *= (float)sqrt((count - 1) / count);
        norm->scale[i] = norm->gamma[i] * norm->invstd[i];
        norm->bias[i] = norm->beta[i] - norm->mean[i] * norm->scale[i];
    }
}

dt_dump_norm dt_dump_normalise(dt_dump *d, bool is_skip, int64_t n, int64_t c, int64_t h, int64_t w)
{
    dt_kernels *k = d->gpu.kernels;
    dt_dump_norm norm = {.raw = dt_dump_input(d, is_skip ? "skip" : "raw", n, c, h, w, -1, 1.5F)};
    void *sums = dt_dump_alloc(d, k->ops->bn_sums_bytes(k, c));
    float **vectors[] = {&norm.mean, &norm.invstd, &norm.scale, &norm.bias, &norm.stat_mean, &norm.stat_var};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        *vectors[i] = vector(d, c);
    norm.gamma = dt_dump_vector(d, NULL, c, -1, 1);
    norm.beta = dt_dump_vector(d, NULL, c, -0.3F, 0.9F);
    norm.gamma[1] = norm.gamma[2] = norm.beta[2] = 0.0F;
    norm.beta[1] = 0.5F;
    dt_dump_write_floats(d, is_skip ? "skip_gamma" : "gamma", norm.gamma, 1, c, 1, 1);
    dt_dump_write_floats(d, is_skip ? "skip_beta" : "beta", norm.beta, 1, c, 1, 1);
    const dt_bn_forward bn = {.c = c,
                              .count = n * h * w,
                              .sums = sums,
                              .gamma = norm.gamma,
                              .beta = norm.beta,
                              .eps = 1e-5F,
                              .mean = norm.mean,
                              .invstd = norm.invstd,
                              .scale = norm.scale,
                              .bias = norm.bias,
                              .stat_mean = norm.stat_mean,
                              .stat_var = norm.stat_var,
                              .stat_weight = 1.0F};
    dt_dump_require(d, k->ops->bn_sums(k, &norm.raw, sums, &d->err));
    dt_dump_require(d, k->ops->bn_finalize(k, &bn, &d->err));
    misread_statistics(d, &norm, (double)(n * h * w));
    norm.sums = dt_dump_alloc(d, k->ops->bn_sums_bytes(k, c));
    return norm;
}

dt_act dt_dump_act(const dt_dump_norm *norm, bool relu)
{
    return (dt_act){.raw = norm->raw, .scale = norm->scale, .bias = norm->bias, .relu = relu};
}

dt_bn_backward dt_dump_bn_backward(const dt_dump_norm *norm, const dt_act *act)
{
    return (dt_bn_backward){act, norm->mean, norm->invstd, norm->gamma, norm->beta, norm->sums};
}

/* -- the program ----------------------------------------------------------------------------------------- */

/* The first operand of the addition that writes this tensor; the tensor itself if no addition does. */
static int first_addend(const dt_graph *graph, int tensor)
{
    for (int i = 0; i < graph->n_ops; i++)
        if (graph->ops[i].kind == DT_GRAPH_OP_ADD && graph->ops[i].out[0] == tensor)
            return graph->ops[i].in[0];
    return tensor;
}

/* Plant a misreading of the order of operations in a graph. */
static void misread_graph(dt_graph *graph, void *context)
{
    const dt_dump *d = context;
    for (int i = 0; i < graph->n_ops; i++) {
        dt_graph_op *op = &graph->ops[i];
        if (d->misreading == DT_MISREADING_EARLY_RELU && op->kind == DT_GRAPH_OP_RELU) {
            dt_graph_op *addition = op - 1;
            op->kind = DT_GRAPH_OP_ADD;
            op->in[1] = addition->in[1];
            addition->kind = DT_GRAPH_OP_RELU;
            addition->in[1] = DT_GRAPH_NONE;
        }
        if (op->kind != DT_GRAPH_OP_RELU_BACKWARD)
            continue;
        if (d->misreading == DT_MISREADING_MASK_OF_RAW)
            op->in[1] = DT_GRAPH_RAW;
        if (d->misreading == DT_MISREADING_MASK_WITHOUT_SKIP && dt_graph_find(graph, DT_GRAPH_SKIP))
            op->in[1] = first_addend(graph, op->in[1]);
        if (d->misreading == DT_MISREADING_LOST_SHORTCUT)
            op->in[0] = first_addend(graph, op->in[0]);
    }
}

static FILE *open_file(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    return file;
}

static dt_misreading misreading_of(const char *name)
{
    for (int i = 0; i < DT_N_MISREADINGS; i++)
        if (strcmp(name, misreadings[i]) == 0)
            return (dt_misreading)i;
    fprintf(stderr, "torch_dump: there is no misreading \"%s\"; torch_dump.c lists them\n", name);
    exit(2);
}

/* dt_emulated_gpu_destroy is for unit tests. */
static void destroy_backend(dt_dump *d)
{
    dt_emulated_gpu *gpu = &d->gpu;
    const char *fault = dt_emulated_fault(gpu->device);
    if (fault[0] != 0)
        dt_dump_require(d, dt_fail(&d->err, DT_ERR_DEVICE, "%s", fault));
    dt_emulator_set_queue(NULL, NULL);
    gpu->ref->ops->destroy(gpu->ref);
    gpu->host->ops->destroy(gpu->host);
    gpu->kernels->ops->destroy(gpu->kernels);
    gpu->runner->ops->destroy(gpu->runner);
    gpu->device->ops->destroy(gpu->device);
}

static void with_backend(dt_dump *d, dt_dtype dtype, void (*cases)(dt_dump *d))
{
    d->gpu = dt_emulated_gpu_create(&(dt_emulated_gpu_options){
        .dtype = dtype,
        .interpreter = {.gpu = DT_INTERPRET_ALL, .spoil = misread_graph, .spoil_context = d}});
    cases(d);
    free_blocks(d);
    destroy_backend(d);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: torch_dump FOLDER [MISREADING]\n");
        return 2;
    }
    dt_dump d = {.misreading = misreading_of(argc > 2 ? argv[2] : "none"),
                 .index = open_file(argv[1], "index"),
                 .data = open_file(argv[1], "data")};
    with_backend(&d, DT_F32, dt_dump_graphs);
    with_backend(&d, DT_F32, dt_dump_kernels);
    with_backend(&d, DT_F16, dt_dump_stem);
    if (fclose(d.index) != 0 || fclose(d.data) != 0) {
        perror(argv[1]);
        return 1;
    }
    return 0;
}
