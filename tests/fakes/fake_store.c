#include "tests/fakes/fake_store.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "tests/fakes/fill_sink.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CHECKPOINTS 64
#define FAKE_STREAM 100000 /* elements, at most */

typedef struct checkpoint {
    int64_t step;
    bool committed;
    dt_manifest manifest;
    float *stream;
    uint64_t shards; /* bit i: shard i is there; of at most 64 */
} checkpoint;

typedef struct fake_store {
    dt_store head;
    fake_store_options options;
    pthread_mutex_t mutex;
    checkpoint checkpoints[MAX_CHECKPOINTS];
    int64_t n, n_commits;
} fake_store;

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static void drop(fake_store *s, int64_t i)
{
    dt_manifest *m = &s->checkpoints[i].manifest;
    dt_manifest_clear(m);
    free(s->checkpoints[i].stream);
    s->checkpoints[i] = s->checkpoints[--s->n];
}

static checkpoint *find(fake_store *s, int64_t step, bool committed)
{
    for (int64_t i = 0; i < s->n; i++)
        if (s->checkpoints[i].step == step && s->checkpoints[i].committed == committed)
            return &s->checkpoints[i];
    return NULL;
}

static uint64_t bit_of(const dt_shard_entry *entry)
{
    return (uint64_t)1 << strtoul(entry->file + strlen("shard-"), NULL, 10);
}

static void copy_manifest(dt_manifest *to, const dt_manifest *from)
{
    *to = *from;
    if (dt_class_names_copy(&from->class_names, &to->class_names, NULL) != DT_OK ||
        dt_engines_copy(&from->engines, &to->engines, NULL) != DT_OK)
        abort();
    to->config_text = must(dt_strdup(from->config_text));
    to->tensors = must(dt_alloc((size_t)from->n_tensors * sizeof *to->tensors));
    to->shards = must(dt_alloc((size_t)from->n_shards * sizeof *to->shards));
    if (from->n_tensors > 0)
        memcpy(to->tensors, from->tensors, (size_t)from->n_tensors * sizeof *to->tensors);
    memcpy(to->shards, from->shards, (size_t)from->n_shards * sizeof *to->shards);
}

static void destroy(dt_store *store)
{
    fake_store *s = (fake_store *)store;
    while (s && s->n)
        drop(s, s->n - 1);
    free(s);
}

static const char *location(dt_store *store)
{
    (void)store;
    return "memory";
}

static dt_status list(dt_store *store, int64_t *steps, int64_t max, int64_t *n, dt_error *err)
{
    (void)err;
    fake_store *s = (fake_store *)store;
    int64_t count = 0;
    pthread_mutex_lock(&s->mutex);
    for (int64_t below = INT64_MAX;;) {
        int64_t newest = -1;
        for (int64_t i = 0; i < s->n; i++)
            if (s->checkpoints[i].committed && s->checkpoints[i].step < below &&
                s->checkpoints[i].step > newest)
                newest = s->checkpoints[i].step;
        if (newest < 0)
            break;
        if (count < max)
            steps[count] = newest;
        count++;
        below = newest;
    }
    pthread_mutex_unlock(&s->mutex);
    *n = count;
    return DT_OK;
}

static dt_status begin(dt_store *store, int64_t step, dt_error *err)
{
    fake_store *s = (fake_store *)store;
    pthread_mutex_lock(&s->mutex);
    bool fits = s->n < MAX_CHECKPOINTS;
    if (fits)
        s->checkpoints[s->n++] = (checkpoint){.step = step};
    pthread_mutex_unlock(&s->mutex);
    return fits ? DT_OK : dt_fail(err, DT_ERR_IO, "the fake store is full");
}

