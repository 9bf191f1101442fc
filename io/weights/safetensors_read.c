/* Reads .safetensors. All that the header claims is checked before any data is read. */
#include "io/weights/safetensors.h"

#include "core/base/alloc.h"
#include "core/base/file.h"
#include "core/base/json_limit.h"
#include "io/durable.h"
#include "io/weights/file_kind.h"

#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#    error "the format is little-endian, and so are the machines dtrain is for"
#endif

/* What a hostile file can make us allocate follows from these: about 200 MB. The largest ResNet's header has
 * 1,000 tensors in 0.1 MB; the format's own reader stops at 100 MB. */
#define MAX_HEADER_BYTES ((int64_t)16 << 20)
#define MAX_HEADER_VALUES 500000
#define MAX_HEADER_DEPTH 8
#define CONVERT_BYTES ((int64_t)1 << 20)

typedef struct stored {
    dt_safetensors_tensor tensor;
    char type[16];      /* as the file names it */
    int64_t begin, end; /* bytes, in the file */
} stored;

struct dt_safetensors {
    char path[DT_DURABLE_PATH_BYTES];
    int fd;
    int64_t n;
    stored *tensors; /* by begin */
    json_t *header;  /* for the metadata */
};

static const struct {
    const char *name;
    dt_dtype dtype;
    int64_t bytes;
} known[] = {{"F32", DT_F32, 4}, {"F64", DT_F64, 8}, {"F16", DT_F16, 2}, {"BF16", DT_BF16, 2},
             {"I64", DT_I64, 8}, {"I32", DT_I32, 4}, {"U8", DT_U8, 1}};

#define N_KNOWN (sizeof known / sizeof *known)

static int64_t dtype_bytes(dt_dtype dtype)
{
    for (size_t k = 0; k < N_KNOWN; k++)
        if (known[k].dtype == dtype)
            return known[k].bytes;
    return 0;
}

int64_t dt_safetensors_elems(const dt_safetensors_tensor *tensor)
{
    int64_t n = 1;
    for (int d = 0; d < tensor->n_dims; d++)
        n *= tensor->dims[d];
    return n;
}

/* An unknown type is no error here: the net may not need the tensor. */
static dt_status parse_dtype(const char *path, const json_t *entry, stored *s, dt_error *err)
{
    dt_safetensors_tensor *t = &s->tensor;
    const char *text = json_string_value(json_object_get(entry, "dtype"));
    if (!text)
        return dt_fail(err, DT_ERR_FORMAT, "%s: tensor %s: no \"dtype\"", path, t->name);
    snprintf(s->type, sizeof s->type, "%s", text);
    t->is_other = true;
    for (size_t k = 0; k < N_KNOWN && t->is_other; k++)
        if (strcmp(text, known[k].name) == 0) {
            t->dtype = known[k].dtype;
            t->is_other = false;
        }
    return DT_OK;
}

/* *bytes: the size of all elements; of their number, if the type is not known. */
static dt_status parse_shape(const char *path, const json_t *entry, dt_safetensors_tensor *t, int64_t *bytes,
                             dt_error *err)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return dt_fail(err, DT_ERR_FORMAT, "%s: tensor %s: no \"shape\"", path, t->name);
    if (json_array_size(shape) > DT_SAFETENSORS_MAX_DIMS)
        return dt_fail(err, DT_ERR_UNSUPPORTED, "%s: tensor %s: %zu dimensions, more than %d", path, t->name,
                       json_array_size(shape), DT_SAFETENSORS_MAX_DIMS);
    t->n_dims = (int)json_array_size(shape);
    *bytes = t->is_other ? 1 : dtype_bytes(t->dtype);
    for (int d = 0; d < t->n_dims; d++) {
        const json_t *length = json_array_get(shape, (size_t)d);
        t->dims[d] = json_integer_value(length);
        if (!json_is_integer(length) || t->dims[d] < 0 || __builtin_mul_overflow(*bytes, t->dims[d], bytes))
            return dt_fail(err, DT_ERR_FORMAT,
                           "%s: tensor %s: dimension %d of its shape is not a possible size", path, t->name,
                           d);
    }
    return DT_OK;
}

