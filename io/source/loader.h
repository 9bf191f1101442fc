/* loader.h: batches from a folder of JPEG files, decoded and augmented by threads: the door core/source.h,
 * implemented.
 *
 *   dt_loader_options o = {.root = "imagenet", .training = true, .image_size = 224, .batch = 64, ...};
 *   dt_loader_create(&o, &source, err);
 *   source->ops->start(source, epoch, 0, n_batches, err);      then next, release; at the end ops->destroy
 *
 * What sample `id` of epoch `e` looks like depends on the files, the seed, e and id, and on nothing else: the
 * same bits for any number of threads, any world size, and after any restart; pixels come out of integer
 * arithmetic alone.
 *
 * Broken files (unreadable, not a JPEG, truncated, corrupt, absurdly large) are named in the log once, with
 * the reason. In training a deterministic other sample, with its own label, stands in; in evaluation the row
 * gets label -1 and is not counted. A file is checked to its last byte when it is first met, so that what
 * counts as broken does not depend on where the random crop fell. Once more than max_broken of all files were
 * found broken since start, next returns DT_ERR_DATA. Within an epoch each file is asked for by one rank
 * only: stats' n_broken may be summed over the ranks.
 *
 * The caller may hold three batches at a time at least; those held when start is called are taken back.
 */
#ifndef DT_IO_SOURCE_LOADER_H
#define DT_IO_SOURCE_LOADER_H

#include "core/source.h"
#include "io/source/loader_options.h"

/* Read the folder, check the options, allocate every buffer; threads begin with start. Local. The options are
 * copied. DT_ERR_USAGE: an option out of range, no such folder, no classes, a class without files, a class
 * that only one of train and val has; DT_ERR_IO; DT_ERR_MEMORY. */
dt_status dt_loader_create(const dt_loader_options *options, dt_source **source, dt_error *err);

/* Whether root/val exists. Without it there is nothing to evaluate on, and creating such a source fails. */
bool dt_loader_has_validation(const char *root);

#endif
