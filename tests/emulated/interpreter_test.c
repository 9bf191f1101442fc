/* Interprets every graph of layers/cuda/graph_conv.h and compares it with the reference backend's operation;
 * and what the interpreter refuses.
 *
 * In FP32 only the results are rounded, so a tolerance of 1e-5 of the largest value distinguishes a right
 * graph from a wrong one. */
#include "layers/cuda/graph_conv.h"
#include "layers/cuda/graph_residual.h"
#include "layers/cuda/graph_residual_backward.h"
#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "tests/emulated/device_emulated.h"
#include "tests/emulated/graph_interpreter.h"
#include "tests/emulated/tensor_pair.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

#define TOLERANCE 1e-5

enum { N = 3, C = 16, K = 32, H = 7, W = 5, MAX = N * K * H * W * 9, N_VECTORS = 8 };

static dt_device *host, *device;
static dt_kernels *ref;
static dt_graph_runner *runner;
static dt_error err;
static uint64_t seed;

void dt_test_set_up(void)
{
    const dt_interpreter_options options = {.gpu = DT_INTERPRET_ALL};
    if (dt_device_host_create(1, &host, &err) != DT_OK ||
        dt_kernels_ref_create(host, DT_F32, &ref, &err) != DT_OK ||
        dt_device_emulated_create(&(dt_emulated_options){0}, &device, &err) != DT_OK ||
        dt_graph_interpreter_create(device, &options, &runner, &err) != DT_OK)
        abort();
}

void dt_test_tear_down(void)
{
    runner->ops->destroy(runner);
    device->ops->destroy(device);
    ref->ops->destroy(ref);
    host->ops->destroy(host);
}

typedef dt_pair pair;

static pair pair_of(int64_t n, int64_t c, int64_t h, int64_t w)
{
    return dt_pair_create(device, n, c, h, w, ++seed);
}

static void pair_free(pair *p)
{
    dt_pair_free(device, p);
}

static dt_status execute(const dt_graph *graph, const dt_graph_binding *tensors, int n)
{
    dt_graph_plan *plan = NULL;
    dt_graph_plan_info info = {0};
    DT_REQUIRE_MSG(runner->ops->plan_create(runner, graph, NULL, &plan, &err) == DT_OK, "%s", err.message);
    runner->ops->plan_info(plan, &info);
    void *workspace = device->ops->alloc(device, info.workspace_bytes);
    dt_status status = runner->ops->plan_execute(runner, plan, tensors, n, workspace, NULL, &err);
    device->ops->free(device, workspace);
    runner->ops->plan_destroy(runner, plan);
    return status;
}

typedef struct problem {
    dt_conv_desc desc;
    dt_conv *conv;
    pair x, w, y, raw;
    pair v[N_VECTORS]; /* per channel, c and k of them at least */
} problem;

static problem problem_of(int64_t window, int64_t stride, int64_t pad)
{
    problem p = {.desc = {.n = N,
                          .c = C,
                          .h = H,
                          .w = W,
                          .k = K,
                          .r = window,
                          .s = window,
                          .stride = stride,
                          .pad = pad,
                          .for_training = true}};
    DT_REQUIRE(ref->ops->conv_create(ref, &p.desc, &p.conv, &err) == DT_OK);
    p.x = pair_of(N, C, H, W);
    p.raw = pair_of(N, C, H, W);
    p.w = pair_of(K, C, window, window);
    p.y = pair_of(N, K, dt_conv_out_h(&p.desc), dt_conv_out_w(&p.desc));
    for (int i = 0; i < N_VECTORS; i++)
        p.v[i] = pair_of(1, K, 1, 1);
    return p;
}

static void problem_free(problem *p)
{
    pair *all[] = {&p->x, &p->w, &p->y, &p->raw};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        pair_free(all[i]);
    for (int i = 0; i < N_VECTORS; i++)
        pair_free(&p->v[i]);
    ref->ops->conv_destroy(ref, p->conv);
}

