#include "tests/fakes/fake_shelf.h"

#include "core/base/alloc.h"
#include "tests/fakes/fake_state.h"
#include "tests/fakes/fill_sink.h"
#include "tests/testing.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CHECKPOINTS 16

typedef struct fake_shelf {
    dt_store head;
    char location[64];
    fake_checkpoint checkpoints[MAX_CHECKPOINTS]; /* newest first */
    int64_t n;
    fake_shelf_hook *hook;
    void *hook_context;
    atomic_llong n_reads;
} fake_shelf;

static const fake_checkpoint *find(dt_store *store, int64_t step)
{
    fake_shelf *s = (fake_shelf *)store;
    for (int64_t i = 0; i < s->n; i++)
        if (s->checkpoints[i].step == step)
            return &s->checkpoints[i];
    return NULL;
}

static void destroy(dt_store *store)
{
    free(store);
}

static const char *location(dt_store *store)
{
    return ((fake_shelf *)store)->location;
}

static dt_status list(dt_store *store, int64_t *steps, int64_t max, int64_t *n, dt_error *err)
{
    (void)err;
    fake_shelf *s = (fake_shelf *)store;
    for (int64_t i = 0; i < s->n && i < max; i++)
        steps[i] = s->checkpoints[i].step;
    *n = s->n;
    return DT_OK;
}

static dt_shard_entry entry_of(const fake_checkpoint *g, int64_t shard, int64_t n_elems)
{
    dt_shard_entry e = {.first = n_elems * shard / g->n_shards};
    e.n_elems = n_elems * (shard + 1) / g->n_shards - e.first;
    e.bytes = e.n_elems * (int64_t)sizeof(float);
    snprintf(e.file, sizeof e.file, "shard-%04d-of-%04d.h5", (int)shard, (int)g->n_shards);
    snprintf(e.xxh3_128, sizeof e.xxh3_128, "%016llx%016llx", (unsigned long long)g->seed,
             (unsigned long long)shard);
    return e;
}

static dt_status read_manifest(dt_store *store, int64_t step, dt_manifest *manifest, dt_error *err)
{
    const fake_checkpoint *g = find(store, step);
    if (g->manifest != DT_OK)
        return dt_fail(err, g->manifest, "%s/step-%lld/manifest.json: the fake does not give it",
                       location(store), (long long)step);
    fake_state state;
    fake_state_init(&state, g->seed);
    dt_manifest m = fake_manifest(step);
    snprintf(m.identity, sizeof m.identity, "%016llx%016llx", (unsigned long long)g->seed,
             (unsigned long long)step);
    m.world_size = m.n_shards = g->n_shards;
    m.n_tensors = state.layout.n_tensors;
    m.tensors = dt_alloc(sizeof state.tensors);
    m.shards = dt_calloc((size_t)g->n_shards, sizeof *m.shards);
    const bool has_lists = m.class_names.n == m.n_classes && m.engines.n == FAKE_STATE_ENGINES;
    dt_status status = m.tensors && m.shards && m.config_text && has_lists
                           ? DT_OK
                           : dt_fail_memory(err, sizeof state.tensors, "a fake manifest");
    if (status == DT_OK) {
        memcpy(m.tensors, state.tensors, sizeof state.tensors);
        for (int64_t i = 0; i < g->n_shards; i++)
            m.shards[i] = entry_of(g, i, state.layout.n_elems);
        *manifest = m;
    } else {
        dt_manifest_clear(&m);
    }
    fake_state_clear(&state);
    return status;
}

static int64_t index_of(const dt_shard_entry *entry)
{
    return strtoll(entry->file + strlen("shard-"), NULL, 10);
}

static bool has_shard(dt_store *store, int64_t step, const dt_shard_entry *entry)
{
    const fake_checkpoint *g = find(store, step);
    return g && g->has >> index_of(entry) & 1;
}

static void call_hook(dt_store *store, const char *operation, int64_t shard)
{
    fake_shelf *s = (fake_shelf *)store;
    if (s->hook)
        s->hook(s->hook_context, operation, shard);
}

