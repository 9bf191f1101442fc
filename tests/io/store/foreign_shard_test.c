/* Shards that dtrain did not write, in checkpoints whose hashes are right: each is refused before an element is
 * read, whatever HDF5 would do with it. */
#include "core/base/alloc.h"
#include "io/durable.h"
#include "io/store/hdf5_shard.h"
#include "io/store/manifest_json.h"
#include "tests/io/store/store_kit.h"
#include "tests/testing.h"

#include <fcntl.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define TENSOR "param/bn1.weight"
enum { LENGTH = 16, STEP = 5 };

static fake_state state;

static const char *shard_path(void)
{
    return dt_test_path("%s/step-00000005/shard-0000-of-0001.h5", dt_test_temp_dir());
}

static const char *other_path(void)
{
    return dt_test_path("%s/other", dt_test_temp_dir());
}

/* -- forging ---------------------------------------------------------------------------------------------- */

/* Give the manifest the size and hash of the file, and its own hash. */
static void forge_manifest(dt_store *store)
{
    dt_manifest m = {0};
    char *text = NULL;
    int64_t bytes = 0;
    size_t n = 0;
    DT_REQUIRE(store->ops->read_manifest(store, STEP, &m, NULL) == DT_OK);
    char *file = dt_test_read_file(shard_path(), &n);
    m.shards[0].bytes = (int64_t)n;
    dt_durable_hash_memory(file, (int64_t)n, m.shards[0].xxh3_128);
    DT_REQUIRE(dt_manifest_write(&m, &text, &bytes, NULL) == DT_OK);
    dt_test_write_file(dt_test_path("%s/step-00000005/manifest.json", dt_test_temp_dir()), text,
                       (size_t)bytes);
    dt_free(text);
    free(file);
    dt_manifest_clear(&m);
}

/* The status of verify_shard; read_shard returns the same. */
static dt_status verify(dt_store *store, float *values, dt_error *err)
{
    dt_manifest m = {0};
    DT_TRY(store->ops->read_manifest(store, STEP, &m, err));
    dt_status status = store->ops->verify_shard(store, &m, &m.shards[0], err);
    DT_CHECK_INT(store->ops->read_shard(store, &m, &m.shards[0], values, NULL), status);
    dt_manifest_clear(&m);
    return status;
}

