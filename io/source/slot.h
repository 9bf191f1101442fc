/* slot.h: one row of a batch: the sample that was asked for, or what stands in for it when its file is
 * broken.
 *
 *   dt_slot_fill(filler, sample, epoch, id, 224, pixels, &slot, err);      sample: this thread's decoder
 *
 * Shared by the loader's threads; every function may be called by many of them at a time. Remembers of each
 * file whether it is known to be whole: a file is checked to its last byte when it is first met, so whether
 * it counts as broken is a property of the file alone, and which other sample stands in depends on (seed,
 * epoch, id) and the files.
 */
#ifndef DT_IO_SOURCE_SLOT_H
#define DT_IO_SOURCE_SLOT_H

#include "io/source/folder.h"
#include "io/source/loader_options.h"
#include "io/source/sample.h"

typedef struct dt_slot_filler dt_slot_filler;

typedef struct dt_slot {
    int32_t label; /* of the sample whose pixels these are; -1: none (evaluation, a broken file) and the
                      pixels are black */
    bool broken;   /* the file that was asked for is */
} dt_slot;

/* Borrows folder. Of the options: training, augment, crop_scale_min and _max, flip, eval_crop, seed. */
dt_status dt_slot_filler_create(const dt_loader_options *options, const dt_folder *folder,
                                dt_slot_filler **filler, dt_error *err);
void dt_slot_filler_destroy(dt_slot_filler *filler);

/* Fill pixels[size][size][3]. A broken file is named in the log when it is first met. DT_ERR_MEMORY;
 * DT_ERR_DATA: in training, no whole file was found to stand in. */
dt_status dt_slot_fill(dt_slot_filler *filler, dt_sample *sample, int64_t epoch, int64_t id, int64_t size,
                       uint8_t *pixels, dt_slot *slot, dt_error *err);

/* "PATH (why)" of the first broken file that was met, for a message; "" if none was. */
void dt_slot_first_broken(dt_slot_filler *filler, char *out, size_t out_bytes);

#endif
