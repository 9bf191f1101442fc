#include "layers/cuda/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const dt_graph_tensor *dt_graph_find(const dt_graph *graph, int id)
{
    for (int i = 0; i < graph->n_tensors; i++)
        if (graph->tensors[i].id == id)
            return &graph->tensors[i];
    return NULL;
}

int64_t dt_graph_tensor_bytes(const dt_graph_tensor *tensor)
{
    int64_t last = 0; /* the offset of the last element */
    if (tensor->is_virtual)
        return 0;
    for (int i = 0; i < 4; i++)
        last += (tensor->dims[i] - 1) * tensor->strides[i];
    return (last + 1) * dt_dtype_bytes(tensor->dtype);
}

static bool is_conv(const dt_graph_op *op)
{
    return op->kind == DT_GRAPH_OP_CONV_FORWARD || op->kind == DT_GRAPH_OP_CONV_BACKWARD_DATA ||
           op->kind == DT_GRAPH_OP_CONV_BACKWARD_FILTER;
}

int64_t dt_graph_bytes_moved(const dt_graph *graph)
{
    int64_t bytes = 0;
    for (int i = 0; i < graph->n_tensors; i++)
        bytes += dt_graph_tensor_bytes(&graph->tensors[i]);
    for (int i = 0; i < graph->n_ops; i++)
        if (is_conv(&graph->ops[i]) && graph->ops[i].beta != 0.0f)
            bytes += dt_graph_tensor_bytes(dt_graph_find(graph, graph->ops[i].out[0]));
    return bytes;
}

double dt_graph_flops(const dt_graph *graph)
{
    double flops = 0;
    for (int i = 0; i < graph->n_ops; i++) {
        const dt_graph_op *op = &graph->ops[i];
        if (!is_conv(op))
            continue;
        /* multiply-adds = pixels of the convolution's output * filters' elements */
        int w_id = op->kind == DT_GRAPH_OP_CONV_BACKWARD_FILTER ? op->out[0] : op->in[1];
        int y_id = op->kind == DT_GRAPH_OP_CONV_FORWARD         ? op->out[0]
                   : op->kind == DT_GRAPH_OP_CONV_BACKWARD_DATA ? op->in[0]
                                                                : op->in[1];
        const int64_t *w = dt_graph_find(graph, w_id)->dims, *y = dt_graph_find(graph, y_id)->dims;
        flops += 2.0 * (double)(y[0] * y[2] * y[3]) * (double)(w[0] * w[1] * w[2] * w[3]);
    }
    return flops;
}

/* Append to a text and cut off what does not fit. (The key's size suffices for the largest graph; a test
 * checks that.) */
