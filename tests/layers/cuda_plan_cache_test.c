/* Which engine runs a graph, and the file that remembers it. No GPU is needed: a table gives the times. */
#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "core/base/log.h"
#include "layers/cuda/plan_cache.h"
#include "tests/testing.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GPU "NVIDIA H200, cuDNN 9.19.0"

/* -- engines that are numbers ---------------------------------------------------------------------------- */

typedef struct fake_engine {
    const char *name;
    int64_t workspace_bytes; /* -1: cannot be built */
    double ms;               /* 0: memory is too short to measure it; -1: an error of the device */
    int n_built, n_runs;     /* counted */
} fake_engine;

static const char *engine_name(void *context, int i)
{
    return ((fake_engine *)context)[i].name;
}

static dt_status build(void *context, int i, int64_t *workspace_bytes, dt_error *err)
{
    fake_engine *e = &((fake_engine *)context)[i];
    e->n_built++;
    if (e->workspace_bytes < 0)
        return dt_fail(err, DT_ERR_UNSUPPORTED, "%s is not for this GPU", e->name);
    *workspace_bytes = e->workspace_bytes;
    return DT_OK;
}

static dt_status measure(void *context, int i, int n_runs, double *ms, dt_error *err)
{
    fake_engine *e = &((fake_engine *)context)[i];
    e->n_runs += n_runs;
    if (e->ms <= 0)
        return dt_fail(err, e->ms < 0 ? DT_ERR_DEVICE : DT_ERR_MEMORY, "%s does not run", e->name);
    *ms = e->ms;
    return DT_OK;
}

static const fake_engine five[] = {{"slow", 0, 9, 0, 0},
                                   {"broken", -1, 0, 0, 0},
                                   {"fast:1=2", 100, 2, 0, 0},
                                   {"large", 5000, 1, 0, 0},
                                   {"close", 0, 2.1, 0, 0}};

static dt_plan_candidates candidates_of(fake_engine *engines, int n)
{
    return (dt_plan_candidates){
        .context = engines,
        .n = n,
        .engine = engine_name,
        .build = build,
        .measure = measure,
    };
}

static dt_status choose(fake_engine *engines, int n, dt_autotune_kind autotune, dt_plan_cache *cache,
                        int *chosen, dt_plan_choice *choice, dt_error *err)
{
    dt_plan_candidates candidates = candidates_of(engines, n);
    dt_plan_rules rules = {.autotune = autotune, .workspace_limit_bytes = 1000};
    return dt_plan_choose(&candidates, &rules, cache, "fp16;conv", chosen, choice, err);
}

/* -- choosing -------------------------------------------------------------------------------------------- */

static void full_chooses_the_fastest_that_fits_and_stops_timing_slow_ones(void)
{
    fake_engine e[5];
    int chosen = -1;
    dt_plan_choice choice;
    dt_error err = {0};
    memcpy(e, five, sizeof e);
    DT_REQUIRE(choose(e, 5, DT_AUTOTUNE_FULL, NULL, &chosen, &choice, &err) == DT_OK);
    DT_CHECK_INT(chosen, 2);
    DT_CHECK_STR(choice.engine, "fast:1=2");
    DT_CHECK_INT(choice.workspace_bytes, 100);
    DT_CHECK_CLOSE(choice.time_ms, 2, 0);
    DT_CHECK_INT(choice.n_candidates, 3);
    DT_CHECK(!choice.from_cache);
    DT_CHECK_INT(e[3].n_runs, 0); /* over the limit */
    DT_CHECK(e[4].n_runs > 1);    /* close enough to the best to be measured again */

    memcpy(e, five, sizeof e);
    e[0].ms = 1;
    DT_REQUIRE(choose(e, 5, DT_AUTOTUNE_FULL, NULL, &chosen, &choice, &err) == DT_OK);
    DT_CHECK_INT(chosen, 0);
    DT_CHECK_INT(e[2].n_runs, 1); /* too slow to be measured again */
}

