#include "core/checkpoint/mirror.h"

#include "core/base/alloc.h"
#include "core/collective/agreement.h"

#include <string.h>

struct dt_mirror {
    dt_comm *comm;
    dt_store *from, *to;
    dt_writer *writer;
};

static dt_status copy_shard(void *context, dt_manifest *manifest, dt_shard_entry *entry, dt_error *err)
{
    const dt_mirror *m = context;
    return m->to->ops->copy_shard(m->to, m->from, manifest->step, entry, err);
}

dt_status dt_mirror_create(dt_comm *comm, dt_store *from, dt_store *to, int64_t keep, dt_mirror **mirror,
                           dt_error *err)
{
    dt_mirror *m = dt_calloc(1, sizeof *m);
    if (!m)
        return dt_fail_memory(err, sizeof *m, "the mirror of checkpoints");
    *m = (dt_mirror){.comm = comm, .from = from, .to = to};
    const dt_writer_job job = {
        .store = to, .commits = comm->rank == 0, .keep = keep, .make_shard = copy_shard, .context = m};
    dt_status status = dt_writer_create(comm, &job, &m->writer, err);
    if (status == DT_OK)
        *mirror = m;
    else
        dt_mirror_destroy(m);
    return status;
}

void dt_mirror_destroy(dt_mirror *m)
{
    if (!m)
        return;
    dt_writer_destroy(m->writer);
    dt_free(m);
}

static dt_status copy_manifest(const dt_manifest *from, dt_manifest *to, dt_error *err)
{
    const size_t tensor_bytes = (size_t)from->n_tensors * sizeof *to->tensors,
                 shard_bytes = (size_t)from->n_shards * sizeof *to->shards;
    *to = *from;
    to->config_text = dt_strdup(from->config_text);
    to->tensors = dt_alloc(tensor_bytes);
    to->shards = dt_alloc(shard_bytes);
    if (!to->config_text || !to->tensors || !to->shards) {
        dt_manifest_clear(to);
        return dt_fail_memory(err, tensor_bytes + shard_bytes, "a copy of a checkpoint's manifest");
    }
    memcpy(to->tensors, from->tensors, tensor_bytes);
    memcpy(to->shards, from->shards, shard_bytes);
    return DT_OK;
}

dt_status dt_mirror_start(dt_mirror *m, const dt_manifest *manifest, dt_error *err)
{
    dt_error own = {0};
    dt_manifest copy = {0};
    err = err ? err : &own;
    dt_status status = dt_agree(m->comm, copy_manifest(manifest, &copy, err), err);
    if (status == DT_OK)
        dt_writer_start(m->writer, &copy, 0.0);
    dt_manifest_clear(&copy);
    return status;
}

dt_writer *dt_mirror_get_writer(dt_mirror *m)
{
    return m->writer;
}
