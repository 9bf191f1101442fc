#include "config.h"

#include "launch/hardware/backends.h"

#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#ifdef DT_WITH_CUDA
#    include "layers/cuda/cudnn_library.h"
#    include "layers/cuda/cudnn_runner.h"
#    include "layers/cuda/device_cuda.h"
#    include "layers/cuda/gpu_info_cuda.h"
#    include "layers/cuda/kernels_cuda.h"
#    include "layers/cuda/nvtx.h"
#endif

#include <stdio.h>
#include <string.h>

/* Creates the device. DT_ERR_UNSUPPORTED: not in this build, or not on this machine. */
typedef dt_status create_device(const dt_backend_options *options, dt_device **device, dt_error *err);
/* Creates the kernels on backend->device, and the library that they need. `plans`: kernels that only plan.
 * On failure *backend holds what was created until then. */
typedef dt_status create_kernels(const dt_backend_options *options, bool plans, dt_backend *backend,
                                 dt_error *err);

#ifdef DT_WITH_CUDA
static void destroy_runner(void *library)
{
    dt_graph_runner *runner = library;
    runner->ops->destroy(runner);
}

/* Where there is no GPU and no cuDNN either, the error says both at once. */
static dt_status create_gpu(const dt_backend_options *options, dt_device **device, dt_error *err)
{
    dt_error library = {0};
    dt_status status = dt_device_cuda_create(options->local_rank, options->local_size, device, err);
    if (status == DT_ERR_UNSUPPORTED && err && dt_cudnn_library_open(&library) != DT_OK)
        return dt_fail(err, status, "%s; and %s", err->message, library.message);
    return status;
}

static dt_status create_cuda(const dt_backend_options *options, bool plans, dt_backend *backend,
                             dt_error *err)
{
    const dt_cudnn_options cudnn = {.autotune = plans ? DT_AUTOTUNE_OFF : options->autotune,
                                    .workspace_limit_bytes = DT_CUDNN_WORKSPACE_LIMIT_BYTES};
    const dt_cuda_options cuda = {.dtype = options->precision, .plan_only = plans};
    dt_graph_runner *runner = NULL;
    DT_TRY(dt_cudnn_runner_create(backend->device, &cudnn, &runner, err));
    backend->library = runner;
    backend->library_destroy = destroy_runner;
    return dt_kernels_cuda_create(backend->device, runner, &cuda, &backend->kernels, err);
}

static void cuda_computed_by(const dt_backend *backend, dt_computed_by *out)
{
    char cudnn[32], path[DT_PATH_BYTES];
    dt_cuda_versions versions;
    dt_device_info info = {0};
    dt_device_cuda_versions(&versions);
    dt_cudnn_library_describe(cudnn, sizeof cudnn, path, sizeof path);
    backend->device->ops->info(backend->device, &info);
    /* the name ends at the first comma; the GPU's number on this host comes after it */
    dt_computed_by_add(out, "GPU", "%.*s", (int)strcspn(info.name, ","), info.name);
    dt_computed_by_add(out, "CUDA", "%s", versions.runtime);
    dt_computed_by_add(out, "CUDA driver", "%s", versions.driver);
    dt_computed_by_add(out, "cuDNN", "%s", cudnn);
}
#else
static dt_status create_gpu(const dt_backend_options *options, dt_device **device, dt_error *err)
{
    (void)options, (void)device;
    return dt_fail(err, DT_ERR_UNSUPPORTED, "this build has no cuda backend: " DT_WHY_NO_CUDA);
}

#    define create_cuda NULL
#endif

static dt_status create_host(const dt_backend_options *options, dt_device **device, dt_error *err)
{
    return dt_device_host_create(options->n_threads, device, err);
}

#ifdef DT_WITH_CPU
#    define create_cpu_device create_host

static dt_status create_cpu(const dt_backend_options *options, bool plans, dt_backend *backend, dt_error *err)
{
    (void)plans;
    DT_TRY(dt_kernels_cpu_create(backend->device, options->n_threads, &backend->kernels, err));
    backend->team = dt_kernels_cpu_team(backend->kernels);
    backend->has_team = true;
    return DT_OK;
}

