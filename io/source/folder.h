/* folder.h: the files of a data folder and their classes.
 *
 *   dt_folder_open("imagenet", "train", NULL, &folder, err);
 *   dt_folder_path(folder, id, path, sizeof path);    imagenet/train/n01440764/n01440764_10026.JPEG
 *
 * The layout is that of torchvision's ImageFolder: ROOT/SPLIT/CLASS/FILE. Classes are numbered in byte
 * order of their names, samples class by class in byte order of the file names. Files are *.jpg, *.jpeg,
 * *.jpe and *.jfif, in any case. All others are left out and counted, and so are hidden files, folders
 * in a class, and what is not a file. Symbolic links are followed.
 */
#ifndef DT_IO_SOURCE_FOLDER_H
#define DT_IO_SOURCE_FOLDER_H

#include "core/base/error.h"
#include "io/source/left_out.h"

#include <stddef.h>
#include <stdint.h>

typedef struct dt_folder dt_folder;

/* Read the names and sizes of ROOT/SPLIT (one stat per file). If `like` is not NULL, the classes must be the
 * same as there. DT_ERR_USAGE: a folder is missing (the message shows the layout), there are no classes, a
 * class has no files, or only one of the two folders has it; DT_ERR_IO: also where attributes cannot be read;
 * DT_ERR_MEMORY. */
dt_status dt_folder_open(const char *root, const char *split, const dt_folder *like, dt_folder **folder,
                         dt_error *err);
void dt_folder_close(dt_folder *folder);

/* Read only the class names of ROOT/SPLIT, for `like` above; n_samples is 0. Errors as above. */
dt_status dt_folder_open_classes(const char *root, const char *split, dt_folder **folder, dt_error *err);

int64_t dt_folder_n_samples(const dt_folder *folder);
int64_t dt_folder_n_classes(const dt_folder *folder);
/* NULL outside 0..n_classes-1. Takes time in proportion to n_classes. */
const char *dt_folder_class_name(const dt_folder *folder, int64_t label);

/* As set_labels of core/source.h. At first labels are in the byte order of the classes' names. */
void dt_folder_set_labels(dt_folder *folder, const int32_t *labels);

/* The entries of ROOT/SPLIT and of its classes that are not samples. Owned by the folder. */
const dt_left_out *dt_folder_left_out(const dt_folder *folder);

/* Find two classes whose names differ only in the case of ASCII letters; their names are cut if they do
 * not fit. */
#define DT_SIMILAR_BYTES 128
bool dt_folder_find_similar_classes(const dt_folder *folder, char first[DT_SIMILAR_BYTES],
                                    char second[DT_SIMILAR_BYTES]);

/* Count the files that are in two classes or more, by links; example: paths of one in two classes, cut
 * if longer. DT_ERR_MEMORY. */
dt_status dt_folder_find_twice(const dt_folder *folder, int64_t *n, char example[2][512], dt_error *err);

/* Files that two splits have in common. */
typedef struct dt_folder_shared {
    int64_t n;            /* files of `val` that are files of `train`, or have the same class and content */
    bool at_least;        /* further files have the same class and size, and were not read */
    char example[2][512]; /* a path in val, and its twin in train; cut if longer */
} dt_folder_shared;

/* Compare the files by inode, and those with the same class and size by content: up to
 * DT_FOLDER_SHARED_READS with the same name, and as many others. Files that cannot be read count as
 * different. DT_ERR_MEMORY. */
#define DT_FOLDER_SHARED_READS 64
dt_status dt_folder_find_shared(const dt_folder *train, const dt_folder *val, dt_folder_shared *shared,
                                dt_error *err);

/* XXH3 of class names, file names and sizes in order. It does not depend on the folder's path. */
uint64_t dt_folder_fingerprint(const dt_folder *folder);

/* For a sample 0 <= id < n_samples: its class; and its path, written to out and cut if it does not fit. */
int32_t dt_folder_label(const dt_folder *folder, int64_t id);
void dt_folder_path(const dt_folder *folder, int64_t id, char *out, size_t out_bytes);

#endif
