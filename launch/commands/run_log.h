/* run_log.h: the lines that rank 0 logs when a training begins, and when it is done. Local. */
#ifndef DT_LAUNCH_COMMANDS_RUN_LOG_H
#define DT_LAUNCH_COMMANDS_RUN_LOG_H

#include "core/model/net.h"
#include "launch/commands/session.h"
#include "launch/estimate/memory.h"

/* All borrowed. */
typedef struct dt_run_log {
    const dt_options *options;
    const dt_session *session;
    dt_net *net;
    dt_source *train, *val; /* val: NULL without images to evaluate on */
    const dt_memory_estimate *memory;
} dt_run_log;

/* Whether this is a measurement instead of a training: it writes no files, and evaluates nothing. */
static inline bool dt_run_log_only_measures(const dt_options *o)
{
    return o->input == DT_INPUT_SYNTHETIC || o->profile_steps > 0;
}

/* Log what is trained, on what, in which memory, and where the results go. */
void dt_run_log_start(const dt_run_log *log);

/* Log where the results are; after the demo also what to try next. */
void dt_run_log_end(const dt_options *options, bool is_demo);

#endif
