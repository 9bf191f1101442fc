/* jpeg_write.c: see jpeg_write.h. */
#include "io/source/jpeg_write.h"

#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h> /* before jpeglib.h */
#include <stdlib.h>

#include <jpeglib.h>
/* after jpeglib.h */
#include <jerror.h>
#include <unistd.h>

typedef struct encoder {
    struct jpeg_compress_struct codec;
    struct jpeg_error_mgr errors;
    jmp_buf escape;
    unsigned char *bytes; /* malloc'ed by the library */
    unsigned long n_bytes;
} encoder;

static void escape_with_error(j_common_ptr codec)
{
    encoder *e = codec->client_data;
    longjmp(e->escape, 1);
}

/* Encode into e->bytes. Everything to be freed after the jump is in *e. */
static bool encode(encoder *e, const uint8_t *pixels, int n_colours, int64_t width, int64_t height,
                   int quality)
{
    e->codec.err = jpeg_std_error(&e->errors);
    e->codec.client_data = e;
    e->errors.error_exit = escape_with_error;
    if (setjmp(e->escape))
        return false;
    jpeg_create_compress(&e->codec);
    jpeg_mem_dest(&e->codec, &e->bytes, &e->n_bytes);
    e->codec.image_width = (JDIMENSION)width;
    e->codec.image_height = (JDIMENSION)height;
    e->codec.input_components = n_colours;
    e->codec.in_color_space = n_colours == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&e->codec);
    jpeg_set_quality(&e->codec, quality, TRUE);
    e->codec.optimize_coding = TRUE;
    jpeg_start_compress(&e->codec, TRUE);
    while (e->codec.next_scanline < e->codec.image_height) {
        /* the library only reads the row */
        JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + (int64_t)e->codec.next_scanline * width * n_colours);
        jpeg_write_scanlines(&e->codec, &row, 1);
    }
    jpeg_finish_compress(&e->codec);
    return true;
}

static dt_status write_bytes(const char *path, const void *bytes, size_t n_bytes, dt_error *err)
{
    int fd = -1;
    DT_TRY(dt_file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666, &fd, err));
    FILE *file = fdopen(fd, "wb");
    int failed = file ? 0 : errno;
    if (file && fwrite(bytes, 1, n_bytes, file) != n_bytes)
        failed = errno;
    if ((file ? fclose(file) : close(fd)) != 0 && !failed)
        failed = errno;
    if (!failed)
        return DT_OK;
    errno = failed;
    return dt_fail_errno(err, "cannot write %s", path);
}

static dt_status write_pixels(const char *path, const uint8_t *pixels, int n_colours, int64_t width,
                              int64_t height, int quality, dt_error *err)
{
    encoder e = {.bytes = NULL};
    bool encoded = encode(&e, pixels, n_colours, width, height, quality);
    jpeg_destroy_compress(&e.codec);
    dt_status status = DT_OK;
    if (encoded)
        status = write_bytes(path, e.bytes, e.n_bytes, err);
    else if (e.errors.msg_code == JERR_OUT_OF_MEMORY)
        status = dt_fail(err, DT_ERR_MEMORY, "out of memory encoding %s", path);
    else
        status = dt_fail(err, DT_ERR_INTERNAL, "cannot encode %s: libjpeg error %d", path, e.errors.msg_code);
    free(e.bytes);
    return status;
}

dt_status dt_jpeg_write_grey(const char *path, const uint8_t *pixels, int64_t width, int64_t height,
                             int quality, dt_error *err)
{
    return write_pixels(path, pixels, 1, width, height, quality, err);
}

dt_status dt_jpeg_write_rgb(const char *path, const uint8_t *pixels, int64_t width, int64_t height,
                            int quality, dt_error *err)
{
    return write_pixels(path, pixels, 3, width, height, quality, err);
}
