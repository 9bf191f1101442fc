/* backends.h: the compute backends. To add one: a row in backends.c.
 *
 *   dt_backend_options options = {.n_threads = 2, .local_rank = comm->local_rank, .local_size =
 *   comm->local_size, .precision = DT_F16}; dt_backend_create("auto", &options, &backend, err);
 *   ... backend.kernels, backend.device ...
 *   dt_backend_destroy(&backend);
 */
#ifndef DT_LAUNCH_HARDWARE_BACKENDS_H
#define DT_LAUNCH_HARDWARE_BACKENDS_H

#include "core/base/computed_by.h"
#include "core/model/net.h"
#include "layers/cuda/plan_cache.h"

typedef struct dt_backend_options {
    int64_t n_threads;          /* compute threads, for backends on the host */
    int local_rank, local_size; /* of this host's ranks: which GPU */
    dt_dtype precision;
    dt_autotune_kind autotune;
} dt_backend_options;

typedef struct dt_backend {
    dt_device *device;
    bool device_is_borrowed; /* a planner's */
    dt_kernels *kernels;
    void *library;                   /* what else the backend needs, or NULL */
    void (*library_destroy)(void *); /* after the kernels and before the device */
    char why_no_gpu[256];            /* "auto" took another backend than cuda because of this; "": nothing
                                        to say */
} dt_backend;

/* "auto", then the backends, best first, ended by NULL; also those that this build has not got: asking for
 * one tells why. */
const char *const *dt_backend_names(void);

/* Those that this build has, "cuda, cpu, ref". Static storage. */
const char *dt_backend_list(void);

/* Create the device and the kernels of backend `name`; "auto" takes the first one that works on this machine
 * in this precision. Local. The caller ends it with dt_backend_destroy, which accepts a zeroed one too. On
 * failure *backend is zeroed. DT_ERR_UNSUPPORTED: this build or machine has not got it, with the reason;
 * DT_ERR_USAGE: no such name, a precision that it has not got, or more ranks than GPUs; DT_ERR_MEMORY,
 * DT_ERR_DEVICE. */
dt_status dt_backend_create(const char *name, const dt_backend_options *options, dt_backend *backend,
                            dt_error *err);
void dt_backend_destroy(dt_backend *backend);

/* Appends the backend's name, and the libraries and the processor that its numbers come from. */
void dt_backend_computed_by(const dt_backend *backend, dt_computed_by *out);

/* Let the tools of the backend's maker show the net's layers by name (NVTX); nothing on other backends. */
void dt_backend_name_layers(const dt_backend *backend, dt_net *net);

/* Kernels of the same kind and precision on the same device that only plan, for nets with plan_only: no
 * memory of the device is taken and nothing is measured. `backend` must outlive *planner, which the caller
 * ends with dt_backend_destroy. DT_ERR_MEMORY, DT_ERR_DEVICE. */
dt_status dt_backend_create_planner(const dt_backend *backend, const dt_backend_options *options,
                                    dt_backend *planner, dt_error *err);

#endif
