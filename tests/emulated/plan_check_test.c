/* Engines that fail, that differ between two runs, or that compute something else are not used. The engines
 * are the interpreter's, with mistakes. */
#include "core/base/log.h"
#include "tests/emulated/device_emulated.h"
#include "tests/emulated/faulty_engines.h"
#include "tests/resnet_convs.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_device *device;
static char warnings[4096];
static void (*spoil)(dt_graph *graph); /* the mistake of wrong engines; NULL: none */

static void keep_warning(void *context, dt_log_level level, const char *line)
{
    (void)context, (void)level;
    snprintf(warnings + strlen(warnings), sizeof warnings - strlen(warnings), "%s\n", line);
}

static void make_device(int64_t memory_bytes)
{
    dt_error err = {0};
    const dt_emulated_options options = {.memory_bytes = memory_bytes, .lazy = true};
    if (dt_device_emulated_create(&options, &device, &err) != DT_OK)
        abort();
}

void dt_test_set_up(void)
{
    make_device(0);
    dt_log_set_sink(keep_warning, NULL, DT_LOG_WARN);
}

void dt_test_tear_down(void)
{
    device->ops->destroy(device);
}

static dt_status choose(dt_faulty_engine *all, int n, const dt_graph *graph, dt_autotune_kind autotune,
                        dt_plan_cache *cache, dt_plan_choice *choice, dt_error *err)
{
    dt_emulated_counts counts;
    warnings[0] = '\0';
    for (int i = 0; i < n; i++)
        all[i].spoil = spoil;
    dt_status status = dt_faulty_engines_choose(device, graph, all, n, autotune, cache, choice, err);
    dt_emulated_get_counts(device, &counts);
    DT_CHECK_INT(counts.live_bytes, 0);
    return status;
}

/* -- graphs ---------------------------------------------------------------------------------------------- */

static dt_conv_desc conv_of(int64_t window, int64_t stride)
{
    return (dt_conv_desc){.n = 3,
                          .c = 32,
                          .h = 10,
                          .w = 9,
                          .k = 48,
                          .r = window,
                          .s = window,
                          .stride = stride,
                          .pad = window / 2,
                          .for_training = true};
}

static dt_graph graph_of(dt_conv_graph_kind kind, dt_dtype dtype)
{
    dt_graph graph;
    const dt_conv_desc desc = conv_of(3, 2);
    dt_conv_graph(&desc, dtype, kind, &graph);
    return graph;
}

/* Check one engine. */
static dt_status check_engine(dt_faulty_behaviour how, const dt_graph *graph, dt_error *err)
{
    dt_faulty_engine all[] = {{.name = "it", .behaviour = how}};
    dt_plan_choice choice;
    return choose(all, 1, graph, DT_AUTOTUNE_OFF, NULL, &choice, err);
}

/* -- the check ------------------------------------------------------------------------------------------- */

static void right_engines_pass_for_every_graph_and_type(void)
{
    static const dt_dtype dtypes[] = {DT_F16, DT_BF16, DT_TF32, DT_F32};
    static const int64_t shapes[][2] = {{3, 1}, {3, 2}, {1, 1}, {1, 2}};
    for (int s = 0; s < 4; s++)
        for (int d = 0; d < 4; d++)
            for (int kind = 0; kind < DT_CONV_N_GRAPHS; kind++) {
                dt_graph graph;
                dt_error err = {0};
                const dt_conv_desc desc = conv_of(shapes[s][0], shapes[s][1]);
                dt_conv_graph(&desc, dtypes[d], (dt_conv_graph_kind)kind, &graph);
                DT_CHECK_MSG(check_engine(DT_ENGINE_RIGHT, &graph, &err) == DT_OK, "%s", err.message);
                DT_CHECK_STR(warnings, "");
            }
    for (int kind = 0; kind < 3; kind++) {
        dt_graph graph;
        dt_error err = {0};
        if (kind == 0)
            dt_graph_linear_forward(7, 64, 10, DT_F16, &graph);
        else if (kind == 1)
            dt_graph_linear_backward_data(7, 64, 10, DT_F16, &graph);
        else
            dt_graph_linear_backward_weights(7, 64, 10, DT_F16, &graph);
        DT_CHECK_MSG(check_engine(DT_ENGINE_RIGHT, &graph, &err) == DT_OK, "%s", err.message);
    }
}

