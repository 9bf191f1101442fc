/* backends.h: the compute backends of this build. To add one: a row in backends.c. */
#ifndef DT_LAUNCH_BACKENDS_H
#define DT_LAUNCH_BACKENDS_H

#include "core/kernels.h"

/* "auto", then the backends, best first, ended by NULL. */
const char *const *dt_backend_names(void);

/* Create the device and the kernels of backend `name`; "auto" takes the first one that works on this machine. n_threads compute
 * threads, for backends on the host. The caller ends them with kernels->ops->destroy, then device->ops->destroy. Local.
 * DT_ERR_UNSUPPORTED: this build or machine has not got it; DT_ERR_USAGE: no such name; DT_ERR_MEMORY. */
dt_status dt_backend_create(const char *name, int64_t n_threads, dt_device **device, dt_kernels **kernels, dt_error *err);

#endif
