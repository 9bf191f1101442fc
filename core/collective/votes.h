/* votes.h: the questions that all ranks answer with every step, and whose counts they all read after it
 * (dt_step_inputs.votes). */
#ifndef DT_CORE_COLLECTIVE_VOTES_H
#define DT_CORE_COLLECTIVE_VOTES_H

#include "core/kernels.h"

enum {
    DT_VOTE_STOP,     /* this rank was asked to stop */
    DT_VOTE_SAVE,     /* this rank was asked for a checkpoint */
    DT_VOTE_WRITTEN,  /* this rank is ready for the next phase of the checkpoint that is being written
                         (writer.h) */
    DT_VOTE_MIRRORED, /* the same of the checkpoint that is being copied to the mirror */
    DT_N_VOTES_USED
};
_Static_assert((int)DT_N_VOTES_USED == (int)DT_N_VOTES,
               "a step carries as many votes as the trainer has questions");

#endif
