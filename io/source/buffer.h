/* buffer.h: memory that a thread keeps from image to image. It only grows. */
#ifndef DT_IO_SOURCE_BUFFER_H
#define DT_IO_SOURCE_BUFFER_H

#include "core/base/error.h"

#include <stddef.h>

typedef struct dt_buffer {
    void *data; /* from dt_calloc */
    size_t bytes;
} dt_buffer;

/* Make the buffer at least `bytes` long; its content may be lost. DT_ERR_MEMORY: the message names `what`,
 * and the buffer is empty. */
dt_status dt_buffer_reserve(dt_buffer *buffer, size_t bytes, const char *what, dt_error *err);

void dt_buffer_clear(dt_buffer *buffer);

#endif
