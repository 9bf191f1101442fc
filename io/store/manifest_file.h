/* manifest_file.h: reads a manifest from its file. */
#ifndef DT_IO_STORE_MANIFEST_FILE_H
#define DT_IO_STORE_MANIFEST_FILE_H

#include "core/store.h"

/* Read the file `path`, relative to the open folder `folder` (AT_FDCWD: the current one). `shown`: its name
 * in messages. `flags`: O_NOFOLLOW, or 0. The caller clears *manifest. Errors as of dt_manifest_parse;
 * DT_ERR_IO. */
dt_status dt_manifest_read_file(int folder, const char *path, const char *shown, int flags,
                                dt_manifest *manifest, dt_error *err);

#endif
