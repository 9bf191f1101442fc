/* hdf5_driver.h: HDF5 files in memory, through a file driver of our own; HDF5 never sees the disk.
 *
 *   dt_hdf5_image image = {.head = head, .head_bytes = sizeof head, .data_bytes = bytes};
 *   hid_t access = dt_hdf5_image_access(&image);           a file access list; H5Pclose it
 *   hid_t h5 = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);  ... H5Fclose(h5);
 *   the file is: head, the values of all data sets in the order in which they were made, tail
 *
 * Why not HDF5's own drivers: after a failed write (a full disk) H5Fclose of the driver sec2 fails too,
 * the file stays open inside the library, and the library's exit handler tries again; the reason is lost
 * in a stack of errors; and sec2 takes file locks, which NFS and Lustre refuse. Its driver "core" needs
 * the whole file in one piece of memory. Here HDF5 only makes, or reads, what describes the values. So the
 * caller can write the file from its first byte to its last, and hash what it reads before HDF5 sees it: a
 * damaged file can make HDF5 hang.
 */
#ifndef DT_IO_STORE_HDF5_DRIVER_H
#define DT_IO_STORE_HDF5_DRIVER_H

#include "core/base/error.h"

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

/* The bytes of a file: head, data, tail. To write, the caller sets head, head_bytes and data_bytes; HDF5 puts
 * its superblock into the head and everything but values into the tail. To read, the caller sets all. */
typedef struct dt_hdf5_image {
    const char *path; /* for messages */
    char *head;       /* [head_bytes], the caller's; to write: zeros */
    int64_t head_bytes;
    char *data; /* [data_bytes], the caller's; NULL to write: the caller has the values */
    int64_t data_bytes;
    char *tail; /* [tail_bytes], dt_alloc'ed; the caller frees it */
    int64_t tail_bytes, tail_capacity;
    bool out_of_memory; /* the driver had no memory: the file is not complete */
} dt_hdf5_image;

/* The file's size. */
int64_t dt_hdf5_image_bytes(const dt_hdf5_image *image);

/* Copy the bytes [at, at + bytes); those that the image does not have are zero. */
void dt_hdf5_image_read(const dt_hdf5_image *image, int64_t at, int64_t bytes, void *to);

/* A file access property list for `image`, which must outlive every HDF5 file that is opened with the list.
 * Negative: it failed. */
hid_t dt_hdf5_image_access(dt_hdf5_image *image);

/* Allow one thread at a time into HDF5, whose builds without thread safety have one global state, and switch
 * off HDF5's printing of errors meanwhile. */
void dt_hdf5_lock(void);
void dt_hdf5_unlock(void);

/* Fail with "PATH: cannot WHAT" and the innermost message of HDF5's error stack. */
dt_status dt_hdf5_fail(dt_error *err, dt_status status, const char *path, const char *what);

#endif
