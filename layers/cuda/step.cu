/* step.cu: a step's first and last launch. Each moves a few hundred bytes and takes the time of a launch, 2
 * us. */
#include "layers/cuda/kernel.cuh"

enum { THREADS = 64 };

static __global__ void __launch_bounds__(THREADS)
    step_begin(const dt_step_inputs *in, float *floats, float *votes, int64_t n_step_floats)
{
    for (int64_t i = threadIdx.x; i < n_step_floats; i += THREADS) {
        const int64_t vote = floats + i - votes;
        floats[i] = vote >= 0 && vote < DT_N_VOTES ? in->votes[vote] : 0.0F;
    }
}

int dt_cuda_step_begin(dt_cuda_stream stream, const dt_step_inputs *in, dt_loss_sums *loss, float *votes,
                       int64_t n_step_floats)
{
    if (n_step_floats == 0)
        return 0;
    return DT_LAUNCH(step_begin, dim3(1), dim3(THREADS), 0, stream, in, reinterpret_cast<float *>(loss),
                     votes, n_step_floats);
}

static __global__ void step_record(dt_step_state *state, const dt_loss_sums *global,
                                   const dt_loss_sums *local, const float *votes, dt_step_record *ring,
                                   int64_t n_ring)
{
    dt_step_record record;
    record.global = *global;
    record.local = *local;
    for (int i = 0; i < DT_N_VOTES; i++)
        record.votes[i] = votes[i];
    record.loss_scale = state->loss_scale;
    record.n_skipped = state->n_skipped;
    record.index = state->n_recorded;
    ring[state->n_recorded % n_ring] = record;
    state->n_recorded = record.index + 1;
}

int dt_cuda_step_record(dt_cuda_stream stream, dt_step_state *state, const dt_loss_sums *global,
                        const dt_loss_sums *local, const float *votes, dt_step_record *ring, int64_t n_ring)
{
    return DT_LAUNCH(step_record, dim3(1), dim3(1), 0, stream, state, global, local, votes, ring, n_ring);
}
