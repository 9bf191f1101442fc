/* sample.c: see sample.h. */
#include "io/source/sample.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/fault.h"
#include "core/base/file.h"
#include "io/source/buffer.h"
#include "io/source/jpeg.h"
#include "io/source/resize.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(DT_JPEG_MAX_ROWS <= DT_RESIZE_MAX_ROWS,
               "the resizer accepts as many rows as the decoder returns");

struct dt_sample {
    dt_jpeg *jpeg;
    dt_resize *resize;
    dt_buffer file;
    int64_t width, height; /* of the opened image */
    pthread_mutex_t lock;  /* guards the next two */
    char path[4096];       /* of the file that is being read; "": none */
    double since_s;
};

dt_status dt_sample_create(dt_sample **sample_out, dt_error *err)
{
    dt_sample *sample = dt_calloc(1, sizeof *sample);
    if (!sample)
        return dt_fail_memory(err, sizeof *sample, "a decoder of samples");
    pthread_mutex_init(&sample->lock, NULL);
    dt_status status;
    DT_TRY_OR_FAIL(status, dt_jpeg_create(&sample->jpeg, err));
    DT_TRY_OR_FAIL(status, dt_resize_create(&sample->resize, err));
    *sample_out = sample;
    return DT_OK;
fail:
    dt_sample_destroy(sample);
    return status;
}

void dt_sample_destroy(dt_sample *sample)
{
    if (!sample)
        return;
    dt_jpeg_destroy(sample->jpeg);
    dt_resize_destroy(sample->resize);
    dt_buffer_clear(&sample->file);
    pthread_mutex_destroy(&sample->lock);
    dt_free(sample);
}

/* The error for a system call on the file. If the process is out of a resource, the file is not to blame. */
static dt_status fail_system(dt_error *err, const char *what)
{
    bool ours = errno == EMFILE || errno == ENFILE || errno == ENOMEM;
    dt_status status = dt_fail_errno(err, "%s", what);
    if (ours && err)
        err->status = DT_ERR_MEMORY;
    return ours ? DT_ERR_MEMORY : status;
}