static dt_status parse_entry(const char *path, const char *name, const json_t *entry, int64_t data_bytes,
                             stored *s, dt_error *err)
{
    if (strlen(name) >= sizeof s->tensor.name || !name[0])
        return dt_fail(err, DT_ERR_UNSUPPORTED, "%s: tensor %.40s...: a name of %zu bytes, not 1 to %d", path,
                       name, strlen(name), DT_SAFETENSORS_NAME_BYTES - 1);
    memcpy(s->tensor.name, name, strlen(name) + 1);
    int64_t bytes = 0;
    DT_TRY(parse_dtype(path, entry, s, err));
    DT_TRY(parse_shape(path, entry, &s->tensor, &bytes, err));
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return dt_fail(err, DT_ERR_FORMAT, "%s: tensor %s: \"data_offsets\" is not two integers", path, name);
    s->begin = json_integer_value(begin);
    s->end = json_integer_value(end);
    if (s->begin < 0 || s->end < s->begin || s->end > data_bytes)
        return dt_fail(err, DT_ERR_FORMAT,
                       "%s: tensor %s: bytes %" PRId64 " to %" PRId64 " are not inside the %" PRId64
                       " bytes of data",
                       path, name, s->begin, s->end, data_bytes);
    if (s->end - s->begin != bytes && !s->tensor.is_other)
        return dt_fail(err, DT_ERR_FORMAT,
                       "%s: tensor %s: its shape needs %" PRId64 " bytes, its data_offsets give %" PRId64,
                       path, name, bytes, s->end - s->begin);
    return DT_OK;
}

static int by_offset(const void *a, const void *b)
{
    const stored *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* Read all tensors of the header, in file order. They must cover data_bytes without gap or overlap. */
static dt_status parse_header(dt_safetensors *f, int64_t data_bytes, dt_error *err)
{
    if (!json_is_object(f->header))
        return dt_fail(err, DT_ERR_FORMAT, "%s: its header is not a JSON object", f->path);
    size_t n = json_object_size(f->header);
    f->tensors = dt_calloc(n ? n : 1, sizeof *f->tensors);
    if (!f->tensors)
        return dt_fail_memory(err, n * sizeof *f->tensors, "the list of tensors in a safetensors file");
    const char *name;
    json_t *entry;
    json_object_foreach(f->header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        DT_TRY(parse_entry(f->path, name, entry, data_bytes, &f->tensors[f->n], err));
        f->n++;
    }
    qsort(f->tensors, (size_t)f->n, sizeof *f->tensors, by_offset);
    int64_t at = 0;
    for (int64_t i = 0; i < f->n; i++) {
        if (f->tensors[i].begin != at)
            return dt_fail(err, DT_ERR_FORMAT,
                           "%s: tensor %s begins at byte %" PRId64
                           " of the data, but what is before it ends at %" PRId64,
                           f->path, f->tensors[i].tensor.name, f->tensors[i].begin, at);
        at = f->tensors[i].end;
    }
    if (at != data_bytes)
        return dt_fail(err, DT_ERR_FORMAT,
                       "%s: its tensors end at byte %" PRId64 " of %" PRId64 " bytes of data", f->path, at,
                       data_bytes);
    return DT_OK;
}

/* Not a .safetensors file: if it is one of another kind, return an error that says which; else DT_OK. */
static dt_status refuse_kind(const dt_safetensors *f, int64_t file_bytes, dt_error *err)
{
    unsigned char first[DT_WEIGHTS_KIND_BYTES];
    const int64_t n = file_bytes < (int64_t)sizeof first ? file_bytes : (int64_t)sizeof first;
    DT_TRY(dt_durable_read(f->fd, f->path, first, n, 0, err));
    const char *kind = dt_weights_file_kind(first, (size_t)n);
    return kind ? dt_fail(err, DT_ERR_FORMAT, "%s: not a safetensors file, but %s", f->path, kind) : DT_OK;
}

/* Set f->header from the n bytes of its text. */
static dt_status parse_text(dt_safetensors *f, const char *text, uint64_t n, int64_t file_bytes,
                            dt_error *err)
{
    json_error_t why;
    dt_status status = dt_json_limit(text, (int64_t)n, MAX_HEADER_VALUES, MAX_HEADER_DEPTH, err);
    if (status != DT_OK)
        dt_error_prefix(err, "%s", f->path);
    else if (!(f->header = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &why)))
        status = dt_fail(err, DT_ERR_FORMAT, "%s: its header is not JSON: line %d, column %d: %s", f->path,
                         why.line, why.column, why.text);
    if (status != DT_OK)
        DT_TRY(refuse_kind(f, file_bytes, err));
    return status;
}

