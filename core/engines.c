#include "core/engines.h"

#include "core/base/alloc.h"
#include "core/base/log.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static int order(const dt_engine *e, const char *kind, const char *name)
{
    const int by_kind = strcmp(e->kind, kind);
    return by_kind ? by_kind : strcmp(e->name, name);
}

/* The index of the first choice that is not before (kind, name). */
static int64_t lower_bound(const dt_engines *engines, const char *kind, const char *name)
{
    int64_t first = 0, end = engines->n;
    while (first < end) {
        const int64_t middle = first + (end - first) / 2;
        if (order(&engines->list[middle], kind, name) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

static bool is_at(const dt_engines *engines, int64_t i, const char *kind, const char *name)
{
    return i < engines->n && order(&engines->list[i], kind, name) == 0;
}

static dt_status reserve_one(dt_engines *engines, dt_error *err)
{
    if (engines->n < engines->capacity)
        return DT_OK;
    const int64_t capacity = engines->capacity ? 2 * engines->capacity : 64;
    dt_engine *list =
        dt_realloc(engines->list, (size_t)engines->capacity * sizeof *list, (size_t)capacity * sizeof *list);
    if (!list)
        return dt_fail_memory(err, (size_t)capacity * sizeof *list, "the engines that were chosen");
    engines->list = list;
    engines->capacity = capacity;
    return DT_OK;
}

dt_status dt_engines_put(dt_engines *engines, const char *kind, const char *name, const char *value,
                         dt_error *err)
{
    const int64_t i = lower_bound(engines, kind, name);
    assert(strlen(kind) < DT_ENGINE_KIND_BYTES && strlen(name) < DT_ENGINE_NAME_BYTES &&
           strlen(value) < DT_ENGINE_VALUE_BYTES);
    if (!is_at(engines, i, kind, name)) {
        if (engines->n == DT_ENGINES_MAX)
            return DT_OK;
        DT_TRY(reserve_one(engines, err));
        memmove(engines->list + i + 1, engines->list + i, (size_t)(engines->n - i) * sizeof *engines->list);
        engines->n++;
    }
    dt_engine made = {{0}, {0}, {0}}; /* `value` may lie in the entry that is replaced */
    snprintf(made.kind, sizeof made.kind, "%s", kind);
    snprintf(made.name, sizeof made.name, "%s", name);
    snprintf(made.value, sizeof made.value, "%s", value);
    engines->list[i] = made;
    return DT_OK;
}

dt_status dt_engines_put_all(dt_engines *engines, const dt_engines *from, dt_error *err)
{
    for (int64_t i = 0; i < from->n; i++) {
        const dt_engine *e = &from->list[i];
        DT_TRY(dt_engines_put(engines, e->kind, e->name, e->value, err));
    }
    return DT_OK;
}

const char *dt_engines_find(const dt_engines *engines, const char *kind, const char *name)
{
    const int64_t i = lower_bound(engines, kind, name);
    return is_at(engines, i, kind, name) ? engines->list[i].value : NULL;
}

bool dt_engines_have_kind(const dt_engines *engines, const char *kind)
{
    const int64_t i = lower_bound(engines, kind, "");
    return i < engines->n && strcmp(engines->list[i].kind, kind) == 0;
}

dt_status dt_engines_copy(const dt_engines *from, dt_engines *to, dt_error *err)
{
    const size_t bytes = (size_t)from->n * sizeof *from->list;
    *to = (dt_engines){0};
    if (from->n == 0)
        return DT_OK;
    dt_engine *list = dt_alloc(bytes);
    if (!list)
        return dt_fail_memory(err, bytes, "the engines that were chosen");
    memcpy(list, from->list, bytes);
    *to = (dt_engines){from->n, from->n, list};
    return DT_OK;
}

void dt_engines_clear(dt_engines *engines)
{
    dt_free(engines->list);
    *engines = (dt_engines){0};
}

bool dt_engine_is_same(const char *a, const char *b)
{
    const size_t bytes = strcspn(a, " ");
    return bytes == strcspn(b, " ") && memcmp(a, b, bytes) == 0;
}

int64_t dt_engines_compare(const dt_engines *before, const dt_engines *now, char *names, size_t bytes)
{
    enum { MAX_SHOWN = 3 };
    int64_t n = 0;
    size_t used = 0;
    names[0] = '\0';
    for (int64_t i = 0; i < before->n; i++) {
        const dt_engine *e = &before->list[i];
        const char *value = dt_engines_find(now, e->kind, e->name);
        if (!value || dt_engine_is_same(e->value, value))
            continue;
        if (n++ < MAX_SHOWN && used < bytes)
            used += (size_t)snprintf(names + used, bytes - used, "%s%s", n > 1 ? ", " : "", e->name);
    }
    if (n > MAX_SHOWN && used < bytes)
        snprintf(names + used, bytes - used, " and %lld more", (long long)n - MAX_SHOWN);
    return n;
}

dt_status dt_engine_choices_note(dt_engine_choices *choices, const char *name, const char *value,
                                 dt_error *err)
{
    const char *of_leader = dt_engines_find(&choices->list, choices->kind, name);
    if (choices->progress)
        choices->progress(choices->context);
    const bool is_other = of_leader && !dt_engine_is_same(of_leader, value);
    if (!choices->follows && is_other)
        dt_log_info("%s: engine %.*s cannot be used here: %.*s computes it from now on", name,
                    (int)strcspn(of_leader, " "), of_leader, (int)strcspn(value, " "), value);
    if (!choices->follows)
        return dt_engines_put(&choices->list, choices->kind, name, value, err);
    if (is_other)
        dt_log_warn("%s: the first rank with this kind of device (%s) computes it with engine %.*s, which "
                    "cannot be used here: this rank uses %.*s, and may differ in the last bits",
                    name, choices->kind, (int)strcspn(of_leader, " "), of_leader, (int)strcspn(value, " "),
                    value);
    return DT_OK;
}
