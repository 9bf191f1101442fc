/* A fused graph is used where it is faster than what it replaces. The runner is a fake that only returns
 * times. */
#include "launch/estimate/gpu_spec.h"
#include "launch/estimate/offline_device.h"
#include "layers/cuda/kernels_cuda.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

struct dt_graph_plan {
    dt_graph_plan_info info;
};

/* The time in ms of a graph, found by the first word of its name. 0: refused, like graphs that are not in the
 * list; -1: not measured. */
typedef struct fake_time {
    const char *word;
    double ms;
    int64_t workspace_bytes;
} fake_time;

typedef struct fake_runner {
    dt_graph_runner base;
    const fake_time *times;
    int n_plans; /* that exist */
} fake_runner;

static dt_status plan_create(dt_graph_runner *base, const dt_graph *graph, const dt_graph_engine *chosen,
                             dt_graph_plan **plan, dt_error *err)
{
    (void)chosen;
    fake_runner *r = (fake_runner *)base;
    for (int i = 0; r->times[i].word; i++) {
        size_t length = strlen(r->times[i].word);
        if (strncmp(graph->name, r->times[i].word, length) != 0 || graph->name[length] != ' ')
            continue;
        if (r->times[i].ms == 0)
            break;
        *plan = calloc(1, sizeof **plan);
        (*plan)->info.time_ms = r->times[i].ms > 0 ? r->times[i].ms : 0;
        (*plan)->info.workspace_bytes = r->times[i].workspace_bytes;
        r->n_plans++;
        return DT_OK;
    }
    return dt_fail(err, DT_ERR_UNSUPPORTED, "%s: refused", graph->name);
}

static void plan_destroy(dt_graph_runner *base, dt_graph_plan *plan)
{
    ((fake_runner *)base)->n_plans -= plan != NULL;
    free(plan);
}

static void plan_info(const dt_graph_plan *plan, dt_graph_plan_info *info)
{
    *info = plan->info;
}

static const char *describe(dt_graph_runner *base)
{
    (void)base;
    return "a runner of times";
}

static const dt_graph_runner_ops ops = {.name = "fake",
                                        .describe = describe,
                                        .plan_create = plan_create,
                                        .plan_destroy = plan_destroy,
                                        .plan_info = plan_info};

typedef struct result {
    unsigned fusions;
    int n_composed;
    char reasons[1024];
    int64_t scratch_bytes;
} result;

static void visit_row(void *context, const dt_cuda_plan_row *row)
{
    result *r = context;
    if (row->is_refused) {
        r->n_composed++;
        strncat(r->reasons, row->reason, sizeof r->reasons - strlen(r->reasons) - 1);
    }
}

/* Create a convolution whose x and y have 256 x 64 x 56 x 56 elements of 2 bytes, on an A100 (nominally 1.555
 * TB/s). A pass over one of them takes 78 us at the share of the bandwidth that is assumed. */
static result choose_for(dt_conv_input input, const fake_time *times)
{
    result r = {0};
    fake_runner runner = {.base.ops = &ops, .times = times};
    dt_conv_desc desc = {.n = 256,
                         .c = 64,
                         .h = 56,
                         .w = 56,
                         .k = 64,
                         .r = input == DT_CONV_INPUT_LAZY ? 3 : 1,
                         .s = input == DT_CONV_INPUT_LAZY ? 3 : 1,
                         .stride = 1,
                         .pad = input == DT_CONV_INPUT_LAZY,
                         .for_training = true,
                         .input = input};
    dt_cuda_options options = {.dtype = DT_F16, .plan_only = true};
    dt_gpu_spec gpu;
    dt_device *device = NULL;
    dt_kernels *k = NULL;
    dt_conv *conv = NULL;
    dt_error err = {0};
    DT_REQUIRE(dt_gpu_spec_load("a100-40gb", &gpu, &err) == DT_OK);
    DT_REQUIRE(dt_offline_device_create(&gpu, DT_F16, &device, &err) == DT_OK);
    DT_REQUIRE(dt_kernels_cuda_create(device, &runner.base, &options, &k, &err) == DT_OK);
    DT_REQUIRE_MSG(k->ops->conv_create(k, &desc, &conv, &err) == DT_OK, "%s", err.message);
    r.fusions = k->ops->conv_fusions(k, conv);
    r.scratch_bytes = k->ops->scratch_bytes(k);
    dt_kernels_cuda_plans(k, visit_row, &r);
    k->ops->conv_destroy(k, conv);
    k->ops->destroy(k);
    device->ops->destroy(device);
    dt_gpu_spec_free(&gpu);
    DT_CHECK_INT(runner.n_plans, 0);
    return r;
}

