/* hdf5_format.h: reads the objects of an HDF5 file in memory that dtrain may have written, without HDF5.
 *
 *   dt_hdf5_object o;
 *   const char *problem = dt_hdf5_read_object(image, root, &o);
 *   if (!problem)
 *       problem = dt_hdf5_visit_links(image, &o, visit, context);
 *
 * HDF5 trusts the addresses and sizes in a file: forged ones make it read and write beyond its memory. This
 * code knows only what a shard's file has (HDF5 File Format Specification 3.0: object headers of version 2
 * and their messages, links in them or in a fractal heap), reads no byte outside the image, allocates
 * nothing, and calls everything else a problem. A problem is a phrase, such as "is compressed or filtered";
 * static storage.
 */
#ifndef DT_IO_STORE_HDF5_FORMAT_H
#define DT_IO_STORE_HDF5_FORMAT_H

#include "core/store.h"
#include "io/store/hdf5_driver.h"

#include <stdbool.h>
#include <stdint.h>

enum { DT_HDF5_MAX_ATTRIBUTES = 4, DT_HDF5_MAX_LINKS = 16 };

typedef struct dt_hdf5_space {
    int n_dims; /* -1: of a kind that dtrain does not write */
    int64_t dims[DT_STATE_MAX_DIMS];
} dt_hdf5_space;

typedef struct dt_hdf5_attribute {
    char name[32];
    bool is_int64; /* and has at most DT_STATE_MAX_DIMS values; else they are not read */
    dt_hdf5_space space;
    int64_t values[DT_STATE_MAX_DIMS];
} dt_hdf5_attribute;

typedef struct dt_hdf5_object {
    bool is_group, is_dataset, has_several_links;
    int n_attributes;
    dt_hdf5_attribute attributes[DT_HDF5_MAX_ATTRIBUTES];
    /* a dataset: */
    bool is_contiguous, is_external, is_filtered, has_fill_value, is_float32;
    dt_hdf5_space space;
    uint64_t at, bytes; /* of its values, in the file; not checked */
    /* a group: */
    uint64_t heap; /* of its links; UINT64_MAX: they are in the header */
    int n_links;
    uint64_t links[DT_HDF5_MAX_LINKS]; /* their addresses in the header */
} dt_hdf5_object;

typedef struct dt_hdf5_link {
    char name[DT_STATE_NAME_BYTES];
    uint64_t object; /* the address of its header */
} dt_hdf5_link;

/* Read the object at an address of the file. NULL: it was read. */
const char *dt_hdf5_read_object(const dt_hdf5_image *image, uint64_t at, dt_hdf5_object *object);

/* A visitor returns false to end the visit. */
typedef bool dt_hdf5_visit(void *context, const dt_hdf5_link *link);

/* Visit all links of a group. NULL: all were read, or the visitor has ended the visit. */
const char *dt_hdf5_visit_links(const dt_hdf5_image *image, const dt_hdf5_object *group, dt_hdf5_visit *visit,
                                void *context);

#endif
