/* torch_dump_graphs.c: every graph of layers/cuda, by the interpreter in FP32. */
#include "layers/cuda/graph_conv.h"
#include "layers/cuda/graph_residual.h"
#include "layers/cuda/graph_residual_backward.h"
#include "tests/emulated/torch_dump.h"

#include <string.h>

enum { N = 3, C = 16, K = 32, H = 9, W = 6, MAX_BINDINGS = 32 };

typedef struct call {
    dt_graph graph;
    dt_graph_binding tensors[MAX_BINDINGS];
    int n;
} call;

static void bind(call *c, int id, void *data)
{
    c->tensors[c->n++] = (dt_graph_binding){id, data};
}

static void execute(dt_dump *d, call *c)
{
    dt_graph_runner *runner = d->gpu.runner;
    dt_graph_plan *plan = NULL;
    dt_graph_plan_info info = {0};
    dt_dump_require(d, runner->ops->plan_create(runner, &c->graph, NULL, &plan, &d->err));
    runner->ops->plan_info(plan, &info);
    void *workspace = dt_dump_alloc(d, info.workspace_bytes);
    dt_dump_require(d, runner->ops->plan_execute(runner, plan, c->tensors, c->n, workspace, NULL, &d->err));
    dt_dump_require(d, d->gpu.device->ops->stream_wait(d->gpu.device, NULL, &d->err));
    runner->ops->plan_destroy(runner, plan);
    c->n = 0;
}

/* -- tensors --------------------------------------------------------------------------------------------- */

static void flip_filter(const dt_dump *d, const dt_tensor *w)
{
    float *v = w->data;
    const int64_t taps = w->h * w->w;
    for (int64_t i = 0; d->misreading == DT_MISREADING_FLIPPED_FILTER && i < w->n * (taps / 2) * w->c; i++) {
        const int64_t k = i / w->c / (taps / 2), tap = i / w->c % (taps / 2), c = i % w->c;
        float *a = &v[(k * taps + tap) * w->c + c], *b = &v[(k * taps + taps - 1 - tap) * w->c + c];
        const float kept = *a;
        *a = *b;
        *b = kept;
    }
}

static dt_tensor filter(dt_dump *d, const dt_conv_desc *desc)
{
    dt_tensor w = dt_dump_input(d, "w", desc->k, desc->c, desc->r, desc->s, -1, 1);
    flip_filter(d, &w);
    return w;
}

static dt_tensor input_like_x(dt_dump *d, const dt_conv_desc *desc, const char *name)
{
    return dt_dump_input(d, name, desc->n, desc->c, desc->h, desc->w, -1, 1);
}

static dt_tensor input_like_y(dt_dump *d, const dt_conv_desc *desc, const char *name)
{
    return dt_dump_input(d, name, desc->n, desc->k, dt_conv_out_h(desc), dt_conv_out_w(desc), -1, 1);
}

static dt_tensor output_like_x(dt_dump *d, const dt_conv_desc *desc)
{
    return dt_dump_output(d, desc->n, desc->c, desc->h, desc->w);
}

static void begin(dt_dump *d, const char *kind, const dt_conv_desc *desc)
{
    dt_dump_begin(d, kind, (double)desc->stride, (double)desc->pad);
}

/* Execute a graph that writes Y, and SUM and SUMSQ where it has them, and write these. */
static void execute_forward(dt_dump *d, call *c, const dt_conv_desc *desc, bool sums)
{
    dt_tensor y = dt_dump_output(d, desc->n, desc->k, dt_conv_out_h(desc), dt_conv_out_w(desc));
    float *vectors[2] = {dt_dump_alloc(d, desc->k * 4), dt_dump_alloc(d, desc->k * 4)};
    bind(c, DT_GRAPH_Y, y.data);
    if (sums) {
        bind(c, DT_GRAPH_SUM, vectors[0]);
        bind(c, DT_GRAPH_SUMSQ, vectors[1]);
    }
    execute(d, c);
    dt_dump_write(d, "y", &y);
    if (sums) {
        dt_dump_write_floats(d, "sum", vectors[0], 1, desc->k, 1, 1);
        dt_dump_write_floats(d, "sumsq", vectors[1], 1, desc->k, 1, 1);
    }
}

/* -- forward --------------------------------------------------------------------------------------------- */

static void forward(dt_dump *d, const dt_conv_desc *desc, bool sums)
{
    call c = {.n = 0};
    begin(d, "forward", desc);
    dt_graph_conv_forward(desc, DT_F32, false, sums, &c.graph);
    bind(&c, DT_GRAPH_X, input_like_x(d, desc, "x").data);
    bind(&c, DT_GRAPH_W, filter(d, desc).data);
    execute_forward(d, &c, desc, sums);
}

