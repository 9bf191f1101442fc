/* dtrain info: the program's version, its parts, and what it finds on this machine. */
#include "config.h"

#include "comm/efa.h"
#include "comm/mpi.h"
#include "core/base/shared_library.h"
#include "core/base/units.h"
#include "launch/commands/commands.h"
#include "launch/estimate/roofline.h"
#include "launch/hardware/affinity.h"
#include "launch/hardware/backends.h"
#include "launch/hardware/machine.h"
#include "launch/hardware/topology.h"
#include "launch/hardware/transports.h"
#include "launch/show/output.h"
#include "launch/show/table.h"
#ifdef DT_WITH_CUDA
#    include "comm/nccl/api.h"
#    include "layers/cuda/cudnn_library.h"
#    include "layers/cuda/device_cuda.h"
#    include "layers/cuda/gpu_info_cuda.h"
#endif

#ifdef HAVE_CURL
#    include <curl/curl.h>
#endif
#ifdef HAVE_EXPAT
#    include <expat.h>
#endif
#include <hdf5.h>
#ifdef HAVE_HWLOC
#    include <hwloc.h>
#endif
#ifdef DT_WITH_CPU
#    include <oneapi/dnnl/dnnl.h>
#endif
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

static const dt_command_usage usage = {
    .name = "dtrain info",
    .doc =
        "Show the version, what was built in, and what is found on this machine: MPI, processors, memory, "
        "GPUs. Under mpirun each rank prints what it finds. With --plans: what a training would do on a GPU. "
        "With --json: one object, whose member built_in is the same wherever the same program runs.",
    .bit = DT_COMMAND_INFO,
};

/* -- parts that are built in ----------------------------------------------------------------------------- */

#ifdef DT_WITH_CUDA
static void add_cudnn(dt_table *table)
{
    char version[32], path[DT_PATH_BYTES];
    dt_error why = {0};
    if (dt_cudnn_library_open(&why) != DT_OK) {
        dt_table_add_pair(table, "cuDNN", "built with %s; %s", DT_CUDNN_VERSION, why.message);
        return;
    }
    dt_cudnn_library_describe(version, sizeof version, path, sizeof path);
    dt_table_add_pair(table, "cuDNN", "%s, from %s (built with %s)", version, path, DT_CUDNN_VERSION);
}

static void add_nccl(dt_table *table)
{
#    ifdef DT_WITH_NCCL
    int number = 0;
    char version[32], path[DT_PATH_BYTES];
    dt_error why = {0};
    const dt_nccl_api *nccl = dt_nccl_library(&why);
    if (!nccl) {
        dt_table_add_pair(table, "NCCL", "built with %s; %s", DT_NCCL_VERSION, why.message);
        return;
    }
    (void)nccl->version(&number);
    dt_shared_library_version(number, version, sizeof version);
    dt_nccl_library_path(path, sizeof path);
    dt_table_add_pair(table, "NCCL", "%s, from %s (built with %s)", version, path, DT_NCCL_VERSION);
#    else
    dt_table_add_pair(table, "NCCL", "not built in: no --comm nccl; " DT_WHY_NO_NCCL);
#    endif
}

static void add_cuda(dt_table *table)
{
    dt_cuda_versions versions;
    dt_device_cuda_versions(&versions);
    dt_table_add_pair(table, "CUDA", "%s (built in, with nvcc %s), newest that the driver supports: %s",
                      versions.runtime, DT_NVCC_VERSION, versions.driver);
    dt_table_add_pair(table, "CUDA kernels", "compiled for compute capabilities %s", DT_CUDA_ARCHS);
    add_cudnn(table);
    add_nccl(table);
}

#    ifdef DT_WITH_NCCL
/* NCCL reports its network only when it starts, so start it: with one rank, on the first GPU. */
static void add_network(dt_table *table)
{
    char text[128] = "";
    dt_device *device = NULL;
    dt_error why = {0};
    dt_status status = dt_device_cuda_create(0, 1, &device, &why);
    if (status == DT_OK) {
        status = dt_transport_describe_network(device, text, sizeof text, &why);
        device->ops->destroy(device);
    }
    dt_table_add_pair(table, "network", "%s", status == DT_OK ? text : why.message);
}
#    endif

static void add_gpus(dt_table *table, const dt_machine *m)
{
    char text[256] = "";
    int n = dt_device_cuda_count(text, sizeof text);
    if (n == 0)
        dt_table_add_pair(table, "GPUs", "%d in this host, none can be used: %s", m->n_gpus, text);
    for (int i = 0; i < n; i++) {
        dt_device_cuda_describe(i, text, sizeof text);
        dt_table_add_pair(table, i ? "" : "GPUs", "%d: %s", i, text);
    }
#    ifdef DT_WITH_NCCL
    if (n > 0)
        add_network(table);
#    endif
}
#else
static void add_cuda(dt_table *table)
{
    dt_table_add_pair(table, "CUDA, cuDNN, NCCL",
                      "not built in: no --backend cuda, no --comm nccl; " DT_WHY_NO_CUDA);
}

