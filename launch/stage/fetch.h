/* fetch.h: reads batches into memory, on threads of its own: one for the source, one for this node's disk.
 *
 *   DT_TRY(dt_stage_fetch_create(&options, &fetch, err));
 *   dt_stage_fetch_add(fetch, batch);                              to be read
 *   slot = dt_stage_fetch_take(fetch, 0.02);                       one that has been read, or NULL
 *   dt_stage_fetch_release(fetch, slot);                           any thread, when it has been written
 *   dt_stage_fetch_stop(fetch);          then destroy the sources, which may still read into the slots
 *   dt_stage_fetch_destroy(fetch);
 */
#ifndef DT_LAUNCH_STAGE_FETCH_H
#define DT_LAUNCH_STAGE_FETCH_H

#include "launch/stage/block.h"
#include "launch/stage/source.h"

typedef struct dt_stage_fetch dt_stage_fetch;

/* A batch in memory. */
typedef struct dt_stage_slot {
    int64_t batch;
    char *block; /* [DT_STAGE_BLOCK_BYTES] */
    struct dt_stage_slot *next;
    int64_t n_open; /* pieces that have not come; the reading thread's */
    dt_stage_read *reads;
} dt_stage_slot;

typedef struct dt_stage_fetch_options {
    const dt_stage_plan *plan;
    dt_stage_source *source, *disk; /* borrowed; disk NULL: no batch is on this node's disk */
    int max_slots;                  /* batches in memory, at least 2 */
} dt_stage_fetch_options;

/* DT_ERR_MEMORY. */
dt_status dt_stage_fetch_create(const dt_stage_fetch_options *options, dt_stage_fetch **fetch, dt_error *err);

/* Enqueues a batch. Any thread. DT_ERR_MEMORY. */
dt_status dt_stage_fetch_add(dt_stage_fetch *fetch, int64_t batch, dt_error *err);

/* How many more batches from the source would keep it busy: 0 while enough are waiting, or in memory. */
int dt_stage_fetch_wanted(dt_stage_fetch *fetch);

/* A batch that has been read; waits for one, most_s at most. NULL: none. The caller releases it. */
dt_stage_slot *dt_stage_fetch_take(dt_stage_fetch *fetch, double most_s);
void dt_stage_fetch_release(dt_stage_fetch *fetch, dt_stage_slot *slot);

/* DT_OK, or the first error of a read, after which nothing is read any more. */
dt_status dt_stage_fetch_status(dt_stage_fetch *fetch, dt_error *err);

/* Of the source, as they were a moment ago: its own function belongs to the thread that uses it. */
void dt_stage_fetch_get_stats(dt_stage_fetch *fetch, dt_stage_source_stats *stats);

/* Ends the threads after what they do, and waits for them. NULL is fine. */
void dt_stage_fetch_stop(dt_stage_fetch *fetch);
/* After stop, and after the sources are gone. All slots have been released. NULL is fine. */
void dt_stage_fetch_destroy(dt_stage_fetch *fetch);

#endif
