/* backend_kit.c: cases of one operation on two backends; backend_kit_acts.c has their activations. */
#include "tests/backend_kit.h"

#include "tests/testing.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A page on either side: more than a kernel writes beyond a buffer when a vector or a tile is too long. */
enum { GUARD_BYTES = 4096, GUARD_PATTERN = 0xA5 };
/* All bits set: a NaN in every floating-point type, and 255 in an argmax. */
enum { POISON = 0xFF };

/* -- the case -------------------------------------------------------------------------------------------- */

bool dt_kit_selects(const dt_kit *kit, const char *name)
{
    return kit->filter == NULL || strstr(name, kit->filter) != NULL;
}

bool dt_kit_begin(dt_kit *kit, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(kit->name, sizeof kit->name, format, args);
    va_end(args);
    if (!dt_kit_selects(kit, kit->name))
        return false;
    kit->reason[0] = '\0';
    kit->worst_error = 0;
    kit->seed = 14695981039346656037U; /* FNV-1a of the name, so that a case has the same numbers whatever
                                          ran before it */
    for (const char *p = kit->name; *p != '\0'; p++)
        kit->seed = (kit->seed ^ (unsigned char)*p) * 1099511628211U;
    kit->n_run++;
    return true;
}

void dt_kit_fail(dt_kit *kit, const char *format, ...)
{
    va_list args;
    if (dt_kit_failed(kit))
        return;
    va_start(args, format);
    vsnprintf(kit->reason, sizeof kit->reason, format, args);
    va_end(args);
}

bool dt_kit_failed(const dt_kit *kit)
{
    return kit->reason[0] != '\0';
}

static void *guarded_base(void *data)
{
    return data != NULL ? (unsigned char *)data - GUARD_BYTES : NULL;
}

void dt_kit_end(dt_kit *kit)
{
    for (int i = 0; i < kit->n_buffers; i++) {
        for (int side = 0; side < DT_KIT_SIDES; side++) {
            dt_device *device = kit->side[side]->device;
            if (kit->buffers[i].data[side] != NULL)
                device->ops->free(device, guarded_base(kit->buffers[i].data[side]));
            free(kit->buffers[i].before[side]);
        }
    }
    for (int i = 0; i < kit->n_arrays; i++)
        free(kit->arrays[i]);
    kit->n_buffers = 0;
    kit->n_arrays = 0;
    if (dt_kit_failed(kit))
        kit->n_failed++;
    if (dt_kit_failed(kit) && !kit->quiet)
        printf("%s: FAILED %s: %s\n", kit->side[DT_KIT_CANDIDATE]->ops->name, kit->name, kit->reason);
    else if (kit->verbose)
        printf("%s: %s: error %.2g\n", kit->side[DT_KIT_CANDIDATE]->ops->name, kit->name, kit->worst_error);
    fflush(stdout);
}

/* -- memory ---------------------------------------------------------------------------------------------- */

/* End the program: without memory, or with more buffers than the kit has, a case cannot test the backend. */
__attribute__((noreturn)) static void cannot_go_on(const dt_kit *kit, const char *why)
{
    fprintf(stderr, "backend cases: %s: %s\n", kit->name, why);
    exit(99);
}

void *dt_kit_array(dt_kit *kit, int64_t n_elems, int64_t elem_bytes)
{
    void *array = calloc((size_t)n_elems + 1, (size_t)elem_bytes);
    if (array == NULL || kit->n_arrays == DT_KIT_MAX_ARRAYS)
        cannot_go_on(kit, "no memory, or more than DT_KIT_MAX_ARRAYS arrays");
    kit->arrays[kit->n_arrays++] = array;
    return array;
}

float *dt_kit_random(dt_kit *kit, int64_t n_elems, float low, float high)
{
    float *numbers = dt_kit_array(kit, n_elems, sizeof *numbers);
    dt_test_fill_random(numbers, n_elems, kit->seed++);
    for (int64_t i = 0; i < n_elems; i++)
        numbers[i] = low + (high - low) * 0.5F * (numbers[i] + 1.0F);
    return numbers;
}

static void check_status(dt_kit *kit, int side, const char *what, dt_status status, const dt_error *err)
{
    if (status != DT_OK)
        dt_kit_fail(kit, "%s: %s: %s", kit->side[side]->ops->name, what, err->message);
}

