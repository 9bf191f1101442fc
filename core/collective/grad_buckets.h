/* grad_buckets.h: sum the gradients over all ranks while backward goes on.
 *
 *   dt_grad_buckets_create(comm, grads, n_elems, parts, n_parts, bucket_bytes, DT_F32, &buckets, err);
 *   per step, for the last micro-batch:
 *     dt_grad_buckets_begin(buckets);
 *     dt_grad_buckets_ready(buckets, part, err);   after the layer that wrote that part; in any order
 *     dt_grad_buckets_finish(buckets, &wait_s, err);
 *
 * The flat gradient vector is cut into buckets of about bucket_bytes, from the end that backward fills first;
 * a bucket whose last part becomes ready is handed to comm->all_reduce_start at once. All ranks must report
 * parts in the same order. With one rank nothing is sent.
 */
#ifndef DT_CORE_COLLECTIVE_GRAD_BUCKETS_H
#define DT_CORE_COLLECTIVE_GRAD_BUCKETS_H

#include "core/comm.h"

/* The default. Smaller ones cost more per byte, and ResNet-50's 98 MiB would be more than 64; larger ones
 * leave more to wait for after the last layer. Measured: comm/README.md. */
#define DT_GRAD_BUCKET_BYTES (4 << 20)

typedef struct dt_grad_buckets dt_grad_buckets;

/* A run of the flat vector that becomes ready as a whole: one parameter, or a group of them. Parts are
 * ascending, do not overlap and cover all of 0..n_elems-1. */
typedef struct dt_grad_part {
    int64_t first, n; /* elements */
    bool exact;       /* travels as float32 whatever the wire's type: statistics, counts */
} dt_grad_part;

/* Borrows comm and grads (device memory, n_elems float32); copies parts. bucket_bytes >= 4. At most 64
 * buckets are made:
 * they grow if need be. `wire`: F32, F16 or BF16, as comm.h says; exact parts then have buckets of their own.
 * The first bucket to fill is an eighth as large, so that the wire starts early. */
dt_status dt_grad_buckets_create(dt_comm *comm, float *grads, int64_t n_elems, const dt_grad_part *parts,
                                 int64_t n_parts, int64_t bucket_bytes, dt_dtype wire,
                                 dt_grad_buckets **buckets, dt_error *err);
void dt_grad_buckets_destroy(dt_grad_buckets *buckets);

void dt_grad_buckets_begin(dt_grad_buckets *buckets);
/* May start an all-reduce; also lets those under way progress. DT_ERR_INTERNAL when a part is reported
 * twice. */
dt_status dt_grad_buckets_ready(dt_grad_buckets *buckets, int64_t part, dt_error *err);
/* Wait for all; *wait_s (may be NULL) is the time blocked here. DT_ERR_INTERNAL if a part was never
 * reported. */
dt_status dt_grad_buckets_finish(dt_grad_buckets *buckets, double *wait_s, dt_error *err);

int64_t dt_grad_buckets_count(const dt_grad_buckets *buckets);

#endif
