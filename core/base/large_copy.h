/* large_copy.h: memcpy for what is larger than the caches, when nobody is going to look at it soon.
 *
 *   dt_large_copy(snapshot, values, bytes, n_threads);
 */
#ifndef DT_CORE_BASE_LARGE_COPY_H
#define DT_CORE_BASE_LARGE_COPY_H

#include <stddef.h>

/* Copies on n_threads threads (fewer, if they are not to be had), where the processor can past its caches: a
 * store into the caches would fetch the line first, and throw out others. Source and destination do not
 * overlap. */
void dt_large_copy(void *dst, const void *src, size_t bytes, int n_threads);

#endif
