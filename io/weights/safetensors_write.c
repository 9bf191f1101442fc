/* Writes .safetensors: the header first, then each tensor at its offset in path.tmp, then the rename. */
#define _GNU_SOURCE /* TEMP_FAILURE_RETRY */
#include "io/weights/safetensors.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "core/base/file.h"
#include "core/base/utf8.h"
#include "core/base/waits.h"
#include "io/durable.h"
#include "io/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct dt_safetensors_writer {
    char path[DT_DURABLE_PATH_BYTES], temporary[DT_DURABLE_PATH_BYTES];
    int fd; /* of temporary; -1: none */
    int64_t n;
    dt_safetensors_tensor *tensors;
    int64_t *offsets; /* [n] in the file; -1 once written */
};

static int64_t elem_bytes(dt_dtype dtype)
{
    return dtype == DT_I64 ? 8 : dtype == DT_F32 ? 4 : 2;
}

static int64_t find_tensor(const dt_safetensors_tensor *tensors, int64_t n, const char *name)
{
    for (int64_t i = 0; i < n; i++)
        if (strcmp(tensors[i].name, name) == 0)
            return i;
    return -1;
}

static dt_status check_tensors(const char *path, const dt_safetensors_tensor *tensors, int64_t n,
                               dt_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        const dt_safetensors_tensor *t = &tensors[i];
        if (!t->name[0] || strcmp(t->name, "__metadata__") == 0 || find_tensor(tensors, i, t->name) >= 0)
            return dt_fail(err, DT_ERR_USAGE, "%s: a tensor cannot be named \"%s\"%s", path, t->name,
                           find_tensor(tensors, i, t->name) >= 0 ? " twice" : "");
        if ((t->dtype != DT_F32 && t->dtype != DT_F16 && t->dtype != DT_I64) || t->n_dims < 0 ||
            t->n_dims > DT_SAFETENSORS_MAX_DIMS)
            return dt_fail(err, DT_ERR_USAGE,
                           "%s: %s: only F32, F16 and I64 of up to %d dimensions are written", path, t->name,
                           DT_SAFETENSORS_MAX_DIMS);
    }
    return DT_OK;
}

static bool add_metadata(json_t *root, const char *const *metadata)
{
    json_t *object = json_object();
    bool ok = object != NULL;
    for (; ok && *metadata; metadata += 2) {
        char *value = dt_utf8_escape(metadata[1]);
        ok = value && json_object_set_new(object, metadata[0], json_string(value)) == 0;
        dt_free(value);
    }
    return json_object_set_new(root, "__metadata__", object) == 0 && ok;
}

static bool add_tensor(json_t *root, const dt_safetensors_tensor *t, int64_t begin, int64_t end)
{
    json_t *shape = json_array(), *entry = json_object();
    bool ok = shape && entry;
    for (int d = 0; ok && d < t->n_dims; d++)
        ok = json_array_append_new(shape, json_integer(t->dims[d])) == 0;
    ok = ok && json_object_set_new(entry, "dtype",
                                   json_string(t->dtype == DT_I64   ? "I64"
                                               : t->dtype == DT_F32 ? "F32"
                                                                    : "F16")) == 0;
    ok = ok && json_object_set(entry, "shape", shape) == 0;
    ok = ok && json_object_set_new(entry, "data_offsets",
                                   json_pack("[I,I]", (json_int_t)begin, (json_int_t)end)) == 0;
    ok = ok && json_object_set(root, t->name, entry) == 0;
    json_decref(shape);
    json_decref(entry);
    return ok;
}

/* The header's JSON; sets each tensor's offset in the data. Tensors of 8-byte numbers come first, so that all
 * are aligned. NULL: out of memory, or a name is not UTF-8. */
static char *make_header(const dt_safetensors_writer *w, const char *const *metadata, int64_t *data_bytes)
{
    json_t *root = json_object();
    bool ok = root && (!metadata || !metadata[0] || add_metadata(root, metadata));
    int64_t at = 0;
    for (int64_t size = 8; size >= 2; size /= 2)
        for (int64_t i = 0; ok && i < w->n; i++)
            if (elem_bytes(w->tensors[i].dtype) == size) {
                int64_t bytes = dt_safetensors_elems(&w->tensors[i]) * size;
                ok = add_tensor(root, &w->tensors[i], at, at + bytes);
                w->offsets[i] = at;
                at += bytes;
            }
    char *text = ok ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    *data_bytes = at;
    return text;
}

