#include "launch/run/run_engines.h"

#include "core/store.h"
#include "io/store/hdf5_store.h"

/* Puts the engines of the newest checkpoint in `folder` into the list. Returns whether there is one that can
 * be read. */
static bool read_newest(const char *folder, dt_engines *list)
{
    enum { MAX_TRIED = 16 }; /* newer ones that are damaged */
    dt_store *store = NULL;
    dt_manifest m = {0};
    dt_error ignored;
    int64_t steps[MAX_TRIED], n = 0;
    bool found = false;
    if (!folder[0] || dt_store_hdf5_create(folder, &store, &ignored) != DT_OK)
        return false;
    if (store->ops->list(store, steps, MAX_TRIED, &n, &ignored) != DT_OK)
        n = 0;
    for (int64_t i = 0; i < n && i < MAX_TRIED && !found; i++)
        found = store->ops->read_manifest(store, steps[i], &m, &ignored) == DT_OK;
    if (found)
        (void)dt_engines_put_all(list, &m.engines, &ignored);
    dt_manifest_clear(&m);
    store->ops->destroy(store);
    return found;
}

void dt_run_engines_read(const dt_options *o, const char *usual, const dt_comm *comm, dt_kernels *kernels)
{
    dt_engine_choices *choices = kernels->ops->engines ? kernels->ops->engines(kernels) : NULL;
    if (comm->rank != 0 || !choices || o->config.resume == DT_RESUME_NEVER)
        return;
    if (!read_newest(o->checkpoint_dir[0] ? o->checkpoint_dir : usual, &choices->list))
        (void)read_newest(o->checkpoint_mirror, &choices->list);
}
