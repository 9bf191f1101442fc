/* schedule.h: the learning rate, and the images' size, as functions of progress.
 *
 * With t in epochs (a fraction inside an epoch), T the total, w the warm-up and L the peak:
 *   t < w:    L * t' / w, with t' the end of this step (so that the first step is not zero, and the last of
 *             the warm-up is L)
 *   cosine:   L * (1 + cos(pi * (t - w) / (T - w))) / 2
 *   poly:     L * (1 - (t - w) / (T - w))^poly_power
 *   step:     L * step_gamma^k, k = how many of step_epochs t has reached; without step_epochs, of T/3, 2T/3
 *             and 8T/9 (30, 60 and 80 of 90 epochs)
 *   constant: L
 * The drops of `step` count from the start, so that the warm-up delays none; one that lies inside the warm-up
 * comes at its end. From T on the rate stays what it is at T. t may be off by rounding (1e-9 of T): the end
 * of the warm-up and the drops allow for that.
 */
#ifndef DT_CORE_TRAINING_SCHEDULE_H
#define DT_CORE_TRAINING_SCHEDULE_H

#include "core/base/config.h"

#include <stdint.h>

/* The rate of the step that covers epochs [t, t + dt), dt > 0. Of the config: lr, schedule, warmup_epochs,
 * poly_power, step_gamma, step_epochs. */
double dt_schedule_lr(const dt_config *config, double t, double dt, double total_epochs);

/* Pixels of the training images of an epoch. Of the config: epochs, image_size, resize. */
int64_t dt_schedule_image_size(const dt_config *config, int64_t epoch);

/* Steps of an epoch of n_samples: only whole global batches count. */
int64_t dt_steps_per_epoch(int64_t n_samples, int64_t global_batch);

#endif
