/* Reads manifest.json. Each read_... function returns a field and counts it; the first problem is kept in the
 * reader. */
#include "io/store/manifest_json.h"

#include "core/base/alloc.h"
#include "core/base/json_limit.h"
#include "core/base/units.h"
#include "core/base/utf8.h"
#include "io/class_names_json.h"
#include "io/durable.h"
#include "io/store/manifest_check.h"
#include "io/store/manifest_json_format.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Far above any use, and far below what would exhaust memory or overflow a sum. */
#define MAX_VALUES 500000 /* of the whole JSON text */
#define MAX_DEPTH 8
#define MAX_CONFIG_BYTES 100000
#define MAX_EPOCHS 1000000      /* as --epochs */
#define MAX_LOSS_SCALE 16777216 /* as --loss-scale; a step never leaves 1 to this */
#define MAX_SAMPLES ((int64_t)1 << 53)
#define MAX_RANKS (1 << 20)
#define MAX_CLASSES 10000000
#define MAX_IMAGE_SIZE 65536

typedef struct reader {
    const json_t *object;
    const char *where; /* "", "tensors[3]: " */
    size_t n_read;
    dt_status status;
    dt_error *err;
} reader;

static void report_problem(reader *r, const char *field, const char *what)
{
    if (r->status == DT_OK)
        r->status = dt_fail(r->err, DT_ERR_FORMAT, "%s\"%s\" %s", r->where, field, what);
}

static const json_t *read_field(reader *r, const char *field)
{
    const json_t *value = json_object_get(r->object, field);
    if (!value)
        report_problem(r, field, "is missing");
    else
        r->n_read++;
    return value;
}

static int64_t read_integer(reader *r, const char *field, int64_t least, int64_t most)
{
    const json_t *value = read_field(r, field);
    if (!value)
        return least;
    if (!json_is_integer(value)) {
        report_problem(r, field, "is not an integer");
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

static double read_real(reader *r, const char *field, double least, double most)
{
    const json_t *value = read_field(r, field);
    if (value && !json_is_real(value))
        report_problem(r, field, "is not a number with a decimal point");
    const double x = json_real_value(value);
    if (r->status == DT_OK && !(x >= least && x <= most))
        r->status = dt_fail(r->err, DT_ERR_FORMAT, "%s\"%s\" is %g, not in %g to %g", r->where, field, x,
                            least, most);
    return x;
}

/* Copy a string to out[out_bytes]; a longer one is a problem. With `out` NULL any length is fine. Returns the
 * string, which the JSON object owns. */
static const char *read_string(reader *r, const char *field, char *out, size_t out_bytes)
{
    const json_t *value = read_field(r, field);
    if (value && !json_is_string(value))
        report_problem(r, field, "is not a string");
    const char *s = json_string_value(value);
    if (!s)
        return "";
    if (out && strlen(s) >= out_bytes)
        report_problem(r, field, "is too long");
    else if (out)
        memcpy(out, s, strlen(s) + 1);
    return s;
}

static uint64_t read_u64(reader *r, const char *field, int base, const char *format)
{
    const char *s = read_string(r, field, NULL, 0);
    char again[24];
    uint64_t n = strtoull(s, NULL, base);
    snprintf(again, sizeof again, format[0] == 'x' ? "%016" PRIx64 : "%" PRIu64, n);
    if (strcmp(s, again) != 0) /* signs, blanks, overflow, other spellings */
        report_problem(r, field,
                       format[0] == 'x' ? "is not 16 hexadecimal digits"
                                        : "is not a number without sign in quotes");
    return n;
}

static const json_t *read_array(reader *r, const char *field)
{
    const json_t *value = read_field(r, field);
    if (value && !json_is_array(value))
        report_problem(r, field, "is not an array");
    return value;
}

static void read_computed_by(reader *r, dt_computed_by *c)
{
    const json_t *object = read_field(r, "computed_by"), *value;
    const char *name;
    if (object && !json_is_object(object))
        report_problem(r, "computed_by", "is not an object");
    if (json_object_size(object) > DT_COMPUTED_BY_MAX)
        report_problem(r, "computed_by", "has too many entries");
    if (r->status != DT_OK)
        return;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *s = json_string_value(value);
        if (!s || !s[0] || !dt_manifest_is_plain(s) || strlen(s) >= DT_COMPUTED_BY_VALUE_BYTES)
            report_problem(r, "computed_by", "has a value that is not a short plain text");
        else if (!name[0] || !dt_manifest_is_plain(name) || strlen(name) >= DT_COMPUTED_BY_NAME_BYTES)
            report_problem(r, "computed_by", "has a name that is not a short plain text");
        else
            dt_computed_by_add(c, name, "%s", s);
    }
}

static bool is_short_plain(const char *s, size_t bytes)
{
    return s && s[0] && strlen(s) < bytes && dt_manifest_is_plain(s);
}

static void read_engines_of_kind(reader *r, const char *kind, const json_t *object, dt_engines *engines)
{
    const char *name;
    const json_t *value;
    if (!json_is_object(object) || json_object_size(object) == 0)
        report_problem(r, "engines", "has a kind of device without operations");
    if (!is_short_plain(kind, DT_ENGINE_KIND_BYTES))
        report_problem(r, "engines", "has a kind of device that is not a short plain text");
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const char *s = json_string_value(value);
        dt_error why = {0};
        if (!is_short_plain(name, DT_ENGINE_NAME_BYTES))
            report_problem(r, "engines", "has an operation that is not a short plain text");
        if (!is_short_plain(s, DT_ENGINE_VALUE_BYTES))
            report_problem(r, "engines", "has an engine that is not a short plain text");
        if (engines->n == DT_ENGINES_MAX)
            report_problem(r, "engines", "has too many entries");
        if (r->status == DT_OK && dt_engines_put(engines, kind, name, s, &why) != DT_OK)
            r->status = dt_fail(r->err, why.status, "%s", why.message);
    }
}

