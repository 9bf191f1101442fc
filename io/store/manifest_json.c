#include "io/store/manifest_json.h"

#include "core/base/alloc.h"
#include "io/durable.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_FIELD                                                                                           \
    "\"manifest_xxh3_128\": \"" /* what stands before the 32 digits; they are followed by HASH_END */
#define HASH_END "\"\n}\n"
#define HASH_DIGITS 32
#define MAX_ENTRIES 1000000 /* tensors or shards; far above any use, far below what would exhaust memory */

/* Writing: one entry a line, so that a person can read it and two of them can be compared with diff. */

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

/* A JSON string, escaped, or bad_value if it is not UTF-8. */
static void text_string(text *t, const char *name, const char *value)
{
    json_t *string = json_string(value);
    char *escaped = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    t->bad_value |= !escaped;
    text_print(t, "  \"%s\": ", name);
    if (escaped)
        text_add(t, escaped, strlen(escaped));
    text_print(t, ",\n");
    free(escaped); /* jansson's */
    json_decref(string);
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

/* Whether a text needs no escapes in JSON and cannot control a terminal. Names of tensors and all of
 * computed_by must be so. */
static bool is_plain(const char *name)
{
    for (const char *c = name; *c; c++)
        if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\')
            return false;
    return true;
}

static void write_computed_by(text *t, const dt_computed_by *c)
{
    text_print(t, "  \"computed_by\": {");
    for (int64_t i = 0; i < c->n; i++) {
        const dt_computed_by_field *f = &c->fields[i];
        text_print(t, "%s\n    \"%s\": \"%s\"", i ? "," : "", f->name, f->value);
        t->bad_value |= !is_plain(f->name) || !is_plain(f->value);
    }
    text_print(t, "%s},\n", c->n ? "\n  " : "");
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
        t->bad_value |= !is_plain(tensor->name);
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
    text_integer(&t, "classes", m->n_classes);
    text_integer(&t, "image_size", m->image_size);
    snprintf(u64, sizeof u64, "%016" PRIx64, m->data_fingerprint);
    text_string(&t, "data_fingerprint", u64);
    text_real(&t, "best_top1", m->best_top1);
    if (m->format_version >= 3)
        write_computed_by(&t, &m->computed_by);
    text_string(&t, "config", m->config_text ? m->config_text : "");
    write_tensors(&t, m);
    write_shards(&t, m);
    text_print(&t, "  " HASH_FIELD "%032d" HASH_END, 0);
    if (t.bad_value || t.no_memory) {
        dt_free(t.data);
        return t.no_memory ? dt_fail_memory(err, t.capacity, "the manifest of a checkpoint")
                           : dt_fail(err, DT_ERR_INTERNAL,
                                     "the manifest of step %" PRId64
                                     " holds a text that is not UTF-8 or a number that is not finite",
                                     m->step);
    }
    char hex[33];
    dt_durable_hash_memory(t.data, (int64_t)t.bytes, hex);
    memcpy(t.data + t.bytes - strlen(HASH_END) - HASH_DIGITS, hex, HASH_DIGITS);
    *out = t.data;
    *bytes = (int64_t)t.bytes;
    return DT_OK;
}

/* Reading. Each take_... returns a field and counts it; the first complaint is kept in `r`. */

typedef struct reader {
    const json_t *object;
    const char *where; /* "", "tensors[3]: " */
    size_t n_taken;
    dt_status status;
    dt_error *err;
} reader;

static void complain(reader *r, const char *field, const char *what)
{
    if (r->status == DT_OK)
        r->status = dt_fail(r->err, DT_ERR_FORMAT, "%s\"%s\" %s", r->where, field, what);
}

static const json_t *take(reader *r, const char *field)
{
    const json_t *value = json_object_get(r->object, field);
    if (!value)
        complain(r, field, "is missing");
    else
        r->n_taken++;
    return value;
}

static int64_t take_integer(reader *r, const char *field, int64_t least, int64_t most)
{
    const json_t *value = take(r, field);
    if (!value)
        return least;
    if (!json_is_integer(value)) {
        complain(r, field, "is not an integer");
        return least;
    }
    int64_t n = json_integer_value(value);
    if (n >= least && n <= most)
        return n;
    if (r->status == DT_OK)
        r->status = dt_fail(r->err, DT_ERR_FORMAT, "%s\"%s\" is %" PRId64 ", not in %" PRId64 " to %" PRId64,
                            r->where, field, n, least, most);
    return least;
}

static double take_real(reader *r, const char *field)
{
    const json_t *value = take(r, field);
    if (value && !json_is_real(value))
        complain(r, field, "is not a number with a decimal point");
    return json_real_value(value);
}

/* Into out[out_bytes]; a longer one is a complaint. NULL out: any length; returns it (the JSON object's). */
static const char *take_string(reader *r, const char *field, char *out, size_t out_bytes)
{
    const json_t *value = take(r, field);
    if (value && !json_is_string(value))
        complain(r, field, "is not a string");
    const char *s = json_string_value(value);
    if (!s)
        return "";
    if (out && strlen(s) >= out_bytes)
        complain(r, field, "is too long");
    else if (out)
        memcpy(out, s, strlen(s) + 1);
    return s;
}

static uint64_t take_u64(reader *r, const char *field, int base, const char *format)
{
    const char *s = take_string(r, field, NULL, 0);
    char again[24];
    uint64_t n = strtoull(s, NULL, base);
    snprintf(again, sizeof again, format[0] == 'x' ? "%016" PRIx64 : "%" PRIu64, n);
    if (strcmp(s, again) != 0) /* signs, blanks, overflow, other spellings */
        complain(r, field,
                 format[0] == 'x' ? "is not 16 hexadecimal digits"
                                  : "is not a number without sign in quotes");
    return n;
}

static const json_t *take_array(reader *r, const char *field)
{
    const json_t *value = take(r, field);
    if (value && !json_is_array(value))
        complain(r, field, "is not an array");
    else if (json_array_size(value) > MAX_ENTRIES)
        complain(r, field, "has too many entries");
    return value;
}

static void take_computed_by(reader *r, dt_computed_by *c)
{
    const json_t *object = take(r, "computed_by"), *value;
    const char *name;
    if (object && !json_is_object(object))
        complain(r, "computed_by", "is not an object");
    if (json_object_size(object) > DT_COMPUTED_BY_MAX)
        complain(r, "computed_by", "has too many entries");
    if (r->status != DT_OK)
        return;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *s = json_string_value(value);
        if (!s || !s[0] || !is_plain(s) || strlen(s) >= DT_COMPUTED_BY_VALUE_BYTES)
            complain(r, "computed_by", "has a value that is no short plain text");
        else if (!name[0] || !is_plain(name) || strlen(name) >= DT_COMPUTED_BY_NAME_BYTES)
            complain(r, "computed_by", "has a name that is no short plain text");
        else
            dt_computed_by_add(c, name, "%s", s);
    }
}

