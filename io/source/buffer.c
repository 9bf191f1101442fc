/* buffer.c: see buffer.h. */
#include "io/source/buffer.h"

#include "core/base/alloc.h"

void dt_buffer_clear(dt_buffer *buffer)
{
    dt_free(buffer->data);
    buffer->data = NULL;
    buffer->bytes = 0;
}

dt_status dt_buffer_reserve(dt_buffer *buffer, size_t bytes, const char *what, dt_error *err)
{
    if (bytes <= buffer->bytes)
        return DT_OK;
    dt_buffer_clear(buffer);
    bytes += bytes / 8; /* sizes that grow slowly should not allocate each time */
    buffer->data = dt_calloc(1, bytes);
    if (!buffer->data)
        return dt_fail_memory(err, bytes, what);
    buffer->bytes = bytes;
    return DT_OK;
}
