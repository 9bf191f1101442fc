/* alloc.h: memory allocation that tests can make fail.
 *
 *   float *v = dt_alloc(n * sizeof *v);
 *   if (!v) return dt_fail_memory(err, n * sizeof *v, "the momentum");
 *
 * Every allocation of dtrain's own goes through these functions, so a test can make each one fail in turn
 * (dt_alloc_fail_after) and check that a constructor unwinds and leaks nothing. Thread-safe.
 */
#ifndef DT_CORE_BASE_ALLOC_H
#define DT_CORE_BASE_ALLOC_H

#include "core/base/error.h"

#include <stddef.h>
#include <stdint.h>

#define DT_ALIGNMENT 64 /* bytes: a cache line, and the width of an AVX-512 register */
#define DT_HUGE_PAGE_BYTES ((size_t)2 << 20)

/* `bytes` of uninitialised memory aligned to DT_ALIGNMENT; NULL on failure. 0 bytes give a valid pointer.
 * The caller frees it with dt_free. */
void *dt_alloc(size_t bytes) __attribute__((malloc));

/* As dt_alloc, for memory of many megabytes that a disk or a file is read into or written from: aligned to
 * DT_HUGE_PAGE_BYTES and in huge pages where the kernel has them, which spares page faults and halves the
 * time of O_DIRECT. Less than one such page is as dt_alloc. The caller frees it with dt_free. */
void *dt_alloc_large(size_t bytes) __attribute__((malloc));

/* As dt_alloc, zeroed; NULL also when n * size overflows. */
void *dt_calloc(size_t n, size_t size) __attribute__((malloc));

/* Grow or shrink `p` (from dt_alloc, or NULL) from old_bytes to new_bytes; NULL on failure, and `p` stays
 * valid. */
void *dt_realloc(void *p, size_t old_bytes, size_t new_bytes);

/* A copy of a string (not NULL); NULL on failure. */
char *dt_strdup(const char *s) __attribute__((malloc));

/* The formatted text in memory of its own; NULL on failure. */
char *dt_strprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Free memory of the functions above; NULL is fine. */
void dt_free(void *p);

/* Fill *err for a failed allocation ("out of memory: 123456 bytes for the momentum"); returns DT_ERR_MEMORY.
 * `what` continues the message after "for": "the momentum", "a path", "hashing a file". */
dt_status dt_fail_memory(dt_error *err, size_t bytes, const char *what);

/* For tests: make the n-th allocation from now fail (1 is the next), and none after it; 0 turns it off. */
void dt_alloc_fail_after(int64_t n);

/* For tests: the number of blocks that are allocated now. The same before and after means no leak. */
int64_t dt_alloc_live_blocks(void);

#endif
