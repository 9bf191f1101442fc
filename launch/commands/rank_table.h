/* rank_table.h: the start's table of ranks: where each runs, and on what.
 *
 *   dt_rank_row_fill(session, &mine);                     on each rank; rows are gathered
 *   dt_rank_table_create(rows, comm->size, &table, err);  on rank 0
 *
 * Everything here is local.
 */
#ifndef DT_LAUNCH_COMMANDS_RANK_TABLE_H
#define DT_LAUNCH_COMMANDS_RANK_TABLE_H

#include "launch/commands/session.h"
#include "launch/show/table.h"

/* What each rank sends for its row. Plain data; unused bytes are zero. */
typedef struct dt_rank_row {
    char host[64], device[128];
    int64_t n_threads, n_workers;
    char cpus[64], near[64]; /* dt_affinity.cpus, as a list that may end with "..."; dt_affinity.near */
    int64_t is_far;
} dt_rank_row;

void dt_rank_row_fill(const dt_session *session, dt_rank_row *row);

/* rows[n], by rank. Of more than 32 ranks, those of a host that are alike but for their processors share a
 * row. The caller destroys the table. DT_ERR_MEMORY. */
dt_status dt_rank_table_create(const dt_rank_row *rows, int n, dt_table **table, dt_error *err);

/* Log a warning that names the ranks whose processors are not near their GPU; nothing if there are none. */
void dt_rank_table_warn(const dt_rank_row *rows, int n);

#endif