static dt_status write_header(dt_safetensors_writer *w, const char *const *metadata, dt_error *err)
{
    int64_t data_bytes = 0;
    char *text = make_header(w, metadata, &data_bytes);
    if (!text)
        return dt_fail(err, DT_ERR_MEMORY, "%s: out of memory for its header, or a name in it is not UTF-8",
                       w->path);
    int64_t text_bytes = (int64_t)strlen(text), padded = (text_bytes + 7) / 8 * 8;
    char *block = dt_alloc((size_t)(8 + padded));
    dt_status status =
        block ? DT_OK : dt_fail_memory(err, (size_t)(8 + padded), "the header of a safetensors file");
    if (block) {
        for (int i = 0; i < 8; i++)
            block[i] = (char)(padded >> (8 * i) & 0xff);
        memcpy(block + 8, text, (size_t)text_bytes);
        memset(block + 8 + text_bytes, ' ', (size_t)(padded - text_bytes));
        status = dt_durable_reserve(w->fd, w->temporary, 8 + padded + data_bytes, err);
        if (status == DT_OK)
            status = dt_durable_write(w->fd, w->temporary, block, 8 + padded, 0, err);
        if (status == DT_OK && TEMP_FAILURE_RETRY(ftruncate(w->fd, (off_t)(8 + padded + data_bytes))) != 0)
            status = dt_fail_errno(err, "%s: cannot make it %" PRId64 " bytes long", w->temporary,
                                   8 + padded + data_bytes);
    }
    for (int64_t i = 0; i < w->n; i++)
        w->offsets[i] += 8 + padded;
    dt_free(block);
    free(text); /* jansson's */
    return status;
}

dt_status dt_safetensors_writer_create(const char *path, const dt_safetensors_tensor *tensors, int64_t n,
                                       const char *const *metadata, dt_safetensors_writer **writer,
                                       dt_error *err)
{
    DT_TRY(check_tensors(path, tensors, n, err));
    dt_safetensors_writer *w = dt_calloc(1, sizeof *w);
    if (!w)
        return dt_fail_memory(err, sizeof *w, "writing a safetensors file");
    w->fd = -1;
    w->n = n;
    w->tensors = dt_alloc((size_t)n * sizeof *w->tensors);
    w->offsets = dt_calloc((size_t)n, sizeof *w->offsets);
    dt_status status = DT_OK;
    if (!w->tensors || !w->offsets) {
        status = dt_fail_memory(err, (size_t)n * sizeof *w->tensors, "writing a safetensors file");
        goto fail;
    }
    if (n)
        memcpy(w->tensors, tensors, (size_t)n * sizeof *w->tensors);
    DT_TRY_OR_FAIL(status, dt_replace_target(path, w->path, err));
    DT_TRY_OR_FAIL(status, dt_durable_path(w->temporary, err, "%s.tmp", w->path));
    DT_TRY_OR_FAIL(status, dt_replace_open(w->path, w->temporary, O_RDWR, &w->fd, err));
    dt_waits_set_unfinished(w->temporary);
    DT_TRY_OR_FAIL(status, write_header(w, metadata, err));
    *writer = w;
    return DT_OK;
fail:
    dt_safetensors_writer_destroy(w);
    return status;
}

dt_status dt_safetensors_writer_add(dt_safetensors_writer *w, const char *name, const void *values,
                                    dt_error *err)
{
    int64_t i = find_tensor(w->tensors, w->n, name);
    if (i < 0 || w->offsets[i] < 0)
        return dt_fail(err, DT_ERR_INTERNAL, "%s: the tensor %s was %s", w->path, name,
                       i < 0 ? "not announced" : "written before");
    int64_t bytes = dt_safetensors_elems(&w->tensors[i]) * elem_bytes(w->tensors[i].dtype);
    dt_status status = dt_fault("safetensors.write")
                           ? dt_durable_write_failed(w->fd, w->temporary, ENOSPC, bytes, err)
                           : dt_durable_write(w->fd, w->temporary, values, bytes, w->offsets[i], err);
    if (status != DT_OK)
        dt_error_prefix(err, "tensor %s", name);
    else
        w->offsets[i] = -1;
    return status;
}

dt_status dt_safetensors_writer_commit(dt_safetensors_writer *w, dt_error *err)
{
    for (int64_t i = 0; i < w->n; i++)
        if (w->offsets[i] >= 0)
            return dt_fail(err, DT_ERR_INTERNAL, "%s: the tensor %s was never written", w->path,
                           w->tensors[i].name);
    if (dt_fault("safetensors.fsync")) {
        errno = EIO;
        return dt_fail_errno(err, "%s: fsync failed", w->temporary);
    }
    DT_TRY(dt_durable_sync(w->fd, w->temporary, err));
    int fd = w->fd;
    w->fd = -1; /* destroy must not close it again */
    bool closed = dt_file_close(fd) == 0;
    if (dt_fault("safetensors.rename")) {
        errno = EIO;
        closed = false;
    }
    if (!closed) {
        dt_status status = dt_fail_errno(err, "%s: cannot finish it", w->path);
        unlink(w->temporary);
        return status;
    }
    dt_status status = dt_durable_rename(w->temporary, w->path, err);
    if (status != DT_OK)
        unlink(w->temporary);
    return status;
}

void dt_safetensors_writer_destroy(dt_safetensors_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0) {
        close(w->fd);
        unlink(w->temporary);
    }
    dt_waits_set_unfinished(NULL);
    dt_free(w->tensors);
    dt_free(w->offsets);
    dt_free(w);
}
