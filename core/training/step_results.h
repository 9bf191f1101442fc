/* step_results.h: copies the steps' records from the ring on the device to the host, late and in bulk, and
 * makes results of them: the lag that step.h describes. */
#ifndef DT_CORE_TRAINING_STEP_RESULTS_H
#define DT_CORE_TRAINING_STEP_RESULTS_H

#include "core/training/step.h"

#define DT_STEP_RING 64 /* records; a multiple of DT_STEP_LAG, and more than 3 of it */

typedef struct dt_step_results_ring {
    dt_comm *comm; /* borrowed, as the device */
    dt_device *device;
    bool is_host;
    dt_step_record *records;                      /* [DT_STEP_RING] device memory: step_record writes here */
    dt_step_record *copies;                       /* the same in host memory; on the host the same memory */
    dt_event *copied[DT_STEP_RING / DT_STEP_LAG]; /* of each block of DT_STEP_LAG records */
    dt_event *all;                                /* for drains */
    dt_step_result known[DT_STEP_RING];           /* what the host knew when it enqueued the step */
    int64_t n_steps;                              /* enqueued */
    int64_t n_ready;                              /* whose records are in `copies` */
    int64_t n_read;                               /* whose results were popped */
    int64_t n_skipped;                            /* steps, in all, up to the last result */
} dt_step_results_ring;

/* Borrows comm and device. DT_ERR_MEMORY, DT_ERR_DEVICE. Destroy the ring also after a failure. */
dt_status dt_step_results_create(dt_step_results_ring *ring, dt_comm *comm, dt_device *device, dt_error *err);
void dt_step_results_destroy(dt_step_results_ring *ring);

/* Call after enqueueing a step; its record is written once all work on the main stream is done. `known`: lr
 * and the times of waiting. May wait for the device if many steps are unfinished. */
dt_status dt_step_results_enqueued(dt_step_results_ring *ring, const dt_step_result *known, dt_error *err);
/* As dt_step_results (step.h). */
dt_status dt_step_results_pop(dt_step_results_ring *ring, bool drain, dt_step_result *results, int64_t max,
                              int64_t *n, dt_error *err);

#endif
