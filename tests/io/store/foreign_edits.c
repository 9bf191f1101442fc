/* foreign_edits.c: see foreign_edits.h. */
#include "tests/io/store/foreign_edits.h"

#include "tests/testing.h"

#include <sys/stat.h>
#include <unistd.h>

static const float values[64]; /* of the datasets that are written */

const char *foreign_other_path(void)
{
    return dt_test_path("%s/other", dt_test_temp_dir());
}

hid_t foreign_open(const char *path, unsigned flags, H5F_libver_t low)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, low, H5F_LIBVER_LATEST);
    hid_t h5 = H5Fopen(path, flags, access);
    H5Pclose(access);
    DT_REQUIRE(h5 >= 0);
    return h5;
}

/* Replace the dataset by one of this type, shape and list; it gets the right attributes. */
static void replace(hid_t h5, hid_t type, int rank, const hsize_t *dims, const hsize_t *most, hid_t list)
{
    const int64_t first = 0, shape = FOREIGN_LENGTH;
    const hsize_t one = 1;
    H5Ldelete(h5, FOREIGN_TENSOR, H5P_DEFAULT);
    hid_t space = H5Screate_simple(rank, dims, most), scalar = H5Screate(H5S_SCALAR),
          line = H5Screate_simple(1, &one, NULL);
    hid_t dataset = H5Dcreate2(h5, FOREIGN_TENSOR, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    DT_REQUIRE(dataset >= 0);
    hid_t a = H5Acreate2(dataset, "first_element", H5T_STD_I64LE, scalar, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(a, H5T_NATIVE_INT64, &first);
    H5Aclose(a);
    a = H5Acreate2(dataset, "shape", H5T_STD_I64LE, line, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(a, H5T_NATIVE_INT64, &shape);
    H5Aclose(a);
    if (H5Tequal(type, H5T_IEEE_F32LE) > 0)
        H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Sclose(scalar);
    H5Sclose(line);
}

static void replace_with(hid_t h5, hid_t type, hid_t list)
{
    const hsize_t length = FOREIGN_LENGTH;
    replace(h5, type, 1, &length, NULL, list);
    if (list != H5P_DEFAULT)
        H5Pclose(list);
}

static void external_storage(hid_t h5)
{
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    dt_test_write_file(foreign_other_path(),
                       "another file's bytes, which nobody meant to export....................", 70);
    H5Pset_external(list, foreign_other_path(), 0, FOREIGN_LENGTH * sizeof(float));
    replace_with(h5, H5T_IEEE_F32LE, list);
}

static void external_storage_in_a_fifo(hid_t h5)
{
    external_storage(h5);
    unlink(foreign_other_path());
    DT_REQUIRE(mkfifo(foreign_other_path(), 0600) == 0);
}

static void virtual_dataset(hid_t h5)
{
    const hsize_t length = FOREIGN_LENGTH;
    hid_t space = H5Screate_simple(1, &length, NULL), list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_virtual(list, space, foreign_other_path(), "/x", space);
    replace_with(h5, H5T_IEEE_F32LE, list);
    H5Sclose(space);
}

static void virtual_dataset_of_this_file(hid_t h5)
{
    const hsize_t length = FOREIGN_LENGTH;
    hid_t space = H5Screate_simple(1, &length, NULL), list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_virtual(list, space, ".", "/steps", space);
    replace_with(h5, H5T_IEEE_F32LE, list);
    H5Sclose(space);
}

static void external_link(hid_t h5)
{
    H5Ldelete(h5, FOREIGN_TENSOR, H5P_DEFAULT);
    H5Lcreate_external(foreign_other_path(), "/x", h5, FOREIGN_TENSOR, H5P_DEFAULT, H5P_DEFAULT);
}

static void soft_link(hid_t h5)
{
    H5Lmove(h5, FOREIGN_TENSOR, h5, "param/moved", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/param/moved", h5, FOREIGN_TENSOR, H5P_DEFAULT, H5P_DEFAULT);
}

static void soft_link_to_itself(hid_t h5)
{
    H5Ldelete(h5, FOREIGN_TENSOR, H5P_DEFAULT);
    H5Lcreate_soft("/" FOREIGN_TENSOR, h5, FOREIGN_TENSOR, H5P_DEFAULT, H5P_DEFAULT);
}

static void user_defined_link(hid_t h5)
{
    H5Ldelete(h5, FOREIGN_TENSOR, H5P_DEFAULT);
    hid_t group = H5Gopen2(h5, "param", H5P_DEFAULT);
    H5Lcreate_ud(group, "bn1.weight", H5L_TYPE_EXTERNAL, "\0other\0/x", 10, H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(group);
}

static void hard_link_to_another_tensor(hid_t h5)
{
    H5Ldelete(h5, FOREIGN_TENSOR, H5P_DEFAULT);
    H5Lcreate_hard(h5, "param/fc.weight", h5, FOREIGN_TENSOR, H5P_DEFAULT, H5P_DEFAULT);
}

static void group_that_contains_itself(hid_t h5)
{
    H5Lcreate_hard(h5, "/param", h5, "param/param", H5P_DEFAULT, H5P_DEFAULT);
}

static hid_t chunked(hsize_t length)
{
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(list, 1, &length);
    return list;
}

static void chunks(hid_t h5)
{
    replace_with(h5, H5T_IEEE_F32LE, chunked(4));
}

static void deflate(hid_t h5)
{
    hid_t list = chunked(FOREIGN_LENGTH);
    H5Pset_deflate(list, 9);
    replace_with(h5, H5T_IEEE_F32LE, list);
}

/* 2 GB of zeros in a few bytes. */
static void deflate_bomb(hid_t h5)
{
    const hsize_t length = (hsize_t)512 << 20;
    hid_t list = chunked((hsize_t)256 << 20);
    H5Pset_deflate(list, 1);
    H5Pset_fill_time(list, H5D_FILL_TIME_IFSET);
    replace(h5, H5T_IEEE_F32BE, 1, &length, NULL, list);
    H5Pclose(list);
}

static void huge_chunk(hid_t h5)
{
    const hsize_t length = FOREIGN_LENGTH, most = H5S_UNLIMITED;
    hid_t list = chunked((hsize_t)1000 << 20);
    replace(h5, H5T_IEEE_F32BE, 1, &length, &most, list);
    H5Pclose(list);
}

static void plugin_filter(hid_t h5)
{
    hid_t list = chunked(FOREIGN_LENGTH);
    H5Pset_filter(list, 32000, H5Z_FLAG_OPTIONAL, 0, NULL);
    replace_with(h5, H5T_IEEE_F32LE, list);
}

static void checksum_filter(hid_t h5)
{
    hid_t list = chunked(FOREIGN_LENGTH);
    H5Pset_fletcher32(list);
    H5Pset_shuffle(list);
    replace_with(h5, H5T_IEEE_F32LE, list);
}

static void compact(hid_t h5)
{
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_layout(list, H5D_COMPACT);
    replace_with(h5, H5T_IEEE_F32LE, list);
}

static void fill_value(hid_t h5)
{
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    const float one = 1;
    H5Pset_fill_value(list, H5T_NATIVE_FLOAT, &one);
    replace_with(h5, H5T_IEEE_F32LE, list);
}

/* Contiguous, but no space was ever allocated. */
static void no_elements(hid_t h5)
{
    const hsize_t length = FOREIGN_LENGTH;
    const int64_t first = 0, shape = FOREIGN_LENGTH;
    replace_with(h5, H5T_IEEE_F32LE, H5P_DEFAULT);
    H5Ldelete(h5, FOREIGN_TENSOR, H5P_DEFAULT);
    hid_t space = H5Screate_simple(1, &length, NULL), list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_alloc_time(list, H5D_ALLOC_TIME_LATE);
    hid_t d = H5Dcreate2(h5, FOREIGN_TENSOR, H5T_IEEE_F32LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
    const hsize_t one = 1;
    hid_t scalar = H5Screate(H5S_SCALAR), line = H5Screate_simple(1, &one, NULL);
    hid_t a = H5Acreate2(d, "first_element", H5T_STD_I64LE, scalar, H5P_DEFAULT, H5P_DEFAULT),
          b = H5Acreate2(d, "shape", H5T_STD_I64LE, line, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(a, H5T_NATIVE_INT64, &first);
    H5Awrite(b, H5T_NATIVE_INT64, &shape);
    H5Aclose(a), H5Aclose(b), H5Dclose(d), H5Sclose(space), H5Sclose(scalar), H5Sclose(line), H5Pclose(list);
}

static void doubles(hid_t h5)
{
    replace_with(h5, H5T_IEEE_F64LE, H5P_DEFAULT);
}

static void big_endian(hid_t h5)
{
    replace_with(h5, H5T_IEEE_F32BE, H5P_DEFAULT);
}

static void integers(hid_t h5)
{
    replace_with(h5, H5T_STD_I32LE, H5P_DEFAULT);
}

static void strings(hid_t h5)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    replace_with(h5, type, H5P_DEFAULT);
    H5Tclose(type);
}

static void compound(hid_t h5)
{
    hid_t type = H5Tcreate(H5T_COMPOUND, 4);
    H5Tinsert(type, "x", 0, H5T_IEEE_F32LE);
    replace_with(h5, type, H5P_DEFAULT);
    H5Tclose(type);
}

static void committed_type(hid_t h5)
{
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tcommit2(h5, "type", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    replace_with(h5, type, H5P_DEFAULT);
    H5Ldelete(h5, "type", H5P_DEFAULT);
    H5Tclose(type);
}

static void committed_type_beside(hid_t h5)
{
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tcommit2(h5, "param/type", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Tclose(type);
}

static void two_dimensions(hid_t h5)
{
    const hsize_t dims[] = {4, 4};
    replace(h5, H5T_IEEE_F32LE, 2, dims, NULL, H5P_DEFAULT);
}

static void longer(hid_t h5)
{
    const hsize_t length = FOREIGN_LENGTH + 1;
    replace(h5, H5T_IEEE_F32LE, 1, &length, NULL, H5P_DEFAULT);
}

static void extensible(hid_t h5)
{
    const hsize_t length = FOREIGN_LENGTH, most = H5S_UNLIMITED;
    hid_t list = chunked(FOREIGN_LENGTH);
    replace(h5, H5T_IEEE_F32LE, 1, &length, &most, list);
    H5Pclose(list);
}

static void missing(hid_t h5)
{
    H5Ldelete(h5, FOREIGN_TENSOR, H5P_DEFAULT);
}

static void renamed(hid_t h5)
{
    H5Lmove(h5, FOREIGN_TENSOR, h5, "param/bn1.bias", H5P_DEFAULT, H5P_DEFAULT);
}

static void one_more(hid_t h5)
{
    H5Ocopy(h5, FOREIGN_TENSOR, h5, "param/copy", H5P_DEFAULT, H5P_DEFAULT);
}

static void empty_group(hid_t h5)
{
    H5Gclose(H5Gcreate2(h5, "empty", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

static void tensor_that_is_a_group(hid_t h5)
{
    H5Ldelete(h5, FOREIGN_TENSOR, H5P_DEFAULT);
    H5Gclose(H5Gcreate2(h5, FOREIGN_TENSOR, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

void foreign_add_attribute(hid_t h5, const char *object, const char *name, hid_t type, hsize_t length,
                           const void *value)
{
    hid_t o = H5Oopen(h5, object, H5P_DEFAULT), space = H5Screate_simple(1, &length, NULL);
    if (H5Aexists(o, name) > 0)
        H5Adelete(o, name);
    hid_t a = H5Acreate2(o, name, type, length ? space : H5Screate(H5S_SCALAR), H5P_DEFAULT, H5P_DEFAULT);
    DT_REQUIRE(a >= 0);
    if (value)
        H5Awrite(a, type, value);
    H5Aclose(a);
    H5Sclose(space);
    H5Oclose(o);
}

static void attribute_of_a_tensor(hid_t h5)
{
    const int64_t n = 1;
    foreign_add_attribute(h5, FOREIGN_TENSOR, "more", H5T_NATIVE_INT64, 1, &n);
}

static void attribute_of_a_group(hid_t h5)
{
    const int64_t n = 1;
    foreign_add_attribute(h5, "param", "more", H5T_NATIVE_INT64, 1, &n);
}

static void attribute_of_the_root(hid_t h5)
{
    const int64_t n = 1;
    foreign_add_attribute(h5, "/", "more", H5T_NATIVE_INT64, 1, &n);
}

static void another_step(hid_t h5)
{
    const int64_t n = FOREIGN_STEP + 1;
    foreign_add_attribute(h5, "/", "step", H5T_NATIVE_INT64, 0, &n);
}

static void another_first_element(hid_t h5)
{
    const int64_t n = 1;
    foreign_add_attribute(h5, FOREIGN_TENSOR, "first_element", H5T_NATIVE_INT64, 0, &n);
}

static void attribute_of_another_type(hid_t h5)
{
    const double n = FOREIGN_LENGTH;
    foreign_add_attribute(h5, FOREIGN_TENSOR, "shape", H5T_NATIVE_DOUBLE, 1, &n);
}

/* Too long for the values that are expected. */
static void long_attribute(hid_t h5)
{
    int64_t n[1000] = {FOREIGN_LENGTH};
    foreign_add_attribute(h5, FOREIGN_TENSOR, "shape", H5T_NATIVE_INT64, 1000, n);
}

static void string_attribute(hid_t h5)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    foreign_add_attribute(h5, FOREIGN_TENSOR, "shape", type, 1, NULL);
    H5Tclose(type);
}

const foreign_edit foreign_edits[] = {
    {"external storage", external_storage, "has its elements in other files", H5F_LIBVER_V18},
    {"external storage in a FIFO", external_storage_in_a_fifo, "in other files", H5F_LIBVER_V18},
    {"a virtual dataset", virtual_dataset, "virtual", H5F_LIBVER_V110},
    {"a virtual dataset of this file", virtual_dataset_of_this_file, "virtual", H5F_LIBVER_V110},
    {"an external link", external_link, "has a link to another place", H5F_LIBVER_V18},
    {"a soft link", soft_link, ": dtrain did not write this shard", H5F_LIBVER_V18},
    {"a soft link to itself", soft_link_to_itself, "has a link to another place", H5F_LIBVER_V18},
    {"a user-defined link", user_defined_link, "has a link to another place", H5F_LIBVER_V18},
    {"a hard link", hard_link_to_another_tensor, "has several links", H5F_LIBVER_V18},
    {"a circle of groups", group_that_contains_itself, "has several links", H5F_LIBVER_V18},
    {"chunks", chunks, "is not stored in one piece", H5F_LIBVER_V18},
    {"deflate", deflate, "is not stored in one piece", H5F_LIBVER_V18},
    {"a deflate bomb", deflate_bomb, "is not stored in one piece", H5F_LIBVER_V18},
    {"a huge chunk", huge_chunk, "is not stored in one piece", H5F_LIBVER_V18},
    {"a plugin's filter", plugin_filter, "is not stored in one piece", H5F_LIBVER_V18},
    {"checksums", checksum_filter, "is not stored in one piece", H5F_LIBVER_V18},
    {"an extensible dataset", extensible, "is not stored in one piece", H5F_LIBVER_V18},
    {"compact storage", compact, "is not stored in one piece", H5F_LIBVER_V18},
    {"a fill value", fill_value, "has a fill value", H5F_LIBVER_V18},
    {"no elements", no_elements, "has its elements outside the file", H5F_LIBVER_V18},
    {"doubles", doubles, "is not of 32-bit floats", H5F_LIBVER_V18},
    {"big-endian floats", big_endian, "is not of 32-bit floats", H5F_LIBVER_V18},
    {"integers", integers, "is not of 32-bit floats", H5F_LIBVER_V18},
    {"strings", strings, "is not of 32-bit floats", H5F_LIBVER_V18},
    {"a compound", compound, "is not of 32-bit floats", H5F_LIBVER_V18},
    {"a committed type", committed_type, "is not of 32-bit floats", H5F_LIBVER_V18},
    {"a committed type beside", committed_type_beside, "neither a tensor nor a group", H5F_LIBVER_V18},
    {"two dimensions", two_dimensions, "has another shape", H5F_LIBVER_V18},
    {"one more element", longer, "has another shape", H5F_LIBVER_V18},
    {"a missing tensor", missing, "holds 6 of its 7 tensors", H5F_LIBVER_V18},
    {"another name", renamed, "param/bn1.bias is no tensor of the manifest", H5F_LIBVER_V18},
    {"one more tensor", one_more, "param/copy is no tensor of the manifest", H5F_LIBVER_V18},
    {"an empty group", empty_group, "empty is an empty group", H5F_LIBVER_V18},
    {"a group in place of a tensor", tensor_that_is_a_group, "is an empty group", H5F_LIBVER_V18},
    {"an attribute of a tensor", attribute_of_a_tensor, "is another part", H5F_LIBVER_V18},
    {"an attribute of a group", attribute_of_a_group, "neither a tensor nor a group", H5F_LIBVER_V18},
    {"an attribute of the root", attribute_of_the_root, "has other attributes", H5F_LIBVER_V18},
    {"another step", another_step, "another step", H5F_LIBVER_V18},
    {"another first element", another_first_element, "is another part", H5F_LIBVER_V18},
    {"an attribute of another type", attribute_of_another_type, "is another part", H5F_LIBVER_V18},
    {"a long attribute", long_attribute, "is another part", H5F_LIBVER_V18},
    {"an attribute of strings", string_attribute, "is another part", H5F_LIBVER_V18},
};

const size_t n_foreign_edits = sizeof foreign_edits / sizeof *foreign_edits;
