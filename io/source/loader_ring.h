/* loader_ring.h: the loader's threads and the ring of batches that they fill ahead of the training.
 *
 * Rows are given out one by one, or in small groups, in the order in which they are wanted; a thread that
 * finds no free batch sleeps. Batches come out in order whatever the order in which their slots get done.
 */
#ifndef DT_IO_SOURCE_LOADER_RING_H
#define DT_IO_SOURCE_LOADER_RING_H

#include "core/source.h"
#include "io/source/slot.h"

typedef struct dt_loader_ring dt_loader_ring;

/* Allocates batches and decoders; no thread runs yet. Borrows folder and filler. DT_ERR_MEMORY. */
dt_status dt_loader_ring_create(const dt_loader_options *options, const dt_folder *folder,
                                dt_slot_filler *filler, dt_loader_ring **ring, dt_error *err);
void dt_loader_ring_destroy(dt_loader_ring *ring);

/* As start of core/source.h: waits for slots under way, then begins anew; batches not yet released are taken
 * back. DT_ERR_IO: a thread cannot be started. */
dt_status dt_loader_ring_start(dt_loader_ring *ring, int64_t epoch, int64_t position, int64_t n_batches,
                               dt_error *err);

/* The next batch, and how many of the files asked for in it are broken. Blocks. Errors of dt_slot_fill, of
 * the first slot that has one; DT_ERR_INTERNAL: there are no more, or all batches are held by the caller. */
dt_status dt_loader_ring_next(dt_loader_ring *ring, dt_batch **batch, int64_t *n_broken, dt_error *err);
void dt_loader_ring_release(dt_loader_ring *ring, dt_batch *batch);

/* Since start: samples in the batches handed out, and the time that next has blocked. */
void dt_loader_ring_stats(dt_loader_ring *ring, int64_t *n_decoded, double *wait_s);

/* Ends what is under way. DT_ERR_MEMORY: the old size stays. */
dt_status dt_loader_ring_set_image_size(dt_loader_ring *ring, int64_t size, dt_error *err);

#endif
