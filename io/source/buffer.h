/* buffer.h: memory that a thread keeps from image to image, and that only grows. */
#ifndef DT_IO_SOURCE_BUFFER_H
#define DT_IO_SOURCE_BUFFER_H

#include "core/base/error.h"

#include <stddef.h>

typedef struct dt_buffer {
    void *data; /* from dt_alloc; zeroed when it was taken */
    size_t bytes;
} dt_buffer;

/* Have at least `bytes`; what was inside may be lost. DT_ERR_MEMORY names `what`; the buffer is then
 * empty. */
dt_status dt_buffer_reserve(dt_buffer *buffer, size_t bytes, const char *what, dt_error *err);

void dt_buffer_clear(dt_buffer *buffer);

#endif
