#include "layers/cuda/graph_sample.h"

#include <assert.h>
#include <math.h>

static dt_graph_value sample(dt_graph_sampler *s, int id, const int64_t at[4]);

/* Find each tensor and the operation that writes it once, since a sample asks for them a million times. */
void dt_graph_sampler_init(dt_graph_sampler *s, const dt_graph *graph)
{
    *s = (dt_graph_sampler){.graph = graph};
    for (int i = 0; i < graph->n_tensors; i++) {
        assert(graph->tensors[i].id < DT_GRAPH_SAMPLER_IDS);
        s->tensors[graph->tensors[i].id] = &graph->tensors[i];
    }
    for (int i = 0; i < graph->n_ops; i++)
        for (int slot = 0; slot < 5; slot++) {
            s->writers[graph->ops[i].out[slot]] = &graph->ops[i];
            s->slots[graph->ops[i].out[slot]] = slot;
        }
    s->writers[DT_GRAPH_NONE] = NULL;
}

static bool is_convolution(const dt_graph_op *op)
{
    return op->kind == DT_GRAPH_OP_CONV_FORWARD || op->kind == DT_GRAPH_OP_CONV_BACKWARD_DATA ||
           op->kind == DT_GRAPH_OP_CONV_BACKWARD_FILTER;
}

static double share_of(dt_dtype dtype)
{
    switch (dtype) {
    case DT_BF16:
        return 1.0 / 16;
    case DT_F32:
        return 1e-3;
    default:
        return 1.0 / 64;
    }
}

double dt_graph_tolerance(dt_dtype dtype, dt_graph_value expected)
{
    return share_of(dtype) * fmax(expected.scale, fabs(expected.value));
}

/* -- convolutions ---------------------------------------------------------------------------------------- */

static void add_product(dt_graph_sampler *s, const dt_graph_op *op, const int64_t at0[4],
                        const int64_t at1[4], dt_graph_value *sum)
{
    dt_graph_value a = sample(s, op->in[0], at0), b = sample(s, op->in[1], at1);
    sum->value += a.value * b.value;
    sum->scale += a.scale * a.scale * b.scale * b.scale; /* squared until the sum is complete */
    sum->is_unsure = sum->is_unsure || a.is_unsure || b.is_unsure;
}

static bool is_inside(int64_t h, int64_t w, const dt_graph_tensor *t)
{
    return h >= 0 && h < t->dims[2] && w >= 0 && w < t->dims[3];
}

static void forward(dt_graph_sampler *s, const dt_graph_op *op, const int64_t at[4], dt_graph_value *sum)
{
    const dt_graph_tensor *x = s->tensors[op->in[0]], *w = s->tensors[op->in[1]];
    for (int64_t row = 0; row < w->dims[2]; row++)
        for (int64_t column = 0; column < w->dims[3]; column++) {
            int64_t ih = at[2] * op->stride[0] - op->pad[0] + row * op->dilation[0],
                    iw = at[3] * op->stride[1] - op->pad[1] + column * op->dilation[1];
            for (int64_t c = 0; c < w->dims[1] && is_inside(ih, iw, x); c++)
                add_product(s, op, (const int64_t[4]){at[0], c, ih, iw},
                            (const int64_t[4]){at[1], c, row, column}, sum);
        }
}

static void backward_data(dt_graph_sampler *s, const dt_graph_op *op, const int64_t at[4],
                          dt_graph_value *sum)
{
    const dt_graph_tensor *dy = s->tensors[op->in[0]], *w = s->tensors[op->in[1]];
    for (int64_t row = 0; row < w->dims[2]; row++)
        for (int64_t column = 0; column < w->dims[3]; column++) {
            int64_t p = at[2] + op->pad[0] - row * op->dilation[0],
                    q = at[3] + op->pad[1] - column * op->dilation[1];
            bool hits = p % op->stride[0] == 0 && q % op->stride[1] == 0 &&
                        is_inside(p / op->stride[0], q / op->stride[1], dy);
            for (int64_t k = 0; k < w->dims[0] && hits; k++)
                add_product(s, op, (const int64_t[4]){at[0], k, p / op->stride[0], q / op->stride[1]},
                            (const int64_t[4]){k, at[1], row, column}, sum);
        }
}

static void backward_filter(dt_graph_sampler *s, const dt_graph_op *op, const int64_t at[4],
                            dt_graph_value *sum)
{
    const dt_graph_tensor *x = s->tensors[op->in[0]], *dy = s->tensors[op->in[1]];
    for (int64_t n = 0; n < dy->dims[0]; n++)
        for (int64_t p = 0; p < dy->dims[2]; p++)
            for (int64_t q = 0; q < dy->dims[3]; q++) {
                int64_t ih = p * op->stride[0] - op->pad[0] + at[2] * op->dilation[0],
                        iw = q * op->stride[1] - op->pad[1] + at[3] * op->dilation[1];
                if (is_inside(ih, iw, x))
                    add_product(s, op, (const int64_t[4]){n, at[1], ih, iw},
                                (const int64_t[4]){n, at[0], p, q}, sum);
            }
}