/* Every field of the object has been taken. */
static void take_nothing_else(reader *r)
{
    if (r->status == DT_OK && json_object_size(r->object) != r->n_taken)
        r->status = dt_fail(r->err, DT_ERR_FORMAT, "%s%zu unknown fields",
                            r->where[0] ? r->where : "manifest: ", json_object_size(r->object) - r->n_taken);
}

static dt_status begin_entry(reader *r, const json_t *array, size_t i, const char *array_name, char where[48],
                             dt_error *err)
{
    snprintf(where, 48, "%s[%zu]: ", array_name, i);
    *r = (reader){json_array_get(array, i), where, 0, DT_OK, err};
    return json_is_object(r->object) ? DT_OK : dt_fail(err, DT_ERR_FORMAT, "%snot an object", where);
}

static dt_status parse_tensor(const json_t *array, size_t i, int64_t *first, dt_state_tensor *t,
                              dt_error *err)
{
    reader r;
    char where[48];
    DT_TRY(begin_entry(&r, array, i, "tensors", where, err));
    take_string(&r, "name", t->name, sizeof t->name);
    if (!t->name[0])
        complain(&r, "name", "is empty");
    if (!is_plain(t->name))
        complain(&r, "name", "has characters that no tensor's name has");
    const json_t *shape = take_array(&r, "shape");
    take_nothing_else(&r);
    if (json_array_size(shape) > DT_STATE_MAX_DIMS)
        complain(&r, "shape", "has more than 4 dimensions");
    DT_TRY(r.status);
    t->n_dims = (int)json_array_size(shape);
    t->n_elems = 1;
    t->first = *first;
    for (int d = 0; d < t->n_dims; d++) {
        const json_t *length = json_array_get(shape, (size_t)d);
        t->dims[d] = json_integer_value(length);
        if (!json_is_integer(length) || t->dims[d] < 1 ||
            __builtin_mul_overflow(t->n_elems, t->dims[d], &t->n_elems))
            complain(&r, "shape", "is not of positive integers, or its product is too large");
    }
    if (__builtin_add_overflow(*first, t->n_elems, first))
        complain(&r, "shape", "makes the state too large");
    return r.status;
}

