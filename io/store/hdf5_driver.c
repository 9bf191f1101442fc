#include "io/store/hdf5_driver.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "io/durable.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#if H5_VERSION_GE(1, 13, 0)
#    include <H5FDdevelop.h>
#else
#    include <H5FDpublic.h>
#endif

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static H5E_auto2_t outer_print; /* the process's own setting; guarded by lock */
static void *outer_print_data;

void dt_hdf5_lock(void)
{
    pthread_mutex_lock(&lock);
    H5PLset_loading_state(0); /* no plugins: neither filters nor connectors that a file or a variable names */
    H5Eget_auto2(H5E_DEFAULT, &outer_print, &outer_print_data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void dt_hdf5_unlock(void)
{
    H5Eset_auto2(H5E_DEFAULT, outer_print, outer_print_data);
    pthread_mutex_unlock(&lock);
}

static herr_t keep_innermost(unsigned n, const H5E_error2_t *entry, void *data)
{
    if (n == 0)
        *(const H5E_error2_t **)data = entry;
    return 0;
}

dt_status dt_hdf5_fail(dt_error *err, dt_status status, const char *path, const char *what)
{
    const H5E_error2_t *innermost = NULL;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &innermost);
    if (!innermost || !innermost->desc)
        return dt_fail(err, status, "%s: cannot %s", path, what);
    return dt_fail(err, status, "%s: cannot %s: HDF5 says: %s (%s)", path, what, innermost->desc,
                   innermost->func_name ? innermost->func_name : "?");
}

/* The driver. What HDF5 opens is a view of the caller's dt_hdf5_driver_file. */

typedef struct view {
    H5FD_t base; /* HDF5's part, first */
    dt_hdf5_driver_file *file;
    haddr_t end_of_allocation;
} view;

typedef struct access_info { /* passed through the access list */
    dt_hdf5_driver_file *file;
} access_info;

static H5FD_t *view_open(const char *name, unsigned flags, hid_t access, haddr_t max_address)
{
    (void)name, (void)flags, (void)max_address;
    const access_info *info = H5Pget_driver_info(access);
    view *v = info ? dt_calloc(1, sizeof *v) : NULL;
    if (!v) {
        if (info && !info->file->failed) {
            dt_fail_memory(&info->file->error, sizeof *v, "an HDF5 file");
            info->file->failed = true;
        }
        return NULL;
    }
    v->file = info->file;
    return &v->base;
}

static herr_t view_close(H5FD_t *base)
{
    dt_free(base); /* the descriptor is the caller's */
    return 0;
}

static int view_compare(const H5FD_t *a, const H5FD_t *b)
{
    const view *va = (const view *)a, *vb = (const view *)b;
    return va->file < vb->file ? -1 : va->file > vb->file;
}

static herr_t view_query(const H5FD_t *base, unsigned long *flags)
{
    (void)base;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    return 0;
}

static haddr_t view_end_of_allocation(const H5FD_t *base, H5FD_mem_t type)
{
    (void)type;
    return ((const view *)base)->end_of_allocation;
}

static herr_t view_set_end_of_allocation(H5FD_t *base, H5FD_mem_t type, haddr_t address)
{
    (void)type;
    ((view *)base)->end_of_allocation = address;
    return 0;
}

static haddr_t view_end_of_file(const H5FD_t *base, H5FD_mem_t type)
{
    (void)type;
    return (haddr_t)((const view *)base)->file->bytes;
}

static herr_t view_read(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t bytes,
                        void *buffer)
{
    (void)type, (void)transfer;
    dt_hdf5_driver_file *file = ((view *)base)->file;
    int64_t at = (int64_t)address, inside = file->bytes > at ? file->bytes - at : 0;
    if (inside > (int64_t)bytes)
        inside = (int64_t)bytes;
    memset((char *)buffer + inside, 0, bytes - (size_t)inside); /* beyond the end HDF5 expects zeros */
    dt_error error = {0};
    if (inside > 0 && dt_durable_read(file->fd, file->path, buffer, inside, at, &error) != DT_OK) {
        if (!file->failed)
            file->error = error;
        file->failed = true;
        return -1;
    }
    return 0;
}

static herr_t view_write(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t bytes,
                         const void *data)
{
    (void)type, (void)transfer;
    dt_hdf5_driver_file *file = ((view *)base)->file;
    if (file->failed)
        return 0; /* the file is lost; let HDF5 close it */
    int64_t at = (int64_t)address;
    if (dt_fault("store.write")) { /* half of the block is written, as on a failing disk */
        dt_durable_write(file->fd, file->path, data, (int64_t)bytes / 2, at, NULL);
        dt_durable_write_failed(file->fd, file->path, EIO, (int64_t)bytes, &file->error);
        file->failed = true;
    } else if (dt_fault("store.space")) {
        dt_durable_write_failed(file->fd, file->path, ENOSPC, (int64_t)bytes, &file->error);
        file->failed = true;
    } else if (dt_durable_write(file->fd, file->path, data, (int64_t)bytes, at, &file->error) != DT_OK) {
        file->failed = true;
    }
    if (at + (int64_t)bytes > file->bytes)
        file->bytes = at + (int64_t)bytes;
    return 0;
}

/* Set the file's size to the one that HDF5 assumes. */
static herr_t view_truncate(H5FD_t *base, hid_t transfer, hbool_t closing)
{
    (void)transfer, (void)closing;
    view *v = (view *)base;
    dt_hdf5_driver_file *file = v->file;
    if (!(v->base.access_flags & H5F_ACC_RDWR) || file->failed)
        return 0;
    if (ftruncate(file->fd, (off_t)v->end_of_allocation) != 0) {
        dt_fail_errno(&file->error, "%s: cannot set its size to %llu bytes", file->path,
                      (unsigned long long)v->end_of_allocation);
        file->failed = true;
        return 0;
    }
    file->bytes = (int64_t)v->end_of_allocation;
    return 0;
}

static const H5FD_class_t driver_class = {
#ifdef H5FD_CLASS_VERSION
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)300, /* 256 to 511: for drivers that are not registered with The HDF Group */
#endif
    .name = "dtrain",
    .maxaddr = ((haddr_t)1 << 62),
    .fc_degree = H5F_CLOSE_STRONG, /* objects left open after an error do not keep the file open */
    .fapl_size = sizeof(access_info),
    .open = view_open,
    .close = view_close,
    .cmp = view_compare,
    .query = view_query,
    .get_eoa = view_end_of_allocation,
    .set_eoa = view_set_end_of_allocation,
    .get_eof = view_end_of_file,
    .read = view_read,
    .write = view_write,
    .truncate = view_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

static hid_t driver_id(void)
{
    static hid_t id = -1; /* guarded by lock, as all of HDF5 */
    if (id < 0 || H5Iis_valid(id) <= 0)
        id = H5FDregister(&driver_class);
    return id;
}

hid_t dt_hdf5_driver_access(dt_hdf5_driver_file *file)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    const access_info info = {file};
    if (access >= 0 && H5Pset_driver(access, driver_id(), &info) >= 0)
        return access;
    if (access >= 0)
        H5Pclose(access);
    return -1;
}

dt_status dt_hdf5_driver_status(const dt_hdf5_driver_file *file, dt_error *err)
{
    if (!file->failed)
        return DT_OK;
    if (err)
        *err = file->error;
    return file->error.status;
}
