/* votes.h: the votes that each rank casts in every step (dt_step_inputs.votes). All ranks read their sums
 * after the step. */
#ifndef DT_CORE_COLLECTIVE_VOTES_H
#define DT_CORE_COLLECTIVE_VOTES_H

#include "core/kernels.h"

enum {
    DT_VOTE_STOP,     /* this rank was asked to stop */
    DT_VOTE_SAVE,     /* this rank was asked for a checkpoint */
    DT_VOTE_WRITTEN,  /* this rank is ready for the next phase of the checkpoint being written (writer.h) */
    DT_VOTE_MIRRORED, /* this rank is ready for the next phase of the checkpoint being copied to the mirror */
    DT_N_VOTES_USED
};
_Static_assert((int)DT_N_VOTES_USED == (int)DT_N_VOTES, "a step carries one count for each of these votes");

#endif
