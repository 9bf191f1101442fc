/* loader_ring.h: the loader's threads, and the ring of batches that they fill ahead of the training.
 *
 * Slots are assigned to threads one by one, or in small groups, in the order of the batches. A thread sleeps
 * while no batch is free. Batches are returned in order; their slots may be filled in any order.
 */
#ifndef DT_IO_SOURCE_LOADER_RING_H
#define DT_IO_SOURCE_LOADER_RING_H

#include "core/source.h"
#include "io/source/slot.h"

typedef struct dt_loader_ring dt_loader_ring;

/* Allocates batches and decoders, starts no thread. Borrows folder and filler. DT_ERR_MEMORY. */
dt_status dt_loader_ring_create(const dt_loader_options *options, const dt_folder *folder,
                                dt_slot_filler *filler, dt_loader_ring **ring, dt_error *err);
/* Returns false if a thread does not come back from reading a file: then the ring, its folder, its filler and
 * the device's memory must stay as they are, and the process ends with _exit (core/base/waits.h). */
bool dt_loader_ring_destroy(dt_loader_ring *ring);

/* As start of core/source.h. Waits for the slots that are being filled, then starts over; batches that the
 * caller has not released are dropped. DT_ERR_IO: a thread cannot be started. Waits as next does. */
dt_status dt_loader_ring_start(dt_loader_ring *ring, int64_t epoch, int64_t position, int64_t n_batches,
                               dt_error *err);

/* Wait for the next batch. Logs a file that has not come for half a minute. *n_broken: how many of its
 * requested files are broken. DT_ERR_INTERRUPTED: a file has not come for some seconds, and a stop is
 * requested. Returns the error of the first slot that dt_slot_fill failed for; DT_ERR_INTERNAL: all batches
 * have been returned, or the caller holds all of them. */
dt_status dt_loader_ring_next(dt_loader_ring *ring, dt_batch **batch, int64_t *n_broken, dt_error *err);
void dt_loader_ring_release(dt_loader_ring *ring, dt_batch *batch);

/* Since start: samples in the returned batches, and the time that next has blocked. */
void dt_loader_ring_stats(dt_loader_ring *ring, int64_t *n_decoded, double *wait_s);

/* Ends what is under way, and waits as next does. DT_ERR_MEMORY: the old size stays. */
dt_status dt_loader_ring_set_image_size(dt_loader_ring *ring, int64_t size, dt_error *err);

#endif
