/* plan.h: what is still to be read, cut into batches (small objects of 2 MiB together, a part of 8 MiB),
 * and who reads which. Pure arithmetic: all nodes compute the same plan from the same listing and the same
 * bits.
 *
 *   DT_TRY(dt_stage_plan_make(&list, bits, n_nodes, NULL, &plan, err));
 *   plan.batches[b].node       the node that must read it; -1: any, from the source
 *   dt_stage_plan_free(&plan);
 *
 * Bits say what a node has on its disk: one for each object, then one for each part of a large object. An
 * object, or a part, that some node has and another lacks comes from that node's disk, not from the
 * source.
 */
#ifndef DT_LAUNCH_STAGE_PLAN_H
#define DT_LAUNCH_STAGE_PLAN_H

#include "launch/stage/listing.h"

enum { DT_STAGE_BATCH_PIECES = 256 }; /* at most */

/* An object, or a part of a large one. */
typedef struct dt_stage_piece {
    int64_t object, offset, bytes;
} dt_stage_piece;

typedef struct dt_stage_batch {
    int64_t first, n, bytes; /* pieces [first, first + n), in this order, with so many bytes together */
    int node;                /* that reads it; -1: any */
    bool on_disk;            /* `node` has it on its disk; else it is in the source */
} dt_stage_batch;

typedef struct dt_stage_plan {
    dt_stage_piece *pieces;
    dt_stage_batch *batches;
    int64_t n_pieces, n_batches;
    int64_t source_bytes, source_objects; /* to be read from the source; an object counts with its parts */
    int64_t disk_bytes;                   /* to be read from the nodes' disks, for other nodes */
} dt_stage_plan;

/* Bytes of a node's bits. */
int64_t dt_stage_bits_bytes(const dt_stage_listing *list);
bool dt_stage_bit(const unsigned char *bits, int64_t i);
void dt_stage_set_bit(unsigned char *bits, int64_t i);

/* bits: of all nodes, one after the other. keeper[object]: the only node that keeps it (--split); NULL:
 * all keep all. The caller frees *plan. DT_ERR_MEMORY. */
dt_status dt_stage_plan_make(const dt_stage_listing *list, const unsigned char *bits, int n_nodes,
                             const int *keeper, dt_stage_plan *plan, dt_error *err);
void dt_stage_plan_free(dt_stage_plan *plan);

/* --split: shares out the objects, each to the part with the fewest bytes so far, large ones first, in the
 * order of the keys: parts of equal size, with images of all classes. keeper[list->n]. DT_ERR_MEMORY. */
dt_status dt_stage_split(const dt_stage_listing *list, int n_parts, int *keeper, dt_error *err);

/* Which part each node keeps: stored[node] is the one that its disk has from an earlier start with as many
 * parts (-1: none), so that nodes which come in another order keep their own. parts[n]. */
void dt_stage_split_order(const int *stored, int n, int *parts);

#endif
