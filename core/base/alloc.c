#define _GNU_SOURCE /* MADV_HUGEPAGE */
#include "core/base/alloc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static _Atomic int64_t n_live_blocks;
static _Atomic int64_t fails_in; /* the allocation that brings it from 1 to 0 fails; 0 or less: none */

static bool fails_now(void)
{
    return atomic_load_explicit(&fails_in, memory_order_relaxed) > 0 && atomic_fetch_sub(&fails_in, 1) == 1;
}

static void *alloc_aligned(size_t alignment, size_t bytes)
{
    void *p = NULL;
    if (fails_now()) {
        errno = ENOMEM;
        return NULL;
    }
    /* Not aligned_alloc: its size must be rounded up, and AddressSanitizer would not see an overrun into the
     * rest. */
    int error = posix_memalign(&p, alignment, bytes > 0 ? bytes : 1);
    if (error != 0) {
        errno = error;
        return NULL;
    }
    atomic_fetch_add_explicit(&n_live_blocks, 1, memory_order_relaxed);
    return p;
}

void *dt_alloc(size_t bytes)
{
    return alloc_aligned(DT_ALIGNMENT, bytes);
}

void *dt_alloc_large(size_t bytes)
{
    if (bytes < DT_HUGE_PAGE_BYTES)
        return dt_alloc(bytes);
    void *p = alloc_aligned(DT_HUGE_PAGE_BYTES, bytes);
    if (p) /* a kernel without huge pages refuses, and gives small ones */
        (void)madvise(p, bytes / DT_HUGE_PAGE_BYTES * DT_HUGE_PAGE_BYTES, MADV_HUGEPAGE);
    return p;
}

void *dt_calloc(size_t n, size_t size)
{
    if (size > 0 && n > SIZE_MAX / size) {
        errno = ENOMEM;
        return NULL;
    }
    void *p = dt_alloc(n * size);
    if (p)
        memset(p, 0, n * size);
    return p;
}

void *dt_realloc(void *p, size_t old_bytes, size_t new_bytes)
{
    /* realloc() does not keep the alignment. */
    void *q = dt_alloc(new_bytes);
    if (q && p) {
        memcpy(q, p, old_bytes < new_bytes ? old_bytes : new_bytes);
        dt_free(p);
    }
    return q;
}

char *dt_strdup(const char *s)
{
    size_t bytes = strlen(s) + 1;
    char *copy = dt_alloc(bytes);
    return copy ? memcpy(copy, s, bytes) : NULL;
}

char *dt_strprintf(const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    char *s = n >= 0 ? dt_alloc((size_t)n + 1) : NULL;
    if (s)
        vsnprintf(s, (size_t)n + 1, format, again);
    va_end(again);
    va_end(args);
    return s;
}

void dt_free(void *p)
{
    if (!p)
        return;
    atomic_fetch_sub_explicit(&n_live_blocks, 1, memory_order_relaxed);
    free(p);
}

dt_status dt_fail_memory(dt_error *err, size_t bytes, const char *what)
{
    return dt_fail(err, DT_ERR_MEMORY, "out of memory: %zu bytes for %s", bytes, what);
}

void dt_alloc_fail_after(int64_t n)
{
    atomic_store(&fails_in, n);
}

int64_t dt_alloc_live_blocks(void)
{
    return atomic_load_explicit(&n_live_blocks, memory_order_relaxed);
}
