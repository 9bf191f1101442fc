#include "io/store/hdf5_check.h"

#include "core/base/alloc.h"
#include "io/durable.h"
#include "io/store/hdf5_piece.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The least and the most that a shard can have beyond its elements. One dataset, with its part of the group's
 * index, takes about 330 bytes. */
enum { SUPERBLOCK_BYTES = 48, MOST_BYTES_BESIDE = 64 << 10, MOST_BYTES_OF_A_PIECE = 4 << 10 };
enum { SHARD_ATTRIBUTES = 3, MAX_DEPTH = 8 };

typedef struct named_piece {
    dt_hdf5_piece piece;
    int64_t n; /* its number in the stream */
} named_piece;

typedef struct check {
    const dt_hdf5_image *file;
    const dt_hdf5_expected *expected;
    named_piece *pieces; /* [n_pieces], by name */
    dt_hdf5_place *places;
    int64_t n_pieces, n_datasets, n_groups;
    char path[DT_STATE_NAME_BYTES]; /* of the group that is being checked; "": the root */
    int depth;
    dt_status status; /* of the objects so far */
    dt_error *err;
} check;

/* Fail with "FILE: OBJECT WHAT: dtrain did not write this shard". */
static dt_status refuse(const check *c, const char *object, const char *what)
{
    return dt_fail(c->err, DT_ERR_FORMAT, "%s: %s %s: dtrain did not write this shard", c->file->path,
                   object[0] ? object : "the file", what);
}

/* -- before HDF5 sees the file ---------------------------------------------------------------------------- */

static uint64_t little_endian(const unsigned char *bytes)
{
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | bytes[i];
    return n;
}

/* Version 2 of the superblock, which all versions of HDF5 write for the format that shards have: signature,
 * version, sizes of offsets and lengths, flags; base address, extension, end of file, root group. */
static dt_status check_superblock(const check *c)
{
    static const unsigned char begin[] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1A, '\n', 2, 8, 8, 0};
    unsigned char block[SUPERBLOCK_BYTES];
    dt_hdf5_image_read(c->file, 0, SUPERBLOCK_BYTES, block);
    if (memcmp(block, begin, sizeof begin) != 0)
        return refuse(c, "", "does not begin with HDF5's superblock of version 2");
    if (little_endian(block + 12) != 0)
        return refuse(c, "", "has a user block");
    if (little_endian(block + 20) != UINT64_MAX)
        return refuse(c, "", "has an extension of its superblock");
    if (little_endian(block + 28) != (uint64_t)dt_hdf5_image_bytes(c->file))
        return refuse(c, "", "does not end where its superblock says");
    return DT_OK;
}

/* -- objects ---------------------------------------------------------------------------------------------- */

typedef struct object_info {
    bool is_group, is_dataset;
    int64_t n_links, n_attributes;
} object_info;

static bool get_info(hid_t object, object_info *info)
{
#if H5_VERSION_GE(1, 12, 0)
    H5O_info2_t o;
    const bool ok = H5Oget_info3(object, &o, H5O_INFO_BASIC | H5O_INFO_NUM_ATTRS) >= 0;
#elif H5_VERSION_GE(1, 10, 3)
    H5O_info_t o;
    const bool ok = H5Oget_info2(object, &o, H5O_INFO_BASIC | H5O_INFO_NUM_ATTRS) >= 0;
#else
    H5O_info_t o;
    const bool ok = H5Oget_info(object, &o) >= 0;
#endif
    if (ok)
        *info = (object_info){o.type == H5O_TYPE_GROUP, o.type == H5O_TYPE_DATASET, (int64_t)o.rc,
                              (int64_t)o.num_attrs};
    return ok;
}

static bool is_type(hid_t type, hid_t expected)
{
    return type >= 0 && H5Tcommitted(type) == 0 && H5Tequal(type, expected) > 0;
}

