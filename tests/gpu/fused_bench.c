#include "tests/gpu/fused_bench.h"

#include "core/base/alloc.h"
#include "core/base/rng.h"
#include "layers/half.h"

#include <string.h>

/* This many numbers are generated once, and repeated over each tensor. */
enum { N_PATTERN = 1 << 16 };

enum { MAX_BLOCKS = 40 };

/* A normalised activation, and what its BatchNorm's backward reads. */
typedef struct norm {
    dt_act act;
    dt_bn_backward bn;
} norm;

struct dt_fused_bench {
    dt_device *device;
    dt_kernels *k[2]; /* by dt_side */
    dt_conv *conv[2];
    int n_created[2];
    dt_conv_desc desc;
    norm x, skip; /* what the convolution or its join reads; no scale: plain */
    dt_act whole; /* x in memory, or the join's output */
    dt_tensor y, dy, dx;
    void *mask, *y_sums;
    float *w, *dw;
    void *blocks[MAX_BLOCKS]; /* all device memory */
    int n_blocks;
    float *pattern;
    uint16_t *half_pattern;
};

/* -- operations ------------------------------------------------------------------------------------------ */

static dt_status plain_forward(dt_fused_bench *b, dt_side s, dt_error *err)
{
    const dt_kernels_ops *ops = b->k[s]->ops;
    DT_TRY(ops->conv_forward(b->k[s], b->conv[s], &b->whole, b->w, &b->y, NULL, err));
    return ops->bn_sums(b->k[s], &b->y, b->y_sums, err);
}

static dt_status forward(dt_fused_bench *b, dt_side s, dt_error *err)
{
    const dt_kernels_ops *ops = b->k[s]->ops;
    const dt_act *x = b->x.act.scale ? &b->x.act : &b->whole;
    if (s == DT_SIDE_FUSED)
        return ops->conv_forward(b->k[s], b->conv[s], x, b->w, &b->y, b->y_sums, err);
    if (x->scale)
        DT_TRY(ops->act_materialize(b->k[s], x, &b->whole.raw, err));
    return plain_forward(b, s, err);
}

static dt_status forward_join(dt_fused_bench *b, dt_side s, dt_error *err)
{
    const dt_kernels_ops *ops = b->k[s]->ops;
    if (s == DT_SIDE_FUSED)
        return ops->conv_forward_join(b->k[s], b->conv[s], &b->x.act, &b->skip.act, &b->whole.raw, b->w,
                                      &b->y, b->y_sums, err);
    DT_TRY(ops->residual_forward(b->k[s], &b->x.act, &b->skip.act, &b->whole.raw, b->mask, err));
    return plain_forward(b, s, err);
}

static dt_status data(dt_fused_bench *b, dt_side s, dt_error *err)
{
    const dt_kernels_ops *ops = b->k[s]->ops;
    const dt_bn_backward *bn = s == DT_SIDE_FUSED ? &b->x.bn : NULL;
    DT_TRY(ops->conv_backward_data(b->k[s], b->conv[s], &b->dy, b->w, NULL, bn, &b->dx, err));
    return bn ? DT_OK : ops->bn_backward_reduce(b->k[s], &b->x.bn, &b->dx, &b->dx, err);
}

/* The gradient that an earlier reader of the join's output has left: fused in another tensor (whole, which
 * backward does not need), composed in dx. */
static dt_status data_join(dt_fused_bench *b, dt_side s, dt_error *err)
{
    const dt_kernels_ops *ops = b->k[s]->ops;
    const dt_bn_backward *skip_bn = b->skip.act.scale ? &b->skip.bn : NULL;
    const dt_join_backward join = {.branch = &b->x.bn, .skip = &b->skip.act.raw, .skip_bn = skip_bn};
    if (s == DT_SIDE_FUSED)
        return ops->conv_backward_data_join(b->k[s], b->conv[s], &b->dy, b->w, &b->whole.raw, &join, &b->dx,
                                            err);
    DT_TRY(ops->conv_backward_data(b->k[s], b->conv[s], &b->dy, b->w, &b->dx, NULL, &b->dx, err));
    return ops->residual_backward(b->k[s], &b->dx, &b->whole.raw, b->mask, &b->x.bn, skip_bn, &b->dx, err);
}

