/* Engines of the CUDA backend on several ranks: each kind of GPU measures once, and all its GPUs compute with
 * what was chosen. Graphs are planned and not executed: the ranks are threads. */
#include "core/collective/engines_build.h"
#include "layers/cuda/kernels_cuda.h"
#include "tests/emulated/gpu_emulated.h"
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_comm.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

#define MAX_RANKS 4
#define H200 "NVIDIA H200, CUDA driver 13.0, cuDNN 9.19.0"
#define A10G "NVIDIA A10G, CUDA driver 13.0, cuDNN 9.19.0"

/* What a rank would measure by itself: the first finds that `one` is faster, the second `two`. */
static const dt_interpreted_engine finds_one[] = {{"one", 1.125}, {"two", 2}},
                                   finds_two[] = {{"one", 2}, {"two", 1.0 / 3.0}};

static const dt_conv_desc descs[] = {
    {.n = 2, .c = 32, .h = 8, .w = 8, .k = 64, .r = 3, .s = 3, .stride = 1, .pad = 1, .for_training = true},
    {.n = 2, .c = 64, .h = 8, .w = 8, .k = 32, .r = 1, .s = 1, .stride = 1, .for_training = true}};

/* One rank's part of a test; the interpreter's options come from the test, the rest is the result. */
typedef struct rank {
    dt_interpreter_options options;
    dt_kernels *kernels;
    dt_conv *convs[2];
    int64_t n_tunings, n_graphs, n_refused;
    char engines[64][64]; /* of each graph, with its time */
    dt_engines list;
} rank;

static rank ranks[MAX_RANKS];

static dt_status build(void *context, dt_error *err)
{
    rank *r = context;
    for (int i = 0; i < 2; i++)
        DT_TRY(r->kernels->ops->conv_create(r->kernels, &descs[i], &r->convs[i], err));
    return DT_OK;
}

static void keep_row(void *context, const dt_cuda_plan_row *row)
{
    rank *r = context;
    r->n_refused += row->is_refused;
    if (r->n_graphs < 64)
        snprintf(r->engines[r->n_graphs++], 64, "%.30s %.17g", row->info.engine, row->info.time_ms);
}

static void rank_main(dt_comm *comm, void *context)
{
    (void)context;
    rank *r = &ranks[comm->rank];
    dt_error err = {0};
    dt_device *device = NULL;
    dt_graph_runner *runner = NULL;
    const dt_cuda_options cuda = {.dtype = DT_F16};
    DT_REQUIRE(dt_device_emulated_create(&(dt_emulated_options){0}, &device, &err) == DT_OK);
    DT_REQUIRE(dt_graph_interpreter_create(device, &r->options, &runner, &err) == DT_OK);
    DT_REQUIRE(dt_kernels_cuda_create(device, runner, &cuda, &r->kernels, &err) == DT_OK);
    DT_CHECK_MSG(dt_engines_build(comm, r->kernels, build, r, &err) == DT_OK, "%s", err.message);
    dt_kernels_cuda_plans(r->kernels, keep_row, r);
    r->n_tunings = dt_graph_interpreter_tunings(runner);
    DT_CHECK_INT(dt_engines_copy(&r->kernels->ops->engines(r->kernels)->list, &r->list, &err), DT_OK);
    for (int i = 0; i < 2; i++)
        r->kernels->ops->conv_destroy(r->kernels, r->convs[i]);
    r->kernels->ops->destroy(r->kernels);
    runner->ops->destroy(runner);
    device->ops->destroy(device);
}

static void set_up(int i, const char *kind, const dt_interpreted_engine *engines, dt_plan_cache *cache)
{
    memset(&ranks[i], 0, sizeof ranks[i]);
    ranks[i].options = (dt_interpreter_options){.gpu = DT_INTERPRET_A100,
                                                .kind = kind,
                                                .engines = engines,
                                                .n_engines = 2,
                                                .cache = cache,
                                                .checks_names = true};
}

static void clear(int n)
{
    for (int i = 0; i < n; i++)
        dt_engines_clear(&ranks[i].list);
}

/* Check that two ranks have the same graphs, engines and times. */
static void check_same_plans(const rank *a, const rank *b)
{
    DT_CHECK_INT(a->n_graphs, b->n_graphs);
    DT_CHECK_INT(a->n_refused, b->n_refused);
    DT_CHECK_BYTES(a->engines, b->engines, sizeof a->engines);
}

static void ranks_of_one_kind_tune_once(void)
{
    set_up(0, H200, finds_two, NULL);
    set_up(1, H200, finds_one, NULL);
    fake_comm_run(2, rank_main, NULL);
    DT_CHECK(ranks[0].n_tunings > 8);
    DT_CHECK_INT(ranks[1].n_tunings, 0);
    DT_CHECK_CONTAINS(ranks[0].engines[0], "two 0.33333333333333331");
    check_same_plans(&ranks[0], &ranks[1]);
    clear(2);
}

