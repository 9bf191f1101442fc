/* memory_plan.h: put blocks with known lifetimes into as little memory as a simple rule finds.
 *
 * The largest block first, each at the lowest place where no block that lives at the same time is in the way
 * (greedy by size, best known of the simple rules for activations: Pisarchyk and Lee 2020). Deterministic.
 */
#ifndef DT_CORE_MODEL_MEMORY_PLAN_H
#define DT_CORE_MODEL_MEMORY_PLAN_H

#include "core/base/error.h"

#include <stdint.h>

typedef struct dt_planned_block {
    int64_t bytes;
    int64_t first, last; /* ticks at which it lives, both included */
    int64_t offset;      /* out: a multiple of DT_ALIGNMENT */
} dt_planned_block;

/* Fill the offsets; *total_bytes is what all of them need together. DT_ERR_MEMORY only. */
dt_status dt_memory_plan(dt_planned_block *blocks, int64_t n, int64_t *total_bytes, dt_error *err);

#endif
