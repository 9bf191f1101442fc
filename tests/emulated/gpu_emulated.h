/* gpu_emulated.h: the whole CUDA backend without a GPU: layers/cuda on the emulated device, the graph
 * interpreter and the kernels in tests/emulator; and the reference backend of the same dtype.
 *
 *   dt_emulated_gpu gpu = dt_emulated_gpu_create(
 *       &(dt_emulated_gpu_options){.dtype = DT_F16, .interpreter = {.gpu = DT_INTERPRET_A100}});
 *   DT_CHECK_INT(dt_backend_cases_run(gpu.kernels, gpu.ref, 32, 2, 2e-3, NULL), 0);
 *   dt_emulated_gpu_destroy(&gpu);
 *
 * A program that uses it links the kernels compiled for the CPU: see emulated_ldflags in tests/layers.mk.
 */
#ifndef DTRAIN_TESTS_EMULATED_GPU_EMULATED_H
#define DTRAIN_TESTS_EMULATED_GPU_EMULATED_H

#include "core/kernels.h"
#include "tests/emulated/device_emulated.h"
#include "tests/emulated/graph_interpreter.h"

typedef struct dt_emulated_gpu_options {
    dt_dtype dtype;
    dt_interpreter_options interpreter;
    dt_emulated_options device;
} dt_emulated_gpu_options;

typedef struct dt_emulated_gpu {
    dt_device *device;
    dt_graph_runner *runner;
    dt_kernels *kernels;
    dt_device *host;
    dt_kernels *ref; /* of the same dtype */
} dt_emulated_gpu;

/* Create the backend, and the runner that it borrows, on an existing device. Destroy them in this order. */
dt_status dt_emulated_gpu_attach(dt_device *device, dt_dtype dtype, const dt_interpreter_options *interpreter,
                                 dt_graph_runner **runner, dt_kernels **kernels, dt_error *err);

/* Create all of it; end the program if that fails. One at a time: launches of kernels go to the device that
 * was created last. */
dt_emulated_gpu dt_emulated_gpu_create(const dt_emulated_gpu_options *options);
/* Destroy all of it, and check that the device has no unread fault and that no plan and no memory is left. */
void dt_emulated_gpu_destroy(dt_emulated_gpu *gpu);

#endif
