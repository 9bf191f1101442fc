/* small_net.c: for programs that are dtrain itself with a small network: link it with
 * -Wl,--wrap=dt_resnet_spec,--wrap=dt_backend_create. All convolutions have 16 channels: a step takes
 * milliseconds, and a checkpoint of ResNet-18 has some 400 KB. A build without the cpu backend uses ref,
 * which is fast enough for this network. */
#include "config.h"

#include "launch/hardware/backends.h"
#include "layers/resnet.h"

#include <string.h>

enum { CHANNELS = 16 };

dt_status __real_dt_resnet_spec(const char *arch, int64_t n_classes, dt_net_spec *spec, dt_error *err);
dt_status __wrap_dt_resnet_spec(const char *arch, int64_t n_classes, dt_net_spec *spec, dt_error *err);
dt_status __real_dt_backend_create(const char *name, const dt_backend_options *options, dt_backend *backend,
                                   dt_error *err);
dt_status __wrap_dt_backend_create(const char *name, const dt_backend_options *options, dt_backend *backend,
                                   dt_error *err);

dt_status __wrap_dt_resnet_spec(const char *arch, int64_t n_classes, dt_net_spec *spec, dt_error *err)
{
    DT_TRY(__real_dt_resnet_spec(arch, n_classes, spec, err));
    for (int64_t i = 0; i < spec->n_layers; i++)
        if (strcmp(spec->layers[i].kind, "conv") == 0)
            spec->layers[i].channels = CHANNELS;
    return DT_OK;
}

dt_status __wrap_dt_backend_create(const char *name, const dt_backend_options *options, dt_backend *backend,
                                   dt_error *err)
{
#ifndef DT_WITH_CPU
    name = "ref";
#endif
    return __real_dt_backend_create(name, options, backend, err);
}
