#include "config.h"

#include "launch/checkpoints/reader.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/checkpoint/load.h"
#include "io/durable.h"
#include "io/store/checkpoint_folder.h"
#include "io/store/checkpoint_hold.h"
#include "io/store/hdf5_store.h"
#include "launch/checkpoints/verify.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define REMOVED_MAX 10 /* how often to begin again because a run removed what was read */

/* -- folders --------------------------------------------------------------------------------------------- */

static void add_folder(dt_checkpoints *g, const char *path, bool is_mirror)
{
    dt_checkpoints_folder *f = &g->folders[g->n_folders++];
    snprintf(f->path, sizeof f->path, "%s", path);
    f->is_mirror = is_mirror;
}

/* Adds the folders that config.conf of the run in `dir` names. Ignores errors in it. */
static dt_status add_run(const char *dir, const char *config, dt_checkpoints *g, dt_error *err)
{
    char usual[DT_PATH_BYTES + 32];
    dt_options *options = dt_calloc(1, sizeof *options);
    if (!options)
        return dt_fail_memory(err, sizeof *options, "the options of a run");
    snprintf(g->run, sizeof g->run, "%s", dir);
    (void)dt_options_read_file(config, DT_COMMAND_TRAIN, options, NULL);
    snprintf(usual, sizeof usual, "%s/checkpoints", dir);
    add_folder(g, options->checkpoint_dir[0] ? options->checkpoint_dir : usual, false);
    if (options->checkpoint_mirror[0])
        add_folder(g, options->checkpoint_mirror, true);
    dt_free(options);
    return DT_OK;
}

/* If `path` ends with step-00001234: adds the folder that contains it. */
static bool add_one_checkpoint(char *path, dt_checkpoints *g)
{
    char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const int64_t step = dt_checkpoint_step_of(base, "");
    if (step < 0)
        return false;
    g->only_step = step;
    *base = '\0';
    add_folder(g, slash ? path : ".", false);
    return true;
}