static bool is_space(hid_t space, const int64_t *dims, int n_dims)
{
    hsize_t now[H5S_MAX_RANK] = {0}, most[H5S_MAX_RANK] = {0};
    if (space < 0 || H5Sget_simple_extent_type(space) != (n_dims ? H5S_SIMPLE : H5S_SCALAR) ||
        H5Sget_simple_extent_ndims(space) != n_dims || H5Sget_simple_extent_dims(space, now, most) != n_dims)
        return false;
    for (int d = 0; d < n_dims; d++)
        if (now[d] != (hsize_t)dims[d] || most[d] != now[d])
            return false;
    return true;
}

/* Whether attribute `name` is of 64-bit integers with exactly these n values; n 0: a scalar. */
static bool attribute_is(hid_t object, const char *name, const int64_t *expected, int n)
{
    int64_t values[DT_STATE_MAX_DIMS] = {0}, length = n;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (attribute < 0)
        return false;
    hid_t space = H5Aget_space(attribute), type = H5Aget_type(attribute);
    const bool same = is_type(type, H5T_STD_I64LE) && is_space(space, &length, n ? 1 : 0) &&
                      H5Aread(attribute, H5T_NATIVE_INT64, values) >= 0 &&
                      memcmp(values, expected, (size_t)(n ? n : 1) * sizeof *values) == 0;
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    H5Aclose(attribute);
    return same;
}

/* Reads nothing of what the properties refer to. H5Dget_space comes later: it opens the files of a virtual
 * dataset. NULL: the dataset is stored as dtrain does. */
static const char *find_foreign_storage(hid_t dataset)
{
    hid_t list = H5Dget_create_plist(dataset);
    H5D_fill_value_t fill = H5D_FILL_VALUE_ERROR;
    const char *what = NULL;
    if (list < 0)
        what = "cannot be read";
    else if (H5Pget_layout(list) != H5D_CONTIGUOUS)
        what = "is not stored in one piece (chunked, compact or virtual)";
    else if (H5Pget_external_count(list) != 0)
        what = "has its elements in other files";
    else if (H5Pget_nfilters(list) != 0)
        what = "is compressed or filtered";
    else if (H5Pfill_value_defined(list, &fill) < 0 || fill == H5D_FILL_VALUE_USER_DEFINED)
        what = "has a fill value";
    if (list >= 0)
        H5Pclose(list);
    return what;
}

static const char *find_problem_of_dataset(const check *c, hid_t dataset, const object_info *info,
                                           const dt_hdf5_piece *p, dt_hdf5_place *place)
{
    int64_t dims[DT_STATE_MAX_DIMS];
    const int n_dims = dt_hdf5_piece_dims(p, dims);
    const int64_t bytes = p->n_elems * (int64_t)sizeof(float), end = dt_hdf5_image_bytes(c->file);
    const char *what = find_foreign_storage(dataset);
    if (what)
        return what;
    const haddr_t at = H5Dget_offset(dataset);
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    if (!is_type(type, H5T_IEEE_F32LE))
        what = "is not of 32-bit floats";
    else if (!is_space(space, dims, n_dims))
        what = "has another shape than its part of the tensor";
    else if (info->n_attributes != (p->tensor->n_dims ? 2 : 1) ||
             !attribute_is(dataset, "first_element", &p->first, 0) ||
             (p->tensor->n_dims && !attribute_is(dataset, "shape", p->tensor->dims, p->tensor->n_dims)))
        what = "is another part of the tensor, or the tensor has another shape";
    else if (at == HADDR_UNDEF || H5Dget_storage_size(dataset) != (hsize_t)bytes || at > (haddr_t)end ||
             (haddr_t)bytes > (haddr_t)end - at)
        what = "has its elements outside the file";
    else
        *place = (dt_hdf5_place){(int64_t)at, p->n_elems};
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    return what;
}

static dt_status check_dataset(check *c, hid_t dataset, const object_info *info, const named_piece *p)
{
    if (!p)
        return refuse(c, c->path, "is no tensor of the manifest");
    const char *what = find_problem_of_dataset(c, dataset, info, &p->piece, &c->places[p->n]);
    c->n_datasets++;
    return what ? refuse(c, c->path, what) : DT_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const named_piece *)a)->piece.tensor->name, ((const named_piece *)b)->piece.tensor->name);
}

