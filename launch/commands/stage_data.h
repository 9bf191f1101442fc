/* stage_data.h: --data from S3 or an HTTP server is copied to each host's disk before a training uses it.
 *
 *   DT_TRY(dt_stage_data(session->comm, &options, err));        options.config.data is a folder now
 */
#ifndef DT_LAUNCH_COMMANDS_STAGE_DATA_H
#define DT_LAUNCH_COMMANDS_STAGE_DATA_H

#include "core/comm.h"
#include "launch/options/options.h"
#include "launch/stage/stage.h"

/* What the options say about S3, for a copy. Borrows their texts. */
void dt_stage_options_from(const dt_options *options, dt_stage_options *stage);

/* Collective. If --data is an address: copies it, unless every host has a complete copy of it already, and
 * sets options->config.data to this host's folder. Else does nothing. Errors of dt_stage_run;
 * DT_ERR_USAGE: no folder was given, and there is none where one could be made; or the folder is another
 * user's. */
dt_status dt_stage_data(dt_comm *comm, dt_options *options, dt_error *err);

/* The folder for a source where none was given: BASE/dtrain-data/NAME-HASH, in which BASE is $TMPDIR,
 * /scratch or /var/tmp, the first that exists and that this user may write. Public for tests, which have
 * another list: `bases`, ended by NULL, in place of /scratch and /var/tmp. DT_ERR_USAGE: there is none. */
dt_status dt_stage_choose_folder(const char *source, const char *const *bases, char folder[DT_PATH_BYTES],
                                 dt_error *err);

#endif
