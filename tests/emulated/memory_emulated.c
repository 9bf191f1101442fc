/* memory_emulated.c: allocations between guard bands, and the device's first fault. */
#include "tests/emulated/device_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#    include <sanitizer/asan_interface.h>
#else
#    define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#    define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { GUARD_BYTES = 512, GUARD_PATTERN = 0xA5, ALIGNMENT = 256 /* as cudaMalloc */ };

dt_status dt_emulated_set_fault(emulated_device *d, dt_error *err, const char *format, ...)
{
    char text[900];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (d->fault[0] == '\0')
        snprintf(d->fault, sizeof d->fault, "%s", text);
    return dt_fail(err, DT_ERR_DEVICE, "emulated device: %s", text);
}

static int64_t rounded(int64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

void *dt_emulated_alloc(emulated_device *d, int64_t bytes, bool is_host)
{
    if (d->capture) {
        (void)dt_emulated_set_fault(d, NULL, "allocation of %lld bytes while capturing", (long long)bytes);
        return NULL;
    }
    if (bytes < 0 ||
        (!is_host && d->options.memory_bytes > 0 && d->counts.live_bytes + bytes > d->options.memory_bytes))
        return NULL;
    block *b = malloc(sizeof *b);
    unsigned char *base = aligned_alloc(ALIGNMENT, (size_t)(rounded(bytes) + 2 * GUARD_BYTES));
    if (!b || !base) {
        free(b);
        free(base);
        return NULL;
    }
    *b = (block){
        .base = base, .memory = base + GUARD_BYTES, .bytes = bytes, .is_host = is_host, .next = d->blocks};
    memset(base, GUARD_PATTERN, (size_t)(rounded(bytes) + 2 * GUARD_BYTES));
    memset(b->memory, DT_EMULATED_POISON, (size_t)bytes);
    ASAN_POISON_MEMORY_REGION(base, GUARD_BYTES);
    ASAN_POISON_MEMORY_REGION(b->memory + bytes, (size_t)(rounded(bytes) - bytes + GUARD_BYTES));
    d->blocks = b;
    d->counts.n_allocations++;
    if (!is_host) {
        d->counts.live_bytes += bytes;
        d->counts.peak_bytes =
            d->counts.live_bytes > d->counts.peak_bytes ? d->counts.live_bytes : d->counts.peak_bytes;
    }
    return b->memory;
}

static void open_guards(const block *b)
{
    ASAN_UNPOISON_MEMORY_REGION(b->base, GUARD_BYTES);
    ASAN_UNPOISON_MEMORY_REGION(b->memory + b->bytes, (size_t)(rounded(b->bytes) - b->bytes + GUARD_BYTES));
}

void dt_emulated_free(emulated_device *d, void *p, bool is_host)
{
    for (block **at = &d->blocks; *at; at = &(*at)->next) {
        block *b = *at;
        if (b->memory != p || b->is_host != is_host)
            continue;
        *at = b->next;
        open_guards(b);
        memset(b->base, DT_EMULATED_POISON, (size_t)(b->bytes + 2 * GUARD_BYTES));
        if (!is_host)
            d->counts.live_bytes -= b->bytes;
        free(b->base);
        free(b);
        return;
    }
    (void)dt_emulated_set_fault(d, NULL, "%s of %p, which it did not allocate",
                                is_host ? "host_free" : "free", p);
}

block *dt_emulated_find(emulated_device *d, const void *p)
{
    const unsigned char *at = p;
    for (block *b = d->blocks; b; b = b->next)
        if (at >= b->base && at < b->memory + b->bytes + GUARD_BYTES)
            return b;
    return NULL;
}

/* AddressSanitizer has poisoned the bands and stops at any access to them. */
#if defined(__SANITIZE_ADDRESS__)
dt_status dt_emulated_check_guards(emulated_device *d, const char *after, dt_error *err)
{
    (void)d, (void)after, (void)err;
    return DT_OK;
}
#else
static int64_t first_damage(const unsigned char *p, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i++)
        if (p[i] != GUARD_PATTERN)
            return i;
    return -1;
}

dt_status dt_emulated_check_guards(emulated_device *d, const char *after, dt_error *err)
{
    for (const block *b = d->blocks; b; b = b->next) {
        int64_t before = first_damage(b->base, GUARD_BYTES),
                after_end = first_damage(b->memory + b->bytes, GUARD_BYTES);
        if (before >= 0)
            return dt_emulated_set_fault(d, err,
                                         "%s wrote %lld bytes in front of an allocation of %lld bytes", after,
                                         (long long)(GUARD_BYTES - before), (long long)b->bytes);
        if (after_end >= 0)
            return dt_emulated_set_fault(d, err, "%s wrote at byte %lld of an allocation of %lld bytes",
                                         after, (long long)(b->bytes + after_end), (long long)b->bytes);
    }
    return DT_OK;
}
#endif

dt_status dt_emulated_check_range(dt_device *device, const void *p, int64_t bytes, const char *what,
                                  dt_error *err)
{
    emulated_device *d = dt_emulated(device);
    const block *b = dt_emulated_find(d, p);
    if (!b || b->is_host)
        return dt_emulated_set_fault(d, err, "%s: %p is not device memory", what, p);
    const unsigned char *at = p;
    if (at < b->memory || bytes < 0 || at + bytes > b->memory + b->bytes)
        return dt_emulated_set_fault(d, err, "%s: bytes %lld to %lld of an allocation of %lld bytes", what,
                                     (long long)(at - b->memory), (long long)(at - b->memory + bytes),
                                     (long long)b->bytes);
    return DT_OK;
}

int64_t dt_emulated_unwritten(const void *p, int64_t n_elems, int64_t elem_bytes)
{
    const unsigned char *bytes = p;
    for (int64_t i = 0; i < n_elems; i++) {
        int64_t ones = 0;
        while (ones < elem_bytes && bytes[i * elem_bytes + ones] == DT_EMULATED_POISON)
            ones++;
        if (ones == elem_bytes)
            return i;
    }
    return -1;
}

void dt_emulated_forget(dt_device *device, void *p)
{
    const block *b = dt_emulated_find(dt_emulated(device), p);
    if (b)
        memset(b->memory, DT_EMULATED_POISON, (size_t)b->bytes);
}