static dt_status parse_shard(const json_t *array, size_t i, size_t n, int64_t *first, dt_shard_entry *s,
                             dt_error *err)
{
    reader r;
    char where[48], expected[64];
    DT_TRY(begin_entry(&r, array, i, "shards", where, err));
    take_string(&r, "file", s->file, sizeof s->file);
    snprintf(expected, sizeof expected, "shard-%04zu-of-%04zu.h5", i, n);
    if (strcmp(s->file, expected) != 0) /* so no path leads out of the folder, and no file is there twice */
        complain(&r, "file", "is not what this shard's name must be");
    s->bytes = take_integer(&r, "bytes", 0, INT64_MAX / 2);
    take_string(&r, "xxh3_128", s->xxh3_128, sizeof s->xxh3_128);
    if (strlen(s->xxh3_128) != HASH_DIGITS || strspn(s->xxh3_128, "0123456789abcdef") != HASH_DIGITS)
        complain(&r, "xxh3_128", "is not 32 hexadecimal digits");
    s->first = take_integer(&r, "first", *first, *first);
    s->n_elems = take_integer(&r, "elements", 0, INT64_MAX / 8 - *first);
    take_nothing_else(&r);
    *first += s->n_elems;
    return r.status;
}

static dt_status parse_arrays(const json_t *tensors, const json_t *shards, dt_manifest *m, dt_error *err)
{
    size_t n_tensors = json_array_size(tensors), n_shards = json_array_size(shards);
    m->tensors = dt_calloc(n_tensors ? n_tensors : 1, sizeof *m->tensors);
    m->shards = dt_calloc(n_shards ? n_shards : 1, sizeof *m->shards);
    if (!m->tensors || !m->shards)
        return dt_fail_memory(err, n_tensors * sizeof *m->tensors + n_shards * sizeof *m->shards,
                              "a manifest");
    m->n_tensors = (int64_t)n_tensors;
    m->n_shards = (int64_t)n_shards;
    int64_t state_elems = 0, shard_elems = 0;
    for (size_t i = 0; i < n_tensors; i++)
        DT_TRY(parse_tensor(tensors, i, &state_elems, &m->tensors[i], err));
    for (size_t i = 0; i < n_shards; i++)
        DT_TRY(parse_shard(shards, i, n_shards, &shard_elems, &m->shards[i], err));
    if (state_elems != shard_elems)
        return dt_fail(err, DT_ERR_FORMAT, "the shards hold %" PRId64 " elements, the tensors have %" PRId64,
                       shard_elems, state_elems);
    return DT_OK;
}

