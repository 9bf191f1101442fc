#include "layers/cuda/graph_residual.h"

#include "layers/cuda/graph_build.h"

/* Add an input of the join; return the id of its value: raw, or scale * raw + bias. */
static int add_input(dt_graph *g, const dt_conv_desc *d, int raw, bool is_lazy, int scale, int bias)
{
    dt_graph_add_x(g, d, raw, false);
    if (!is_lazy)
        return raw;
    dt_graph_add_vector(g, d->c, scale, g->dtype, false);
    dt_graph_add_vector(g, d->c, bias, g->dtype, false);
    int scaled = dt_graph_add_op(g, DT_GRAPH_OP_MUL, raw, scale, dt_graph_add_virtual(g, d));
    return dt_graph_add_op(g, DT_GRAPH_OP_ADD, scaled, bias, dt_graph_add_virtual(g, d));
}

void dt_graph_conv_forward_join(const dt_conv_desc *d, dt_dtype dtype, bool skip_is_lazy, dt_graph *g)
{
    dt_graph_begin(g, d, dtype, skip_is_lazy ? "bn+bn+add+relu+conv+sums" : "bn+add+relu+conv+sums");
    int branch = add_input(g, d, DT_GRAPH_RAW, true, DT_GRAPH_SCALE, DT_GRAPH_BIAS);
    int skip = add_input(g, d, DT_GRAPH_SKIP, skip_is_lazy, DT_GRAPH_SKIP_SCALE, DT_GRAPH_SKIP_BIAS);
    int sum = dt_graph_add_op(g, DT_GRAPH_OP_ADD, branch, skip, dt_graph_add_virtual(g, d));
    int x = dt_graph_add_op(g, DT_GRAPH_OP_RELU, sum, DT_GRAPH_NONE, dt_graph_add_x(g, d, DT_GRAPH_X, true));
    int w = dt_graph_add_w(g, d, DT_GRAPH_W, false), y = dt_graph_add_y(g, d, DT_GRAPH_Y, true);
    dt_graph_add_conv(g, d, DT_GRAPH_OP_CONV_FORWARD, x, w, y, 0.0f);
    dt_graph_add_sums(g, d, y);
}
