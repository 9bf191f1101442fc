/* hdf5_shard_read.c: reads a shard's file once: hashes it on its way into memory, and checks it there. */
#include "core/base/alloc.h"
#include "io/durable.h"
#include "io/file_reader.h"
#include "io/store/hdf5_piece.h"
#include "io/store/hdf5_shard.h"

#include <string.h>

#define READ_ELEMS ((int64_t)512 << 10) /* at a time: they are hashed in the processor's cache */
#define HASH_BYTES ((int64_t)256 << 10) /* the same of what comes past the page cache */
#define LARGE_BYTES ((int64_t)8 << 20)  /* worth threads */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static float *next_of_array(void *next, int64_t *n)
{
    (void)n;
    return *(float **)next;
}

static void move_on(void *next, int64_t n)
{
    *(float **)next += n;
}

dt_shard_sink dt_hdf5_array_sink(float **next)
{
    return (dt_shard_sink){next, next_of_array, move_on};
}

/* Whether the values are in one piece at DT_HDF5_VALUES_AT, as the superblock looks: the root group is after
 * them. Older versions of dtrain wrote it before them. Only a guess about a file that is not verified yet. */
static bool values_are_in_place(const char *head, int64_t head_bytes, int64_t end_of_values)
{
    enum { ROOT_AT = 36 }; /* in a superblock of version 2 */
    uint64_t root = 0;
    for (int i = 7; i >= 0 && head_bytes == DT_HDF5_VALUES_AT; i--)
        root = root << 8 | (unsigned char)head[ROOT_AT + i];
    return root >= (uint64_t)end_of_values && root != UINT64_MAX;
}

/* Read [at, at + bytes) into memory of its own. */
static dt_status read_part(int fd, int64_t bytes, int64_t at, const dt_hdf5_image *image,
                           dt_durable_hasher *hasher, char **part, dt_error *err)
{
    *part = dt_alloc_large((size_t)bytes);
    if (!*part)
        return dt_fail_memory(err, (size_t)bytes, "a shard of a checkpoint");
    return dt_durable_read_hashed(fd, image->path, *part, bytes, at, hasher, err);
}

typedef struct values_taker {
    dt_durable_hasher *hasher;
    const dt_shard_sink *sink; /* NULL: the values go nowhere but into the hash */
} values_taker;

static void take_values(void *context, const char *part, int64_t bytes)
{
    const values_taker *t = context;
    for (int64_t done = 0; done < bytes;) {
        int64_t n = least(bytes - done, HASH_BYTES) / (int64_t)sizeof(float);
        float *next = t->sink ? t->sink->reserve(t->sink->context, &n) : NULL;
        const int64_t n_bytes = n * (int64_t)sizeof *next;
        dt_durable_hasher_add(t->hasher, part + done, n_bytes);
        if (next) {
            memcpy(next, part + done, (size_t)n_bytes); /* it is in the processor's cache */
            t->sink->append(t->sink->context, n);
        }
        done += n_bytes;
    }
}

/* What the image says about the values is in its head and tail: it needs no values. The whole pages of a
 * large file that the page cache does not have come past it. */
static dt_status read_values(int fd, int64_t n_elems, const dt_shard_sink *sink, dt_hdf5_image *image,
                             dt_durable_hasher *hasher, dt_error *err)
{
    int64_t done = 0;
    image->data_bytes = n_elems * (int64_t)sizeof(float);
    if (image->data_bytes >= LARGE_BYTES && !dt_file_is_cached(fd, image->data_bytes)) {
        values_taker taker = {hasher, sink};
        const int64_t pages = image->data_bytes / DT_FILE_PAGE_BYTES * DT_FILE_PAGE_BYTES;
        DT_TRY(dt_file_read_past_cache(fd, image->path, DT_HDF5_VALUES_AT, pages, take_values, &taker, err));
        done = pages / (int64_t)sizeof(float);
    }
    const int64_t at = DT_HDF5_VALUES_AT + done * (int64_t)sizeof(float);
    if (!sink)
        return dt_durable_hash_part(fd, image->path, DT_HDF5_VALUES_AT + image->data_bytes - at, at, hasher,
                                    err);
    while (done < n_elems) {
        int64_t n = least(n_elems - done, READ_ELEMS);
        float *next = sink->reserve(sink->context, &n);
        DT_TRY(dt_durable_read_hashed(fd, image->path, next, n * (int64_t)sizeof *next,
                                      DT_HDF5_VALUES_AT + done * (int64_t)sizeof *next, hasher, err));
        sink->append(sink->context, n);
        done += n;
    }
    return DT_OK;
}

