/* dtrain info: what this program is, what was built in, what it finds on this machine. */
#include "config.h"

#include "comm/mpi.h"
#include "core/base/units.h"
#include "launch/affinity.h"
#include "launch/backends.h"
#include "launch/commands.h"
#include "launch/machine.h"
#include "launch/plans.h"
#include "launch/ranks.h"
#include "launch/table.h"
#ifdef DT_WITH_CUDA
#include "layers/cuda/device_cuda.h"
#endif

#ifdef HAVE_CURL
#include <curl/curl.h>
#endif
#include <hdf5.h>
#ifdef DT_WITH_NCCL
#include <nccl.h>
#endif
#ifdef DT_WITH_CPU
#include <oneapi/dnnl/dnnl.h>
#endif
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define ADD(...)   DT_TRY(dt_table_add_pair(table, err, __VA_ARGS__))

static const dt_command_usage usage = {
    .name = "dtrain info",
    .doc = "Show the version, what was built in, and what is found on this machine: MPI, processors, memory, GPUs. Under mpirun each "
           "rank tells what it sees. With --plans: what a training would do on a GPU.",
    .bit = DT_COMMAND_INFO,
};

/* -- what was built in -------------------------------------------------------------------------------------------- */

#ifdef DT_WITH_CUDA
static dt_status add_cuda(dt_table *table, dt_error *err)
{
    dt_cuda_versions versions;
    dt_device_cuda_versions(&versions);
    ADD("CUDA", "%s (built in, with nvcc %s), newest that the driver supports: %s", versions.runtime, DT_NVCC_VERSION, versions.driver);
    ADD("CUDA kernels", "compiled for compute capabilities %s", DT_CUDA_ARCHS);
    ADD("cuDNN", "%s (built with %s)", versions.cudnn, DT_CUDNN_VERSION);
#ifdef DT_WITH_NCCL
    int nccl = 0;
    (void)ncclGetVersion(&nccl);
    ADD("NCCL", "%d.%d.%d (built with %s)", nccl / 10000, nccl / 100 % 100, nccl % 100, DT_NCCL_VERSION);
#else
    ADD("NCCL", "not built in: no --comm nccl");
#endif
    return DT_OK;
}

#ifdef DT_WITH_NCCL
/* NCCL tells its network only when it starts: with one rank, on the first GPU. */
static dt_status add_network(dt_table *table, dt_error *err)
{
    char text[128] = "";
    dt_device *device = NULL;
    dt_error why = {0};
    dt_status status = dt_device_cuda_create(0, 1, &device, &why);
    if (status == DT_OK) {
        status = dt_ranks_network(device, text, sizeof text, &why);
        device->ops->destroy(device);
    }
    ADD("network", "%s", status == DT_OK ? text : why.message);
    return DT_OK;
}
#endif

static dt_status add_gpus(dt_table *table, const dt_machine *m, dt_error *err)
{
    char text[256] = "";
    int n = dt_device_cuda_count(text, sizeof text);
    if (n == 0)
        ADD("GPUs", "%d in this host, none to be used: %s", m->n_gpus, text);
    for (int i = 0; i < n; i++) {
        dt_device_cuda_describe(i, text, sizeof text);
        ADD(i ? "" : "GPUs", "%d: %s", i, text);
    }
#ifdef DT_WITH_NCCL
    if (n > 0)
        DT_TRY(add_network(table, err));
#endif
    return DT_OK;
}
#else
static dt_status add_cuda(dt_table *table, dt_error *err)
{
    ADD("CUDA, cuDNN, NCCL", "not built in: no --backend cuda, no --comm nccl");
    return DT_OK;
}

static dt_status add_gpus(dt_table *table, const dt_machine *m, dt_error *err)
{
    char gpus[512] = "";
    for (int i = 0; i < m->n_gpus; i++)
        snprintf(gpus + strlen(gpus), sizeof gpus - strlen(gpus), "%s%s", gpus[0] ? ", " : "", m->gpu_model[i]);
    if (m->n_gpus > 0)
        ADD("GPUs", "%d: %s%s%s; this build has no cuda backend", m->n_gpus, gpus, m->gpu_driver[0] ? "; driver " : "", m->gpu_driver);
    else
        ADD("GPUs", "none found");
    return DT_OK;
}
#endif

static dt_status add_onednn(dt_table *table, dt_error *err)
{
#ifdef DT_WITH_CPU
    const dnnl_version_t *v = dnnl_version();
    ADD("oneDNN", "%d.%d.%d (built with %s)", v->major, v->minor, v->patch, DT_ONEDNN_VERSION);
#else
    ADD("oneDNN", "not built in: no --backend cpu");
#endif
    return DT_OK;
}

