/* step_results.h: from the ring of records on the device to results on the host, late and in bulk. What
 * step.h says about lag is done here. */
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
    dt_step_result told[DT_STEP_RING];            /* what the host knew when it enqueued the step */
    int64_t n_steps;                              /* enqueued */
    int64_t n_ready;                              /* results that may be read */
    int64_t n_read;
    int64_t n_skipped; /* of the last one read */
} dt_step_results_ring;

/* destroy also after failure. */
dt_status dt_step_results_create(dt_step_results_ring *ring, dt_comm *comm, dt_device *device, dt_error *err);
void dt_step_results_destroy(dt_step_results_ring *ring);

/* A step whose record is written behind all that is on the main stream has been enqueued. May wait for the
 * device, when it is far behind. */
dt_status dt_step_results_enqueued(dt_step_results_ring *ring, const dt_step_result *told, dt_error *err);
dt_status dt_step_results_pop(dt_step_results_ring *ring, bool drain, dt_step_result *results, int64_t max,
                              int64_t *n, dt_error *err);

#endif
