#include "config.h"

#include "launch/hardware/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

/* Who reads a variable. */
typedef enum reader { BY_CPU, BY_CUDA, BY_NCCL, BY_ALL } reader;

/* The first row that matches counts. A name that ends with '*' is a prefix. NULL: the variable changes no
 * result. */
static const struct {
    const char *name, *effect;
    reader reader;
    bool is_shown_elsewhere; /* "isa" and "simd" of computed_by */
} rows[] = {
    /* oneDNN; older names begin with DNNL_ */
    {"DNNL_MAX_CPU_ISA", "results: the instructions of oneDNN and of dtrain's kernels", BY_CPU, true},
    {"ONEDNN_MAX_CPU_ISA", "results: the instructions of oneDNN and of dtrain's kernels", BY_CPU, true},
    {"DNNL_CPU_ISA_HINTS", "results: the instructions of oneDNN", BY_CPU, false},
    {"ONEDNN_CPU_ISA_HINTS", "results: the instructions of oneDNN", BY_CPU, false},
    {"DNNL_DEFAULT_FPMATH_MODE", "nothing: dtrain has oneDNN compute in float32", BY_CPU, true},
    {"ONEDNN_DEFAULT_FPMATH_MODE", "nothing: dtrain has oneDNN compute in float32", BY_CPU, true},
    /* CUDA, cuDNN, cuBLAS */
    {"NVIDIA_TF32_OVERRIDE", "results: whether float32 is computed as tf32", BY_CUDA, false},
    {"CUDNN_LOG*", NULL, BY_CUDA, false},
    {"CUDNN_*", "results: how cuDNN computes", BY_CUDA, false},
    {"CUBLAS_LOG*", NULL, BY_CUDA, false},
    {"CUBLAS*", "results: how cuBLAS computes", BY_CUDA, false},
    {"CUDA_FORCE_PTX_JIT", "results: the driver compiles the kernels", BY_CUDA, false},
    /* NCCL: the order of sums; not how bytes travel */
    {"NCCL_DEBUG*", NULL, BY_NCCL, false},
    {"NCCL_SOCKET_*", NULL, BY_NCCL, false},
    {"NCCL_IB_*", NULL, BY_NCCL, false},
    {"NCCL_ASYNC_ERROR_HANDLING", NULL, BY_NCCL, false},
    {"NCCL_COMM_BLOCKING", NULL, BY_NCCL, false},
    {"NCCL_MULTI_RANK_GPU_ENABLE", NULL, BY_NCCL, false},
    {"NCCL_*", "results: the order in which NCCL sums", BY_NCCL, false},
    /* everything */
    {"GLIBC_TUNABLES", "results: which exp, log and cos the C library has", BY_ALL, false},
    {"HDF5_DISABLE_VERSION_CHECK", "checkpoints: HDF5 may be another than dtrain was built with", BY_ALL,
     true},
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

/* Variables that determine how many threads OpenMP provides, how large their stacks are, and where they run:
 * of the standard, of GCC's OpenMP, and of LLVM's and Intel's. */
static const char *const of_threads[] = {"OMP_THREAD_LIMIT",
                                         "OMP_DYNAMIC",
                                         "OMP_MAX_ACTIVE_LEVELS",
                                         "OMP_NESTED",
                                         "OMP_NUM_THREADS",
                                         "OMP_PROC_BIND",
                                         "OMP_PLACES",
                                         "OMP_STACKSIZE",
                                         "GOMP_STACKSIZE",
                                         "GOMP_CPU_AFFINITY",
                                         "KMP_AFFINITY",
                                         "KMP_ALL_THREADS",
                                         "KMP_DEVICE_THREAD_LIMIT",
                                         "KMP_TEAMS_THREAD_LIMIT",
                                         "KMP_DYNAMIC_MODE",
                                         "KMP_HW_SUBSET",
                                         "KMP_LIBRARY",
                                         "KMP_STACKSIZE"};

static int row_of(const char *name)
{
    for (int i = 0; i < N_ROWS; i++) {
        const size_t n = strlen(rows[i].name);
        if (rows[i].name[n - 1] == '*' ? strncmp(name, rows[i].name, n - 1) == 0
                                       : strcmp(name, rows[i].name) == 0)
            return i;
    }
    return -1;
}

const char *dt_settings_effect(const char *name)
{
    const int row = row_of(name);
    return row >= 0 && rows[row].effect ? rows[row].effect : "nothing";
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b); /* the name comes first */
}

void dt_settings_read(dt_settings *settings)
{
    memset(settings, 0, sizeof *settings);
    for (char **variable = environ; variable && *variable; variable++) {
        char name[DT_SETTING_NAME_BYTES];
        const char *equals = strchr(*variable, '=');
        if (!equals || equals[1] == '\0' || (size_t)(equals - *variable) >= sizeof name)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(equals - *variable), *variable);
        const int row = row_of(name);
        if (row < 0 || !rows[row].effect || settings->n == DT_SETTINGS_MAX)
            continue;
        snprintf(settings->found[settings->n].name, sizeof settings->found[0].name, "%s", name);
        snprintf(settings->found[settings->n].value, sizeof settings->found[0].value, "%s", equals + 1);
        settings->n++;
    }
    qsort(settings->found, (size_t)settings->n, sizeof settings->found[0], by_name);
}

dt_status dt_settings_check(const char *backend, dt_dtype precision, dt_error *err)
{
    const char *vol = getenv("HDF5_VOL_CONNECTOR"), *tf32 = getenv("NVIDIA_TF32_OVERRIDE");
    if (vol && vol[0] && strcmp(vol, "native") != 0)
        return dt_fail(err, DT_ERR_USAGE,
                       "HDF5_VOL_CONNECTOR is '%s': checkpoints would not be HDF5 files; unset it", vol);
    if (tf32 && strcmp(tf32, "1") == 0 && strcmp(backend, "cuda") == 0 && precision == DT_F32)
        return dt_fail(
            err, DT_ERR_USAGE,
            "NVIDIA_TF32_OVERRIDE is '1': --precision fp32 would compute in tf32; unset it, or use "
            "--precision tf32");
    return DT_OK;
}

void dt_settings_computed_by(const char *backend, const char *comm, dt_computed_by *out)
{
    const bool uses[] = {[BY_CPU] = strcmp(backend, "cpu") == 0,
                         [BY_CUDA] = strcmp(backend, "cuda") == 0,
                         [BY_NCCL] = strcmp(comm, "nccl") == 0,
                         [BY_ALL] = true};
    char text[DT_SETTINGS_MAX * (DT_SETTING_NAME_BYTES + DT_SETTING_VALUE_BYTES)] = "";
    dt_settings settings;
    dt_settings_read(&settings);
    for (int64_t i = 0; i < settings.n; i++) {
        const size_t used = strlen(text);
        const int row = row_of(settings.found[i].name);
        if (row >= 0 && uses[rows[row].reader] && !rows[row].is_shown_elsewhere)
            snprintf(text + used, sizeof text - used, "%s%s=%s", used ? " " : "", settings.found[i].name,
                     settings.found[i].value);
    }
    if (text[0])
        dt_computed_by_add(out, "environment", "%s", text);
}

void dt_settings_of_threads(char *out, size_t out_bytes)
{
    out[0] = '\0';
    for (size_t i = 0; i < sizeof of_threads / sizeof of_threads[0]; i++) {
        const char *value = getenv(of_threads[i]);
        const size_t used = strlen(out);
        if (value && value[0] && used + 1 < out_bytes)
            snprintf(out + used, out_bytes - used, "%s%s=%s", used ? ", " : "", of_threads[i], value);
    }
}
