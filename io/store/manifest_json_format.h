/* manifest_json_format.h: what manifest_json_read.c and manifest_json_write.c share. */
#ifndef DT_IO_STORE_MANIFEST_JSON_FORMAT_H
#define DT_IO_STORE_MANIFEST_JSON_FORMAT_H

#include <stdbool.h>

/* The last field: DT_MANIFEST_HASH_BEGIN, the digits, DT_MANIFEST_HASH_END. */
#define DT_MANIFEST_HASH_BEGIN "\"manifest_xxh3_128\": \""
#define DT_MANIFEST_HASH_DIGITS 32
#define DT_MANIFEST_HASH_END "\"\n}\n"

/* Whether a text is printable ASCII that JSON needs no escapes for. The names of tensors and all texts of
 * computed_by must be: they reach the user's terminal. */
static inline bool dt_manifest_is_plain(const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
            return false;
    return true;
}

#endif
