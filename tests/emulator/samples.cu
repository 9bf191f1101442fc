/* samples.cu: kernels that show what the emulator supports, and mistakes that it must detect; emulator_test.c
 * launches them. */
#include "tests/emulator/cuda_emulator.h"
#include "tests/emulator/samples.h"

/* out[thread of the grid] = its indices, as one number of decimal digits. */
static __global__ void indices(unsigned *out)
{
    unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] =
        ((((blockIdx.z * 10 + blockIdx.y) * 10 + blockIdx.x) * 10 + threadIdx.z) * 10 + threadIdx.y) * 10 +
        threadIdx.x;
}

int sample_indices(unsigned *out)
{
    return DT_LAUNCH(indices, dim3(2, 3, 4), dim3(5, 3, 2), 0, nullptr, out);
}

/* Every block reverses its part of x, through shared memory. */
static __global__ void turn_static(int *x)
{
    DT_SHARED(int, tile, SAMPLE_MAX_THREADS);
    tile[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    x[blockIdx.x * blockDim.x + threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

static __global__ void turn_dynamic(int *x)
{
    DT_DYNAMIC_SHARED(int, tile);
    tile[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    x[blockIdx.x * blockDim.x + threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

int sample_turn(int *x, unsigned n_blocks, unsigned n_threads, bool dynamic)
{
    return dynamic
               ? DT_LAUNCH(turn_dynamic, dim3(n_blocks), dim3(n_threads), n_threads * sizeof(int), nullptr, x)
               : DT_LAUNCH(turn_static, dim3(n_blocks), dim3(n_threads), 0, nullptr, x);
}

/* out[thread] = the sum over its warp; by xor, and by down in lane 0. 40 threads: the second warp has 8
 * lanes. */
static __global__ void warps(double *by_xor, float *by_down, unsigned *ballots, int *from_lane_2)
{
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, mask = warp == 0 ? 0xFFFFFFFFU : 0xFFU;
    double x = threadIdx.x;
    float d = static_cast<float>(threadIdx.x);
    for (int bits = warp == 0 ? 16 : 4; bits > 0; bits /= 2) {
        x += __shfl_xor_sync(mask, x, bits);
        const float other = __shfl_down_sync(mask, d, bits);
        d += other;
    }
    by_xor[threadIdx.x] = x;
    if (lane == 0)
        by_down[warp] = d;
    ballots[threadIdx.x] = __ballot_sync(mask, lane % 3 == 0);
    from_lane_2[threadIdx.x] = __shfl_sync(mask, static_cast<int>(threadIdx.x), 2);
}

int sample_warps(double *by_xor, float *by_down, unsigned *ballots, int *from_lane_2)
{
    return DT_LAUNCH(warps, dim3(1), dim3(40), 0, nullptr, by_xor, by_down, ballots, from_lane_2);
}

/* Reads shared memory that no thread of the block has written, then writes it. */
static __global__ void unwritten(float *out)
{
    DT_SHARED(float, tile, 1);
    out[blockIdx.x] = tile[0];
    tile[0] = 1.0F;
}

int sample_unwritten(float *out, unsigned n_blocks)
{
    return DT_LAUNCH(unwritten, dim3(n_blocks), dim3(1), 0, nullptr, out);
}

/* -- mistakes -------------------------------------------------------------------------------------------- */

static __global__ void leaves(int thread)
{
    if (static_cast<int>(threadIdx.x) == thread)
        return;
    __syncthreads();
}

static __global__ void other_barrier(int thread)
{
    if (static_cast<int>(threadIdx.x) == thread)
        __syncthreads();
    else
        __syncthreads();
}

static __global__ void lane_is_missing(int thread)
{
    if (static_cast<int>(threadIdx.x) != thread)
        (void)__shfl_xor_sync(0xFFFFFFFFU, 1, 1);
}

static __global__ void mask_is_wrong(int thread)
{
    (void)__ballot_sync(static_cast<int>(threadIdx.x) == thread ? 0xFFFFU : 0xFFFFFFFFU, true);
}

int sample_mistake(sample_mistake_kind kind, int thread)
{
    switch (kind) {
    case SAMPLE_LEAVES:
        return DT_LAUNCH(leaves, dim3(2), dim3(64), 0, nullptr, thread);
    case SAMPLE_OTHER_BARRIER:
        return DT_LAUNCH(other_barrier, dim3(2), dim3(64), 0, nullptr, thread);
    case SAMPLE_LANE_IS_MISSING:
        return DT_LAUNCH(lane_is_missing, dim3(2), dim3(64), 0, nullptr, thread);
    default:
        return DT_LAUNCH(mask_is_wrong, dim3(2), dim3(64), 0, nullptr, thread);
    }
}

int sample_configuration(unsigned n_blocks, unsigned n_threads, size_t shared_bytes)
{
    return DT_LAUNCH(leaves, dim3(n_blocks), dim3(n_threads), shared_bytes, nullptr, -1);
}