static hid_t open_with(const char *path, unsigned flags, H5F_libver_t low)
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
    const int64_t first = 0, shape = LENGTH;
    const hsize_t one = 1;
    H5Ldelete(h5, TENSOR, H5P_DEFAULT);
    hid_t space = H5Screate_simple(rank, dims, most), scalar = H5Screate(H5S_SCALAR),
          line = H5Screate_simple(1, &one, NULL);
    hid_t dataset = H5Dcreate2(h5, TENSOR, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    DT_REQUIRE(dataset >= 0);
    hid_t a = H5Acreate2(dataset, "first_element", H5T_STD_I64LE, scalar, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(a, H5T_NATIVE_INT64, &first);
    H5Aclose(a);
    a = H5Acreate2(dataset, "shape", H5T_STD_I64LE, line, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(a, H5T_NATIVE_INT64, &shape);
    H5Aclose(a);
    if (H5Tequal(type, H5T_IEEE_F32LE) > 0)
        H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, state.values);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Sclose(scalar);
    H5Sclose(line);
}

static void replace_with(hid_t h5, hid_t type, hid_t list)
{
    const hsize_t length = LENGTH;
    replace(h5, type, 1, &length, NULL, list);
    if (list != H5P_DEFAULT)
        H5Pclose(list);
}

static void external_storage(hid_t h5)
{
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    dt_test_write_file(other_path(), "another file's bytes, which nobody meant to export....................",
                       70);
    H5Pset_external(list, other_path(), 0, LENGTH * sizeof(float));
    replace_with(h5, H5T_IEEE_F32LE, list);
}

static void external_storage_in_a_fifo(hid_t h5)
{
    external_storage(h5);
    unlink(other_path());
    DT_REQUIRE(mkfifo(other_path(), 0600) == 0);
}

static void virtual_dataset(hid_t h5)
{
    const hsize_t length = LENGTH;
    hid_t space = H5Screate_simple(1, &length, NULL), list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_virtual(list, space, other_path(), "/x", space);
    replace_with(h5, H5T_IEEE_F32LE, list);
    H5Sclose(space);
}

static void virtual_dataset_of_this_file(hid_t h5)
{
    const hsize_t length = LENGTH;
    hid_t space = H5Screate_simple(1, &length, NULL), list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_virtual(list, space, ".", "/steps", space);
    replace_with(h5, H5T_IEEE_F32LE, list);
    H5Sclose(space);
}

static void external_link(hid_t h5)
{
    H5Ldelete(h5, TENSOR, H5P_DEFAULT);
    H5Lcreate_external(other_path(), "/x", h5, TENSOR, H5P_DEFAULT, H5P_DEFAULT);
}

static void soft_link(hid_t h5)
{
    H5Lmove(h5, TENSOR, h5, "param/moved", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/param/moved", h5, TENSOR, H5P_DEFAULT, H5P_DEFAULT);
}

static void soft_link_to_itself(hid_t h5)
{
    H5Ldelete(h5, TENSOR, H5P_DEFAULT);
    H5Lcreate_soft("/" TENSOR, h5, TENSOR, H5P_DEFAULT, H5P_DEFAULT);
}

static void user_defined_link(hid_t h5)
{
    H5Ldelete(h5, TENSOR, H5P_DEFAULT);
    hid_t group = H5Gopen2(h5, "param", H5P_DEFAULT);
    H5Lcreate_ud(group, "bn1.weight", H5L_TYPE_EXTERNAL, "\0other\0/x", 10, H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(group);
}

static void hard_link_to_another_tensor(hid_t h5)
{
    H5Ldelete(h5, TENSOR, H5P_DEFAULT);
    H5Lcreate_hard(h5, "param/fc.weight", h5, TENSOR, H5P_DEFAULT, H5P_DEFAULT);
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
    hid_t list = chunked(LENGTH);
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
    const hsize_t length = LENGTH, most = H5S_UNLIMITED;
    hid_t list = chunked((hsize_t)1000 << 20);
    replace(h5, H5T_IEEE_F32BE, 1, &length, &most, list);
    H5Pclose(list);
}

static void plugin_filter(hid_t h5)
{
    hid_t list = chunked(LENGTH);
    H5Pset_filter(list, 32000, H5Z_FLAG_OPTIONAL, 0, NULL);
    replace_with(h5, H5T_IEEE_F32LE, list);
}

static void checksum_filter(hid_t h5)
{
    hid_t list = chunked(LENGTH);
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
    const hsize_t length = LENGTH;
    const int64_t first = 0, shape = LENGTH;
    replace_with(h5, H5T_IEEE_F32LE, H5P_DEFAULT);
    H5Ldelete(h5, TENSOR, H5P_DEFAULT);
    hid_t space = H5Screate_simple(1, &length, NULL), list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_alloc_time(list, H5D_ALLOC_TIME_LATE);
    hid_t d = H5Dcreate2(h5, TENSOR, H5T_IEEE_F32LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
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
    const hsize_t length = LENGTH + 1;
    replace(h5, H5T_IEEE_F32LE, 1, &length, NULL, H5P_DEFAULT);
}

static void extensible(hid_t h5)
{
    const hsize_t length = LENGTH, most = H5S_UNLIMITED;
    hid_t list = chunked(LENGTH);
    replace(h5, H5T_IEEE_F32LE, 1, &length, &most, list);
    H5Pclose(list);
}

static void missing(hid_t h5)
{
    H5Ldelete(h5, TENSOR, H5P_DEFAULT);
}

static void renamed(hid_t h5)
{
    H5Lmove(h5, TENSOR, h5, "param/bn1.bias", H5P_DEFAULT, H5P_DEFAULT);
}

static void one_more(hid_t h5)
{
    H5Ocopy(h5, TENSOR, h5, "param/copy", H5P_DEFAULT, H5P_DEFAULT);
}

static void empty_group(hid_t h5)
{
    H5Gclose(H5Gcreate2(h5, "empty", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

static void tensor_that_is_a_group(hid_t h5)
{
    H5Ldelete(h5, TENSOR, H5P_DEFAULT);
    H5Gclose(H5Gcreate2(h5, TENSOR, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

static void add_attribute(hid_t h5, const char *object, const char *name, hid_t type, hsize_t length,
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
    add_attribute(h5, TENSOR, "more", H5T_NATIVE_INT64, 1, &n);
}

static void attribute_of_a_group(hid_t h5)
{
    const int64_t n = 1;
    add_attribute(h5, "param", "more", H5T_NATIVE_INT64, 1, &n);
}

static void attribute_of_the_root(hid_t h5)
{
    const int64_t n = 1;
    add_attribute(h5, "/", "more", H5T_NATIVE_INT64, 1, &n);
}

static void another_step(hid_t h5)
{
    const int64_t n = STEP + 1;
    add_attribute(h5, "/", "step", H5T_NATIVE_INT64, 0, &n);
}

static void another_first_element(hid_t h5)
{
    const int64_t n = 1;
    add_attribute(h5, TENSOR, "first_element", H5T_NATIVE_INT64, 0, &n);
}

static void attribute_of_another_type(hid_t h5)
{
    const double n = LENGTH;
    add_attribute(h5, TENSOR, "shape", H5T_NATIVE_DOUBLE, 1, &n);
}

/* Too long for the values that are expected. */
static void long_attribute(hid_t h5)
{
    int64_t n[1000] = {LENGTH};
    add_attribute(h5, TENSOR, "shape", H5T_NATIVE_INT64, 1000, n);
}

static void string_attribute(hid_t h5)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    add_attribute(h5, TENSOR, "shape", type, 1, NULL);
    H5Tclose(type);
}

static const struct {
    const char *name;
    void (*edit)(hid_t h5);
    const char *message;
    H5F_libver_t low;
} edits[] = {
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

/* Check that the forged shard is refused with this message. */
static void check_refused(dt_store *store, const char *what, const char *message)
{
    dt_error err = {0};
    float *values = calloc((size_t)state.layout.n_elems, sizeof *values);
    forge_manifest(store);
    DT_CHECK_MSG(verify(store, values, &err) == DT_ERR_FORMAT, "%s was accepted", what);
    DT_CHECK_CONTAINS(err.message, message);
    DT_CHECK_CONTAINS(err.message, "shard-0000-of-0001.h5: ");
    for (int64_t i = 0; i < state.layout.n_elems; i++)
        DT_REQUIRE_MSG(values[i] == 0, "%s: elements were read", what);
    free(values);
}

static void what_dtrain_did_not_write_is_refused(void)
{
    dt_store *store = store_kit_open(dt_test_temp_dir());
    struct rusage before, after;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        unlink(other_path());
        store_kit_check_saved(store, &state, STEP, 1);
        hid_t h5 = open_with(shard_path(), H5F_ACC_RDWR, edits[i].low);
        edits[i].edit(h5);
        H5Fclose(h5);
        getrusage(RUSAGE_SELF, &before); /* the peak so far: what the library took to write the file counts */
        check_refused(store, edits[i].name, edits[i].message);
        getrusage(RUSAGE_SELF, &after);
        DT_CHECK_MSG(after.ru_maxrss - before.ru_maxrss < 16 << 10, "%s took %ld kB", edits[i].name,
                     after.ru_maxrss - before.ru_maxrss);
    }
    store->ops->destroy(store);
}

/* -- whole files ------------------------------------------------------------------------------------------ */

/* Copy everything into a new file made with these lists. */
static void copy_into(hid_t create, H5F_libver_t low, H5F_libver_t high)
{
    static const char *const objects[] = {"param", "momentum", "buffer", "steps"};
    const int64_t first = 0;
    const char *copy = dt_test_path("%s/copy.h5", dt_test_temp_dir());
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, low, high);
    hid_t from = open_with(shard_path(), H5F_ACC_RDONLY, H5F_LIBVER_V18),
          to = H5Fcreate(copy, H5F_ACC_TRUNC, create, access);
    DT_REQUIRE(to >= 0);
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++)
        DT_REQUIRE(H5Ocopy(from, objects[i], to, objects[i], H5P_DEFAULT, H5P_DEFAULT) >= 0);
    const int64_t step = STEP, n_elems = state.layout.n_elems;
    add_attribute(to, "/", "step", H5T_NATIVE_INT64, 0, &step);
    add_attribute(to, "/", "first_element", H5T_NATIVE_INT64, 0, &first);
    add_attribute(to, "/", "n_elements", H5T_NATIVE_INT64, 0, &n_elems);
    H5Fclose(from);
    H5Fclose(to);
    H5Pclose(access);
    DT_REQUIRE(rename(copy, shard_path()) == 0);
}

static void copies_in_the_same_format_are_accepted(void)
{
    dt_error err = {0};
    dt_store *store = store_kit_open(dt_test_temp_dir());
    float *values = calloc((size_t)state.layout.n_elems, sizeof *values);
    store_kit_check_saved(store, &state, STEP, 1);
    copy_into(H5P_DEFAULT, H5F_LIBVER_V18, H5F_LIBVER_V18);
    forge_manifest(store);
    DT_CHECK_MSG(verify(store, values, &err) == DT_OK, "%s", err.message);
    DT_CHECK_BYTES(values, state.values, (size_t)state.layout.n_elems * sizeof *values);
    free(values);
    store->ops->destroy(store);
}

static void other_kinds_of_hdf5_files_are_refused(void)
{
    dt_store *store = store_kit_open(dt_test_temp_dir());
    hid_t create = H5Pcreate(H5P_FILE_CREATE);
    store_kit_check_saved(store, &state, STEP, 1);
    copy_into(H5P_DEFAULT, H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST);
    check_refused(store, "superblock 0", "superblock of version 2");
    store_kit_check_saved(store, &state, STEP, 1);
    copy_into(H5P_DEFAULT, H5F_LIBVER_V110, H5F_LIBVER_LATEST);
    check_refused(store, "superblock 3", "superblock of version 2");
    store_kit_check_saved(store, &state, STEP, 1);
    H5Pset_userblock(create, 512);
    copy_into(create, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
    check_refused(store, "a user block", "superblock of version 2");
    store_kit_check_saved(store, &state, STEP, 1);
    H5Pset_userblock(create, 0);
    H5Pset_file_space_strategy(create, H5F_FSPACE_STRATEGY_PAGE, true, 1);
    copy_into(create, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
    check_refused(store, "a file-space strategy", ": dtrain did not write this shard");
    H5Pclose(create);
    create = H5Pcreate(H5P_FILE_CREATE);
    store_kit_check_saved(store, &state, STEP, 1);
    H5Pset_shared_mesg_nindexes(create, 1);
    H5Pset_shared_mesg_index(create, 0, H5O_SHMESG_ALL_FLAG, 10);
    copy_into(create, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
    check_refused(store, "shared messages", "has an extension of its superblock");
    H5Pclose(create);
    store->ops->destroy(store);
}

static void files_of_another_length_are_refused(void)
{
    dt_store *store = store_kit_open(dt_test_temp_dir());
    size_t n = 0;
    store_kit_check_saved(store, &state, STEP, 1);
    char *whole = dt_test_read_file(shard_path(), &n), *longer_file = calloc(1, n + (1 << 20));
    memcpy(longer_file, whole, n);
    dt_test_write_file(shard_path(), whole, (size_t)state.layout.n_elems * sizeof(float));
    check_refused(store, "a file of elements only", "cannot be a shard of 2944 elements");
    dt_test_write_file(shard_path(), whole, n - 100);
    check_refused(store, "a file cut short", "does not end where its superblock says");
    dt_test_write_file(shard_path(), longer_file, n + 100);
    check_refused(store, "a file with more bytes", "does not end where its superblock says");
    dt_test_write_file(shard_path(), longer_file, n + (1 << 20));
    check_refused(store, "a large file", "cannot be a shard");
    memset(longer_file, 'x', n);
    dt_test_write_file(shard_path(), longer_file, n);
    check_refused(store, "a text", "does not begin with HDF5's superblock");
    free(whole);
    free(longer_file);
    store->ops->destroy(store);
}

/* -- many tensors ----------------------------------------------------------------------------------------- */

static dt_status get_name(void *context, int64_t tensor, float *canonical, dt_error *err)
{
    (void)context, (void)err;
    canonical[0] = (float)tensor;
    return DT_OK;
}

/* The links of a group are in its header, in one block of a heap, or in several rows of blocks. */
static void groups_of_any_number_of_tensors_are_read(void)
{
    enum { MOST = 3000 };
    static dt_state_tensor tensors[MOST];
    static float values[MOST];
    for (int i = 0; i < MOST; i++) {
        tensors[i] = (dt_state_tensor){.n_dims = 1, .dims = {1}, .n_elems = 1, .first = i};
        snprintf(tensors[i].name, sizeof tensors[i].name, "%s/layer%d.%d.conv1.weight",
                 i % 7 ? "param" : "momentum", i / 10, i % 10);
    }
    for (int64_t n = 1; n <= MOST; n += n < 40 ? 1 : n / 2) {
        const dt_state_layout layout = {n, n, tensors};
        const dt_state_io io = {.get = get_name};
        const dt_hdf5_expected expected = {&layout, STEP, 0, n};
        dt_error err = {0};
        char hex[33];
        int64_t bytes = 0;
        FILE *f = tmpfile();
        DT_REQUIRE(f &&
                   dt_hdf5_shard_write(fileno(f), "x", STEP, &layout, &io, 0, n, &bytes, hex, &err) == DT_OK);
        dt_status status = dt_hdf5_shard_read(fileno(f), "x", bytes, hex, &expected, values, &err);
        DT_CHECK_MSG(status == DT_OK, "%lld tensors: %s", (long long)n, err.message);
        for (int64_t i = 0; i < n && status == DT_OK; i++)
            DT_REQUIRE(values[i] == (float)i);
        fclose(f);
    }
}

/* -- bytes ------------------------------------------------------------------------------------------------ */

/* DT_TEST_MUTATIONS: how many, 400 unless it says otherwise. Accepted is only what holds other elements. */
static void flipped_bytes_with_a_good_hash_do_no_harm(void)
{
    const char *wanted = getenv("DT_TEST_MUTATIONS");
    const int n_mutations = wanted ? atoi(wanted) : 400;
    dt_store *store = store_kit_open(dt_test_temp_dir());
    size_t n = 0;
    uint64_t x = 88172645463325252u;
    float *values = calloc((size_t)state.layout.n_elems, sizeof *values);
    store_kit_check_saved(store, &state, STEP, 1);
    char *whole = dt_test_read_file(shard_path(), &n);
    for (int i = 0; i < n_mutations; i++) {
        char *mutant = malloc(n);
        memcpy(mutant, whole, n);
        for (int k = 0; k < 1 + i % 4; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            mutant[x % n] = i % 2 ? (char)(x >> 32) : (char)(mutant[x % n] ^ 1 << (x >> 40 & 7));
        }
        dt_test_write_file(shard_path(), mutant, n);
        forge_manifest(store);
        (void)verify(store, values, NULL);
        free(mutant);
    }
    free(whole);
    free(values);
    store->ops->destroy(store);
}

void dt_test_set_up(void)
{
    fake_state_init(&state, 1);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void dt_test_tear_down(void)
{
    fake_state_clear(&state);
}

static const dt_test tests[] = {
    DT_TEST(what_dtrain_did_not_write_is_refused),     DT_TEST(copies_in_the_same_format_are_accepted),
    DT_TEST(other_kinds_of_hdf5_files_are_refused),    DT_TEST(files_of_another_length_are_refused),
    DT_TEST(groups_of_any_number_of_tensors_are_read), DT_TEST(flipped_bytes_with_a_good_hash_do_no_harm),
};
DT_TEST_MAIN("io/store/foreign_shard", tests)
