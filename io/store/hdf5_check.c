#include "io/store/hdf5_check.h"

#include "core/base/alloc.h"
#include "io/store/hdf5_format.h"
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
    int64_t n_pieces, n_datasets, n_links, n_links_of_group;
    uint64_t root;                  /* the address of the root group */
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

/* -- the superblock ---------------------------------------------------------------------------- */

static uint64_t little_endian(const unsigned char *bytes)
{
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | bytes[i];
    return n;
}

/* Version 2 of the superblock, which all versions of HDF5 write for the format that shards have: signature,
 * version, sizes of offsets and lengths, flags; base address, extension, end of file, root group. */
static dt_status check_superblock(check *c)
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
    c->root = little_endian(block + 36);
    return DT_OK;
}

/* -- objects
 * ---------------------------------------------------------------------------------------------- */

static bool is_space(const dt_hdf5_space *space, const int64_t *dims, int n_dims)
{
    return space->n_dims == n_dims && memcmp(space->dims, dims, (size_t)n_dims * sizeof *dims) == 0;
}

/* Whether attribute `name` is of 64-bit integers with exactly these n values; n 0: a scalar. */
static bool attribute_is(const dt_hdf5_object *o, const char *name, const int64_t *expected, int n)
{
    const int64_t length = n;
    for (int i = 0; i < o->n_attributes; i++) {
        const dt_hdf5_attribute *a = &o->attributes[i];
        if (strcmp(a->name, name) == 0)
            return a->is_int64 && is_space(&a->space, &length, n ? 1 : 0) &&
                   memcmp(a->values, expected, (size_t)(n ? n : 1) * sizeof *expected) == 0;
    }
    return false;
}

static const char *find_problem_of_dataset(const check *c, const dt_hdf5_object *o, const dt_hdf5_piece *p,
                                           dt_hdf5_place *place)
{
    int64_t dims[DT_STATE_MAX_DIMS];
    const int n_dims = dt_hdf5_piece_dims(p, dims);
    const uint64_t bytes = (uint64_t)p->n_elems * sizeof(float), end = (uint64_t)dt_hdf5_image_bytes(c->file);
    if (o->is_external)
        return "has its elements in other files";
    if (!o->is_contiguous)
        return "is not stored in one piece (chunked, compact or virtual)";
    if (o->is_filtered)
        return "is compressed or filtered";
    if (o->has_fill_value)
        return "has a fill value";
    if (!o->is_float32)
        return "is not of 32-bit floats";
    if (!is_space(&o->space, dims, n_dims))
        return "has another shape than its part of the tensor";
    if (o->n_attributes != (p->tensor->n_dims ? 2 : 1) || !attribute_is(o, "first_element", &p->first, 0) ||
        (p->tensor->n_dims && !attribute_is(o, "shape", p->tensor->dims, p->tensor->n_dims)))
        return "is another part of the tensor, or the tensor has another shape";
    if (o->bytes != bytes || o->at > end || bytes > end - o->at)
        return "has its elements outside the file";
    *place = (dt_hdf5_place){(int64_t)o->at, p->n_elems};
    return NULL;
}

static dt_status check_dataset(check *c, const dt_hdf5_object *o, const named_piece *p)
{
    if (!p)
        return refuse(c, c->path, "is no tensor of the manifest");
    const char *what = find_problem_of_dataset(c, o, &p->piece, &c->places[p->n]);
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

static dt_status check_group(check *c, const dt_hdf5_object *group);

static dt_status check_object(check *c, uint64_t at)
{
    dt_hdf5_object o;
    const char *problem = dt_hdf5_read_object(c->file, at, &o);
    if (problem)
        return refuse(c, c->path, problem);
    if (o.has_several_links)
        return refuse(c, c->path, "has several links");
    if (o.is_dataset)
        return check_dataset(c, &o, find_piece(c, c->path));
    if (!o.is_group || o.n_attributes != 0)
        return refuse(c, c->path, "is neither a tensor nor a group of them");
    return check_group(c, &o);
}

/* A dt_hdf5_visit. The first object that is refused ends it. */
static bool check_link(void *context, const dt_hdf5_link *link)
{
    check *c = context;
    const size_t length = strlen(c->path);
    const int n = snprintf(c->path + length, sizeof c->path - length, "%s%s", length ? "/" : "", link->name);
    if (n < 0 || (size_t)n >= sizeof c->path - length)
        c->status = refuse(c, "an object", "has a longer name than any tensor");
    else if (++c->n_links > (MAX_DEPTH + 1) * c->n_pieces)
        c->status = refuse(c, "", "has more objects than the manifest");
    else
        c->status = check_object(c, link->object);
    c->path[length] = '\0';
    c->n_links_of_group++;
    return c->status == DT_OK;
}

static dt_status check_group(check *c, const dt_hdf5_object *group)
{
    if (++c->depth > MAX_DEPTH)
        return refuse(c, c->path, "has more groups than the tensors' names");
    c->status = DT_OK;
    c->n_links_of_group = 0;
    const char *problem = dt_hdf5_visit_links(c->file, group, check_link, c);
    if (c->status == DT_OK && problem)
        c->status = refuse(c, c->path, problem);
    else if (c->status == DT_OK && c->depth > 1 && c->n_links_of_group == 0)
        c->status = refuse(c, c->path, "is an empty group");
    c->depth--;
    return c->status;
}

static dt_status check_root(check *c)
{
    const dt_hdf5_expected *e = c->expected;
    dt_hdf5_object root;
    const char *problem = dt_hdf5_read_object(c->file, c->root, &root);
    if (problem)
        return refuse(c, "", problem);
    if (!root.is_group || root.has_several_links)
        return refuse(c, "", "has no root group");
    if (root.n_attributes != SHARD_ATTRIBUTES || !attribute_is(&root, "step", &e->step, 0) ||
        !attribute_is(&root, "first_element", &e->first, 0) ||
        !attribute_is(&root, "n_elements", &e->n_elems, 0))
        return refuse(c, "", "has other attributes than the manifest: another step or another part");
    DT_TRY(check_group(c, &root));
    if (c->n_datasets != c->n_pieces)
        return dt_fail(c->err, DT_ERR_FORMAT, "%s: holds %lld of its %lld tensors", c->file->path,
                       (long long)c->n_datasets, (long long)c->n_pieces);
    return DT_OK;
}

/* -- the whole
 * -------------------------------------------------------------------------------------------- */

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

dt_status dt_hdf5_check(const dt_hdf5_image *file, const dt_hdf5_expected *expected, dt_hdf5_place **places,
                        int64_t *n, dt_error *err)
{
    check c = {.file = file, .expected = expected, .err = err};
    dt_status status = list_pieces(&c);
    if (status == DT_OK)
        status = check_superblock(&c);
    if (status == DT_OK)
        status = check_root(&c);
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
