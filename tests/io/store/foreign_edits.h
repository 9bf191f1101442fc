/* foreign_edits.h: what other programs can do with a shard's file, one edit for each. */
#ifndef DTRAIN_TESTS_IO_FOREIGN_EDITS_H
#define DTRAIN_TESTS_IO_FOREIGN_EDITS_H

#include <hdf5.h>

/* The step in the shard's attributes; the tensor that edits change, and its number of elements. */
#define FOREIGN_TENSOR "param/bn1.weight"
enum { FOREIGN_STEP = 5, FOREIGN_LENGTH = 16 };

typedef struct foreign_edit {
    const char *name;
    void (*edit)(hid_t h5);
    const char *message; /* why the shard is refused then */
    H5F_libver_t low;    /* to open the file with */
} foreign_edit;

extern const foreign_edit foreign_edits[];
extern const size_t n_foreign_edits;

/* The file outside that edits refer to. */
const char *foreign_other_path(void);

/* H5Fopen with a lowest version of the format. */
hid_t foreign_open(const char *path, unsigned flags, H5F_libver_t low);

/* Add or replace an attribute; length 0: a scalar. value NULL: it is not written. */
void foreign_add_attribute(hid_t h5, const char *object, const char *name, hid_t type, hsize_t length,
                           const void *value);

#endif
