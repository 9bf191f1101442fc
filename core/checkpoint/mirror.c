#include "core/checkpoint/mirror.h"

#include "core/base/alloc.h"

typedef struct mirror {
    dt_store *from, *to;
} mirror;

static dt_status copy_shard(void *context, dt_manifest *manifest, dt_shard_entry *entry, dt_error *err)
{
    const mirror *m = context;
    return m->to->ops->copy_shard(m->to, m->from, manifest->step, entry, err);
}

dt_status dt_mirror_create(dt_comm *comm, dt_store *from, dt_store *to, int64_t keep, dt_writer **writer,
                           dt_error *err)
{
    mirror *m = dt_alloc(sizeof *m);
    if (!m)
        return dt_fail_memory(err, sizeof *m, "the mirror of checkpoints");
    *m = (mirror){.from = from, .to = to};
    const dt_writer_job job = {.store = to,
                               .commits = comm->rank == 0,
                               .keep = keep,
                               .make_shard = copy_shard,
                               .destroy = dt_free,
                               .context = m};
    return dt_writer_create(comm, &job, writer, err);
}
