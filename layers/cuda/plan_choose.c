#include "core/base/alloc.h"
#include "core/base/units.h"
#include "layers/cuda/plan_cache.h"

#include <stdio.h>
#include <string.h>

/* A candidate whose first run takes this many times as long as the best is not measured further. */
#define TOO_SLOW 1.3
#define N_RUNS 5

typedef struct search {
    const dt_plan_candidates *candidates;
    const dt_plan_rules *rules;
    int best; /* -1: none yet */
    dt_plan_choice choice;
    int n_built;   /* candidates that can run */
    int64_t least; /* smallest workspace of the candidates that were over the limit */
    dt_error why;  /* of the first candidate that cannot be built */
} search;

/* Whether candidate i can run. */
static bool build(search *s, int i, int64_t *workspace)
{
    dt_error err = {0};
    if (s->candidates->build(s->candidates->context, i, workspace, &err) != DT_OK) {
        if (!s->why.status)
            s->why = err;
        return false;
    }
    if (*workspace > s->rules->workspace_limit_bytes) {
        s->least = s->least && s->least < *workspace ? s->least : *workspace;
        return false;
    }
    s->n_built++;
    return true;
}

static void choose(search *s, int i, int64_t workspace, double ms)
{
    s->best = i;
    s->choice.workspace_bytes = workspace;
    s->choice.time_ms = ms;
    snprintf(s->choice.engine, sizeof s->choice.engine, "%s",
             s->candidates->engine(s->candidates->context, i));
}

/* Measure candidate i, and choose it if it is the fastest so far. */
static dt_status try_candidate(search *s, int i, int64_t workspace, dt_error *err)
{
    const dt_plan_candidates *c = s->candidates;
    double ms = 0;
    dt_status status = c->measure(c->context, i, 1, &ms, err);
    bool is_measured = s->best >= 0 && s->choice.time_ms > 0;
    if (status == DT_OK && !(is_measured && ms > TOO_SLOW * s->choice.time_ms))
        status = c->measure(c->context, i, N_RUNS, &ms, err);
    if (status == DT_ERR_UNSUPPORTED || status == DT_ERR_MEMORY) {
        if (s->best < 0)
            choose(s, i, workspace, 0); /* until one can be measured */
        return DT_OK;
    }
    if (status == DT_OK && (!is_measured || ms < s->choice.time_ms))
        choose(s, i, workspace, ms);
    return status;
}

/* Use the cache's choice if a candidate has its name and can run; else return false. */
static bool use_cached(search *s, const dt_plan_choice *cached)
{
    const dt_plan_candidates *c = s->candidates;
    int64_t workspace;
    for (int i = 0; i < c->n; i++)
        if (strcmp(c->engine(c->context, i), cached->engine) == 0 && build(s, i, &workspace)) {
            choose(s, i, workspace, cached->time_ms);
            s->choice.n_candidates = cached->n_candidates;
            s->choice.from_cache = true;
            return true;
        }
    return false;
}

static dt_status try_all(search *s, bool measured, dt_error *err)
{
    int64_t workspace;
    int enough = !measured                                     ? 1
                 : s->rules->autotune == DT_AUTOTUNE_HEURISTIC ? DT_PLAN_HEURISTIC_TRIES
                                                               : s->candidates->n;
    s->n_built = 0;
    for (int i = 0; i < s->candidates->n && s->n_built < enough; i++) {
        if (!build(s, i, &workspace))
            continue;
        if (measured)
            DT_TRY(try_candidate(s, i, workspace, err));
        else
            choose(s, i, workspace, 0);
    }
    s->choice.n_candidates = s->n_built;
    return DT_OK;
}

static dt_status nothing_runs(const search *s, dt_error *err)
{
    if (s->least)
        return dt_fail(
            err, DT_ERR_UNSUPPORTED,
            "of %d engine configuration%s none can run with a workspace of %lld bytes; one could with %lld",
            s->candidates->n, DT_PLURAL(s->candidates->n), (long long)s->rules->workspace_limit_bytes,
            (long long)s->least);
    if (s->why.status)
        return dt_fail(err, DT_ERR_UNSUPPORTED, "of %d engine configuration%s none can run: %s",
                       s->candidates->n, DT_PLURAL(s->candidates->n), s->why.message);
    return dt_fail(err, DT_ERR_UNSUPPORTED, "there is no engine for it");
}

dt_status dt_plan_choose(const dt_plan_candidates *candidates, const dt_plan_rules *rules,
                         dt_plan_cache *cache, const char *key, int *chosen, dt_plan_choice *choice,
                         dt_error *err)
{
    search s = {.candidates = candidates, .rules = rules, .best = -1};
    bool measured = candidates->measure && rules->autotune != DT_AUTOTUNE_OFF;
    char *full_key =
        dt_strprintf("%s;%s;%lld", key, rules->autotune == DT_AUTOTUNE_FULL ? "full" : "heuristic",
                     (long long)rules->workspace_limit_bytes);
    if (!full_key)
        return dt_fail_memory(err, strlen(key) + 40, "a graph's key");
    const dt_plan_choice *cached = measured && cache ? dt_plan_cache_find(cache, full_key) : NULL;
    dt_status status = DT_OK;
    if (!cached || !use_cached(&s, cached)) {
        status = try_all(&s, measured, err);
        if (status == DT_OK && s.best < 0)
            status = nothing_runs(&s, err);
        if (status == DT_OK && cache && s.choice.time_ms > 0)
            status = dt_plan_cache_remember(cache, full_key, &s.choice, err);
    }
    dt_free(full_key);
    if (status != DT_OK)
        return status;
    *chosen = s.best;
    *choice = s.choice;
    return DT_OK;
}
