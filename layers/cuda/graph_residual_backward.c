#include "layers/cuda/graph_residual_backward.h"

#include "layers/cuda/graph_build.h"

/* Return the id of scale * raw + bias, in the four operations that cuDNN requires. */
static int add_value(dt_graph *g, const dt_conv_desc *d, int raw, int scale, int bias)
{
    const dt_graph_bn value = {
        .raw = raw, .mean = DT_GRAPH_ZERO, .invstd = scale, .gamma = DT_GRAPH_ONE, .beta = bias};
    dt_graph_add_vector(g, d->c, scale, DT_F32, false);
    dt_graph_add_vector(g, d->c, bias, DT_F32, false);
    return dt_graph_add_bn_value(g, d, &value);
}

void dt_graph_conv_backward_data_join(const dt_conv_desc *d, dt_dtype dtype, bool lazy_skip, dt_graph *g)
{
    static const dt_graph_bn branch = {DT_GRAPH_RAW,    DT_GRAPH_MEAN,   DT_GRAPH_INVSTD, DT_GRAPH_GAMMA,
                                       DT_GRAPH_NONE,   DT_GRAPH_DGAMMA, DT_GRAPH_DBETA,  DT_GRAPH_COEF_A,
                                       DT_GRAPH_COEF_B, DT_GRAPH_COEF_C};
    static const dt_graph_bn shortcut = {DT_GRAPH_SKIP,       DT_GRAPH_SKIP_MEAN,   DT_GRAPH_SKIP_INVSTD,
                                         DT_GRAPH_SKIP_GAMMA, DT_GRAPH_NONE,        DT_GRAPH_SKIP_DGAMMA,
                                         DT_GRAPH_SKIP_DBETA, DT_GRAPH_SKIP_COEF_A, DT_GRAPH_SKIP_COEF_B,
                                         DT_GRAPH_SKIP_COEF_C};
    dt_graph_begin(g, d, dtype, lazy_skip ? "dgrad+add+drelu+2dbn" : "dgrad+add+drelu+dbn");
    int dy = dt_graph_add_y(g, d, DT_GRAPH_DY, false), w = dt_graph_add_w(g, d, DT_GRAPH_W, false),
        add = dt_graph_add_x(g, d, DT_GRAPH_ADD, false);
    dt_graph_add_bn_inputs(g, d, &branch);
    dt_graph_add_vector(g, d->c, DT_GRAPH_ZERO, DT_F32, false);
    dt_graph_add_vector(g, d->c, DT_GRAPH_ONE, DT_F32, false);
    int own =
        dt_graph_add_conv(g, d, DT_GRAPH_OP_CONV_BACKWARD_DATA, dy, w, dt_graph_add_virtual(g, d), 0.0f);
    int dv = dt_graph_add_op(g, DT_GRAPH_OP_ADD, own, add, dt_graph_add_virtual(g, d));
    int value = add_value(g, d, DT_GRAPH_RAW, DT_GRAPH_SCALE, DT_GRAPH_BIAS), skip = DT_GRAPH_SKIP;
    if (lazy_skip) {
        dt_graph_add_bn_inputs(g, d, &shortcut);
        skip = add_value(g, d, DT_GRAPH_SKIP, DT_GRAPH_SKIP_SCALE, DT_GRAPH_SKIP_BIAS);
    } else {
        dt_graph_add_x(g, d, DT_GRAPH_SKIP, false);
    }
    int z = dt_graph_add_op(g, DT_GRAPH_OP_ADD, value, skip, dt_graph_add_virtual(g, d));
    int dz = dt_graph_add_op(g, DT_GRAPH_OP_RELU_BACKWARD, dv, z, dt_graph_add_x(g, d, DT_GRAPH_DX, true));
    dt_graph_add_bn_weights(g, d, &branch, dz);
    if (lazy_skip)
        dt_graph_add_bn_weights(g, d, &shortcut, dz);
}
