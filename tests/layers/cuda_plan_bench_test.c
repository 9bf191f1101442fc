/* Measuring plans, on the host device: memory, random inputs, time. */
#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "layers/cuda/graph_conv.h"
#include "layers/cuda/plan_bench.h"
#include "layers/device_host.h"
#include "layers/half.h"
#include "tests/testing.h"

#include <math.h>
#include <string.h>

typedef struct plan {
    const dt_graph *graph;
    double seconds;
    int64_t workspace_bytes;
    int n_runs;
    bool fails;
    int64_t flips; /* each execution writes another byte here in y; 0: it does not */
} plan;

static dt_device *device;
static dt_graph graph;

void dt_test_set_up(void)
{
    dt_error err = {0};
    /* x is larger than the pattern */
    dt_conv_desc d = {.n = 3, .c = 48, .h = 41, .w = 41, .k = 16, .r = 3, .s = 3, .stride = 1, .pad = 1};
    (void)dt_device_host_create(1, &device, &err);
    dt_graph_conv_forward(&d, DT_F16, true, true, &graph);
}

void dt_test_tear_down(void)
{
    device->ops->destroy(device);
}

static dt_status execute(void *context, const dt_graph_binding *tensors, int n_tensors, void *workspace,
                         dt_error *err)
{
    plan *p = context;
    p->n_runs++;
    if (p->fails)
        return dt_fail(err, DT_ERR_DEVICE, "it fails");
    for (int i = 0; i < n_tensors; i++) {
        const dt_graph_tensor *t = dt_graph_find(p->graph, tensors[i].id);
        DT_REQUIRE(t && !t->is_virtual);
        int64_t bytes = dt_graph_tensor_bytes(t), n = bytes / dt_dtype_bytes(t->dtype);
        double sum = 0, squares = 0;
        for (int64_t k = 0; k < n; k++) {
            float v = t->dtype == DT_F16 ? dt_half_to_float(((const uint16_t *)tensors[i].data)[k])
                                         : ((const float *)tensors[i].data)[k];
            sum += v, squares += v * v;
            DT_REQUIRE(v >= -1 && v <= 1);
        }
        if (n > 1000) { /* uniform from -1 to 1, every 17th is 0: mean 0, variance 16/17/3 */
            DT_CHECK_CLOSE(sum / (double)n, 0, 0.05);
            DT_CHECK_CLOSE(squares / (double)n, 16.0 / 17 / 3, 0.03);
        }
    }
    for (int i = 0; i < n_tensors && p->flips; i++)
        if (tensors[i].id == DT_GRAPH_Y)
            ((char *)tensors[i].data)[p->flips] = (char)p->n_runs;
    if (p->workspace_bytes)
        memset(workspace, 1, (size_t)p->workspace_bytes);
    dt_clock_sleep_s(p->seconds);
    return DT_OK;
}

static void the_time_is_that_of_an_execution(void)
{
    dt_plan_bench *bench = NULL;
    dt_error err = {0};
    plan quick = {.graph = &graph, .seconds = 0.001},
         slow = {.graph = &graph, .seconds = 0.02, .workspace_bytes = 1 << 20};
    double quick_ms = 0, slow_ms = 0;
    enum { MANY = 20 };
    DT_REQUIRE_MSG(dt_plan_bench_create(device, &graph, &bench, &err) == DT_OK, "%s", err.message);
    const dt_plan_run quick_run = {execute, &quick, 0}, slow_run = {execute, &slow, slow.workspace_bytes};
    const double start_s = dt_clock_s();
    DT_REQUIRE(dt_plan_bench_measure(bench, &quick_run, MANY, &quick_ms, &err) == DT_OK);
    DT_CHECK(MANY * quick_ms <= 1e3 * (dt_clock_s() - start_s)); /* of one execution, not of all */
    DT_REQUIRE(dt_plan_bench_measure(bench, &slow_run, 2, &slow_ms, &err) == DT_OK);
    DT_CHECK_INT(quick.n_runs, MANY + 1);
    DT_CHECK_INT(slow.n_runs, 3);
    DT_CHECK(quick_ms >= 1 && slow_ms >= 20 && slow_ms < 2000);
    dt_plan_bench_destroy(bench);
}

static void an_error_of_the_plan_is_passed_on(void)
{
    dt_plan_bench *bench = NULL;
    dt_error err = {0};
    plan broken = {.graph = &graph, .fails = true};
    double ms = -1;
    const dt_plan_run run = {execute, &broken, 0};
    DT_REQUIRE(dt_plan_bench_create(device, &graph, &bench, &err) == DT_OK);
    DT_CHECK_INT(dt_plan_bench_measure(bench, &run, 3, &ms, &err), DT_ERR_DEVICE);
    DT_CHECK_CLOSE(ms, -1, 0);
    dt_plan_bench_destroy(bench);
    dt_plan_bench_destroy(NULL);
}

/* 1 MiB of a larger output is compared. */
static void other_bits_near_both_ends_of_a_large_output_are_an_error(void)
{
    const dt_conv_desc d = {
        .n = 8, .c = 16, .h = 64, .w = 64, .k = 32, .r = 1, .s = 1, .stride = 1, .for_training = true};
    dt_graph large;
    dt_graph_conv_forward(&d, DT_F16, false, false, &large);
    const int64_t bytes = dt_graph_tensor_bytes(dt_graph_find(&large, DT_GRAPH_Y)),
                  places[] = {1, bytes - 1000};
    DT_REQUIRE(bytes > 1 << 20);
    for (int i = 0; i < 2; i++) {
        dt_plan_bench *bench = NULL;
        dt_error err = {0};
        plan p = {.graph = &large, .flips = places[i]};
        double ms;
        DT_REQUIRE(dt_plan_bench_create(device, &large, &bench, &err) == DT_OK);
        DT_CHECK_INT(dt_plan_bench_measure(bench, &(dt_plan_run){execute, &p, 0}, 1, &ms, &err),
                     DT_ERR_UNSUPPORTED);
        DT_CHECK_CONTAINS(err.message, "wrote different bits into tensor ");
        dt_plan_bench_destroy(bench);
    }
}

static dt_status measure_once(dt_error *err)
{
    dt_plan_bench *bench = NULL;
    plan p = {.graph = &graph, .workspace_bytes = 1000};
    const dt_plan_run run = {execute, &p, p.workspace_bytes};
    double ms;
    DT_TRY(dt_plan_bench_create(device, &graph, &bench, err));
    dt_status status = dt_plan_bench_measure(bench, &run, 1, &ms, err);
    dt_plan_bench_destroy(bench);
    return status;
}

static void every_allocation_may_fail(void)
{
    const int64_t n_before = dt_alloc_live_blocks();
    for (int n = 1;; n++) {
        dt_error err = {0};
        dt_alloc_fail_after(n);
        dt_status status = measure_once(&err);
        dt_alloc_fail_after(0);
        DT_CHECK_INT(dt_alloc_live_blocks(), n_before);
        if (status == DT_OK)
            break;
        DT_CHECK_INT(status, DT_ERR_MEMORY);
        DT_REQUIRE(n < 50);
    }
}

static const dt_test tests[] = {
    DT_TEST(the_time_is_that_of_an_execution), DT_TEST(an_error_of_the_plan_is_passed_on),
    DT_TEST(other_bits_near_both_ends_of_a_large_output_are_an_error), DT_TEST(every_allocation_may_fail)};
DT_TEST_MAIN("layers/cuda_plan_bench", tests)
