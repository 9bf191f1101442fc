#include "config.h"

#include "launch/checkpoints/verify.h"

#include "core/base/alloc.h"
#include "core/checkpoint/state_check.h"

#define BLOCK_ELEMS ((int64_t)64 << 10) /* stays in the processor's cache until it is checked */

typedef struct checker {
    const dt_manifest *manifest;
    int64_t tensor, at; /* the next element of the stream, and its tensor */
    float *values;      /* where the next elements go */
    bool keeps;         /* `values` advances; else each block replaces the one before */
    dt_status status;
    dt_error error;
} checker;

static float *reserve(void *context, int64_t *n)
{
    const checker *c = context;
    if (!c->keeps && *n > BLOCK_ELEMS)
        *n = BLOCK_ELEMS;
    return c->values;
}

static void append(void *context, int64_t n)
{
    checker *c = context;
    const float *values = c->values;
    if (c->keeps)
        c->values += n;
    while (n > 0 && c->tensor < c->manifest->n_tensors) {
        const dt_state_tensor *t = &c->manifest->tensors[c->tensor];
        const int64_t first = c->at - t->first, left = t->n_elems - first, count = left < n ? left : n;
        if (count > 0 && c->status == DT_OK)
            c->status = dt_state_check_part(t->name, values, count, first, &c->error);
        c->tensor += count == left;
        c->at += count;
        values += count;
        n -= count;
    }
}

dt_status dt_checkpoint_verify_shard(dt_store *store, const dt_manifest *manifest,
                                     const dt_shard_entry *entry, float *values, dt_error *err)
{
    float *block = values ? NULL : dt_alloc(BLOCK_ELEMS * sizeof *block);
    if (!values && !block)
        return dt_fail_memory(err, BLOCK_ELEMS * sizeof *block, "reading a checkpoint");
    checker c = {
        .manifest = manifest, .at = entry->first, .values = values ? values : block, .keeps = values};
    while (c.tensor < manifest->n_tensors &&
           manifest->tensors[c.tensor].first + manifest->tensors[c.tensor].n_elems <= entry->first)
        c.tensor++;
    const dt_shard_sink sink = {&c, reserve, append};
    dt_status status = store->ops->verify_shard(store, manifest, entry, &sink, err);
    dt_free(block);
    if (status == DT_OK && c.status != DT_OK)
        return dt_fail(err, DT_ERR_FORMAT, "%s", c.error.message);
    return status;
}
