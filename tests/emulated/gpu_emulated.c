#include "tests/emulated/gpu_emulated.h"

#include "layers/cuda/kernels_cuda.h"
#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "tests/emulator/emulator.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>

/* -- kernels in the device's queues ---------------------------------------------------------------------- */

static dt_status run_kernel(void *context, dt_error *err)
{
    if (dt_emulator_run(context) != 0)
        return dt_fail(err, DT_ERR_DEVICE, "%s", dt_emulator_message());
    return DT_OK;
}

static void free_kernel(void *context)
{
    dt_emulator_free(context);
    free(context);
}

static int enqueue_kernel(void *context, void *stream, const dt_emulator_work *work)
{
    dt_emulator_work *kept = malloc(sizeof *kept);
    dt_error err = {0};
    if (kept == NULL)
        exit(99);
    *kept = *work;
    const dt_emulated_work enqueued = {
        .name = work->kernel, .run = run_kernel, .destroy = free_kernel, .context = kept};
    return dt_emulated_enqueue(context, stream, &enqueued, &err) == DT_OK ? 0 : DT_EMULATOR_LAUNCH_FAILED;
}

dt_status dt_emulated_gpu_attach(dt_device *device, dt_dtype dtype, const dt_interpreter_options *interpreter,
                                 dt_graph_runner **runner, dt_kernels **kernels, dt_error *err)
{
    const dt_cuda_options cuda = {.dtype = dtype};
    dt_graph_runner *made = NULL;
    dt_interpreter_options checking = *interpreter;
    checking.checks_names = true;
    DT_TRY(dt_graph_interpreter_create(device, &checking, &made, err));
    dt_status status = dt_kernels_cuda_create(device, made, &cuda, kernels, err);
    if (status != DT_OK) {
        made->ops->destroy(made);
        return status;
    }
    dt_emulator_set_queue(enqueue_kernel, device);
    *runner = made;
    return DT_OK;
}

dt_emulated_gpu dt_emulated_gpu_create(const dt_emulated_gpu_options *options)
{
    dt_emulated_gpu gpu = {0};
    dt_error err = {0};
    if (dt_device_emulated_create(&options->device, &gpu.device, &err) == DT_OK &&
        dt_emulated_gpu_attach(gpu.device, options->dtype, &options->interpreter, &gpu.runner, &gpu.kernels,
                               &err) == DT_OK &&
        dt_device_host_create(1, &gpu.host, &err) == DT_OK &&
        dt_kernels_ref_create(gpu.host, options->dtype, &gpu.ref, &err) == DT_OK)
        return gpu;
    fprintf(stderr, "%s\n", err.message);
    exit(99);
}

void dt_emulated_gpu_destroy(dt_emulated_gpu *gpu)
{
    dt_emulated_counts counts;
    dt_emulator_set_queue(NULL, NULL);
    gpu->ref->ops->destroy(gpu->ref);
    gpu->host->ops->destroy(gpu->host);
    DT_CHECK_INT(dt_graph_interpreter_live_plans(gpu->runner), 0);
    gpu->kernels->ops->destroy(gpu->kernels);
    gpu->runner->ops->destroy(gpu->runner);
    dt_emulated_get_counts(gpu->device, &counts);
    DT_CHECK_INT(counts.live_bytes, 0);
    DT_CHECK_STR(dt_emulated_fault(gpu->device), "");
    gpu->device->ops->destroy(gpu->device);
}
