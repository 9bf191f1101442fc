/* interpreter_ops.c: the operations of layers/cuda/graph.h in float64.
 *
 * A convolution is a matrix product of patches, a chunk of images at a time, through the reference backend's
 * product. Everything else is a loop over elements. */
#include "layers/half.h"
#include "layers/ref/ref_internal.h"
#include "tests/emulated/interpreter_internal.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS_WANTED = 256 };

double dt_interpreter_round(double v, dt_dtype dtype)
{
    switch (dtype) {
    case DT_F16:
        return (double)dt_half_to_float(dt_half_from_float((float)v));
    case DT_BF16:
        return (double)dt_bfloat_to_float(dt_bfloat_from_float((float)v));
    default:
        return (double)(float)v; /* TF32 is FP32 in memory */
    }
}

/* Round a factor as a tensor core reads it. */
static double factor(double v, dt_dtype dtype)
{
    return dtype == DT_TF32 ? (double)dt_tf32_of_float((float)v) : dt_interpreter_round(v, dtype);
}

/* -- convolutions ---------------------------------------------------------------------------------------- */

/* The convolution y = conv(x, w), for the computation of any of the three, and the chunk of its images in
 * progress. */
typedef struct convolution {
    const dt_graph_op *op;
    const dt_values *x, *w, *y;
    int64_t patch;            /* c r s */
    int64_t first, n, n_rows; /* images of the chunk; n p q */
    double *patches;          /* [n_rows][c r s] */
    double *rows;             /* of y: [n_rows][k] or [k][n_rows] */
    double *filters;          /* [k][c r s] or transposed */
} convolution;

/* The offset in x of element `tap` of the patch of output pixel (image, p, q); -1: outside. */
static int64_t x_offset(const convolution *a, int64_t image, int64_t p, int64_t q, int64_t c, int64_t r,
                        int64_t s)
{
    const dt_graph_op *op = a->op;
    int64_t h = p * op->stride[0] - op->pad[0] + r * op->dilation[0],
            w = q * op->stride[1] - op->pad[1] + s * op->dilation[1];
    const int64_t *d = a->x->dims;
    return h < 0 || h >= d[2] || w < 0 || w >= d[3] ? -1 : ((image * d[1] + c) * d[2] + h) * d[3] + w;
}

/* gather: patches = x; else sums += patches */
static void move_patches(convolution *a, bool gather, double *sums)
{
    const int64_t *y = a->y->dims, *w = a->w->dims;
    double *patch = a->patches;
    for (int64_t image = a->first; image < a->first + a->n; image++)
        for (int64_t p = 0; p < y[2]; p++)
            for (int64_t q = 0; q < y[3]; q++)
                for (int64_t c = 0; c < w[1]; c++)
                    for (int64_t r = 0; r < w[2]; r++)
                        for (int64_t s = 0; s < w[3]; s++, patch++) {
                            int64_t at = x_offset(a, image, p, q, c, r, s);
                            if (gather)
                                *patch = at < 0 ? 0.0 : a->x->v[at];
                            else if (at >= 0)
                                sums[at] += *patch;
                        }
}

/* The offset of y[image, k, p, q] for row (image, p, q). */
static int64_t y_offset(const convolution *a, int64_t row, int64_t k)
{
    const int64_t *y = a->y->dims;
    int64_t pixels = y[2] * y[3], image = a->first + row / pixels;
    return (image * y[1] + k) * pixels + row % pixels;
}

static void gather_rows(convolution *a, bool transposed)
{
    int64_t k = a->y->dims[1];
    for (int64_t row = 0; row < a->n_rows; row++)
        for (int64_t i = 0; i < k; i++)
            a->rows[transposed ? i * a->n_rows + row : row * k + i] = a->y->v[y_offset(a, row, i)];
}

static void gather_filters(convolution *a, bool transposed)
{
    int64_t k = a->w->dims[0];
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < a->patch; j++)
            a->filters[transposed ? j * k + i : i * a->patch + j] = a->w->v[i * a->patch + j];
}