static void add(char *text, size_t text_bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void add(char *text, size_t text_bytes, const char *format, ...)
{
    va_list args;
    size_t used = strlen(text);
    va_start(args, format);
    vsnprintf(text + used, text_bytes - used, format, args);
    va_end(args);
}

void dt_graph_key(const dt_graph *graph, char key[DT_GRAPH_KEY_BYTES])
{
    static const char *const op_names[] = {"conv", "dgrad", "wgrad", "add",  "sub",
                                           "mul",  "relu",  "drelu", "sums", "dbn"};
    key[0] = '\0';
    add(key, DT_GRAPH_KEY_BYTES, "%s", dt_dtype_name(graph->dtype));
    for (int i = 0; i < graph->n_tensors; i++) {
        const dt_graph_tensor *t = &graph->tensors[i];
        add(key, DT_GRAPH_KEY_BYTES, ";%d%s%s:%s", t->id, t->is_virtual ? "v" : "", t->is_output ? "o" : "",
            dt_dtype_name(t->dtype));
        for (int d = 0; d < 4; d++)
            add(key, DT_GRAPH_KEY_BYTES, "%c%lld/%lld", d ? ',' : ':', (long long)t->dims[d],
                (long long)t->strides[d]);
    }
    for (int i = 0; i < graph->n_ops; i++) {
        const dt_graph_op *op = &graph->ops[i];
        add(key, DT_GRAPH_KEY_BYTES, ";%s(", op_names[op->kind]);
        for (int t = 0; t < 5 && op->in[t]; t++)
            add(key, DT_GRAPH_KEY_BYTES, "%s%d", t ? "," : "", op->in[t]);
        for (int t = 0; t < 5 && op->out[t]; t++)
            add(key, DT_GRAPH_KEY_BYTES, "%s%d", t ? "," : ">", op->out[t]);
        add(key, DT_GRAPH_KEY_BYTES, ")");
        if (is_conv(op))
            add(key, DT_GRAPH_KEY_BYTES, "p%lld,%lld,s%lld,%lld,d%lld,%lld,a%g,b%g", (long long)op->pad[0],
                (long long)op->pad[1], (long long)op->stride[0], (long long)op->stride[1],
                (long long)op->dilation[0], (long long)op->dilation[1], (double)op->alpha, (double)op->beta);
    }
}

/* -- checking -------------------------------------------------------------------------------------------- */

static dt_status check_tensor(const dt_graph *g, const dt_graph_tensor *t, dt_error *err)
{
    if (t->is_virtual != (t->id >= DT_GRAPH_VIRTUAL) || t->id <= DT_GRAPH_NONE)
        return dt_fail(err, DT_ERR_INTERNAL,
                       "graph %s: tensor id %d does not match whether the tensor is virtual", g->name, t->id);
    if (dt_graph_find(g, t->id) != t)
        return dt_fail(err, DT_ERR_INTERNAL, "graph %s: two tensors have the id %d", g->name, t->id);
    for (int i = 0; i < 4; i++)
        if (t->dims[i] < 1 || t->strides[i] < 1)
            return dt_fail(err, DT_ERR_INTERNAL,
                           "graph %s: tensor %d has dimension %d of %lld elements with stride %lld", g->name,
                           t->id, i, (long long)t->dims[i], (long long)t->strides[i]);
    return DT_OK;
}

static dt_status check_conv_shape(const dt_graph *g, const dt_graph_op *op, dt_error *err)
{
    int x = op->in[0], w = op->in[1], y = op->out[0];
    if (op->kind == DT_GRAPH_OP_CONV_BACKWARD_DATA)
        y = op->in[0], x = op->out[0];
    else if (op->kind == DT_GRAPH_OP_CONV_BACKWARD_FILTER)
        y = op->in[1], w = op->out[0];
    const int64_t *xd = dt_graph_find(g, x)->dims, *wd = dt_graph_find(g, w)->dims,
                  *yd = dt_graph_find(g, y)->dims;
    bool fits = xd[0] == yd[0] && xd[1] == wd[1] && yd[1] == wd[0];
    for (int i = 0; i < 2; i++) {
        int64_t window = op->dilation[i] * (wd[2 + i] - 1) + 1;
        fits = fits && op->stride[i] > 0 && xd[2 + i] + 2 * op->pad[i] >= window &&
               yd[2 + i] == (xd[2 + i] + 2 * op->pad[i] - window) / op->stride[i] + 1;
    }
    return fits ? DT_OK
                : dt_fail(err, DT_ERR_INTERNAL,
                          "graph %s: the shapes of tensors %d, %d and %d do not make a convolution", g->name,
                          x, w, y);
}

/* The operands of all other operations must be whole tensors of one shape, or vectors of as many channels. */
static dt_status check_pointwise_shape(const dt_graph *g, const dt_graph_op *op, dt_error *err)
{
    const dt_graph_tensor *whole = dt_graph_find(g, op->in[0]);
    for (int i = 0; i < 10; i++) {
        const dt_graph_tensor *t = dt_graph_find(g, i < 5 ? op->in[i] : op->out[i - 5]);
        if (!t)
            continue;
        bool is_vector = t->dims[0] == 1 && t->dims[2] == 1 && t->dims[3] == 1;
        if (t->dims[1] != whole->dims[1] || (!is_vector && memcmp(t->dims, whole->dims, sizeof t->dims) != 0))
            return dt_fail(err, DT_ERR_INTERNAL, "graph %s: tensor %d does not fit tensor %d", g->name, t->id,
                           whole->id);
    }
    return DT_OK;
}

dt_status dt_graph_check(const dt_graph *g, dt_error *err)
{
    bool made[DT_GRAPH_VIRTUAL + DT_GRAPH_MAX_TENSORS] = {false};
    for (int i = 0; i < g->n_tensors; i++) {
        DT_TRY(check_tensor(g, &g->tensors[i], err));
        made[g->tensors[i].id] = !g->tensors[i].is_virtual && !g->tensors[i].is_output;
    }
    for (int i = 0; i < g->n_ops; i++) {
        const dt_graph_op *op = &g->ops[i];
        for (int t = 0; t < 5 && op->in[t]; t++)
            if (!dt_graph_find(g, op->in[t]) || !made[op->in[t]])
                return dt_fail(err, DT_ERR_INTERNAL,
                               "graph %s: operation %d reads tensor %d, which no operation has written",
                               g->name, i, op->in[t]);
        for (int t = 0; t < 5 && op->out[t]; t++) {
            if (!dt_graph_find(g, op->out[t]) || made[op->out[t]])
                return dt_fail(err, DT_ERR_INTERNAL,
                               "graph %s: operation %d writes tensor %d, which is unknown or already written",
                               g->name, i, op->out[t]);
            made[op->out[t]] = true;
        }
        DT_TRY(is_conv(op) ? check_conv_shape(g, op, err) : check_pointwise_shape(g, op, err));
    }
    for (int i = 0; i < g->n_tensors; i++)
        if (!made[g->tensors[i].id])
            return dt_fail(err, DT_ERR_INTERNAL, "graph %s: no operation writes tensor %d", g->name,
                           g->tensors[i].id);
    return DT_OK;
}
