/* load_problems.c: what ranks find damaged or missing in one checkpoint: each keeps its own, rank 0 logs all. */
#include "core/checkpoint/load_internal.h"

#include "core/base/log.h"

#include <stdio.h>

#define MAX_LINES 20 /* of complaints about one checkpoint */

dt_status dt_complain(dt_loading *l, int source, int64_t shard, dt_status status, const dt_error *err)
{
    if (!dt_checkpoint_is_skippable(status))
        return status;
    if (l->n_complaints < DT_MAX_COMPLAINTS)
        l->complaints[l->n_complaints++] = (dt_complaint){shard, source, *err};
    return DT_OK;
}

/* Rank 0 logs what the ranks have to say, `outcome` behind it. */
dt_status dt_load_problems_log(dt_loading *l, const char *before, const char *behind, dt_error *err)
{
    dt_comm *comm = l->comm;
    int64_t n_told = 0;
    for (int line = 0; line < MAX_LINES; line++) {
        char text[DT_ERROR_MESSAGE_BYTES] = "";
        int64_t first = n_told < l->n_complaints ? comm->rank : comm->size;
        DT_TRY(comm->ops->all_reduce(comm, &first, 1, DT_I64, DT_REDUCE_MIN, err));
        if (first == comm->size)
            break;
        if (first == comm->rank && comm->size > 1)
            snprintf(text, sizeof text, "rank %d on %s: %.900s", comm->rank, comm->host,
                     l->complaints[n_told++].error.message);
        else if (first == comm->rank)
            snprintf(text, sizeof text, "%s", l->complaints[n_told++].error.message);
        DT_TRY(comm->ops->broadcast(comm, text, sizeof text, (int)first, err));
        if (comm->rank == 0)
            dt_log_warn("checkpoint: %s%s%s", before, text, behind);
    }
    return DT_OK;
}
