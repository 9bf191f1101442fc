/* hdf5_bytes.h: a range of an HDF5 file in memory, read from its beginning to its end. Nothing outside the
 * range is read: instead `bad` is set, and the numbers are 0. */
#ifndef DT_IO_STORE_HDF5_BYTES_H
#define DT_IO_STORE_HDF5_BYTES_H

#include "io/store/hdf5_driver.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct dt_hdf5_bytes {
    const dt_hdf5_image *image;
    uint64_t at, end; /* at <= end <= the image's size */
    bool bad;
} dt_hdf5_bytes;

/* The bytes [at, at + n) of the image. */
static inline dt_hdf5_bytes dt_hdf5_bytes_at(const dt_hdf5_image *image, uint64_t at, uint64_t n)
{
    const uint64_t size = (uint64_t)dt_hdf5_image_bytes(image);
    if (at > size || n > size - at)
        return (dt_hdf5_bytes){image, 0, 0, true};
    return (dt_hdf5_bytes){image, at, at + n, false};
}

/* The bytes from `at` to the end of the image. */
static inline dt_hdf5_bytes dt_hdf5_bytes_from(const dt_hdf5_image *image, uint64_t at)
{
    const uint64_t size = (uint64_t)dt_hdf5_image_bytes(image);
    return dt_hdf5_bytes_at(image, at, at > size ? 0 : size - at);
}

/* Take the next n bytes as a range of their own. */
static inline dt_hdf5_bytes dt_hdf5_part(dt_hdf5_bytes *b, uint64_t n)
{
    if (b->bad || n > b->end - b->at) {
        b->bad = true;
        return (dt_hdf5_bytes){b->image, 0, 0, true};
    }
    b->at += n;
    return (dt_hdf5_bytes){b->image, b->at - n, b->at, false};
}

/* Take a number of 1 to 8 bytes, little-endian. */
static inline uint64_t dt_hdf5_read(dt_hdf5_bytes *b, int n)
{
    unsigned char raw[8];
    uint64_t number = 0;
    const dt_hdf5_bytes part = dt_hdf5_part(b, (uint64_t)n);
    if (part.bad)
        return 0;
    dt_hdf5_image_read(b->image, (int64_t)part.at, n, raw);
    for (int i = n - 1; i >= 0; i--)
        number = number << 8 | raw[i];
    return number;
}

/* Take four letters. False: they are others. */
static inline bool dt_hdf5_read_signature(dt_hdf5_bytes *b, const char *letters)
{
    char found[4] = {0};
    const dt_hdf5_bytes part = dt_hdf5_part(b, sizeof found);
    if (!part.bad)
        dt_hdf5_image_read(b->image, (int64_t)part.at, sizeof found, found);
    return !part.bad && memcmp(found, letters, sizeof found) == 0;
}

#endif
