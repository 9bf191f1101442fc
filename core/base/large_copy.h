/* large_copy.h: memcpy for data that is larger than the caches and that is not read again soon.
 *
 *   dt_large_copy(snapshot, values, bytes, n_threads);
 */
#ifndef DT_CORE_BASE_LARGE_COPY_H
#define DT_CORE_BASE_LARGE_COPY_H

#include <stddef.h>

/* Copy on n_threads threads, the caller's included (1 to 16; fewer where none can be started). Where the
 * processor has non-temporal stores, they bypass its caches: an ordinary store would first load the line, and
 * evict others. Source and destination do not overlap. Blocking. */
void dt_large_copy(void *dst, const void *src, size_t bytes, int n_threads);

#endif
