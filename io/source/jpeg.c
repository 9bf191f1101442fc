/* jpeg.c: libjpeg-turbo's libjpeg interface as dt_jpeg. Every call into the library is made inside `guarded`,
 * whose setjmp catches the library's error exit. Nothing leaks by that jump: the library's memory is in its
 * own pools, which jpeg_abort frees, and ours is in dt_jpeg. */
#include "io/source/jpeg.h"

#include "core/base/alloc.h"
#include "io/source/buffer.h"

#include <setjmp.h>
#include <stdio.h> /* before jpeglib.h, which wants FILE and size_t */
#include <string.h>

#include <jpeglib.h>
/* after jpeglib.h */
#include <jerror.h>

/* Each scan of a progressive file covers the whole image, so a small file of thousands of scans would take
 * minutes. Encoders write about 10 scans; the largest scripts of PIL and mozjpeg stay below 64. */
#define MAX_SCANS 128

/* libjpeg-turbo writes rows that are aligned to its registers with streaming stores, past the cache. The
 * resizer reads these rows at once, so they begin off that alignment: resizing takes half the time. */
#define OFF_ALIGNMENT_BYTES 8

struct dt_jpeg {
    struct jpeg_decompress_struct codec;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    char message[JMSG_LENGTH_MAX];
    dt_status status; /* of the error in `message` */

    const uint8_t *bytes;
    size_t n_bytes;

    dt_rect window;
    int shrink;
    int64_t n_returned;         /* rows of the window returned so far */
    dt_buffer pixels;           /* DT_JPEG_MAX_ROWS rows as decoded */
    size_t row_bytes;           /* from the start of one row to the next */
    size_t window_offset_bytes; /* from the start of a decoded row to the window */
    JSAMPROW decoded[DT_JPEG_MAX_ROWS];
    uint8_t *window_rows[DT_JPEG_MAX_ROWS];
    JDIMENSION n_read; /* rows decoded by the last dt_jpeg_rows */
};

static dt_jpeg *jpeg_of(j_common_ptr codec)
{
    return codec->client_data;
}

/* The library's error_exit: keep the message and jump back to `guarded`. */
static void escape_with_error(j_common_ptr codec)
{
    dt_jpeg *jpeg = jpeg_of(codec);
    codec->err->format_message(codec, jpeg->message);
    switch (codec->err->msg_code) {
    case JERR_OUT_OF_MEMORY:
        jpeg->status = DT_ERR_MEMORY;
        break;
    case JERR_SOF_UNSUPPORTED:
    case JERR_BAD_PRECISION:
    case JERR_CONVERSION_NOTIMPL:
        jpeg->status = DT_ERR_UNSUPPORTED;
        break;
    default:
        jpeg->status = DT_ERR_FORMAT;
    }
    longjmp(jpeg->escape, 1);
}

/* The library's emit_message: level -1 is a warning, others are traces. */
static void check_warning(j_common_ptr codec, int level)
{
    if (level >= 0)
        return;
    switch (codec->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA:   /* surplus bytes between segments */
    case JWRN_ADOBE_XFORM:       /* an unknown colour transform: YCC is assumed */
    case JWRN_JFIF_MAJOR:        /* a later JFIF version */
    case JWRN_BOGUS_PROGRESSION: /* an odd order of scans, all of them decoded */
        return;
    default:
        escape_with_error(codec);
    }
}

static void ignore_message(j_common_ptr codec)
{
    (void)codec;
}

static void limit_scans(j_common_ptr codec)
{
    dt_jpeg *jpeg = jpeg_of(codec);
    if (jpeg->codec.input_scan_number <= MAX_SCANS)
        return;
    snprintf(jpeg->message, sizeof jpeg->message, "more than %d scans", MAX_SCANS);
    jpeg->status = DT_ERR_FORMAT;
    longjmp(jpeg->escape, 1);
}

/* Run `work` and catch the library's errors. After an error the image is ended. */
static dt_status guarded(dt_jpeg *jpeg, void (*work)(dt_jpeg *jpeg), dt_error *err)
{
    if (setjmp(jpeg->escape) == 0) {
        work(jpeg);
        return DT_OK;
    }
    jpeg_abort_decompress(&jpeg->codec);
    return dt_fail(err, jpeg->status, "%s", jpeg->message);
}

