/* backends.h: the compute backends. To add one: a row in backends.c.
 *
 *   dt_backend_options options = {.n_threads = 2, .local_rank = comm->local_rank,
 *                                 .local_size = comm->local_size, .precision = DT_F16};
 *   dt_backend_create("auto", &options, &backend, err);
 *   ... backend.kernels, backend.device ...
 *   dt_backend_destroy(&backend);
 */
#ifndef DT_LAUNCH_HARDWARE_BACKENDS_H
#define DT_LAUNCH_HARDWARE_BACKENDS_H

#include "core/base/computed_by.h"
#include "core/model/net.h"
#include "layers/cpu/kernels_cpu.h"
#include "layers/cuda/plan_cache.h"

typedef struct dt_backend_options {
    int64_t n_threads;          /* compute threads, for backends on the host */
    int local_rank, local_size; /* among the ranks of this host; local_rank is the GPU's number */
    dt_dtype precision;
    bool
        choose_precision; /* instead of `precision` take the backend's usual one; kernels->dtype says which */
    dt_autotune_kind autotune;
} dt_backend_options;

typedef struct dt_backend {
    dt_device *device;
    bool device_is_borrowed; /* by a planner */
    dt_kernels *kernels;
    void *library;                   /* another object that the backend needs, or NULL */
    void (*library_destroy)(void *); /* called after the kernels' destroy and before the device's */
    bool has_team;                   /* it computes with OpenMP's threads, and `team` describes them */
    dt_cpu_team team;
    char why_no_gpu[DT_ERROR_MESSAGE_BYTES]; /* why "auto" chose another backend than cuda; else "" */
} dt_backend;

/* "auto", then all backends, best first, ended by NULL. Includes backends that this build lacks: creating one
 * returns an error with the reason. */
const char *const *dt_backend_names(void);

/* The backends that this build has, "cuda, cpu, ref". Static storage. */
const char *dt_backend_list(void);

/* The precision of a backend where the user leaves the choice: FP16 on a GPU, FP32 on a host
 * (layers/cuda/README.md, "Precision"). `name` is one of dt_backend_names, not "auto". */
dt_dtype dt_backend_usual_precision(const char *name);

/* Create the device and the kernels of backend `name`; "auto" chooses the first one that works on this
 * machine in this precision. Local. The caller frees it with dt_backend_destroy, which accepts a zeroed one
 * too. On failure *backend is zeroed. DT_ERR_UNSUPPORTED: this build or machine lacks it, with the reason;
 * DT_ERR_USAGE: no such name, a precision that it lacks, or more ranks than GPUs; DT_ERR_MEMORY,
 * DT_ERR_DEVICE. */
dt_status dt_backend_create(const char *name, const dt_backend_options *options, dt_backend *backend,
                            dt_error *err);
void dt_backend_destroy(dt_backend *backend);

/* Write the PCI address of the GPU that dt_backend_create would compute on with this name on this rank, so
 * that the rank can go near it before it allocates memory: "0000:10:1c.0"; "": on none. Local. */
void dt_backend_gpu_address(const char *name, int local_rank, int local_size, char *address,
                            size_t address_bytes);

/* Append the backend's name, and the libraries and the processor that its numbers come from. */
void dt_backend_computed_by(const dt_backend *backend, dt_computed_by *out);

/* Let NVIDIA's profilers show the net's layers by name (NVTX); does nothing on other backends. */
void dt_backend_name_layers(const dt_backend *backend, dt_net *net);

/* Create kernels of the same kind and precision on the same device that only plan, for nets with plan_only:
 * they allocate no memory of the device and measure nothing. `backend` must outlive *planner, which the
 * caller frees with dt_backend_destroy. DT_ERR_MEMORY, DT_ERR_DEVICE. */
dt_status dt_backend_create_planner(const dt_backend *backend, const dt_backend_options *options,
                                    dt_backend *planner, dt_error *err);

#endif
