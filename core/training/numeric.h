/* numeric.h: the end of a training whose numbers are not finite any more: the error says what to change, and
 * which checkpoint the next start resumes from.
 *
 *   return dt_numeric_fail(&training, committed_step, err, "the loss is not finite (%g) at step %lld", ...);
 */
#ifndef DT_CORE_TRAINING_NUMERIC_H
#define DT_CORE_TRAINING_NUMERIC_H

#include "core/training/training.h"

/* Local; called on all ranks with the same values, so that the error is shared. DT_ERR_NUMERIC with the
 * formatted message, and after it the advice. committed_step: of the newest checkpoint; -1: none. If it is
 * the one that this start resumed from, a restart ends in the same way: then the message names the checkpoint
 * before it, and how to go back to that. */
dt_status dt_numeric_fail(const dt_training *training, int64_t committed_step, dt_error *err,
                          const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
