/* grad_buckets.h: sum the gradients over all ranks during the backward pass.
 *
 *   dt_grad_buckets_create(comm, grads, n_elems, parts, n_parts, bucket_bytes, DT_F32, &buckets, err);
 *   per step, for the last micro-batch:
 *     dt_grad_buckets_begin(buckets);
 *     dt_grad_buckets_ready(buckets, part, err);   after the layer that writes the part; in any order
 *     dt_grad_buckets_finish(buckets, &wait_s, err);
 *
 * The flat gradient vector is cut into buckets of about bucket_bytes, from its end on, which backward fills
 * first. As soon as all parts of a bucket are ready its sum is started (all_reduce_start). All ranks must
 * report parts in the same order. With one rank nothing is sent.
 */
#ifndef DT_CORE_COLLECTIVE_GRAD_BUCKETS_H
#define DT_CORE_COLLECTIVE_GRAD_BUCKETS_H

#include "core/comm.h"

typedef struct dt_grad_buckets dt_grad_buckets;

/* A range of the flat vector that becomes ready as a whole: one parameter, or a group of them. Parts are
 * ascending, do not overlap, and cover 0..n_elems-1. */
typedef struct dt_grad_part {
    int64_t first, n; /* elements */
    bool exact;       /* sent as float32 whatever the wire's type: statistics, counts */
} dt_grad_part;

/* Borrows comm and grads (device memory, n_elems float32); copies parts. bucket_bytes >= 4; buckets are
 * larger where there would be more than 64. `wire` is F32, F16 or BF16 (comm.h); with a 16-bit wire exact
 * parts get buckets of their own. The first bucket to fill is an eighth as large as the others, so that
 * sending starts early. DT_ERR_INTERNAL: parts do not cover the vector. DT_ERR_MEMORY. */
dt_status dt_grad_buckets_create(dt_comm *comm, float *grads, int64_t n_elems, const dt_grad_part *parts,
                                 int64_t n_parts, int64_t bucket_bytes, dt_dtype wire,
                                 dt_grad_buckets **buckets, dt_error *err);
void dt_grad_buckets_destroy(dt_grad_buckets *buckets);

/* Begin a step: no part is ready. */
void dt_grad_buckets_begin(dt_grad_buckets *buckets);
/* Whether dt_grad_buckets_ready(buckets, part) will start a sum, which reads the gradients of the bucket. */
bool dt_grad_buckets_starts_sum(const dt_grad_buckets *buckets, int64_t part);
/* Report that a part is ready. Starts the sum of its bucket if that is the last part, and lets sums under way
 * advance. DT_ERR_INTERNAL: the part was reported before, or does not exist. Errors of the communicator. */
dt_status dt_grad_buckets_ready(dt_grad_buckets *buckets, int64_t part, dt_error *err);
/* Wait for all sums. *wait_s (may be NULL) is the time spent in this call, in seconds. DT_ERR_INTERNAL: a
 * part was not reported. Errors of the communicator. */
dt_status dt_grad_buckets_finish(dt_grad_buckets *buckets, double *wait_s, dt_error *err);

int64_t dt_grad_buckets_count(const dt_grad_buckets *buckets);

#endif
