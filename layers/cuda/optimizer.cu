/* optimizer.cu: the update of all parameters: SGD, LARS, running averages, the average of the weights, the
 * FP16 mirror, the loss scale.
 *
 * The formulas are in layers/arithmetic.h. The flat vectors are divided into chunks of one segment each; a
 * block processes one chunk. All gradients must be inspected before any value changes, so there are up to
 * three launches: inspect, decide (one block) and update. ResNet-50, 25.6 M parameters, H200: inspect reads
 * 102 MB (24 us), with LARS 204 MB; decide takes 3 us; update with SGD, loss scaling and an FP16 mirror moves
 * 563 MB, 131 us: together less than a hundredth of a step. Without loss scaling and LARS only update runs.
 */
#include "layers/cuda/kernel.cuh"

enum { DECIDE_THREADS = 256 };

/* What optimizer_decide has decided. After it in the scratch memory: float rates[n_segments]; then, for every
 * chunk, double sumsq[2] and int32 is_bad. */
struct conclusion {
    float multiplier; /* 1 / loss scale of this step */
    int32_t skip;
};

/* A chunk's sums of squares: weights, gradients. */
struct chunk_norms {
    double weights, gradients;
};

/* Addresses in the scratch memory. */
struct scratch_parts {
    chunk_norms *norms;
    conclusion *conclusions; /* one */
    float *rates;
    int32_t *is_bad;
};

static scratch_parts scratch_parts_in(void *scratch, int64_t n_chunks, int64_t n_segments)
{
    scratch_parts p;
    char *at = static_cast<char *>(scratch);
    p.norms = reinterpret_cast<chunk_norms *>(at);
    at += n_chunks * static_cast<int64_t>(sizeof(chunk_norms));
    p.conclusions = reinterpret_cast<conclusion *>(at);
    at += sizeof(conclusion);
    p.rates = reinterpret_cast<float *>(at);
    at += n_segments * static_cast<int64_t>(sizeof(float));
    p.is_bad = reinterpret_cast<int32_t *>(at);
    return p;
}

int64_t dt_cuda_optimizer_scratch_bytes(int64_t n_chunks, int64_t n_segments)
{
    return n_chunks * static_cast<int64_t>(sizeof(chunk_norms) + sizeof(int32_t)) +
           static_cast<int64_t>(sizeof(conclusion)) + n_segments * static_cast<int64_t>(sizeof(float));
}

int64_t dt_cuda_optimizer_chunks(const dt_update_segment *segments, int64_t n_segments, dt_cuda_chunk *chunks)
{
    int64_t n_chunks = 0;
    for (int64_t s = 0; s < n_segments; s++) {
        const dt_update_segment *segment = &segments[s];
        const int64_t n = dt_divide_up(segment->n, DT_CUDA_CHUNK_ELEMS);
        assert(segment->first % 16 == 0 && segment->n % 16 == 0);
        for (int64_t i = 0; chunks != nullptr && i < n; i++) {
            dt_cuda_chunk *chunk = &chunks[n_chunks + i];
            chunk->first = segment->first + i * DT_CUDA_CHUNK_ELEMS;
            chunk->n =
                static_cast<int32_t>(dt_least(segment->n - i * DT_CUDA_CHUNK_ELEMS, DT_CUDA_CHUNK_ELEMS));
            chunk->segment = static_cast<int32_t>(s);
            chunk->rule = segment->rule;
            chunk->weight_decay = segment->weight_decay;
            chunk->segment_chunk = static_cast<int32_t>(n_chunks);
            chunk->segment_n = static_cast<int32_t>(n);
        }
        n_chunks += n;
    }
    return n_chunks;
}

/* -- inspect --------------------------------------------------------------------------------------------- */

/* Sum v over the block, in a fixed order. Every thread gets the sum. */
static __device__ __forceinline__ double sum_of_block(double v, double *shared)
{
    DT_UNROLL_ALL
    for (int bits = 16; bits > 0; bits /= 2)
        v += __shfl_xor_sync(0xFFFFFFFFU, v, bits);
    __syncthreads(); /* shared is no longer read */
    if (threadIdx.x % 32 == 0)
        shared[threadIdx.x / 32] = v;
    __syncthreads();
    v = 0.0;
    for (unsigned w = 0; w < blockDim.x / 32; w++)
        v += shared[w];
    return v;
}

