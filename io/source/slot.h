/* slot.h: fills one sample slot of a batch: with the requested sample, or with a replacement if its file is
 * broken.
 *
 *   dt_slot_fill(filler, sample, epoch, id, 224, pixels, &slot, err);      sample: this thread's decoder
 *
 * The loader's threads share one filler; any number of them may call every function at the same time. The
 * filler remembers which files are whole and which are broken. A file is checked to its last byte when a
 * thread first reads it, so whether it is broken depends on the file only, and the replacement depends on
 * (seed, epoch, id) and the files.
 */
#ifndef DT_IO_SOURCE_SLOT_H
#define DT_IO_SOURCE_SLOT_H

#include "io/source/folder.h"
#include "io/source/loader_options.h"
#include "io/source/sample.h"

typedef struct dt_slot_filler dt_slot_filler;

typedef struct dt_slot {
    int32_t label; /* of the sample whose pixels these are; -1: none, and the pixels are black (evaluation, a
                      broken file) */
    bool broken;   /* the requested file is broken */
} dt_slot;

/* Borrows folder. Reads these options: training, augment, crop_scale_min, crop_scale_max, flip, eval_crop,
 * eval_resize, seed. DT_ERR_MEMORY. */
dt_status dt_slot_filler_create(const dt_loader_options *options, const dt_folder *folder,
                                dt_slot_filler **filler, dt_error *err);
void dt_slot_filler_destroy(dt_slot_filler *filler);

/* Write pixels[size][size][3]. Logs a broken file when a thread first reads it. Blocks on the disk.
 * DT_ERR_MEMORY; DT_ERR_DATA: in training, all replacements that were drawn are broken too. */
dt_status dt_slot_fill(dt_slot_filler *filler, dt_sample *sample, int64_t epoch, int64_t id, int64_t size,
                       uint8_t *pixels, dt_slot *slot, dt_error *err);

/* "PATH (why)" of the first broken file, for a message; "" if there was none. */
void dt_slot_first_broken(dt_slot_filler *filler, char *out, size_t out_bytes);

#endif
