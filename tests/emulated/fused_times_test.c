/* tests/gpu/fused_bench.h and fused_times.h, which measure on a GPU, on the emulated one: each side enqueues
 * what it should and no more, and every convolution of ResNet-50 has its lines. And kept_convs.h. */
#include "layers/cuda/kernels_cuda.h"
#include "tests/backend_cases.h"
#include "tests/emulated/gpu_emulated.h"
#include "tests/gpu/fused_bench.h"
#include "tests/gpu/fused_counts.h"
#include "tests/gpu/fused_times.h"
#include "tests/gpu/kept_convs.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int dt_test_time_limit_s = 600;

static dt_error err;

static dt_emulated_gpu create_gpu(dt_interpreted_gpu which)
{
    return dt_emulated_gpu_create(&(dt_emulated_gpu_options){.dtype = DT_F16, .interpreter = {.gpu = which}});
}

/* -- one convolution ------------------------------------------------------------------------------------- */

typedef struct sides {
    dt_graph_runner *runners[2];
    dt_kernels *kernels[2];
} sides;

static sides open_sides(const dt_emulated_gpu *g)
{
    sides s;
    for (int i = 0; i < 2; i++) {
        DT_REQUIRE(dt_side_runner_create(g->runner, (dt_side)i, &s.runners[i], &err) == DT_OK);
        DT_REQUIRE(dt_kernels_cuda_create(g->device, s.runners[i], &(dt_cuda_options){.dtype = DT_F16},
                                          &s.kernels[i], &err) == DT_OK);
    }
    return s;
}

static void close_sides(sides *s)
{
    for (int i = 0; i < 2; i++) {
        s->kernels[i]->ops->destroy(s->kernels[i]);
        s->runners[i]->ops->destroy(s->runners[i]);
    }
}