static __device__ __forceinline__ float squares(const float v[8])
{
    float sum = 0.0F;
    DT_UNROLL_ALL
    for (int i = 0; i < 8; i++)
        sum += v[i] * v[i];
    return sum;
}

/* NORMS: some segment's rule is LARS. A thread adds at most 64 squares, 8 in a row in FP32, the rest in
 * float64. */
template <bool NORMS>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS)
    optimizer_inspect(const dt_cuda_chunk *chunks, const float *values, const float *grads, scratch_parts out)
{
    DT_SHARED(double, shared, DT_BLOCK_THREADS / 32);
    const dt_cuda_chunk chunk = chunks[blockIdx.x];
    const bool wants_norms = NORMS && chunk.rule == DT_UPDATE_LARS;
    double bad = 0.0, weights = 0.0, gradients = 0.0;
    for (int i = static_cast<int>(threadIdx.x) * 8; i < chunk.n; i += DT_BLOCK_THREADS * 8) {
        float g[8], w[8];
        dt_load8<float>(grads + chunk.first + i, g);
        DT_UNROLL_ALL
        for (int j = 0; j < 8; j++)
            bad = dt_is_finite(g[j]) ? bad : 1.0;
        if (!wants_norms)
            continue;
        dt_load8<float>(values + chunk.first + i, w);
        weights += static_cast<double>(squares(w));
        gradients += static_cast<double>(squares(g));
    }
    bad = sum_of_block(bad, shared);
    if (threadIdx.x == 0)
        out.is_bad[blockIdx.x] = bad > 0.0 ? 1 : 0;
    if (!wants_norms)
        return; /* the whole block */
    weights = sum_of_block(weights, shared);
    gradients = sum_of_block(gradients, shared);
    if (threadIdx.x == 0) {
        out.norms[blockIdx.x].weights = weights;
        out.norms[blockIdx.x].gradients = gradients;
    }
}

/* -- decide: one block ----------------------------------------------------------------------------------- */

static __device__ void decide_rate(const dt_cuda_chunk &chunk, const dt_optimizer_desc &desc,
                                   float multiplier, const scratch_parts &at)
{
    double weights = 0.0, gradients = 0.0;
    DT_UNROLL_4
    for (int i = chunk.segment_chunk; i < chunk.segment_chunk + chunk.segment_n; i++) {
        weights += at.norms[i].weights;
        gradients += at.norms[i].gradients;
    }
    at.rates[chunk.segment] = dt_lars_local_rate(weights, gradients, multiplier, chunk.weight_decay,
                                                 desc.lars_trust, desc.lars_eps);
}

static __global__ void __launch_bounds__(DECIDE_THREADS)
    optimizer_decide(const dt_cuda_chunk *chunks, int n_chunks, dt_optimizer_desc desc, scratch_parts at,
                     dt_step_state *state)
{
    DT_SHARED(double, shared, DECIDE_THREADS / 32);
    const float multiplier = 1.0F / state->loss_scale;
    double bad = 0.0;
    for (int i = static_cast<int>(threadIdx.x); i < n_chunks; i += DECIDE_THREADS) {
        bad += static_cast<double>(at.is_bad[i]);
        if (chunks[i].rule == DT_UPDATE_LARS && chunks[i].segment_chunk == i)
            decide_rate(chunks[i], desc, multiplier, at);
    }
    bad = sum_of_block(bad, shared); /* after this call all threads have read the scale */
    if (threadIdx.x != 0)
        return;
    const bool found_inf = desc.loss_scaling && bad > 0.0;
    at.conclusions->multiplier = multiplier;
    at.conclusions->skip = found_inf ? 1 : 0;
    state->found_inf = found_inf ? 1 : 0;
    if (!desc.loss_scaling)
        return;
    float scale = state->loss_scale;
    int32_t n_good = state->n_good, n_skipped = state->n_skipped;
    dt_loss_scale_update(found_inf, desc.growth, desc.backoff, desc.growth_interval, &scale, &n_good,
                         &n_skipped);
    state->loss_scale = scale;
    state->n_good = n_good;
    state->n_skipped = n_skipped;
}

/* -- update ---------------------------------------------------------------------------------------------- */

struct update_arguments {
    dt_sgd_factors factors;
    float momentum, running_average_rate, ema_decay;
    bool nesterov;
};

