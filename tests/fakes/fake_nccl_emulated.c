#include "tests/fakes/fake_nccl_emulated.h"

#include "tests/emulated/device_emulated.h"
#include "tests/fakes/fake_nccl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_device *device;

typedef struct kernel {
    fake_gpu_work *work;
    unsigned char arguments[FAKE_GPU_ARGUMENT_BYTES] __attribute__((aligned(16)));
} kernel;

static dt_status run_kernel(void *context, dt_error *err)
{
    kernel *k = context;
    (void)err;
    k->work(k->arguments);
    return DT_OK;
}

static void enqueue(void *native_stream, fake_gpu_work *work, const void *arguments, size_t bytes)
{
    dt_error err = {0};
    kernel *k = calloc(1, sizeof *k);
    if (!k || bytes > sizeof k->arguments)
        abort();
    k->work = work;
    memcpy(k->arguments, arguments, bytes);
    const dt_emulated_work enqueued = {.name = "NCCL", .run = run_kernel, .destroy = free, .context = k};
    if (dt_emulated_enqueue(device, native_stream, &enqueued, &err) != DT_OK) {
        fprintf(stderr, "fake_nccl: %s\n", err.message);
        abort();
    }
}

void fake_nccl_use_emulated(dt_device *d)
{
    device = d;
    fake_nccl_enqueue = enqueue;
}
