/* manifest_check.h: what the fields of a manifest say together. manifest_json_read.c checks each by
 * itself. */
#ifndef DT_IO_STORE_MANIFEST_CHECK_H
#define DT_IO_STORE_MANIFEST_CHECK_H

#include "core/store.h"

/* Check that every tensor's name is one of its own and a path of HDF5 ("group/group/name"), that no tensor is
 * where another has a group, and that every shard's file is large enough for its elements. DT_ERR_FORMAT: the
 * message names the tensor or shard; DT_ERR_MEMORY. */
dt_status dt_manifest_check(const dt_manifest *manifest, dt_error *err);

#endif