static void cpu_computed_by(const dt_backend *backend, dt_computed_by *out)
{
    dt_kernels_cpu_computed_by(backend->kernels, out);
}
#else
static dt_status create_cpu_device(const dt_backend_options *options, dt_device **device, dt_error *err)
{
    (void)options, (void)device;
    return dt_fail(err, DT_ERR_UNSUPPORTED,
                   "this build has no cpu backend: it was configured without oneDNN (--backend ref needs "
                   "none, and is slow)");
}

#    define create_cpu NULL
#    define cpu_computed_by NULL
#endif

static dt_status create_ref(const dt_backend_options *options, bool plans, dt_backend *backend, dt_error *err)
{
    (void)plans;
    return dt_kernels_ref_create(backend->device, options->precision, &backend->kernels, err);
}

/* Best first. */
static const struct {
    const char *name;
    bool is_built;
    bool low_precision; /* also computes in fp16, bf16 and tf32 */
    dt_dtype usual;     /* precision, where the user leaves the choice */
    bool by_auto;       /* a candidate for "auto" */
    create_device *create_device;
    create_kernels *create_kernels;
    /* NULL: no library changes its results */
    void (*computed_by)(const dt_backend *backend, dt_computed_by *out);
} backends[] = {
#ifdef DT_WITH_CUDA
    {"cuda", true, true, DT_F16, true, create_gpu, create_cuda, cuda_computed_by},
#else
    {"cuda", false, true, DT_F16, true, create_gpu, create_cuda, NULL},
#endif
#ifdef DT_WITH_CPU
    {"cpu", true, false, DT_F32, true, create_cpu_device, create_cpu, cpu_computed_by},
#else
    {"cpu", false, false, DT_F32, true, create_cpu_device, create_cpu, cpu_computed_by},
#endif
    {"ref", true, true, DT_F32, false, create_host, create_ref, NULL},
};
enum { N_BACKENDS = sizeof backends / sizeof backends[0] };

const char *const *dt_backend_names(void)
{
    static const char *names[N_BACKENDS + 2] = {"auto"};
    for (int i = 0; i < N_BACKENDS; i++)
        names[i + 1] = backends[i].name;
    return names;
}

const char *dt_backend_list(void)
{
    static char list[64];
    list[0] = '\0';
    for (int i = 0; i < N_BACKENDS; i++)
        if (backends[i].is_built)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", list[0] ? ", " : "",
                     backends[i].name);
    return list;
}

dt_dtype dt_backend_usual_precision(const char *name)
{
    for (int i = 0; i < N_BACKENDS; i++)
        if (strcmp(name, backends[i].name) == 0)
            return backends[i].usual;
    return DT_F32;
}

void dt_backend_destroy(dt_backend *backend)
{
    if (backend->kernels)
        backend->kernels->ops->destroy(backend->kernels);
    if (backend->library)
        backend->library_destroy(backend->library);
    if (backend->device && !backend->device_is_borrowed)
        backend->device->ops->destroy(backend->device);
    *backend = (dt_backend){0};
}

static dt_status create(int row, const dt_backend_options *given, dt_backend *backend, dt_error *err)
{
    dt_backend_options own = *given;
    const dt_backend_options *options = &own;
    own.precision = given->choose_precision ? backends[row].usual : given->precision;
    if (options->precision != DT_F32 && !backends[row].low_precision)
        return dt_fail(err, DT_ERR_USAGE,
                       "--precision %s needs a GPU: --backend %s computes in fp32 alone (--backend ref "
                       "rounds as a GPU would, slowly)",
                       dt_dtype_name(options->precision), backends[row].name);
    dt_status status = backends[row].create_device(options, &backend->device, err);
    if (status == DT_OK)
        status = backends[row].create_kernels(options, false, backend, err);
    if (status != DT_OK)
        dt_backend_destroy(backend);
    return status;
}

