#include "config.h"

#include "launch/estimate/memory.h"

#include "layers/registry.h"

#include <string.h>

/* On a GPU: a workspace for tuning (up to 1 GiB), NCCL's buffers, captured graphs. */
#define GPU_RESERVE_BYTES (INT64_C(1536) << 20)
/* What --batch auto leaves free besides, a twentieth: cuDNN and NCCL load their kernels when they first need
 * them, and another cuDNN or NCCL may need more. */
#define GPU_MARGIN_SHARE 20
/* On a CPU: MPI's buffers and the system's caches; a twentieth of the free memory. */
#define HOST_RESERVE_SHARE 20
/* Batches in memory at a time. On a GPU: the current and the next one. On a host: those of two loaders, for
 * training and validation (io/source/loader_ring.c). */
#define GPU_BATCHES 2
#define HOST_BATCHES 8

/* A rank's share of the state, and those parts of the tensors at its two ends that are outside it. */
static int64_t snapshot_bytes(const dt_net_info *info, int n_writers)
{
    return n_writers == 0   ? 0
           : n_writers == 1 ? info->state_bytes
                            : info->state_bytes / n_writers + 2 * info->largest_bytes;
}

dt_status dt_memory_estimate_batch(const dt_memory_query *query, int64_t batch, dt_memory_estimate *estimate,
                                   dt_error *err)
{
    const dt_net_options options = {.batch = batch,
                                    .image_size = query->image_size,
                                    .training = query->training,
                                    .ema = query->ema,
                                    .plan_only = true};
    dt_net *net = NULL;
    dt_net_info info;
    dt_device_info device;
    DT_TRY(dt_net_create(query->spec, dt_layer_registry(), query->kernels, &options, &net, err));
    dt_net_get_info(net, &info);
    dt_net_destroy(net);
    query->device->ops->info(query->device, &device);
    int64_t free_bytes = query->device->ops->memory_free(query->device) / query->n_sharing;
    /* A backend with weights and gradients of two bytes keeps them in addition to those of four. */
    const bool has_halves = !device.is_host && dt_dtype_bytes(query->kernels->dtype) == 2;
    const int64_t halves = has_halves ? info.n_params * (query->training ? 4 : 2) : 0;
    const int64_t gpu_reserve = GPU_RESERVE_BYTES + (query->with_margin ? free_bytes / GPU_MARGIN_SHARE : 0);
    *estimate =
        (dt_memory_estimate){.activation_bytes = info.activation_bytes,
                             .parameter_bytes = info.parameter_bytes,
                             .backend_bytes = info.backend_bytes + halves,
                             .input_bytes = (device.is_host ? HOST_BATCHES : GPU_BATCHES) * batch *
                                            query->image_size * query->image_size * 3,
                             .snapshot_bytes = snapshot_bytes(&info, query->n_writers),
                             .reserve_bytes = device.is_host ? free_bytes / HOST_RESERVE_SHARE : gpu_reserve,
                             .free_bytes = free_bytes};
    estimate->total_bytes = estimate->activation_bytes + estimate->parameter_bytes + estimate->backend_bytes +
                            estimate->input_bytes + estimate->snapshot_bytes + estimate->reserve_bytes;
    return DT_OK;
}

/* 1, 2, ... 7, 8, 16, 24, 32, 48, 64, 96, 128, 192, ... */
static int64_t candidate(int index)
{
    static const int64_t first[] = {1, 2, 3, 4, 5, 6, 7, 8, 16, 24};
    enum { N_FIRST = sizeof first / sizeof first[0] };
    if (index < N_FIRST)
        return first[index];
    index -= N_FIRST;
    return (index % 2 ? INT64_C(48) : INT64_C(32)) << (index / 2);
}

dt_status dt_memory_largest_batch(const dt_memory_query *query, int64_t max_batch, int64_t *batch,
                                  dt_error *err)
{
    int fits = -1, beyond = 0; /* indices of the largest candidate known to fit, the smallest known not to */
    while (candidate(beyond) <= max_batch)
        beyond++;
    while (beyond - fits > 1) {
        int middle = (fits + beyond) / 2;
        dt_memory_estimate estimate;
        DT_TRY(dt_memory_estimate_batch(query, candidate(middle), &estimate, err));
        if (dt_memory_estimate_fits(&estimate))
            fits = middle;
        else
            beyond = middle;
    }
    *batch = fits < 0 ? 0 : candidate(fits);
    return DT_OK;
}
