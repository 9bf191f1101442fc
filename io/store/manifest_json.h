/* manifest_json.h: manifest.json, the file that makes a folder of shards a checkpoint.
 *
 *   char *text;
 *   DT_TRY(dt_manifest_write(&manifest, &text, &bytes, err));
 *   DT_TRY(dt_manifest_parse(text, bytes, &copy, err));
 *
 * The last field, "manifest_xxh3_128", is the XXH3-128 of the whole text with 32 zeros in its place. It shows
 * whether a manifest was cut, edited or damaged. Unsigned 64-bit numbers (seed, data_fingerprint) are
 * strings, for JSON readers that store numbers as doubles. Strings from outside may hold any bytes: what is
 * not UTF-8 is escaped (core/base/utf8.h).
 */
#ifndef DT_IO_STORE_MANIFEST_JSON_H
#define DT_IO_STORE_MANIFEST_JSON_H

#include "core/store.h"

/* Write a manifest as text. The caller frees *text, which ends with a zero byte, with dt_free. The same
 * manifest gives the same bytes. DT_ERR_MEMORY; DT_ERR_INTERNAL: the name of a tensor is not plain text, or
 * a number is not finite. */
dt_status dt_manifest_write(const dt_manifest *manifest, char **text, int64_t *bytes, dt_error *err);

/* Read `bytes` of text that may be hostile: every field must exist, with its type and in its range, there
 * must be no other fields, and the shards must cover the tensors exactly. *manifest is set on success only;
 * the caller clears it. DT_ERR_FORMAT: the message says what is wrong and where; DT_ERR_UNSUPPORTED: a newer
 * dtrain wrote it; DT_ERR_MEMORY. */
dt_status dt_manifest_parse(const char *text, int64_t bytes, dt_manifest *manifest, dt_error *err);

#endif
