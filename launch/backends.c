#include "config.h"

#include "launch/backends.h"

#include "core/model/device_host.h"
#include "layers/cpu/kernels_cpu.h"
#include "layers/ref/kernels_ref.h"

#include <string.h>

typedef struct backend {
    const char *name;
    dt_status (*create_device)(int64_t n_threads, dt_device **device, dt_error *err);
    dt_status (*create_kernels)(dt_device *device, int64_t n_threads, dt_kernels **kernels,
        dt_error *err); /* DT_ERR_UNSUPPORTED: not on this machine */
} backend;

static dt_status create_ref(dt_device *device, int64_t n_threads, dt_kernels **kernels, dt_error *err)
{
    (void)n_threads;
    return dt_kernels_ref_create(device, DT_F32, kernels, err);
}

/* Best first. */
static const backend backends[] = {
    {"cpu", dt_device_host_create, dt_kernels_cpu_create},
    {"ref", dt_device_host_create, create_ref},
};
enum { N_BACKENDS = sizeof backends / sizeof backends[0] };

const char *const *dt_backend_names(void)
{
    static const char *names[N_BACKENDS + 2] = {"auto"};
    for (int i = 0; i < N_BACKENDS; i++)
        names[i + 1] = backends[i].name;
    return names;
}

static dt_status create(const backend *b, int64_t n_threads, dt_device **device, dt_kernels **kernels, dt_error *err)
{
    dt_device *made = NULL;
    DT_TRY(b->create_device(n_threads, &made, err));
    dt_status status = b->create_kernels(made, n_threads, kernels, err);
    if (status == DT_OK)
        *device = made;
    else
        made->ops->destroy(made);
    return status;
}

dt_status dt_backend_create(const char *name, int64_t n_threads, dt_device **device, dt_kernels **kernels, dt_error *err)
{
    bool is_auto = strcmp(name, "auto") == 0;
    dt_status status = dt_fail(err, DT_ERR_USAGE, "--backend: there is no '%s'", name);
    for (int i = 0; i < N_BACKENDS; i++) {
        if (!is_auto && strcmp(name, backends[i].name) != 0)
            continue;
        status = create(&backends[i], n_threads, device, kernels, err);
        if (!is_auto || status != DT_ERR_UNSUPPORTED)
            return status;
    }
    return status;
}
