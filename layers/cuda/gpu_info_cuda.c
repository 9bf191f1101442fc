#include "config.h"

#include "layers/cuda/gpu_info_cuda.h"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void dt_cuda_forget(int code)
{
    if (code != (int)cudaSuccess)
        (void)cudaGetLastError();
}

static int attribute(int ordinal, enum cudaDeviceAttr which)
{
    int value = 0;
    dt_cuda_forget((int)cudaDeviceGetAttribute(&value, which, ordinal));
    return value;
}

static int capability(int ordinal)
{
    return 10 * attribute(ordinal, cudaDevAttrComputeCapabilityMajor) +
           attribute(ordinal, cudaDevAttrComputeCapabilityMinor);
}

/* FLOP per clock and multiprocessor of dense FP16 products with FP32 sums, from the data sheets' TFLOP/s. */
static double flops_per_clock(int sm)
{
    static const struct {
        int sm;
        double flops;
    } table[] = {{100, 8192.0}, {90, 4096.0}, {86, 1024.0}, {80, 2048.0}, {70, 1024.0}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (sm >= table[i].sm && (sm < 120 || table[i].sm < 90)) /* sm_120 are desktop GPUs */
            return table[i].flops;
    return 0.0;
}

static void cuda_version_text(int version, char *text, size_t text_bytes)
{
    if (version > 0)
        snprintf(text, text_bytes, "%d.%d", version / 1000, version % 1000 / 10);
    else
        snprintf(text, text_bytes, "none");
}

void dt_cuda_gpu_info(int ordinal, dt_device_info *info)
{
    struct cudaDeviceProp properties;
    dt_cuda_versions versions;
    memset(info, 0, sizeof *info);
    memset(&properties, 0, sizeof properties);
    dt_cuda_forget((int)cudaGetDeviceProperties(&properties, ordinal));
    dt_device_cuda_versions(&versions);
    snprintf(info->name, sizeof info->name, "%.100s, GPU %d", properties.name, ordinal);
    snprintf(info->driver, sizeof info->driver, "CUDA driver %.15s, runtime %.15s", versions.driver,
             versions.runtime);
    info->memory_bytes = (int64_t)properties.totalGlobalMem;
    info->multiprocessors = properties.multiProcessorCount;
    /* Clocks are in kHz; memory moves data twice a clock. */
    info->bandwidth_bytes_per_s = 2e3 * (double)attribute(ordinal, cudaDevAttrMemoryClockRate) *
                                  (double)attribute(ordinal, cudaDevAttrGlobalMemoryBusWidth) / 8.0;
    info->compute_flops = 1e3 * (double)attribute(ordinal, cudaDevAttrClockRate) *
                          (double)properties.multiProcessorCount * flops_per_clock(capability(ordinal));
}

void dt_device_cuda_versions(dt_cuda_versions *versions)
{
    int runtime = 0, driver = 0;
    dt_cuda_forget((int)cudaRuntimeGetVersion(&runtime));
    dt_cuda_forget((int)cudaDriverGetVersion(&driver));
    cuda_version_text(runtime, versions->runtime, sizeof versions->runtime);
    cuda_version_text(driver, versions->driver, sizeof versions->driver);
}

void dt_device_cuda_describe(int ordinal, char *text, size_t text_bytes)
{
    struct cudaDeviceProp properties;
    cudaError_t e = cudaGetDeviceProperties(&properties, ordinal);
    dt_cuda_forget((int)e);
    if (e == cudaSuccess)
        snprintf(text, text_bytes, "%.100s, sm_%d, %.1f GiB, %d multiprocessors", properties.name,
                 capability(ordinal), (double)properties.totalGlobalMem / 1073741824.0,
                 properties.multiProcessorCount);
    else
        snprintf(text, text_bytes, "GPU %d: %s", ordinal, cudaGetErrorString(e));
}

int dt_device_cuda_count(char *why, size_t why_bytes)
{
    int n = 0;
    dt_cuda_versions versions;
    dt_device_cuda_versions(&versions);
    cudaError_t e = cudaGetDeviceCount(&n);
    dt_cuda_forget((int)e);
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (e == cudaSuccess && n > 0)
        return n;
    if (e == cudaErrorInsufficientDriver && strcmp(versions.driver, "none") == 0)
        snprintf(why, why_bytes, "no NVIDIA driver: %s", cudaGetErrorString(e));
    else if (e == cudaErrorInsufficientDriver)
        snprintf(why, why_bytes,
                 "the NVIDIA driver is too old: it supports CUDA %s, and this program is built with %s",
                 versions.driver, versions.runtime);
    else if (e == cudaErrorNoDevice || e == cudaSuccess)
        snprintf(why, why_bytes, "an NVIDIA driver, but no GPU%s%.40s",
                 visible ? "; CUDA_VISIBLE_DEVICES is " : "", visible ? visible : "");
    else
        snprintf(why, why_bytes, "%s (%s)", cudaGetErrorString(e), cudaGetErrorName(e));
    return 0;
}

/* Code for sm_80 runs on all of 8.x. For newer GPUs the driver compiles the PTX of the newest
 * architecture. */
dt_status dt_cuda_check_built_for(int ordinal, dt_error *err)
{
    const int sm = capability(ordinal);
    int newest = 0;
    char gpu[160];
    for (const char *p = DT_CUDA_ARCHS; *p;) {
        char *end;
        const int arch = (int)strtol(p, &end, 10);
        if (arch / 10 == sm / 10 && arch <= sm)
            return DT_OK;
        newest = arch > newest ? arch : newest;
        p = end + strspn(end, " ");
    }
    if (sm >= newest)
        return DT_OK;
    dt_device_cuda_describe(ordinal, gpu, sizeof gpu);
    return dt_fail(err, DT_ERR_UNSUPPORTED, "%s: the kernels of this build are for sm_ %s%s", gpu,
                   DT_CUDA_ARCHS, sm < 75 ? "; CUDA 12 is the last that compiles for sm_70" : "");
}