static void read_engines(reader *r, dt_engines *engines)
{
    const json_t *object = read_field(r, "engines"), *of_kind;
    const char *kind;
    if (object && !json_is_object(object))
        report_problem(r, "engines", "is not an object");
    json_object_foreach((json_t *)(uintptr_t)object, kind, of_kind)
    {
        read_engines_of_kind(r, kind, of_kind, engines);
    }
}

/* None, or a name for each class. */
static void read_class_names(reader *r, int64_t n_classes, dt_class_names *names)
{
    dt_error why = {0};
    const json_t *array = read_array(r, "class_names");
    if (r->status != DT_OK)
        return;
    if (json_array_size(array) > 0 && (int64_t)json_array_size(array) != n_classes)
        report_problem(r, "class_names", "is not a list of as many names as \"classes\" says");
    else if (dt_class_names_from_json(array, names, &why) == DT_ERR_FORMAT)
        report_problem(r, "class_names", why.message);
    else if (why.status != DT_OK)
        r->status = dt_fail(r->err, why.status, "%s", why.message);
}

/* Report fields of the object that were not read. */
static void refuse_unknown_fields(reader *r)
{
    if (r->status == DT_OK && json_object_size(r->object) != r->n_read)
        r->status = dt_fail(r->err, DT_ERR_FORMAT, "%s%zu unknown field%s",
                            r->where[0] ? r->where : "manifest: ", json_object_size(r->object) - r->n_read,
                            DT_PLURAL(json_object_size(r->object) - r->n_read));
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
    read_string(&r, "name", t->name, sizeof t->name);
    if (!t->name[0])
        report_problem(&r, "name", "is empty");
    if (!dt_manifest_is_plain(t->name))
        report_problem(&r, "name", "has characters that a tensor's name must not have");
    const json_t *shape = read_array(&r, "shape");
    refuse_unknown_fields(&r);
    if (json_array_size(shape) > DT_STATE_MAX_DIMS)
        report_problem(&r, "shape", "has more than 4 dimensions");
    DT_TRY(r.status);
    t->n_dims = (int)json_array_size(shape);
    t->n_elems = 1;
    t->first = *first;
    for (int d = 0; d < t->n_dims; d++) {
        const json_t *length = json_array_get(shape, (size_t)d);
        t->dims[d] = json_integer_value(length);
        if (!json_is_integer(length) || t->dims[d] < 1 ||
            __builtin_mul_overflow(t->n_elems, t->dims[d], &t->n_elems))
            report_problem(&r, "shape", "is not of positive integers, or its product is too large");
    }
    if (__builtin_add_overflow(*first, t->n_elems, first))
        report_problem(&r, "shape", "makes the state too large");
    return r.status;
}

