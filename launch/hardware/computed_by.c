/* Collects the names and versions of everything that can change a bit of a training.
 *
 * Libraries that cannot change a bit are left out: MPI only moves bytes (dtrain itself sums between ranks, in
 * the order of the ranks), and HDF5 and jansson only store them. */
#include "config.h"

#include "launch/hardware/computed_by.h"

#include "comm/nccl/api.h"
#include "core/base/shared_library.h"
#include "launch/hardware/settings.h"

#include <string.h>
#ifdef __GLIBC__
#    include <gnu/libc-version.h>
#endif

/* Returns the instruction set that dtrain is compiled for; the kernels in layers/cpu/simd_*.c have others. */
static const char *compiled_for(void)
{
#if defined __AVX512F__ && defined __AVX512BW__ && defined __AVX512DQ__ && defined __AVX512VL__
    return "x86-64-v4";
#elif defined __AVX2__ && defined __FMA__
    return "x86-64-v3";
#elif defined __SSE4_2__
    return "x86-64-v2";
#elif defined __x86_64__
    return "x86-64";
#elif defined __ARM_FEATURE_SVE
    return "aarch64 with SVE";
#elif defined __aarch64__
    return "aarch64";
#else
    return "another processor";
#endif
}

/* NCCL chooses the order in which it sums. */
static void add_nccl(const dt_comm *comm, dt_computed_by *out)
{
    int number = 0;
    char version[32];
    const dt_nccl_api *nccl = strcmp(comm->ops->name, "nccl") == 0 ? dt_nccl_library(NULL) : NULL;
    if (!nccl)
        return;
    (void)nccl->version(&number);
    dt_shared_library_version(number, version, sizeof version);
    dt_computed_by_add(out, "NCCL", "%s", version);
}

void dt_computed_by_collect(const dt_backend *backend, const dt_comm *comm, dt_computed_by *out)
{
    memset(out, 0, sizeof *out);
    dt_computed_by_add(out, "dtrain", PACKAGE_VERSION);
    dt_backend_computed_by(backend, out);
    add_nccl(comm, out);
#ifdef __clang__
    dt_computed_by_add(out, "compiler", "clang %d.%d.%d for %s", __clang_major__, __clang_minor__,
                       __clang_patchlevel__, compiled_for());
#else
    dt_computed_by_add(out, "compiler", "GCC %d.%d.%d for %s", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__,
                       compiled_for());
#endif
#ifdef __GLIBC__
    dt_computed_by_add(out, "libc", "glibc %s", gnu_get_libc_version()); /* exp, log, cos */
#endif
    dt_computed_by_add(out, "libjpeg-turbo", DT_JPEG_VERSION); /* pixels */
    dt_settings_computed_by(backend->kernels->ops->name, comm->ops->name, out);
}