/* Put the padding into raw, so that the graph normalises it. */
static void pad_raw(dt_dump *d, dt_conv_desc *desc, dt_tensor *raw)
{
    const dt_conv_desc small = *desc;
    const dt_tensor from = *raw;
    desc->h += 2 * desc->pad;
    desc->w += 2 * desc->pad;
    desc->pad = 0;
    *raw = output_like_x(d, desc);
    memset(raw->data, 0, (size_t)(raw->n * raw->c * raw->h * raw->w) * sizeof(float));
    for (int64_t i = 0; i < from.n * from.h; i++)
        memcpy((float *)raw->data +
                   ((i / from.h * raw->h + i % from.h + small.pad) * raw->w + small.pad) * raw->c,
               (const float *)from.data + i * from.w * from.c, (size_t)(from.w * from.c) * sizeof(float));
}

static void forward_prologue(dt_dump *d, const dt_conv_desc *desc, bool sums)
{
    call c = {.n = 0};
    dt_conv_desc executed = *desc;
    begin(d, "forward-prologue", desc);
    dt_dump_norm norm = dt_dump_normalise(d, false, desc->n, desc->c, desc->h, desc->w);
    dt_tensor w = filter(d, desc);
    if (d->misreading == DT_MISREADING_NORMALISED_PADDING)
        pad_raw(d, &executed, &norm.raw);
    dt_graph_conv_forward(&executed, DT_F32, true, sums, &c.graph);
    bind(&c, DT_GRAPH_X, norm.raw.data);
    bind(&c, DT_GRAPH_W, w.data);
    bind(&c, DT_GRAPH_SCALE, norm.scale);
    bind(&c, DT_GRAPH_BIAS, norm.bias);
    execute_forward(d, &c, &executed, sums);
}

static dt_dump_norm join_skip(dt_dump *d, const dt_conv_desc *desc, bool lazy)
{
    if (lazy)
        return dt_dump_normalise(d, true, desc->n, desc->c, desc->h, desc->w);
    return (dt_dump_norm){.raw = input_like_x(d, desc, "skip")};
}

static void forward_join(dt_dump *d, const dt_conv_desc *desc, bool lazy_skip)
{
    call c = {.n = 0};
    begin(d, "forward-join", desc);
    const dt_dump_norm branch = dt_dump_normalise(d, false, desc->n, desc->c, desc->h, desc->w);
    const dt_dump_norm skip = join_skip(d, desc, lazy_skip);
    dt_tensor x = output_like_x(d, desc);
    dt_graph_conv_forward_join(desc, DT_F32, lazy_skip, &c.graph);
    bind(&c, DT_GRAPH_RAW, branch.raw.data);
    bind(&c, DT_GRAPH_SCALE, branch.scale);
    bind(&c, DT_GRAPH_BIAS, branch.bias);
    bind(&c, DT_GRAPH_SKIP, skip.raw.data);
    bind(&c, DT_GRAPH_X, x.data);
    bind(&c, DT_GRAPH_W, filter(d, desc).data);
    if (lazy_skip) {
        bind(&c, DT_GRAPH_SKIP_SCALE, skip.scale);
        bind(&c, DT_GRAPH_SKIP_BIAS, skip.bias);
    }
    execute_forward(d, &c, desc, true);
    dt_dump_write(d, "x", &x);
}

/* -- backward -------------------------------------------------------------------------------------------- */

static void backward_data(dt_dump *d, const dt_conv_desc *desc, bool accumulate)
{
    call c = {.n = 0};
    begin(d, "dgrad", desc);
    dt_graph_conv_backward_data(desc, DT_F32, accumulate, &c.graph);
    bind(&c, DT_GRAPH_DY, input_like_y(d, desc, "dy").data);
    bind(&c, DT_GRAPH_W, filter(d, desc).data);
    dt_tensor dx = accumulate ? input_like_x(d, desc, "add") : output_like_x(d, desc);
    bind(&c, DT_GRAPH_DX, dx.data);
    execute(d, &c);
    dt_dump_write(d, "dx", &dx);
}

/* The vectors that DT_GRAPH_OP_BN_BACKWARD_WEIGHTS writes, in its order. */
enum { DGAMMA, DBETA, COEF_A, COEF_B, COEF_C, N_WEIGHTS };

/* What a BatchNorm is for a graph, in the order of its ids; DT_GRAPH_NONE: the graph does not read it. */
enum { N_INPUTS = 7 };

static void bind_norm(dt_dump *d, call *c, const dt_dump_norm *norm, const int inputs[N_INPUTS],
                      const int outputs[N_WEIGHTS], float *vectors[N_WEIGHTS])
{
    void *data[N_INPUTS] = {norm->raw.data, norm->mean,  norm->invstd, norm->gamma,
                            norm->beta,     norm->scale, norm->bias};
    for (int i = 0; i < N_INPUTS; i++)
        if (inputs[i] != DT_GRAPH_NONE)
            bind(c, inputs[i], data[i]);
    for (int i = 0; i < N_WEIGHTS; i++) {
        vectors[i] = dt_dump_alloc(d, norm->raw.c * (int64_t)sizeof(float));
        bind(c, outputs[i], vectors[i]);
    }
}

