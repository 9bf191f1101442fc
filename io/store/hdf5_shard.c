#include "io/store/hdf5_shard.h"

#include "core/base/alloc.h"
#include "io/durable.h"
#include "io/store/hdf5_driver.h"
#include "io/store/hdf5_piece.h"

#include <stdio.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#    error "elements are read as they are in the file, little-endian"
#endif

static hid_t piece_space(const dt_hdf5_piece *p)
{
    int64_t dims[DT_STATE_MAX_DIMS];
    hsize_t lengths[DT_STATE_MAX_DIMS];
    const int n_dims = dt_hdf5_piece_dims(p, dims);
    for (int d = 0; d < n_dims; d++)
        lengths[d] = (hsize_t)dims[d];
    return H5Screate_simple(n_dims, lengths, NULL);
}

/* Write an attribute of n values; n 0: a scalar. */
static bool write_attribute(hid_t object, const char *name, const int64_t *values, int n)
{
    hsize_t length = (hsize_t)n;
    hid_t space = n ? H5Screate_simple(1, &length, NULL) : H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(object, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    bool ok = attribute >= 0 && H5Awrite(attribute, H5T_NATIVE_INT64, values) >= 0;
    if (attribute >= 0)
        ok = H5Aclose(attribute) >= 0 && ok;
    if (space >= 0)
        H5Sclose(space);
    return ok;
}

/* A property list without time stamps: with them equal states would give different files. */
static hid_t timeless(hid_t class_id)
{
    hid_t list = H5Pcreate(class_id);
    if (list >= 0 && H5Pset_obj_track_times(list, false) < 0) {
        H5Pclose(list);
        return -1;
    }
    return list;
}

/* Make the missing groups of a name like "param/conv1.weight". (HDF5 can do so itself, but with time
 * stamps.) */
static bool make_groups(hid_t h5, const char *name, hid_t group_list)
{
    char path[DT_STATE_NAME_BYTES];
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(path, sizeof path, "%.*s", (int)(slash - name), name);
        if (H5Lexists(h5, path, H5P_DEFAULT) > 0)
            continue;
        hid_t group = H5Gcreate2(h5, path, H5P_DEFAULT, group_list, H5P_DEFAULT);
        if (group < 0 || H5Gclose(group) < 0)
            return false;
    }
    return true;
}

typedef struct writer {
    hid_t h5, group_list, dataset_list;
} writer;

static bool write_piece(const writer *w, const dt_hdf5_piece *p, const float *values)
{
    if (!make_groups(w->h5, p->tensor->name, w->group_list))
        return false;
    hid_t space = piece_space(p);
    hid_t dataset =
        H5Dcreate2(w->h5, p->tensor->name, H5T_IEEE_F32LE, space, H5P_DEFAULT, w->dataset_list, H5P_DEFAULT);
    bool ok =
        dataset >= 0 && write_attribute(dataset, "first_element", &p->first, 0) &&
        (p->tensor->n_dims == 0 || write_attribute(dataset, "shape", p->tensor->dims, p->tensor->n_dims)) &&
        H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0;
    if (dataset >= 0)
        ok = H5Dclose(dataset) >= 0 && ok;
    if (space >= 0)
        H5Sclose(space);
    return ok;
}

/* The size that the file has at most, to detect a full disk early. *longest: elements of its longest
 * tensor. */
static int64_t expected_bytes(const dt_state_layout *layout, int64_t first, int64_t n_elems, int64_t *longest)
{
    int64_t cursor = 0, bytes = 8192; /* superblock, root group, the first blocks of the groups' indices */
    dt_hdf5_piece p;
    *longest = 0;
    while (dt_hdf5_next_piece(layout, first, n_elems, &cursor, &p)) {
        bytes += p.n_elems * (int64_t)sizeof(float) + 1024; /* object header, two attributes, link: about
                                                               600 bytes */
        if (p.tensor->n_elems > *longest)
            *longest = p.tensor->n_elems;
    }
    return bytes;
}

static dt_status write_pieces(const writer *w, const dt_hdf5_driver_file *file, const dt_state_layout *layout,
                              const dt_state_io *io, int64_t first, int64_t n_elems, float *scratch,
                              dt_error *err)
{
    int64_t cursor = 0;
    dt_hdf5_piece p;
    while (dt_hdf5_next_piece(layout, first, n_elems, &cursor, &p)) {
        DT_TRY(io->get(io->context, p.index, scratch, err));
        if (!write_piece(w, &p, scratch + p.first))
            return file->failed ? dt_hdf5_driver_status(file, err)
                                : dt_hdf5_fail(err, DT_ERR_IO, file->path, "write a tensor");
        DT_TRY(dt_hdf5_driver_status(file, err)); /* stop as soon as the disk is full */
    }
    return DT_OK;
}

