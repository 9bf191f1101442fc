/* computed_by.h: the libraries and processors that compute a training, as an ordered list of names and
 * values: "oneDNN" "2.6.3", "isa" "avx2", "GPU" "NVIDIA H200".
 *
 *   dt_computed_by now = {0};
 *   dt_computed_by_add(&now, "oneDNN", "%d.%d.%d", major, minor, patch);
 *   if (dt_computed_by_compare(&manifest.computed_by, &now, was, is, sizeof was)) ...    was "oneDNN 2.6.3",
 *   is "oneDNN 3.7.2"
 *
 * The list holds everything that can change a bit of the results, and nothing else.
 * launch/hardware/computed_by.c collects the pairs; checkpoints store them (core/store.h). This file does not
 * know any name: a new library is one more call of dt_computed_by_add. All functions are local.
 */
#ifndef DT_CORE_BASE_COMPUTED_BY_H
#define DT_CORE_BASE_COMPUTED_BY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DT_COMPUTED_BY_MAX 32 /* pairs */
#define DT_COMPUTED_BY_NAME_BYTES 32
#define DT_COMPUTED_BY_VALUE_BYTES 96

typedef struct dt_computed_by_field {
    char name[DT_COMPUTED_BY_NAME_BYTES], value[DT_COMPUTED_BY_VALUE_BYTES];
} dt_computed_by_field;

/* Plain data, which ranks can send. All zero: nothing is known. Unused bytes are zero, so two equal lists are
 * equal byte for byte. */
typedef struct dt_computed_by {
    int64_t n;
    dt_computed_by_field fields[DT_COMPUTED_BY_MAX];
} dt_computed_by;

/* Append a pair. The name is new in the list and shorter than DT_COMPUTED_BY_NAME_BYTES. A value that is too
 * long is cut and ends with "...". Characters that a manifest cannot hold (control characters, quotes,
 * backslashes, all beyond ASCII) become '?'; an empty value becomes "unknown". */
void dt_computed_by_add(dt_computed_by *c, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The value of `name`, owned by the list; NULL: there is no such pair. */
const char *dt_computed_by_find(const dt_computed_by *c, const char *name);

/* Returns whether the two lists differ, and writes the pairs that differ as text into `was` and `is`, of
 * `bytes` each: "oneDNN 2.6.3, no NCCL". A text that is too long is cut and ends with "...". */
bool dt_computed_by_compare(const dt_computed_by *before, const dt_computed_by *now, char *was, char *is,
                            size_t bytes);

/* Join the lists of several ranks, ranks[n_ranks]: every name that some rank has, with its different values
 * in the order of the ranks, "NVIDIA A10G + NVIDIA T4". */
void dt_computed_by_join(const dt_computed_by *ranks, int n_ranks, dt_computed_by *joined);

#endif