static void add_gpus(dt_table *table, const dt_machine *m)
{
    char gpus[512] = "";
    for (int i = 0; i < m->n_gpus; i++)
        snprintf(gpus + strlen(gpus), sizeof gpus - strlen(gpus), "%s%s", gpus[0] ? ", " : "",
                 m->gpu_model[i]);
    if (m->n_gpus > 0)
        dt_table_add_pair(table, "GPUs", "%d: %s%s%s; this build has no cuda backend", m->n_gpus, gpus,
                          m->gpu_driver[0] ? "; driver " : "", m->gpu_driver);
    else
        dt_table_add_pair(table, "GPUs", "none found");
}
#endif

static void add_onednn(dt_table *table)
{
#ifdef DT_WITH_CPU
    const dnnl_version_t *v = dnnl_version();
    dt_table_add_pair(table, "oneDNN", "%d.%d.%d (built with %s)", v->major, v->minor, v->patch,
                      DT_ONEDNN_VERSION);
#else
    dt_table_add_pair(table, "oneDNN", "not built in: no --backend cpu; " DT_WHY_NO_ONEDNN);
#endif
}

static void add_hwloc(dt_table *table)
{
#ifdef HAVE_HWLOC
    const unsigned version = hwloc_get_api_version(); /* of its interface: there is no other */
    dt_table_add_pair(table, "hwloc", "interface %u.%u (built with %s)", version >> 16, version >> 8 & 0xff,
                      DT_HWLOC_VERSION);
#else
    dt_table_add_pair(table, "hwloc", "not built in: ranks do not choose processors; " DT_WHY_NO_HWLOC);
#endif
}

static dt_status add_built_in(dt_table *table, dt_error *err)
{
    char mpi[128], hdf5[32];
    unsigned major = 0, minor = 0, release = 0;
    dt_comm_mpi_library(mpi, sizeof mpi);
    (void)H5get_libversion(&major, &minor, &release);
    snprintf(hdf5, sizeof hdf5, "%u.%u.%u", major, minor, release);
    dt_table_add_pair(table, "dtrain", "%s", PACKAGE_VERSION);
    dt_table_add_pair(table, "compiler", "%s, CFLAGS %s, sanitizer %s", DT_BUILD_CC, DT_BUILD_CFLAGS,
                      DT_BUILD_SANITIZER);
    dt_table_add_pair(table, "backends", "%s", dt_backend_list());
    dt_table_add_pair(table, "communication", "%s", dt_transport_list());
    DT_TRY(dt_table_add_rule(table, err));
    dt_table_add_pair(table, "MPI", "%s (built with %s)", mpi, DT_MPI_VERSION);
    dt_table_add_pair(table, "HDF5", "%s (built with %s)", hdf5, DT_HDF5_VERSION);
    dt_table_add_pair(table, "libjpeg-turbo", "%s", DT_JPEG_VERSION);
    add_onednn(table);
    dt_table_add_pair(table, "jansson", "%s", DT_JANSSON_VERSION);
    dt_table_add_pair(table, "libconfig", "%s", DT_LIBCONFIG_VERSION);
    dt_table_add_pair(table, "xxHash", "%u.%u.%u (built with %s)", XXH_versionNumber() / 10000,
                      XXH_versionNumber() / 100 % 100, XXH_versionNumber() % 100, DT_XXHASH_VERSION);
#ifdef HAVE_CURL
    dt_table_add_pair(table, "libcurl", "%s (built with %s)", curl_version_info(CURLVERSION_NOW)->version,
                      DT_CURL_VERSION);
#else
    dt_table_add_pair(table, "libcurl", "not built in: no --spot imds; " DT_WHY_NO_CURL);
#endif
#ifdef HAVE_EXPAT
    dt_table_add_pair(table, "expat", "%s (built with %s)", XML_ExpatVersion() + strlen("expat_"),
                      DT_EXPAT_VERSION);
#else
    dt_table_add_pair(table, "expat", "not built in: no requests to AWS; " DT_WHY_NO_EXPAT);
#endif
    add_hwloc(table);
    add_cuda(table);
    return DT_OK;
}

/* -- this machine ---------------------------------------------------------------------------------------- */

static void add_topology(dt_table *table)
{
    dt_topology *t = NULL;
    dt_error why = {0};
    if (dt_topology_open(NULL, &t, &why) != DT_OK)
        return;
    dt_table_add_pair(table, "topology", "%d socket%s, %d NUMA node%s, %d L3 cache%s, %d core%s",
                      t->n_sockets, t->n_sockets == 1 ? "" : "s", t->n_numa, t->n_numa == 1 ? "" : "s",
                      t->n_l3, t->n_l3 == 1 ? "" : "s", t->n_cores, t->n_cores == 1 ? "" : "s");
    dt_topology_close(t);
}

