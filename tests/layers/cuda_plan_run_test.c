/* The engine that a run has chosen for a graph before, and what choices are valid for. No GPU is needed. */
#include "layers/cuda/plan_cache.h"
#include "tests/testing.h"

#include <stdio.h>

typedef struct fake_engine {
    const char *name;
    int64_t workspace_bytes; /* -1: cannot be built */
    double ms;
} fake_engine;

static const fake_engine engines[] = {{"slow", 0, 9},     {"broken", -1, 0},  {"fast", 100, 2},
                                      {"large", 5000, 1}, {"close", 0, 2.25}, {"exact", 1000, 4}};
static int n_measured;

static const char *engine_name(void *context, int i)
{
    (void)context;
    return engines[i].name;
}

static dt_status build(void *context, int i, int64_t *workspace_bytes, dt_error *err)
{
    (void)context;
    if (engines[i].workspace_bytes < 0)
        return dt_fail(err, DT_ERR_UNSUPPORTED, "%s is not for this GPU", engines[i].name);
    *workspace_bytes = engines[i].workspace_bytes;
    return DT_OK;
}

static dt_status measure(void *context, int i, int n_runs, double *ms, dt_error *err)
{
    (void)context, (void)n_runs, (void)err;
    n_measured++;
    *ms = engines[i].ms;
    return DT_OK;
}

/* Choose for this graph; of_run NULL: the run has not chosen yet. */
static dt_plan_choice choose(dt_autotune_kind autotune, dt_plan_cache *cache, const char *key,
                             const dt_graph_engine *of_run)
{
    const dt_plan_candidates candidates = {.n = 6, .engine = engine_name, .build = build, .measure = measure};
    const dt_plan_rules rules = {.autotune = autotune, .workspace_limit_bytes = 1000, .chosen = of_run};
    int chosen = -1;
    dt_plan_choice choice = {.time_ms = -1};
    dt_error err = {0};
    n_measured = 0;
    DT_REQUIRE_MSG(dt_plan_choose(&candidates, &rules, cache, key, &chosen, &choice, &err) == DT_OK, "%s",
                   err.message);
    DT_CHECK_STR(choice.engine, engines[chosen].name);
    return choice;
}

static dt_plan_cache *open_cache(void)
{
    dt_plan_cache *cache = NULL;
    dt_error err = {0};
    const char *path = dt_test_path("%s/plans.txt", dt_test_temp_dir());
    DT_REQUIRE(dt_plan_cache_open(path, "GPU A", &cache, &err) == DT_OK);
    return cache;
}

static void the_runs_engine_goes_before_the_caches_and_stays_out_of_the_file(void)
{
    dt_plan_cache *cache = open_cache();
    const dt_graph_engine close = {"close", 2.125};
    DT_CHECK_STR(choose(DT_AUTOTUNE_FULL, cache, "conv", NULL).engine, "fast");
    dt_plan_choice choice = choose(DT_AUTOTUNE_FULL, cache, "conv", &close);
    DT_CHECK_STR(choice.engine, "close");
    DT_CHECK_CLOSE(choice.time_ms, 2.125, 0);
    DT_CHECK_INT(n_measured, 0);
    DT_CHECK_STR(choose(DT_AUTOTUNE_FULL, cache, "dgrad", &close).engine, "close");
    DT_CHECK_STR(choose(DT_AUTOTUNE_OFF, NULL, "conv", &close).engine, "close");
    DT_CHECK_STR(choose(DT_AUTOTUNE_OFF, NULL, "conv", NULL).engine, "slow");
    DT_CHECK_STR(choose(DT_AUTOTUNE_HEURISTIC, cache, "conv", NULL).engine, "fast");
    DT_CHECK_STR(choose(DT_AUTOTUNE_OFF, cache, "conv", NULL).engine,
                 "slow"); /* what was measured is not read */
    dt_plan_cache_close(cache);
    cache = open_cache();
    DT_CHECK_STR(choose(DT_AUTOTUNE_FULL, cache, "conv", NULL).engine, "fast");
    DT_CHECK_INT(n_measured, 0);
    DT_CHECK_STR(choose(DT_AUTOTUNE_FULL, cache, "dgrad", NULL).engine, "fast");
    DT_CHECK(n_measured > 0);
    dt_plan_cache_close(cache);
}

static void a_runs_engine_that_cannot_run_here_leaves_the_choice_free(void)
{
    static const dt_graph_engine useless[] = {{"unknown", 1}, {"broken", 1}, {"large", 1}, {"", 1}};
    for (int i = 0; i < 4; i++) {
        DT_CHECK_STR(choose(DT_AUTOTUNE_FULL, NULL, "conv", &useless[i]).engine, "fast");
        DT_CHECK_STR(choose(DT_AUTOTUNE_OFF, NULL, "conv", &useless[i]).engine, "slow");
    }
    /* a workspace as large as allowed */
    DT_CHECK_STR(choose(DT_AUTOTUNE_OFF, NULL, "conv", &(dt_graph_engine){"exact", 1}).engine, "exact");
}

static void all_gpus_of_one_model_have_one_identity(void)
{
    static const struct {
        dt_device_info gpu;
        const char *identity;
    } rows[] = {{{.name = "NVIDIA H200, GPU 0", .driver = "CUDA driver 13.0, runtime 13.0"},
                 "NVIDIA H200, CUDA driver 13.0, cuDNN 9.19.0"},
                {{.name = "NVIDIA H200, GPU 7", .driver = "CUDA driver 13.0, runtime 12.9"},
                 "NVIDIA H200, CUDA driver 13.0, cuDNN 9.19.0"},
                {{.name = "NVIDIA H200, GPU 7", .driver = "CUDA driver 12.8, runtime 12.8"},
                 "NVIDIA H200, CUDA driver 12.8, cuDNN 9.19.0"},
                {{.name = "NVIDIA A10G, GPU 7", .driver = "CUDA driver 13.0, runtime 13.0"},
                 "NVIDIA A10G, CUDA driver 13.0, cuDNN 9.19.0"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char identity[192], small[8];
        dt_plan_cache_identity(&rows[i].gpu, "cuDNN 9.19.0", identity, sizeof identity);
        DT_CHECK_STR(identity, rows[i].identity);
        dt_plan_cache_identity(&rows[i].gpu, "cuDNN 9.19.0", small, sizeof small);
        DT_CHECK_STR(small, "NVIDIA ");
    }
}

static const dt_test tests[] = {
    DT_TEST(the_runs_engine_goes_before_the_caches_and_stays_out_of_the_file),
    DT_TEST(a_runs_engine_that_cannot_run_here_leaves_the_choice_free),
    DT_TEST(all_gpus_of_one_model_have_one_identity),
};
DT_TEST_MAIN("layers/cuda_plan_run", tests)