static void each_kind_tunes_once(void)
{
    set_up(0, A10G, finds_one, NULL);
    set_up(1, H200, finds_two, NULL);
    set_up(2, A10G, finds_two, NULL);
    set_up(3, H200, finds_one, NULL);
    fake_comm_run(4, rank_main, NULL);
    for (int i = 0; i < 4; i++)
        DT_CHECK((ranks[i].n_tunings > 0) == (i < 2));
    DT_CHECK_CONTAINS(ranks[0].engines[0], "one ");
    DT_CHECK_CONTAINS(ranks[1].engines[0], "two ");
    check_same_plans(&ranks[0], &ranks[2]);
    check_same_plans(&ranks[1], &ranks[3]);
    for (int i = 0; i < 4; i++) { /* so all manifests have the same bytes */
        DT_CHECK_INT(ranks[i].list.n, ranks[0].list.n);
        DT_CHECK_BYTES(ranks[i].list.list, ranks[0].list.list, (size_t)ranks[0].list.n * sizeof(dt_engine));
        DT_CHECK(dt_engines_have_kind(&ranks[i].list, A10G) && dt_engines_have_kind(&ranks[i].list, H200));
    }
    clear(4);
}

/* A graph that the first rank's runner refuses is composed by the second, whose runner would run it. */
static void a_refusal_is_shared_too(void)
{
    set_up(0, H200, finds_one, NULL);
    set_up(1, H200, finds_one, NULL);
    ranks[0].options.gpu = DT_INTERPRET_T4;
    ranks[1].options.gpu = DT_INTERPRET_ALL;
    fake_comm_run(2, rank_main, NULL);
    DT_CHECK(ranks[0].n_refused > 4);
    check_same_plans(&ranks[0], &ranks[1]);
    DT_CHECK_INT(ranks[1].n_tunings, 0);
    clear(2);
}

/* The second rank's check rejects the engine that the first has chosen: it measures, warns, and computes with
 * its own choice. The list of the run, which goes into the manifest, is the first rank's on both. */
static void a_rank_whose_check_rejects_the_engine_uses_another(void)
{
    set_up(0, H200, finds_two, NULL);
    set_up(1, H200, finds_two, NULL);
    ranks[1].options.rejected = "two";
    captured_log_begin(DT_LOG_WARN);
    fake_comm_run(2, rank_main, NULL);
    captured_log_end();
    DT_CHECK_CONTAINS(captured_log_text(), "engine two is not used: its result is wrong");
    DT_CHECK_CONTAINS(captured_log_text(),
                      "computes it with engine two, which cannot be used here: this rank "
                      "uses one, and may differ in the last bits");
    DT_CHECK(ranks[1].n_tunings > 8);
    DT_CHECK_CONTAINS(ranks[0].engines[0], "two ");
    DT_CHECK_CONTAINS(ranks[1].engines[0], "one ");
    DT_CHECK_INT(ranks[1].list.n, ranks[0].list.n);
    DT_CHECK_BYTES(ranks[1].list.list, ranks[0].list.list, (size_t)ranks[0].list.n * sizeof(dt_engine));
    clear(2);
}

static dt_plan_cache *open_cache(const char *path)
{
    dt_plan_cache *cache = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(dt_plan_cache_open(path, H200, &cache, &err) == DT_OK, "%s", err.message);
    return cache;
}

/* Two ranks on one host share the file of their kind of GPU. */
static void a_shared_file_keeps_one_choice(void)
{
    const char *path = dt_test_path("%s/plans.txt", dt_test_temp_dir());
    dt_plan_cache *caches[] = {open_cache(path), open_cache(path)};
    set_up(0, H200, finds_two, caches[0]);
    set_up(1, H200, finds_one, caches[1]);
    fake_comm_run(2, rank_main, NULL);
    check_same_plans(&ranks[0], &ranks[1]);
    const int64_t n = ranks[0].n_tunings;
    clear(2);
    for (int i = 0; i < 2; i++)
        dt_plan_cache_close(caches[i]);

    /* the next run on this host measures nothing, and chooses the same */
    caches[0] = open_cache(path);
    set_up(0, H200, finds_one, caches[0]);
    fake_comm_run(1, rank_main, NULL);
    DT_CHECK(n > 8);
    DT_CHECK_INT(ranks[0].n_tunings, 0);
    DT_CHECK_CONTAINS(ranks[0].engines[0], "two ");
    clear(1);
    dt_plan_cache_close(caches[0]);
}

static const dt_test tests[] = {
    DT_TEST(ranks_of_one_kind_tune_once),    DT_TEST(each_kind_tunes_once),
    DT_TEST(a_refusal_is_shared_too),        DT_TEST(a_rank_whose_check_rejects_the_engine_uses_another),
    DT_TEST(a_shared_file_keeps_one_choice),
};
DT_TEST_MAIN("emulated/engines", tests)
