#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "layers/cuda/plan_cache.h"

#include <stdio.h>
#include <string.h>

/* A candidate whose first run takes this many times as long as the best is not measured further. */
#define TOO_SLOW 1.3
#define N_RUNS 5

/* How far a candidate has come. */
typedef enum state {
    NOT_BUILT, /* or not needed, or rejected */
    UNMEASURED,
    MEASURED
} state;

typedef struct candidate {
    state state;
    int64_t workspace_bytes;
    double ms;
} candidate;

typedef struct search {
    const dt_plan_candidates *candidates;
    const dt_plan_rules *rules;
    candidate *all;
    int best; /* -1: none yet */
    dt_plan_choice choice;
    int n_built;   /* candidates that can be built */
    int64_t least; /* smallest workspace of the candidates that were over the limit */
    dt_error why;  /* of the first candidate that cannot be built, or was rejected */
} search;

static void note_why(search *s, const dt_error *err)
{
    if (!s->why.status)
        s->why = *err;
}

/* Whether candidate i can be built within the limit. */
static bool build(search *s, int i)
{
    dt_error err = {0};
    int64_t workspace = 0;
    if (s->candidates->build(s->candidates->context, i, &workspace, &err) != DT_OK) {
        note_why(s, &err);
        return false;
    }
    if (workspace > s->rules->workspace_limit_bytes) {
        s->least = s->least && s->least < workspace ? s->least : workspace;
        return false;
    }
    s->n_built++;
    s->all[i] = (candidate){.state = UNMEASURED, .workspace_bytes = workspace};
    return true;
}

static const char *name_of(const search *s, int i)
{
    return s->candidates->engine(s->candidates->context, i);
}

static void choose(search *s, int i)
{
    s->best = i;
    s->choice.workspace_bytes = s->all[i].workspace_bytes;
    s->choice.time_ms = s->all[i].ms;
    snprintf(s->choice.engine, sizeof s->choice.engine, "%s", name_of(s, i));
}

static void reject(search *s, int i, const dt_error *why)
{
    s->all[i].state = NOT_BUILT;
    s->choice.n_rejected++;
    note_why(s, why);
}

/* The fastest candidate that was measured; -1: none. */
static int fastest(const search *s)
{
    int best = -1;
    for (int i = 0; i < s->candidates->n; i++)
        if (s->all[i].state == MEASURED && (best < 0 || s->all[i].ms < s->all[best].ms))
            best = i;
    return best;
}

/* Measure candidate i. */
static dt_status measure(search *s, int i, dt_error *err)
{
    const dt_plan_candidates *c = s->candidates;
    double ms = 0;
    dt_error why = {0};
    int best = fastest(s);
    dt_status status = c->measure(c->context, i, 1, &ms, &why);
    if (status == DT_OK && !(best >= 0 && ms > TOO_SLOW * s->all[best].ms))
        status = c->measure(c->context, i, N_RUNS, &ms, &why);
    if (status == DT_OK) {
        s->all[i].state = MEASURED;
        s->all[i].ms = ms;
        return DT_OK;
    }
    if (status == DT_ERR_UNSUPPORTED) {
        dt_log_debug("engine %s is rejected: %s", name_of(s, i), why.message);
        reject(s, i, &why);
        return DT_OK;
    }
    if (status != DT_ERR_MEMORY && err)
        *err = why;
    return status == DT_ERR_MEMORY ? DT_OK : status;
}

/* Choose candidate i if it passes the check. *tried: whether memory sufficed for it. */
static dt_status choose_checked(search *s, int i, bool *tried, dt_error *err)
{
    const dt_plan_candidates *c = s->candidates;
    dt_error why = {0};
    dt_status status = c->check ? c->check(c->context, i, &why) : DT_OK;
    *tried = status != DT_ERR_MEMORY;
    if (status == DT_OK)
        choose(s, i);
    else if (status == DT_ERR_UNSUPPORTED) {
        dt_log_warn("engine %s is not used: %s", name_of(s, i), why.message);
        reject(s, i, &why);
    } else if (status != DT_ERR_MEMORY && err)
        *err = why;
    return status == DT_OK || status == DT_ERR_UNSUPPORTED || status == DT_ERR_MEMORY ? DT_OK : status;
}

/* Choose the engine that was remembered if a candidate has its name and passes the check; else best stays
 * -1. */
