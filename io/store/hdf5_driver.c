#include "io/store/hdf5_driver.h"

#include "core/base/alloc.h"

#include <pthread.h>
#include <string.h>
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

/* The driver. What HDF5 opens is a view of the caller's dt_hdf5_image. */

typedef struct view {
    H5FD_t base; /* HDF5's part, first */
    dt_hdf5_image *image;
    haddr_t end_of_allocation;
    int64_t allocated; /* bytes of the data, in a file that is written */
} view;

typedef struct access_info { /* passed through the access list */
    dt_hdf5_image *image;
} access_info;

static int64_t end_of_data(const dt_hdf5_image *image)
{
    return image->head_bytes + image->data_bytes;
}

int64_t dt_hdf5_image_bytes(const dt_hdf5_image *image)
{
    return end_of_data(image) + image->tail_bytes;
}

static H5FD_t *view_open(const char *name, unsigned flags, hid_t access, haddr_t max_address)
{
    (void)name, (void)flags, (void)max_address;
    const access_info *info = H5Pget_driver_info(access);
    view *v = info ? dt_calloc(1, sizeof *v) : NULL;
    if (!v) {
        if (info)
            info->image->out_of_memory = true;
        return NULL;
    }
    v->image = info->image;
    return &v->base;
}

static herr_t view_close(H5FD_t *base)
{
    dt_free(base); /* the image is the caller's */
    return 0;
}

static int view_compare(const H5FD_t *a, const H5FD_t *b)
{
    const view *va = (const view *)a, *vb = (const view *)b;
    return va->image < vb->image ? -1 : va->image > vb->image;
}

static herr_t view_query(const H5FD_t *base, unsigned long *flags)
{
    (void)base;
    *flags = H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    return 0;
}

/* Where a new object of the file goes: the superblock into the head, values into the data, in the order in
 * which the data sets are made, and everything else after the data. */
static haddr_t view_allocate(H5FD_t *base, H5FD_mem_t type, hid_t transfer, hsize_t bytes)
{
    (void)transfer;
    view *v = (view *)base;
    const int64_t left = v->image->data_bytes - v->allocated;
    haddr_t address = v->end_of_allocation;
    if (type == H5FD_MEM_DRAW) {
        address = (haddr_t)(v->image->head_bytes + v->allocated);
        v->allocated += bytes <= (hsize_t)left ? (int64_t)bytes : 0;
        return bytes <= (hsize_t)left ? address : HADDR_UNDEF;
    }
    if (address == 0) {
        v->end_of_allocation = (haddr_t)end_of_data(v->image);
        return type == H5FD_MEM_SUPER && bytes <= (hsize_t)v->image->head_bytes ? 0 : HADDR_UNDEF;
    }
    v->end_of_allocation += bytes;
    return address;
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
    const view *v = (const view *)base;
    const bool is_new = (v->base.access_flags & H5F_ACC_RDWR) && v->end_of_allocation == 0;
    return is_new ? 0 : (haddr_t)dt_hdf5_image_bytes(v->image); /* 0: HDF5 makes the superblock */
}

/* The bytes of [at, at + bytes) that lie in one part of the image, which begins at `from`: *n of them. */
static char *part_at(char *part, int64_t from, int64_t part_bytes, int64_t at, int64_t bytes, int64_t *n)
{
    if (at < from || at >= from + part_bytes)
        return NULL;
    *n = from + part_bytes - at < bytes ? from + part_bytes - at : bytes;
    return part + (at - from);
}

void dt_hdf5_image_read(const dt_hdf5_image *image, int64_t at, int64_t bytes, void *to)
{
    char *next = to;
    while (bytes > 0) {
        int64_t n = 0;
        const char *from = part_at(image->head, 0, image->head_bytes, at, bytes, &n);
        if (!from && image->data)
            from = part_at(image->data, image->head_bytes, image->data_bytes, at, bytes, &n);
        if (!from && image->tail)
            from = part_at(image->tail, end_of_data(image), image->tail_bytes, at, bytes, &n);
        if (!from) {
            memset(next, 0, (size_t)bytes);
            return;
        }
        memcpy(next, from, (size_t)n);
        next += n;
        at += n;
        bytes -= n;
    }
}

static herr_t view_read(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t bytes,
                        void *buffer)
{
    (void)type, (void)transfer;
    /* beyond the end HDF5 expects zeros */
    dt_hdf5_image_read(((view *)base)->image, (int64_t)address, (int64_t)bytes, buffer);
    return 0;
}

/* Make the tail at least this long; what is new is zero. */
static bool grow_tail(dt_hdf5_image *image, int64_t bytes)
{
    if (bytes > image->tail_capacity) {
        const int64_t capacity = bytes > 2 * image->tail_capacity ? bytes : 2 * image->tail_capacity;
        char *tail = dt_realloc(image->tail, (size_t)image->tail_capacity, (size_t)capacity);
        if (!tail)
            return false;
        memset(tail + image->tail_capacity, 0, (size_t)(capacity - image->tail_capacity));
        image->tail = tail;
        image->tail_capacity = capacity;
    }
    if (bytes > image->tail_bytes)
        image->tail_bytes = bytes;
    return true;
}

/* After the first failure: report success, so that HDF5 can close the file. */
static herr_t view_write(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t bytes,
                         const void *data)
{
    (void)transfer;
    dt_hdf5_image *image = ((view *)base)->image;
    const int64_t at = (int64_t)address, n = (int64_t)bytes;
    if (type == H5FD_MEM_DRAW)
        return -1; /* the caller writes the values */
    if (at + n <= image->head_bytes)
        memcpy(image->head + at, data, bytes);
    else if (at < end_of_data(image))
        return -1;
    else if (grow_tail(image, at + n - end_of_data(image)))
        memcpy(image->tail + (at - end_of_data(image)), data, bytes);
    else
        image->out_of_memory = true;
    return 0;
}

/* Set the image's size to the one that HDF5 assumes. */
static herr_t view_truncate(H5FD_t *base, hid_t transfer, hbool_t closing)
{
    (void)transfer, (void)closing;
    const view *v = (const view *)base;
    const int64_t bytes = (int64_t)v->end_of_allocation - end_of_data(v->image);
    if (!(v->base.access_flags & H5F_ACC_RDWR) || v->image->out_of_memory || bytes <= 0)
        return 0;
    if (!grow_tail(v->image, bytes))
        v->image->out_of_memory = true;
    else
        v->image->tail_bytes = bytes;
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
    .alloc = view_allocate,
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

hid_t dt_hdf5_image_access(dt_hdf5_image *image)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    const access_info info = {image};
    if (access >= 0 && H5Pset_driver(access, driver_id(), &info) >= 0)
        return access;
    if (access >= 0)
        H5Pclose(access);
    return -1;
}