static dt_status create_by_name(const char *name, const dt_backend_options *options, dt_backend *backend,
                                dt_error *err)
{
    for (int i = 0; i < N_BACKENDS; i++) {
        if (strcmp(name, backends[i].name) != 0)
            continue;
        dt_status status = create(i, options, backend, err);
        return status == DT_ERR_UNSUPPORTED ? dt_error_prefix(err, "--backend %s", name) : status;
    }
    return dt_fail(err, DT_ERR_USAGE, "--backend: there is no '%s'", name);
}

/* Backend "auto". Also tries backends that are not built in: if none works, the error gives each reason. */
static dt_status create_best(const dt_backend_options *options, dt_backend *backend, dt_error *err)
{
    char why[sizeof backend->why_no_gpu] = "", reasons[2 * sizeof backend->why_no_gpu + 4] = "";
    dt_error mine = {0};
    dt_status status = DT_ERR_UNSUPPORTED;
    for (int i = 0; i < N_BACKENDS && status == DT_ERR_UNSUPPORTED; i++) {
        if (!backends[i].by_auto)
            continue;
        status = create(i, options, backend, &mine);
        if (status != DT_ERR_UNSUPPORTED)
            break;
        const size_t used = strlen(reasons);
        if (backends[i].is_built)
            memcpy(why, mine.message, sizeof why);
        snprintf(reasons + used, sizeof reasons - used, "%s%s", used ? "; " : "", mine.message);
    }
    if (status == DT_ERR_UNSUPPORTED)
        return dt_fail(err, status, "--backend auto finds nothing to compute on: %s", reasons);
    if (status == DT_ERR_USAGE && why[0])
        return dt_fail(err, status,
                       "--precision %s needs a GPU, and none can be used: %s (--backend ref rounds as a GPU "
                       "would, slowly)",
                       dt_dtype_name(options->precision), why);
    if (status == DT_OK)
        memcpy(backend->why_no_gpu, why, sizeof why);
    else if (err)
        *err = mine;
    return status;
}

dt_status dt_backend_create(const char *name, const dt_backend_options *options, dt_backend *backend,
                            dt_error *err)
{
    *backend = (dt_backend){0};
    return strcmp(name, "auto") == 0 ? create_best(options, backend, err)
                                     : create_by_name(name, options, backend, err);
}

void dt_backend_gpu_address(const char *name, int local_rank, int local_size, char *address,
                            size_t address_bytes)
{
    address[0] = '\0';
#ifdef DT_WITH_CUDA
    if ((strcmp(name, "auto") == 0 || strcmp(name, "cuda") == 0) && dt_cudnn_library_open(NULL) == DT_OK)
        dt_device_cuda_address(local_rank, local_size, address, address_bytes);
#else
    (void)name, (void)local_rank, (void)local_size, (void)address_bytes;
#endif
}

dt_status dt_backend_create_planner(const dt_backend *backend, const dt_backend_options *options,
                                    dt_backend *planner, dt_error *err)
{
    *planner = (dt_backend){.device = backend->device, .device_is_borrowed = true};
    dt_status status = dt_fail(err, DT_ERR_INTERNAL, "there is no backend %s", backend->kernels->ops->name);
    for (int i = 0; i < N_BACKENDS; i++)
        if (strcmp(backend->kernels->ops->name, backends[i].name) == 0)
            status = backends[i].create_kernels(options, true, planner, err);
    if (status != DT_OK)
        dt_backend_destroy(planner);
    return status;
}

void dt_backend_computed_by(const dt_backend *backend, dt_computed_by *out)
{
    const char *name = backend->kernels->ops->name;
    dt_computed_by_add(out, "backend", "%s", name);
    if (backend->kernels->dtype != DT_F32) /* older checkpoints in FP32 do not have it */
        dt_computed_by_add(out, "reduced precision", "%s", dt_dtype_name(backend->kernels->dtype));
    for (int i = 0; i < N_BACKENDS; i++)
        if (strcmp(name, backends[i].name) == 0 && backends[i].computed_by)
            backends[i].computed_by(backend, out);
}

void dt_backend_name_layers(const dt_backend *backend, dt_net *net)
{
#ifdef DT_WITH_CUDA
    if (strcmp(backend->kernels->ops->name, "cuda") == 0)
        dt_nvtx_observe(net);
#else
    (void)backend, (void)net;
#endif
}
