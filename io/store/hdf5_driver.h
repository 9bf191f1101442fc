/* hdf5_driver.h: HDF5 files through a file driver of our own, so that the disk's refusals are ours to tell.
 *
 *   dt_hdf5_driver_file file = {.fd = fd, .path = path};
 *   hid_t access = dt_hdf5_driver_access(&file);           a file access list; H5Pclose it
 *   hid_t h5 = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);  ... H5Fclose(h5);
 *   DT_TRY(dt_hdf5_driver_status(&file, err));
 *
 * Why not HDF5's own sec2 driver: when a write fails there (a full disk), H5Fclose fails too, the file stays
 * open inside the library, and its exit handler tries again; the reason is lost in a stack of errors; and it
 * takes file locks, which NFS and Lustre refuse. This driver works on a descriptor that the caller opened,
 * writes as long as it goes, remembers the first failure, and lets HDF5 close in peace; the caller asks for
 * the failure afterwards and throws the file away.
 *
 * Hold dt_hdf5_lock around all calls into HDF5.
 */
#ifndef DT_IO_STORE_HDF5_DRIVER_H
#define DT_IO_STORE_HDF5_DRIVER_H

#include "core/base/error.h"

#include <hdf5.h>
#include <stdint.h>

typedef struct dt_hdf5_driver_file {
    int fd;           /* the caller's; to be written: empty and open for reading too */
    const char *path; /* for messages */
    int64_t bytes;    /* its size; kept up to date. For reading the caller sets it */
    bool failed;      /* something was refused, as `error` says; nothing is written from then on */
    dt_error error;
} dt_hdf5_driver_file;

/* A file access property list for `file`, which must outlive every HDF5 file opened with it. Negative on
 * failure. */
hid_t dt_hdf5_driver_access(dt_hdf5_driver_file *file);

/* DT_OK, or the first thing that the system refused, copied into err. */
dt_status dt_hdf5_driver_status(const dt_hdf5_driver_file *file, dt_error *err);

/* One thread at a time in HDF5 (a build without thread safety has one global state), and no printing of its
 * own meanwhile. */
void dt_hdf5_lock(void);
void dt_hdf5_unlock(void);

/* Fill *err with words and, behind them, the innermost message of HDF5's error stack. */
dt_status dt_hdf5_fail(dt_error *err, dt_status status, const char *path, const char *what);

#endif
