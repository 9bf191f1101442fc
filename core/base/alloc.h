/* alloc.h: memory, with failure that can be provoked.
 *
 *   float *v = dt_alloc(n * sizeof *v);
 *   if (!v) return dt_fail_memory(err, n * sizeof *v, "the momentum");
 *
 * Every allocation of dtrain's own goes through here, so that a test can let each one fail in turn
 * (dt_alloc_fail_after) and see that the constructor unwinds and leaks nothing.
 */
#ifndef DT_CORE_BASE_ALLOC_H
#define DT_CORE_BASE_ALLOC_H

#include "core/base/error.h"

#include <stddef.h>
#include <stdint.h>

#define DT_ALIGNMENT 64 /* bytes: a cache line, and the width of an AVX-512 register */

/* `bytes` of memory aligned to DT_ALIGNMENT, uninitialised; NULL on failure. 0 bytes give a valid pointer. */
void *dt_alloc(size_t bytes) __attribute__((malloc));

/* As dt_alloc, zeroed; NULL also when n * size overflows. */
void *dt_calloc(size_t n, size_t size) __attribute__((malloc));

/* Grow or shrink `p` (from dt_alloc, or NULL) from old_bytes to new_bytes; NULL on failure, and `p` stays
 * valid. */
void *dt_realloc(void *p, size_t old_bytes, size_t new_bytes);

/* A copy of a string (not NULL); NULL on failure. */
char *dt_strdup(const char *s) __attribute__((malloc));

/* printf into fresh memory; NULL on failure. */
char *dt_strprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Give memory of the functions above back; NULL is fine. */
void dt_free(void *p);

/* Fill *err for a failed allocation ("out of memory: 123456 bytes for the momentum"); returns DT_ERR_MEMORY.
 * `what` goes on after "for": "the momentum", "a path", "hashing a file". */
dt_status dt_fail_memory(dt_error *err, size_t bytes, const char *what);

/* For tests: let the n-th allocation from now (1 is the next) and none after it fail; 0 turns it off. */
void dt_alloc_fail_after(int64_t n);

/* Blocks that are allocated now and not freed. For tests: equal before and after means no leak. */
int64_t dt_alloc_live_blocks(void);

#endif
