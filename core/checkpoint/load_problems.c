/* load_problems.c: the damaged and missing files of one checkpoint: each rank keeps its own, rank 0 logs
 * all. */
#include "core/checkpoint/load_internal.h"

#include "core/base/log.h"

#include <stdio.h>

#define MAX_LINES 20 /* logged about one checkpoint */

dt_status dt_load_problem_add(dt_loading *l, int from, int64_t shard, dt_status status, const dt_error *err)
{
    if (!dt_checkpoint_is_skippable(status))
        return status;
    if (l->n_problems < DT_MAX_LOAD_PROBLEMS)
        l->problems[l->n_problems++] = (dt_load_problem){shard, from, *err};
    return DT_OK;
}

dt_status dt_load_problems_log(dt_loading *l, const char *before, const char *after, dt_error *err)
{
    dt_comm *comm = l->comm;
    int64_t n_logged = 0;
    for (int line = 0; line < MAX_LINES; line++) {
        char text[DT_ERROR_MESSAGE_BYTES] = "";
        int64_t first = n_logged < l->n_problems ? comm->rank : comm->size;
        DT_TRY(comm->ops->all_reduce(comm, &first, 1, DT_I64, DT_REDUCE_MIN, err));
        if (first == comm->size)
            break;
        if (first == comm->rank && comm->size > 1)
            snprintf(text, sizeof text, "rank %d on %s: %.900s", comm->rank, comm->host,
                     l->problems[n_logged++].error.message);
        else if (first == comm->rank)
            snprintf(text, sizeof text, "%s", l->problems[n_logged++].error.message);
        DT_TRY(comm->ops->broadcast(comm, text, sizeof text, (int)first, err));
        if (comm->rank == 0)
            dt_log_warn("checkpoint: %s%s%s", before, text, after);
    }
    return DT_OK;
}