static void write_norm(dt_dump *d, const dt_dump_norm *norm, const char *const names[N_WEIGHTS],
                       float *const vectors[N_WEIGHTS])
{
    for (int64_t i = 0; i < norm->raw.c; i++) {
        if (d->misreading == DT_MISREADING_CONSTANT_MEAN)
            vectors[COEF_C][i] += vectors[COEF_B][i] * norm->mean[i];
        if (d->misreading == DT_MISREADING_SCALED_SUMS)
            vectors[DGAMMA][i] /= norm->invstd[i];
    }
    for (int i = 0; i < N_WEIGHTS; i++)
        dt_dump_write_floats(d, names[i], vectors[i], 1, norm->raw.c, 1, 1);
}

static const int bn_inputs[N_INPUTS] = {DT_GRAPH_RAW,  DT_GRAPH_MEAN, DT_GRAPH_INVSTD, DT_GRAPH_GAMMA,
                                        DT_GRAPH_BETA, DT_GRAPH_NONE, DT_GRAPH_NONE};
static const int branch_inputs[N_INPUTS] = {DT_GRAPH_RAW,  DT_GRAPH_MEAN,  DT_GRAPH_INVSTD, DT_GRAPH_GAMMA,
                                            DT_GRAPH_NONE, DT_GRAPH_SCALE, DT_GRAPH_BIAS};
static const int branch_outputs[N_WEIGHTS] = {DT_GRAPH_DGAMMA, DT_GRAPH_DBETA, DT_GRAPH_COEF_A,
                                              DT_GRAPH_COEF_B, DT_GRAPH_COEF_C};
static const char *const branch_names[N_WEIGHTS] = {"dgamma", "dbeta", "a", "b", "c"};

static void backward_data_bn(dt_dump *d, const dt_conv_desc *desc)
{
    call c = {.n = 0};
    float *vectors[N_WEIGHTS];
    begin(d, "dgrad-bn", desc);
    const dt_dump_norm norm = dt_dump_normalise(d, false, desc->n, desc->c, desc->h, desc->w);
    dt_tensor dx = output_like_x(d, desc);
    dt_graph_conv_backward_data_bn(desc, DT_F32, &c.graph);
    bind(&c, DT_GRAPH_DY, input_like_y(d, desc, "dy").data);
    bind(&c, DT_GRAPH_W, filter(d, desc).data);
    bind(&c, DT_GRAPH_DX, dx.data);
    bind_norm(d, &c, &norm, bn_inputs, branch_outputs, vectors);
    execute(d, &c);
    dt_dump_write(d, "dz", &dx);
    write_norm(d, &norm, branch_names, vectors);
}

static const int skip_inputs[N_INPUTS] = {DT_GRAPH_SKIP,       DT_GRAPH_SKIP_MEAN, DT_GRAPH_SKIP_INVSTD,
                                          DT_GRAPH_SKIP_GAMMA, DT_GRAPH_NONE,      DT_GRAPH_SKIP_SCALE,
                                          DT_GRAPH_SKIP_BIAS};
static const int skip_outputs[N_WEIGHTS] = {DT_GRAPH_SKIP_DGAMMA, DT_GRAPH_SKIP_DBETA, DT_GRAPH_SKIP_COEF_A,
                                            DT_GRAPH_SKIP_COEF_B, DT_GRAPH_SKIP_COEF_C};
static const char *const skip_names[N_WEIGHTS] = {"skip_dgamma", "skip_dbeta", "skip_a", "skip_b", "skip_c"};

static float *constant(dt_dump *d, int64_t n, float value)
{
    float *vector = dt_dump_alloc(d, n * (int64_t)sizeof(float));
    for (int64_t i = 0; i < n; i++)
        vector[i] = value;
    return vector;
}

