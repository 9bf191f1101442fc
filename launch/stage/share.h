/* share.h: one node reads a batch, and all write it: the rounds in which the nodes exchange what they have
 * read.
 *
 *   DT_TRY(dt_stage_share(&parts, &totals, err));         returns on all nodes when all batches are written
 *
 * In a round each node says in a few words what it has read, how much more it could read, and whether
 * something failed (one all-gather of 100 bytes); then all send a batch that they have read to all others
 * (an all-gather of 8 MiB each at most). Every node knows the whole plan and sees the same words, so that
 * all know without a master who reads what next: a node that reads faster reads more. Reading, exchanging
 * and writing go on at the same time.
 */
#ifndef DT_LAUNCH_STAGE_SHARE_H
#define DT_LAUNCH_STAGE_SHARE_H

#include "core/comm.h"
#include "launch/stage/fetch.h"
#include "launch/stage/files.h"
#include "launch/stage/writers.h"

/* What all nodes together have done. */
typedef struct dt_stage_totals {
    int64_t source_bytes,
        done_bytes; /* read from the source; read and exchanged, of plan.source_bytes + disk_bytes */
    int64_t lists, gets, heads, retries;
    int64_t width; /* connections now, on all nodes */
} dt_stage_totals;

typedef struct dt_stage_parts {
    dt_comm *comm; /* the nodes' */
    const dt_stage_plan *plan;
    dt_stage_fetch *fetch;
    dt_stage_writers *writers;
    bool reads_source;
    bool is_split; /* nodes keep what they have read, and send nothing */
    /* Called in each round on all nodes, at the same points; collective calls are allowed. */
    dt_status (*round)(void *context, const dt_stage_totals *totals, bool ticks, dt_error *err);
    void *context;
} dt_stage_parts;

/* Rounds until all batches have been exchanged; the writers may still have some. *totals is valid also
 * after an error. `ticks` of the callback is true about every 30 seconds. Errors are shared by all nodes:
 * those of reading and writing on any of them, and DT_ERR_INTERRUPTED. */
dt_status dt_stage_share(const dt_stage_parts *parts, dt_stage_totals *totals, dt_error *err);

#endif
