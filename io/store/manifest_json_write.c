/* Writes manifest.json with one entry a line, so that people can read it and compare two with diff. */
#include "io/store/manifest_json.h"

#include "core/base/alloc.h"
#include "core/base/utf8.h"
#include "io/class_names_json.h"
#include "io/durable.h"
#include "io/store/manifest_json_format.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct text {
    char *data;
    size_t bytes, capacity;
    bool no_memory, bad_value;
} text;

static void text_add(text *t, const char *s, size_t n)
{
    if (t->no_memory)
        return;
    if (t->bytes + n + 1 > t->capacity) {
        size_t capacity = 2 * (t->bytes + n + 1);
        char *data = dt_realloc(t->data, t->capacity, capacity);
        if (!data) {
            t->no_memory = true;
            return;
        }
        t->data = data;
        t->capacity = capacity;
    }
    memcpy(t->data + t->bytes, s, n);
    t->bytes += n;
    t->data[t->bytes] = '\0';
}

static void text_print(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void text_print(text *t, const char *format, ...)
{
    char line[256]; /* for numbers, field names and names of files and tensors, all shorter */
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    text_add(t, line, n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

/* Add a JSON string. Bytes that are not UTF-8 are escaped. */
static void text_string(text *t, const char *name, const char *value)
{
    char *utf8 = dt_utf8_escape(value);
    json_t *string = utf8 ? json_string(utf8) : NULL;
    char *escaped = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    t->no_memory |= !escaped;
    text_print(t, "  \"%s\": ", name);
    if (escaped)
        text_add(t, escaped, strlen(escaped));
    text_print(t, ",\n");
    free(escaped); /* jansson's */
    json_decref(string);
    dt_free(utf8);
}

static void text_real(text *t, const char *name, double value)
{
    char digits[40];
    snprintf(digits, sizeof digits, "%.17g", value);
    for (char *p = digits; *p; p++)
        if (*p == ',') /* some locales' decimal point */
            *p = '.';
    t->bad_value |= !isfinite(value);
    text_print(t, "  \"%s\": %s%s,\n", name, digits, strpbrk(digits, ".e") ? "" : ".0");
}

static void text_integer(text *t, const char *name, int64_t value)
{
    text_print(t, "  \"%s\": %" PRId64 ",\n", name, value);
}

static void write_computed_by(text *t, const dt_computed_by *c)
{
    text_print(t, "  \"computed_by\": {");
    for (int64_t i = 0; i < c->n; i++) {
        const dt_computed_by_field *f = &c->fields[i];
        text_print(t, "%s\n    \"%s\": \"%s\"", i ? "," : "", f->name, f->value);
        t->bad_value |= !dt_manifest_is_plain(f->name) || !dt_manifest_is_plain(f->value);
    }
    text_print(t, "%s},\n", c->n ? "\n  " : "");
}

/* An object for each kind of device, of the operations' names and their engines. */
static void write_engines(text *t, const dt_engines *engines)
{
    text_print(t, "  \"engines\": {");
    for (int64_t i = 0; i < engines->n; i++) {
        const dt_engine *e = &engines->list[i];
        const bool is_first = i == 0 || strcmp(e[-1].kind, e->kind) != 0;
        if (is_first)
            text_print(t, "%s\n    \"%s\": {", i ? "\n    }," : "", e->kind);
        text_print(t, "%s\n      \"%s\": \"", is_first ? "" : ",", e->name);
        text_add(t, e->value, strlen(e->value)); /* may be longer than what text_print takes */
        text_print(t, "\"");
        t->bad_value |= !dt_manifest_is_plain(e->kind) || !dt_manifest_is_plain(e->name) ||
                        !dt_manifest_is_plain(e->value);
    }
    text_print(t, "%s},\n", engines->n ? "\n    }\n  " : "");
}

static void write_what_computed(text *t, const dt_manifest *m)
{
    if (m->format_version >= 3)
        write_computed_by(t, &m->computed_by);
    if (m->format_version >= 5)
        write_engines(t, &m->engines);
}

static void write_class_names(text *t, const dt_class_names *names)
{
    json_t *array = dt_class_names_to_json(names);
    char *list = array ? json_dumps(array, 0) : NULL;
    t->no_memory |= !list;
    text_print(t, "  \"class_names\": ");
    if (list)
        text_add(t, list, strlen(list));
    text_print(t, ",\n");
    free(list); /* jansson's */
    json_decref(array);
}

static void write_tensors(text *t, const dt_manifest *m)
{
    text_print(t, "  \"tensors\": [");
    for (int64_t i = 0; i < m->n_tensors; i++) {
        const dt_state_tensor *tensor = &m->tensors[i];
        text_print(t, "%s\n    {\"name\": \"%s\", \"shape\": [", i ? "," : "", tensor->name);
        for (int d = 0; d < tensor->n_dims; d++)
            text_print(t, "%s%" PRId64, d ? ", " : "", tensor->dims[d]);
        text_print(t, "]}");
        t->bad_value |= !dt_manifest_is_plain(tensor->name);
    }
    text_print(t, "%s],\n", m->n_tensors ? "\n  " : "");
}

static void write_shards(text *t, const dt_manifest *m)
{
    text_print(t, "  \"shards\": [");
    for (int64_t i = 0; i < m->n_shards; i++) {
        const dt_shard_entry *s = &m->shards[i];
        text_print(t, "%s\n    {\"file\": \"%s\", \"bytes\": %" PRId64 ", \"xxh3_128\": \"%s\"", i ? "," : "",
                   s->file, s->bytes, s->xxh3_128);
        text_print(t, ", \"first\": %" PRId64 ", \"elements\": %" PRId64 "}", s->first, s->n_elems);
    }
    text_print(t, "%s],\n", m->n_shards ? "\n  " : "");
}

dt_status dt_manifest_write(const dt_manifest *m, char **out, int64_t *bytes, dt_error *err)
{
    text t = {0};
    char u64[24];
    text_print(&t, "{\n");
    text_integer(&t, "format_version", m->format_version);
    text_integer(&t, "step", m->step);
    text_integer(&t, "epoch", m->epoch);
    text_integer(&t, "position", m->position);
    snprintf(u64, sizeof u64, "%" PRIu64, m->seed);
    text_string(&t, "seed", u64);
    text_real(&t, "loss_scale", m->loss_scale);
    if (m->format_version >= 2) {
        text_integer(&t, "good_steps", m->n_good_steps);
        text_integer(&t, "skipped_steps", m->n_skipped_steps);
    }
    text_integer(&t, "world_size", m->world_size);
    text_integer(&t, "global_batch", m->global_batch);
    text_string(&t, "arch", m->arch);
    t.bad_value |= !dt_manifest_is_plain(m->arch);
    text_integer(&t, "classes", m->n_classes);
    if (m->format_version >= 4)
        write_class_names(&t, &m->class_names);
    text_integer(&t, "image_size", m->image_size);
    snprintf(u64, sizeof u64, "%016" PRIx64, m->data_fingerprint);
    text_string(&t, "data_fingerprint", u64);
    text_real(&t, "best_top1", m->best_top1);
    if (m->format_version >= 4) {
        text_integer(&t, "best_epoch", m->best_epoch);
        text_integer(&t, "best_step", m->best_step);
    }
    write_what_computed(&t, m);
    text_string(&t, "config", m->config_text ? m->config_text : "");
    write_tensors(&t, m);
    write_shards(&t, m);
    text_print(&t, "  " DT_MANIFEST_HASH_BEGIN "%032d" DT_MANIFEST_HASH_END, 0);
    if (t.bad_value || t.no_memory) {
        dt_free(t.data);
        return t.no_memory ? dt_fail_memory(err, t.capacity, "the manifest of a checkpoint")
                           : dt_fail(err, DT_ERR_INTERNAL,
                                     "the manifest of step %" PRId64
                                     " holds a name that is not plain text or a number that is not finite",
                                     m->step);
    }
    char hex[33];
    dt_durable_hash_memory(t.data, (int64_t)t.bytes, hex);
    memcpy(t.data + t.bytes - strlen(DT_MANIFEST_HASH_END) - DT_MANIFEST_HASH_DIGITS, hex,
           DT_MANIFEST_HASH_DIGITS);
    *out = t.data;
    *bytes = (int64_t)t.bytes;
    return DT_OK;
}