static dt_status verify(dt_store *store, const dt_manifest *manifest, const dt_shard_entry *entry,
                        dt_error *err)
{
    const int64_t step = manifest->step;
    const fake_checkpoint *g = find(store, step);
    const int64_t shard = index_of(entry);
    if (!has_shard(store, step, entry))
        return dt_fail(err, DT_ERR_IO, "%s/step-%lld/%s: is not there", location(store), (long long)step,
                       entry->file);
    const dt_shard_entry own = entry_of(g, shard, 1);
    if (g->damaged >> shard & 1 || strcmp(own.xxh3_128, entry->xxh3_128) != 0)
        return dt_fail(err, DT_ERR_FORMAT, "%s/step-%lld/%s: is damaged", location(store), (long long)step,
                       entry->file);
    return DT_OK;
}

static dt_status read_shard(dt_store *store, const dt_manifest *manifest, const dt_shard_entry *entry,
                            float *values, dt_error *err)
{
    const fake_checkpoint *g = find(store, manifest->step);
    const int64_t shard = index_of(entry);
    call_hook(store, "read", shard);
    DT_TRY(verify(store, manifest, entry, err));
    atomic_fetch_add(&((fake_shelf *)store)->n_reads, 1);
    if (g->unreadable >> shard & 1)
        return dt_fail(err, DT_ERR_IO, "%s/step-%lld/%s: cannot be read", location(store),
                       (long long)manifest->step, entry->file);
    fake_state state;
    fake_state_init(&state, g->seed);
    memcpy(values, state.values + entry->first, (size_t)entry->n_elems * sizeof *values);
    if (g->not_finite && entry->first == 0)
        values[0] = NAN;
    fake_state_clear(&state);
    return DT_OK;
}

static dt_status verify_shard(dt_store *store, const dt_manifest *manifest, const dt_shard_entry *entry,
                              const dt_shard_sink *sink, dt_error *err)
{
    if (!sink) {
        call_hook(store, "verify", index_of(entry));
        return verify(store, manifest, entry, err);
    }
    float *values = calloc((size_t)entry->n_elems + 1, sizeof *values);
    DT_REQUIRE(values != NULL);
    const dt_status status = read_shard(store, manifest, entry, values, err);
    for (int64_t i = 0; status != DT_OK && i < entry->n_elems; i++)
        values[i] = NAN; /* of a damaged file, too, elements arrive before the hash is known */
    fill_sink(sink, values, entry->n_elems);
    free(values);
    return status;
}

dt_store *fake_shelf_create(const char *where)
{
    static const dt_store_ops ops = {.name = "shelf",
                                     .destroy = destroy,
                                     .location = location,
                                     .list = list,
                                     .read_manifest = read_manifest,
                                     .has_shard = has_shard,
                                     .verify_shard = verify_shard,
                                     .read_shard = read_shard};
    fake_shelf *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->head.ops = &ops;
    snprintf(s->location, sizeof s->location, "%s", where);
    return &s->head;
}

void fake_shelf_put(dt_store *shelf, const fake_checkpoint *checkpoint)
{
    fake_shelf *s = (fake_shelf *)shelf;
    int64_t at = 0;
    if (s->n == MAX_CHECKPOINTS)
        abort();
    while (at < s->n && s->checkpoints[at].step > checkpoint->step)
        at++;
    memmove(s->checkpoints + at + 1, s->checkpoints + at, (size_t)(s->n - at) * sizeof *s->checkpoints);
    s->checkpoints[at] = *checkpoint;
    s->n++;
}

void fake_shelf_set_hook(dt_store *shelf, fake_shelf_hook *hook, void *context)
{
    ((fake_shelf *)shelf)->hook = hook;
    ((fake_shelf *)shelf)->hook_context = context;
}

int64_t fake_shelf_reads(dt_store *shelf)
{
    return ((fake_shelf *)shelf)->n_reads;
}