static dt_status write_shard(dt_store *store, int64_t step, const dt_state_layout *layout,
                             const dt_state_io *io, dt_shard_entry *entry, dt_error *err)
{
    fake_store *s = (fake_store *)store;
    dt_status status = DT_OK;
    dt_clock_sleep_s(s->options.shard_s);
    pthread_mutex_lock(&s->mutex);
    checkpoint *g = find(s, step, false);
    if (!g) { /* discarded meanwhile */
        pthread_mutex_unlock(&s->mutex);
        return dt_fail(err, DT_ERR_IO, "the fake store has not begun step %lld", (long long)step);
    }
    if (!g->stream)
        g->stream = must(calloc((size_t)layout->n_elems, sizeof(float)));
    float *tensor = must(calloc((size_t)layout->n_elems, sizeof(float)));
    for (int64_t t = 0; t < layout->n_tensors && status == DT_OK; t++) {
        const dt_state_tensor *d = &layout->tensors[t];
        int64_t first = d->first > entry->first ? d->first : entry->first;
        int64_t end = d->first + d->n_elems < entry->first + entry->n_elems ? d->first + d->n_elems
                                                                            : entry->first + entry->n_elems;
        if (first >= end)
            continue;
        status = io->get(io->context, t, tensor, err);
        memcpy(g->stream + first, tensor + (first - d->first), (size_t)(end - first) * sizeof(float));
    }
    free(tensor);
    g->shards |= bit_of(entry);
    entry->bytes = entry->n_elems * (int64_t)sizeof(float);
    pthread_mutex_unlock(&s->mutex);
    return status;
}

static dt_status copy_shard(dt_store *store, dt_store *from, int64_t step, const dt_shard_entry *entry,
                            dt_error *err)
{
    fake_store *s = (fake_store *)store, *f = (fake_store *)from;
    char failing[64];
    snprintf(failing, sizeof failing, "shard-%04d-", (int)s->options.fail_copies_of);
    dt_clock_sleep_s(s->options.copy_s);
    if (s->options.fail_copies_of && strncmp(entry->file, failing, strlen(failing)) == 0)
        return dt_fail(err, DT_ERR_IO, "the fake mirror is full");
    float *values = must(calloc((size_t)entry->n_elems, sizeof *values));
    pthread_mutex_lock(&f->mutex);
    const checkpoint *source = find(f, step, true);
    if (source)
        memcpy(values, source->stream + entry->first, (size_t)entry->n_elems * sizeof *values);
    pthread_mutex_unlock(&f->mutex);
    pthread_mutex_lock(&s->mutex);
    checkpoint *g = find(s, step, false);
    if (!g && source) {
        g = &s->checkpoints[s->n++];
        *g = (checkpoint){.step = step, .stream = must(calloc(FAKE_STREAM, sizeof(float)))};
    }
    if (source) {
        memcpy(g->stream + entry->first, values, (size_t)entry->n_elems * sizeof *values);
        g->shards |= bit_of(entry);
    }
    pthread_mutex_unlock(&s->mutex);
    free(values);
    return source ? DT_OK
                  : dt_fail(err, DT_ERR_IO, "the fake store has no step %lld to copy", (long long)step);
}

static dt_status clean(dt_store *store, dt_error *err)
{
    (void)err;
    fake_store *s = (fake_store *)store;
    pthread_mutex_lock(&s->mutex);
    for (int64_t i = s->n - 1; i >= 0; i--)
        if (!s->checkpoints[i].committed)
            drop(s, i);
    pthread_mutex_unlock(&s->mutex);
    return DT_OK;
}

static dt_status commit(dt_store *store, const dt_manifest *manifest, bool per_host, dt_error *err)
{
    (void)per_host;
    fake_store *s = (fake_store *)store;
    dt_status status = DT_OK;
    dt_clock_sleep_s(s->options.commit_s);
    pthread_mutex_lock(&s->mutex);
    s->n_commits++;
    const bool full = s->options.fail_commit_from && s->n_commits >= s->options.fail_commit_from;
    if (full || (s->n_commits <= 64 && s->options.fail_commits >> (s->n_commits - 1) & 1)) {
        status = dt_fail(err, DT_ERR_IO, "the fake disk is full");
    } else {
        checkpoint *old = find(s, manifest->step, true);
        if (old)
            drop(s, old - s->checkpoints);
        checkpoint *g = find(s, manifest->step, false);
        copy_manifest(&g->manifest, manifest);
        g->committed = true;
    }
    pthread_mutex_unlock(&s->mutex);
    return status;
}

