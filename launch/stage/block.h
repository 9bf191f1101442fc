/* block.h: a batch in memory, as it is read, sent to other nodes and written: for each piece what the
 * source has said of its checksum, then the bytes of all pieces in their order.
 */
#ifndef DT_LAUNCH_STAGE_BLOCK_H
#define DT_LAUNCH_STAGE_BLOCK_H

#include "launch/stage/plan.h"

/* Of a piece that is a whole object. */
typedef struct dt_stage_sum {
    int64_t has_sum;
    dt_object_checksum sum;
} dt_stage_sum;

/* The data begins at a page, so that the disk can read it from memory (O_DIRECT). */
#define DT_STAGE_PAGE_BYTES ((int64_t)4096)
#define DT_STAGE_PAGES(bytes)                                                                                \
    (((bytes) + DT_STAGE_PAGE_BYTES - 1) / DT_STAGE_PAGE_BYTES * DT_STAGE_PAGE_BYTES)
#define DT_STAGE_BLOCK_BYTES                                                                                 \
    (DT_STAGE_PART_BYTES + DT_STAGE_PAGES((int64_t)DT_STAGE_BATCH_PIECES * (int64_t)sizeof(dt_stage_sum)))

/* The bytes before the data of a batch, and those of all of it. */
static inline int64_t dt_stage_block_head(const dt_stage_batch *batch)
{
    return DT_STAGE_PAGES(batch->n * (int64_t)sizeof(dt_stage_sum));
}

static inline int64_t dt_stage_block_bytes(const dt_stage_batch *batch)
{
    return dt_stage_block_head(batch) + batch->bytes;
}

#endif