static void check_forward(problem *p, bool prologue, bool sums)
{
    dt_graph graph;
    double expected_sums[2 * K];
    dt_tensor y = dt_pair_tensor(&p->y);
    dt_act x = {.raw = dt_pair_tensor(&p->x),
                .scale = prologue ? p->v[0].nchw : NULL,
                .bias = prologue ? p->v[1].nchw : NULL,
                .relu = prologue};
    dt_graph_conv_forward(&p->desc, DT_F32, prologue, sums, &graph);
    const dt_graph_binding all[] = {{DT_GRAPH_X, p->x.nhwc},       {DT_GRAPH_W, p->w.nhwc},
                                    {DT_GRAPH_Y, p->y.nhwc},       {DT_GRAPH_SCALE, p->v[0].nhwc},
                                    {DT_GRAPH_BIAS, p->v[1].nhwc}, {DT_GRAPH_SUM, p->v[6].nhwc},
                                    {DT_GRAPH_SUMSQ, p->v[7].nhwc}};
    dt_graph_binding used[7];
    int n = 0;
    for (int i = 0; i < 7; i++)
        if (i < 3 || (prologue && i < 5) || (sums && i > 4))
            used[n++] = all[i];
    DT_REQUIRE_MSG(execute(&graph, used, n) == DT_OK, "%s", err.message);
    DT_REQUIRE(ref->ops->conv_forward(ref, p->conv, &x, p->w.nchw, &y, sums ? expected_sums : NULL, &err) ==
               DT_OK);
    dt_pair_check(&p->y, TOLERANCE);
    for (int i = 0; sums && i < K; i++) {
        DT_CHECK_CLOSE((double)p->v[6].nhwc[i], expected_sums[i], 1e-3);
        DT_CHECK_CLOSE((double)p->v[7].nhwc[i] / expected_sums[K + i], 1.0, TOLERANCE);
    }
}

/* The branch is p->raw; the graph writes p->x. */
static void check_forward_join(problem *p, bool skip_is_lazy)
{
    dt_graph graph;
    double sums[2 * K];
    pair skip = pair_of(N, C, H, W);
    dt_tensor x = dt_pair_tensor(&p->x), y = dt_pair_tensor(&p->y);
    const dt_act branch = {.raw = dt_pair_tensor(&p->raw), .scale = p->v[0].nchw, .bias = p->v[1].nchw},
                 other = {.raw = dt_pair_tensor(&skip),
                          .scale = skip_is_lazy ? p->v[2].nchw : NULL,
                          .bias = skip_is_lazy ? p->v[3].nchw : NULL},
                 plain = {.raw = x};
    const dt_graph_binding tensors[] = {
        {DT_GRAPH_RAW, p->raw.nhwc},       {DT_GRAPH_SCALE, p->v[0].nhwc},
        {DT_GRAPH_BIAS, p->v[1].nhwc},     {DT_GRAPH_SKIP, skip.nhwc},
        {DT_GRAPH_X, p->x.nhwc},           {DT_GRAPH_W, p->w.nhwc},
        {DT_GRAPH_Y, p->y.nhwc},           {DT_GRAPH_SUM, p->v[6].nhwc},
        {DT_GRAPH_SUMSQ, p->v[7].nhwc},    {DT_GRAPH_SKIP_SCALE, p->v[2].nhwc},
        {DT_GRAPH_SKIP_BIAS, p->v[3].nhwc}};
    dt_graph_conv_forward_join(&p->desc, DT_F32, skip_is_lazy, &graph);
    DT_REQUIRE_MSG(execute(&graph, tensors, skip_is_lazy ? 11 : 9) == DT_OK, "%s", err.message);
    DT_REQUIRE(ref->ops->residual_forward(ref, &branch, &other, &x, NULL, &err) == DT_OK);
    DT_REQUIRE(ref->ops->conv_forward(ref, p->conv, &plain, p->w.nchw, &y, sums, &err) == DT_OK);
    dt_pair_check(&p->x, TOLERANCE);
    dt_pair_check(&p->y, TOLERANCE);
    for (int i = 0; i < K; i++) {
        DT_CHECK_CLOSE((double)p->v[6].nhwc[i], sums[i], 1e-3);
        DT_CHECK_CLOSE((double)p->v[7].nhwc[i] / sums[K + i], 1.0, TOLERANCE);
    }
    pair_free(&skip);
}

