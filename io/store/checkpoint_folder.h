/* checkpoint_folder.h: the folders of checkpoints: their names, finding, replacing and removing
 * them.
 *
 *   step-00001234       whole when it got this name
 *   step-00001234.tmp   being written, or left by a start that died meanwhile
 *   step-00001234.old   being removed
 */
#ifndef DT_IO_STORE_CHECKPOINT_FOLDER_H
#define DT_IO_STORE_CHECKPOINT_FOLDER_H

#include "core/base/error.h"

#include <stdint.h>

#define DT_CHECKPOINT_MANIFEST "manifest.json"

/* folder/step-<at least 8 digits><suffix> into path[DT_DURABLE_PATH_BYTES]. */
dt_status dt_checkpoint_path(const char *folder, int64_t step, const char *suffix, char *path, dt_error *err);

/* A file in that folder. */
dt_status dt_checkpoint_file_path(const char *folder, int64_t step, const char *suffix, const char *file,
                                  char *path, dt_error *err);

/* The step of a folder's name, "step-00001234<suffix>" without what lies above it; -1 for any other name. */
int64_t dt_checkpoint_step_of(const char *name, const char *suffix);

/* The steps of all folders with exactly such a name, newest first; *steps is the caller's, to dt_free. No
 * folder: none. */
dt_status dt_checkpoint_list(const char *folder, const char *suffix, int64_t **steps, int64_t *n,
                             dt_error *err);

/* Remove a folder with the files in it that have our names; not there: fine. Another file in it stays, and so
 * does the folder: DT_ERR_IO. */
dt_status dt_checkpoint_remove(const char *path, dt_error *err);

/* Give the folder `from` the name `to`. If a folder has that name, the two are exchanged in one step and the
 * old one is removed. */
dt_status dt_checkpoint_put_in_place(const char *from, const char *to, dt_error *err);

#endif
