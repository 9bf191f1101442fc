/* agreement.h: votes between ranks. Every function is collective and blocking.
 *
 *   dt_error mine = {0};
 *   dt_status s = open_something(&mine);
 *   s = dt_agree(comm, s, &mine);       all ranks get the same answer: nobody is left alone in the next
 *                                       collective
 */
#ifndef DT_CORE_COLLECTIVE_AGREEMENT_H
#define DT_CORE_COLLECTIVE_AGREEMENT_H

#include "core/comm.h"

/* Each rank brings its status, and its error if it failed. DT_OK if all brought DT_OK; otherwise every rank
 * gets the status and message of the lowest rank that failed, with err->shared set. The message is as it is
 * where all ranks failed with it; else it has "rank R on HOST: " in front, or "N of M ranks, the first is
 * rank R on HOST: " where others have the same. An error of the vote's own collectives is not shared. */
dt_status dt_agree(dt_comm *comm, dt_status mine, dt_error *err);

/* One named value that must be the same everywhere. */
typedef struct dt_same {
    const char *field; /* "batch", "classes and files", "gradient layout" */
    const char *value; /* as text, at most 255 bytes compared */
} dt_same;

/* DT_OK if all n fields are equal on all ranks; otherwise DT_ERR_USAGE naming the first differing field with
 * the ranks and values ("--batch differs between ranks: 32 on ranks 0-2, 64 on rank 3 (node7)"), the same
 * message on every rank, with err->shared set. */
dt_status dt_check_same(dt_comm *comm, const dt_same *fields, int64_t n, dt_error *err);

#endif