static dt_status parse_fields(const json_t *root, dt_manifest *m, dt_error *err)
{
    reader r = {root, "", 0, DT_OK, err};
    m->format_version = take_integer(&r, "format_version", 1, DT_MANIFEST_VERSION);
    m->step = take_integer(&r, "step", 0, INT64_MAX);
    m->epoch = take_integer(&r, "epoch", 0, INT64_MAX);
    m->position = take_integer(&r, "position", 0, INT64_MAX);
    m->seed = take_u64(&r, "seed", 10, "u");
    m->loss_scale = take_real(&r, "loss_scale");
    m->n_good_steps = m->format_version >= 2 ? take_integer(&r, "good_steps", -1, INT32_MAX) : -1;
    m->n_skipped_steps = m->format_version >= 2 ? take_integer(&r, "skipped_steps", 0, INT32_MAX) : 0;
    m->world_size = take_integer(&r, "world_size", 1, INT32_MAX);
    m->global_batch = take_integer(&r, "global_batch", 1, INT64_MAX);
    take_string(&r, "arch", m->arch, sizeof m->arch);
    m->n_classes = take_integer(&r, "classes", 1, INT64_MAX);
    m->image_size = take_integer(&r, "image_size", 1, INT64_MAX);
    m->data_fingerprint = take_u64(&r, "data_fingerprint", 16, "x");
    m->best_top1 = take_real(&r, "best_top1");
    if (m->format_version >= 3)
        take_computed_by(&r, &m->computed_by);
    const char *config = take_string(&r, "config", NULL, 0);
    const json_t *tensors = take_array(&r, "tensors"), *shards = take_array(&r, "shards");
    take_string(&r, "manifest_xxh3_128", m->identity, sizeof m->identity);
    take_nothing_else(&r);
    DT_TRY(r.status);
    m->config_text = dt_strdup(config);
    if (!m->config_text)
        return dt_fail_memory(err, strlen(config) + 1, "the configuration in a manifest");
    return parse_arrays(tensors, shards, m, err);
}

/* The hash at the end is that of the text. *has_hash: there is one at all. */
static dt_status check_hash(const char *text_in, int64_t bytes, bool *has_hash, dt_error *err)
{
    const int64_t end = (int64_t)strlen(HASH_END), field = (int64_t)strlen(HASH_FIELD);
    const int64_t digits = bytes - end - HASH_DIGITS;
    if (digits < field || memcmp(text_in + bytes - end, HASH_END, (size_t)end) != 0 ||
        memcmp(text_in + digits - field, HASH_FIELD, (size_t)field) != 0)
        return dt_fail(err, DT_ERR_FORMAT, "it does not end with manifest_xxh3_128: cut short or edited");
    *has_hash = true;
    char *copy = dt_alloc((size_t)bytes);
    if (!copy)
        return dt_fail_memory(err, (size_t)bytes, "a manifest");
    memcpy(copy, text_in, (size_t)bytes);
    memset(copy + digits, '0', HASH_DIGITS);
    char hex[33];
    dt_durable_hash_memory(copy, bytes, hex);
    dt_free(copy);
    if (memcmp(hex, text_in + digits, HASH_DIGITS) != 0)
        return dt_fail(err, DT_ERR_FORMAT, "its manifest_xxh3_128 should be %s: damaged or edited", hex);
    return DT_OK;
}

dt_status dt_manifest_parse(const char *text_in, int64_t bytes, dt_manifest *manifest, dt_error *err)
{
    json_error_t why;
    json_t *root = json_loadb(text_in, (size_t)bytes, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return dt_fail(err, DT_ERR_FORMAT, "line %d, column %d: not the JSON it should be: %s", why.line,
                       why.column, why.text);
    dt_manifest m = {0};
    bool has_hash = false;
    dt_status status = check_hash(text_in, bytes, &has_hash, err);
    const json_t *version = json_object_get(root, "format_version");
    if ((status == DT_OK || !has_hash) && json_is_integer(version) &&
        json_integer_value(version) > DT_MANIFEST_VERSION)
        status = dt_fail(err, DT_ERR_UNSUPPORTED,
                         "format_version is %" JSON_INTEGER_FORMAT
                         ", this dtrain knows up to %d: a newer dtrain wrote it; use that one",
                         json_integer_value(version), DT_MANIFEST_VERSION);
    if (status == DT_OK)
        status = parse_fields(root, &m, err);
    if (status == DT_OK)
        *manifest = m;
    else
        dt_manifest_clear(&m);
    json_decref(root);
    return status;
}