static void copy(dt_kit *kit, int side, void *to, const void *from, int64_t n_bytes, dt_copy_kind kind)
{
    dt_device *device = kit->side[side]->device;
    dt_error err = {0};
    dt_status status = DT_OK;
    if (n_bytes > 0)
        status = device->ops->copy(device, to, from, n_bytes, kind, NULL, &err);
    if (status == DT_OK)
        status = device->ops->stream_wait(device, NULL, &err);
    check_status(kit, side, "copy", status, &err);
}

void *dt_kit_download(dt_kit *kit, const dt_kit_buffer *buffer, int side)
{
    void *host = dt_kit_array(kit, buffer->bytes[side], 1);
    copy(kit, side, host, buffer->data[side], buffer->bytes[side], DT_COPY_TO_HOST);
    return host;
}

/* Allocate a buffer with guard bands around `content` (NULL: poison). */
static void allocate_side(dt_kit *kit, dt_kit_buffer *buffer, int side, const void *content, int64_t n_bytes)
{
    dt_device *device = kit->side[side]->device;
    int64_t all_bytes = n_bytes + 2 * GUARD_BYTES;
    unsigned char *base = device->ops->alloc(device, all_bytes);
    unsigned char *host = malloc((size_t)all_bytes);
    buffer->before[side] = malloc((size_t)n_bytes + 1);
    if (base == NULL || host == NULL || buffer->before[side] == NULL)
        cannot_go_on(kit, "no memory");
    memset(host, GUARD_PATTERN, (size_t)all_bytes);
    if (content != NULL)
        memcpy(host + GUARD_BYTES, content, (size_t)n_bytes);
    else
        memset(host + GUARD_BYTES, POISON, (size_t)n_bytes);
    memcpy(buffer->before[side], host + GUARD_BYTES, (size_t)n_bytes);
    copy(kit, side, base, host, all_bytes, DT_COPY_TO_DEVICE);
    free(host);
    buffer->data[side] = base + GUARD_BYTES;
    buffer->bytes[side] = n_bytes;
}

static dt_kit_buffer *new_buffer(dt_kit *kit, dt_kit_role role, const void *content,
                                 const int64_t n_bytes[DT_KIT_SIDES])
{
    if (kit->n_buffers == DT_KIT_MAX_BUFFERS)
        cannot_go_on(kit, "more than DT_KIT_MAX_BUFFERS buffers");
    dt_kit_buffer *buffer = &kit->buffers[kit->n_buffers++];
    *buffer = (dt_kit_buffer){.role = role};
    for (int side = 0; side < DT_KIT_SIDES; side++)
        if (n_bytes[side] > 0)
            allocate_side(kit, buffer, side, content, n_bytes[side]);
    return buffer;
}

dt_kit_buffer *dt_kit_bytes(dt_kit *kit, dt_kit_role role, const void *content, int64_t n_bytes)
{
    return new_buffer(kit, role, content, (const int64_t[]){n_bytes, n_bytes});
}

dt_kit_buffer *dt_kit_floats(dt_kit *kit, dt_kit_role role, const float *content, int64_t n_elems)
{
    return dt_kit_bytes(kit, role, content, n_elems * (int64_t)sizeof *content);
}

dt_kit_buffer *dt_kit_opaque(dt_kit *kit, const int64_t n_bytes[DT_KIT_SIDES])
{
    return new_buffer(kit, DT_KIT_OUT, NULL, n_bytes);
}

dt_kit_buffer *dt_kit_sums(dt_kit *kit, int64_t c)
{
    int64_t n_bytes[DT_KIT_SIDES];
    for (int side = 0; side < DT_KIT_SIDES; side++)
        n_bytes[side] = kit->side[side]->ops->bn_sums_bytes(kit->side[side], c);
    return dt_kit_opaque(kit, n_bytes);
}

void dt_kit_remember(dt_kit *kit, dt_kit_buffer *buffer)
{
    for (int side = 0; side < DT_KIT_SIDES; side++)
        if (buffer->bytes[side] > 0)
            copy(kit, side, buffer->before[side], buffer->data[side], buffer->bytes[side], DT_COPY_TO_HOST);
}

/* -- tensors --------------------------------------------------------------------------------------------- */

