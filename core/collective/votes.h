/* votes.h: the ranks' votes, which travel with every step (dt_step_inputs.votes): each rank votes 0 or 1, and
 * all ranks read the counts after the step. */
#ifndef DT_CORE_COLLECTIVE_VOTES_H
#define DT_CORE_COLLECTIVE_VOTES_H

#include "core/kernels.h"

enum {
    DT_VOTE_STOP,     /* this rank was asked to stop */
    DT_VOTE_SAVE,     /* this rank was asked for a checkpoint */
    DT_VOTE_WRITTEN,  /* this rank is ready for the next phase of the checkpoint that is being written
                         (core/checkpoint/writer.h) */
    DT_VOTE_MIRRORED, /* the same for the checkpoint that is being copied to the mirror */
    DT_N_VOTES_USED
};
_Static_assert((int)DT_N_VOTES_USED == (int)DT_N_VOTES, "a step carries as many votes as the trainer has");

#endif
