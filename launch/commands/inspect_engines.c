#include "launch/commands/inspect_engines.h"

#include "core/base/units.h"
#include "launch/show/output.h"
#include "launch/show/table.h"

#include <stdlib.h>
#include <string.h>

json_t *dt_inspect_engines_json(const dt_engines *engines)
{
    json_t *kinds = json_object();
    for (int64_t i = 0; i < engines->n; i++) {
        const dt_engine *e = &engines->list[i];
        json_t *of_kind = json_object_get(kinds, e->kind);
        if (!of_kind) {
            of_kind = json_object();
            json_object_set_new(kinds, e->kind, of_kind);
        }
        json_object_set_new(of_kind, e->name, dt_output_text(e->value));
    }
    return kinds;
}

static void print_count(const char *steps, bool one, const char *kind, const json_t *of_kind, FILE *stream)
{
    const size_t n = json_object_size(of_kind);
    dt_output_line(stream, "%s ha%s the engines of %zu operation%s on %s", steps, one ? "s" : "ve", n,
                   DT_PLURAL(n), kind);
}

void dt_inspect_engines_count(const char *steps, bool one, json_t *engines, FILE *stream)
{
    const char *kind;
    json_t *of_kind;
    json_object_foreach(engines, kind, of_kind)
    {
        print_count(steps, one, kind, of_kind, stream);
    }
}

/* A value is "ENGINE MILLISECONDS"; 0 milliseconds: not measured. */
static dt_status add_row(dt_table *table, const char *name, const char *value, dt_error *err)
{
    char engine[DT_ENGINE_VALUE_BYTES], ms[32] = "";
    const size_t bytes = strcspn(value, " ");
    const double time_ms = strtod(value + bytes, NULL);
    snprintf(engine, sizeof engine, "%.*s", (int)bytes, value);
    if (time_ms > 0)
        snprintf(ms, sizeof ms, "%.4f", time_ms);
    return dt_table_add(table, (const char *const[]){name, engine, ms}, err);
}

static void print_table(json_t *of_kind, FILE *stream)
{
    dt_table *table = NULL;
    dt_error ignored;
    const char *name;
    json_t *value;
    dt_status status =
        dt_table_create((const char *const[]){"operation", "engine", "ms"}, 3, &table, &ignored);
    if (status == DT_OK)
        dt_table_align_right(table, 2);
    json_object_foreach(of_kind, name, value)
    {
        if (status == DT_OK)
            status = add_row(table, name, json_string_value(value), &ignored);
    }
    if (status == DT_OK)
        (void)dt_table_print(table, stream, dt_table_utf8(), dt_table_columns(stream), &ignored);
    dt_table_destroy(table);
}

void dt_inspect_engines_table(const char *steps, bool one, json_t *engines, FILE *stream)
{
    const char *kind;
    json_t *of_kind;
    json_object_foreach(engines, kind, of_kind)
    {
        print_count(steps, one, kind, of_kind, stream);
        print_table(of_kind, stream);
    }
}