static void check_backward_data(problem *p, bool accumulate)
{
    dt_graph graph;
    dt_tensor dx = dt_pair_tensor(&p->x), dy = dt_pair_tensor(&p->y);
    dt_graph_conv_backward_data(&p->desc, DT_F32, accumulate, &graph);
    const dt_graph_binding tensors[] = {
        {DT_GRAPH_DY, p->y.nhwc}, {DT_GRAPH_W, p->w.nhwc}, {DT_GRAPH_DX, p->x.nhwc}};
    DT_REQUIRE_MSG(execute(&graph, tensors, 3) == DT_OK, "%s", err.message);
    DT_REQUIRE(ref->ops->conv_backward_data(ref, p->conv, &dy, p->w.nchw, accumulate ? &dx : NULL, NULL, &dx,
                                            &err) == DT_OK);
    dt_pair_check(&p->x, TOLERANCE);
}

/* gamma, beta, mean and invstd are random; scale and bias follow from them. */
static void check_backward_data_bn(problem *p)
{
    enum { MEAN, INVSTD, GAMMA, BETA, DGAMMA, DBETA, SCALE, BIAS };
    dt_graph graph;
    double sums[2 * K];
    float a[C];
    for (int i = 0; i < C; i++) {
        p->v[SCALE].nchw[i] = p->v[GAMMA].nchw[i] * p->v[INVSTD].nchw[i];
        p->v[BIAS].nchw[i] = p->v[BETA].nchw[i] - p->v[MEAN].nchw[i] * p->v[SCALE].nchw[i];
        a[i] = p->v[SCALE].nchw[i];
    }
    dt_act act = {
        .raw = dt_pair_tensor(&p->raw), .scale = p->v[SCALE].nchw, .bias = p->v[BIAS].nchw, .relu = true};
    dt_bn_backward bn = {&act, p->v[MEAN].nchw, p->v[INVSTD].nchw, p->v[GAMMA].nchw, p->v[BETA].nchw, sums};
    dt_tensor dx = dt_pair_tensor(&p->x), dy = dt_pair_tensor(&p->y);
    pair coefficients[3] = {pair_of(1, C, 1, 1), pair_of(1, C, 1, 1), pair_of(1, C, 1, 1)};
    dt_graph_conv_backward_data_bn(&p->desc, DT_F32, &graph);
    const dt_graph_binding tensors[] = {{DT_GRAPH_DY, p->y.nhwc},
                                        {DT_GRAPH_W, p->w.nhwc},
                                        {DT_GRAPH_RAW, p->raw.nhwc},
                                        {DT_GRAPH_MEAN, p->v[MEAN].nhwc},
                                        {DT_GRAPH_INVSTD, p->v[INVSTD].nhwc},
                                        {DT_GRAPH_GAMMA, p->v[GAMMA].nhwc},
                                        {DT_GRAPH_BETA, p->v[BETA].nhwc},
                                        {DT_GRAPH_DX, p->x.nhwc},
                                        {DT_GRAPH_DGAMMA, p->v[DGAMMA].nhwc},
                                        {DT_GRAPH_DBETA, p->v[DBETA].nhwc},
                                        {DT_GRAPH_COEF_A, coefficients[0].nhwc},
                                        {DT_GRAPH_COEF_B, coefficients[1].nhwc},
                                        {DT_GRAPH_COEF_C, coefficients[2].nhwc}};
    DT_REQUIRE_MSG(execute(&graph, tensors, 13) == DT_OK, "%s", err.message);
    DT_REQUIRE(ref->ops->conv_backward_data(ref, p->conv, &dy, p->w.nchw, NULL, &bn, &dx, &err) == DT_OK);
    dt_pair_check(&p->x, TOLERANCE);
    for (int i = 0; i < C; i++) {
        DT_CHECK_CLOSE((double)p->v[DGAMMA].nhwc[i], sums[i], 1e-3);
        DT_CHECK_CLOSE((double)p->v[DBETA].nhwc[i], sums[C + i], 1e-3);
    }
    DT_CHECK_NEAR(coefficients[0].nhwc, a, C, TOLERANCE);
    for (int i = 0; i < 3; i++)
        pair_free(&coefficients[i]);
}