static dt_status parse_shard(const json_t *array, size_t i, size_t n, int64_t *first, dt_shard_entry *s,
                             dt_error *err)
{
    reader r;
    char where[48], expected[64];
    DT_TRY(begin_entry(&r, array, i, "shards", where, err));
    read_string(&r, "file", s->file, sizeof s->file);
    snprintf(expected, sizeof expected, "shard-%04zu-of-%04zu.h5", i, n);
    if (strcmp(s->file, expected) != 0) /* so no path leads out of the folder, and no file is listed twice */
        report_problem(&r, "file", "is not what this shard's name must be");
    s->bytes = read_integer(&r, "bytes", 0, INT64_MAX / 2);
    read_string(&r, "xxh3_128", s->xxh3_128, sizeof s->xxh3_128);
    if (strlen(s->xxh3_128) != DT_MANIFEST_HASH_DIGITS ||
        strspn(s->xxh3_128, "0123456789abcdef") != DT_MANIFEST_HASH_DIGITS)
        report_problem(&r, "xxh3_128", "is not 32 hexadecimal digits");
    s->first = read_integer(&r, "first", *first, *first);
    s->n_elems = read_integer(&r, "elements", 0, INT64_MAX / 8 - *first);
    refuse_unknown_fields(&r);
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
    m->format_version = read_integer(&r, "format_version", 1, DT_MANIFEST_VERSION);
    m->step = read_integer(&r, "step", 0, INT64_MAX);
    m->epoch = read_integer(&r, "epoch", 0, MAX_EPOCHS);
    m->position = read_integer(&r, "position", 0, MAX_SAMPLES);
    m->seed = read_u64(&r, "seed", 10, "u");
    m->loss_scale = read_real(&r, "loss_scale", 1, MAX_LOSS_SCALE);
    m->n_good_steps = m->format_version >= 2 ? read_integer(&r, "good_steps", -1, INT32_MAX) : -1;
    m->n_skipped_steps = m->format_version >= 2 ? read_integer(&r, "skipped_steps", 0, INT32_MAX) : 0;
    m->world_size = read_integer(&r, "world_size", 1, MAX_RANKS);
    m->global_batch = read_integer(&r, "global_batch", 1, MAX_SAMPLES);
    read_string(&r, "arch", m->arch, sizeof m->arch);
    if (!dt_manifest_is_plain(m->arch))
        report_problem(&r, "arch", "is not plain text");
    m->n_classes = read_integer(&r, "classes", 1, MAX_CLASSES);
    if (m->format_version >= 4)
        read_class_names(&r, m->n_classes, &m->class_names);
    m->image_size = read_integer(&r, "image_size", 1, MAX_IMAGE_SIZE);
    m->data_fingerprint = read_u64(&r, "data_fingerprint", 16, "x");
    m->best_top1 = read_real(&r, "best_top1", -1, 1);
    m->best_epoch = m->format_version >= 4 ? read_integer(&r, "best_epoch", -1, MAX_EPOCHS) : -1;
    m->best_step = m->format_version >= 4 ? read_integer(&r, "best_step", -1, m->step) : -1;
    if (m->format_version >= 3)
        read_computed_by(&r, &m->computed_by);
    if (m->format_version >= 5)
        read_engines(&r, &m->engines);
    const char *config = read_string(&r, "config", NULL, 0);
    const json_t *tensors = read_array(&r, "tensors"), *shards = read_array(&r, "shards");
    read_string(&r, "manifest_xxh3_128", m->identity, sizeof m->identity);
    refuse_unknown_fields(&r);
    if (strlen(config) > MAX_CONFIG_BYTES)
        report_problem(&r, "config", "is longer than any configuration");
    DT_TRY(r.status);
    m->config_text = dt_utf8_unescape(config);
    if (!m->config_text)
        return dt_fail_memory(err, strlen(config) + 1, "the configuration in a manifest");
    DT_TRY(parse_arrays(tensors, shards, m, err));
    return dt_manifest_check(m, err);
}

/* Check the hash at the end of the text. *has_hash: there is one. */
static dt_status check_hash(const char *text_in, int64_t bytes, bool *has_hash, dt_error *err)
{
    const int64_t end = (int64_t)strlen(DT_MANIFEST_HASH_END),
                  field = (int64_t)strlen(DT_MANIFEST_HASH_BEGIN);
    const int64_t digits = bytes - end - DT_MANIFEST_HASH_DIGITS;
    if (digits < field || memcmp(text_in + bytes - end, DT_MANIFEST_HASH_END, (size_t)end) != 0 ||
        memcmp(text_in + digits - field, DT_MANIFEST_HASH_BEGIN, (size_t)field) != 0)
        return dt_fail(err, DT_ERR_FORMAT, "it does not end with manifest_xxh3_128: cut short or edited");
    *has_hash = true;
    char *copy = dt_alloc((size_t)bytes);
    if (!copy)
        return dt_fail_memory(err, (size_t)bytes, "a manifest");
    memcpy(copy, text_in, (size_t)bytes);
    memset(copy + digits, '0', DT_MANIFEST_HASH_DIGITS);
    char hex[33];
    dt_durable_hash_memory(copy, bytes, hex);
    dt_free(copy);
    if (memcmp(hex, text_in + digits, DT_MANIFEST_HASH_DIGITS) != 0)
        return dt_fail(err, DT_ERR_FORMAT, "its manifest_xxh3_128 should be %s: damaged or edited", hex);
    return DT_OK;
}

dt_status dt_manifest_parse(const char *text_in, int64_t bytes, dt_manifest *manifest, dt_error *err)
{
    json_error_t why;
    DT_TRY(dt_json_limit(text_in, bytes, MAX_VALUES, MAX_DEPTH, err));
    json_t *root = json_loadb(text_in, (size_t)bytes, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return dt_fail(err, DT_ERR_FORMAT, "line %d, column %d: not valid JSON: %s", why.line, why.column,
                       why.text);
    dt_manifest m = {0};
    bool has_hash = false;
    dt_status status = check_hash(text_in, bytes, &has_hash, err);
    const json_t *version = json_object_get(root, "format_version");
    if ((status == DT_OK || !has_hash) && json_is_integer(version) &&
        json_integer_value(version) > DT_MANIFEST_VERSION)
        status = dt_fail(err, DT_ERR_UNSUPPORTED,
                         "format_version is %" JSON_INTEGER_FORMAT
                         ", this dtrain reads up to %d: a newer dtrain wrote it; use that one",
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
