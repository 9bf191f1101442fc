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
    dt_kernels *kernels; /* that only plan: launch/hardware/backends.h */
    dt_device *device;   /* whose memory it is */
    int n_sharing;       /* ranks that share it: those of this host on a CPU, 1 on a GPU */
    int64_t image_size;  /* the largest that will be used */
    bool training, ema;
    int n_writers; /* ranks that write checkpoints, a share each; 0: none are written */
} dt_memory_query;

typedef struct dt_memory_estimate {
    int64_t activation_bytes, parameter_bytes;
    int64_t backend_bytes;  /* workspace, derived weights */
    int64_t input_bytes;    /* batches on their way */
    int64_t snapshot_bytes; /* the copy of a rank's share of the state (core/checkpoint/snapshot.h), at
                               most */
    int64_t reserve_bytes;  /* what others take beside the net: libraries, communication */
    int64_t total_bytes;    /* all of these */
    int64_t free_bytes; /* this rank's share of what is free now; 0: not known, and then everything fits */
} dt_memory_estimate;

/* DT_ERR_MEMORY (for tables), and what building the net says: DT_ERR_USAGE for an image that is too small. */
dt_status dt_memory_estimate_batch(const dt_memory_query *query, int64_t batch, dt_memory_estimate *estimate,
                                   dt_error *err);

static inline bool dt_memory_estimate_fits(const dt_memory_estimate *estimate)
{
    return estimate->free_bytes == 0 || estimate->total_bytes <= estimate->free_bytes;
}

/* The largest batch up to max_batch that fits: 8 to 32 in steps of 8, then powers of two and what lies half
 * way between two; below 8 any. 0: not even one image fits. Errors as above. */
dt_status dt_memory_largest_batch(const dt_memory_query *query, int64_t max_batch, int64_t *batch,
                                  dt_error *err);

#endif
