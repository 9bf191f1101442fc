/* fill_sink.h: gives the elements of a shard to a dt_shard_sink, as a store does that reads a file. */
#ifndef DT_TESTS_FAKES_FILL_SINK_H
#define DT_TESTS_FAKES_FILL_SINK_H

#include "core/store.h"

#include <string.h>

/* NULL: nothing. */
static inline void fill_sink(const dt_shard_sink *sink, const float *values, int64_t n_elems)
{
    for (int64_t done = 0; sink && done < n_elems;) {
        int64_t n = n_elems - done;
        float *next = sink->reserve(sink->context, &n);
        memcpy(next, values + done, (size_t)n * sizeof *next);
        sink->append(sink->context, n);
        done += n;
    }
}

#endif
