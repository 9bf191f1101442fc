/* fused_main.c: tests/gpu/fused_times.h on the first GPU.
 *
 *   fused_main [BATCH [ARCH [PIXELS]]]      256, resnet50 and 224 by default
 *
 * Engines are tuned as by --autotune full, and remembered in the cache that dtrain uses. */
#include "layers/cuda/cudnn_runner.h"
#include "layers/cuda/device_cuda.h"
#include "tests/gpu/fused_times.h"

#include <stdlib.h>

static dt_status print_times(const dt_fused_times_options *options, dt_error *err)
{
    const dt_cudnn_options cudnn = {.autotune = DT_AUTOTUNE_FULL,
                                    .workspace_limit_bytes = DT_CUDNN_WORKSPACE_LIMIT_BYTES};
    dt_device *device = NULL;
    dt_graph_runner *runner = NULL;
    DT_TRY(dt_device_cuda_create(0, 1, &device, err));
    dt_status status = dt_cudnn_runner_create(device, &cudnn, &runner, err);
    if (status == DT_OK)
        status = dt_fused_times_print(device, runner, options, stdout, err);
    if (runner)
        runner->ops->destroy(runner);
    device->ops->destroy(device);
    return status;
}

int main(int argc, char **argv)
{
    const dt_fused_times_options options = {.batch = argc > 1 ? atol(argv[1]) : 256,
                                            .arch = argc > 2 ? argv[2] : "resnet50",
                                            .image_size = argc > 3 ? atol(argv[3]) : 224,
                                            .n_runs = 10};
    dt_error err = {0};
    if (argc > 4 || options.batch < 1 || options.image_size < 1) {
        fprintf(stderr, "fused_main [BATCH [ARCH [PIXELS]]]\n");
        return 2;
    }
    if (print_times(&options, &err) == DT_OK)
        return 0;
    fprintf(stderr, "fused_main: %s\n", err.message);
    return 1;
}