static dt_status write_file(dt_hdf5_driver_file *file, int64_t step, const dt_state_layout *layout,
                            const dt_state_io *io, int64_t first, int64_t n_elems, float *scratch,
                            dt_error *err)
{
    writer w = {-1, -1, -1};
    dt_status status = DT_OK;
    hid_t create_list = timeless(H5P_FILE_CREATE);
    hid_t access = dt_hdf5_driver_access(file);
    w.group_list = timeless(H5P_GROUP_CREATE);
    w.dataset_list = timeless(H5P_DATASET_CREATE);
    bool ok = create_list >= 0 && access >= 0 && w.group_list >= 0 && w.dataset_list >= 0 &&
              /* all versions of HDF5 write the same format; every one since 1.8 (2008) reads it */
              H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0 &&
              H5Pset_fill_time(w.dataset_list, H5D_FILL_TIME_NEVER) >= 0;
    if (ok)
        w.h5 = H5Fcreate(file->path, H5F_ACC_TRUNC, create_list, access);
    ok = w.h5 >= 0 && write_attribute(w.h5, "step", &step, 0) &&
         write_attribute(w.h5, "first_element", &first, 0) &&
         write_attribute(w.h5, "n_elements", &n_elems, 0);
    status = ok ? write_pieces(&w, file, layout, io, first, n_elems, scratch, err)
                : dt_hdf5_fail(err, DT_ERR_IO, file->path, "begin the HDF5 file");
    bool closed = w.h5 < 0 || H5Fclose(w.h5) >= 0;
    if (file->failed && (status == DT_OK || !ok))
        status = dt_hdf5_driver_status(file, err);
    else if (status == DT_OK && !closed)
        status = dt_hdf5_fail(err, DT_ERR_IO, file->path, "finish the HDF5 file");
    const hid_t lists[] = {create_list, access, w.group_list, w.dataset_list};
    for (int i = 0; i < 4; i++)
        if (lists[i] >= 0)
            H5Pclose(lists[i]);
    return status;
}

dt_status dt_hdf5_shard_write(int fd, const char *path, int64_t step, const dt_state_layout *layout,
                              const dt_state_io *io, int64_t first, int64_t n_elems, int64_t *bytes,
                              dt_error *err)
{
    int64_t longest;
    DT_TRY(dt_durable_reserve(fd, path, expected_bytes(layout, first, n_elems, &longest), err));
    float *scratch = dt_alloc((size_t)longest * sizeof *scratch);
    if (!scratch)
        return dt_fail_memory(err, (size_t)longest * sizeof *scratch, "a tensor of the checkpoint");
    dt_hdf5_driver_file *file = dt_calloc(1, sizeof *file);
    if (!file) {
        dt_free(scratch);
        return dt_fail_memory(err, sizeof *file, "a shard of the checkpoint");
    }
    file->fd = fd;
    file->path = path;
    dt_hdf5_lock();
    dt_status status = write_file(file, step, layout, io, first, n_elems, scratch, err);
    dt_hdf5_unlock();
    if (status == DT_OK)
        *bytes = file->bytes;
    dt_free(file);
    dt_free(scratch);
    return status;
}

static dt_status open_checked(int fd, const char *path, int64_t bytes, const dt_hdf5_expected *expected,
                              dt_hdf5_place **places, int64_t *n, dt_error *err)
{
    dt_hdf5_driver_file *file = dt_calloc(1, sizeof *file);
    if (!file)
        return dt_fail_memory(err, sizeof *file, "a shard of the checkpoint");
    file->fd = fd;
    file->path = path;
    file->bytes = bytes;
    dt_status status = dt_hdf5_check(file, expected, places, n, err);
    dt_free(file);
    return status;
}

dt_status dt_hdf5_shard_check(int fd, const char *path, int64_t bytes, const dt_hdf5_expected *expected,
                              dt_error *err)
{
    dt_hdf5_place *places = NULL;
    int64_t n = 0;
    DT_TRY(open_checked(fd, path, bytes, expected, &places, &n, err));
    dt_free(places);
    return DT_OK;
}

dt_status dt_hdf5_shard_read(int fd, const char *path, int64_t bytes, const dt_hdf5_expected *expected,
                             float *values, dt_error *err)
{
    dt_hdf5_place *places = NULL;
    int64_t n = 0;
    DT_TRY(open_checked(fd, path, bytes, expected, &places, &n, err));
    dt_status status = DT_OK;
    for (int64_t i = 0; i < n && status == DT_OK; i++) {
        status =
            dt_durable_read(fd, path, values, places[i].n_elems * (int64_t)sizeof(float), places[i].at, err);
        values += places[i].n_elems;
    }
    dt_free(places);
    return status;
}
