/* run_folder.h: the folder that a run leaves behind.
 *
 *   OUT/config.conf      every option of this start; `dtrain --config OUT/config.conf` does the same again
 *       metrics.jsonl    one JSON object per line
 *       checkpoints/     step-00001234/ ...
 */
#ifndef DT_LAUNCH_RUN_FOLDER_H
#define DT_LAUNCH_RUN_FOLDER_H

#include "launch/options.h"

typedef struct dt_run_folder {
    char config[DT_PATH_BYTES + 32], metrics[DT_PATH_BYTES + 32], checkpoints[DT_PATH_BYTES + 32];
} dt_run_folder;

void dt_run_folder_name(const char *out, dt_run_folder *folder);

/* On rank 0. Make OUT and the folders above it; with --resume never, an older run there is renamed to OUT.old-N first (N: the first one free),
 * and a log line says so; otherwise a log line tells each option that OUT/config.conf had with another value, if there are checkpoints. Then write
 * config_text to OUT/config.conf, which also shows that the folder can be written to. DT_ERR_USAGE: OUT is no folder;
 * DT_ERR_IO: the system refuses, with the path and the reason. */
dt_status dt_run_folder_open(const dt_options *options, const char *config_text, const dt_run_folder *folder, dt_error *err);

#endif