static dt_kit_tensor new_tensor(dt_kit *kit, dt_kit_role role, int64_t n, int64_t c, int64_t h, int64_t w)
{
    dt_kit_tensor tensor;
    int64_t n_bytes[DT_KIT_SIDES];
    for (int side = 0; side < DT_KIT_SIDES; side++)
        n_bytes[side] = kit->side[side]->ops->tensor_bytes(kit->side[side], n, c, h, w);
    tensor.buffer = new_buffer(kit, role, NULL, n_bytes);
    for (int side = 0; side < DT_KIT_SIDES; side++)
        tensor.t[side] = (dt_tensor){.data = tensor.buffer->data[side],
                                     .dtype = kit->side[side]->dtype,
                                     .n = n,
                                     .c = c,
                                     .h = h,
                                     .w = w};
    return tensor;
}

static void import(dt_kit *kit, int side, const float *nchw, const dt_tensor *t)
{
    dt_error err = {0};
    check_status(kit, side, "tensor_import",
                 kit->side[side]->ops->tensor_import(kit->side[side], nchw, t, &err), &err);
}

static void export(dt_kit *kit, int side, const dt_tensor *t, float *nchw)
{
    dt_error err = {0};
    check_status(kit, side, "tensor_export",
                 kit->side[side]->ops->tensor_export(kit->side[side], t, nchw, &err), &err);
}

static dt_kit_tensor filled_tensor(dt_kit *kit, dt_kit_role role, int64_t n, int64_t c, int64_t h, int64_t w,
                                   float *nchw)
{
    dt_kit_tensor tensor = new_tensor(kit, role, n, c, h, w);
    import(kit, DT_KIT_CANDIDATE, nchw, &tensor.t[DT_KIT_CANDIDATE]);
    if (kit->side[DT_KIT_CANDIDATE]->dtype != DT_F32)
        export(kit, DT_KIT_CANDIDATE, &tensor.t[DT_KIT_CANDIDATE], nchw);
    import(kit, DT_KIT_REFERENCE, nchw, &tensor.t[DT_KIT_REFERENCE]);
    dt_kit_remember(kit, tensor.buffer);
    return tensor;
}

dt_kit_tensor dt_kit_tensor_in(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w, float *nchw)
{
    return filled_tensor(kit, DT_KIT_IN, n, c, h, w, nchw);
}

dt_kit_tensor dt_kit_tensor_inout(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w, float *nchw)
{
    return filled_tensor(kit, DT_KIT_INOUT, n, c, h, w, nchw);
}

dt_kit_tensor dt_kit_tensor_out(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return new_tensor(kit, DT_KIT_OUT, n, c, h, w);
}

/* -- the call -------------------------------------------------------------------------------------------- */

static void run_side(dt_kit *kit, int side, dt_kit_call *call, void *arg)
{
    dt_kernels *k = kit->side[side];
    dt_error err = {0};
    dt_status status = call(k, side, arg, &err);
    if (status == DT_OK)
        status = k->device->ops->stream_wait(k->device, NULL, &err);
    check_status(kit, side, "the call", status, &err);
}

static void inspect(dt_kit *kit, int side, int index)
{
    const dt_kit_buffer *buffer = &kit->buffers[index];
    int64_t n_bytes = buffer->bytes[side];
    unsigned char *host = malloc((size_t)n_bytes + 2 * GUARD_BYTES);
    if (host == NULL)
        cannot_go_on(kit, "no memory");
    copy(kit, side, host, guarded_base(buffer->data[side]), n_bytes + 2 * GUARD_BYTES, DT_COPY_TO_HOST);
    for (int64_t i = 0; i < GUARD_BYTES; i++) {
        if (host[GUARD_BYTES - 1 - i] != GUARD_PATTERN)
            dt_kit_fail(kit, "%s wrote %lld bytes before buffer %d", kit->side[side]->ops->name,
                        (long long)i + 1, index);
        if (host[GUARD_BYTES + n_bytes + i] != GUARD_PATTERN)
            dt_kit_fail(kit, "%s wrote %lld bytes after buffer %d", kit->side[side]->ops->name, (long long)i,
                        index);
    }
    if (buffer->role == DT_KIT_IN && memcmp(host + GUARD_BYTES, buffer->before[side], (size_t)n_bytes) != 0)
        dt_kit_fail(kit, "%s changed its input, buffer %d", kit->side[side]->ops->name, index);
    free(host);
}

