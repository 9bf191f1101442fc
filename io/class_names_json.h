/* class_names_json.h: the names of classes as a JSON array of strings, as manifest.json, the metadata of
 * safetensors files and `dtrain inspect --json` have them. Bytes that are not UTF-8 are escaped
 * (core/base/utf8.h). */
#ifndef DT_IO_CLASS_NAMES_JSON_H
#define DT_IO_CLASS_NAMES_JSON_H

#include "core/class_names.h"

#include <jansson.h>

/* The caller calls json_decref. NULL: out of memory. */
json_t *dt_class_names_to_json(const dt_class_names *names);

/* Read an array that may be hostile: names that are distinct, not empty and without '/'. The caller
 * clears *names, which is set on success only. DT_ERR_FORMAT: the message says what is wrong ("is not an
 * array"); DT_ERR_MEMORY. */
dt_status dt_class_names_from_json(const json_t *array, dt_class_names *names, dt_error *err);

/* The array as a text whose bytes are those of the names, for dt_safetensors_writer_create, which
 * escapes it. The caller frees it with dt_free. NULL: out of memory. */
char *dt_class_names_to_text(const dt_class_names *names);

/* Read such a text from the metadata of a file, as it is there. Errors as dt_class_names_from_json. */
dt_status dt_class_names_from_text(const char *text, dt_class_names *names, dt_error *err);

#endif