/* One BatchNorm of a join, and what ref computes of it. */
typedef struct join_norm {
    pair raw, vectors[9]; /* mean, invstd, gamma, beta, dgamma, dbeta, and the coefficients */
    pair scale, bias;
    double sums[2 * C];
    dt_act act;
    dt_bn_backward bn;
} join_norm;

static void join_norm_init(join_norm *norm)
{
    norm->raw = pair_of(N, C, H, W);
    for (int i = 0; i < 9; i++)
        norm->vectors[i] = pair_of(1, C, 1, 1);
    const float *mean = norm->vectors[0].nchw, *invstd = norm->vectors[1].nchw,
                *gamma = norm->vectors[2].nchw, *beta = norm->vectors[3].nchw;
    norm->scale = pair_of(1, C, 1, 1);
    norm->bias = pair_of(1, C, 1, 1);
    for (int i = 0; i < C; i++) {
        norm->scale.nchw[i] = norm->scale.nhwc[i] = gamma[i] * invstd[i];
        norm->bias.nchw[i] = norm->bias.nhwc[i] = beta[i] - mean[i] * norm->scale.nchw[i];
    }
    norm->act =
        (dt_act){.raw = dt_pair_tensor(&norm->raw), .scale = norm->scale.nchw, .bias = norm->bias.nchw};
    norm->bn = (dt_bn_backward){&norm->act, mean, invstd, gamma, beta, norm->sums};
}

typedef struct join_ids {
    int raw, scale, bias;
    int mean, dgamma; /* the first ids of mean, invstd, gamma, and of dgamma, dbeta, the coefficients */
} join_ids;

static int join_norm_bind(const join_norm *norm, const join_ids *ids, dt_graph_binding *tensors)
{
    int n = 0;
    tensors[n++] = (dt_graph_binding){ids->raw, norm->raw.nhwc};
    tensors[n++] = (dt_graph_binding){ids->scale, norm->scale.nhwc};
    tensors[n++] = (dt_graph_binding){ids->bias, norm->bias.nhwc};
    for (int i = 0; i < 9; i++)
        if (i != 3) /* beta */
            tensors[n++] =
                (dt_graph_binding){i < 3 ? ids->mean + i : ids->dgamma + i - 4, norm->vectors[i].nhwc};
    return n;
}

static void join_norm_check(const join_norm *norm)
{
    for (int i = 0; i < C; i++) {
        DT_CHECK_CLOSE((double)norm->vectors[4].nhwc[i], norm->sums[i], 1e-3);
        DT_CHECK_CLOSE((double)norm->vectors[5].nhwc[i], norm->sums[C + i], 1e-3);
    }
    DT_CHECK_NEAR(norm->vectors[6].nhwc, norm->scale.nchw, C, TOLERANCE);
}

static void join_norm_free(join_norm *norm)
{
    pair_free(&norm->scale);
    pair_free(&norm->bias);
    pair_free(&norm->raw);
    for (int i = 0; i < 9; i++)
        pair_free(&norm->vectors[i]);
}