static void off_chooses_the_first_that_fits_and_times_nothing(void)
{
    fake_engine e[4] = {five[3], five[1], five[4], five[2]};
    int chosen = -1;
    dt_plan_choice choice;
    dt_error err = {0};
    DT_REQUIRE(choose(e, 4, DT_AUTOTUNE_OFF, NULL, &chosen, &choice, &err) == DT_OK);
    DT_CHECK_INT(chosen, 2);
    DT_CHECK_CLOSE(choice.time_ms, 0, 0);
    DT_CHECK_INT(e[2].n_runs + e[3].n_built, 0);
}

static void heuristic_times_the_first_few(void)
{
    fake_engine e[8];
    int chosen = -1, n_measured = 0;
    dt_plan_choice choice;
    dt_error err = {0};
    for (int i = 0; i < 8; i++)
        e[i] = (fake_engine){i % 2 ? "odd" : "even", i == 1 ? -1 : 0, 10 - i, 0, 0};
    DT_REQUIRE(choose(e, 8, DT_AUTOTUNE_HEURISTIC, NULL, &chosen, &choice, &err) == DT_OK);
    DT_CHECK_INT(chosen, DT_PLAN_HEURISTIC_TRIES); /* number 1 cannot be built */
    for (int i = 0; i < 8; i++)
        n_measured += e[i].n_runs > 0;
    DT_CHECK_INT(n_measured, DT_PLAN_HEURISTIC_TRIES);
}

static void an_engine_that_cannot_be_timed_is_chosen_if_there_is_no_other(void)
{
    fake_engine e[2] = {{"first", 0, 0, 0, 0}, {"second", 0, 0, 0, 0}};
    int chosen = -1;
    dt_plan_choice choice;
    dt_error err = {0};
    DT_REQUIRE(choose(e, 2, DT_AUTOTUNE_FULL, NULL, &chosen, &choice, &err) == DT_OK);
    DT_CHECK_INT(chosen, 0);
    e[1].ms = 50;
    DT_REQUIRE(choose(e, 2, DT_AUTOTUNE_FULL, NULL, &chosen, &choice, &err) == DT_OK);
    DT_CHECK_INT(chosen, 1);
}

static void an_error_of_the_device_ends_the_choice(void)
{
    fake_engine e[3] = {{"first", 0, 3, 0, 0}, {"second", 0, -1, 0, 0}, {"third", 0, 2, 0, 0}};
    int chosen = -1;
    dt_plan_choice choice;
    dt_error err = {0};
    DT_CHECK_INT(choose(e, 3, DT_AUTOTUNE_FULL, NULL, &chosen, &choice, &err), DT_ERR_DEVICE);
    DT_CHECK_STR(err.message, "second does not run");
    DT_CHECK_INT(chosen, -1);
    DT_CHECK_INT(e[2].n_runs, 0);
}