/* Eight elements of a chunk. */
template <typename T>
static __device__ __forceinline__ void update8(const update_arguments &a, bool is_average,
                                               const dt_optimizer_vectors &v, int64_t at, T *mirror)
{
    float w[8], g[8], m[8], ema[8];
    dt_load8<float>(v.values + at, w);
    dt_load8<float>(v.grads + at, g);
    if (!is_average)
        dt_load8<float>(v.momentum + at, m);
    if (v.ema != nullptr)
        dt_load8<float>(v.ema + at, ema);
    DT_UNROLL_ALL
    for (int i = 0; i < 8; i++) {
        if (is_average)
            dt_update_running_average_value(&w[i], g[i], a.running_average_rate);
        else
            dt_update_sgd_value(&w[i], &m[i], g[i], a.factors, a.momentum, a.nesterov);
        ema[i] = dt_ema_value(v.ema != nullptr ? ema[i] : 0.0F, w[i], a.ema_decay);
    }
    dt_store8<float>(v.values + at, w);
    if (!is_average)
        dt_store8<float>(v.momentum + at, m);
    if (v.ema != nullptr)
        dt_store8<float>(v.ema + at, ema);
    if (mirror != nullptr)
        dt_store8<T>(mirror + at, w);
}

/* conclusions NULL: the gradients were not inspected, and the scale stays as it is. */
template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS)
    optimizer_update(const dt_cuda_chunk *chunks, dt_optimizer_desc desc, const conclusion *conclusions,
                     const float *rates, dt_optimizer_vectors v, const dt_step_inputs *inputs,
                     dt_step_state *state, T *mirror)
{
    const dt_cuda_chunk chunk = chunks[blockIdx.x];
    if (conclusions != nullptr && conclusions->skip != 0)
        return;
    if (conclusions == nullptr && blockIdx.x == 0 && threadIdx.x == 0)
        state->found_inf = 0;
    const float multiplier = conclusions != nullptr ? conclusions->multiplier : 1.0F / state->loss_scale;
    const float rate = chunk.rule == DT_UPDATE_LARS ? rates[chunk.segment] : 1.0F;
    update_arguments a;
    a.momentum = desc.momentum;
    a.nesterov = desc.nesterov;
    a.running_average_rate = desc.running_average_rate;
    a.ema_decay = inputs->ema_decay;
    a.factors = dt_sgd_factors_of(rate, multiplier, chunk.weight_decay, inputs->lr, desc.rate_in_velocity);
    for (int i = static_cast<int>(threadIdx.x) * 8; i < chunk.n; i += DT_BLOCK_THREADS * 8)
        update8<T>(a, chunk.rule == DT_UPDATE_RUNNING_AVERAGE, v, chunk.first + i, mirror);
}

static int inspect_and_decide(dt_cuda_stream stream, const dt_cuda_optimizer_call *call,
                              const scratch_parts &at)
{
    const dim3 grid(static_cast<unsigned>(call->n_chunks));
    int code = call->any_lars ? DT_LAUNCH((optimizer_inspect<true>), grid, dim3(DT_BLOCK_THREADS), 0, stream,
                                          call->chunks, call->v->values, call->v->grads, at)
                              : DT_LAUNCH((optimizer_inspect<false>), grid, dim3(DT_BLOCK_THREADS), 0, stream,
                                          call->chunks, call->v->values, call->v->grads, at);
    if (code != 0)
        return code;
    return DT_LAUNCH(optimizer_decide, dim3(1), dim3(DECIDE_THREADS), 0, stream, call->chunks,
                     static_cast<int>(call->n_chunks), *call->desc, at, call->state);
}

int dt_cuda_optimizer_step(dt_cuda_stream stream, const dt_cuda_optimizer_call *call)
{
    const scratch_parts at = scratch_parts_in(call->scratch, call->n_chunks, call->n_segments);
    const bool inspects = call->desc->loss_scaling || call->any_lars;
    if (call->n_chunks == 0)
        return 0;
    int code = inspects ? inspect_and_decide(stream, call, at) : 0;
    if (code != 0)
        return code;
    return dt_for_dtype(call->mirror != nullptr ? call->mirror_dtype : DT_F16, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((optimizer_update<T>), dim3(static_cast<unsigned>(call->n_chunks)),
                         dim3(DT_BLOCK_THREADS), 0, stream, call->chunks, *call->desc,
                         static_cast<const conclusion *>(inspects ? at.conclusions : nullptr),
                         static_cast<const float *>(at.rates), *call->v, call->inputs, call->state,
                         static_cast<T *>(call->mirror));
    });
}
