/* plan_cache.h: which engine configuration runs a graph: measured once, remembered on disk. Knows neither
 * cuDNN nor a GPU.
 *
 *   dt_plan_cache_path("NVIDIA H200, cuDNN 9.19.0", path, sizeof path);
 *   DT_TRY(dt_plan_cache_open(path, "NVIDIA H200, cuDNN 9.19.0", &cache, err));
 *   DT_TRY(dt_plan_choose(&candidates, &rules, cache, key, &chosen, &choice, err));
 *
 * The file is text: a first line with the format's version and the identity (GPU and library), then a line
 * for each graph: a checksum of the rest of the line, the graph's key, the engine's name, workspace bytes,
 * milliseconds, candidates. It is replaced as a whole (written beside it, renamed), after entries that other
 * processes have added are taken over, so that ranks which tune at the same time do no harm: an entry can get
 * lost, and is measured again. A file that is damaged, or of another version or identity, is ignored with a
 * warning.
 */
#ifndef DT_LAYERS_CUDA_PLAN_CACHE_H
#define DT_LAYERS_CUDA_PLAN_CACHE_H

#include "core/base/error.h"

#include <stddef.h>
#include <stdint.h>

#define DT_PLAN_ENGINE_BYTES 256

typedef struct dt_plan_choice {
    char engine[DT_PLAN_ENGINE_BYTES]; /* what the candidate is called, without spaces: "22:2=1,13=4" */
    int64_t workspace_bytes;
    double time_ms;   /* 0: not measured */
    int n_candidates; /* that were looked at */
    bool from_cache;
} dt_plan_choice;

typedef struct dt_plan_cache dt_plan_cache;

/* $XDG_CACHE_HOME/dtrain/plans-IDENTITY.txt, or in ~/.cache; "" where neither variable is set: then nothing
 * is kept. */
void dt_plan_cache_path(const char *identity, char *path, size_t path_bytes);

/* Reads the file if there is one. path "": memory only. A file that cannot be used is told in a warning, and
 * not an error. DT_ERR_MEMORY. */
dt_status dt_plan_cache_open(const char *path, const char *identity, dt_plan_cache **cache, dt_error *err);
void dt_plan_cache_close(dt_plan_cache *cache); /* NULL is fine */

/* NULL: not there. Until the next put. */
const dt_plan_choice *dt_plan_cache_find(const dt_plan_cache *cache, const char *key);

/* Add or replace, in memory. A key has no spaces. DT_ERR_MEMORY. */
dt_status dt_plan_cache_put(dt_plan_cache *cache, const char *key, const dt_plan_choice *choice,
                            dt_error *err);

/* Merge with what is on disk now and replace the file; makes its folder. DT_ERR_IO: all is as it was. */
dt_status dt_plan_cache_save(dt_plan_cache *cache, dt_error *err);

/* Put and save; that the file cannot be written is a warning, once. DT_ERR_MEMORY. */
dt_status dt_plan_cache_remember(dt_plan_cache *cache, const char *key, const dt_plan_choice *choice,
                                 dt_error *err);

/* -- choosing -------------------------------------------------------------------------------------------- */

/* n candidates, the most promising first. */
typedef struct dt_plan_candidates {
    void *context;
    int n;
    const char *(*engine)(void *context, int i);
    /* Make candidate i runnable and tell its workspace. An error means that it cannot run here; the others
     * are looked at. */
    dt_status (*build)(void *context, int i, int64_t *workspace_bytes, dt_error *err);
    /* Milliseconds of the fastest of n_runs executions, after one that is not counted. NULL: there is nothing
     * to measure on. DT_ERR_UNSUPPORTED and DT_ERR_MEMORY: it cannot be measured, and the others are looked
     * at; other errors end the choice. */
    dt_status (*measure)(void *context, int i, int n_runs, double *ms, dt_error *err);
} dt_plan_candidates;

typedef enum dt_autotune_kind { DT_AUTOTUNE_FULL, DT_AUTOTUNE_HEURISTIC, DT_AUTOTUNE_OFF } dt_autotune_kind;

typedef struct dt_plan_rules {
    /* FULL: measure all; HEURISTIC: measure the first DT_PLAN_HEURISTIC_TRIES that can run; OFF: take the
     * first one that can */
    dt_autotune_kind autotune;
    int64_t workspace_limit_bytes;
} dt_plan_rules;

#define DT_PLAN_HEURISTIC_TRIES 4

/* The candidate to run the graph `key` with: the cache's, if it is there and can still run; else the fastest
 * measured, which goes into the cache and to disk (a failure to write is a warning, once); else the first one
 * that can run. What is measured under other rules is another entry. cache NULL: none.
 * DT_ERR_UNSUPPORTED: no candidate can run within the workspace limit; measure's errors; DT_ERR_MEMORY. */
dt_status dt_plan_choose(const dt_plan_candidates *candidates, const dt_plan_rules *rules,
                         dt_plan_cache *cache, const char *key, int *chosen, dt_plan_choice *choice,
                         dt_error *err);

#endif
