/* checkpoint_folder.h: the names of checkpoints' folders and of the files in them; lists the folders.
 *
 *   step-00001234       was whole when it got this name
 *   step-00001234.tmp   is being written, or was left by a killed process
 *   step-00001234.old   is being removed
 */
#ifndef DT_IO_STORE_CHECKPOINT_FOLDER_H
#define DT_IO_STORE_CHECKPOINT_FOLDER_H

#include "core/base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define DT_CHECKPOINT_MANIFEST "manifest.json"

/* Write folder/step-<at least 8 digits><suffix> to path[DT_DURABLE_PATH_BYTES]. DT_ERR_USAGE: it does not
 * fit. */
dt_status dt_checkpoint_path(const char *folder, int64_t step, const char *suffix, char *path, dt_error *err);

/* The same for a file in that folder. */
dt_status dt_checkpoint_file_path(const char *folder, int64_t step, const char *suffix, const char *file,
                                  char *path, dt_error *err);

/* The step of a folder named "step-00001234<suffix>", given without its path; -1 for any other name. */
int64_t dt_checkpoint_step_of(const char *name, const char *suffix);

/* Whether a file has the name of a shard, such as "shard-0000-of-0002.h5", exactly as dtrain writes it. */
bool dt_checkpoint_is_shard(const char *name);

/* The steps of all folders (and links to folders) with exactly such a name, newest first. With the suffix
 * "", without those in which there are only files that dtrain did not write. The caller frees *steps with
 * dt_free. If `folder` does not exist, there are none. DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_checkpoint_list(const char *folder, const char *suffix, int64_t **steps, int64_t *n,
                             dt_error *err);

#endif