static dt_status read_header(dt_safetensors *f, dt_error *err)
{
    struct stat st;
    unsigned char length[8];
    if (fstat(f->fd, &st) != 0)
        return dt_fail_errno(err, "%s: cannot read its attributes", f->path);
    if (st.st_size < 8) {
        DT_TRY(refuse_kind(f, st.st_size, err));
        return dt_fail(err, DT_ERR_FORMAT, "%s: of %" PRId64 " bytes, too short for a safetensors file",
                       f->path, (int64_t)st.st_size);
    }
    DT_TRY(dt_durable_read(f->fd, f->path, length, sizeof length, 0, err));
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | length[i];
    if (n < 2 || n > (uint64_t)(st.st_size - 8) || n > (uint64_t)MAX_HEADER_BYTES) {
        DT_TRY(refuse_kind(f, st.st_size, err));
        if (n >= 2 && n <= (uint64_t)(st.st_size - 8))
            return dt_fail(err, DT_ERR_UNSUPPORTED,
                           "%s: its header has %" PRIu64 " bytes; dtrain reads headers of up to %" PRId64,
                           f->path, n, MAX_HEADER_BYTES);
        return dt_fail(err, DT_ERR_FORMAT,
                       "%s: says its header has %" PRIu64 " bytes, which cannot be in a file of %" PRId64
                       ": not a safetensors file, or cut short",
                       f->path, n, (int64_t)st.st_size);
    }
    char *text = dt_alloc((size_t)n);
    if (!text)
        return dt_fail_memory(err, (size_t)n, "the header of a safetensors file");
    dt_status status = dt_durable_read(f->fd, f->path, text, (int64_t)n, 8, err);
    if (status == DT_OK)
        status = parse_text(f, text, n, st.st_size, err);
    dt_free(text);
    if (status == DT_OK)
        status = parse_header(f, st.st_size - 8 - (int64_t)n, err);
    for (int64_t i = 0; i < f->n; i++) {
        f->tensors[i].begin += 8 + (int64_t)n;
        f->tensors[i].end += 8 + (int64_t)n;
    }
    return status;
}

dt_status dt_safetensors_open(const char *path, dt_safetensors **file, dt_error *err)
{
    dt_safetensors *f = dt_calloc(1, sizeof *f);
    if (!f)
        return dt_fail_memory(err, sizeof *f, "a safetensors file");
    f->fd = -1;
    dt_status status;
    DT_TRY_OR_FAIL(status, dt_durable_path(f->path, err, "%s", path));
    DT_TRY_OR_FAIL(status, dt_file_open(path, O_RDONLY, 0, &f->fd, err));
    DT_TRY_OR_FAIL(status, read_header(f, err));
    *file = f;
    return DT_OK;
fail:
    dt_safetensors_close(f);
    return status;
}

void dt_safetensors_close(dt_safetensors *f)
{
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    json_decref(f->header);
    dt_free(f->tensors);
    dt_free(f);
}

int64_t dt_safetensors_count(const dt_safetensors *f)
{
    return f->n;
}

const dt_safetensors_tensor *dt_safetensors_tensor_at(const dt_safetensors *f, int64_t i)
{
    return i >= 0 && i < f->n ? &f->tensors[i].tensor : NULL;
}

int64_t dt_safetensors_find(const dt_safetensors *f, const char *name)
{
    for (int64_t i = 0; i < f->n; i++)
        if (strcmp(f->tensors[i].tensor.name, name) == 0)
            return i;
    return -1;
}

