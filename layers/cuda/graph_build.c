#include "layers/cuda/graph_build.h"

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

int dt_graph_add_x(dt_graph *g, const dt_conv_desc *d, int id, bool is_output)
{
    return add_tensor(g, id, g->dtype, is_output, d->n, d->c, d->h, d->w);
}

int dt_graph_add_y(dt_graph *g, const dt_conv_desc *d, int id, bool is_output)
{
    return add_tensor(g, id, g->dtype, is_output, d->n, d->k, dt_conv_out_h(d), dt_conv_out_w(d));
}

int dt_graph_add_w(dt_graph *g, const dt_conv_desc *d, int id, bool is_output)
{
    return add_tensor(g, id, g->dtype, is_output, d->k, d->c, d->r, d->s);
}

int dt_graph_add_vector(dt_graph *g, int64_t c, int id, dt_dtype dtype, bool is_output)
{
    return add_tensor(g, id, dtype, is_output, 1, c, 1, 1);
}

int dt_graph_add_virtual(dt_graph *g, const dt_conv_desc *d)
{
    return add_tensor(g, DT_GRAPH_VIRTUAL + g->n_tensors, DT_F32, true, d->n, d->c, d->h, d->w);
}

/* -- operations ------------------------------------------------------------------------------------------ */

int dt_graph_add_op(dt_graph *g, dt_graph_op_kind kind, int in0, int in1, int out)
{
    g->ops[g->n_ops++] = (dt_graph_op){.kind = kind, .in = {in0, in1}, .out = {out}};
    return out;
}

int dt_graph_add_conv(dt_graph *g, const dt_conv_desc *d, dt_graph_op_kind kind, int in0, int in1, int out,
                      float beta)
{
    dt_graph_add_op(g, kind, in0, in1, out);
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

void dt_graph_add_sums(dt_graph *g, const dt_conv_desc *d, int y)
{
    dt_graph_add_op(g, DT_GRAPH_OP_CHANNEL_SUMS, y, DT_GRAPH_NONE,
                    dt_graph_add_vector(g, d->k, DT_GRAPH_SUM, DT_F32, true));
    g->ops[g->n_ops - 1].out[1] = dt_graph_add_vector(g, d->k, DT_GRAPH_SUMSQ, DT_F32, true);
}

void dt_graph_add_bn_inputs(dt_graph *g, const dt_conv_desc *d, const dt_graph_bn *bn)
{
    const int vectors[] = {bn->mean, bn->invstd, bn->gamma, bn->beta};
    dt_graph_add_x(g, d, bn->raw, false);
    for (int i = 0; i < 4; i++)
        if (vectors[i] != DT_GRAPH_NONE)
            dt_graph_add_vector(g, d->c, vectors[i], DT_F32, false);
}

int dt_graph_add_bn_value(dt_graph *g, const dt_conv_desc *d, const dt_graph_bn *bn)
{
    int centred = dt_graph_add_op(g, DT_GRAPH_OP_SUB, bn->raw, bn->mean, dt_graph_add_virtual(g, d));
    int normal = dt_graph_add_op(g, DT_GRAPH_OP_MUL, centred, bn->invstd, dt_graph_add_virtual(g, d));
    int scaled = dt_graph_add_op(g, DT_GRAPH_OP_MUL, normal, bn->gamma, dt_graph_add_virtual(g, d));
    return dt_graph_add_op(g, DT_GRAPH_OP_ADD, scaled, bn->beta, dt_graph_add_virtual(g, d));
}

void dt_graph_add_bn_weights(dt_graph *g, const dt_conv_desc *d, const dt_graph_bn *bn, int dz)
{
    const dt_graph_op op = {.kind = DT_GRAPH_OP_BN_BACKWARD_WEIGHTS,
                            .in = {bn->raw, dz, bn->mean, bn->invstd, bn->gamma},
                            .out = {bn->dgamma, bn->dbeta, bn->coef_a, bn->coef_b, bn->coef_c}};
    g->ops[g->n_ops++] = op;
    for (int i = 0; i < 5; i++)
        dt_graph_add_vector(g, d->c, op.out[i], DT_F32, true);
}

void dt_graph_begin(dt_graph *g, const dt_conv_desc *d, dt_dtype dtype, const char *what)
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
