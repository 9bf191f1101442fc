/* folder_internal.h: what folder.c fills and folder_shared.c reads. */
#ifndef DT_IO_SOURCE_FOLDER_INTERNAL_H
#define DT_IO_SOURCE_FOLDER_INTERNAL_H

#include "io/source/folder.h"

/* Names, each with its zero byte, in one text; at[i] is the offset of name i. */
typedef struct dt_names {
    char *text;
    size_t text_bytes, text_capacity;
    int64_t *at;
    int64_t n, capacity;
} dt_names;

/* Which file a name stands for. */
typedef struct dt_file_id {
    uint64_t inode; /* a hash of device and inode; 0: a link without a target */
    int64_t bytes;
} dt_file_id;

struct dt_folder {
    char *root; /* ROOT/SPLIT */
    dt_names classes, files;
    int64_t *first;  /* [n_classes + 1] id of each class's first file, and n_samples */
    int32_t *labels; /* [n_classes] of the classes in byte order */
    dt_file_id *ids; /* [files.n] */
    int64_t ids_capacity;
    dt_left_out left_out;
    uint64_t fingerprint;
};

static inline const char *dt_name_at(const dt_names *list, int64_t i)
{
    return list->text + list->at[i];
}

#endif
