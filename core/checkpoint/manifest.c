/* manifest.c: core's part of a manifest (core/store.h); stores read and write them. */
#include "core/base/alloc.h"
#include "core/store.h"

#include <string.h>

void dt_manifest_clear(dt_manifest *manifest)
{
    if (!manifest)
        return;
    dt_class_names_clear(&manifest->class_names);
    dt_engines_clear(&manifest->engines);
    dt_free(manifest->config_text);
    dt_free(manifest->tensors);
    dt_free(manifest->shards);
    memset(manifest, 0, sizeof *manifest);
}
