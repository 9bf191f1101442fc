/* state_check.h: whether the values of a state can be trained or evaluated with: no NaN, nothing infinite, no
 * negative variance.
 *
 *   DT_TRY(dt_state_check("param/fc.weight", values, n, err));
 *
 * Checkpoints and exports are checked while they are written, and weights and checkpoints while they are
 * read, so that a state that is not finite neither gets onto a disk nor comes from there.
 */
#ifndef DT_CORE_CHECKPOINT_STATE_CHECK_H
#define DT_CORE_CHECKPOINT_STATE_CHECK_H

#include "core/store.h"

/* Local. Check the n values of a tensor of this name, with or without "param/" and the like.
 * DT_ERR_NUMERIC: the message names the tensor, the first bad element and its value. */
dt_status dt_state_check(const char *name, const float *values, int64_t n, dt_error *err);

/* As dt_state_check for a part of a tensor, which begins with its element `first`. */
dt_status dt_state_check_part(const char *name, const float *values, int64_t n, int64_t first, dt_error *err);

/* Local, blocking. Check every tensor of a state; `io` needs get only. Stops at the first one that fails,
 * with its error. DT_ERR_MEMORY; errors of get. */
dt_status dt_state_check_all(const dt_state_layout *layout, const dt_state_io *io, dt_error *err);

#endif
