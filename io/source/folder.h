/* folder.h: the files of a data folder and their classes.
 *
 *   dt_folder_open("imagenet", "train", NULL, &folder, err);
 *   dt_folder_path(folder, id, path, sizeof path);    imagenet/train/n01440764/n01440764_10026.JPEG
 *
 * The layout is that of torchvision's ImageFolder: ROOT/SPLIT/CLASS/FILE. Classes are numbered in byte order
 * of their names, samples class by class in byte order of the file names. Files are *.jpg, *.jpeg, *.JPG and
 * *.JPEG; all others are ignored, and so are hidden files and folders. Symbolic links are followed.
 */
#ifndef DT_IO_SOURCE_FOLDER_H
#define DT_IO_SOURCE_FOLDER_H

#include "core/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct dt_folder dt_folder;

/* Read the names and sizes of ROOT/SPLIT (one stat per file). If `like` is not NULL, the classes must be the
 * same as there. DT_ERR_USAGE: a folder is missing (the message shows the layout), there are no classes, a
 * class has no files, or only one of the two folders has it; DT_ERR_IO; DT_ERR_MEMORY. */
dt_status dt_folder_open(const char *root, const char *split, const dt_folder *like, dt_folder **folder,
                         dt_error *err);
void dt_folder_close(dt_folder *folder);

/* Read only the class names of ROOT/SPLIT, for `like` above; n_samples is 0. Errors as above. */
dt_status dt_folder_open_classes(const char *root, const char *split, dt_folder **folder, dt_error *err);

int64_t dt_folder_n_samples(const dt_folder *folder);
int64_t dt_folder_n_classes(const dt_folder *folder);
/* NULL outside 0..n_classes-1 */
const char *dt_folder_class_name(const dt_folder *folder, int64_t class_index);

/* XXH3 of class names, file names and sizes in order. It does not depend on the folder's path. */
uint64_t dt_folder_fingerprint(const dt_folder *folder);

/* For a sample 0 <= id < n_samples: its class; and its path, written to out and cut if it does not fit. */
int32_t dt_folder_label(const dt_folder *folder, int64_t id);
void dt_folder_path(const dt_folder *folder, int64_t id, char *out, size_t out_bytes);

#endif
