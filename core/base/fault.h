/* fault.h: named points at which a test can make the program fail, stall or die.
 *
 *   if (dt_fault("checkpoint.rename")) return dt_fail(err, DT_ERR_IO, "...");
 *
 * DTRAIN_FAULT=NAME[@RANK]:COUNT[:ACTION][,...] arms points from the environment: at its COUNT-th passage (1
 * is the first) the point NAME (on that rank only, if given) does ACTION: `fail` (the default: dt_fault
 * returns true that once), `always` (true from then on), `kill` (SIGKILL to itself), `stop` (SIGSTOP), `exit`
 * (_exit(1)), `sleep=SECONDS`. While nothing is armed, a point costs one load and one branch.
 */
#ifndef DT_CORE_BASE_FAULT_H
#define DT_CORE_BASE_FAULT_H

#include "core/base/error.h"

/* Disarm all points, then arm those of `spec` (DTRAIN_FAULT's value) that are meant for this rank; NULL or ""
 * arms none. A malformed spec is DT_ERR_USAGE and arms none either. Call it before there are other
 * threads. */
dt_status dt_fault_arm(const char *spec, int rank, dt_error *err);

/* True when the point is to fail now. Other actions happen inside. Thread-safe. */
bool dt_fault(const char *name);

#endif
