/* loss.cu: softmax cross-entropy with label smoothing, top-1, top-5, and its gradient. The formulas are in
 * core/kernels.h and layers/arithmetic.h.
 *
 * A block processes one row and reads it three times, from L2 (1000 logits are 2 kB): for the largest logit;
 * for the sum of exponentials and the rank; for the gradient. A second launch adds the rows in order. Batch
 * 256: 3 to 4 us each. FP32 throughout: the exponents are at most 0, so large logits lose no accuracy.
 */
#include "layers/cuda/kernel.cuh"

enum { ROW_THREADS = 128, WARPS = ROW_THREADS / 32, TOP = 5 };

struct row_result {
    float loss, top1, top5, n;
};

static __device__ __forceinline__ float larger(float a, float b)
{
    return b > a || b != b ? b : a; /* keeps a NaN */
}

static __device__ __forceinline__ float plus(float a, float b)
{
    return a + b;
}

/* Combine v over all threads of the block, in an order that depends only on their number. Every thread gets
 * the result. */
template <float (*COMBINE)(float, float)>
static __device__ __forceinline__ float over_block(float v, float *shared)
{
    DT_UNROLL_ALL
    for (int bits = 16; bits > 0; bits /= 2)
        v = COMBINE(v, __shfl_xor_sync(0xFFFFFFFFU, v, bits));
    __syncthreads(); /* all threads have read shared */
    if (threadIdx.x % 32 == 0)
        shared[threadIdx.x / 32] = v;
    __syncthreads();
    v = shared[0];
    DT_UNROLL_ALL
    for (int w = 1; w < WARPS; w++)
        v = COMBINE(v, shared[w]);
    return v;
}

template <typename T> struct row {
    const T *x;
    T *dx; /* NULL: evaluation; may be x */
    int n_classes, label;
    float smoothing, grad_scale;
};

template <typename T> static __device__ void zero_row(const row<T> &r)
{
    if (r.dx != nullptr)
        for (int j = static_cast<int>(threadIdx.x); j < r.n_classes; j += ROW_THREADS)
            r.dx[j] = dt_from_float<T>(0.0F);
}

/* Called by the whole block. Every thread returns the row's result. */
template <typename T> static __device__ row_result do_row(const row<T> &r, float *shared)
{
    const bool label_is_class = r.label < r.n_classes;
    const float at_label = dt_to_float(r.x[label_is_class ? r.label : 0]); /* read before dx is written */
    float largest = -INFINITY, sum = 0.0F, logits = 0.0F, before = 0.0F;
    for (int j = static_cast<int>(threadIdx.x); j < r.n_classes; j += ROW_THREADS)
        largest = larger(largest, dt_to_float(r.x[j]));
    largest = over_block<larger>(largest, shared);
    for (int j = static_cast<int>(threadIdx.x); j < r.n_classes; j += ROW_THREADS) {
        const float x = dt_to_float(r.x[j]);
        sum += expf(x - largest);
        logits += x - largest; /* for smoothing, which needs the sum of log-probabilities */
        before += dt_logit_ranks_before(x, j, at_label, r.label) ? 1.0F : 0.0F;
    }
    sum = over_block<plus>(sum, shared);
    logits = over_block<plus>(logits, shared);
    before = over_block<plus>(before, shared);
    const float log_sum = logf(sum); /* log sum exp = largest + log_sum */
    if (r.dx != nullptr) {
        const float target = static_cast<float>(dt_softmax_target(false, r.n_classes, r.smoothing));
        const float label_target = static_cast<float>(dt_softmax_target(true, r.n_classes, r.smoothing));
        for (int j = static_cast<int>(threadIdx.x); j < r.n_classes; j += ROW_THREADS) {
            const float probability = expf(dt_to_float(r.x[j]) - largest - log_sum);
            r.dx[j] = dt_from_float<T>(r.grad_scale * (probability - (j == r.label ? label_target : target)));
        }
    }
    const bool is_right = label_is_class && largest == largest;
    row_result result;
    result.loss = (1.0F - r.smoothing) * (log_sum - (at_label - largest));
    if (r.smoothing != 0.0F)
        result.loss += r.smoothing * (log_sum - logits / static_cast<float>(r.n_classes));
    result.loss = label_is_class ? result.loss : NAN;
    result.top1 = is_right && before < 1.0F ? 1.0F : 0.0F;
    result.top5 = is_right && before < static_cast<float>(TOP) ? 1.0F : 0.0F;
    result.n = 1.0F;
    return result;
}