/* The pieces of work that one run enqueues: graphs and kernels. */
static int64_t work_of(const dt_emulated_gpu *g, dt_fused_bench *bench, int i, dt_side side)
{
    dt_emulated_counts before, after;
    dt_emulated_get_counts(g->device, &before);
    DT_REQUIRE_MSG(dt_fused_bench_run(bench, i, side, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(g->device->ops->stream_wait(g->device, NULL, &err) == DT_OK, "%s", err.message);
    dt_emulated_get_counts(g->device, &after);
    return after.n_work - before.n_work;
}

/* What each side enqueues. A sum over channels takes two launches. The backward of a join copies scale and
 * bias into FP32 first; the stem's gradient returns from blocks to 7x7. */
typedef struct expected {
    const char *graph;
    int fused, composed;
} expected;

static void check_conv(const dt_conv_desc *desc, const expected *rows, int n_rows)
{
    dt_emulated_gpu g = create_gpu(DT_INTERPRET_ALL);
    sides s = open_sides(&g);
    dt_fused_bench *bench = NULL;
    DT_REQUIRE_MSG(dt_fused_bench_create(s.kernels, desc, &bench, &err) == DT_OK, "%s", err.message);
    DT_CHECK_INT(dt_fused_bench_n(bench), n_rows);
    for (int i = 0; i < dt_fused_bench_n(bench) && i < n_rows; i++) {
        DT_CHECK_STR(dt_fused_bench_graph(bench, i), rows[i].graph);
        DT_CHECK(dt_fused_bench_has(bench, i));
        DT_CHECK_INT(work_of(&g, bench, i, DT_SIDE_FUSED), rows[i].fused);
        DT_CHECK_INT(work_of(&g, bench, i, DT_SIDE_COMPOSED), rows[i].composed);
    }
    DT_CHECK_INT(dt_fused_bench_settle(bench, &err), DT_OK);
    dt_fused_bench_destroy(bench);
    close_sides(&s);
    dt_emulated_gpu_destroy(&g);
}

static const dt_conv_desc reduces = {
    .n = 2, .c = 64, .h = 8, .w = 8, .k = 16, .r = 1, .s = 1, .stride = 1, .for_training = true};

static dt_conv_desc reads(dt_conv_input input)
{
    dt_conv_desc d = reduces;
    d.input = input;
    return d;
}

static void each_form_of_input_has_its_graphs_and_their_parts(void)
{
    const dt_conv_desc plain = reads(DT_CONV_INPUT_PLAIN), lazy = reads(DT_CONV_INPUT_LAZY),
                       join = reads(DT_CONV_INPUT_JOIN), join_lazy = reads(DT_CONV_INPUT_JOIN_LAZY);
    check_conv(&plain, (const expected[]){{"conv+sums", 1, 3}}, 1);
    check_conv(
        &lazy,
        (const expected[]){{"bnrelu+conv+sums", 1, 4}, {"dgrad+drelu+dbn", 1, 3}, {"bnrelu+wgrad", 1, 2}}, 3);
    check_conv(&join, (const expected[]){{"bn+add+relu+conv+sums", 1, 4}, {"dgrad+add+drelu+dbn", 2, 3}}, 2);
    check_conv(&join_lazy,
               (const expected[]){{"bn+bn+add+relu+conv+sums", 1, 4}, {"dgrad+add+drelu+2dbn", 2, 3}}, 2);
}

static void the_stem_is_measured_by_space_to_depth_and_by_pixels(void)
{
    const dt_conv_desc stem = {.n = 2,
                               .c = 3,
                               .h = 32,
                               .w = 32,
                               .k = 64,
                               .r = 7,
                               .s = 7,
                               .stride = 2,
                               .pad = 3,
                               .for_training = true,
                               .reads_image = true};
    check_conv(&stem, (const expected[]){{"conv+sums", 1, 3}, {"wgrad", 2, 1}}, 2);
}

/* -- a network ------------------------------------------------------------------------------------------- */

static int count(const char *text, const char *part)
{
    int n = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        n++;
    return n;
}

/* Returns what is printed for ResNet-50; the caller calls free(). */
static char *printed(dt_interpreted_gpu which)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    dt_emulated_gpu g = create_gpu(which);
    const dt_fused_times_options options = {.arch = "resnet50", .batch = 1, .image_size = 32, .n_runs = 1};
    DT_REQUIRE_MSG(dt_fused_times_print(g.device, g.runner, &options, f, &err) == DT_OK, "%s", err.message);
    dt_emulated_gpu_destroy(&g);
    fclose(f);
    return text;
}

/* The sums of one graph: how many there are, and how many the library lacks. */
static void check_sums(const char *text, const char *graph, int n, int n_missing)
{
    char line[96];
    snprintf(line, sizeof line, "\n%-36s  %6d %6d ", graph, n, n_missing);
    DT_CHECK_CONTAINS(text, line);
}

/* 53 convolutions, each with one graph or, with another one before it, two or three. 15 joins have a
 * convolution that reads them first. */
static void every_convolution_of_a_network_is_measured(void)
{
    char *text = printed(DT_INTERPRET_ALL);
    printf("%s", text);
    DT_CHECK_CONTAINS(text, "resnet50, fp16, batch 1, 32 pixels\n");
    DT_CHECK_CONTAINS(text, "\nbnrelu+wgrad               3x3/2 128->128 8x8 ");
    check_sums(text, "conv+sums", 6, 0);
    check_sums(text, "bnrelu+conv+sums", 32, 0);
    check_sums(text, "dgrad+add+drelu+2dbn", 4, 0);
    check_sums(text, "dgrad+add+drelu+dbn", 11, 0);
    DT_CHECK_CONTAINS(text, " of 133 fused graphs are slower\n");
    free(text);
}

static void graphs_that_the_library_lacks_are_composed_only(void)
{
    char *text = printed(DT_INTERPRET_T4);
    const char *sums = strstr(text, "\nall of a step ");
    DT_REQUIRE(sums != NULL);
    check_sums(sums, "bnrelu+conv+sums", 32, 32);
    DT_CHECK_CONTAINS(sums, "; 0 of 0 fused graphs are slower\n");
    text[sums - text] = '\0';
    DT_CHECK_INT(count(text, "  none "), count(text, " ms\n"));
    free(text);
}

/* -- bits ------------------------------------------------------------------------------------------------ */

static const dt_graph_runner_ops *steady_ops;
static dt_device *unsteady_device;
static int n_executions;

static dt_status flip(void *context, dt_error *why)
{
    (void)why;
    *(uint16_t *)context ^= 1;
    return DT_OK;
}

/* The interpreter, but every third execution writes another bit into y. */
static dt_status execute_unsteadily(dt_graph_runner *runner, dt_graph_plan *plan,
                                    const dt_graph_binding *tensors, int n, void *workspace, void *stream,
                                    dt_error *why)
{
    DT_TRY(steady_ops->plan_execute(runner, plan, tensors, n, workspace, stream, why));
    n_executions++;
    for (int i = 0; i < n; i++)
        if (n_executions % 3 == 0 && tensors[i].id == DT_GRAPH_Y)
            return dt_emulated_enqueue(
                unsteady_device, stream,
                &(dt_emulated_work){.name = "flip", .run = flip, .context = tensors[i].data}, why);
    return DT_OK;
}

static void check_repeated(bool unsteady)
{
    const dt_conv_desc lazy = reads(DT_CONV_INPUT_LAZY);
    dt_emulated_gpu g = create_gpu(DT_INTERPRET_ALL);
    dt_graph_runner_ops ops = *g.runner->ops;
    sides s = open_sides(&g);
    dt_fused_bench *bench = NULL;
    bool same = false;
    steady_ops = g.runner->ops;
    unsteady_device = g.device;
    if (unsteady)
        ops.plan_execute = execute_unsteadily;
    g.runner->ops = &ops;
    DT_REQUIRE_MSG(dt_fused_bench_create(s.kernels, &lazy, &bench, &err) == DT_OK, "%s", err.message);
    for (int i = 0; i < dt_fused_bench_n(bench); i++) {
        DT_REQUIRE_MSG(dt_fused_bench_repeat(bench, i, 4, &same, &err) == DT_OK, "%s", err.message);
        DT_CHECK_MSG(same == !(unsteady && i == 0), "%s", dt_fused_bench_graph(bench, i));
    }
    dt_fused_bench_destroy(bench);
    close_sides(&s);
    g.runner->ops = steady_ops;
    dt_emulated_gpu_destroy(&g);
}

static void a_graph_that_writes_other_bits_is_found(void)
{
    check_repeated(false);
    check_repeated(true);
}

/* -- planning each shape once ---------------------------------------------------------------------------- */

static int n_planned;

static dt_status count_plan(dt_graph_runner *runner, const dt_graph *graph, const dt_graph_engine *chosen,
                            dt_graph_plan **plan, dt_error *why)
{
    n_planned++;
    return steady_ops->plan_create(runner, graph, chosen, plan, why);
}

static int plans_of_cases(bool keeps)
{
    dt_emulated_gpu g = create_gpu(DT_INTERPRET_ALL);
    dt_graph_runner_ops ops = *g.runner->ops;
    steady_ops = g.runner->ops;
    ops.plan_create = count_plan;
    g.runner->ops = &ops;
    n_planned = 0;
    dt_kept_convs *kept = keeps ? dt_keep_convs(g.kernels) : NULL;
    DT_CHECK_INT(dt_backend_cases_run(g.kernels, g.ref, 32, 2, 1e-5, "c64 h8 w8 k64"), 0);
    dt_release_convs(kept);
    g.runner->ops = steady_ops;
    dt_emulated_gpu_destroy(&g);
    return n_planned;
}

static void kept_convolutions_are_planned_once_and_agree_with_ref(void)
{
    const int kept = plans_of_cases(true), not_kept = plans_of_cases(false);
    printf("%d plans, %d where convolutions are not kept\n", kept, not_kept);
    DT_CHECK(kept > 0 && 5 * kept < not_kept);
}

/* -- counts ---------------------------------------------------------------------------------------------- */

/* Of the cases that first_hour.sh runs under compute-sanitizer. */
static dt_fused_counts counts_of_cases(dt_interpreted_gpu which)
{
    dt_emulated_gpu g = create_gpu(which);
    dt_fused_counts counts = {0};
    dt_kept_convs *kept = dt_keep_convs(g.kernels);
    DT_CHECK_INT(dt_backend_cases_run(g.kernels, g.ref, 32, 2, 0x1p-9, "c64 h8 w8 k64"), 0);
    dt_kernels_cuda_plans(g.kernels, dt_fused_counts_visit, &counts);
    dt_release_convs(kept);
    dt_emulated_gpu_destroy(&g);
    return counts;
}

static void a_gpu_without_fused_graphs_that_its_generation_has_is_found(void)
{
    char text[512];
    const dt_fused_counts all = counts_of_cases(DT_INTERPRET_ALL), none = counts_of_cases(DT_INTERPRET_T4),
                          empty = {0};
    dt_fused_counts partly = {0};
    DT_CHECK_MSG(dt_fused_counts_check(&all, 90, 0, text, sizeof text), "%s", text);
    DT_CHECK_MSG(dt_fused_counts_check(&all, 80, all.n, text, sizeof text), "%s", text);
    DT_CHECK_MSG(dt_fused_counts_check(&none, 75, 0, text, sizeof text), "%s", text);
    DT_CHECK(!dt_fused_counts_check(&all, 90, all.n + 1, text, sizeof text));
    for (int sm = 80; sm <= 120; sm += 10) {
        DT_CHECK(!dt_fused_counts_check(&none, sm, 0, text, sizeof text));
        DT_CHECK(!dt_fused_counts_check(&empty, sm, 0, text, sizeof text));
    }
    dt_fused_counts_add(&partly, "conv+sums 1x1 64->64 8x8 n2 fp16", true);
    dt_fused_counts_add(&partly, "dgrad+drelu+dbn", false);
    dt_fused_counts_add(&partly, "dgrad+= 1x1 64->64 8x8 n2 fp16", true);
    DT_CHECK(!dt_fused_counts_check(&partly, 86, 0, text, sizeof text));
    DT_CHECK_STR(
        text,
        "1 of 2: 1 conv+sums, no bnrelu+conv+sums, no dgrad+drelu+dbn, no bnrelu+wgrad; sm_86 has more, "
        "0 at least");
    DT_CHECK(dt_fused_counts_check(&partly, 120, 0, text, sizeof text));
}

static const dt_test tests[] = {
    DT_TEST(a_gpu_without_fused_graphs_that_its_generation_has_is_found),
    DT_TEST(each_form_of_input_has_its_graphs_and_their_parts),
    DT_TEST(the_stem_is_measured_by_space_to_depth_and_by_pixels),
    DT_TEST(every_convolution_of_a_network_is_measured),
    DT_TEST(a_graph_that_writes_other_bits_is_found),
    DT_TEST(kept_convolutions_are_planned_once_and_agree_with_ref),
    DT_TEST(graphs_that_the_library_lacks_are_composed_only),
};
DT_TEST_MAIN("emulated/fused_times", tests)