static void an_error_gives_the_reason_why_there_is_no_candidate(void)
{
    fake_engine e[2] = {{"broken", -1, 0, 0, 0}, {"large", 5000, 1, 0, 0}};
    int chosen = -1;
    dt_plan_choice choice;
    dt_error err = {0};
    DT_CHECK_INT(choose(e, 0, DT_AUTOTUNE_FULL, NULL, &chosen, &choice, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "no engine");
    DT_CHECK_INT(choose(e, 1, DT_AUTOTUNE_OFF, NULL, &chosen, &choice, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "broken is not for this GPU");
    DT_CHECK_INT(choose(e, 2, DT_AUTOTUNE_FULL, NULL, &chosen, &choice, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "workspace of 1000 bytes; one could with 5000");
    DT_CHECK_INT(chosen, -1);
}

/* -- the cache ------------------------------------------------------------------------------------------- */

static char warnings[4096];

static void keep_warning(void *context, dt_log_level level, const char *line)
{
    (void)context, (void)level;
    snprintf(warnings + strlen(warnings), sizeof warnings - strlen(warnings), "%s\n", line);
}

static char *cache_path(char path[512], const char *name)
{
    snprintf(path, 512, "%s/%s", dt_test_temp_dir(), name);
    warnings[0] = '\0';
    dt_log_set_sink(keep_warning, NULL, DT_LOG_WARN);
    return path;
}

static dt_plan_cache *open_cache(const char *path)
{
    dt_plan_cache *cache = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(dt_plan_cache_open(path, GPU, &cache, &err) == DT_OK, "%s", err.message);
    return cache;
}

static void put(dt_plan_cache *cache, const char *key, const char *engine)
{
    dt_plan_choice choice = {.workspace_bytes = 7, .time_ms = 0.125, .n_candidates = 3};
    dt_error err = {0};
    snprintf(choice.engine, sizeof choice.engine, "%s", engine);
    DT_REQUIRE(dt_plan_cache_put(cache, key, &choice, &err) == DT_OK);
}

static void save(dt_plan_cache *cache)
{
    dt_error err = {0};
    DT_CHECK_MSG(dt_plan_cache_save(cache, &err) == DT_OK, "%s", err.message);
}

static void a_choice_is_remembered_and_not_measured_again(void)
{
    char path[512];
    fake_engine e[5];
    int chosen = -1;
    dt_plan_choice choice;
    dt_error err = {0};
    dt_plan_cache *cache = open_cache(cache_path(path, "a/b/plans.txt"));
    memcpy(e, five, sizeof e);
    DT_REQUIRE(choose(e, 5, DT_AUTOTUNE_FULL, cache, &chosen, &choice, &err) == DT_OK);
    dt_plan_cache_close(cache);

    memcpy(e, five, sizeof e);
    e[0].ms = 0.5; /* would be chosen if it were measured */
    cache = open_cache(path);
    DT_REQUIRE(choose(e, 5, DT_AUTOTUNE_FULL, cache, &chosen, &choice, &err) == DT_OK);
    DT_CHECK_INT(chosen, 2);
    DT_CHECK(choice.from_cache);
    DT_CHECK_CLOSE(choice.time_ms, 2, 1e-9);
    DT_CHECK_INT(choice.n_candidates, 3);
    DT_CHECK_INT(e[0].n_built + e[0].n_runs + e[2].n_runs, 0);

    e[2].workspace_bytes = -1; /* it can no longer be built, so the others are measured again */
    DT_REQUIRE(choose(e, 5, DT_AUTOTUNE_FULL, cache, &chosen, &choice, &err) == DT_OK);
    DT_CHECK_INT(chosen, 0);
    DT_CHECK(!choice.from_cache);
    /* under another rule it is another entry */
    e[0].n_runs = 0;
    DT_REQUIRE(choose(e, 5, DT_AUTOTUNE_HEURISTIC, cache, &chosen, &choice, &err) == DT_OK);
    DT_CHECK(e[0].n_runs > 0 && !choice.from_cache);
    dt_plan_cache_close(cache);
    DT_CHECK_STR(warnings, "");
}

static void damage_anywhere_is_detected_warned_of_and_repaired(void)
{
    char path[512], text[2048];
    dt_plan_cache *cache = open_cache(cache_path(path, "plans.txt"));
    put(cache, "key1", "22:1=2");
    put(cache, "key2", "45");
    save(cache);
    dt_plan_cache_close(cache);
    FILE *f = fopen(path, "r");
    size_t bytes = fread(text, 1, sizeof text, f);
    (void)fclose(f);
    for (size_t at = 0; at < bytes; at++)
        for (int cut = 0; cut < 2; cut++) {
            f = fopen(path, "w");
            if (cut)
                (void)fwrite(text, 1, at, f); /* the file ends early */
            else {
                char c = text[at];
                text[at] = c == 'x' ? 'y' : 'x';
                (void)fwrite(text, 1, bytes, f);
                text[at] = c;
            }
            (void)fclose(f);
            warnings[0] = '\0';
            cache = open_cache(path);
            /* A file that was cut between two lines is valid. */
            bool whole_lines = cut && at > 0 && text[at - 1] == '\n';
            DT_CHECK_MSG((strstr(warnings, "ignored") != NULL) != whole_lines, "byte %zu, cut %d: %s", at,
                         cut, warnings);
            if (!whole_lines)
                DT_CHECK(!dt_plan_cache_find(cache, "key1") && !dt_plan_cache_find(cache, "key2"));
            dt_plan_cache_close(cache);
        }
    cache = open_cache(path); /* damaged: byte bytes - 1 is missing */
    put(cache, "key3", "1");
    save(cache);
    dt_plan_cache_close(cache);
    warnings[0] = '\0';
    cache = open_cache(path);
    DT_CHECK_STR(warnings, "");
    DT_REQUIRE(dt_plan_cache_find(cache, "key3") != NULL);
    DT_CHECK_STR(dt_plan_cache_find(cache, "key3")->engine, "1");
    dt_plan_cache_close(cache);
}

static void the_file_of_another_gpu_is_not_used(void)
{
    char path[512];
    dt_error err = {0};
    dt_plan_cache *cache = open_cache(cache_path(path, "plans.txt"));
    put(cache, "key1", "22");
    save(cache);
    dt_plan_cache_close(cache);
    DT_REQUIRE(dt_plan_cache_open(path, "NVIDIA A10G, cuDNN 9.19.0", &cache, &err) == DT_OK);
    DT_CHECK(!dt_plan_cache_find(cache, "key1"));
    DT_CHECK_CONTAINS(warnings, "another GPU");
    dt_plan_cache_close(cache);
    DT_REQUIRE(truncate(path, 20 << 20) == 0);
    dt_plan_cache_close(open_cache(path));
    DT_CHECK_CONTAINS(warnings, "it is larger than any plan cache: ignored");
}

static void entries_of_other_processes_are_kept(void)
{
    char path[512];
    dt_plan_cache *a = open_cache(cache_path(path, "plans.txt")), *b = open_cache(path);
    put(a, "key1", "1");
    put(a, "both", "a");
    save(a);
    put(b, "key2", "2");
    put(b, "both", "b");
    save(b);
    dt_plan_cache_close(a);
    dt_plan_cache_close(b);
    a = open_cache(path);
    DT_CHECK(dt_plan_cache_find(a, "key1") && dt_plan_cache_find(a, "key2"));
    DT_CHECK_STR(dt_plan_cache_find(a, "both")->engine, "b");
    dt_plan_cache_close(a);
}

static void *save_many(void *path)
{
    dt_plan_cache *cache = open_cache(path);
    for (int i = 0; i < 20; i++) {
        char key[32];
        snprintf(key, sizeof key, "key%d", i);
        put(cache, key, "1");
        save(cache);
    }
    dt_plan_cache_close(cache);
    return NULL;
}

static void concurrent_writers_always_leave_a_valid_file(void)
{
    char path[512];
    pthread_t threads[4];
    cache_path(path, "plans.txt");
    for (int i = 0; i < 4; i++)
        DT_REQUIRE(pthread_create(&threads[i], NULL, save_many, path) == 0);
    for (int i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
    dt_plan_cache *cache = open_cache(path);
    DT_CHECK(dt_plan_cache_find(cache, "key19") != NULL);
    DT_CHECK_STR(warnings, "");
    dt_plan_cache_close(cache);
}

static void a_file_that_cannot_be_written_gives_one_warning(void)
{
    char path[512];
    fake_engine e[5];
    int chosen;
    dt_plan_choice choice;
    dt_error err = {0};
    dt_plan_cache *cache = open_cache(cache_path(path, "plans.txt"));
    DT_REQUIRE(dt_fault_arm("plans.write:1:always", 0, &err) == DT_OK);
    memcpy(e, five, sizeof e);
    DT_CHECK_INT(choose(e, 5, DT_AUTOTUNE_FULL, cache, &chosen, &choice, &err), DT_OK);
    DT_CHECK_INT(choose(e, 5, DT_AUTOTUNE_HEURISTIC, cache, &chosen, &choice, &err), DT_OK);
    DT_CHECK_INT(choose(e, 5, DT_AUTOTUNE_FULL, cache, &chosen, &choice, &err), DT_OK);
    DT_CHECK(choice.from_cache); /* it is in memory */
    DT_REQUIRE(dt_fault_arm(NULL, 0, &err) == DT_OK);
    DT_CHECK_CONTAINS(warnings, "plan cache: writing");
    DT_CHECK(strchr(warnings, '\n') == strrchr(warnings, '\n'));
    DT_CHECK(access(path, F_OK) != 0);
    dt_plan_cache_close(cache);

    /* inside a "folder" that is a file */
    FILE *f = fopen(path, "w");
    (void)fclose(f);
    snprintf(path, sizeof path, "%s/plans.txt/below.txt", dt_test_temp_dir());
    cache = open_cache(path);
    put(cache, "key1", "1");
    DT_CHECK_INT(dt_plan_cache_save(cache, &err), DT_ERR_IO);
    dt_plan_cache_close(cache);
}

static void the_path_follows_xdg_and_home(void)
{
    char path[512];
    setenv("XDG_CACHE_HOME", "/var/tmp/cache", 1);
    setenv("HOME", "/home/me", 1);
    dt_plan_cache_path(GPU, path, sizeof path);
    DT_CHECK_STR(path, "/var/tmp/cache/dtrain/plans-NVIDIA-H200--cuDNN-9.19.0.txt");
    setenv("XDG_CACHE_HOME", "relative", 1);
    dt_plan_cache_path("a/b", path, sizeof path);
    DT_CHECK_STR(path, "/home/me/.cache/dtrain/plans-a-b.txt");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    dt_plan_cache_path(GPU, path, sizeof path);
    DT_CHECK_STR(path, "");
    dt_plan_cache *cache = open_cache("");
    put(cache, "key1", "1");
    save(cache);
    DT_CHECK(dt_plan_cache_find(cache, "key1") != NULL);
    dt_plan_cache_close(cache);
}

static dt_status use_a_cache(const char *path, dt_error *err)
{
    dt_plan_cache *cache = NULL;
    fake_engine e[5];
    int chosen;
    dt_plan_choice choice;
    memcpy(e, five, sizeof e);
    dt_status status = dt_plan_cache_open(path, GPU, &cache, err);
    if (status == DT_OK)
        status = choose(e, 5, DT_AUTOTUNE_FULL, cache, &chosen, &choice, err);
    if (status == DT_OK)
        status = dt_plan_cache_save(cache, err);
    dt_plan_cache_close(cache);
    return status;
}

static void every_allocation_may_fail(void)
{
    char path[512];
    const int64_t n_before = dt_alloc_live_blocks();
    for (int n = 1;; n++) {
        dt_error err = {0};
        dt_alloc_fail_after(n);
        dt_status status = use_a_cache(cache_path(path, "plans.txt"), &err);
        dt_alloc_fail_after(0);
        DT_CHECK_INT(dt_alloc_live_blocks(), n_before);
        if (status == DT_OK && !warnings[0])
            break;
        DT_CHECK(status == DT_ERR_MEMORY || strstr(warnings, "Cannot allocate memory") ||
                 strstr(warnings, "out of memory"));
        DT_REQUIRE(n < 100);
    }
}

static const dt_test tests[] = {DT_TEST(full_chooses_the_fastest_that_fits_and_stops_timing_slow_ones),
                                DT_TEST(off_chooses_the_first_that_fits_and_times_nothing),
                                DT_TEST(heuristic_times_the_first_few),
                                DT_TEST(an_engine_that_cannot_be_timed_is_chosen_if_there_is_no_other),
                                DT_TEST(an_error_of_the_device_ends_the_choice),
                                DT_TEST(an_error_gives_the_reason_why_there_is_no_candidate),
                                DT_TEST(a_choice_is_remembered_and_not_measured_again),
                                DT_TEST(damage_anywhere_is_detected_warned_of_and_repaired),
                                DT_TEST(the_file_of_another_gpu_is_not_used),
                                DT_TEST(entries_of_other_processes_are_kept),
                                DT_TEST(concurrent_writers_always_leave_a_valid_file),
                                DT_TEST(a_file_that_cannot_be_written_gives_one_warning),
                                DT_TEST(the_path_follows_xdg_and_home),
                                DT_TEST(every_allocation_may_fail)};
DT_TEST_MAIN("layers/cuda_plan_cache", tests)