template <typename T>
static __global__ void __launch_bounds__(ROW_THREADS)
    softmax_loss(const T *x, const int32_t *labels, int n_classes, float smoothing, float grad_scale,
                 const float *loss_scale, row_result *results, T *dx)
{
    DT_SHARED(float, shared, WARPS);
    const int64_t at = static_cast<int64_t>(blockIdx.x) * n_classes;
    const row<T> r = {x + at,    dx != nullptr ? dx + at : nullptr,
                      n_classes, labels[blockIdx.x],
                      smoothing, loss_scale != nullptr ? grad_scale * *loss_scale : grad_scale};
    row_result result = {0.0F, 0.0F, 0.0F, 0.0F};
    if (r.label < 0)
        zero_row<T>(r);
    else
        result = do_row<T>(r, shared);
    if (threadIdx.x == 0)
        results[blockIdx.x] = result;
}

/* One warp: sums += results, in float64, in a fixed order; NaN if BatchNorm has set a flag, 8 of which are a
 * word of not_finite. */
static __global__ void __launch_bounds__(32)
    softmax_loss_finish(const row_result *results, int64_t n, uint64_t *not_finite, dt_loss_sums *sums)
{
    double v[4] = {0.0, 0.0, 0.0, 0.0};
    DT_UNROLL_ALL
    for (int i = static_cast<int>(threadIdx.x); i < DT_CUDA_CHANNEL_FLAGS / 8; i += 32)
        if (not_finite[i] != 0) {
            v[0] = NAN;
            not_finite[i] = 0;
        }
    for (int64_t i = threadIdx.x; i < n; i += 32) {
        v[0] += static_cast<double>(results[i].loss);
        v[1] += static_cast<double>(results[i].top1);
        v[2] += static_cast<double>(results[i].top5);
        v[3] += static_cast<double>(results[i].n);
    }
    DT_UNROLL_ALL
    for (int q = 0; q < 4; q++)
        for (int bits = 16; bits > 0; bits /= 2)
            v[q] += __shfl_xor_sync(0xFFFFFFFFU, v[q], bits);
    if (threadIdx.x != 0)
        return;
    sums->loss += static_cast<float>(v[0]);
    sums->top1 += static_cast<float>(v[1]);
    sums->top5 += static_cast<float>(v[2]);
    sums->n += static_cast<float>(v[3]);
}

int64_t dt_cuda_softmax_loss_scratch_bytes(int64_t n)
{
    return n * static_cast<int64_t>(sizeof(row_result));
}

int dt_cuda_softmax_loss(dt_cuda_stream stream, const dt_tensor *logits, const int32_t *labels,
                         float smoothing, float grad_scale, const float *loss_scale, void *scratch,
                         const dt_tensor *dlogits, uint8_t *not_finite, dt_loss_sums *sums)
{
    row_result *results = static_cast<row_result *>(scratch);
    const int64_t n = logits->n;
    assert(logits->c > 0);
    if (n == 0)
        return 0;
    int code = dt_for_dtype(logits->dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((softmax_loss<T>), dim3(static_cast<unsigned>(n)), dim3(ROW_THREADS), 0, stream,
                         static_cast<const T *>(logits->data), labels, static_cast<int>(logits->c), smoothing,
                         grad_scale, loss_scale, results,
                         static_cast<T *>(dlogits != nullptr ? dlogits->data : nullptr));
    });
    return code != 0 ? code
                     : DT_LAUNCH(softmax_loss_finish, dim3(1), dim3(32), 0, stream, results, n,
                                 reinterpret_cast<uint64_t *>(not_finite), sums);
}