static result choose(const fake_time *times)
{
    return choose_for(DT_CONV_INPUT_LAZY, times);
}

#define ALL                                                                                                  \
    (DT_CONV_FUSE_PROLOGUE | DT_CONV_FUSE_SUMS | DT_CONV_FUSE_BACKWARD_EPILOGUE |                            \
     DT_CONV_FUSE_BACKWARD_ADD | DT_CONV_FUSE_WEIGHTS_PROLOGUE)
#define TIMES(...)                                                                                           \
    (const fake_time[])                                                                                      \
    {                                                                                                        \
        __VA_ARGS__, {"dgrad+=", 0.2, 0},                                                                    \
        {                                                                                                    \
            NULL, 0, 0                                                                                       \
        }                                                                                                    \
    }

static void fused_graphs_that_save_time_are_used(void)
{
    result r = choose(TIMES({"conv", 0.2, 0}, {"conv+sums", 0.22, 0}, {"bnrelu+conv+sums", 0.3, 0},
                            {"dgrad", 0.2, 0}, {"dgrad+drelu+dbn", 0.34, 0}, {"wgrad", 0.2, 0},
                            {"bnrelu+wgrad", 0.3, 0}));
    DT_CHECK_INT(r.fusions, ALL);
    DT_CHECK_INT(r.n_composed, 0);
}

static void a_fused_graph_that_is_slower_than_its_parts_is_composed(void)
{
    /* dgrad and the two passes of bn_backward_reduce take 0.2 + 0.16 ms */
    result r = choose(TIMES({"conv", 0.2, 0}, {"conv+sums", 0.22, 0}, {"bnrelu+conv+sums", 0.3, 0},
                            {"dgrad", 0.2, 0}, {"dgrad+drelu+dbn", 0.5, 900000000}, {"wgrad", 0.2, 0},
                            {"bnrelu+wgrad", 0.3, 0}));
    DT_CHECK_INT(r.fusions, ALL & ~(unsigned)DT_CONV_FUSE_BACKWARD_EPILOGUE);
    DT_CHECK_INT(r.n_composed, 1);
    DT_CHECK_CONTAINS(r.reasons, "dgrad+drelu+dbn 3x3 64->64 56x56 n256 fp16: 0.500 ms, composed 0.35");
    DT_CHECK(r.scratch_bytes < 900000000); /* its workspace is not kept */

    /* wgrad and two passes: 0.2 + 0.16 */
    r = choose(TIMES({"conv", 0.2, 0}, {"conv+sums", 0.22, 0}, {"bnrelu+conv+sums", 0.3, 0},
                     {"dgrad", 0.2, 0}, {"dgrad+drelu+dbn", 0.34, 0}, {"wgrad", 0.2, 0},
                     {"bnrelu+wgrad", 0.4, 0}));
    DT_CHECK_INT(r.fusions, ALL & ~(unsigned)DT_CONV_FUSE_WEIGHTS_PROLOGUE);
    /* conv + sums and two passes: 0.22 + 0.16 */
    r = choose(TIMES({"conv", 0.2, 0}, {"conv+sums", 0.22, 0}, {"bnrelu+conv+sums", 0.4, 0},
                     {"dgrad", 0.2, 0}, {"dgrad+drelu+dbn", 0.34, 0}, {"wgrad", 0.2, 0},
                     {"bnrelu+wgrad", 0.3, 0}));
    DT_CHECK_INT(r.fusions, ALL & ~(unsigned)DT_CONV_FUSE_PROLOGUE);
    /* conv and three passes: 0.2 + 0.23; conv and one: 0.28 */
    r = choose(TIMES({"conv", 0.2, 0}, {"conv+sums", 0.3, 0}, {"bnrelu+conv+sums", 0.5, 0}, {"dgrad", 0.2, 0},
                     {"dgrad+drelu+dbn", 0.34, 0}, {"wgrad", 0.2, 0}, {"bnrelu+wgrad", 0.3, 0}));
    DT_CHECK_INT(r.fusions, ALL & ~(unsigned)(DT_CONV_FUSE_PROLOGUE | DT_CONV_FUSE_SUMS));
    DT_CHECK_INT(r.n_composed, 2);
}