/* Read and hash the whole file once: the values straight into the sink if they are in one piece; else all of
 * it into the image's head. */
static dt_status read_image(int fd, int64_t bytes, const dt_hdf5_expected *expected,
                            const dt_shard_sink *sink, dt_durable_hasher *hasher, dt_hdf5_image *image,
                            dt_error *err)
{
    const int64_t value_bytes = expected->n_elems * (int64_t)sizeof(float),
                  end_of_values = DT_HDF5_VALUES_AT + value_bytes;
    image->head_bytes = bytes < DT_HDF5_VALUES_AT ? bytes : DT_HDF5_VALUES_AT;
    image->head = dt_alloc(DT_HDF5_VALUES_AT);
    if (!image->head)
        return dt_fail_memory(err, DT_HDF5_VALUES_AT, "a shard of a checkpoint");
    DT_TRY(dt_durable_read(fd, image->path, image->head, image->head_bytes, 0, err));
    if (bytes < end_of_values || !values_are_in_place(image->head, image->head_bytes, end_of_values)) {
        dt_free(image->head);
        image->head_bytes = bytes;
        return read_part(fd, bytes, 0, image, hasher, &image->head, err);
    }
    dt_durable_hasher_add(hasher, image->head, image->head_bytes);
    image->tail_bytes = bytes - end_of_values;
    DT_TRY(read_values(fd, expected->n_elems, sink, image, hasher, err));
    return read_part(fd, image->tail_bytes, end_of_values, image, hasher, &image->tail, err);
}

static dt_status check_hash(const char *path, const dt_durable_hasher *hasher, const char *expected,
                            dt_error *err)
{
    char hex[33];
    dt_durable_hasher_get(hasher, hex);
    if (strcmp(hex, expected) != 0)
        return dt_fail(err, DT_ERR_FORMAT, "%s: its XXH3-128 is %s, the manifest says %s: damaged", path, hex,
                       expected);
    return DT_OK;
}

/* Copy every piece of an older file, or of one that another program wrote, from where it is. */
static void copy_pieces(const dt_hdf5_image *image, const dt_hdf5_place *places, int64_t n_places,
                        const dt_shard_sink *sink)
{
    for (int64_t i = 0; i < n_places; i++)
        for (int64_t done = 0; done < places[i].n_elems;) {
            int64_t n = places[i].n_elems - done;
            float *next = sink->reserve(sink->context, &n);
            dt_hdf5_image_read(image, places[i].at + done * (int64_t)sizeof *next, n * (int64_t)sizeof *next,
                               next);
            sink->append(sink->context, n);
            done += n;
        }
}

static dt_status check_and_place(dt_hdf5_image *image, const dt_hdf5_expected *expected,
                                 const dt_shard_sink *sink, dt_error *err)
{
    dt_hdf5_place *places = NULL;
    int64_t n = 0, at = DT_HDF5_VALUES_AT;
    DT_TRY(dt_hdf5_check(image, expected, &places, &n, err));
    dt_status status = DT_OK;
    for (int64_t i = 0; i < n && image->data_bytes > 0 && status == DT_OK; i++) {
        if (places[i].at != at)
            status = dt_fail(err, DT_ERR_FORMAT,
                             "%s: its tensors are not in the order of the manifest: dtrain did not write "
                             "this shard",
                             image->path);
        at += places[i].n_elems * (int64_t)sizeof(float);
    }
    if (sink && image->data_bytes == 0 && status == DT_OK)
        copy_pieces(image, places, n, sink);
    dt_free(places);
    return status;
}

dt_status dt_hdf5_shard_read(int fd, const char *path, int64_t bytes, const char *hex,
                             const dt_hdf5_expected *expected, const dt_shard_sink *sink, dt_error *err)
{
    dt_hdf5_image image = {.path = path};
    dt_durable_hasher *hasher = NULL;
    DT_TRY(dt_hdf5_check_size(path, bytes, expected, err));
    DT_TRY(dt_durable_hasher_create(&hasher, err));
    dt_status status = read_image(fd, bytes, expected, sink, hasher, &image, err);
    if (status == DT_OK)
        status = check_hash(path, hasher, hex, err);
    if (status == DT_OK)
        status = check_and_place(&image, expected, sink, err);
    dt_free(image.head);
    dt_free(image.tail);
    dt_durable_hasher_destroy(hasher);
    return status;
}