static dt_graph_value convolve(dt_graph_sampler *s, const dt_graph_op *op, const int64_t at[4])
{
    dt_graph_value sum = {0};
    if (op->kind == DT_GRAPH_OP_CONV_FORWARD)
        forward(s, op, at, &sum);
    else if (op->kind == DT_GRAPH_OP_CONV_BACKWARD_DATA)
        backward_data(s, op, at, &sum);
    else
        backward_filter(s, op, at, &sum);
    double alpha = (double)op->alpha, beta = (double)op->beta;
    double before = beta != 0 ? beta * s->initial(s->context, s->tensors[op->out[0]], at) : 0;
    return (dt_graph_value){.value = alpha * sum.value + before,
                            .scale = sqrt(alpha * alpha * sum.scale + before * before),
                            .is_unsure = sum.is_unsure};
}

/* -- pointwise ------------------------------------------------------------------------------------------- */

/* The element that stands at `at` of a whole tensor: a vector is broadcast. */
static dt_graph_value operand(dt_graph_sampler *s, int id, const int64_t at[4])
{
    const dt_graph_tensor *t = s->tensors[id];
    int64_t own[4];
    for (int d = 0; d < 4; d++)
        own[d] = t->dims[d] == 1 ? 0 : at[d];
    return sample(s, id, own);
}

static dt_graph_value pointwise(dt_graph_sampler *s, const dt_graph_op *op, const int64_t at[4])
{
    dt_graph_value a = operand(s, op->in[0], at), b = {0};
    if (op->in[1] != DT_GRAPH_NONE)
        b = operand(s, op->in[1], at);
    dt_graph_value out = {.scale = sqrt(a.scale * a.scale + b.scale * b.scale),
                          .is_unsure = a.is_unsure || b.is_unsure};
    switch (op->kind) {
    case DT_GRAPH_OP_ADD:
        out.value = a.value + b.value;
        break;
    case DT_GRAPH_OP_SUB:
        out.value = a.value - b.value;
        break;
    case DT_GRAPH_OP_MUL:
        out.value = a.value * b.value;
        out.scale = a.scale * b.scale;
        break;
    case DT_GRAPH_OP_RELU:
        out.value = a.value < 0 ? 0 : a.value;
        break;
    default: /* DT_GRAPH_OP_RELU_BACKWARD */
        out.value = b.value > 0 ? a.value : 0;
        out.scale = a.scale;
        out.is_unsure = out.is_unsure || fabs(b.value) <= dt_graph_tolerance(s->graph->dtype, b);
    }
    return out;
}

/* -- sums over n, h, w ----------------------------------------------------------------------------------- */

/* An element of a tensor with memory: what the engine wrote, or read. */
static double in_memory(const dt_graph_sampler *s, const dt_graph_tensor *t, const int64_t at[4])
{
    return t->is_output ? s->written(s->context, t, at) : s->initial(s->context, t, at);
}

static double vector_element(dt_graph_sampler *s, int id, int64_t c)
{
    return sample(s, id, (const int64_t[4]){0, c, 0, 0}).value;
}

/* The sums of a channel. CHANNEL_SUMS: terms 0 are the elements. BN_BACKWARD_WEIGHTS: terms 0 are those of
 * dgamma, terms 1 of dbeta. */
static struct dt_graph_sums sum_up(dt_graph_sampler *s, const dt_graph_op *op, int64_t c)
{
    struct dt_graph_sums r = {.op = op, .c = c};
    const dt_graph_tensor *raw = s->tensors[op->in[0]], *dz = s->tensors[op->in[1]];
    double mean = dz ? vector_element(s, op->in[2], c) : 0, invstd = dz ? vector_element(s, op->in[3], c) : 1;
    for (int64_t n = 0; n < raw->dims[0]; n++)
        for (int64_t h = 0; h < raw->dims[2]; h++)
            for (int64_t w = 0; w < raw->dims[3]; w++) {
                const int64_t at[4] = {n, c, h, w};
                double g = dz ? in_memory(s, dz, at) : 1, term = g * (in_memory(s, raw, at) - mean) * invstd;
                r.sum[0] += term, r.squares[0] += term * term;
                r.sum[1] += g, r.squares[1] += g * g;
            }
    return r;
}

static const struct dt_graph_sums *sums_of(dt_graph_sampler *s, const dt_graph_op *op, int64_t c)
{
    const int n_kept = (int)(sizeof s->sums / sizeof *s->sums);
    for (int i = 0; i < n_kept; i++)
        if (s->sums[i].op == op && s->sums[i].c == c)
            return &s->sums[i];
    struct dt_graph_sums *r = &s->sums[s->n_sums++ % n_kept];
    *r = sum_up(s, op, c);
    return r;
}