static dt_status add_built_in(dt_table *table, dt_error *err)
{
    char mpi[128], hdf5[32];
    unsigned major = 0, minor = 0, release = 0;
    dt_comm_mpi_library(mpi, sizeof mpi);
    (void)H5get_libversion(&major, &minor, &release);
    snprintf(hdf5, sizeof hdf5, "%u.%u.%u", major, minor, release);
    ADD("dtrain", "%s", PACKAGE_VERSION);
    ADD("compiler", "%s, CFLAGS %s, sanitizer %s", DT_BUILD_CC, DT_BUILD_CFLAGS, DT_BUILD_SANITIZER);
    ADD("backends", "%s", dt_backend_list());
    ADD("communication", "%s", dt_comm_list());
    DT_TRY(dt_table_add_rule(table, err));
    ADD("MPI", "%s (built with %s)", mpi, DT_MPI_VERSION);
    ADD("HDF5", "%s (built with %s)", hdf5, DT_HDF5_VERSION);
    ADD("libjpeg-turbo", "%s", DT_JPEG_VERSION);
    DT_TRY(add_onednn(table, err));
    ADD("jansson", "%s", DT_JANSSON_VERSION);
    ADD("libconfig", "%s", DT_LIBCONFIG_VERSION);
    ADD("xxHash", "%u.%u.%u (built with %s)", XXH_versionNumber() / 10000, XXH_versionNumber() / 100 % 100, XXH_versionNumber() % 100,
        DT_XXHASH_VERSION);
#ifdef HAVE_CURL
    ADD("libcurl", "%s (built with %s)", curl_version_info(CURLVERSION_NOW)->version, DT_CURL_VERSION);
#else
    ADD("libcurl", "not built in: no --spot imds");
#endif
    return add_cuda(table, err);
}

/* -- what is found ------------------------------------------------------------------------------------------------ */

static dt_status add_found(dt_table *table, dt_error *err)
{
    char cpus[256] = "";
    dt_launch_env env;
    dt_machine m;
    cpu_set_t set;
    int core_of[CPU_SETSIZE];
    dt_launch_env_read(&env);
    dt_machine_read(&m);
    CPU_ZERO(&set);
    (void)sched_getaffinity(0, sizeof set, &set);
    dt_machine_format_cpus(&set, cpus, sizeof cpus);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        core_of[cpu] = cpu < m.n_cpus_online ? dt_machine_core_of(cpu) : cpu;
    ADD("host", "%s", m.host);
    if (env.launcher)
        ADD("started by", "%s, rank %d of %d", env.launcher, env.rank, env.size);
    else
        ADD("started by", "hand: one rank; '" DT_MPIRUN_NAME " -np N dtrain' gives N");
    ADD("processor", "%s", m.cpu_model[0] ? m.cpu_model : "not known");
    ADD("CPU features", "%s", m.cpu_features[0] ? m.cpu_features : "none that the kernels use");
    ADD("CPUs", "%d of %lld may be used: %s", CPU_COUNT(&set), (long long)m.n_cpus_online, cpus);
    if (m.quota_cpus > 0)
        ADD("control group", "limits this to %.2f CPUs' worth of time", m.quota_cpus);
    ADD("cores", "%lld for one rank by itself", (long long)dt_affinity_share(&set, 1, 0, core_of, m.quota_cpus));
    if (m.memory_limit_bytes > 0)
        ADD("memory", "%.1f GiB, %.1f available, limited to %.1f by the control group", DT_TO_GIB(m.memory_bytes), DT_TO_GIB(m.memory_available_bytes),
            DT_TO_GIB(m.memory_limit_bytes));
    else
        ADD("memory", "%.1f GiB, %.1f available", DT_TO_GIB(m.memory_bytes), DT_TO_GIB(m.memory_available_bytes));
    return add_gpus(table, &m, err);
}

dt_status dt_command_info(int argc, char **argv, dt_session *session, bool *local, dt_error *err)
{
    dt_options options;
    dt_table *table = NULL;
    (void)session;
    (void)local;
    DT_TRY(dt_options_parse(&usage, argc, argv, &options, err));
    if (options.plans)
        return dt_plans_show(&options, stdout, err);
    DT_TRY(dt_table_create(NULL, 2, &table, err));
    dt_status status = add_built_in(table, err);
    if (status == DT_OK)
        status = dt_table_add_rule(table, err);
    if (status == DT_OK)
        status = add_found(table, err);
    if (status == DT_OK)
        status = dt_table_print(table, stdout, dt_table_utf8(), 0, err);
    dt_table_destroy(table);
    return status;
}