static dt_status weights(dt_fused_bench *b, dt_side s, dt_error *err)
{
    const dt_kernels_ops *ops = b->k[s]->ops;
    const bool is_lazy = b->x.act.scale != NULL;
    if (is_lazy && s == DT_SIDE_COMPOSED)
        DT_TRY(ops->act_materialize(b->k[s], &b->x.act, &b->whole.raw, err));
    return ops->conv_backward_weights(b->k[s], b->conv[s],
                                      is_lazy && s == DT_SIDE_FUSED ? &b->x.act : &b->whole, &b->dy, b->dw,
                                      false, err);
}

typedef struct operation {
    const char *name;
    unsigned needed; /* bits of conv_fusions, of which all must be there */
    dt_status (*run)(dt_fused_bench *b, dt_side side, dt_error *err);
} operation;

enum { MAX_OPERATIONS = 3 };

/* The stem has fused sums only where it reads blocks of pixels. */
static const operation of_image[MAX_OPERATIONS + 1] = {{"conv+sums", DT_CONV_FUSE_SUMS, forward},
                                                       {"wgrad", DT_CONV_FUSE_SUMS, weights}};
static const operation of_plain[MAX_OPERATIONS + 1] = {{"conv+sums", DT_CONV_FUSE_SUMS, forward}};
static const operation of_lazy[MAX_OPERATIONS + 1] = {
    {"bnrelu+conv+sums", DT_CONV_FUSE_PROLOGUE | DT_CONV_FUSE_SUMS, forward},
    {"dgrad+drelu+dbn", DT_CONV_FUSE_BACKWARD_EPILOGUE, data},
    {"bnrelu+wgrad", DT_CONV_FUSE_WEIGHTS_PROLOGUE, weights}};
static const operation of_join[MAX_OPERATIONS + 1] = {
    {"bn+add+relu+conv+sums", DT_CONV_FUSE_JOIN, forward_join},
    {"dgrad+add+drelu+dbn", DT_CONV_FUSE_BACKWARD_JOIN, data_join}};
static const operation of_join_lazy[MAX_OPERATIONS + 1] = {
    {"bn+bn+add+relu+conv+sums", DT_CONV_FUSE_JOIN, forward_join},
    {"dgrad+add+drelu+2dbn", DT_CONV_FUSE_BACKWARD_JOIN, data_join}};

static const operation *operations_of(const dt_conv_desc *d)
{
    if (d->reads_image)
        return of_image;
    switch (d->input) {
    case DT_CONV_INPUT_LAZY:
        return of_lazy;
    case DT_CONV_INPUT_JOIN:
        return of_join;
    case DT_CONV_INPUT_JOIN_LAZY:
        return of_join_lazy;
    default:
        return of_plain;
    }
}

int dt_fused_bench_n(const dt_fused_bench *b)
{
    int n = 0;
    while (operations_of(&b->desc)[n].name)
        n++;
    return n;
}

const char *dt_fused_bench_graph(const dt_fused_bench *b, int i)
{
    return operations_of(&b->desc)[i].name;
}

bool dt_fused_bench_has(const dt_fused_bench *b, int i)
{
    const unsigned needed = operations_of(&b->desc)[i].needed;
    dt_kernels *k = b->k[DT_SIDE_FUSED];
    return (k->ops->conv_fusions(k, b->conv[DT_SIDE_FUSED]) & needed) == needed;
}

dt_status dt_fused_bench_run(dt_fused_bench *b, int i, dt_side side, dt_error *err)
{
    return operations_of(&b->desc)[i].run(b, side, err);
}

dt_status dt_fused_bench_settle(dt_fused_bench *b, dt_error *err)
{
    for (int s = 0; s < 2; s++)
        DT_TRY(b->k[s]->ops->gradients_complete(b->k[s], err));
    return DT_OK;
}

/* -- bits ------------------------------------------------------------------------------------------------ */

typedef struct output {
    const void *data;
    int64_t bytes;
} output;

enum { MAX_OUTPUTS = 7 };

