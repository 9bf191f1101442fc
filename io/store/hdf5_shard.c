#include "io/store/hdf5_shard.h"

#include "core/base/alloc.h"
#include "io/durable.h"
#include "io/file_writer.h"
#include "io/store/hdf5_driver.h"
#include "io/store/hdf5_piece.h"

#include <stdio.h>
#include <string.h>

#define TAIL_PART_BYTES ((int64_t)64 << 10)

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#    error "values are written and read as they are in the file, little-endian"
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

/* -- writing --------------------------------------------------------------------------------------------- */

typedef struct maker {
    hid_t h5, group_list, dataset_list;
} maker;

static bool make_dataset(const maker *m, const dt_hdf5_piece *p)
{
    if (!make_groups(m->h5, p->tensor->name, m->group_list))
        return false;
    hid_t space = piece_space(p);
    hid_t dataset =
        H5Dcreate2(m->h5, p->tensor->name, H5T_IEEE_F32LE, space, H5P_DEFAULT, m->dataset_list, H5P_DEFAULT);
    bool ok =
        dataset >= 0 && H5Dget_offset(dataset) == (haddr_t)dt_hdf5_values_at(p) &&
        write_attribute(dataset, "first_element", &p->first, 0) &&
        (p->tensor->n_dims == 0 || write_attribute(dataset, "shape", p->tensor->dims, p->tensor->n_dims));
    if (dataset >= 0)
        ok = H5Dclose(dataset) >= 0 && ok;
    if (space >= 0)
        H5Sclose(space);
    return ok;
}

static bool make_datasets(const maker *m, const dt_state_layout *layout, int64_t step, int64_t first,
                          int64_t n_elems)
{
    int64_t cursor = 0;
    dt_hdf5_piece p;
    bool ok = write_attribute(m->h5, "step", &step, 0) &&
              write_attribute(m->h5, "first_element", &first, 0) &&
              write_attribute(m->h5, "n_elements", &n_elems, 0);
    while (ok && dt_hdf5_next_piece(layout, first, n_elems, &cursor, &p))
        ok = make_dataset(m, &p);
    return ok;
}

/* Make everything but the values: the image's head and tail. */
static dt_status make_image(dt_hdf5_image *image, int64_t step, const dt_state_layout *layout, int64_t first,
                            int64_t n_elems, dt_error *err)
{
    maker m = {-1, -1, -1};
    hid_t create_list = timeless(H5P_FILE_CREATE);
    hid_t access = dt_hdf5_image_access(image);
    m.group_list = timeless(H5P_GROUP_CREATE);
    m.dataset_list = timeless(H5P_DATASET_CREATE);
    bool ok = create_list >= 0 && access >= 0 && m.group_list >= 0 && m.dataset_list >= 0 &&
              /* all versions of HDF5 write the same format; every one since 1.8 (2008) reads it */
              H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0 &&
              H5Pset_alloc_time(m.dataset_list, H5D_ALLOC_TIME_EARLY) >= 0 &&
              H5Pset_fill_time(m.dataset_list, H5D_FILL_TIME_NEVER) >= 0;
    if (ok)
        m.h5 = H5Fcreate(image->path, H5F_ACC_TRUNC, create_list, access);
    ok = m.h5 >= 0 && make_datasets(&m, layout, step, first, n_elems);
    dt_status status = ok ? DT_OK : dt_hdf5_fail(err, DT_ERR_IO, image->path, "make the HDF5 file");
    if (m.h5 >= 0 && H5Fclose(m.h5) < 0 && status == DT_OK)
        status = dt_hdf5_fail(err, DT_ERR_IO, image->path, "finish the HDF5 file");
    if (image->out_of_memory)
        status = dt_fail_memory(err, (size_t)image->tail_capacity, "a shard of the checkpoint");
    const hid_t lists[] = {create_list, access, m.group_list, m.dataset_list};
    for (int i = 0; i < 4; i++)
        if (lists[i] >= 0)
            H5Pclose(lists[i]);
    return status;
}