/* Read an open file up to the size that it has now. */
static dt_status read_all(dt_sample *sample, int fd, size_t *n_bytes, dt_error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return fail_system(err, "its attributes cannot be read");
    if (info.st_size > DT_SAMPLE_MAX_BYTES)
        return dt_fail(err, DT_ERR_FORMAT, "%lld bytes, more than the limit of %lld", (long long)info.st_size,
                       (long long)DT_SAMPLE_MAX_BYTES);
    DT_TRY(dt_buffer_reserve(&sample->file, (size_t)info.st_size, "a file", err));
    size_t n = 0, size = (size_t)info.st_size;
    while (n < size) {
        errno = EIO;
        ssize_t got = dt_fault("loader.read") ? -1 : read(fd, (char *)sample->file.data + n, size - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_system(err, "cannot be read");
        if (got == 0)
            break; /* the file became shorter: the decoder reports the missing data */
        n += (size_t)got;
    }
    *n_bytes = n;
    return DT_OK;
}

/* Open and read a file. Here a thread may hang. */
static dt_status read_file(dt_sample *sample, const char *path, size_t *n_bytes, dt_error *err)
{
    errno = EIO;
    int fd = -1;
    if (dt_fault("loader.open") || dt_file_open_at(AT_FDCWD, path, "it", O_RDONLY, 0, &fd, err) != DT_OK)
        return errno == EINVAL ? DT_ERR_IO
                               : fail_system(err, "cannot be opened"); /* EINVAL: not a file; *err is set */
    dt_status status = read_all(sample, fd, n_bytes, err);
    close(fd);
    return status;
}

static void note_reading(dt_sample *sample, const char *path)
{
    pthread_mutex_lock(&sample->lock);
    snprintf(sample->path, sizeof sample->path, "%s", path);
    sample->since_s = dt_clock_s();
    pthread_mutex_unlock(&sample->lock);
}

double dt_sample_reading(dt_sample *sample, char *path, size_t path_bytes)
{
    pthread_mutex_lock(&sample->lock);
    snprintf(path, path_bytes, "%s", sample->path);
    const double seconds = sample->path[0] ? dt_clock_s() - sample->since_s : 0.0;
    pthread_mutex_unlock(&sample->lock);
    return seconds;
}

dt_status dt_sample_open(dt_sample *sample, const char *path, int64_t *width, int64_t *height, dt_error *err)
{
    size_t n_bytes = 0;
    note_reading(sample, path);
    dt_status status = read_file(sample, path, &n_bytes, err);
    note_reading(sample, "");
    if (status != DT_OK)
        return status;
    return dt_sample_open_bytes(sample, sample->file.data, n_bytes, width, height, err);
}

dt_status dt_sample_open_bytes(dt_sample *sample, const uint8_t *bytes, size_t n_bytes, int64_t *width,
                               int64_t *height, dt_error *err)
{
    DT_TRY(dt_jpeg_open(sample->jpeg, bytes, n_bytes, &sample->width, &sample->height, err));
    *width = sample->width;
    *height = sample->height;
    return DT_OK;
}

/* The reduction in the DCT: to 1/2, 1/4 or 1/8. It saves work, but its low-pass filter is not the triangle's.
 * If the triangle still reduces by 3 or more, the pixels differ by 0.2 levels on average, less than JPEG's
 * own noise (README.md). So only crops that are reduced 6 times or more are reduced in the DCT, and only in
 * training: an evaluation returns the filter's values. */
static int shrink_for(const dt_crop *crop)
{
    enum { LEFT_TO_TRIANGLE = 3, DEEPEST = 8 };
    int shrink = 1;
    while (crop->may_shrink && shrink < DEEPEST &&
           crop->box.w >= 2 * shrink * LEFT_TO_TRIANGLE * crop->full_w &&
           crop->box.h >= 2 * shrink * LEFT_TO_TRIANGLE * crop->full_h)
        shrink *= 2;
    return shrink;
}

/* One direction of the crop in an image reduced to 1/shrink. Coordinates are relative to the box. */
static dt_resize_span span_of(int64_t begin, int64_t length, int64_t full, int64_t first, int shrink)
{
    int64_t low = begin / shrink, high = (begin + length + shrink - 1) / shrink;
    return (dt_resize_span){
        .from = (double)begin / shrink - (double)low,
        .length = (double)length / shrink,
        .low = 0,
        .high = high - low,
        .full = full,
        .first = first,
    };
}

static bool is_inside(int64_t begin, int64_t length, int64_t whole)
{
    return begin >= 0 && length >= 1 && begin <= whole - length;
}

static dt_status check_crop(const dt_sample *sample, const dt_crop *crop, dt_error *err)
{
    const dt_rect *box = &crop->box;
    if (!is_inside(box->x, box->w, sample->width) || !is_inside(box->y, box->h, sample->height))
        return dt_fail(err, DT_ERR_INTERNAL,
                       "a crop of %lld x %lld pixels at %lld, %lld is not inside the image of %lld x %lld",
                       (long long)box->w, (long long)box->h, (long long)box->x, (long long)box->y,
                       (long long)sample->width, (long long)sample->height);
    if (!is_inside(crop->x, crop->n, crop->full_w) || !is_inside(crop->y, crop->n, crop->full_h))
        return dt_fail(err, DT_ERR_INTERNAL,
                       "a sample of %lld x %lld pixels at %lld, %lld is not inside the resized %lld x %lld",
                       (long long)crop->n, (long long)crop->n, (long long)crop->x, (long long)crop->y,
                       (long long)crop->full_w, (long long)crop->full_h);
    return DT_OK;
}

dt_status dt_sample_decode(dt_sample *sample, const dt_crop *crop, bool check_whole, uint8_t *pixels,
                           dt_error *err)
{
    DT_TRY(check_crop(sample, crop, err));
    int shrink = shrink_for(crop);
    dt_resize_view view = {
        .x = span_of(crop->box.x, crop->box.w, crop->full_w, crop->x, shrink),
        .y = span_of(crop->box.y, crop->box.h, crop->full_h, crop->y, shrink),
        .n = crop->n,
        .flip = crop->flip,
    };
    dt_rect window;
    DT_TRY(dt_resize_begin(sample->resize, &view, pixels, &window, err));
    window.x += crop->box.x / shrink;
    window.y += crop->box.y / shrink;
    DT_TRY(dt_jpeg_begin(sample->jpeg, shrink, window, err));
    for (int64_t n = 0; n < window.h;) {
        uint8_t *const *rows = NULL;
        int64_t n_rows = 0;
        DT_TRY(dt_jpeg_rows(sample->jpeg, &rows, &n_rows, err));
        dt_resize_rows(sample->resize, rows, n_rows);
        n += n_rows;
    }
    return dt_jpeg_end(sample->jpeg, check_whole, err);
}
