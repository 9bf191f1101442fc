/* file_kind.h: recognises, by their first bytes, files that people give instead of .safetensors files.
 *
 *   const char *what = dt_weights_file_kind(first, n);
 */
#ifndef DT_IO_WEIGHTS_FILE_KIND_H
#define DT_IO_WEIGHTS_FILE_KIND_H

#include <stddef.h>

#define DT_WEIGHTS_KIND_BYTES 512 /* of a file's begin, enough for every kind */

/* What a file is that begins with the n bytes at `first`, and what to do with it: "a PyTorch file; convert it
 * with ...". NULL: no kind that is known. Static storage. */
const char *dt_weights_file_kind(const unsigned char *first, size_t n);

#endif