static const named_piece *find_piece(const check *c, const char *name)
{
    int64_t low = 0, high = c->n_pieces;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const int order = strcmp(c->pieces[middle].piece.tensor->name, name);
        if (order == 0)
            return &c->pieces[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static dt_status check_group(check *c, hid_t group);

static dt_status check_object(check *c, hid_t object)
{
    object_info info = {0};
    if (object < 0 || !get_info(object, &info))
        return refuse(c, c->path, "cannot be opened");
    if (info.n_links != 1)
        return refuse(c, c->path, "has several links");
    if (info.is_dataset)
        return check_dataset(c, object, &info, find_piece(c, c->path));
    if (!info.is_group || info.n_attributes != 0)
        return refuse(c, c->path, "is neither a tensor nor a group of them");
    return check_group(c, object);
}

/* An H5L_iterate_t. The error of the first object that is refused ends the iteration. */
static herr_t check_link(hid_t group, const char *name, const H5L_info_t *link, void *context)
{
    check *c = context;
    const size_t length = strlen(c->path);
    const int n = snprintf(c->path + length, sizeof c->path - length, "%s%s", length ? "/" : "", name);
    if (n < 0 || (size_t)n >= sizeof c->path - length) {
        c->status = refuse(c, "an object", "has a longer name than any tensor");
    } else if (link->type != H5L_TYPE_HARD) {
        c->status = refuse(c, c->path, "is a link to another place");
    } else {
        hid_t object = H5Oopen(group, name, H5P_DEFAULT);
        c->status = check_object(c, object);
        if (object >= 0)
            H5Oclose(object);
    }
    c->path[length] = '\0';
    return c->status == DT_OK ? 0 : -1;
}

static dt_status check_group(check *c, hid_t group)
{
    H5G_info_t info;
    if (++c->depth > MAX_DEPTH || ++c->n_groups > 1 + MAX_DEPTH * c->n_pieces)
        return refuse(c, c->path, "has more groups than the tensors' names");
    if (H5Gget_info(group, &info) < 0 || info.mounted)
        return refuse(c, c->path, "cannot be listed");
    if (info.nlinks > (hsize_t)c->n_pieces)
        return refuse(c, c->path, "has more objects than the manifest");
    if (c->depth > 1 && info.nlinks == 0)
        return refuse(c, c->path, "is an empty group");
    c->status = DT_OK;
    hsize_t at = 0;
    if (H5Literate(group, H5_INDEX_NAME, H5_ITER_NATIVE, &at, check_link, c) < 0 && c->status == DT_OK)
        c->status = dt_hdf5_fail(c->err, DT_ERR_FORMAT, c->file->path, "list its objects");
    c->depth--;
    return c->status;
}

static dt_status check_root(check *c, hid_t h5)
{
    const dt_hdf5_expected *e = c->expected;
    object_info info = {0};
    hid_t root = H5Gopen2(h5, "/", H5P_DEFAULT);
    if (root < 0 || !get_info(root, &info)) {
        c->status = refuse(c, "", "has no root group");
    } else if (info.n_attributes != SHARD_ATTRIBUTES || !attribute_is(root, "step", &e->step, 0) ||
               !attribute_is(root, "first_element", &e->first, 0) ||
               !attribute_is(root, "n_elements", &e->n_elems, 0)) {
        c->status = refuse(c, "", "has other attributes than the manifest: another step or another part");
    } else {
        c->status = check_group(c, root);
    }
    if (root >= 0)
        H5Gclose(root);
    return c->status;
}

/* -- the whole -------------------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const dt_hdf5_place *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* No element belongs to two tensors. */
static dt_status check_overlaps(const check *c)
{
    const size_t bytes = (size_t)c->n_pieces * sizeof *c->places;
    dt_hdf5_place *sorted = dt_alloc(bytes);
    if (!sorted)
        return dt_fail_memory(c->err, bytes, "checking a shard");
    if (bytes)
        memcpy(sorted, c->places, bytes);
    qsort(sorted, (size_t)c->n_pieces, sizeof *sorted, by_place);
    int64_t end = SUPERBLOCK_BYTES;
    dt_status status = DT_OK;
    for (int64_t i = 0; i < c->n_pieces && status == DT_OK; i++) {
        if (sorted[i].at < end)
            status = refuse(c, "", "has two tensors in the same place");
        end = sorted[i].at + sorted[i].n_elems * (int64_t)sizeof(float);
    }
    dt_free(sorted);
    return status;
}

static dt_status check_file(check *c, dt_hdf5_image *file)
{
    hid_t access = dt_hdf5_image_access(file);
    hid_t h5 = access >= 0 ? H5Fopen(file->path, H5F_ACC_RDONLY, access) : -1;
    dt_status status =
        h5 < 0 ? dt_hdf5_fail(c->err, DT_ERR_FORMAT, file->path, "open it as HDF5") : check_root(c, h5);
    if (status == DT_OK && c->n_datasets != c->n_pieces)
        status = dt_fail(c->err, DT_ERR_FORMAT, "%s: holds %lld of its %lld tensors", file->path,
                         (long long)c->n_datasets, (long long)c->n_pieces);
    if (status != DT_OK && file->out_of_memory)
        status = dt_fail_memory(c->err, sizeof *file, "checking a shard");
    if (h5 >= 0)
        H5Fclose(h5);
    if (access >= 0)
        H5Pclose(access);
    return status;
}

static dt_status list_pieces(check *c)
{
    const dt_hdf5_expected *e = c->expected;
    int64_t cursor = 0, n = 0;
    dt_hdf5_piece p;
    while (dt_hdf5_next_piece(e->layout, e->first, e->n_elems, &cursor, &p))
        n++;
    c->pieces = dt_alloc((size_t)n * sizeof *c->pieces);
    c->places = dt_calloc((size_t)n + 1, sizeof *c->places);
    if (!c->pieces || !c->places)
        return dt_fail_memory(c->err, (size_t)n * sizeof *c->pieces, "checking a shard");
    for (cursor = 0; c->n_pieces < n; c->n_pieces++) {
        (void)dt_hdf5_next_piece(e->layout, e->first, e->n_elems, &cursor, &p);
        c->pieces[c->n_pieces] = (named_piece){p, c->n_pieces};
    }
    qsort(c->pieces, (size_t)n, sizeof *c->pieces, by_name);
    return DT_OK;
}

dt_status dt_hdf5_check_size(const char *path, int64_t bytes, const dt_hdf5_expected *e, dt_error *err)
{
    int64_t cursor = 0, most = MOST_BYTES_BESIDE;
    dt_hdf5_piece p;
    while (dt_hdf5_next_piece(e->layout, e->first, e->n_elems, &cursor, &p))
        most += MOST_BYTES_OF_A_PIECE;
    if (bytes < SUPERBLOCK_BYTES || e->n_elems > (bytes - SUPERBLOCK_BYTES) / (int64_t)sizeof(float) ||
        bytes - e->n_elems * (int64_t)sizeof(float) > most)
        return dt_fail(err, DT_ERR_FORMAT,
                       "%s: %lld bytes cannot be a shard of %lld elements: dtrain did not write this shard",
                       path, (long long)bytes, (long long)e->n_elems);
    return DT_OK;
}

dt_status dt_hdf5_check(dt_hdf5_image *file, const dt_hdf5_expected *expected, dt_hdf5_place **places,
                        int64_t *n, dt_error *err)
{
    check c = {.file = file, .expected = expected, .err = err};
    dt_status status = list_pieces(&c);
    if (status == DT_OK)
        status = check_superblock(&c);
    if (status == DT_OK) {
        dt_hdf5_lock();
        status = check_file(&c, file);
        dt_hdf5_unlock();
    }
    if (status == DT_OK)
        status = check_overlaps(&c);
    dt_free(c.pieces);
    if (status != DT_OK) {
        dt_free(c.places);
        return status;
    }
    *places = c.places;
    *n = c.n_pieces;
    return DT_OK;
}