static void backward_data_join(dt_dump *d, const dt_conv_desc *desc, bool lazy_skip)
{
    call c = {.n = 0};
    float *vectors[N_WEIGHTS], *skip_vectors[N_WEIGHTS];
    begin(d, "dgrad-join", desc);
    const dt_dump_norm branch = dt_dump_normalise(d, false, desc->n, desc->c, desc->h, desc->w);
    const dt_dump_norm skip = join_skip(d, desc, lazy_skip);
    dt_tensor dx = output_like_x(d, desc);
    dt_graph_conv_backward_data_join(desc, DT_F32, lazy_skip, &c.graph);
    bind(&c, DT_GRAPH_DY, input_like_y(d, desc, "dy").data);
    bind(&c, DT_GRAPH_ADD, input_like_x(d, desc, "add").data);
    bind(&c, DT_GRAPH_W, filter(d, desc).data);
    bind(&c, DT_GRAPH_DX, dx.data);
    bind_norm(d, &c, &branch, branch_inputs, branch_outputs, vectors);
    bind(&c, DT_GRAPH_ZERO, constant(d, desc->c, 0.0F));
    bind(&c, DT_GRAPH_ONE, constant(d, desc->c, 1.0F));
    if (lazy_skip)
        bind_norm(d, &c, &skip, skip_inputs, skip_outputs, skip_vectors);
    else
        bind(&c, DT_GRAPH_SKIP, skip.raw.data);
    execute(d, &c);
    dt_dump_write(d, "dz", &dx);
    write_norm(d, &branch, branch_names, vectors);
    if (lazy_skip)
        write_norm(d, &skip, skip_names, skip_vectors);
}

static void backward_weights(dt_dump *d, const dt_conv_desc *desc, bool prologue)
{
    call c = {.n = 0};
    begin(d, prologue ? "wgrad-prologue" : "wgrad", desc);
    dt_graph_conv_backward_weights(desc, DT_F32, prologue, &c.graph);
    if (prologue) {
        const dt_dump_norm norm = dt_dump_normalise(d, false, desc->n, desc->c, desc->h, desc->w);
        bind(&c, DT_GRAPH_X, norm.raw.data);
        bind(&c, DT_GRAPH_SCALE, norm.scale);
        bind(&c, DT_GRAPH_BIAS, norm.bias);
    } else {
        bind(&c, DT_GRAPH_X, input_like_x(d, desc, "x").data);
    }
    dt_tensor dw = dt_dump_output(d, desc->k, desc->c, desc->r, desc->s);
    bind(&c, DT_GRAPH_DY, input_like_y(d, desc, "dy").data);
    bind(&c, DT_GRAPH_DW, dw.data);
    execute(d, &c);
    flip_filter(d, &dw);
    dt_dump_write(d, "dw", &dw);
}

/* -- the fully connected layer --------------------------------------------------------------------------- */

static void linear(dt_dump *d)
{
    enum { N_OUT = 10 };
    call c = {.n = 0};
    dt_dump_begin(d, "linear", 1, 0);
    dt_tensor x = dt_dump_input(d, "x", N, C, 1, 1, -1, 1), w = dt_dump_input(d, "w", N_OUT, C, 1, 1, -1, 1),
              dy = dt_dump_input(d, "dy", N, N_OUT, 1, 1, -1, 1), y = dt_dump_output(d, N, N_OUT, 1, 1),
              dx = dt_dump_output(d, N, C, 1, 1), dw = dt_dump_output(d, N_OUT, C, 1, 1);
    dt_graph_linear_forward(N, C, N_OUT, DT_F32, &c.graph);
    bind(&c, DT_GRAPH_X, x.data);
    bind(&c, DT_GRAPH_W, w.data);
    bind(&c, DT_GRAPH_Y, y.data);
    execute(d, &c);
    dt_graph_linear_backward_data(N, C, N_OUT, DT_F32, &c.graph);
    bind(&c, DT_GRAPH_DY, dy.data);
    bind(&c, DT_GRAPH_W, w.data);
    bind(&c, DT_GRAPH_DX, dx.data);
    execute(d, &c);
    dt_graph_linear_backward_weights(N, C, N_OUT, DT_F32, &c.graph);
    bind(&c, DT_GRAPH_X, x.data);
    bind(&c, DT_GRAPH_DY, dy.data);
    bind(&c, DT_GRAPH_DW, dw.data);
    execute(d, &c);
    dt_dump_write(d, "y", &y);
    dt_dump_write(d, "dx", &dx);
    dt_dump_write(d, "dw", &dw);
}

/* window, stride, padding */
static const int64_t shapes[][3] = {{1, 1, 0}, {3, 1, 1}, {3, 2, 1}, {1, 2, 0}, {7, 2, 3}};

void dt_dump_graphs(dt_dump *d)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const dt_conv_desc desc = {.n = N,
                                   .c = C,
                                   .h = H,
                                   .w = W,
                                   .k = K,
                                   .r = shapes[i][0],
                                   .s = shapes[i][0],
                                   .stride = shapes[i][1],
                                   .pad = shapes[i][2],
                                   .for_training = true};
        for (int form = 0; form < 2; form++) {
            forward(d, &desc, form);
            forward_prologue(d, &desc, form);
            forward_join(d, &desc, form);
            backward_data(d, &desc, form);
            backward_data_join(d, &desc, form);
            backward_weights(d, &desc, form);
        }
        backward_data_bn(d, &desc);
    }
    linear(d);
}