static void chunk_forward(convolution *a, double *y)
{
    int64_t k = a->w->dims[0];
    move_patches(a, true, NULL);
    memset(a->rows, 0, (size_t)(a->n_rows * k) * sizeof *a->rows);
    dt_ref_matmul_add(1, a->n_rows, k, a->patch, a->patches, a->filters, a->rows);
    for (int64_t row = 0; row < a->n_rows; row++)
        for (int64_t i = 0; i < k; i++)
            y[y_offset(a, row, i)] = a->rows[row * k + i];
}

static void chunk_backward_data(convolution *a, double *dx)
{
    gather_rows(a, false);
    memset(a->patches, 0, (size_t)(a->n_rows * a->patch) * sizeof *a->patches);
    dt_ref_matmul_add(1, a->n_rows, a->patch, a->w->dims[0], a->rows, a->filters, a->patches);
    move_patches(a, false, dx);
}

static void chunk_backward_filter(convolution *a, double *dw)
{
    gather_rows(a, true);
    move_patches(a, true, NULL);
    dt_ref_matmul_add(1, a->w->dims[0], a->patch, a->n_rows, a->rows, a->patches, dw);
}

/* result = the sum over all chunks */
static const char *convolve(convolution *a, double *result)
{
    const int64_t *y = a->y->dims, *w = a->w->dims;
    int64_t images = ROWS_WANTED / (y[2] * y[3]) + 1, rows = images * y[2] * y[3];
    a->patch = w[1] * w[2] * w[3];
    a->patches = malloc((size_t)(rows * a->patch) * sizeof(double));
    a->rows = malloc((size_t)(rows * w[0]) * sizeof(double));
    a->filters = malloc((size_t)(w[0] * a->patch) * sizeof(double));
    bool ok = a->patches && a->rows && a->filters;
    if (ok && a->op->kind != DT_GRAPH_OP_CONV_BACKWARD_FILTER)
        gather_filters(a, a->op->kind == DT_GRAPH_OP_CONV_FORWARD);
    for (a->first = 0; ok && a->first < y[0]; a->first += images) {
        a->n = y[0] - a->first < images ? y[0] - a->first : images;
        a->n_rows = a->n * y[2] * y[3];
        if (a->op->kind == DT_GRAPH_OP_CONV_FORWARD)
            chunk_forward(a, result);
        else if (a->op->kind == DT_GRAPH_OP_CONV_BACKWARD_DATA)
            chunk_backward_data(a, result);
        else
            chunk_backward_filter(a, result);
    }
    free(a->patches);
    free(a->rows);
    free(a->filters);
    return ok ? NULL : "out of memory";
}

/* A factor rounded as tensor cores read it; a tensor whose memory has the dtype is rounded already. */
static dt_values rounded(const dt_values *a, dt_dtype dtype)
{
    dt_values copy = *a;
    int64_t n = dt_values_count(a);
    copy.v = malloc((size_t)n * sizeof *copy.v);
    for (int64_t i = 0; copy.v && i < n; i++)
        copy.v[i] = factor(a->v[i], dtype);
    return copy;
}

static const char *run_convolution(const dt_graph_op *op, dt_dtype dtype, const dt_values *const in[5],
                                   dt_values *const out[5])
{
    dt_values in0 = rounded(in[0], dtype), in1 = rounded(in[1], dtype);
    convolution a = {.op = op, .x = &in0, .w = &in1, .y = out[0]};
    if (op->kind == DT_GRAPH_OP_CONV_BACKWARD_DATA)
        a = (convolution){.op = op, .x = out[0], .w = &in1, .y = &in0};
    else if (op->kind == DT_GRAPH_OP_CONV_BACKWARD_FILTER)
        a = (convolution){.op = op, .x = &in0, .w = out[0], .y = &in1};
    int64_t n = dt_values_count(out[0]);
    double *result = calloc((size_t)n, sizeof *result);
    const char *wrong = result && in0.v && in1.v ? convolve(&a, result) : "out of memory";
    for (int64_t i = 0; !wrong && i < n; i++)
        out[0]->v[i] =
            (double)op->alpha * result[i] + (op->beta != 0.0F ? (double)op->beta * out[0]->v[i] : 0.0);
    free(result);
    free(in0.v);
    free(in1.v);
    return wrong;
}

