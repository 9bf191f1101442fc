#include "layers/step_host.h"

#include <string.h>

dt_status dt_host_step_begin(dt_kernels *k, const dt_step_inputs *in, dt_loss_sums *loss, float *votes,
                             int64_t n_step_floats, dt_error *err)
{
    (void)k, (void)err;
    memset(loss, 0, (size_t)n_step_floats * sizeof(float));
    memcpy(votes, in->votes, sizeof in->votes);
    return DT_OK;
}

dt_status dt_host_step_record(dt_kernels *k, dt_step_state *state, const dt_loss_sums *global,
                              const dt_loss_sums *local, const float *votes, dt_step_record *ring,
                              int64_t n_ring, dt_error *err)
{
    (void)k, (void)err;
    dt_step_record *record = &ring[state->n_recorded % n_ring];
    *record = (dt_step_record){.global = *global,
                               .local = *local,
                               .loss_scale = state->loss_scale,
                               .n_skipped = state->n_skipped,
                               .index = state->n_recorded};
    memcpy(record->votes, votes, sizeof record->votes);
    state->n_recorded++;
    return DT_OK;
}
