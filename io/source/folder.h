/* folder.h: which files there are and to which class each belongs.
 *
 *   dt_folder_open("imagenet", "train", NULL, &folder, err);
 *   dt_folder_path(folder, id, path, sizeof path);    imagenet/train/n01440764/n01440764_10026.JPEG
 *
 * The layout is that of torchvision's ImageFolder: ROOT/SPLIT/CLASS/FILE, with a class's index its place in
 * byte order of the names, and a sample's id its place in byte order within classes. Files are *.jpg, *.jpeg,
 * *.JPG, *.JPEG; hidden files and folders and everything else is ignored; symbolic links are followed.
 */
#ifndef DT_IO_SOURCE_FOLDER_H
#define DT_IO_SOURCE_FOLDER_H

#include "core/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct dt_folder dt_folder;

/* Read the names and sizes of ROOT/SPLIT (one stat for each file). With `like` (may be NULL) the classes must
 * be the same. DT_ERR_USAGE: a folder is missing (the message tells the layout), there is no class, a class
 * has no files, or only one of the two has it; DT_ERR_IO; DT_ERR_MEMORY. */
dt_status dt_folder_open(const char *root, const char *split, const dt_folder *like, dt_folder **folder,
                         dt_error *err);
void dt_folder_close(dt_folder *folder);

/* Only the class names of ROOT/SPLIT, for `like` above: no file is looked at, n_samples is 0. Errors as
 * above. */
dt_status dt_folder_open_classes(const char *root, const char *split, dt_folder **folder, dt_error *err);

int64_t dt_folder_n_samples(const dt_folder *folder);
int64_t dt_folder_n_classes(const dt_folder *folder);
/* NULL outside 0..n_classes-1 */
const char *dt_folder_class_name(const dt_folder *folder, int64_t class_index);

/* XXH3 of class names, file names and sizes in order; not of where the folder is. */
uint64_t dt_folder_fingerprint(const dt_folder *folder);

/* Of sample 0 <= id < n_samples: its class, and its path into out, cut if it does not fit. */
int32_t dt_folder_label(const dt_folder *folder, int64_t id);
void dt_folder_path(const dt_folder *folder, int64_t id, char *out, size_t out_bytes);

#endif
