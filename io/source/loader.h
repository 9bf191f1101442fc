/* loader.h: batches from a folder of JPEG files, decoded and augmented by threads. Implements core/source.h.
 *
 *   dt_loader_options o = {.root = "imagenet", .training = true, .image_size = 224, .batch = 64, ...};
 *   dt_loader_create(&o, &source, err);
 *   source->ops->start(source, epoch, 0, n_batches, err);      then next and release, in the end destroy
 *
 * The pixels of sample `id` in epoch `e` depend on the files, the seed, e and id only. They are computed in
 * integers, so they are the same bits for any number of threads, any world size, and after any restart.
 *
 * A broken file (unreadable, not a JPEG, truncated, corrupt or absurdly large) is logged once, with the
 * reason. In training another sample with its own label replaces it, chosen by (seed, epoch, id). In
 * evaluation its slot gets label -1 and is not counted. A file is checked to its last byte when a thread
 * first reads it, so whether it is broken does not depend on the random crop. Once more than max_broken of
 * all files were found broken since start, next returns DT_ERR_DATA. In an epoch only one rank requests a
 * file, so the ranks' n_broken may be added up.
 *
 * The caller may hold at least three batches at a time. start drops the batches that the caller holds.
 */
#ifndef DT_IO_SOURCE_LOADER_H
#define DT_IO_SOURCE_LOADER_H

#include "core/source.h"
#include "io/source/loader_options.h"

/* Read the folder, check the options and allocate all buffers; start creates the threads. Not
 * collective. The options are copied. Rank 0 logs what is left out of the folder (left_out.h), and what
 * is odd about its classes. DT_ERR_USAGE: an option is out of range, the folder or its classes are
 * missing, a class has no files, or only one of train and val has a class; DT_ERR_IO; DT_ERR_MEMORY. */
dt_status dt_loader_create(const dt_loader_options *options, dt_source **source, dt_error *err);

/* Log a warning if files of `val` are files of `train`; nothing if one of them is not a loader. Takes a
 * second for a million files. DT_ERR_MEMORY. */
dt_status dt_loader_log_shared(const dt_source *train, const dt_source *val, dt_error *err);

/* Whether root/val exists; true also for a link without a target, or a file. A loader for evaluation cannot
 * be created from these, and the error says why. */
bool dt_loader_has_validation(const char *root);

#endif