/* What any of the graphs writes. */
static int outputs_of(const dt_fused_bench *b, output out[MAX_OUTPUTS])
{
    dt_kernels *k = b->k[DT_SIDE_FUSED];
    const dt_conv_desc *d = &b->desc;
    const dt_tensor *const tensors[] = {&b->y, &b->dx, &b->whole.raw};
    const int64_t sums_bytes = k->ops->bn_sums_bytes(k, d->c);
    int n = 0;
    for (int i = 0; i < 3; i++)
        if (tensors[i]->data)
            out[n++] = (output){tensors[i]->data,
                                k->ops->tensor_bytes(k, d->n, tensors[i]->c, tensors[i]->h, tensors[i]->w)};
    if (b->x.bn.sums)
        out[n++] = (output){b->x.bn.sums, sums_bytes};
    if (b->skip.bn.sums)
        out[n++] = (output){b->skip.bn.sums, sums_bytes};
    out[n++] = (output){b->y_sums, k->ops->bn_sums_bytes(k, d->k)};
    out[n++] =
        (output){b->dw, k->ops->conv_weights_elems(k, b->conv[DT_SIDE_FUSED]) * (int64_t)sizeof(float)};
    return n;
}

/* Run graph i once, and copy all outputs. */
static dt_status run_and_copy(dt_fused_bench *b, int i, const output *out, int n, char *to, dt_error *err)
{
    DT_TRY(dt_fused_bench_run(b, i, DT_SIDE_FUSED, err));
    DT_TRY(dt_fused_bench_settle(b, err));
    for (int o = 0; o < n; to += out[o++].bytes)
        DT_TRY(b->device->ops->copy(b->device, to, out[o].data, out[o].bytes, DT_COPY_TO_HOST, NULL, err));
    return b->device->ops->stream_wait(b->device, NULL, err);
}

dt_status dt_fused_bench_repeat(dt_fused_bench *b, int i, int n, bool *same, dt_error *err)
{
    output out[MAX_OUTPUTS];
    const int n_out = outputs_of(b, out);
    int64_t bytes = 0;
    for (int o = 0; o < n_out; o++)
        bytes += out[o].bytes;
    char *first = b->device->ops->host_alloc(b->device, bytes),
         *again = b->device->ops->host_alloc(b->device, bytes);
    dt_status status = first && again ? run_and_copy(b, i, out, n_out, first, err)
                                      : dt_fail_memory(err, (size_t)bytes, "a graph's outputs");
    *same = true;
    for (int run = 1; run < n && status == DT_OK && *same; run++) {
        status = run_and_copy(b, i, out, n_out, again, err);
        *same = status != DT_OK || memcmp(first, again, (size_t)bytes) == 0;
    }
    b->device->ops->host_free(b->device, first);
    b->device->ops->host_free(b->device, again);
    return status;
}

/* -- memory ---------------------------------------------------------------------------------------------- */

static dt_status make_pattern(dt_fused_bench *b, dt_error *err)
{
    dt_rng g = dt_rng_at(1, DT_RNG_TEST, 0, 0);
    b->pattern = dt_alloc(N_PATTERN * sizeof *b->pattern);
    b->half_pattern = dt_alloc(N_PATTERN * sizeof *b->half_pattern);
    if (!b->pattern || !b->half_pattern)
        return dt_fail_memory(err, N_PATTERN * sizeof(float), "numbers for tensors");
    for (int i = 0; i < N_PATTERN; i++) {
        b->pattern[i] = 2.0F * dt_rng_uniform(&g) - 1.0F;
        b->half_pattern[i] = dt_half_from_float(b->pattern[i]);
    }
    return DT_OK;
}

/* Copy the pattern, then append copies of what is filled, doubling it each time. */
static dt_status fill(dt_fused_bench *b, char *to, const void *pattern, int64_t pattern_bytes, int64_t bytes,
                      dt_error *err)
{
    int64_t done = bytes < pattern_bytes ? bytes : pattern_bytes;
    DT_TRY(b->device->ops->copy(b->device, to, pattern, done, DT_COPY_TO_DEVICE, NULL, err));
    while (done < bytes) {
        const int64_t n = done < bytes - done ? done : bytes - done;
        DT_TRY(b->device->ops->copy(b->device, to + done, to, n, DT_COPY_ON_DEVICE, NULL, err));
        done += n;
    }
    return DT_OK;
}

