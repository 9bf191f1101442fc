/* class_names.h: the names of a classifier's outputs, in their order.
 *
 *   dt_class_names trained = {0}, data = {0};
 *   DT_TRY(dt_class_names_of_source(source, &data, err));
 *   DT_TRY(dt_class_names_match(&trained, &data, labels, err));      class i of the data has label labels[i]
 *   dt_class_names_clear(&data);
 *
 * Weights and a data set fit if they have the same names: the number of classes alone lets weights be
 * evaluated on data whose classes mean something else. Names are bytes other than 0 and '/'; they need
 * not be UTF-8.
 */
#ifndef DT_CORE_CLASS_NAMES_H
#define DT_CORE_CLASS_NAMES_H

#include "core/source.h"

#include <stdbool.h>
#include <stdint.h>

/* All zero: no names are known. */
typedef struct dt_class_names {
    int64_t n;
    int64_t bytes, capacity; /* of text: used, allocated */
    char *text;              /* the names one after the other, each with its zero byte; dt_alloc'ed, owned */
} dt_class_names;

/* Append a name. DT_ERR_MEMORY. */
dt_status dt_class_names_add(dt_class_names *names, const char *name, dt_error *err);

/* A copy that the caller clears. DT_ERR_MEMORY. */
dt_status dt_class_names_copy(const dt_class_names *from, dt_class_names *to, dt_error *err);

/* The names of a source's classes, by label; none if the source does not name them. The caller clears *names.
 * DT_ERR_MEMORY. */
dt_status dt_class_names_of_source(dt_source *source, dt_class_names *names, dt_error *err);

/* Free what it owns, and zero it. */
void dt_class_names_clear(dt_class_names *names);

/* The name of class i, 0 <= i < n, owned by `names`. Takes time in proportion to i. */
const char *dt_class_names_at(const dt_class_names *names, int64_t i);

/* Whether both have the same names in the same order. */
bool dt_class_names_equal(const dt_class_names *a, const dt_class_names *b);

/* Compare the classes that weights know with those of data. The same names: DT_OK, with labels[i] the
 * index in `trained` of data's class i; labels[data->n] may be NULL. DT_ERR_USAGE: the names differ, and
 * the message says which ones: "the classes differ: the data lacks 'cat' and has 'dog', 'cow' and 3
 * more". DT_ERR_MEMORY. */
dt_status dt_class_names_match(const dt_class_names *trained, const dt_class_names *data, int32_t *labels,
                               dt_error *err);

/* Give the source's classes the labels that they have in `trained`, before `start`. *moved: some label
 * changed. If either does not name its classes, nothing is done. Errors as above. */
dt_status dt_class_names_apply(const dt_class_names *trained, dt_source *source, bool *moved, dt_error *err);

#endif