static dt_status append_bytes(dt_file_writer *w, const char *from, int64_t bytes, dt_error *err)
{
    for (int64_t at = 0; at < bytes; at += TAIL_PART_BYTES) {
        const int64_t n = bytes - at < TAIL_PART_BYTES ? bytes - at : TAIL_PART_BYTES;
        memcpy(dt_file_writer_room(w, n), from + at, (size_t)n);
        DT_TRY(dt_file_writer_append(w, n, err));
    }
    return DT_OK;
}

/* io->get brings a tensor into the canonical order where the writer takes it from: there is no other copy. */
static dt_status append_values(dt_file_writer *w, const dt_state_layout *layout, const dt_state_io *io,
                               int64_t first, int64_t n_elems, dt_error *err)
{
    int64_t cursor = 0;
    dt_hdf5_piece p;
    while (dt_hdf5_next_piece(layout, first, n_elems, &cursor, &p)) {
        float *room = dt_file_writer_room(w, p.tensor->n_elems * (int64_t)sizeof *room);
        DT_TRY(io->get(io->context, p.index, room, err));
        if (p.first > 0)
            memmove(room, room + p.first, (size_t)p.n_elems * sizeof *room);
        DT_TRY(dt_file_writer_append(w, p.n_elems * (int64_t)sizeof *room, err));
    }
    return DT_OK;
}

static int64_t longest_tensor(const dt_state_layout *layout, int64_t first, int64_t n_elems)
{
    int64_t cursor = 0, longest = 0;
    dt_hdf5_piece p;
    while (dt_hdf5_next_piece(layout, first, n_elems, &cursor, &p))
        longest = p.tensor->n_elems > longest ? p.tensor->n_elems : longest;
    return longest;
}

static dt_status write_image(const dt_hdf5_image *image, int fd, const dt_state_layout *layout,
                             const dt_state_io *io, int64_t first, int64_t n_elems,
                             dt_file_writer_memory *memory, char hex[33], dt_error *err)
{
    const int64_t largest = longest_tensor(layout, first, n_elems) * (int64_t)sizeof(float);
    const dt_file_writer_options options = {.fd = fd,
                                            .path = image->path,
                                            .bytes =
                                                image->head_bytes + image->data_bytes + image->tail_bytes,
                                            .largest = largest > TAIL_PART_BYTES ? largest : TAIL_PART_BYTES,
                                            .memory = memory,
                                            .fault_write = "store.write",
                                            .fault_space = "store.space",
                                            .fault_fsync = "store.fsync",
                                            .fault_hash = "store.hash"};
    dt_file_writer *w = NULL;
    DT_TRY(dt_file_writer_create(&options, &w, err));
    dt_status status = append_bytes(w, image->head, image->head_bytes, err);
    if (status == DT_OK)
        status = append_values(w, layout, io, first, n_elems, err);
    if (status == DT_OK)
        status = append_bytes(w, image->tail, image->tail_bytes, err);
    if (status == DT_OK)
        status = dt_file_writer_finish(w, hex, err);
    if (status == DT_OK)
        status = dt_file_writer_sync_and_check(w, err);
    dt_file_writer_destroy(w);
    return status;
}

dt_status dt_hdf5_shard_write(int fd, const char *path, int64_t step, const dt_state_layout *layout,
                              const dt_state_io *io, int64_t first, int64_t n_elems,
                              dt_file_writer_memory *memory, int64_t *bytes, char hex[33], dt_error *err)
{
    char head[DT_HDF5_VALUES_AT] = {0};
    dt_hdf5_image image = {.path = path,
                           .head = head,
                           .head_bytes = sizeof head,
                           .data_bytes = n_elems * (int64_t)sizeof(float)};
    dt_hdf5_lock();
    dt_status status = make_image(&image, step, layout, first, n_elems, err);
    dt_hdf5_unlock();
    if (status == DT_OK)
        status = write_image(&image, fd, layout, io, first, n_elems, memory, hex, err);
    *bytes = dt_hdf5_image_bytes(&image);
    dt_free(image.tail);
    return status;
}
