/* fault.h: named points in the code at which a test can make the program fail, stall or die.
 *
 *   if (dt_fault("checkpoint.rename")) return dt_fail(err, DT_ERR_IO, "...");
 *
 * DTRAIN_FAULT=NAME[@RANK]:COUNT[:ACTION][,...] arms points from the environment. When the program passes the
 * point NAME for the COUNT-th time (1 is the first), on rank RANK only if given, the point does ACTION:
 *
 *   fail            dt_fault returns true this once; the default
 *   always          dt_fault returns true from then on
 *   kill            the process sends SIGKILL to itself
 *   stop            the process sends SIGSTOP to itself
 *   exit            _exit(1)
 *   sleep=SECONDS   the thread sleeps
 *
 * While no point is armed, a point costs one load and one branch.
 */
#ifndef DT_CORE_BASE_FAULT_H
#define DT_CORE_BASE_FAULT_H

#include "core/base/error.h"

/* Disarm all points, then arm those of `spec` (the value of DTRAIN_FAULT) that are for this rank; NULL or ""
 * arms none. DT_ERR_USAGE: the spec is malformed; none is armed. Call it before other threads start. */
dt_status dt_fault_arm(const char *spec, int rank, dt_error *err);

/* Whether the caller must fail now. Other actions happen inside the call. Thread-safe. */
bool dt_fault(const char *name);

#endif
