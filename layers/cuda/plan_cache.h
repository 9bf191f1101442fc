/* plan_cache.h: which engine configuration runs a graph, measured once and remembered on disk. Depends
 * neither on cuDNN nor on a GPU.
 *
 *   dt_plan_cache_path("NVIDIA H200, cuDNN 9.19.0", path, sizeof path);
 *   DT_TRY(dt_plan_cache_open(path, "NVIDIA H200, cuDNN 9.19.0", &cache, err));
 *   DT_TRY(dt_plan_choose(&candidates, &rules, cache, key, &chosen, &choice, err));
 *
 * The file is text. The first line has the format's version and the identity (GPU and library). Then there is
 * a line for each graph: a checksum of the rest of the line, the graph's key, the engine's name, workspace
 * bytes, milliseconds, candidates. A save first adds the entries that other processes have written, then
 * writes a temporary file and renames it over the old one. Ranks that tune at the same time can therefore at
 * worst lose an entry, which is then measured again. A file that is damaged, or of another version or
 * identity, is ignored with a warning.
 */
#ifndef DT_LAYERS_CUDA_PLAN_CACHE_H
#define DT_LAYERS_CUDA_PLAN_CACHE_H

#include "core/base/error.h"
#include "core/device.h"
#include "layers/cuda/graph.h"

#include <stddef.h>
#include <stdint.h>

#define DT_PLAN_ENGINE_BYTES DT_GRAPH_ENGINE_BYTES

typedef struct dt_plan_choice {
    char engine[DT_PLAN_ENGINE_BYTES]; /* the candidate's name, without spaces: "22:2=1,13=4" */
    int64_t workspace_bytes;
    double time_ms;   /* 0: not measured */
    int n_candidates; /* that were considered */
    int n_rejected;   /* of these: do not execute, differ between two executions, or compute something else */
    bool from_cache;
} dt_plan_choice;

typedef struct dt_plan_cache dt_plan_cache;

/* Write what choices are valid for, the cache's identity: "NVIDIA H200, CUDA driver 13.0, cuDNN 9.19.0". It
 * has the GPU's model and not its number. library: "cuDNN 9.19.0". A text that is too long is cut. */
void dt_plan_cache_identity(const dt_device_info *gpu, const char *library, char *identity,
                            size_t identity_bytes);

/* Write the cache's path: $XDG_CACHE_HOME/dtrain/plans-IDENTITY.txt, or the same in ~/.cache. "" if neither
 * XDG_CACHE_HOME nor HOME is set: then nothing is kept on disk. */
void dt_plan_cache_path(const char *identity, char *path, size_t path_bytes);

/* Create a cache and read the file if it exists. path "": memory only. A file that cannot be used is logged
 * as a warning and is no error. DT_ERR_MEMORY. */
dt_status dt_plan_cache_open(const char *path, const char *identity, dt_plan_cache **cache, dt_error *err);
void dt_plan_cache_close(dt_plan_cache *cache); /* may be NULL */

/* The choice for a key; NULL: none. Valid until the next put. */
const dt_plan_choice *dt_plan_cache_find(const dt_plan_cache *cache, const char *key);

/* Add or replace, in memory. A key has no spaces. DT_ERR_MEMORY. */
dt_status dt_plan_cache_put(dt_plan_cache *cache, const char *key, const dt_plan_choice *choice,
                            dt_error *err);

/* Merge the cache with the file on disk and replace the file; create its folder. DT_ERR_IO: the file is
 * unchanged. */
dt_status dt_plan_cache_save(dt_plan_cache *cache, dt_error *err);

/* Put and save. If the file cannot be written, log one warning. DT_ERR_MEMORY. */
dt_status dt_plan_cache_remember(dt_plan_cache *cache, const char *key, const dt_plan_choice *choice,
                                 dt_error *err);

/* -- choosing -------------------------------------------------------------------------------------------- */

/* n candidates, the most promising first. */
typedef struct dt_plan_candidates {
    void *context;
    int n;
    const char *(*engine)(void *context, int i);
    /* Make candidate i runnable and return its workspace size. An error means that it cannot run here; the
     * other candidates are tried. */
    dt_status (*build)(void *context, int i, int64_t *workspace_bytes, dt_error *err);
    /* *ms = milliseconds per execution of n_runs in a row, after one that is not counted. NULL: there is
     * nothing to execute on. DT_ERR_UNSUPPORTED: the candidate does not execute, or gives other bits each
     * time; it is rejected. DT_ERR_MEMORY: memory is too short to measure it. Other errors end the choice. */
    dt_status (*measure)(void *context, int i, int n_runs, double *ms, dt_error *err);
    /* Execute candidate i and compare what it writes with the graph's definition. NULL: every candidate
     * passes. Errors likewise. */
    dt_status (*check)(void *context, int i, dt_error *err);
} dt_plan_candidates;

typedef enum dt_autotune_kind { DT_AUTOTUNE_FULL, DT_AUTOTUNE_HEURISTIC, DT_AUTOTUNE_OFF } dt_autotune_kind;

typedef struct dt_plan_rules {
    /* FULL: measure all candidates; HEURISTIC: measure the first DT_PLAN_HEURISTIC_TRIES that can be built;
     * OFF: use the first one that passes the check */
    dt_autotune_kind autotune;
    int64_t workspace_limit_bytes;
    /* The engine that the run has chosen for this graph before; NULL: none. Used if it is a candidate that
     * can run, whatever the cache says. */
    const dt_graph_engine *chosen;
} dt_plan_rules;

#define DT_PLAN_HEURISTIC_TRIES 4

/* Choose the candidate that runs the graph `key`: rules->chosen, if it passes the check, which is not written
 * to the cache; else the cache's, if it exists and passes; else the fastest measured that passes, which goes
 * into the cache and to disk (a failure to write is logged once as a warning); without measurements the first
 * one that passes. A candidate for whose check or measurement memory is short is used if no other one passed.
 * A candidate that fails the check is logged as a warning. Measurements under other rules are separate
 * entries. cache may be NULL. DT_ERR_UNSUPPORTED: no candidate can run within the workspace limit, or all
 * were rejected; measure's and check's errors; DT_ERR_MEMORY. */
dt_status dt_plan_choose(const dt_plan_candidates *candidates, const dt_plan_rules *rules,
                         dt_plan_cache *cache, const char *key, int *chosen, dt_plan_choice *choice,
                         dt_error *err);

#endif