/* The join in forward needs the one in backward, which needs no mask. conv + sums and the three passes of
 * residual_forward take 0.22 + 0.23 ms. */
static void a_join_is_computed_with_the_convolution_where_that_is_faster(void)
{
    const unsigned composed = DT_CONV_FUSE_SUMS | DT_CONV_FUSE_BACKWARD_ADD,
                   backward = composed | DT_CONV_FUSE_BACKWARD_JOIN;
    result r =
        choose_for(DT_CONV_INPUT_JOIN,
                   TIMES({"conv", 0.2, 0}, {"conv+sums", 0.22, 0}, {"wgrad", 0.2, 0}, {"dgrad", 0.2, 0},
                         {"dgrad+add+drelu+dbn", 0.3, 0}, {"bn+add+relu+conv+sums", 0.44, 0}));
    DT_CHECK_INT(r.fusions, backward | DT_CONV_FUSE_JOIN);
    DT_CHECK_INT(r.n_composed, 0);
    r = choose_for(DT_CONV_INPUT_JOIN_LAZY,
                   TIMES({"conv", 0.2, 0}, {"conv+sums", 0.22, 0}, {"wgrad", 0.2, 0}, {"dgrad", 0.2, 0},
                         {"dgrad+add+drelu+2dbn", 0.3, 0}, {"bn+bn+add+relu+conv+sums", 0.46, 0}));
    DT_CHECK_INT(r.fusions, backward);
    DT_CHECK_CONTAINS(r.reasons,
                      "bn+bn+add+relu+conv+sums 1x1 64->64 56x56 n256 fp16: 0.460 ms, composed 0.45");
    r = choose_for(DT_CONV_INPUT_JOIN,
                   TIMES({"conv", 0.2, 0}, {"conv+sums", 0.22, 0}, {"wgrad", 0.2, 0}, {"dgrad", 0.2, 0},
                         {"dgrad+add+drelu+dbn", 0, 0}, {"bn+add+relu+conv+sums", 0.3, 0}));
    DT_CHECK_INT(r.fusions, composed);
    r = choose_for(DT_CONV_INPUT_JOIN,
                   TIMES({"wgrad", -1, 0}, {"dgrad", -1, 0}, {"dgrad+add+drelu+dbn", -1, 0},
                         {"bn+add+relu+conv+sums", -1, 0}));
    DT_CHECK_INT(r.fusions, backward | DT_CONV_FUSE_JOIN); /* no plan without the join is needed */
}

static void unmeasured_fused_graphs_are_used(void)
{
    result r =
        choose(TIMES({"conv", -1, 0}, {"conv+sums", -1, 0}, {"bnrelu+conv+sums", -1, 0}, {"dgrad", -1, 0},
                     {"dgrad+drelu+dbn", -1, 0}, {"wgrad", -1, 0}, {"bnrelu+wgrad", -1, 0}));
    DT_CHECK_INT(r.fusions, ALL);
    r = choose(TIMES({"conv", 0.2, 0}, {"dgrad", 0.2, 0}, {"wgrad", 0.2, 0}));
    DT_CHECK_INT(r.fusions, DT_CONV_FUSE_BACKWARD_ADD);
}