/* Memory full of float32 numbers, or of those of the dtype. */
static dt_status block(dt_fused_bench *b, int64_t bytes, bool is_half, void **data, dt_error *err)
{
    char *made = b->n_blocks < MAX_BLOCKS ? b->device->ops->alloc(b->device, bytes) : NULL;
    if (!made)
        return dt_fail(err, DT_ERR_MEMORY, "the device has no %lld bytes left", (long long)bytes);
    b->blocks[b->n_blocks++] = made;
    *data = made;
    return is_half ? fill(b, made, b->half_pattern, N_PATTERN * (int64_t)sizeof(uint16_t), bytes, err)
                   : fill(b, made, b->pattern, N_PATTERN * (int64_t)sizeof(float), bytes, err);
}

static dt_status tensor(dt_fused_bench *b, int64_t c, int64_t h, int64_t w, dt_tensor *t, dt_error *err)
{
    dt_kernels *k = b->k[DT_SIDE_FUSED];
    *t = (dt_tensor){.dtype = k->dtype, .n = b->desc.n, .c = c, .h = h, .w = w};
    return block(b, k->ops->tensor_bytes(k, t->n, c, h, w), true, &t->data, err);
}

static dt_status vector(dt_fused_bench *b, int64_t n, float **v, dt_error *err)
{
    void *made = NULL;
    DT_TRY(block(b, n * (int64_t)sizeof(float), false, &made, err));
    *v = made;
    return DT_OK;
}

/* A tensor like x, normalised by its own statistics. Each side's bn_finalize also writes scale and bias in 16
 * bits, as in a training; a convolution that does not find them would launch kernels of its own. */
static dt_status normalised(dt_fused_bench *b, norm *x, bool relu, dt_error *err)
{
    const dt_conv_desc *d = &b->desc;
    float *gamma, *beta, *mean, *invstd, *scale, *bias, *stats;
    void *sums = NULL;
    float **const vectors[] = {&gamma, &beta, &mean, &invstd, &scale, &bias};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        DT_TRY(vector(b, d->c, vectors[i], err));
    DT_TRY(vector(b, 2 * d->c, &stats, err));
    DT_TRY(block(b, b->k[0]->ops->bn_sums_bytes(b->k[0], d->c), false, &sums, err));
    for (int s = 0; s < 2; s++) {
        const dt_bn_forward bn = {.c = d->c,
                                  .count = d->n * d->h * d->w,
                                  .sums = sums,
                                  .gamma = gamma,
                                  .beta = beta,
                                  .eps = 1e-5F,
                                  .mean = mean,
                                  .invstd = invstd,
                                  .scale = scale,
                                  .bias = bias,
                                  .stat_mean = stats,
                                  .stat_var = stats + d->c,
                                  .stat_weight = 1.0F};
        DT_TRY(b->k[s]->ops->bn_sums(b->k[s], &x->act.raw, sums, err));
        DT_TRY(b->k[s]->ops->bn_finalize(b->k[s], &bn, err));
    }
    x->act.scale = scale;
    x->act.bias = bias;
    x->act.relu = relu;
    x->bn = (dt_bn_backward){
        .x = &x->act, .mean = mean, .invstd = invstd, .gamma = gamma, .beta = beta, .sums = sums};
    return DT_OK;
}

static dt_status make_inputs(dt_fused_bench *b, dt_error *err)
{
    const dt_conv_desc *d = &b->desc;
    const bool is_lazy = d->input == DT_CONV_INPUT_LAZY,
               is_join = d->input == DT_CONV_INPUT_JOIN || d->input == DT_CONV_INPUT_JOIN_LAZY;
    DT_TRY(tensor(b, d->c, d->h, d->w, &b->whole.raw, err));
    if (!is_lazy && !is_join)
        return DT_OK;
    DT_TRY(tensor(b, d->c, d->h, d->w, &b->x.act.raw, err));
    DT_TRY(tensor(b, d->c, d->h, d->w, &b->dx, err));
    DT_TRY(normalised(b, &b->x, is_lazy, err));
    if (!is_join)
        return DT_OK;
    DT_TRY(tensor(b, d->c, d->h, d->w, &b->skip.act.raw, err));
    if (d->input == DT_CONV_INPUT_JOIN_LAZY)
        DT_TRY(normalised(b, &b->skip, false, err));
    dt_kernels *k = b->k[DT_SIDE_COMPOSED];
    return block(b, k->ops->residual_mask_bytes(k, &b->whole.raw), false, &b->mask, err);
}

