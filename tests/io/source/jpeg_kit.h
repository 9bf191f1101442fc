/* jpeg_kit.h: JPEGs made to order, for the tests of io/.
 *
 *     jpeg_kit_recipe r = {.width = 97, .height = 61, .h_samp = 2, .v_samp = 2, .seed = 1};
 *     size_t n_bytes;
 *     uint8_t *bytes = jpeg_kit_encode(&r, &n_bytes);     free() it
 */
#ifndef DTRAIN_TESTS_IO_JPEG_KIT_H
#define DTRAIN_TESTS_IO_JPEG_KIT_H

#include "io/source/jpeg.h"

#include <stdbool.h>

typedef enum jpeg_kit_colour {
    JPEG_KIT_YCC,
    JPEG_KIT_GREY,
    JPEG_KIT_RGB,
    JPEG_KIT_CMYK,
    JPEG_KIT_YCCK
} jpeg_kit_colour;

typedef struct jpeg_kit_recipe {
    int width, height;
    jpeg_kit_colour colour;
    int h_samp, v_samp; /* of the first component; 0: 1 */
    int quality;        /* 0: 90 */
    bool progressive;
    int restart_rows; /* restart markers every so many rows of blocks; 0: none */
    uint64_t seed;    /* of the picture: smooth waves with some noise */
} jpeg_kit_recipe;

uint8_t *jpeg_kit_encode(const jpeg_kit_recipe *recipe, size_t *n_bytes);

/* Encode and write a file; ends the test when that fails. */
void jpeg_kit_write(const char *path, const jpeg_kit_recipe *recipe);

/* Decode the whole image by the library's simplest calls, with its defaults: [height][width][3] or, for CMYK
 * and YCCK, [4]. free() it. */
uint8_t *jpeg_kit_decode(const uint8_t *bytes, size_t n_bytes, int shrink, int *width, int *height,
                         int *channels);

/* Decode a window of a file with dt_jpeg into out[h][w][3]. */
dt_status jpeg_kit_window(dt_jpeg *decoder, const uint8_t *bytes, size_t n_bytes, int shrink, dt_rect window,
                          bool check_rest, uint8_t *out, dt_error *err);

/* One recipe for every kind of JPEG. */
enum { JPEG_KIT_KINDS = 19 };
extern const struct jpeg_kit_kind {
    const char *name;
    jpeg_kit_recipe recipe;
} jpeg_kit_kinds[JPEG_KIT_KINDS];

#endif