static dt_status find_folders(const char *dir, dt_checkpoints *g, dt_error *err)
{
    char path[DT_PATH_BYTES], inner[DT_PATH_BYTES + 32];
    struct stat status;
    if (stat(dir, &status) != 0)
        return dt_fail(err, DT_ERR_USAGE, "%s: %s", dir, strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return dt_fail(
            err, DT_ERR_USAGE,
            "%s is not a folder; a run's folder, its checkpoints/ or one checkpoint in it was expected", dir);
    if ((size_t)snprintf(path, sizeof path, "%s", dir) >= sizeof path)
        return dt_fail(err, DT_ERR_USAGE, "%.60s...: the path is too long", dir);
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
        path[n - 1] = '\0';
    snprintf(inner, sizeof inner, "%s/config.conf", path);
    if (stat(inner, &status) == 0 && S_ISREG(status.st_mode))
        return add_run(path, inner, g, err);
    snprintf(inner, sizeof inner, "%s/checkpoints", path);
    if (dt_durable_is_folder(inner))
        add_folder(g, inner, false);
    else if (!add_one_checkpoint(path, g))
        add_folder(g, path, false);
    return DT_OK;
}

dt_status dt_checkpoints_open(const char *dir, dt_checkpoints *g, dt_error *err)
{
    *g = (dt_checkpoints){.only_step = -1};
    dt_status status = find_folders(dir, g, err);
    for (int i = 0; i < g->n_folders && status == DT_OK; i++)
        status = dt_store_hdf5_create(g->folders[i].path, &g->folders[i].store, err);
    if (status != DT_OK)
        dt_checkpoints_close(g);
    return status;
}

void dt_checkpoints_close(dt_checkpoints *g)
{
    for (int i = 0; i < g->n_folders; i++)
        if (g->folders[i].store)
            g->folders[i].store->ops->destroy(g->folders[i].store);
    *g = (dt_checkpoints){0};
}

dt_status dt_checkpoints_list(const dt_checkpoints *g, int folder, int64_t steps[DT_CHECKPOINTS_MAX],
                              int64_t *n, dt_error *err)
{
    dt_store *store = g->folders[folder].store;
    int64_t found = 0, kept = 0;
    DT_TRY(store->ops->list(store, steps, DT_CHECKPOINTS_MAX, &found, err));
    for (int64_t i = 0; i < found && i < DT_CHECKPOINTS_MAX; i++)
        if (g->only_step < 0 || steps[i] == g->only_step)
            steps[kept++] = steps[i];
    *n = kept;
    return DT_OK;
}

/* -- one checkpoint -------------------------------------------------------------------------------------- */

struct dt_checkpoint_reader {
    const dt_checkpoints *checkpoints;
    dt_manifest manifest;
    dt_checkpoint_hold holds[2]; /* of this checkpoint in each folder */
    int n_holds;
    int *folders;   /* [n_shards]: the folder where each shard is whole */
    float *values;  /* of shard `loaded` */
    int64_t loaded; /* -1: none */
};

void dt_checkpoint_reader_close(dt_checkpoint_reader *r)
{
    if (!r)
        return;
    for (int i = 0; i < r->n_holds; i++)
        dt_checkpoint_hold_end(&r->holds[i]);
    dt_manifest_clear(&r->manifest);
    dt_free(r->folders);
    dt_free(r->values);
    dt_free(r);
}

const dt_manifest *dt_checkpoint_reader_manifest(const dt_checkpoint_reader *r)
{
    return &r->manifest;
}

/* Verifies a shard in one folder. The elements of the first one are kept: most checkpoints of one process
 * have no other, and are so read once. */
static dt_status verify(dt_checkpoint_reader *r, int folder, int64_t shard, dt_error *err)
{
    dt_store *store = r->checkpoints->folders[folder].store;
    const dt_shard_entry *entry = &r->manifest.shards[shard];
    if (shard == 0 && !r->values)
        r->values = dt_alloc_large((size_t)entry->n_elems * sizeof *r->values);
    if (shard > 0 || !r->values)
        return dt_checkpoint_verify_shard(store, &r->manifest, entry, NULL, err);
    DT_TRY(dt_checkpoint_verify_shard(store, &r->manifest, entry, r->values, err));
    r->loaded = shard;
    return DT_OK;
}

/* Finds the first folder in which a shard is whole. If there is none, the error is about a file that exists
 * rather than about a missing one. */
static dt_status locate_shard(dt_checkpoint_reader *r, int64_t shard, dt_error *err)
{
    const dt_shard_entry *entry = &r->manifest.shards[shard];
    dt_status status = DT_ERR_IO;
    dt_error why = {0};
    for (int i = 0; i < r->checkpoints->n_folders; i++) {
        dt_store *store = r->checkpoints->folders[i].store;
        dt_status s = verify(r, i, shard, &why);
        if (s == DT_OK) {
            r->folders[shard] = i;
            return DT_OK;
        }
        if (i == 0 || store->ops->has_shard(store, r->manifest.step, entry)) {
            status = s;
            if (err)
                *err = why;
        }
    }
    return status;
}

/* *removed: it failed, and the folder is not there any more. */
static dt_status open_from(const dt_checkpoints *g, int folder, int64_t step, dt_checkpoint_reader **reader,
                           bool *removed, dt_error *err)
{
    dt_store *store = g->folders[folder].store;
    dt_checkpoint_reader *r = dt_calloc(1, sizeof *r);
    *removed = false;
    if (!r)
        return dt_fail_memory(err, sizeof *r, "reading a checkpoint");
    r->checkpoints = g;
    r->loaded = -1;
    for (; r->n_holds < g->n_folders; r->n_holds++)
        dt_checkpoint_hold_begin(&r->holds[r->n_holds], g->folders[r->n_holds].path, step);
    dt_status status = store->ops->read_manifest(store, step, &r->manifest, err);
    if (status == DT_OK && !(r->folders = dt_calloc((size_t)r->manifest.n_shards + 1, sizeof *r->folders)))
        status =
            dt_fail_memory(err, (size_t)r->manifest.n_shards * sizeof *r->folders, "reading a checkpoint");
    for (int64_t i = 0; status == DT_OK && i < r->manifest.n_shards; i++)
        status = locate_shard(r, i, err);
    if (status == DT_OK) {
        *reader = r;
        return DT_OK;
    }
    *removed = dt_checkpoint_hold_was_removed(&r->holds[folder]);
    dt_checkpoint_reader_close(r);
    return status;
}

/* Opens the checkpoint from the first folder whose manifest is valid and whose shards are all found.
 * *removed: there is none, because it was removed meanwhile. */
static dt_status open_step(const dt_checkpoints *g, int64_t step, dt_checkpoint_reader **reader,
                           bool *removed, dt_error *err)
{
    int64_t *steps = dt_alloc(DT_CHECKPOINTS_MAX * sizeof *steps), n = 0;
    if (!steps)
        return dt_fail_memory(err, DT_CHECKPOINTS_MAX * sizeof *steps, "a list of checkpoints");
    dt_status status = DT_ERR_FORMAT;
    *removed = true;
    for (int i = 0; i < g->n_folders && dt_checkpoint_is_skippable(status); i++) {
        bool is_here = false;
        dt_status listed = dt_checkpoints_list(g, i, steps, &n, err);
        for (int64_t k = 0; listed == DT_OK && k < n; k++)
            is_here = is_here || steps[k] == step;
        *removed = *removed && listed == DT_OK;
        if (listed != DT_OK)
            status = listed;
        else if (is_here)
            status = open_from(g, i, step, reader, removed, err);
    }
    dt_free(steps);
    return status;
}

/* *step: the newest step in any of the folders that is not later than `at_most`; -1: none. */
static dt_status next_step(const dt_checkpoints *g, int64_t at_most, int64_t *step, dt_error *err)
{
    int64_t *steps = dt_alloc(DT_CHECKPOINTS_MAX * sizeof *steps), n = 0;
    if (!steps)
        return dt_fail_memory(err, DT_CHECKPOINTS_MAX * sizeof *steps, "a list of checkpoints");
    dt_status status = DT_OK;
    *step = -1;
    for (int i = 0; i < g->n_folders && status == DT_OK; i++) {
        status = dt_checkpoints_list(g, i, steps, &n, err);
        for (int64_t k = 0; status == DT_OK && k < n; k++)
            if (steps[k] <= at_most && steps[k] > *step)
                *step = steps[k];
    }
    dt_free(steps);
    return status;
}

static dt_status none_found(const char *where, int64_t wanted, int64_t n_tried, dt_error *err)
{
    if (wanted >= 0)
        return dt_fail(err, DT_ERR_USAGE,
                       "there is no checkpoint of step %lld in %s; 'dtrain inspect' lists them",
                       (long long)wanted, where);
    if (n_tried > 0)
        return n_tried == 1 ? dt_fail(err, DT_ERR_FORMAT, "%s: the only checkpoint there is not whole", where)
                            : dt_fail(err, DT_ERR_FORMAT, "%s: none of the %lld checkpoints there is whole",
                                      where, (long long)n_tried);
    return dt_fail(err, DT_ERR_USAGE, "there is no checkpoint in %s", where);
}

dt_status dt_checkpoints_newest_whole(const dt_checkpoints *g, int64_t wanted, dt_checkpoint_reader **reader,
                                      dt_error *err)
{
    dt_error own;
    err = err ? err : &own;
    const char *where = g->folders[0].path;
    int64_t step = 0, n_tried = 0, n_removed = 0;
    for (int64_t at_most = wanted >= 0 ? wanted : INT64_MAX;; at_most = step - 1) {
        DT_TRY(next_step(g, at_most, &step, err));
        if (step < 0 || step < wanted)
            return none_found(where, wanted, n_tried, err);
        bool removed = false;
        dt_status status = open_step(g, step, reader, &removed, err);
        if (status == DT_OK || !dt_checkpoint_is_skippable(status))
            return status;
        if (removed && wanted >= 0)
            return dt_fail(err, DT_ERR_USAGE,
                           "step %lld in %s was removed while it was read; its run keeps only the newest",
                           (long long)step, where);
        if (wanted >= 0)
            return status;
        if (removed && n_removed++ < REMOVED_MAX) {
            dt_log_info("checkpoint: step %lld was removed while it was read; looking for a newer one",
                        (long long)step);
            step = INT64_MAX; /* from the newest again */
            continue;
        }
        dt_log_warn("checkpoint: passing over step %lld: %s", (long long)step, err->message);
        n_tried++;
    }
}

static dt_status load_shard(dt_checkpoint_reader *r, int64_t shard, dt_error *err)
{
    const dt_shard_entry *entry = &r->manifest.shards[shard];
    dt_store *store = r->checkpoints->folders[r->folders[shard]].store;
    if (r->loaded == shard)
        return DT_OK;
    dt_free(r->values);
    r->loaded = -1;
    r->values = dt_alloc_large((size_t)entry->n_elems * sizeof *r->values);
    if (!r->values)
        return dt_fail_memory(err, (size_t)entry->n_elems * sizeof *r->values, "a shard of the checkpoint");
    DT_TRY(store->ops->read_shard(store, &r->manifest, entry, r->values, err));
    r->loaded = shard;
    return DT_OK;
}

dt_status dt_checkpoint_reader_get(void *reader, int64_t tensor, float *values, dt_error *err)
{
    dt_checkpoint_reader *r = reader;
    const int64_t begin = r->manifest.tensors[tensor].first,
                  end = begin + r->manifest.tensors[tensor].n_elems;
    for (int64_t i = 0; i < r->manifest.n_shards; i++) {
        const dt_shard_entry *entry = &r->manifest.shards[i];
        const int64_t from = entry->first > begin ? entry->first : begin,
                      shard_end = entry->first + entry->n_elems;
        const int64_t to = shard_end < end ? shard_end : end;
        if (from >= to)
            continue;
        DT_TRY(load_shard(r, i, err));
        memcpy(values + (from - begin), r->values + (from - entry->first),
               (size_t)(to - from) * sizeof *values);
    }
    return DT_OK;
}
