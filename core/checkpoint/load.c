/* load.c: tries checkpoints, the newest first, until one is whole and loaded. */
#include "core/checkpoint/load_internal.h"

#include "core/base/log.h"
#include "core/collective/agreement.h"

#include <stdio.h>
#include <string.h>

static bool has_averages(int64_t n_tensors, const dt_state_tensor *tensors)
{
    for (int64_t i = 0; i < n_tensors; i++)
        if (strncmp(tensors[i].name, "ema/", strlen("ema/")) == 0)
            return true;
    return false;
}

/* Local. Are the manifest's tensors those of this run? */
static dt_status check_layout(const dt_manifest *m, const dt_state_layout *layout, dt_error *err)
{
    bool then = has_averages(m->n_tensors, m->tensors),
         now = has_averages(layout->n_tensors, layout->tensors);
    if (then && !now)
        return dt_fail(err, DT_ERR_USAGE,
                       "the checkpoint of step %lld was made with --ema, and this run has no running "
                       "averages: give --ema, or use another --out",
                       (long long)m->step);
    if (now && !then)
        return dt_fail(err, DT_ERR_USAGE,
                       "the checkpoint of step %lld was made without --ema, and this run wants running "
                       "averages: leave --ema out, or use another --out",
                       (long long)m->step);
    if (m->n_tensors != layout->n_tensors)
        return dt_fail(err, DT_ERR_USAGE,
                       "the checkpoint of step %lld has %lld tensors, this model has %lld: give the options "
                       "it was made with, or another --out",
                       (long long)m->step, (long long)m->n_tensors, (long long)layout->n_tensors);
    for (int64_t i = 0; i < m->n_tensors; i++) {
        const dt_state_tensor *a = &m->tensors[i], *b = &layout->tensors[i];
        if (strcmp(a->name, b->name) != 0)
            return dt_fail(
                err, DT_ERR_USAGE,
                "the checkpoint of step %lld has the tensor %s where this model has %s: another model",
                (long long)m->step, a->name, b->name);
        if (a->n_dims != b->n_dims || memcmp(a->dims, b->dims, (size_t)a->n_dims * sizeof *a->dims) != 0)
            return dt_fail(err, DT_ERR_USAGE,
                           "the checkpoint of step %lld has %s with %lld elements and another shape than "
                           "this model's with %lld: another model",
                           (long long)m->step, a->name, (long long)a->n_elems, (long long)b->n_elems);
    }
    return DT_OK;
}

/* Accept, verify and read the checkpoint of l->manifest. *whole false: some shard is whole nowhere; then
 * it does not matter whether it is accepted. */
static dt_status load_candidate(dt_loading *l, dt_checkpoint_accept *accept, void *accept_context,
                                bool *whole, dt_error *why, dt_error *err)
{
    dt_error refusal = {0};
    /* accept comes first: it names the model, where check_layout would name a tensor */
    dt_status accepted = accept ? accept(accept_context, &l->manifest, &refusal) : DT_OK;
    if (accepted == DT_OK)
        accepted = check_layout(&l->manifest, l->layout, &refusal);
    l->sets = accepted == DT_OK && l->comm->size == 1;
    dt_status status = dt_locate_shards(l, whole, why, err);
    if (status == DT_OK && *whole) {
        status = dt_agree(l->comm, accepted, &refusal);
        if (status != DT_OK)
            *err = refusal;
    }
    if (status == DT_OK && *whole)
        status = dt_read_shards(l, whole, why, err);
    dt_locate_end(l);
    return status;
}

/* Try every checkpoint of this step that some folder has, until one is whole. */
static dt_status load_step(dt_loading *l, int64_t step, dt_checkpoint_accept *accept, void *accept_context,
                           bool *whole, dt_error *err)
{
    char passing[64], at_step[32];
    snprintf(passing, sizeof passing, "passing over step %lld: ", (long long)step);
    snprintf(at_step, sizeof at_step, "step %lld: ", (long long)step);
    DT_TRY(dt_find_manifests(l, step, err));
    for (;;) {
        dt_error why = {0};
        bool there;
        DT_TRY(dt_find_candidate(l, &there, err));
        if (!there)
            break;
        DT_TRY(load_candidate(l, accept, accept_context, whole, &why, err));
        if (*whole)
            return dt_load_problems_log(l, at_step, " (there is another copy)", err);
        if (l->comm->rank == 0)
            dt_log_warn("checkpoint: %s%s", passing, why.message);
    }
    return dt_load_problems_log(l, passing, "", err); /* of manifests */
}

static dt_status none_is_whole(const dt_loading *l, int64_t n, dt_error *err)
{
    const dt_checkpoint_location *p = l->location;
    const char *folder = p->store->ops->location(p->store),
               *mirror = p->mirror ? p->mirror->ops->location(p->mirror) : "";
    char none[80] = "the only checkpoint there is not whole";
    if (n > 1)
        snprintf(none, sizeof none, "none of the %lld checkpoints there is whole", (long long)n);
    return dt_fail_shared(err, DT_ERR_FORMAT,
                          "%s%s%s: %s; bring a good copy back, or start "
                          "over with --resume never",
                          folder, p->mirror ? " and " : "", mirror, none);
}

dt_status dt_checkpoint_load(dt_comm *comm, const dt_checkpoint_location *location,
                             const dt_state_layout *layout, const dt_state_io *io,
                             dt_checkpoint_accept *accept, void *accept_context, dt_manifest *manifest,
                             bool *found, dt_error *err)
{
    dt_error own;
    err = err ? err : &own;
    dt_loading l = {.comm = comm, .location = location, .layout = layout, .io = io};
    int64_t step = INT64_MAX, n = 0;
    bool whole = false;
    dt_status status = dt_find_begin(&l, err);
    while (status == DT_OK && !whole) {
        status = dt_find_step(&l, &step, err);
        if (status != DT_OK || step < 0)
            break;
        n++;
        status = load_step(&l, step, accept, accept_context, &whole, err);
        dt_find_end(&l);
        step--;
    }
    if (status == DT_OK && whole)
        *manifest = l.manifest;
    else
        dt_manifest_clear(&l.manifest);
    if (status == DT_OK && !whole && n > 0)
        return none_is_whole(&l, n, err);
    if (status == DT_OK)
        *found = whole;
    return status;
}
