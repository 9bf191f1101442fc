/* files_paths.c: where a target has its files. */
#include "config.h"

#include "launch/stage/files_internal.h"

#include <inttypes.h>
#include <stdio.h>

dt_status dt_stage_final_path(const dt_stage_files *f, int64_t object, char path[DT_DURABLE_PATH_BYTES],
                              dt_error *err)
{
    return dt_durable_path(path, err, "%s/%s", f->folder,
                           dt_stage_text(f->list, f->list->objects[object].path));
}

/* Another version of the object has another name. */
void dt_stage_parts_path(const dt_stage_files *f, int64_t object, char path[DT_STAGE_FOLDER_BYTES])
{
    const dt_stage_object *o = &f->list->objects[object];
    char name[64];
    snprintf(name, sizeof name, "parts/%016" PRIx64 "-%016" PRIx64,
             dt_stage_hash(dt_stage_text(f->list, o->path)),
             dt_stage_hash(dt_stage_text(f->list, o->etag)) ^ (uint64_t)o->bytes);
    dt_stage_target_file(f->folder, name, path);
}

void dt_stage_new_path(const dt_stage_files *f, int64_t number, char path[DT_STAGE_FOLDER_BYTES])
{
    char name[40];
    snprintf(name, sizeof name, "new/%" PRId64, number);
    dt_stage_target_file(f->folder, name, path);
}

int64_t dt_stage_part_bytes(const dt_stage_object *o, int64_t part)
{
    const int64_t left = o->bytes - part * DT_STAGE_PART_BYTES;
    return left < DT_STAGE_PART_BYTES ? left : DT_STAGE_PART_BYTES;
}