static void work_create(dt_jpeg *jpeg)
{
    jpeg_create_decompress(&jpeg->codec);
}

dt_status dt_jpeg_create(dt_jpeg **jpeg_out, dt_error *err)
{
    dt_jpeg *jpeg = dt_calloc(1, sizeof *jpeg);
    if (!jpeg)
        return dt_fail_memory(err, sizeof *jpeg, "a JPEG decoder");
    jpeg->codec.err = jpeg_std_error(&jpeg->errors);
    jpeg->codec.client_data = jpeg;
    jpeg->errors.error_exit = escape_with_error;
    jpeg->errors.emit_message = check_warning;
    jpeg->errors.output_message = ignore_message;
    jpeg->progress.progress_monitor = limit_scans;
    dt_status status = guarded(jpeg, work_create, err);
    if (status != DT_OK) {
        dt_free(jpeg);
        return status;
    }
    *jpeg_out = jpeg;
    return DT_OK;
}

void dt_jpeg_destroy(dt_jpeg *jpeg)
{
    if (!jpeg)
        return;
    jpeg_destroy_decompress(&jpeg->codec);
    dt_buffer_clear(&jpeg->pixels);
    dt_free(jpeg);
}

/* What `bytes` are if not a JPEG, as the end of the sentence "it is ...". NULL: unknown. */
static const char *kind_of(const uint8_t *bytes, size_t n_bytes)
{
    static const struct {
        const char *name, *magic;
        size_t at, n;
    } kinds[] = {
        {"PNG", "\x89PNG", 0, 4},    {"GIF", "GIF8", 0, 4},
        {"WebP", "WEBP", 8, 4},      {"BMP", "BM", 0, 2},
        {"TIFF", "II*\0", 0, 4},     {"TIFF", "MM\0*", 0, 4},
        {"AVIF", "ftypavif", 4, 8},  {"HEIF", "ftyphei", 4, 7},
        {"JPEG 2000", "jP  ", 4, 4}, {"gzip data", "\x1f\x8b", 0, 2},
        {"HTML", "<!DOCTYPE", 0, 9}, {"HTML", "<html", 0, 5},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (n_bytes >= kinds[i].at + kinds[i].n && !memcmp(bytes + kinds[i].at, kinds[i].magic, kinds[i].n))
            return kinds[i].name;
    size_t n = n_bytes < 64 ? n_bytes : 64;
    for (size_t i = 0; i < n; i++)
        if (bytes[i] > '~' || (bytes[i] < ' ' && bytes[i] != '\t' && bytes[i] != '\n' && bytes[i] != '\r'))
            return NULL;
    return "text";
}

static dt_status refuse_other_kinds(const uint8_t *bytes, size_t n_bytes, dt_error *err)
{
    if (n_bytes == 0)
        return dt_fail(err, DT_ERR_FORMAT, "the file is empty");
    if (n_bytes >= 2 && bytes[0] == 0xff && bytes[1] == 0xd8)
        return DT_OK;
    const char *kind = kind_of(bytes, n_bytes);
    if (kind)
        return dt_fail(err, DT_ERR_FORMAT, "not a JPEG: it is %s", kind);
    return dt_fail(err, DT_ERR_FORMAT, "not a JPEG: it begins with bytes 0x%02x 0x%02x", bytes[0],
                   n_bytes > 1 ? bytes[1] : 0);
}

/* The library keeps Huffman and quantization tables from file to file, and uses them for a file that has
 * none: its pixels would depend on the file before. So every file gets a new decoder, which takes 1 us. */
static void work_open(dt_jpeg *jpeg)
{
    jpeg_destroy_decompress(&jpeg->codec);
    jpeg_create_decompress(&jpeg->codec); /* keeps err and client_data */
    jpeg->codec.progress = &jpeg->progress;
    jpeg_mem_src(&jpeg->codec, jpeg->bytes, (unsigned long)jpeg->n_bytes);
    jpeg_read_header(&jpeg->codec, TRUE);
}

/* Check what the header claims before memory is allocated for it. */
static dt_status check_claims(const dt_jpeg *jpeg, dt_error *err)
{
    const struct jpeg_decompress_struct *codec = &jpeg->codec;
    int64_t width = codec->image_width, height = codec->image_height, n_pixels = width * height;
    if (n_pixels > DT_JPEG_MAX_PIXELS)
        return dt_fail(err, DT_ERR_FORMAT,
                       "its header claims %lld x %lld pixels, more than the limit of %lld million",
                       (long long)width, (long long)height, (long long)(DT_JPEG_MAX_PIXELS / 1000000));
    /* A Huffman code has at least one bit, and the first scan has a code for every block of 8x8 pixels of the
     * first component. */
    if (!codec->arith_code && n_pixels / 64 / 8 > (int64_t)jpeg->n_bytes)
        return dt_fail(err, DT_ERR_FORMAT,
                       "its header claims %lld x %lld pixels, which %zu bytes cannot hold", (long long)width,
                       (long long)height, jpeg->n_bytes);
    int n = codec->num_components;
    if (n != 1 && n != 3 && n != 4)
        return dt_fail(err, DT_ERR_UNSUPPORTED, "it has %d colour components; 1, 3 and 4 are supported", n);
    return DT_OK;
}

dt_status dt_jpeg_open(dt_jpeg *jpeg, const uint8_t *bytes, size_t n_bytes, int64_t *width, int64_t *height,
                       dt_error *err)
{
    DT_TRY(refuse_other_kinds(bytes, n_bytes, err));
    jpeg->bytes = bytes;
    jpeg->n_bytes = n_bytes;
    DT_TRY(guarded(jpeg, work_open, err));
    DT_TRY(check_claims(jpeg, err));
    *width = jpeg->codec.image_width;
    *height = jpeg->codec.image_height;
    return DT_OK;
}

/* If chroma is sampled 4 to 1 and the DCT shrinks as well, libjpeg-turbo 2.1.5 crops and skips to the wrong
 * position. Such files are rare; they are decoded as a whole. */
static bool has_usual_sampling(const dt_jpeg *jpeg)
{
    return jpeg->codec.max_h_samp_factor <= 2 && jpeg->codec.max_v_samp_factor <= 2;
}

/* Pass n rows, without making pixels of them where the library can do that. Needs the row buffer. */
static void skip_rows(dt_jpeg *jpeg, int64_t n)
{
    if (n > 0 && has_usual_sampling(jpeg)) {
        jpeg_skip_scanlines(&jpeg->codec, (JDIMENSION)n);
        return;
    }
    while (n > 0)
        n -= jpeg_read_scanlines(&jpeg->codec, jpeg->decoded, 1);
}

static void work_begin(dt_jpeg *jpeg)
{
    j_decompress_ptr codec = &jpeg->codec;
    codec->out_color_space = codec->num_components == 4 ? JCS_CMYK : JCS_RGB;
    codec->scale_num = 1;
    codec->scale_denom = (unsigned)jpeg->shrink;
    jpeg_start_decompress(codec);

    /* Triangle-filtered upsampling reads the next chroma sample on either side, max_h_samp_factor pixels
     * away. (The library reads the rows above and below by itself.) */
    const dt_rect *window = &jpeg->window;
    int64_t margin = codec->max_h_samp_factor;
    int64_t left = window->x - margin, right = window->x + window->w + margin;
    bool crop = has_usual_sampling(jpeg);
    if (left < 0 || !crop)
        left = 0;
    if (right > codec->output_width || !crop)
        right = codec->output_width;
    JDIMENSION first = (JDIMENSION)left, width = (JDIMENSION)(right - left);
    if (width < codec->output_width)
        jpeg_crop_scanline(codec, &first, &width); /* moves `first` left to the border of a block */

    size_t bytes_per_pixel = (size_t)codec->output_components;
    jpeg->row_bytes =
        (OFF_ALIGNMENT_BYTES + width * bytes_per_pixel + DT_ROW_PADDING_BYTES + DT_ALIGNMENT - 1) /
        DT_ALIGNMENT * DT_ALIGNMENT;
    jpeg->window_offset_bytes = (size_t)(window->x - first) * bytes_per_pixel;
}

static void work_skip_to_window(dt_jpeg *jpeg)
{
    skip_rows(jpeg, jpeg->window.y);
}

static dt_status check_window(const dt_jpeg *jpeg, int shrink, dt_rect window, dt_error *err)
{
    int64_t width = ((int64_t)jpeg->codec.image_width + shrink - 1) / shrink;
    int64_t height = ((int64_t)jpeg->codec.image_height + shrink - 1) / shrink;
    if (window.w >= 1 && window.h >= 1 && window.x >= 0 && window.y >= 0 && window.x <= width - window.w &&
        window.y <= height - window.h)
        return DT_OK;
    return dt_fail(err, DT_ERR_INTERNAL,
                   "JPEG: a window of %lld x %lld pixels at %lld, %lld is not inside an image of %lld x %lld",
                   (long long)window.w, (long long)window.h, (long long)window.x, (long long)window.y,
                   (long long)width, (long long)height);
}

dt_status dt_jpeg_begin(dt_jpeg *jpeg, int shrink, dt_rect window, dt_error *err)
{
    DT_TRY(check_window(jpeg, shrink, window, err));
    jpeg->shrink = shrink;
    jpeg->window = window;
    jpeg->n_returned = 0;
    DT_TRY(guarded(jpeg, work_begin, err));
    DT_TRY(dt_buffer_reserve(&jpeg->pixels, DT_JPEG_MAX_ROWS * jpeg->row_bytes, "rows of a JPEG", err));
    for (size_t i = 0; i < DT_JPEG_MAX_ROWS; i++) {
        jpeg->decoded[i] = (JSAMPROW)jpeg->pixels.data + i * jpeg->row_bytes + OFF_ALIGNMENT_BYTES;
        jpeg->window_rows[i] = jpeg->decoded[i] + jpeg->window_offset_bytes;
    }
    return guarded(jpeg, work_skip_to_window, err);
}

/* CMYK as Adobe writes it, 255 for no ink, to RGB in place: each colour is (255 - ink) * (255 - black) / 255,
 * in the rounding of PIL's convert("RGB"). */
static void cmyk_to_rgb(uint8_t *pixels, int64_t n_pixels)
{
    for (int64_t i = 0; i < n_pixels; i++) {
        uint32_t paper = pixels[4 * i + 3]; /* the light that black ink leaves */
        for (int64_t c = 0; c < 3; c++) {
            uint32_t product = (255U - pixels[4 * i + c]) * paper + 128;
            pixels[3 * i + c] = (uint8_t)(paper - ((product >> 8) + product) / 256);
        }
    }
}

static void work_rows(dt_jpeg *jpeg)
{
    int64_t left = jpeg->window.h - jpeg->n_returned;
    JDIMENSION n = left < DT_JPEG_MAX_ROWS ? (JDIMENSION)left : DT_JPEG_MAX_ROWS;
    jpeg->n_read = 0;
    while (jpeg->n_read < n)
        jpeg->n_read += jpeg_read_scanlines(&jpeg->codec, jpeg->decoded + jpeg->n_read, n - jpeg->n_read);
}

dt_status dt_jpeg_rows(dt_jpeg *jpeg, uint8_t *const **rows, int64_t *n_rows, dt_error *err)
{
    if (jpeg->n_returned >= jpeg->window.h)
        return dt_fail(err, DT_ERR_INTERNAL, "JPEG: all %lld rows have been returned",
                       (long long)jpeg->window.h);
    DT_TRY(guarded(jpeg, work_rows, err));
    if (jpeg->codec.out_color_space == JCS_CMYK)
        for (JDIMENSION i = 0; i < jpeg->n_read; i++)
            cmyk_to_rgb(jpeg->window_rows[i], jpeg->window.w);
    jpeg->n_returned += jpeg->n_read;
    *rows = jpeg->window_rows;
    *n_rows = jpeg->n_read;
    return DT_OK;
}

/* Entropy-decode the rest. Skipping does that, except that a skip to the last row reads nothing. */
static void work_check_rest(dt_jpeg *jpeg)
{
    j_decompress_ptr codec = &jpeg->codec;
    skip_rows(jpeg, (int64_t)codec->output_height - codec->output_scanline - 1);
    while (codec->output_scanline < codec->output_height)
        jpeg_read_scanlines(codec, jpeg->decoded, 1);
    jpeg_finish_decompress(codec);
}

dt_status dt_jpeg_end(dt_jpeg *jpeg, bool check_rest, dt_error *err)
{
    if (check_rest)
        return guarded(jpeg, work_check_rest, err);
    jpeg_abort_decompress(&jpeg->codec);
    return DT_OK;
}
