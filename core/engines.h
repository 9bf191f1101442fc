/* engines.h: which engine of a library computes which operation, for backends whose library has several.
 *
 *   dt_engine_choices *choices = kernels->ops->engines(kernels);             of this rank, NULL: it has none
 *   DT_TRY(dt_engines_put(&choices->list, "NVIDIA H200, ...", "conv 3x3 ...", "42:2=1 0.125", err));
 *   const char *value = dt_engines_find(&choices->list, choices->kind, "conv 3x3 ...");
 *   dt_engines_clear(&copy);
 *
 * Two engines give results that differ in the last bits, and which one is the fastest depends on measured
 * times. So the choices are part of a run: the ranks with one kind of device have the same ones
 * (core/collective/engines_build.h), and checkpoints carry them (core/store.h). Core does not know what a
 * kind, an operation or an engine is: they are texts of the backend. All functions are local.
 */
#ifndef DT_CORE_ENGINES_H
#define DT_CORE_ENGINES_H

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Choices of one list. A network has some hundred for each kind of device and size of images. A list that is
 * full keeps no new ones: a start then chooses them again. */
#define DT_ENGINES_MAX 4096
#define DT_ENGINE_KIND_BYTES 192
#define DT_ENGINE_NAME_BYTES 96
#define DT_ENGINE_VALUE_BYTES 288

/* Texts of printable ASCII without quotes and backslashes, since a manifest holds them and `dtrain inspect`
 * prints them. Plain data: unused bytes are zero. */
typedef struct dt_engine {
    char kind[DT_ENGINE_KIND_BYTES]; /* of the device, its driver and the library: "NVIDIA H200, ..." */
    char name[DT_ENGINE_NAME_BYTES]; /* of the operation */
    /* The engine; after a space, what the backend notes about it, such as a time. */
    char value[DT_ENGINE_VALUE_BYTES];
} dt_engine;

/* Sorted by kind, then by name; a pair of both occurs once. All zero: empty. */
typedef struct dt_engines {
    int64_t n, capacity;
    dt_engine *list; /* [n]; dt_alloc'ed, owned */
} dt_engines;

/* Add a choice, or replace the one with this kind and name. The texts are shorter than their sizes above.
 * DT_ERR_MEMORY. */
dt_status dt_engines_put(dt_engines *engines, const char *kind, const char *name, const char *value,
                         dt_error *err);

/* Put every choice of `from`. DT_ERR_MEMORY. */
dt_status dt_engines_put_all(dt_engines *engines, const dt_engines *from, dt_error *err);

/* The value, owned by the list; NULL: there is none. */
const char *dt_engines_find(const dt_engines *engines, const char *kind, const char *name);

bool dt_engines_have_kind(const dt_engines *engines, const char *kind);

/* A copy that the caller clears. DT_ERR_MEMORY. */
dt_status dt_engines_copy(const dt_engines *from, dt_engines *to, dt_error *err);
void dt_engines_clear(dt_engines *engines); /* frees what it owns, and zeroes it */

/* Whether two values name the same engine, whatever is noted about it. */
bool dt_engine_is_same(const char *a, const char *b);

/* Returns how many choices that both lists have are of other engines, and writes the names of the first few
 * into names[bytes]: "conv 3x3 ..., dgrad 1x1 ... and 7 more". */
int64_t dt_engines_compare(const dt_engines *before, const dt_engines *now, char *names, size_t bytes);

/* The choices of this rank's kernels, and those of other kinds of devices in the job; owned by the kernels,
 * which put theirs into `list`, and use what they find there. */
typedef struct dt_engine_choices {
    char kind[DT_ENGINE_KIND_BYTES]; /* of this rank's device */
    dt_engines list;
    /* Another rank with this kind has chosen: the kernels use its choices, and put none. */
    bool follows;
    /* Called after each operation for which an engine was chosen, which may take seconds; NULL: not
     * called. */
    void (*progress)(void *context);
    void *context;
} dt_engine_choices;

/* The kernels report that the operation `name` has an engine now. Log if it is not the one that the list
 * says. DT_ERR_MEMORY. */
dt_status dt_engine_choices_note(dt_engine_choices *choices, const char *name, const char *value,
                                 dt_error *err);

#endif
