#include "layers/cuda/graph_conv.h"

#include "layers/cuda/graph_build.h"

/* Return the id of the value that the convolution reads: x, or relu(scale * x + bias). */
static int add_prologue(dt_graph *g, const dt_conv_desc *d, bool prologue)
{
    int x = dt_graph_add_x(g, d, DT_GRAPH_X, false);
    if (!prologue)
        return x;
    int scale = dt_graph_add_vector(g, d->c, DT_GRAPH_SCALE, g->dtype, false),
        bias = dt_graph_add_vector(g, d->c, DT_GRAPH_BIAS, g->dtype, false);
    int scaled = dt_graph_add_op(g, DT_GRAPH_OP_MUL, x, scale, dt_graph_add_virtual(g, d));
    int shifted = dt_graph_add_op(g, DT_GRAPH_OP_ADD, scaled, bias, dt_graph_add_virtual(g, d));
    return dt_graph_add_op(g, DT_GRAPH_OP_RELU, shifted, DT_GRAPH_NONE, dt_graph_add_virtual(g, d));
}

/* -- graphs ---------------------------------------------------------------------------------------------- */

void dt_graph_conv_forward(const dt_conv_desc *d, dt_dtype dtype, bool prologue, bool sums, dt_graph *g)
{
    dt_graph_begin(g, d, dtype,
                   prologue ? sums ? "bnrelu+conv+sums" : "bnrelu+conv"
                   : sums   ? "conv+sums"
                            : "conv");
    int v = add_prologue(g, d, prologue);
    int w = dt_graph_add_w(g, d, DT_GRAPH_W, false), y = dt_graph_add_y(g, d, DT_GRAPH_Y, true);
    dt_graph_add_conv(g, d, DT_GRAPH_OP_CONV_FORWARD, v, w, y, 0.0f);
    if (sums)
        dt_graph_add_sums(g, d, y);
}

void dt_graph_conv_backward_data(const dt_conv_desc *d, dt_dtype dtype, bool accumulate, dt_graph *g)
{
    dt_graph_begin(g, d, dtype, accumulate ? "dgrad+=" : "dgrad");
    int dy = dt_graph_add_y(g, d, DT_GRAPH_DY, false), w = dt_graph_add_w(g, d, DT_GRAPH_W, false);
    dt_graph_add_conv(g, d, DT_GRAPH_OP_CONV_BACKWARD_DATA, dy, w, dt_graph_add_x(g, d, DT_GRAPH_DX, true),
                      accumulate ? 1.0f : 0.0f);
}

void dt_graph_conv_backward_data_bn(const dt_conv_desc *d, dt_dtype dtype, dt_graph *g)
{
    static const dt_graph_bn bn = {DT_GRAPH_RAW,    DT_GRAPH_MEAN,   DT_GRAPH_INVSTD, DT_GRAPH_GAMMA,
                                   DT_GRAPH_BETA,   DT_GRAPH_DGAMMA, DT_GRAPH_DBETA,  DT_GRAPH_COEF_A,
                                   DT_GRAPH_COEF_B, DT_GRAPH_COEF_C};
    dt_graph_begin(g, d, dtype, "dgrad+drelu+dbn");
    int dy = dt_graph_add_y(g, d, DT_GRAPH_DY, false), w = dt_graph_add_w(g, d, DT_GRAPH_W, false);
    dt_graph_add_bn_inputs(g, d, &bn);
    int dv = dt_graph_add_conv(g, d, DT_GRAPH_OP_CONV_BACKWARD_DATA, dy, w, dt_graph_add_virtual(g, d), 0.0f);
    int z = dt_graph_add_bn_value(g, d, &bn);
    int dz = dt_graph_add_op(g, DT_GRAPH_OP_RELU_BACKWARD, dv, z, dt_graph_add_x(g, d, DT_GRAPH_DX, true));
    dt_graph_add_bn_weights(g, d, &bn, dz);
}

void dt_graph_conv_backward_weights(const dt_conv_desc *d, dt_dtype dtype, bool prologue, dt_graph *g)
{
    dt_graph_begin(g, d, dtype, prologue ? "bnrelu+wgrad" : "wgrad");
    int v = add_prologue(g, d, prologue), dy = dt_graph_add_y(g, d, DT_GRAPH_DY, false);
    dt_graph_add_conv(g, d, DT_GRAPH_OP_CONV_BACKWARD_FILTER, v, dy, dt_graph_add_w(g, d, DT_GRAPH_DW, true),
                      0.0f);
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