/* The weights of both sides are one vector, of which each has its own mirror in 16 bits. */
static dt_status make_weights(dt_fused_bench *b, dt_error *err)
{
    const int64_t n = b->k[0]->ops->conv_weights_elems(b->k[0], b->conv[0]);
    DT_TRY(vector(b, n, &b->w, err));
    DT_TRY(vector(b, n, &b->dw, err));
    for (int s = 0; s < 2; s++) {
        DT_TRY(b->k[s]->ops->values_bind(b->k[s], b->w, b->dw, n, err));
        DT_TRY(b->k[s]->ops->values_changed(b->k[s], err));
        DT_TRY(b->k[s]->ops->conv_weights_changed(b->k[s], b->conv[s], b->w, err));
    }
    return DT_OK;
}

/* -- create and destroy ---------------------------------------------------------------------------------- */

/* Each conv_create reserves memory for a pair of k scales in 16 bits. In a net the convolutions before this
 * one have reserved memory for those of its input; here this one does, by being created several times. */
static dt_status make_convs(dt_fused_bench *b, dt_error *err)
{
    for (int64_t i = 0; i <= 2 * b->desc.c / b->desc.k; i++) {
        for (int s = 0; s < 2; s++) {
            DT_TRY(b->k[s]->ops->conv_create(b->k[s], &b->desc, &b->conv[s], err));
            b->n_created[s]++;
        }
    }
    return DT_OK;
}

static dt_status make_all(dt_fused_bench *b, dt_error *err)
{
    const dt_conv_desc *d = &b->desc;
    DT_TRY(make_pattern(b, err));
    DT_TRY(make_convs(b, err));
    DT_TRY(make_inputs(b, err));
    DT_TRY(tensor(b, d->k, dt_conv_out_h(d), dt_conv_out_w(d), &b->y, err));
    DT_TRY(tensor(b, d->k, dt_conv_out_h(d), dt_conv_out_w(d), &b->dy, err));
    DT_TRY(block(b, b->k[0]->ops->bn_sums_bytes(b->k[0], d->k), false, &b->y_sums, err));
    DT_TRY(make_weights(b, err));
    return b->device->ops->stream_wait(b->device, NULL, err);
}

dt_status dt_fused_bench_create(dt_kernels *const kernels[2], const dt_conv_desc *desc,
                                dt_fused_bench **bench, dt_error *err)
{
    dt_fused_bench *b = dt_calloc(1, sizeof *b);
    if (!b)
        return dt_fail_memory(err, sizeof *b, "a comparison");
    b->k[0] = kernels[0];
    b->k[1] = kernels[1];
    b->device = kernels[0]->device;
    b->desc = *desc;
    dt_status status = make_all(b, err);
    if (status == DT_OK)
        *bench = b;
    else
        dt_fused_bench_destroy(b);
    return status;
}

void dt_fused_bench_destroy(dt_fused_bench *b)
{
    if (!b)
        return;
    (void)b->device->ops->stream_wait(b->device, NULL, NULL);
    for (int s = 0; s < 2; s++) {
        (void)b->k[s]->ops->values_bind(b->k[s], NULL, NULL, 0, NULL);
        for (int i = 0; i < b->n_created[s]; i++)
            b->k[s]->ops->conv_destroy(b->k[s], b->conv[s]);
    }
    for (int i = 0; i < b->n_blocks; i++)
        b->device->ops->free(b->device, b->blocks[i]);
    dt_free(b->pattern);
    dt_free(b->half_pattern);
    dt_free(b);
}
