/* image.h: what the stages between a JPEG file and a sample slot pass to each other. */
#ifndef DT_IO_SOURCE_IMAGE_H
#define DT_IO_SOURCE_IMAGE_H

#include <stdint.h>

/* Pixels [x, x + w) of rows [y, y + h). */
typedef struct dt_rect {
    int64_t x, y, w, h;
} dt_rect;

/* A row of RGB pixels that one stage passes to another has this many readable bytes after its last pixel, so
 * that vector code may load a whole register at any pixel. Their values do not matter. */
#define DT_ROW_PADDING_BYTES 32

#endif
