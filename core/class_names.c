#define _GNU_SOURCE /* qsort_r */
#include "core/class_names.h"

#include "core/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of each side in a message; more would only hide them. */
#define MAX_SHOWN 3

dt_status dt_class_names_add(dt_class_names *names, const char *name, dt_error *err)
{
    const int64_t bytes = (int64_t)strlen(name) + 1;
    if (names->bytes + bytes > names->capacity) {
        const int64_t capacity = 2 * (names->bytes + bytes);
        char *text = dt_realloc(names->text, (size_t)names->capacity, (size_t)capacity);
        if (!text)
            return dt_fail_memory(err, (size_t)capacity, "the names of the classes");
        names->text = text;
        names->capacity = capacity;
    }
    memcpy(names->text + names->bytes, name, (size_t)bytes);
    names->bytes += bytes;
    names->n++;
    return DT_OK;
}

dt_status dt_class_names_copy(const dt_class_names *from, dt_class_names *to, dt_error *err)
{
    *to = (dt_class_names){0};
    if (from->n == 0)
        return DT_OK;
    char *text = dt_alloc((size_t)from->bytes);
    if (!text)
        return dt_fail_memory(err, (size_t)from->bytes, "the names of the classes");
    memcpy(text, from->text, (size_t)from->bytes);
    *to = (dt_class_names){from->n, from->bytes, from->bytes, text};
    return DT_OK;
}

dt_status dt_class_names_of_source(dt_source *source, dt_class_names *names, dt_error *err)
{
    dt_class_names found = {0};
    dt_source_info info = {0};
    source->ops->info(source, &info);
    for (int64_t i = 0; i < info.n_classes; i++) {
        const char *name = source->ops->class_name(source, i);
        if (!name)
            break;
        dt_status status = dt_class_names_add(&found, name, err);
        if (status != DT_OK) {
            dt_class_names_clear(&found);
            return status;
        }
    }
    if (found.n < info.n_classes)
        dt_class_names_clear(&found);
    *names = found;
    return DT_OK;
}

void dt_class_names_clear(dt_class_names *names)
{
    dt_free(names->text);
    *names = (dt_class_names){0};
}

const char *dt_class_names_at(const dt_class_names *names, int64_t i)
{
    const char *name = names->text;
    while (i-- > 0)
        name += strlen(name) + 1;
    return name;
}

bool dt_class_names_equal(const dt_class_names *a, const dt_class_names *b)
{
    return a->n == b->n && a->bytes == b->bytes &&
           (a->n == 0 || memcmp(a->text, b->text, (size_t)a->bytes) == 0);
}

/* A name and its index. */
typedef struct entry {
    const char *name;
    int64_t index;
} entry;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

static entry *sort(const dt_class_names *names)
{
    entry *entries = dt_calloc((size_t)names->n + 1, sizeof *entries);
    const char *name = names->text;
    for (int64_t i = 0; entries && i < names->n; i++, name += strlen(name) + 1)
        entries[i] = (entry){name, i};
    if (entries && names->n > 1)
        qsort(entries, (size_t)names->n, sizeof *entries, by_name);
    return entries;
}

/* Names that one side has alone, as a text: "'cat', 'dog' and 3 more". */
typedef struct name_list {
    int64_t n;
    size_t used;
    char text[300];
} name_list;

static void list_add(name_list *list, const char *name)
{
    if (list->n++ < MAX_SHOWN)
        list->used += (size_t)snprintf(list->text + list->used, sizeof list->text - list->used, "%s'%.60s%s'",
                                       list->n > 1 ? ", " : "", name, strlen(name) > 60 ? "..." : "");
}

static void list_end(name_list *list)
{
    if (list->n > MAX_SHOWN)
        snprintf(list->text + list->used, sizeof list->text - list->used, " and %lld more",
                 (long long)(list->n - MAX_SHOWN));
}

static dt_status fail_different(name_list *lacks, name_list *has, dt_error *err)
{
    list_end(lacks);
    list_end(has);
    return dt_fail(err, DT_ERR_USAGE, "the classes differ: the data %s%s%s%s%s", lacks->n ? "lacks " : "",
                   lacks->text, lacks->n && has->n ? " and " : "", has->n ? "has " : "", has->text);
}

dt_status dt_class_names_match(const dt_class_names *trained, const dt_class_names *data, int32_t *labels,
                               dt_error *err)
{
    name_list lacks = {0}, has = {0};
    entry *a = sort(trained), *b = sort(data);
    dt_status status = a && b ? DT_OK
                              : dt_fail_memory(err, (size_t)(trained->n + data->n) * sizeof *a,
                                               "a comparison of the classes");
    for (int64_t i = 0, k = 0; status == DT_OK && (i < trained->n || k < data->n);) {
        const int order = i >= trained->n ? 1 : k >= data->n ? -1 : strcmp(a[i].name, b[k].name);
        if (order < 0)
            list_add(&lacks, a[i].name);
        else if (order > 0)
            list_add(&has, b[k].name);
        else if (labels)
            labels[b[k].index] = (int32_t)a[i].index;
        i += order <= 0;
        k += order >= 0;
    }
    dt_free(a);
    dt_free(b);
    if (status == DT_OK && lacks.n + has.n > 0)
        status = fail_different(&lacks, &has, err);
    return status;
}

dt_status dt_class_names_apply(const dt_class_names *trained, dt_source *source, bool *moved, dt_error *err)
{
    dt_class_names data = {0};
    *moved = false;
    DT_TRY(dt_class_names_of_source(source, &data, err));
    if (trained->n == 0 || data.n == 0 || dt_class_names_equal(trained, &data)) {
        dt_class_names_clear(&data);
        return DT_OK;
    }
    int32_t *labels = dt_calloc((size_t)data.n, sizeof *labels);
    dt_status status =
        labels ? dt_class_names_match(trained, &data, labels, err)
               : dt_fail_memory(err, (size_t)data.n * sizeof *labels, "a comparison of the classes");
    if (status == DT_OK)
        status = source->ops->set_labels(source, labels, err);
    *moved = status == DT_OK;
    dt_free(labels);
    dt_class_names_clear(&data);
    return status;
}