static dt_status use_remembered(search *s, const dt_plan_choice *remembered, dt_error *err)
{
    bool tried;
    for (int i = 0; i < s->candidates->n; i++) {
        if (strcmp(name_of(s, i), remembered->engine) != 0 || !build(s, i))
            continue;
        s->all[i].ms = remembered->time_ms;
        DT_TRY(choose_checked(s, i, &tried, err));
        if (s->best < 0 && !tried)
            choose(s, i);
        if (s->best < 0)
            continue;
        s->choice.n_candidates = remembered->n_candidates;
        s->choice.from_cache = true;
        return DT_OK;
    }
    return DT_OK;
}

/* Measure the candidates and choose the fastest that passes the check. */
static dt_status choose_fastest(search *s, dt_error *err)
{
    int enough = s->rules->autotune == DT_AUTOTUNE_HEURISTIC ? DT_PLAN_HEURISTIC_TRIES : s->candidates->n;
    bool tried = true;
    for (int i = 0; i < s->candidates->n && s->n_built - s->choice.n_rejected < enough; i++)
        if (build(s, i))
            DT_TRY(measure(s, i, err));
    for (int i = fastest(s); i >= 0 && s->best < 0; i = fastest(s)) {
        DT_TRY(choose_checked(s, i, &tried, err));
        if (!tried)
            choose(s, i);
    }
    return DT_OK;
}

/* Choose the first candidate that passes the check. */
static dt_status choose_first(search *s, dt_error *err)
{
    bool tried = true;
    for (int i = 0; i < s->candidates->n && s->best < 0 && tried; i++)
        if (build(s, i))
            DT_TRY(choose_checked(s, i, &tried, err));
    return DT_OK;
}

static dt_status try_all(search *s, bool measured, dt_error *err)
{
    s->n_built = s->choice.n_rejected = 0;
    DT_TRY(measured ? choose_fastest(s, err) : choose_first(s, err));
    for (int i = 0; i < s->candidates->n && s->best < 0; i++)
        if (s->all[i].state == UNMEASURED) { /* memory is short */
            choose(s, i);
            dt_log_debug("engine %s is used without a check: the device's memory is short", name_of(s, i));
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
        return dt_fail(err, DT_ERR_UNSUPPORTED, "of %d engine configuration%s none can be used: %s",
                       s->candidates->n, DT_PLURAL(s->candidates->n), s->why.message);
    return dt_fail(err, DT_ERR_UNSUPPORTED, "there is no engine for it");
}

static dt_status search_all(search *s, dt_plan_cache *cache, const char *key, dt_error *err)
{
    bool measured = s->candidates->measure && s->rules->autotune != DT_AUTOTUNE_OFF;
    const dt_plan_choice *cached = measured && cache ? dt_plan_cache_find(cache, key) : NULL;
    dt_plan_choice of_run = {.time_ms = s->rules->chosen ? s->rules->chosen->time_ms : 0};
    if (s->rules->chosen) {
        snprintf(of_run.engine, sizeof of_run.engine, "%s", s->rules->chosen->name);
        DT_TRY(use_remembered(s, &of_run, err));
    }
    if (s->best < 0 && cached)
        DT_TRY(use_remembered(s, cached, err));
    if (s->best >= 0)
        return DT_OK;
    DT_TRY(try_all(s, measured, err));
    if (s->best < 0)
        return nothing_runs(s, err);
    return cache && s->choice.time_ms > 0 ? dt_plan_cache_remember(cache, key, &s->choice, err) : DT_OK;
}

dt_status dt_plan_choose(const dt_plan_candidates *candidates, const dt_plan_rules *rules,
                         dt_plan_cache *cache, const char *key, int *chosen, dt_plan_choice *choice,
                         dt_error *err)
{
    search s = {.candidates = candidates, .rules = rules, .best = -1};
    s.all = dt_calloc((size_t)candidates->n + 1, sizeof *s.all);
    char *full_key =
        dt_strprintf("%s;%s;%lld", key, rules->autotune == DT_AUTOTUNE_FULL ? "full" : "heuristic",
                     (long long)rules->workspace_limit_bytes);
    dt_status status = s.all && full_key ? search_all(&s, cache, full_key, err)
                                         : dt_fail_memory(err, strlen(key) + 40, "a graph's key");
    dt_free(full_key);
    dt_free(s.all);
    if (status != DT_OK)
        return status;
    *chosen = s.best;
    *choice = s.choice;
    return DT_OK;
}
