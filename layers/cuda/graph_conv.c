#include "layers/cuda/graph_conv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* -- tensors --------------------------------------------------------------------------------------------- */

static int add_tensor(dt_graph *g, int id, dt_dtype dtype, bool is_output, int64_t n, int64_t c, int64_t h,
                      int64_t w)
{
    g->tensors[g->n_tensors++] = (dt_graph_tensor){.id = id,
                                                   .dtype = dtype,
                                                   .is_virtual = id >= DT_GRAPH_VIRTUAL,
                                                   .is_output = is_output,
                                                   .dims = {n, c, h, w},
                                                   .strides = {c * h * w, 1, w * c, c}};
    return id;
}

static int add_x(dt_graph *g, const dt_conv_desc *d, int id, bool is_output)
{
    return add_tensor(g, id, g->dtype, is_output, d->n, d->c, d->h, d->w);
}

static int add_y(dt_graph *g, const dt_conv_desc *d, int id, bool is_output)
{
    return add_tensor(g, id, g->dtype, is_output, d->n, d->k, dt_conv_out_h(d), dt_conv_out_w(d));
}

static int add_w(dt_graph *g, const dt_conv_desc *d, int id, bool is_output)
{
    return add_tensor(g, id, g->dtype, is_output, d->k, d->c, d->r, d->s);
}

static int add_vector(dt_graph *g, int64_t c, int id, dt_dtype dtype, bool is_output)
{
    return add_tensor(g, id, dtype, is_output, 1, c, 1, 1);
}

/* Add a virtual tensor of x's shape: the output of one operation and the input of another. */
static int add_virtual(dt_graph *g, const dt_conv_desc *d)
{
    return add_tensor(g, DT_GRAPH_VIRTUAL + g->n_tensors, DT_F32, true, d->n, d->c, d->h, d->w);
}

/* -- operations ------------------------------------------------------------------------------------------ */

static int add_op(dt_graph *g, dt_graph_op_kind kind, int in0, int in1, int out)
{
    g->ops[g->n_ops++] = (dt_graph_op){.kind = kind, .in = {in0, in1}, .out = {out}};
    return out;
}

static int add_conv_op(dt_graph *g, const dt_conv_desc *d, dt_graph_op_kind kind, int in0, int in1, int out,
                       float beta)
{
    add_op(g, kind, in0, in1, out);
    dt_graph_op *op = &g->ops[g->n_ops - 1];
    op->alpha = 1.0f;
    op->beta = beta;
    for (int i = 0; i < 2; i++) {
        op->pad[i] = d->pad;
        op->stride[i] = d->stride;
        op->dilation[i] = 1;
    }
    return out;
}

/* Return the id of the value that the convolution reads: x, or relu(scale * x + bias). */
static int add_prologue(dt_graph *g, const dt_conv_desc *d, bool prologue)
{
    int x = add_x(g, d, DT_GRAPH_X, false);
    if (!prologue)
        return x;
    int scale = add_vector(g, d->c, DT_GRAPH_SCALE, g->dtype, false),
        bias = add_vector(g, d->c, DT_GRAPH_BIAS, g->dtype, false);
    int scaled = add_op(g, DT_GRAPH_OP_MUL, x, scale, add_virtual(g, d));
    int shifted = add_op(g, DT_GRAPH_OP_ADD, scaled, bias, add_virtual(g, d));
    return add_op(g, DT_GRAPH_OP_RELU, shifted, DT_GRAPH_NONE, add_virtual(g, d));
}

/* Begin an empty graph whose name gives the operations, the filter, the channels and the size. */
static void begin(dt_graph *g, const dt_conv_desc *d, dt_dtype dtype, const char *what)
{
    char stride[24] = "";
    memset(g, 0, sizeof *g);
    g->dtype = dtype;
    if (d->stride != 1)
        snprintf(stride, sizeof stride, "/%lld", (long long)d->stride);
    snprintf(g->name, sizeof g->name, "%s %lldx%lld%s %lld->%lld %lldx%lld n%lld %s", what, (long long)d->r,
             (long long)d->s, stride, (long long)d->c, (long long)d->k, (long long)d->h, (long long)d->w,
             (long long)d->n, dt_dtype_name(dtype));
}

/* -- graphs ---------------------------------------------------------------------------------------------- */

void dt_graph_conv_forward(const dt_conv_desc *d, dt_dtype dtype, bool prologue, bool sums, dt_graph *g)
{
    begin(g, d, dtype, prologue ? sums ? "bnrelu+conv+sums" : "bnrelu+conv" : sums ? "conv+sums" : "conv");
    int v = add_prologue(g, d, prologue);
    int w = add_w(g, d, DT_GRAPH_W, false), y = add_y(g, d, DT_GRAPH_Y, true);
    add_conv_op(g, d, DT_GRAPH_OP_CONV_FORWARD, v, w, y, 0.0f);
    if (!sums)
        return;
    add_op(g, DT_GRAPH_OP_CHANNEL_SUMS, y, DT_GRAPH_NONE, add_vector(g, d->k, DT_GRAPH_SUM, DT_F32, true));
    g->ops[g->n_ops - 1].out[1] = add_vector(g, d->k, DT_GRAPH_SUMSQ, DT_F32, true);
}