/* Run the candidate again from the state before the call; every output must have the same bits. */
static void repeat_candidate(dt_kit *kit, dt_kit_call *call, void *arg)
{
    unsigned char *first[DT_KIT_MAX_BUFFERS] = {0};
    for (int i = 0; i < kit->n_buffers; i++) {
        dt_kit_buffer *buffer = &kit->buffers[i];
        if (buffer->role == DT_KIT_IN || buffer->bytes[DT_KIT_CANDIDATE] == 0)
            continue;
        first[i] = dt_kit_download(kit, buffer, DT_KIT_CANDIDATE);
        copy(kit, DT_KIT_CANDIDATE, buffer->data[DT_KIT_CANDIDATE], buffer->before[DT_KIT_CANDIDATE],
             buffer->bytes[DT_KIT_CANDIDATE], DT_COPY_TO_DEVICE);
    }
    run_side(kit, DT_KIT_CANDIDATE, call, arg);
    for (int i = 0; i < kit->n_buffers; i++) {
        if (first[i] == NULL)
            continue;
        const void *second = dt_kit_download(kit, &kit->buffers[i], DT_KIT_CANDIDATE);
        if (memcmp(first[i], second, (size_t)kit->buffers[i].bytes[DT_KIT_CANDIDATE]) != 0)
            dt_kit_fail(kit, "the same call gave other bits the second time, in buffer %d", i);
    }
}

void dt_kit_execute(dt_kit *kit, dt_kit_call *call, void *arg)
{
    for (int side = 0; side < DT_KIT_SIDES && !dt_kit_failed(kit); side++)
        run_side(kit, side, call, arg);
    if (!dt_kit_failed(kit))
        repeat_candidate(kit, call, arg);
    for (int i = 0; i < kit->n_buffers; i++)
        for (int side = 0; side < DT_KIT_SIDES; side++)
            if (kit->buffers[i].data[side] != NULL)
                inspect(kit, side, i);
}

/* -- comparing ------------------------------------------------------------------------------------------- */

void dt_kit_expect(dt_kit *kit, const char *what, const float *actual, const float *expected, int64_t n_elems,
                   double scale)
{
    double largest = fmax(scale, 1e-30), largest_error = 0, squares = 0, squared_error = 0;
    int64_t worst = 0;
    for (int64_t i = 0; i < n_elems && !dt_kit_failed(kit); i++) {
        double a = (double)actual[i], e = (double)expected[i];
        if (!isfinite(a) || !isfinite(e)) {
            if (!(a == e || (isnan(a) && isnan(e))))
                dt_kit_fail(kit, "%s[%lld of %lld] is %g, expected %g", what, (long long)i,
                            (long long)n_elems, a, e);
            continue;
        }
        if (fabs(a - e) > largest_error)
            worst = i;
        largest_error = fmax(largest_error, fabs(a - e));
        largest = fmax(largest, fabs(e));
        squared_error += (a - e) * (a - e);
        squares += e * e;
    }
    if (dt_kit_failed(kit) || n_elems == 0)
        return;
    double floor_of_norm = scale * sqrt((double)n_elems);
    double error =
        fmax(largest_error / largest, sqrt(squared_error) / fmax(fmax(sqrt(squares), floor_of_norm), 1e-30));
    kit->worst_error = fmax(kit->worst_error, error);
    if (!(error <= kit->tolerance))
        dt_kit_fail(kit,
                    "%s: relative error %.3g, allowed %.3g; worst at [%lld of %lld]: %.9g, expected %.9g",
                    what, error, kit->tolerance, (long long)worst, (long long)n_elems, (double)actual[worst],
                    (double)expected[worst]);
}

void dt_kit_expect_tensor(dt_kit *kit, const char *what, const dt_kit_tensor *tensor)
{
    float *nchw[DT_KIT_SIDES];
    const dt_tensor *t = &tensor->t[DT_KIT_CANDIDATE];
    int64_t n_elems = t->n * t->c * t->h * t->w;
    if (dt_kit_failed(kit))
        return;
    for (int side = 0; side < DT_KIT_SIDES; side++) {
        nchw[side] = dt_kit_array(kit, n_elems, sizeof *nchw[side]);
        export(kit, side, &tensor->t[side], nchw[side]);
    }
    dt_kit_expect(kit, what, nchw[DT_KIT_CANDIDATE], nchw[DT_KIT_REFERENCE], n_elems, 0);
}

void dt_kit_expect_floats(dt_kit *kit, const char *what, const dt_kit_buffer *buffer, int64_t n_elems,
                          double scale)
{
    if (dt_kit_failed(kit))
        return;
    const float *actual = dt_kit_download(kit, buffer, DT_KIT_CANDIDATE);
    const float *expected = dt_kit_download(kit, buffer, DT_KIT_REFERENCE);
    dt_kit_expect(kit, what, actual, expected, n_elems, scale);
}