static dt_graph_op *op_of(dt_graph *g, dt_graph_op_kind kind)
{
    for (int i = 0; i < g->n_ops; i++)
        if (g->ops[i].kind == kind)
            return &g->ops[i];
    DT_REQUIRE_MSG(false, "no such operation in %s", g->name);
    return NULL;
}

static void swap(int *a, int *b)
{
    int kept = *a;
    *a = *b;
    *b = kept;
}

static void scale_and_bias_swapped(dt_graph *g)
{
    swap(&op_of(g, DT_GRAPH_OP_MUL)->in[1], &op_of(g, DT_GRAPH_OP_ADD)->in[1]);
}

static void no_relu(dt_graph *g)
{
    op_of(g, DT_GRAPH_OP_RELU)->kind = DT_GRAPH_OP_ADD; /* of nothing */
}

static void pad_and_stride(dt_graph *g)
{
    g->ops[g->n_ops - (g->ops[g->n_ops - 1].kind == DT_GRAPH_OP_CHANNEL_SUMS) - 1].pad[1] = 0;
}

static void sums_swapped(dt_graph *g)
{
    dt_graph_op *op = op_of(g, DT_GRAPH_OP_CHANNEL_SUMS);
    swap(&op->out[0], &op->out[1]);
}

static void mean_added(dt_graph *g)
{
    op_of(g, DT_GRAPH_OP_SUB)->kind = DT_GRAPH_OP_ADD;
}

/* The mask as if gamma were positive and beta 0. */
static void gamma_ignored(dt_graph *g)
{
    op_of(g, DT_GRAPH_OP_RELU_BACKWARD)->in[1] = op_of(g, DT_GRAPH_OP_MUL)->out[0];
}

static void beta_ignored(dt_graph *g)
{
    op_of(g, DT_GRAPH_OP_RELU_BACKWARD)->in[1] = op_of(g, DT_GRAPH_OP_ADD)->in[0];
}

static void gradients_swapped(dt_graph *g)
{
    dt_graph_op *op = op_of(g, DT_GRAPH_OP_BN_BACKWARD_WEIGHTS);
    swap(&op->out[0], &op->out[1]);
}

static void coefficients_swapped(dt_graph *g)
{
    dt_graph_op *op = op_of(g, DT_GRAPH_OP_BN_BACKWARD_WEIGHTS);
    swap(&op->out[2], &op->out[4]);
}

static void nothing_added(dt_graph *g)
{
    g->ops[0].beta = 0;
}

static void a_tenth_more(dt_graph *g)
{
    for (int i = 0; i < g->n_ops; i++)
        if (g->ops[i].kind <= DT_GRAPH_OP_CONV_BACKWARD_FILTER)
            g->ops[i].alpha = 1.1F;
}