static void discard(dt_store *store, int64_t step)
{
    fake_store *s = (fake_store *)store;
    pthread_mutex_lock(&s->mutex);
    checkpoint *g = find(s, step, false);
    if (g)
        drop(s, g - s->checkpoints);
    pthread_mutex_unlock(&s->mutex);
}

static dt_status read_manifest(dt_store *store, int64_t step, dt_manifest *manifest, dt_error *err)
{
    fake_store *s = (fake_store *)store;
    pthread_mutex_lock(&s->mutex);
    checkpoint *g = find(s, step, true);
    if (g)
        copy_manifest(manifest, &g->manifest);
    pthread_mutex_unlock(&s->mutex);
    return g ? DT_OK : dt_fail(err, DT_ERR_IO, "the fake store has no step %lld", (long long)step);
}

static bool has_shard(dt_store *store, int64_t step, const dt_shard_entry *entry)
{
    fake_store *s = (fake_store *)store;
    pthread_mutex_lock(&s->mutex);
    const checkpoint *g = find(s, step, true);
    bool there = g && g->shards & bit_of(entry);
    pthread_mutex_unlock(&s->mutex);
    return there;
}

static dt_status verify_shard(dt_store *store, const dt_manifest *manifest, const dt_shard_entry *entry,
                              const dt_shard_sink *sink, dt_error *err)
{
    fake_store *s = (fake_store *)store;
    const int64_t step = manifest->step;
    if (!has_shard(store, step, entry))
        return dt_fail(err, DT_ERR_IO, "the fake store has no %s of step %lld", entry->file, (long long)step);
    pthread_mutex_lock(&s->mutex);
    fill_sink(sink, find(s, step, true)->stream + entry->first, entry->n_elems);
    pthread_mutex_unlock(&s->mutex);
    return DT_OK;
}

static dt_status read_shard(dt_store *store, const dt_manifest *manifest, const dt_shard_entry *entry,
                            float *values, dt_error *err)
{
    fake_store *s = (fake_store *)store;
    DT_TRY(verify_shard(store, manifest, entry, NULL, err));
    pthread_mutex_lock(&s->mutex);
    memcpy(values, find(s, manifest->step, true)->stream + entry->first,
           (size_t)entry->n_elems * sizeof(float));
    pthread_mutex_unlock(&s->mutex);
    return DT_OK;
}

static dt_status prune(dt_store *store, int64_t step, int64_t keep, dt_error *err)
{
    (void)err;
    fake_store *s = (fake_store *)store;
    pthread_mutex_lock(&s->mutex);
    for (int64_t i = s->n - 1; i >= 0; i--) {
        int64_t newer = 0;
        for (int64_t k = 0; k < s->n; k++)
            newer += s->checkpoints[k].step > s->checkpoints[i].step;
        if (newer >= keep || s->checkpoints[i].step > step)
            drop(s, i);
    }
    pthread_mutex_unlock(&s->mutex);
    return DT_OK;
}

dt_store *fake_store_create(const fake_store_options *options)
{
    static const dt_store_ops ops = {.name = "fake",
                                     .destroy = destroy,
                                     .location = location,
                                     .list = list,
                                     .begin = begin,
                                     .write_shard = write_shard,
                                     .copy_shard = copy_shard,
                                     .clean = clean,
                                     .commit = commit,
                                     .discard = discard,
                                     .read_manifest = read_manifest,
                                     .has_shard = has_shard,
                                     .verify_shard = verify_shard,
                                     .read_shard = read_shard,
                                     .prune = prune};
    fake_store *s = must(calloc(1, sizeof *s));
    s->head.ops = &ops;
    s->options = *options;
    pthread_mutex_init(&s->mutex, NULL);
    return &s->head;
}

void fake_store_forget_after(dt_store *store, int64_t step)
{
    fake_store *s = (fake_store *)store;
    for (int64_t i = s->n - 1; i >= 0; i--)
        if (s->checkpoints[i].step > step)
            drop(s, i);
}

int64_t fake_store_count(dt_store *store)
{
    return ((fake_store *)store)->n;
}

int64_t fake_store_commits(dt_store *store)
{
    return ((fake_store *)store)->n_commits;
}
