#include "core/model/memory_plan.h"

#include "core/base/alloc.h"

#include <stdlib.h>

typedef struct order_entry {
    int64_t bytes, index;
} order_entry;

static int larger_first(const void *a, const void *b)
{
    const order_entry *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static int64_t round_up(int64_t bytes)
{
    return (bytes + DT_ALIGNMENT - 1) / DT_ALIGNMENT * DT_ALIGNMENT;
}

static bool live_together(const dt_planned_block *a, const dt_planned_block *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* `placed` holds n_placed block indices in the order of their offsets. */
static int64_t lowest_gap(const dt_planned_block *blocks, const int64_t *placed, int64_t n_placed,
                          const dt_planned_block *block)
{
    int64_t at = 0;
    for (int64_t i = 0; i < n_placed; i++) {
        const dt_planned_block *other = &blocks[placed[i]];
        if (!live_together(block, other))
            continue;
        if (at + round_up(block->bytes) <= other->offset)
            break;
        int64_t end = other->offset + round_up(other->bytes);
        if (end > at)
            at = end;
    }
    return at;
}

dt_status dt_memory_plan(dt_planned_block *blocks, int64_t n, int64_t *total_bytes, dt_error *err)
{
    int64_t total = 0;
    size_t count = (size_t)(n > 0 ? n : 1);
    order_entry *order = dt_alloc(count * sizeof *order);
    int64_t *placed = dt_alloc(count * sizeof *placed);
    if (!order || !placed) {
        dt_free(order);
        dt_free(placed);
        return dt_fail_memory(err, count * (sizeof *order + sizeof *placed), "the memory plan");
    }
    for (int64_t i = 0; i < n; i++)
        order[i] = (order_entry){blocks[i].bytes, i};
    qsort(order, (size_t)n, sizeof *order, larger_first);
    for (int64_t i = 0; i < n; i++) {
        dt_planned_block *block = &blocks[order[i].index];
        block->offset = lowest_gap(blocks, placed, i, block);
        int64_t k = i;
        while (k > 0 && blocks[placed[k - 1]].offset > block->offset) {
            placed[k] = placed[k - 1];
            k--;
        }
        placed[k] = order[i].index;
        if (block->offset + round_up(block->bytes) > total)
            total = block->offset + round_up(block->bytes);
    }
    dt_free(order);
    dt_free(placed);
    *total_bytes = total;
    return DT_OK;
}
