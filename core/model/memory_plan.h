/* memory_plan.h: offsets for blocks with known lifetimes, so that blocks of different times share memory.
 *
 * The rule is greedy by size, which Pisarchyk and Lee (2020) found the best of the simple rules for
 * activations: the largest block first, each at the lowest offset where it overlaps no block that lives at
 * the same time. Deterministic.
 */
#ifndef DT_CORE_MODEL_MEMORY_PLAN_H
#define DT_CORE_MODEL_MEMORY_PLAN_H

#include "core/base/error.h"

#include <stdint.h>

typedef struct dt_planned_block {
    int64_t bytes;
    int64_t first, last; /* the ticks at which it lives, both included */
    int64_t offset;      /* output: bytes, a multiple of DT_ALIGNMENT */
} dt_planned_block;

/* Fill the offsets of blocks[n]; *total_bytes is the memory that all of them need together. DT_ERR_MEMORY. */
dt_status dt_memory_plan(dt_planned_block *blocks, int64_t n, int64_t *total_bytes, dt_error *err);

#endif
