/* sums_finish.cu: the second stage of every reduction over rows.
 *
 * parts is [quantity][block][c] with at most DT_SETS_WITH_SUMS * DT_SUMS_BLOCKS blocks per multiprocessor:
 * below 2.5 MB on an H200, still in its L2. About 3 us, most of it for the launch. A block has 32 channels
 * and 16 threads for each; partial sums are added in float64, in the order of the blocks.
 */
#include "layers/cuda/kernel.cuh"

enum { CHANNELS = 32, SLICES = 16 };

static __global__ void __launch_bounds__(CHANNELS *SLICES)
    sums_finish(const float *parts, int n_blocks, int c, const __grid_constant__ dt_sums_outputs outputs)
{
    DT_SHARED(double, slices, CHANNELS *SLICES);
    const dt_sums_output output = outputs.o[blockIdx.y];
    const int channel = static_cast<int>(blockIdx.x * CHANNELS + threadIdx.x);
    const float *from = parts + static_cast<int64_t>(output.quantity) * n_blocks * c + channel;
    double sum = 0.0;
    if (channel < c) {
        DT_UNROLL_4
        for (int b = static_cast<int>(threadIdx.y); b < n_blocks; b += SLICES)
            sum += static_cast<double>(from[static_cast<int64_t>(b) * c]);
    }
    slices[threadIdx.y * CHANNELS + threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || channel >= c)
        return;
    for (int s = 1; s < SLICES; s++)
        sum += slices[s * CHANNELS + static_cast<int>(threadIdx.x)];
    if (output.factor != nullptr)
        sum *= static_cast<double>(output.factor[channel]);
    output.to[channel] = static_cast<float>(sum);
}

int dt_sums_finish(dt_cuda_stream stream, const float *parts, int64_t n_blocks, int64_t c,
                   const dt_sums_outputs *outputs)
{
    const dim3 grid(static_cast<unsigned>(dt_divide_up(c, CHANNELS)), static_cast<unsigned>(outputs->n));
    return DT_LAUNCH(sums_finish, grid, dim3(CHANNELS, SLICES), 0, stream, parts, static_cast<int>(n_blocks),
                     static_cast<int>(c), *outputs);
}

int64_t dt_cuda_sums_scratch_bytes(int64_t c)
{
    /* Enough for every width up to c: a block has at most 8 * DT_GROUPS_PER_ROW channels, and each set of a
     * grid has one block for each piece of a row even where the GPU holds fewer. */
    int64_t most = 8 * DT_GROUPS_PER_ROW;
    int64_t n_blocks = DT_SETS_WITH_SUMS *
                       (static_cast<int64_t>(dt_multiprocessors()) * DT_SUMS_BLOCKS + dt_divide_up(c, most));
    return DT_SUMS_MAX_QUANTITIES * n_blocks * dt_least(c, most) * static_cast<int64_t>(sizeof(float));
}

const char *dt_cuda_launch_error(int code)
{
#ifdef __CUDACC__
    return cudaGetErrorString(static_cast<cudaError_t>(code));
#else
    return code == 0 ? "no error" : dt_emulator_message();
#endif
}
