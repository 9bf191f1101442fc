/* agreement.h: let all ranks agree on a status, or on values. Every function is collective and blocks.
 *
 *   dt_error mine = {0};
 *   dt_status s = open_something(&mine);
 *   s = dt_agree(comm, s, &mine);       now the same on all ranks: all or none go on to collectives
 */
#ifndef DT_CORE_COLLECTIVE_AGREEMENT_H
#define DT_CORE_COLLECTIVE_AGREEMENT_H

#include "core/comm.h"

/* Each rank passes its status and, in *err, its error. Returns DT_OK if all ranks passed DT_OK. Otherwise
 * every rank gets the status and message of the lowest rank that failed, with err->shared set; its own error
 * is lost. If all ranks failed with that message it is unchanged. If only some did it begins with "N of M
 * ranks, the first is rank R on HOST: ", if only one did with "rank R on HOST: ". Errors of the collectives
 * that dt_agree calls are not shared. */
dt_status dt_agree(dt_comm *comm, dt_status mine, dt_error *err);

/* Local; called on all ranks with shared errors. Of two things that were both tried, whatever became of the
 * first: returns the first error, in *err (not NULL), and rank 0 logs a second one. `next` that only this
 * rank has, because of a collective that failed, replaces the first. */
dt_status dt_first_error(const dt_comm *comm, dt_status first, dt_error *err, dt_status next,
                         const dt_error *next_error);

/* A named value that must be the same on all ranks. */
typedef struct dt_same {
    const char *field; /* "--batch", "classes and files", "gradient layout" */
    const char *value; /* as text; at most 255 bytes are compared */
} dt_same;

/* Check that n fields are equal on all ranks. Otherwise DT_ERR_USAGE with the same message on every rank, and
 * err->shared set. It names the first field that differs, the values and the ranks: "--batch differs between
 * ranks: 32 on ranks 0-2, 64 on rank 3 (node7)". DT_ERR_MEMORY; errors of the communicator. */
dt_status dt_check_same(dt_comm *comm, const dt_same *fields, int64_t n, dt_error *err);

#endif