static void the_backward_of_a_join_is_fused_where_that_saves_time(void)
{
    const unsigned join = DT_CONV_FUSE_BACKWARD_JOIN;
    /* dgrad += and residual_backward's passes, 3 + 1/16: 0.2 + 0.24 ms; 4 + 1/16: 0.2 + 0.32 ms */
    const fake_time fast[] = {{"conv", 0.2, 0},    {"wgrad", 0.2, 0},
                              {"dgrad", 0.2, 0},   {"dgrad+add+drelu+dbn", 0.42, 200000000},
                              {"dgrad+=", 0.2, 0}, {"dgrad+add+drelu+2dbn", 0.5, 200000000},
                              {NULL, 0, 0}};
    const fake_time slow[] = {{"conv", 0.2, 0},    {"wgrad", 0.2, 0},
                              {"dgrad", 0.2, 0},   {"dgrad+add+drelu+dbn", 0.46, 900000000},
                              {"dgrad+=", 0.2, 0}, {"dgrad+add+drelu+2dbn", 0.54, 900000000},
                              {NULL, 0, 0}};
    DT_CHECK(choose_for(DT_CONV_INPUT_JOIN, fast).fusions & join);
    DT_CHECK(choose_for(DT_CONV_INPUT_JOIN_LAZY, fast).fusions & join);
    result r = choose_for(DT_CONV_INPUT_JOIN, slow);
    DT_CHECK(!(r.fusions & join));
    DT_CHECK_CONTAINS(r.reasons, "dgrad+add+drelu+dbn 1x1 64->64 56x56 n256 fp16: 0.460 ms, composed 0.43");
    DT_CHECK(r.scratch_bytes < 900000000);
    DT_CHECK(!(choose_for(DT_CONV_INPUT_JOIN_LAZY, slow).fusions & join));
    DT_CHECK(!(choose_for(DT_CONV_INPUT_PLAIN, fast).fusions & join));
}

/* A pass over dx moves 103 MB. The graph saves 1 + 1/16 passes, or 2 + 1/16 with a normalised skip. */
static void an_unmeasured_backward_of_a_join_is_fused_if_its_workspace_is_small(void)
{
    const fake_time times[] = {{"conv", -1, 0},    {"wgrad", -1, 0},
                               {"dgrad", -1, 0},   {"dgrad+add+drelu+dbn", -1, 60000000},
                               {"dgrad+=", -1, 0}, {"dgrad+add+drelu+2dbn", -1, 60000000},
                               {NULL, 0, 0}};
    result r = choose_for(DT_CONV_INPUT_JOIN, times);
    DT_CHECK(!(r.fusions & DT_CONV_FUSE_BACKWARD_JOIN));
    DT_CHECK_CONTAINS(r.reasons, "its workspace of 60 MB takes more than it saves");
    DT_CHECK(choose_for(DT_CONV_INPUT_JOIN_LAZY, times).fusions & DT_CONV_FUSE_BACKWARD_JOIN);
}

static const dt_test tests[] = {DT_TEST(the_backward_of_a_join_is_fused_where_that_saves_time),
                                DT_TEST(an_unmeasured_backward_of_a_join_is_fused_if_its_workspace_is_small),
                                DT_TEST(fused_graphs_that_save_time_are_used),
                                DT_TEST(a_fused_graph_that_is_slower_than_its_parts_is_composed),
                                DT_TEST(a_join_is_computed_with_the_convolution_where_that_is_faster),
                                DT_TEST(unmeasured_fused_graphs_are_used)};
DT_TEST_MAIN("layers/cuda_fused", tests)
