#include "tests/io/source/jpeg_kit.h"

#include "tests/testing.h"

#include <math.h>
#include <stdio.h> /* before jpeglib.h */
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

static int channels_of(jpeg_kit_colour colour)
{
    return colour == JPEG_KIT_GREY ? 1 : colour == JPEG_KIT_CMYK || colour == JPEG_KIT_YCCK ? 4 : 3;
}

/* The picture that a recipe encodes: [height][width][channels], 1, 3 or 4 channels. free() it. */
static uint8_t *make_picture(const jpeg_kit_recipe *recipe, int *channels)
{
    int n = *channels = channels_of(recipe->colour);
    int64_t n_values = (int64_t)recipe->width * recipe->height * n;
    uint8_t *picture = malloc((size_t)n_values);
    float *noise = malloc((size_t)n_values * sizeof *noise);
    DT_REQUIRE(picture && noise);
    dt_test_fill_random(noise, n_values, recipe->seed);
    for (int y = 0; y < recipe->height; y++)
        for (int x = 0; x < recipe->width; x++)
            for (int c = 0; c < n; c++) {
                int64_t i = ((int64_t)y * recipe->width + x) * n + c;
                double wave = sin(0.11 * x + c + (double)recipe->seed) * cos(0.07 * y - c) +
                              0.3 * sin(0.9 * x * (c + 1) + y);
                double level = 128 + 80 * wave + 15 * (double)noise[i];
                picture[i] = (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
            }
    free(noise);
    return picture;
}

static void set_colours(j_compress_ptr codec, jpeg_kit_colour colour)
{
    static const J_COLOR_SPACE given[] = {JCS_RGB, JCS_GRAYSCALE, JCS_RGB, JCS_CMYK, JCS_CMYK};
    static const J_COLOR_SPACE stored[] = {JCS_YCbCr, JCS_GRAYSCALE, JCS_RGB, JCS_CMYK, JCS_YCCK};
    codec->in_color_space = given[colour];
    jpeg_set_defaults(codec);
    jpeg_set_colorspace(codec, stored[colour]);
}

uint8_t *jpeg_kit_encode(const jpeg_kit_recipe *recipe, size_t *n_bytes)
{
    int channels;
    uint8_t *picture = make_picture(recipe, &channels), *bytes = NULL;
    unsigned long length = 0;
    struct jpeg_compress_struct codec;
    struct jpeg_error_mgr errors;
    codec.err = jpeg_std_error(&errors);
    jpeg_create_compress(&codec);
    jpeg_mem_dest(&codec, &bytes, &length);
    codec.image_width = (JDIMENSION)recipe->width;
    codec.image_height = (JDIMENSION)recipe->height;
    codec.input_components = channels;
    set_colours(&codec, recipe->colour);
    jpeg_set_quality(&codec, recipe->quality ? recipe->quality : 90, TRUE);
    codec.comp_info[0].h_samp_factor = recipe->h_samp ? recipe->h_samp : 1;
    codec.comp_info[0].v_samp_factor = recipe->v_samp ? recipe->v_samp : 1;
    codec.restart_in_rows = recipe->restart_rows;
    if (recipe->progressive)
        jpeg_simple_progression(&codec);
    jpeg_start_compress(&codec, TRUE);
    while (codec.next_scanline < codec.image_height) {
        JSAMPROW row = picture + (size_t)codec.next_scanline * codec.image_width * (size_t)channels;
        jpeg_write_scanlines(&codec, &row, 1);
    }
    jpeg_finish_compress(&codec);
    jpeg_destroy_compress(&codec);
    free(picture);
    *n_bytes = length;
    return bytes;
}

void jpeg_kit_write(const char *path, const jpeg_kit_recipe *recipe)
{
    size_t n_bytes;
    uint8_t *bytes = jpeg_kit_encode(recipe, &n_bytes);
    dt_test_write_file(path, bytes, n_bytes);
    free(bytes);
}

uint8_t *jpeg_kit_decode(const uint8_t *bytes, size_t n_bytes, int shrink, int *width, int *height,
                         int *channels)
{
    struct jpeg_decompress_struct codec;
    struct jpeg_error_mgr errors;
    codec.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&codec);
    jpeg_mem_src(&codec, bytes, n_bytes);
    jpeg_read_header(&codec, TRUE);
    codec.out_color_space = codec.num_components == 4 ? JCS_CMYK : JCS_RGB;
    codec.scale_num = 1;
    codec.scale_denom = (unsigned)shrink;
    jpeg_start_decompress(&codec);
    *width = (int)codec.output_width;
    *height = (int)codec.output_height;
    *channels = codec.output_components;
    size_t row_bytes = (size_t)*width * (size_t)*channels;
    uint8_t *pixels = malloc(row_bytes * (size_t)*height);
    DT_REQUIRE(pixels != NULL);
    while (codec.output_scanline < codec.output_height) {
        JSAMPROW row = pixels + row_bytes * codec.output_scanline;
        jpeg_read_scanlines(&codec, &row, 1);
    }
    jpeg_finish_decompress(&codec);
    jpeg_destroy_decompress(&codec);
    return pixels;
}

