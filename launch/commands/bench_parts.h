/* bench_parts.h: what `dtrain bench` measures with: the parts of a training, opened as a training opens them,
 * in a folder of their own that is removed at the end.
 *
 *   DT_TRY(dt_bench_open(&parts, &session, &options, err));
 *   ... parts.net, parts.train, parts.store ...
 *   dt_bench_close(&parts);
 */
#ifndef DT_LAUNCH_COMMANDS_BENCH_PARTS_H
#define DT_LAUNCH_COMMANDS_BENCH_PARTS_H

#include "core/model/net.h"
#include "launch/commands/session.h"
#include "launch/estimate/memory.h"
#include "launch/run/checkpoint_folders.h"

typedef struct dt_bench_parts {
    const dt_session *session;
    dt_options *options; /* borrowed; config.data is set to the photographs where it named nothing */
    char scratch[DT_PATH_BYTES - 64]; /* rank 0 has made it; "": not made */
    bool has_photographs;             /* that bench has written */
    double preparing_s;               /* what no start of a training does: writing them, a download */
    dt_source *synthetic;             /* random pixels, in the numbers of `train` */
    dt_source *train, *val;           /* val: NULL where the data has none */
    dt_net *net;
    dt_run_locks locks; /* none: the folder is nobody else's */
    dt_checkpoint_folders checkpoints;
    dt_memory_estimate memory;
} dt_bench_parts;

/* Collective. On failure, what was opened is closed and the folder removed. DT_ERR_USAGE, DT_ERR_IO,
 * DT_ERR_MEMORY, DT_ERR_INTERRUPTED; errors of the backend. */
dt_status dt_bench_open(dt_bench_parts *parts, const dt_session *session, dt_options *options, dt_error *err);
/* Local; rank 0 removes the folder. */
void dt_bench_close(dt_bench_parts *parts);

#endif