void dt_graph_conv_backward_data(const dt_conv_desc *d, dt_dtype dtype, bool accumulate, dt_graph *g)
{
    begin(g, d, dtype, accumulate ? "dgrad+=" : "dgrad");
    int dy = add_y(g, d, DT_GRAPH_DY, false), w = add_w(g, d, DT_GRAPH_W, false);
    add_conv_op(g, d, DT_GRAPH_OP_CONV_BACKWARD_DATA, dy, w, add_x(g, d, DT_GRAPH_DX, true),
                accumulate ? 1.0f : 0.0f);
}

void dt_graph_conv_backward_data_bn(const dt_conv_desc *d, dt_dtype dtype, dt_graph *g)
{
    begin(g, d, dtype, "dgrad+drelu+dbn");
    int dy = add_y(g, d, DT_GRAPH_DY, false), w = add_w(g, d, DT_GRAPH_W, false),
        raw = add_x(g, d, DT_GRAPH_RAW, false);
    int mean = add_vector(g, d->c, DT_GRAPH_MEAN, DT_F32, false),
        invstd = add_vector(g, d->c, DT_GRAPH_INVSTD, DT_F32, false);
    int gamma = add_vector(g, d->c, DT_GRAPH_GAMMA, DT_F32, false),
        beta = add_vector(g, d->c, DT_GRAPH_BETA, DT_F32, false);
    int dv = add_conv_op(g, d, DT_GRAPH_OP_CONV_BACKWARD_DATA, dy, w, add_virtual(g, d), 0.0f);
    int centred = add_op(g, DT_GRAPH_OP_SUB, raw, mean, add_virtual(g, d));
    int normal = add_op(g, DT_GRAPH_OP_MUL, centred, invstd, add_virtual(g, d));
    int scaled = add_op(g, DT_GRAPH_OP_MUL, normal, gamma, add_virtual(g, d));
    int z = add_op(g, DT_GRAPH_OP_ADD, scaled, beta, add_virtual(g, d));
    int dz = add_op(g, DT_GRAPH_OP_RELU_BACKWARD, dv, z, add_x(g, d, DT_GRAPH_DX, true));
    g->ops[g->n_ops++] = (dt_graph_op){
        .kind = DT_GRAPH_OP_BN_BACKWARD_WEIGHTS,
        .in = {raw, dz, mean, invstd, gamma},
        .out = {DT_GRAPH_DGAMMA, DT_GRAPH_DBETA, DT_GRAPH_COEF_A, DT_GRAPH_COEF_B, DT_GRAPH_COEF_C}};
    for (int i = 0; i < 5; i++)
        add_vector(g, d->c, g->ops[g->n_ops - 1].out[i], DT_F32, true);
}

void dt_graph_conv_backward_weights(const dt_conv_desc *d, dt_dtype dtype, bool prologue, dt_graph *g)
{
    begin(g, d, dtype, prologue ? "bnrelu+wgrad" : "wgrad");
    int v = add_prologue(g, d, prologue), dy = add_y(g, d, DT_GRAPH_DY, false);
    add_conv_op(g, d, DT_GRAPH_OP_CONV_BACKWARD_FILTER, v, dy, add_w(g, d, DT_GRAPH_DW, true), 0.0f);
}

static dt_conv_desc linear_as_conv(int64_t n, int64_t c, int64_t n_out)
{
    return (dt_conv_desc){.n = n, .c = c, .h = 1, .w = 1, .k = n_out, .r = 1, .s = 1, .stride = 1};
}

void dt_graph_linear_forward(int64_t n, int64_t c, int64_t n_out, dt_dtype dtype, dt_graph *g)
{
    dt_conv_desc d = linear_as_conv(n, c, n_out);
    dt_graph_conv_forward(&d, dtype, false, false, g);
}

void dt_graph_linear_backward_data(int64_t n, int64_t c, int64_t n_out, dt_dtype dtype, dt_graph *g)
{
    dt_conv_desc d = linear_as_conv(n, c, n_out);
    dt_graph_conv_backward_data(&d, dtype, false, g);
}

void dt_graph_linear_backward_weights(int64_t n, int64_t c, int64_t n_out, dt_dtype dtype, dt_graph *g)
{
    dt_conv_desc d = linear_as_conv(n, c, n_out);
    dt_graph_conv_backward_weights(&d, dtype, false, g);
}