/* ref computes the join, adds the gradients, and reduces the sum. */
static void check_backward_data_join(problem *p, bool lazy_skip)
{
    static const join_ids branch_ids = {DT_GRAPH_RAW, DT_GRAPH_SCALE, DT_GRAPH_BIAS, DT_GRAPH_MEAN,
                                        DT_GRAPH_DGAMMA};
    static const join_ids skip_ids = {DT_GRAPH_SKIP, DT_GRAPH_SKIP_SCALE, DT_GRAPH_SKIP_BIAS,
                                      DT_GRAPH_SKIP_MEAN, DT_GRAPH_SKIP_DGAMMA};
    dt_graph graph;
    join_norm norms[2];
    pair zeros = pair_of(1, C, 1, 1), ones = pair_of(1, C, 1, 1);
    dt_graph_binding tensors[32] = {{DT_GRAPH_DY, p->y.nhwc},
                                    {DT_GRAPH_W, p->w.nhwc},
                                    {DT_GRAPH_ZERO, zeros.nhwc},
                                    {DT_GRAPH_ONE, ones.nhwc}};
    pair add = pair_of(N, C, H, W), joined = pair_of(N, C, H, W);
    const dt_tensor dx = dt_pair_tensor(&p->x), dy = dt_pair_tensor(&p->y), to_add = dt_pair_tensor(&add),
                    y = dt_pair_tensor(&joined);
    int n = 4;
    for (int i = 0; i < C; i++) {
        zeros.nhwc[i] = 0.0F;
        ones.nhwc[i] = 1.0F;
    }
    tensors[n++] = (dt_graph_binding){DT_GRAPH_ADD, add.nhwc};
    tensors[n++] = (dt_graph_binding){DT_GRAPH_DX, p->x.nhwc};
    for (int i = 0; i < 2; i++)
        join_norm_init(&norms[i]);
    n += join_norm_bind(&norms[0], &branch_ids, &tensors[n]);
    if (lazy_skip)
        n += join_norm_bind(&norms[1], &skip_ids, &tensors[n]);
    else
        tensors[n++] = (dt_graph_binding){DT_GRAPH_SKIP, norms[1].raw.nhwc};
    const dt_act skip = lazy_skip ? norms[1].act : (dt_act){.raw = norms[1].act.raw};
    dt_graph_conv_backward_data_join(&p->desc, DT_F32, lazy_skip, &graph);
    DT_REQUIRE_MSG(execute(&graph, tensors, n) == DT_OK, "%s", err.message);
    DT_REQUIRE(ref->ops->residual_forward(ref, &norms[0].act, &skip, &y, NULL, &err) == DT_OK);
    DT_REQUIRE(ref->ops->conv_backward_data(ref, p->conv, &dy, p->w.nchw, &to_add, NULL, &dx, &err) == DT_OK);
    DT_REQUIRE(ref->ops->residual_backward(ref, &dx, &y, NULL, &norms[0].bn, lazy_skip ? &norms[1].bn : NULL,
                                           &dx, &err) == DT_OK);
    dt_pair_check(&p->x, TOLERANCE);
    for (int i = 0; i < 2; i++) {
        if (i == 0 || lazy_skip)
            join_norm_check(&norms[i]);
        join_norm_free(&norms[i]);
    }
    pair_free(&zeros);
    pair_free(&ones);
    pair_free(&add);
    pair_free(&joined);
}

static void check_backward_weights(problem *p, bool prologue)
{
    dt_graph graph;
    dt_tensor dy = dt_pair_tensor(&p->y);
    dt_act x = {.raw = dt_pair_tensor(&p->x),
                .scale = prologue ? p->v[0].nchw : NULL,
                .bias = prologue ? p->v[1].nchw : NULL,
                .relu = prologue};
    dt_graph_conv_backward_weights(&p->desc, DT_F32, prologue, &graph);
    const dt_graph_binding tensors[] = {{DT_GRAPH_X, p->x.nhwc},
                                        {DT_GRAPH_DY, p->y.nhwc},
                                        {DT_GRAPH_DW, p->w.nhwc},
                                        {DT_GRAPH_SCALE, p->v[0].nhwc},
                                        {DT_GRAPH_BIAS, p->v[1].nhwc}};
    DT_REQUIRE_MSG(execute(&graph, tensors, prologue ? 5 : 3) == DT_OK, "%s", err.message);
    DT_REQUIRE(ref->ops->conv_backward_weights(ref, p->conv, &x, &dy, p->w.nchw, false, &err) == DT_OK);
    dt_pair_check(&p->w, TOLERANCE);
}

static const int64_t windows[][3] = {{1, 1, 0}, {3, 1, 1}, {3, 2, 1}, {1, 2, 0}, {5, 3, 2}};

