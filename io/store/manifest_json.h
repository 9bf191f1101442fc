/* manifest_json.h: manifest.json, the file that makes a folder of shards a checkpoint.
 *
 *   char *text;
 *   DT_TRY(dt_manifest_write(&manifest, &text, &bytes, err));
 *   DT_TRY(dt_manifest_parse(text, bytes, &copy, err));
 *
 * The last field, "manifest_xxh3_128", is the XXH3-128 of the whole text with 32 zeros in its place: a
 * manifest that was cut, hit by a flipped bit or edited is told from a good one. 64-bit numbers without a
 * sign (seed, data_fingerprint) are strings, for JSON readers that keep numbers as doubles.
 */
#ifndef DT_IO_STORE_MANIFEST_JSON_H
#define DT_IO_STORE_MANIFEST_JSON_H

#include "core/store.h"

/* *text: dt_alloc, zero-terminated, the caller's. The same manifest gives the same bytes. DT_ERR_MEMORY,
 * DT_ERR_INTERNAL (a text in it is not UTF-8, or a number is not finite). */
dt_status dt_manifest_write(const dt_manifest *manifest, char **text, int64_t *bytes, dt_error *err);

/* Read `bytes` of text, trusting nothing: every field must be there, of its type and in its range, none may
 * be unknown, the tensors must follow each other without gap, and the shards must cover them exactly.
 * *manifest is set on success only; the caller clears it. DT_ERR_FORMAT says what is wrong and where,
 * DT_ERR_UNSUPPORTED that a newer dtrain wrote it, DT_ERR_MEMORY. */
dt_status dt_manifest_parse(const char *text, int64_t bytes, dt_manifest *manifest, dt_error *err);

#endif
