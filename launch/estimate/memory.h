/* memory.h: estimates how much of the device's memory a rank needs for a batch, before anything is allocated.
 * For --batch auto, and to refuse a batch that is too large.
 *
 *   const dt_memory_query query = {.spec = &spec, .kernels = planner.kernels, .device = device,
 *                                  .n_sharing = 1, .image_size = 224, .training = true};
 *   DT_TRY(dt_memory_estimate_batch(&query, 256, &estimate, err));   estimate.total_bytes, free_bytes
 *   DT_TRY(dt_memory_largest_batch(&query, 65536, &batch, err));     the largest batch that fits
 *
 * Local. Allocates tables only: nets are built with dt_net_options.plan_only.
 */
#ifndef DT_LAUNCH_ESTIMATE_MEMORY_H
#define DT_LAUNCH_ESTIMATE_MEMORY_H

#include "core/model/net.h"

typedef struct dt_memory_query {
    const dt_net_spec *spec;
    dt_kernels *kernels; /* a planner's: dt_backend_create_planner in launch/hardware/backends.h */
    dt_device *device;   /* whose memory is estimated */
    int n_sharing;       /* ranks that share it: those of this host on a CPU, 1 on a GPU */
    int64_t image_size;  /* the largest that will be used, in pixels */
    bool training, ema;
    int n_writers;    /* ranks that write a share of each checkpoint; 0: no checkpoints are written */
    bool with_margin; /* reserve a twentieth of a GPU's free memory too, as --batch auto does */
} dt_memory_query;

typedef struct dt_memory_estimate {
    int64_t activation_bytes, parameter_bytes;
    int64_t backend_bytes;  /* workspace, derived weights */
    int64_t input_bytes;    /* batches of images that are loaded ahead */
    int64_t snapshot_bytes; /* upper bound of this rank's copy of the state (core/checkpoint/snapshot.h) */
    int64_t reserve_bytes;  /* for libraries and communication */
    int64_t total_bytes;    /* the sum of these */
    int64_t free_bytes;     /* this rank's share of the free memory; 0: not known, so everything fits */
} dt_memory_estimate;

/* DT_ERR_MEMORY (for tables), or the error of building the net: DT_ERR_USAGE if the image is too small. */
dt_status dt_memory_estimate_batch(const dt_memory_query *query, int64_t batch, dt_memory_estimate *estimate,
                                   dt_error *err);

static inline bool dt_memory_estimate_fits(const dt_memory_estimate *estimate)
{
    return estimate->free_bytes == 0 || estimate->total_bytes <= estimate->free_bytes;
}

/* *batch: the largest batch up to max_batch that fits, among 1 to 8, 16, 24, 32 and then powers of two and
 * the middle between two of them (48, 64, 96, 128 ...); 0: not even one image fits. Errors as above. */
dt_status dt_memory_largest_batch(const dt_memory_query *query, int64_t max_batch, int64_t *batch,
                                  dt_error *err);

#endif
