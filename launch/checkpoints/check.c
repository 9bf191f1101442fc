#include "config.h"

#include "launch/checkpoints/check.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "io/durable.h"
#include "io/store/checkpoint_folder.h"
#include "io/store/checkpoint_hold.h"
#include "launch/checkpoints/verify.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

const char *dt_checkpoint_state_name(dt_checkpoint_state state)
{
    static const char *const names[] = {"complete", "whole", "partial", "newer", "damaged", "removed"};
    return names[state];
}

static void mark_damaged(dt_checkpoint_check_result *r, const char *problem)
{
    if (r->state == DT_CHECKPOINT_DAMAGED)
        return; /* keep the first problem */
    r->state = DT_CHECKPOINT_DAMAGED;
    snprintf(r->problem, sizeof r->problem, "%s", problem);
}

/* Whether the run had a --checkpoint-mirror, and this folder is not it. */
static bool has_mirror_elsewhere(const dt_checkpoints_folder *f, const dt_manifest *m)
{
    char here[PATH_MAX], there[PATH_MAX];
    dt_options *trained = dt_calloc(1, sizeof *trained);
    bool is = !f->is_mirror && trained &&
              dt_options_read_trained(m->config_text, DT_COMMAND_TRAIN, trained, NULL) == DT_OK &&
              trained->checkpoint_mirror[0];
    if (is && realpath(f->path, here) && realpath(trained->checkpoint_mirror, there))
        is = strcmp(here, there) != 0;
    dt_free(trained);
    return is;
}

/* Checks that each shard exists and has its size; reads none. */
static void check_shards(const dt_checkpoints_folder *f, const dt_manifest *m, dt_checkpoint_check_result *r)
{
    char path[DT_DURABLE_PATH_BYTES], text[512];
    const char *missing = NULL;
    struct stat st;
    for (int64_t i = 0; i < m->n_shards; i++) {
        const dt_shard_entry *s = &m->shards[i];
        if (dt_checkpoint_file_path(f->path, m->step, "", s->file, path, NULL) != DT_OK ||
            stat(path, &st) != 0) {
            missing = missing ? missing : s->file;
            continue;
        }
        r->n_here++;
        r->bytes += st.st_size;
        if (!S_ISREG(st.st_mode))
            snprintf(text, sizeof text, "%s is not a file", s->file);
        else if (st.st_size != s->bytes)
            snprintf(text, sizeof text, "%s has %lld bytes, the manifest says %lld", s->file,
                     (long long)st.st_size, (long long)s->bytes);
        else if (s->n_elems > s->bytes / (int64_t)sizeof(float))
            snprintf(text, sizeof text, "%s is too short for its number of elements in the manifest",
                     s->file);
        else
            continue;
        mark_damaged(r, text);
    }
    if (!missing || r->state == DT_CHECKPOINT_DAMAGED)
        return;
    snprintf(text, sizeof text, "%s is missing", missing);
    if (r->n_here > 0 && has_mirror_elsewhere(f, m))
        r->state = DT_CHECKPOINT_PARTIAL;
    else
        mark_damaged(r, text);
}

static dt_status verify_shards(dt_store *store, const dt_manifest *m, dt_checkpoint_check_result *r,
                               dt_error *err)
{
    const double start = dt_clock_s();
    dt_error why = {0};
    for (int64_t i = 0; i < m->n_shards; i++) {
        if (!store->ops->has_shard(store, m->step, &m->shards[i]))
            continue;
        const dt_status status = dt_checkpoint_verify_shard(store, m, &m->shards[i], NULL, &why);
        if (status == DT_ERR_MEMORY) {
            *err = why;
            return status;
        }
        if (status == DT_OK)
            r->bytes_read += m->shards[i].bytes;
        else
            mark_damaged(r, why.message);
    }
    r->seconds = dt_clock_s() - start;
    if (r->state == DT_CHECKPOINT_COMPLETE)
        r->state = DT_CHECKPOINT_WHOLE;
    return DT_OK;
}

/* The manifest is written last, so that its age is the checkpoint's. */
static double age_of_manifest(const dt_checkpoints_folder *f, int64_t step)
{
    char path[DT_DURABLE_PATH_BYTES];
    struct stat st;
    struct timespec now;
    if (dt_checkpoint_file_path(f->path, step, "", DT_CHECKPOINT_MANIFEST, path, NULL) != DT_OK ||
        stat(path, &st) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0)
        return 0;
    double age_s = difftime(now.tv_sec, st.st_mtim.tv_sec);
    return age_s > 0 ? age_s : 0;
}

static dt_status check(const dt_checkpoints_folder *f, int64_t step, bool verify,
                       dt_checkpoint_check_result *result, dt_error *err)
{
    dt_checkpoint_check_result r = {.step = step, .age_s = age_of_manifest(f, step)};
    dt_manifest m = {0};
    dt_error why = {0};
    dt_status status = f->store->ops->read_manifest(f->store, step, &m, &why);
    if (status == DT_ERR_MEMORY) {
        *err = why;
        return status;
    }
    if (status != DT_OK) {
        mark_damaged(&r, why.message);
        if (status == DT_ERR_UNSUPPORTED)
            r.state = DT_CHECKPOINT_NEWER;
        *result = r;
        return DT_OK;
    }
    r.has_manifest = true;
    r.epoch = m.epoch + (m.position > 0);
    r.position = m.position;
    r.world_size = m.world_size;
    r.n_classes = m.n_classes;
    r.n_shards = m.n_shards;
    r.computed_by = m.computed_by;
    r.class_names = m.class_names;
    m.class_names = (dt_class_names){0}; /* the result owns it now, and the engines */
    r.engines = m.engines;
    m.engines = (dt_engines){0};
    r.best_top1 = m.best_top1;
    r.best_step = m.best_step;
    check_shards(f, &m, &r);
    status = verify && r.state != DT_CHECKPOINT_DAMAGED ? verify_shards(f->store, &m, &r, err) : DT_OK;
    dt_manifest_clear(&m);
    if (status == DT_OK)
        *result = r;
    else
        dt_checkpoint_check_result_clear(&r);
    return status;
}

dt_status dt_checkpoint_check(const dt_checkpoints *g, int folder, int64_t step, bool verify,
                              dt_checkpoint_check_result *result, dt_error *err)
{
    dt_checkpoint_hold hold;
    dt_checkpoint_hold_begin(&hold, g->folders[folder].path, step);
    const dt_status status = check(&g->folders[folder], step, verify, result, err);
    if (status == DT_OK && result->state == DT_CHECKPOINT_DAMAGED && dt_checkpoint_hold_was_removed(&hold)) {
        dt_checkpoint_check_result_clear(result);
        *result = (dt_checkpoint_check_result){.state = DT_CHECKPOINT_REMOVED, .step = step};
    }
    dt_checkpoint_hold_end(&hold);
    return status;
}

void dt_checkpoint_check_result_clear(dt_checkpoint_check_result *r)
{
    dt_class_names_clear(&r->class_names);
    dt_engines_clear(&r->engines);
}