static dt_graph_value channel_sums(dt_graph_sampler *s, const dt_graph_op *op, int slot, int64_t c)
{
    const struct dt_graph_sums *r = sums_of(s, op, c);
    return slot == 0 ? (dt_graph_value){.value = r->sum[0], .scale = sqrt(r->squares[0])}
                     : (dt_graph_value){.value = r->squares[0], .scale = r->squares[0]};
}

/* graph.h has the formulas. */
static dt_graph_value bn_weights(dt_graph_sampler *s, const dt_graph_op *op, int slot, int64_t c)
{
    const struct dt_graph_sums *r = sums_of(s, op, c);
    const dt_graph_tensor *raw = s->tensors[op->in[0]];
    double mean = vector_element(s, op->in[2], c), invstd = vector_element(s, op->in[3], c),
           gamma = vector_element(s, op->in[4], c), m = (double)(raw->dims[0] * raw->dims[2] * raw->dims[3]);
    double a = gamma * invstd, b = -a * invstd * r->sum[0] / m;
    double b_scale = fabs(a * invstd) / m * fmax(sqrt(r->squares[0]), fabs(r->sum[0])),
           c_scale = fabs(a) / m * fmax(sqrt(r->squares[1]), fabs(r->sum[1]));
    switch (slot) {
    case 0:
    case 1:
        return (dt_graph_value){.value = r->sum[slot], .scale = sqrt(r->squares[slot])};
    case 2:
        return (dt_graph_value){.value = a, .scale = fabs(a)};
    case 3:
        return (dt_graph_value){.value = b, .scale = b_scale};
    default:
        return (dt_graph_value){.value = -a * r->sum[1] / m - b * mean,
                                .scale = hypot(c_scale, b_scale * mean)};
    }
}

/* Whether what is summed has memory. */
static bool can_sum(const dt_graph_sampler *s, const dt_graph_op *op)
{
    const dt_graph_tensor *second = s->tensors[op->in[1]];
    return !s->tensors[op->in[0]]->is_virtual && !(second && second->is_virtual);
}

bool dt_graph_is_sum(const dt_graph_sampler *s, int id, int summed[2])
{
    const dt_graph_op *op = s->writers[id];
    summed[0] = summed[1] = DT_GRAPH_NONE;
    if (!op || (op->kind != DT_GRAPH_OP_CHANNEL_SUMS && op->kind != DT_GRAPH_OP_BN_BACKWARD_WEIGHTS))
        return false;
    summed[0] = op->in[0];
    summed[1] = op->kind == DT_GRAPH_OP_BN_BACKWARD_WEIGHTS ? op->in[1] : DT_GRAPH_NONE;
    return true;
}

/* -- elements -------------------------------------------------------------------------------------------- */

static dt_graph_value sample(dt_graph_sampler *s, int id, const int64_t at[4])
{
    const dt_graph_op *op = s->writers[id];
    if (!op) {
        double v = s->initial(s->context, s->tensors[id], at);
        return (dt_graph_value){.value = v, .scale = fabs(v)};
    }
    if (is_convolution(op))
        return convolve(s, op, at);
    bool is_sum = op->kind == DT_GRAPH_OP_CHANNEL_SUMS || op->kind == DT_GRAPH_OP_BN_BACKWARD_WEIGHTS;
    if (is_sum && !can_sum(s, op))
        return (dt_graph_value){.is_unsure = true};
    if (op->kind == DT_GRAPH_OP_CHANNEL_SUMS)
        return channel_sums(s, op, s->slots[id], at[1]);
    if (op->kind == DT_GRAPH_OP_BN_BACKWARD_WEIGHTS)
        return bn_weights(s, op, s->slots[id], at[1]);
    return pointwise(s, op, at);
}

dt_graph_value dt_graph_sample(dt_graph_sampler *sampler, int id, const int64_t at[4])
{
    return sample(sampler, id, at);
}

double dt_graph_sample_cost(const dt_graph_sampler *s, int id)
{
    const dt_graph_op *op = s->writers[id];
    double cost = 1;
    if (!op)
        return cost;
    if (is_convolution(op)) { /* the terms of its sum */
        const dt_graph_tensor *in1 = s->tensors[op->in[1]];
        cost = (double)(in1->dims[2] * in1->dims[3]);
        cost *= (double)in1->dims[op->kind == DT_GRAPH_OP_CONV_FORWARD ? 1 : 0];
    }
    double inputs = 0;
    for (int i = 0; i < 5; i++)
        if (op->in[i] != DT_GRAPH_NONE)
            inputs += dt_graph_sample_cost(s, op->in[i]);
    return cost * inputs;
}