/* -- everything else ------------------------------------------------------------------------------------- */

/* Element `at` of the whole tensor `whole`, read from `a`, which is as large or a vector of its channels. */
static double element(const dt_values *a, const dt_values *whole, int64_t at)
{
    int64_t pixels = whole->dims[2] * whole->dims[3];
    return dt_values_count(a) == dt_values_count(whole) ? a->v[at] : a->v[at / pixels % whole->dims[1]];
}

static double pointwise(dt_graph_op_kind kind, double a, double b)
{
    switch (kind) {
    case DT_GRAPH_OP_ADD:
        return a + b;
    case DT_GRAPH_OP_SUB:
        return a - b;
    case DT_GRAPH_OP_MUL:
        return a * b;
    case DT_GRAPH_OP_RELU:
        return a < 0 ? 0 : a;
    default:
        return b > 0 ? a : 0; /* DT_GRAPH_OP_RELU_BACKWARD */
    }
}

static void run_sums(const dt_values *x, double *sum, double *squares)
{
    int64_t pixels = x->dims[2] * x->dims[3], channels = x->dims[1];
    memset(sum, 0, (size_t)channels * sizeof *sum);
    memset(squares, 0, (size_t)channels * sizeof *squares);
    for (int64_t i = 0; i < dt_values_count(x); i++) {
        sum[i / pixels % channels] += x->v[i];
        squares[i / pixels % channels] += x->v[i] * x->v[i];
    }
}

static void run_bn_weights(const dt_values *const in[5], dt_values *const out[5])
{
    const dt_values *raw = in[0], *dz = in[1], *mean = in[2], *invstd = in[3], *gamma = in[4];
    int64_t pixels = raw->dims[2] * raw->dims[3], channels = raw->dims[1];
    double m = (double)(raw->dims[0] * pixels);
    memset(out[0]->v, 0, (size_t)channels * sizeof(double));
    memset(out[1]->v, 0, (size_t)channels * sizeof(double));
    for (int64_t i = 0; i < dt_values_count(raw); i++) {
        int64_t c = i / pixels % channels;
        out[0]->v[c] += dz->v[i] * (raw->v[i] - mean->v[c]) * invstd->v[c];
        out[1]->v[c] += dz->v[i];
    }
    for (int64_t c = 0; c < channels; c++) {
        double a = gamma->v[c] * invstd->v[c], b = -a * invstd->v[c] * out[0]->v[c] / m;
        out[2]->v[c] = a;
        out[3]->v[c] = b;
        out[4]->v[c] = -a * out[1]->v[c] / m - b * mean->v[c];
    }
}

const char *dt_interpreter_op(const dt_graph_op *op, dt_dtype dtype, const dt_values *const in[5],
                              dt_values *const out[5])
{
    switch (op->kind) {
    case DT_GRAPH_OP_CONV_FORWARD:
    case DT_GRAPH_OP_CONV_BACKWARD_DATA:
    case DT_GRAPH_OP_CONV_BACKWARD_FILTER:
        return run_convolution(op, dtype, in, out);
    case DT_GRAPH_OP_CHANNEL_SUMS:
        run_sums(in[0], out[0]->v, out[1]->v);
        return NULL;
    case DT_GRAPH_OP_BN_BACKWARD_WEIGHTS:
        run_bn_weights(in, out);
        return NULL;
    default:
        for (int64_t i = 0; i < dt_values_count(out[0]); i++)
            out[0]->v[i] =
                pointwise(op->kind, element(in[0], out[0], i), in[1] ? element(in[1], out[0], i) : 0.0);
        return NULL;
    }
}
