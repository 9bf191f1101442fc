#include "tests/fakes/save_checkpoint.h"

#include "core/checkpoint/saver.h"
#include "core/collective/agreement.h"

dt_status save_checkpoint(dt_comm *comm, dt_store *store, const dt_state_layout *layout,
                          const dt_state_io *io, dt_manifest *manifest, int64_t keep, int64_t *bytes,
                          dt_error *err)
{
    dt_error own;
    err = err ? err : &own;
    dt_saver *saver = NULL;
    dt_saver_report report = {0};
    dt_status status =
        dt_agree(comm, dt_saver_create(comm, store, false, layout, io, keep, &saver, err), err);
    if (status == DT_OK)
        status = dt_saver_start(saver, manifest, err);
    if (status == DT_OK)
        status = dt_saver_settle(saver, &report, err);
    dt_saver_destroy(saver);
    *bytes = report.bytes;
    return status;
}
