#include "core/base/computed_by.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void cut(char *text, size_t bytes)
{
    memcpy(text + bytes - 4, "...", 4);
}

static void make_plain(char *text)
{
    for (char *c = text; *c; c++)
        if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
            *c = '?';
}

void dt_computed_by_add(dt_computed_by *c, const char *name, const char *format, ...)
{
    assert(c->n < DT_COMPUTED_BY_MAX && name[0] && strlen(name) < DT_COMPUTED_BY_NAME_BYTES &&
           !dt_computed_by_find(c, name));
    dt_computed_by_field *f = &c->fields[c->n++];
    memset(f, 0, sizeof *f);
    snprintf(f->name, sizeof f->name, "%s", name);
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(f->value, sizeof f->value, format, args);
    va_end(args);
    if (n >= (int)sizeof f->value)
        cut(f->value, sizeof f->value);
    if (!f->value[0])
        snprintf(f->value, sizeof f->value, "unknown");
    make_plain(f->value);
}

const char *dt_computed_by_find(const dt_computed_by *c, const char *name)
{
    for (int64_t i = 0; i < c->n; i++)
        if (strcmp(c->fields[i].name, name) == 0)
            return c->fields[i].value;
    return NULL;
}

/* ", oneDNN 2.6.3", or ", no oneDNN" where there is no value. */
static void list(char *out, size_t bytes, const char *name, const char *value)
{
    const size_t used = strlen(out);
    const int n = snprintf(out + used, bytes - used, "%s%s%s%s", used ? ", " : "", value ? name : "no ",
                           value ? " " : "", value ? value : name);
    if (n >= (int)(bytes - used))
        cut(out, bytes);
}

bool dt_computed_by_compare(const dt_computed_by *before, const dt_computed_by *now, char *was, char *is,
                            size_t bytes)
{
    bool differ = false;
    was[0] = is[0] = '\0';
    for (int64_t i = 0; i < before->n; i++) {
        const dt_computed_by_field *f = &before->fields[i];
        const char *value = dt_computed_by_find(now, f->name);
        if (value && strcmp(value, f->value) == 0)
            continue;
        differ = true;
        list(was, bytes, f->name, f->value);
        list(is, bytes, f->name, value);
    }
    for (int64_t i = 0; i < now->n; i++) {
        const dt_computed_by_field *f = &now->fields[i];
        if (dt_computed_by_find(before, f->name))
            continue;
        differ = true;
        list(was, bytes, f->name, NULL);
        list(is, bytes, f->name, f->value);
    }
    return differ;
}

/* Append `name` with its values on the ranks from `first` on, each different value once. */
static void add_joined(const dt_computed_by *ranks, int n_ranks, int first, const char *name,
                       dt_computed_by *joined)
{
    char values[2 * DT_COMPUTED_BY_VALUE_BYTES] = "";
    for (int r = first; r < n_ranks; r++) {
        const char *value = dt_computed_by_find(&ranks[r], name);
        bool seen = !value;
        for (int q = first; q < r && !seen; q++) {
            const char *other = dt_computed_by_find(&ranks[q], name);
            seen = other && strcmp(other, value) == 0;
        }
        const size_t used = strlen(values);
        if (!seen)
            snprintf(values + used, sizeof values - used, "%s%s", used ? " + " : "", value);
    }
    dt_computed_by_add(joined, name, "%s", values);
}

void dt_computed_by_join(const dt_computed_by *ranks, int n_ranks, dt_computed_by *joined)
{
    memset(joined, 0, sizeof *joined);
    for (int r = 0; r < n_ranks; r++)
        for (int64_t i = 0; i < ranks[r].n; i++)
            if (joined->n < DT_COMPUTED_BY_MAX && !dt_computed_by_find(joined, ranks[r].fields[i].name))
                add_joined(ranks, n_ranks, r, ranks[r].fields[i].name, joined);
}