dt_status jpeg_kit_window(dt_jpeg *decoder, const uint8_t *bytes, size_t n_bytes, int shrink, dt_rect window,
                          bool check_rest, uint8_t *out, dt_error *err)
{
    int64_t width, height, n_rows, n = 0;
    uint8_t *const *rows;
    DT_TRY(dt_jpeg_open(decoder, bytes, n_bytes, &width, &height, err));
    DT_TRY(dt_jpeg_begin(decoder, shrink, window, err));
    while (n < window.h) {
        DT_TRY(dt_jpeg_rows(decoder, &rows, &n_rows, err));
        for (int64_t i = 0; i < n_rows; i++)
            memcpy(out + (n + i) * window.w * 3, rows[i], (size_t)window.w * 3);
        n += n_rows;
    }
    return dt_jpeg_end(decoder, check_rest, err);
}

const struct jpeg_kit_kind jpeg_kit_kinds[JPEG_KIT_KINDS] = {
    {"4:4:4", {.width = 97, .height = 83}},
    {"4:2:2", {.width = 97, .height = 83, .h_samp = 2}},
    {"4:2:0", {.width = 97, .height = 83, .h_samp = 2, .v_samp = 2}},
    {"4:4:0", {.width = 97, .height = 83, .v_samp = 2}},
    {"4:1:1", {.width = 131, .height = 83, .h_samp = 4}},
    {"4:1:0", {.width = 131, .height = 83, .h_samp = 4, .v_samp = 2}},
    {"4:2:0 progressive", {.width = 97, .height = 83, .h_samp = 2, .v_samp = 2, .progressive = true}},
    {"4:4:4 progressive", {.width = 97, .height = 83, .progressive = true}},
    {"4:2:0 with restarts", {.width = 97, .height = 83, .h_samp = 2, .v_samp = 2, .restart_rows = 1}},
    {"grey", {.width = 97, .height = 83, .colour = JPEG_KIT_GREY}},
    {"grey sampled 2x2", {.width = 97, .height = 83, .colour = JPEG_KIT_GREY, .h_samp = 2, .v_samp = 2}},
    {"RGB", {.width = 97, .height = 83, .colour = JPEG_KIT_RGB}},
    {"CMYK", {.width = 97, .height = 83, .colour = JPEG_KIT_CMYK}},
    {"YCCK", {.width = 97, .height = 83, .colour = JPEG_KIT_YCCK}},
    {"YCCK 4:2:0", {.width = 97, .height = 83, .colour = JPEG_KIT_YCCK, .h_samp = 2, .v_samp = 2}},
    {"one pixel", {.width = 1, .height = 1, .h_samp = 2, .v_samp = 2}},
    {"3x500", {.width = 3, .height = 500, .h_samp = 2, .v_samp = 2}},
    {"500x3", {.width = 500, .height = 3, .h_samp = 2, .v_samp = 2}},
    {"wide 4:2:0", {.width = 401, .height = 40, .h_samp = 2, .v_samp = 2, .quality = 50}},
};