static void an_engine_that_computes_something_else_is_rejected(void)
{
    static const struct {
        dt_conv_graph_kind kind;
        void (*spoil)(dt_graph *graph);
        const char *what;
    } cases[] = {
        {DT_CONV_GRAPH_PROLOGUE_FORWARD, scale_and_bias_swapped, "scale and bias are swapped"},
        {DT_CONV_GRAPH_PROLOGUE_FORWARD, no_relu, "no relu"},
        {DT_CONV_GRAPH_PROLOGUE_FORWARD_SUMS, no_relu, "no relu, with sums"},
        {DT_CONV_GRAPH_PROLOGUE_FORWARD_SUMS, pad_and_stride, "other padding"},
        {DT_CONV_GRAPH_PROLOGUE_FORWARD_SUMS, sums_swapped, "sums are swapped"},
        {DT_CONV_GRAPH_PROLOGUE_WEIGHTS, scale_and_bias_swapped, "scale and bias are swapped in wgrad"},
        {DT_CONV_GRAPH_PROLOGUE_WEIGHTS, no_relu, "no relu in wgrad"},
        {DT_CONV_GRAPH_WEIGHTS, a_tenth_more, "wgrad with alpha"},
        {DT_CONV_GRAPH_DATA_BN, mean_added, "the mean is added"},
        {DT_CONV_GRAPH_DATA_BN, gamma_ignored, "the mask ignores gamma"},
        {DT_CONV_GRAPH_DATA_BN, beta_ignored, "the mask ignores beta"},
        {DT_CONV_GRAPH_DATA_BN, gradients_swapped, "dgamma and dbeta are swapped"},
        {DT_CONV_GRAPH_DATA_BN, coefficients_swapped, "a and c are swapped"},
        {DT_CONV_GRAPH_DATA, pad_and_stride, "other padding in dgrad"},
        {DT_CONV_GRAPH_DATA_ADD, nothing_added, "dgrad without addition"},
        {DT_CONV_GRAPH_FORWARD, a_tenth_more, "conv with alpha"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_graph graph = graph_of(cases[i].kind, DT_F16);
        dt_error err = {0};
        spoil = cases[i].spoil;
        DT_CHECK_MSG(check_engine(DT_ENGINE_WRONG, &graph, &err) == DT_ERR_UNSUPPORTED, "%s", cases[i].what);
        DT_CHECK_CONTAINS(warnings, "engine it is not used: ");
        DT_CHECK_CONTAINS(warnings, graph.name);
        DT_CHECK_CONTAINS(warnings, "its definition gives");
    }
}

/* The last output of conv is y, that of conv + sums are the channels' sums of squares. */
static void a_nan_or_one_wrong_sum_is_rejected(void)
{
    static const struct {
        dt_conv_graph_kind kind;
        dt_faulty_behaviour behaviour;
    } cases[] = {{DT_CONV_GRAPH_FORWARD, DT_ENGINE_NAN}, {DT_CONV_GRAPH_FORWARD_SUMS, DT_ENGINE_LAST_SUM}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_graph graph = graph_of(cases[i].kind, DT_F16);
        dt_error err = {0};
        DT_CHECK_INT(check_engine(cases[i].behaviour, &graph, &err), DT_ERR_UNSUPPORTED);
        DT_CHECK_CONTAINS(warnings, "its definition gives");
    }
}

static void an_engine_that_writes_nothing_is_rejected(void)
{
    for (int kind = 0; kind < DT_CONV_N_GRAPHS; kind++) {
        dt_graph graph = graph_of((dt_conv_graph_kind)kind, DT_F16);
        dt_faulty_engine all[] = {{.name = "right", .behaviour = DT_ENGINE_RIGHT, .ms = 2},
                                  {.name = "idle", .behaviour = DT_ENGINE_IDLE, .ms = 1}};
        dt_plan_choice choice;
        dt_error err = {0};
        DT_REQUIRE_MSG(choose(all, 2, &graph, DT_AUTOTUNE_FULL, NULL, &choice, &err) == DT_OK, "%s",
                       err.message);
        DT_CHECK_STR(choice.engine, "right");
    }
}

/* -- the choice ------------------------------------------------------------------------------------------ */

static void engines_that_fail_or_differ_are_left_out_of_the_choice(void)
{
    dt_graph graph = graph_of(DT_CONV_GRAPH_PROLOGUE_FORWARD_SUMS, DT_F16);
    dt_faulty_engine all[] = {{.name = "refuses", .behaviour = DT_ENGINE_REFUSES, .ms = 1},
                              {.name = "fails", .behaviour = DT_ENGINE_FAILS, .ms = 1},
                              {.name = "differs", .behaviour = DT_ENGINE_DIFFERS, .ms = 1},
                              {.name = "late", .behaviour = DT_ENGINE_DIFFERS_LATE, .ms = 1},
                              {.name = "wrong", .behaviour = DT_ENGINE_WRONG, .ms = 2},
                              {.name = "slow", .behaviour = DT_ENGINE_RIGHT, .ms = 4},
                              {.name = "right", .behaviour = DT_ENGINE_RIGHT, .ms = 3}};
    dt_plan_choice choice;
    dt_error err = {0};
    spoil = no_relu;
    DT_REQUIRE_MSG(choose(all, 7, &graph, DT_AUTOTUNE_FULL, NULL, &choice, &err) == DT_OK, "%s", err.message);
    DT_CHECK_STR(choice.engine, "right");
    DT_CHECK_CLOSE(choice.time_ms, 3, 0);
    DT_CHECK_INT(choice.n_candidates, 7);
    DT_CHECK_INT(choice.n_rejected, 5);
    DT_CHECK_CONTAINS(warnings, "engine late is not used: ");
    DT_CHECK_CONTAINS(warnings, "different bits into tensor");
    DT_CHECK_CONTAINS(warnings, "engine wrong is not used: ");
    DT_CHECK(strstr(warnings, "engine refuses") == NULL && strstr(warnings, "engine differs") == NULL);
}

static void a_graph_that_no_engine_executes_is_refused(void)
{
    static const dt_autotune_kind kinds[] = {DT_AUTOTUNE_FULL, DT_AUTOTUNE_HEURISTIC, DT_AUTOTUNE_OFF};
    dt_graph graph = graph_of(DT_CONV_GRAPH_DATA_BN, DT_F16);
    for (int i = 0; i < 3; i++) {
        dt_faulty_engine all[] = {{.name = "fails", .behaviour = DT_ENGINE_FAILS, .ms = 1},
                                  {.name = "refuses", .behaviour = DT_ENGINE_REFUSES, .ms = 1}};
        dt_plan_choice choice;
        dt_error err = {0};
        DT_CHECK_INT(choose(all, 2, &graph, kinds[i], NULL, &choice, &err), DT_ERR_UNSUPPORTED);
        DT_CHECK_CONTAINS(err.message, "of 2 engine configurations none can be used: dgrad+drelu+dbn");
        DT_CHECK_CONTAINS(err.message, "the launch failed");
    }
}

static void without_measurements_the_first_engine_that_passes_is_used(void)
{
    dt_graph graph = graph_of(DT_CONV_GRAPH_PROLOGUE_FORWARD_SUMS, DT_F16);
    dt_faulty_engine all[] = {{.name = "fails", .behaviour = DT_ENGINE_FAILS},
                              {.name = "differs", .behaviour = DT_ENGINE_DIFFERS},
                              {.name = "right", .behaviour = DT_ENGINE_RIGHT},
                              {.name = "unasked", .behaviour = DT_ENGINE_RIGHT}};
    dt_plan_choice choice;
    dt_error err = {0};
    DT_REQUIRE(choose(all, 4, &graph, DT_AUTOTUNE_OFF, NULL, &choice, &err) == DT_OK);
    DT_CHECK_STR(choice.engine, "right");
    DT_CHECK_CLOSE(choice.time_ms, 0, 0);
    DT_CHECK_INT(all[3].n_runs, 0);
}

static void a_heuristic_choice_tries_further_engines_for_rejected_ones(void)
{
    dt_graph graph = graph_of(DT_CONV_GRAPH_FORWARD, DT_F16);
    dt_faulty_engine all[DT_PLAN_HEURISTIC_TRIES + 1];
    dt_plan_choice choice;
    dt_error err = {0};
    for (int i = 0; i < DT_PLAN_HEURISTIC_TRIES; i++)
        all[i] = (dt_faulty_engine){.name = "fails", .behaviour = DT_ENGINE_FAILS};
    all[DT_PLAN_HEURISTIC_TRIES] = (dt_faulty_engine){.name = "right", .behaviour = DT_ENGINE_RIGHT, .ms = 1};
    DT_REQUIRE(choose(all, DT_PLAN_HEURISTIC_TRIES + 1, &graph, DT_AUTOTUNE_HEURISTIC, NULL, &choice, &err) ==
               DT_OK);
    DT_CHECK_STR(choice.engine, "right");
}

static void an_engine_is_used_unchecked_only_where_memory_is_short(void)
{
    static const dt_autotune_kind kinds[] = {DT_AUTOTUNE_FULL, DT_AUTOTUNE_OFF};
    dt_graph graph = graph_of(DT_CONV_GRAPH_PROLOGUE_FORWARD_SUMS, DT_F16);
    device->ops->destroy(device);
    make_device(20000);
    for (int i = 0; i < 2; i++) {
        dt_faulty_engine all[] = {{.name = "first", .behaviour = DT_ENGINE_FAILS, .ms = 1},
                                  {.name = "second", .behaviour = DT_ENGINE_RIGHT, .ms = 1}};
        dt_plan_choice choice;
        dt_error err = {0};
        DT_REQUIRE_MSG(choose(all, 2, &graph, kinds[i], NULL, &choice, &err) == DT_OK, "%s", err.message);
        DT_CHECK_STR(choice.engine, "first");
        DT_CHECK_CLOSE(choice.time_ms, 0, 0);
        DT_CHECK_INT(all[0].n_runs, 0);
    }
    device->ops->destroy(device);
    make_device(0);
}

static void a_remembered_engine_that_fails_is_dropped_and_chosen_anew(void)
{
    dt_graph graph = graph_of(DT_CONV_GRAPH_PROLOGUE_FORWARD_SUMS, DT_F16);
    dt_plan_cache *cache = NULL;
    dt_plan_choice choice;
    dt_error err = {0};
    static const dt_faulty_behaviour later[] = {DT_ENGINE_RIGHT, DT_ENGINE_FAILS, DT_ENGINE_DIFFERS,
                                                DT_ENGINE_WRONG};
    spoil = no_relu;
    for (int i = 0; i < 4; i++) {
        dt_faulty_engine all[] = {{.name = "a", .behaviour = DT_ENGINE_RIGHT, .ms = 1},
                                  {.name = "b", .behaviour = DT_ENGINE_RIGHT, .ms = 2}};
        DT_REQUIRE(dt_plan_cache_open("", "GPU", &cache, &err) == DT_OK);
        DT_REQUIRE(choose(all, 2, &graph, DT_AUTOTUNE_FULL, cache, &choice, &err) == DT_OK);
        DT_CHECK_STR(choice.engine, "a");
        all[0].behaviour = later[i];
        all[1].n_runs = 0;
        DT_REQUIRE(choose(all, 2, &graph, DT_AUTOTUNE_FULL, cache, &choice, &err) == DT_OK);
        DT_CHECK_STR(choice.engine, later[i] == DT_ENGINE_RIGHT ? "a" : "b");
        DT_CHECK(choice.from_cache == (later[i] == DT_ENGINE_RIGHT));
        DT_CHECK((all[1].n_runs == 0) == (later[i] == DT_ENGINE_RIGHT));
        DT_CHECK((strstr(warnings, "engine a is not used: ") != NULL) == (later[i] != DT_ENGINE_RIGHT));
        dt_plan_cache_close(cache);
    }
}

static const dt_test tests[] = {
    DT_TEST(right_engines_pass_for_every_graph_and_type),
    DT_TEST(an_engine_that_computes_something_else_is_rejected),
    DT_TEST(a_nan_or_one_wrong_sum_is_rejected),
    DT_TEST(an_engine_that_writes_nothing_is_rejected),
    DT_TEST(engines_that_fail_or_differ_are_left_out_of_the_choice),
    DT_TEST(a_graph_that_no_engine_executes_is_refused),
    DT_TEST(without_measurements_the_first_engine_that_passes_is_used),
    DT_TEST(a_heuristic_choice_tries_further_engines_for_rejected_ones),
    DT_TEST(an_engine_is_used_unchecked_only_where_memory_is_short),
    DT_TEST(a_remembered_engine_that_fails_is_dropped_and_chosen_anew),
};
DT_TEST_MAIN("emulated/plan_check", tests)
