/* faults.cu: kernels with one fault each, whose results may be right nevertheless. faults_cases.c runs them
 * as nvcc compiled them. */
#include "layers/cuda/kernel.cuh"
#include "tests/ptx/faults.h"

/* Two rounds; in each the thread takes its neighbour's value. */
template <bool FIRST_BARRIER, bool SECOND_BARRIER> static __global__ void exchange(float *to)
{
    DT_SHARED(float, tile, FAULT_THREADS);
    float v = static_cast<float>(threadIdx.x);
    for (int round = 0; round < 2; round++) {
        tile[threadIdx.x] = v;
        if (FIRST_BARRIER)
            __syncthreads();
        v = tile[threadIdx.x ^ 1U];
        if (SECOND_BARRIER)
            __syncthreads();
    }
    to[blockIdx.x * FAULT_THREADS + threadIdx.x] = v;
}

static __global__ void misaligned(float *to)
{
    float4 *vector = reinterpret_cast<float4 *>(to + 1) + blockIdx.x * FAULT_THREADS + threadIdx.x;
    *vector = make_float4(1.0F, 2.0F, 3.0F, 4.0F);
}

static __global__ void blocks_write(float *to)
{
    if (threadIdx.x == 0)
        to[0] = 1.0F;
}

static __global__ void block_reads(float *to)
{
    if (threadIdx.x == 0)
        to[blockIdx.x + 4] = blockIdx.x == 0 ? 1.0F : to[4] + 1.0F;
}

static __global__ void byte_of_a_float(float *to)
{
    if (threadIdx.x == 0)
        reinterpret_cast<unsigned char *>(to)[blockIdx.x * 4 + 3] = 0;
    if (threadIdx.x == 1)
        to[blockIdx.x + 8] = to[blockIdx.x];
}

static __global__ void beyond_shared(float *to)
{
    DT_SHARED(float, tile, FAULT_THREADS);
    tile[threadIdx.x] = 1.0F;
    __syncthreads();
    to[blockIdx.x * FAULT_THREADS + threadIdx.x] = tile[threadIdx.x + 1];
}

int fault_launch(fault which, float *to)
{
    const dim3 grid(2), block(FAULT_THREADS);
    switch (which) {
    case FAULT_NONE:
        return DT_LAUNCH((exchange<true, true>), grid, block, 0, nullptr, to);
    case FAULT_NO_BARRIER:
        return DT_LAUNCH((exchange<false, true>), grid, block, 0, nullptr, to);
    case FAULT_NO_SECOND:
        return DT_LAUNCH((exchange<true, false>), grid, block, 0, nullptr, to);
    case FAULT_MISALIGNED:
        return DT_LAUNCH(misaligned, grid, block, 0, nullptr, to);
    case FAULT_BLOCKS_WRITE:
        return DT_LAUNCH(blocks_write, grid, block, 0, nullptr, to);
    case FAULT_BLOCK_READS:
        return DT_LAUNCH(block_reads, grid, block, 0, nullptr, to);
    case FAULT_BYTE:
        return DT_LAUNCH(byte_of_a_float, grid, block, 0, nullptr, to);
    default:
        return DT_LAUNCH(beyond_shared, grid, block, 0, nullptr, to);
    }
}