const char *dt_safetensors_metadata(const dt_safetensors *f, const char *key)
{
    return json_string_value(json_object_get(json_object_get(f->header, "__metadata__"), key));
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 0x3ff;
    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24 is exact */
        float value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    uint32_t bits = sign | (exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void convert_f32(dt_dtype dtype, const char *raw, float *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t half;
        uint32_t bits;
        double wide;
        switch (dtype) {
        case DT_F16:
            memcpy(&half, raw + 2 * i, sizeof half);
            values[i] = half_to_float(half);
            break;
        case DT_BF16: /* the upper half of a float32 */
            memcpy(&half, raw + 2 * i, sizeof half);
            bits = (uint32_t)half << 16;
            memcpy(&values[i], &bits, sizeof bits);
            break;
        default: /* DT_F64 */
            memcpy(&wide, raw + 8 * i, sizeof wide);
            values[i] = (float)wide;
        }
    }
}

static void convert_i64(dt_dtype dtype, const char *raw, int64_t *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        int32_t narrow;
        if (dtype == DT_I32)
            memcpy(&narrow, raw + 4 * i, sizeof narrow);
        else /* DT_U8 */
            narrow = (uint8_t)raw[i];
        values[i] = narrow;
    }
}

/* Read tensor i: directly if its dtype is `same`, else block by block with a conversion. Exactly one of f32
 * and i64 is not NULL. */
static dt_status read_tensor(dt_safetensors *f, int64_t i, dt_dtype same, float *f32, int64_t *i64,
                             dt_error *err)
{
    const stored *s = &f->tensors[i];
    dt_dtype dtype = s->tensor.dtype;
    if (dtype == same)
        return dt_durable_read(f->fd, f->path, f32 ? (void *)f32 : (void *)i64, s->end - s->begin, s->begin,
                               err);
    char *raw = dt_alloc((size_t)CONVERT_BYTES);
    if (!raw)
        return dt_fail_memory(err, (size_t)CONVERT_BYTES, "converting a tensor");
    dt_status status = DT_OK;
    int64_t size = dtype_bytes(dtype), n = dt_safetensors_elems(&s->tensor), step = CONVERT_BYTES / size;
    for (int64_t at = 0; at < n && status == DT_OK; at += step) {
        int64_t count = n - at < step ? n - at : step;
        status = dt_durable_read(f->fd, f->path, raw, count * size, s->begin + at * size, err);
        if (status == DT_OK && f32)
            convert_f32(dtype, raw, f32 + at, count);
        else if (status == DT_OK)
            convert_i64(dtype, raw, i64 + at, count);
    }
    dt_free(raw);
    return status;
}

static dt_status read_checked(dt_safetensors *f, int64_t i, bool floats, float *f32, int64_t *i64,
                              dt_error *err)
{
    if (i < 0 || i >= f->n)
        return dt_fail(err, DT_ERR_INTERNAL, "%s: has no tensor %" PRId64, f->path, i);
    const dt_safetensors_tensor *t = &f->tensors[i].tensor;
    if (t->is_other)
        return dt_fail(err, DT_ERR_UNSUPPORTED,
                       "%s: tensor %s: dtype %s is not one of F32, F64, F16, BF16, I64, I32, U8", f->path,
                       t->name, f->tensors[i].type);
    bool is_float = t->dtype == DT_F32 || t->dtype == DT_F64 || t->dtype == DT_F16 || t->dtype == DT_BF16;
    if (is_float != floats)
        return dt_fail(err, DT_ERR_UNSUPPORTED, "%s: tensor %s: holds %s, where %s are needed", f->path,
                       t->name, f->tensors[i].type, floats ? "floating-point numbers" : "integers");
    dt_status status = read_tensor(f, i, floats ? DT_F32 : DT_I64, f32, i64, err);
    return status == DT_OK ? DT_OK : dt_error_prefix(err, "tensor %s", t->name);
}

dt_status dt_safetensors_read_f32(dt_safetensors *f, int64_t i, float *values, dt_error *err)
{
    return read_checked(f, i, true, values, NULL, err);
}

dt_status dt_safetensors_read_i64(dt_safetensors *f, int64_t i, int64_t *values, dt_error *err)
{
    return read_checked(f, i, false, NULL, values, err);
}