/* No row where there is no EFA and none is expected. */
static void add_efa(dt_table *table)
{
    char mend[500] = "";
    dt_efa efa;
    dt_efa_read("", &efa);
    const bool is_expected = dt_efa_is_expected(efa.machine_type);
    if (is_expected && efa.state != DT_EFA_READY)
        dt_efa_mend(&efa, mend, sizeof mend);
    if (efa.n_devices > 0)
        dt_table_add_pair(table, "EFA", "%lld device%s, such as %s%s%s", (long long)efa.n_devices,
                          efa.n_devices == 1 ? "" : "s", efa.device, mend[0] ? "; " : "", mend);
    else if (is_expected)
        dt_table_add_pair(table, "EFA", "not used: %s", mend);
}

static void add_found(dt_table *table)
{
    char cpus[256] = "";
    dt_launch_env env;
    dt_machine m;
    dt_cpus set;
    int core_of[DT_CPUS_MAX];
    dt_launch_env_read(&env);
    dt_machine_read(&m);
    (void)dt_cpus_read(0, &set);
    dt_machine_format_cpus(&set, cpus, sizeof cpus);
    dt_affinity_read_cores(core_of);
    dt_table_add_pair(table, "host", "%s", m.host);
    if (env.launcher)
        dt_table_add_pair(table, "started by", "%s, rank %d of %d", env.launcher, env.rank, env.size);
    else
        dt_table_add_pair(table, "started by", "hand: one rank; '" DT_MPIRUN_NAME " -np N dtrain' gives N");
    dt_table_add_pair(table, "processor", "%s", m.cpu_model[0] ? m.cpu_model : "not known");
    dt_table_add_pair(table, "CPU features", "%s",
                      m.cpu_features[0] ? m.cpu_features : "none that the kernels use");
    dt_table_add_pair(table, "CPUs", "%d of %lld may be used: %s", dt_cpus_count(&set),
                      (long long)m.n_cpus_online, cpus);
    add_topology(table);
    if (m.quota_cpus > 0)
        dt_table_add_pair(table, "control group", "limits this to %.2f CPUs' worth of time", m.quota_cpus);
    dt_table_add_pair(table, "cores", "%lld for a single rank",
                      (long long)dt_affinity_share(&set, 1, 0, core_of, m.quota_cpus));
    if (m.memory_limit_bytes > 0)
        dt_table_add_pair(table, "memory", "%.1f GiB, %.1f available, limited to %.1f by the control group",
                          DT_TO_GIB(m.memory_bytes), DT_TO_GIB(m.memory_available_bytes),
                          DT_TO_GIB(m.memory_limit_bytes));
    else
        dt_table_add_pair(table, "memory", "%.1f GiB, %.1f available", DT_TO_GIB(m.memory_bytes),
                          DT_TO_GIB(m.memory_available_bytes));
    add_gpus(table, &m);
    add_efa(table);
}

static dt_status print_plans(const dt_options *options, dt_error *err)
{
    DT_TRY(dt_roofline_print(options, stdout, err));
    return fflush(stdout) == 0 ? DT_OK : dt_fail_errno(err, "cannot print the result");
}

static dt_status print_table(dt_error *err)
{
    dt_table *table = NULL;
    DT_TRY(dt_table_create(NULL, 2, &table, err));
    dt_status status = add_built_in(table, err);
    if (status == DT_OK)
        status = dt_table_add_rule(table, err);
    if (status == DT_OK) {
        add_found(table);
        status = dt_table_print(table, stdout, dt_table_utf8(), dt_table_columns(stdout), err);
    }
    dt_table_destroy(table);
    return status;
}

/* Parts and machine apart: scripts compare the parts of several machines. */
static dt_status print_json(dt_error *err)
{
    dt_table *parts = NULL, *machine = NULL;
    json_t *built_in = NULL, *found = NULL;
    dt_status status = dt_table_create(NULL, 2, &parts, err);
    if (status == DT_OK)
        status = dt_table_create(NULL, 2, &machine, err);
    if (status == DT_OK)
        status = add_built_in(parts, err);
    if (status == DT_OK) {
        add_found(machine);
        status = dt_table_to_json(parts, &built_in, err);
    }
    if (status == DT_OK)
        status = dt_table_to_json(machine, &found, err);
    if (status == DT_OK) {
        json_t *object = json_pack("{s:O, s:O}", "built_in", built_in, "machine", found);
        status = dt_output_json(object, stdout, err);
        json_decref(object);
    }
    json_decref(built_in);
    json_decref(found);
    dt_table_destroy(parts);
    dt_table_destroy(machine);
    return status;
}

dt_status dt_command_info(int argc, char **argv, dt_session *session, dt_error *err)
{
    dt_options options;
    (void)session;
    DT_TRY(dt_options_parse(&usage, argc, argv, &options, err));
    options.config.precision = options.precision == DT_PRECISION_AUTO ? dt_backend_usual_precision("cuda")
                                                                      : dt_options_dtype(&options);
    if (options.plans)
        return print_plans(&options, err);
    DT_TRY(options.json ? print_json(err) : print_table(err));
    return fflush(stdout) == 0 ? DT_OK : dt_fail_errno(err, "cannot print the result");
}
