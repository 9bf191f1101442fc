/* hdf5_driver.h: HDF5 files through a file driver of our own, so that errors of the disk can be reported.
 *
 *   dt_hdf5_driver_file file = {.fd = fd, .path = path};
 *   hid_t access = dt_hdf5_driver_access(&file);           a file access list; H5Pclose it
 *   hid_t h5 = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);  ... H5Fclose(h5);
 *   DT_TRY(dt_hdf5_driver_status(&file, err));
 *
 * Why not HDF5's own sec2 driver: after a failed write (a full disk) H5Fclose fails too, the file stays open
 * inside the library, and the library's exit handler tries again; the reason is lost in a stack of errors;
 * and sec2 takes file locks, which NFS and Lustre refuse. This driver works on a descriptor that the caller
 * opened. After the first write that fails it writes nothing more, remembers the error, and reports success
 * to HDF5, so that HDF5 can close the file. The caller then asks for the error and removes the file.
 */
#ifndef DT_IO_STORE_HDF5_DRIVER_H
#define DT_IO_STORE_HDF5_DRIVER_H

#include "core/base/error.h"

#include <hdf5.h>
#include <stdint.h>

typedef struct dt_hdf5_driver_file {
    int fd;           /* the caller's; a file to be written is empty and open for reading too */
    const char *path; /* for messages */
    int64_t bytes;    /* the file's size; for reading the caller sets it */
    bool failed;      /* the system refused something, as `error` says; nothing more is written */
    dt_error error;
} dt_hdf5_driver_file;

/* A file access property list for `file`, which must outlive every HDF5 file that is opened with the list.
 * Negative: it failed. */
hid_t dt_hdf5_driver_access(dt_hdf5_driver_file *file);

/* DT_OK, or the first error of the system. */
dt_status dt_hdf5_driver_status(const dt_hdf5_driver_file *file, dt_error *err);

/* Allow one thread at a time into HDF5, whose builds without thread safety have one global state, and switch
 * off HDF5's printing of errors meanwhile. */
void dt_hdf5_lock(void);
void dt_hdf5_unlock(void);

/* Fail with "PATH: cannot WHAT" and the innermost message of HDF5's error stack. */
dt_status dt_hdf5_fail(dt_error *err, dt_status status, const char *path, const char *what);

#endif
