/* step_host.h: step_begin and step_record (core/kernels.h) for backends in host memory. */
#ifndef DT_LAYERS_STEP_HOST_H
#define DT_LAYERS_STEP_HOST_H

#include "core/kernels.h"

dt_status dt_host_step_begin(dt_kernels *k, const dt_step_inputs *in, dt_loss_sums *loss, float *votes,
                             int64_t n_step_floats, dt_error *err);
dt_status dt_host_step_record(dt_kernels *k, dt_step_state *state, const dt_loss_sums *global,
                              const dt_loss_sums *local, const float *votes, dt_step_record *ring,
                              int64_t n_ring, dt_error *err);

#endif