static void every_graph_agrees_with_ref(void)
{
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        problem p = problem_of(windows[i][0], windows[i][1], windows[i][2]);
        for (int form = 0; form < 4; form++)
            check_forward(&p, form & 1, form & 2);
        for (int form = 0; form < 2; form++)
            check_forward_join(&p, form);
        for (int form = 0; form < 2; form++)
            check_backward_data(&p, form);
        check_backward_data_bn(&p);
        for (int form = 0; form < 2; form++)
            check_backward_data_join(&p, form);
        for (int form = 0; form < 2; form++)
            check_backward_weights(&p, form);
        problem_free(&p);
    }
    DT_CHECK_STR(dt_emulated_fault(device), "");
}

/* Each mistake changes the result or is refused. */
static void planted_mistakes_change_the_result_or_are_refused(void)
{
    problem p = problem_of(3, 1, 1);
    dt_graph graph;
    float *right = malloc(sizeof(float) * N * K * H * W);
    DT_REQUIRE(right != NULL);
    const dt_graph_binding tensors[] = {{DT_GRAPH_X, p.x.nhwc},
                                        {DT_GRAPH_W, p.w.nhwc},
                                        {DT_GRAPH_Y, p.y.nhwc},
                                        {DT_GRAPH_SCALE, p.v[0].nhwc},
                                        {DT_GRAPH_BIAS, p.v[1].nhwc}};
    dt_graph_conv_forward(&p.desc, DT_F32, true, false, &graph);
    DT_REQUIRE(execute(&graph, tensors, 5) == DT_OK);
    memcpy(right, p.y.nhwc, sizeof(float) * N * K * H * W);
    for (int mistake = 0; mistake < 5; mistake++) {
        dt_graph_conv_forward(&p.desc, DT_F32, true, false, &graph);
        switch (mistake) {
        case 0:
            graph.tensors[0].strides[3] = H;
            break; /* a stride */
        case 1:
            graph.ops[1].in[1] = DT_GRAPH_SCALE;
            break; /* the wrong vector */
        case 2:
            graph.ops[3].in[0] = graph.ops[2].in[0];
            break; /* no relu */
        case 3:
            graph.ops[3].alpha = -1.0F;
            break;
        default:
            graph.ops[0].kind = DT_GRAPH_OP_ADD;
            break;
        }
        DT_CHECK_INT(execute(&graph, tensors, 5), DT_OK);
        DT_CHECK(dt_test_relative_error(p.y.nhwc, right, N * K * H * W) > 0.01);
    }
    free(right);
    problem_free(&p);
}

static void unwritten_inputs_and_wrong_bindings_are_refused(void)
{
    problem p = problem_of(1, 1, 0);
    dt_graph graph;
    dt_graph_binding tensors[] = {{DT_GRAPH_X, p.x.nhwc}, {DT_GRAPH_W, p.w.nhwc}, {DT_GRAPH_Y, p.y.nhwc}};
    dt_graph_conv_forward(&p.desc, DT_F32, false, false, &graph);
    DT_CHECK_INT(execute(&graph, tensors, 2), DT_ERR_INTERNAL); /* a tensor is missing */
    tensors[2].data = p.x.nhwc;
    DT_CHECK_INT(execute(&graph, tensors, 3), DT_ERR_DEVICE); /* the output overlaps an input */
    tensors[2].data = p.y.nhwc + 1;
    DT_CHECK_INT(execute(&graph, tensors, 3), DT_ERR_DEVICE); /* reaches beyond the end */
    tensors[2].data = p.y.nhwc;
    memset(&p.x.nhwc[5], DT_EMULATED_POISON, sizeof(float));
    DT_CHECK_INT(execute(&graph, tensors, 3), DT_ERR_DEVICE);
    DT_CHECK_CONTAINS(err.message, "element 5 of tensor 1 was never written");
    (void)dt_emulated_fault(device);
    problem_free(&p);
}

static const dt_test tests[] = {
    DT_TEST(every_graph_agrees_with_ref),
    DT_TEST(planted_mistakes_change_the_result_or_are_refused),
    DT_TEST(unwritten_inputs_and_wrong_bindings_are_refused),
};
DT_TEST_MAIN("emulated/interpreter", tests)
