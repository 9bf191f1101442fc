#include "tests/fakes/save_checkpoint.h"

#include "core/checkpoint/saver.h"
#include "core/collective/agreement.h"

#include <math.h>

dt_status save_checkpoint(dt_comm *comm, dt_store *store, const dt_state_layout *layout,
                          const dt_state_io *io, const dt_manifest *manifest, int64_t keep, int64_t *bytes,
                          dt_error *err)
{
    dt_error own;
    err = err ? err : &own;
    const dt_saver_options options = {.comm = comm, .store = store, .keep = keep, .layout = layout, .io = io};
    dt_writer *writer = NULL;
    dt_snapshot_memory memory;
    dt_writer_progress progress = {0};
    dt_status status = dt_agree(comm, dt_saver_create(&options, &writer, &memory, err), err);
    if (status == DT_OK)
        status = dt_writer_start(writer, manifest, err);
    if (status == DT_OK)
        status = dt_writer_finish(writer, INFINITY, &progress, err);
    dt_writer_destroy(writer);
    *bytes = progress.bytes;
    return status;
}
