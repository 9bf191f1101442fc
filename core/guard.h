/* guard.h: interface to ask whether this process may still change files that another process may take over.
 *
 *   DT_TRY(dt_guard_check(guard, err));      right before a rename, a removal or a write
 *
 * A run that was paused (SIGSTOP, a suspended virtual machine) can have lost its lock meanwhile
 * (launch/run/run_lock.h). Whatever it does after that would damage the new owner's files.
 */
#ifndef DT_CORE_GUARD_H
#define DT_CORE_GUARD_H

#include "core/base/error.h"

typedef struct dt_guard {
    /* Local, thread-safe; may read a small file. DT_ERR_IO: the files belong to another process now, with its
     * name; stays so. */
    dt_status (*check)(void *context, dt_error *err);
    void *context;
} dt_guard;

/* guard NULL: nothing is shared, so DT_OK. */
static inline dt_status dt_guard_check(const dt_guard *guard, dt_error *err)
{
    return guard && guard->check ? guard->check(guard->context, err) : DT_OK;
}

#endif
