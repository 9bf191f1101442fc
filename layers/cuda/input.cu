/* input.cu: pixels to the tensor that the first convolution reads.
 *
 * normalize_input: uint8 [n][h][w][3] -> [n][h][w][4] of the activations' type; the fourth channel is 0. A
 * thread converts 4 pixels: 12 bytes in, 16 values out. Batch 256 at 224 px in FP16 on an H200: 38.5 MB in,
 * 102.8 MB out: 33 us at 4.3 TB/s.
 *
 * normalize_blocks: -> [n][rows][columns][16], the image in blocks of 2x2 pixels with its padding
 * (conv_stem_cuda.c). A thread makes a block. The same batch: 38.5 MB in, 108.3 MB out: 34 us.
 *
 * A pixel has 256 values in each of 3 channels. Each block of threads computes these 768 results once, by the
 * formula that all backends share exactly, and then looks them up: no division per pixel.
 */
#include "layers/cuda/kernel.cuh"

enum { PIXELS = 4, LEVELS = 256, TABLE_ELEMS = 3 * LEVELS };

struct normalisation {
    float mean[3], std[3];
};

/* Every thread of the block must call it. */
static __device__ __forceinline__ void fill_table(const normalisation &norm, float *table)
{
    DT_UNROLL_ALL
    for (int c = 0; c < 3; c++)
        for (int level = static_cast<int>(threadIdx.x); level < LEVELS; level += DT_BLOCK_THREADS)
            table[c * LEVELS + level] =
                dt_pixel_value(static_cast<uint8_t>(level), norm.mean[c], norm.std[c]);
    __syncthreads();
}

template <typename T>
static __device__ __forceinline__ void store_pixels(const unsigned char bytes[12], const float *table, T *y)
{
    float v[16];
    DT_UNROLL_ALL
    for (int p = 0; p < PIXELS; p++) {
        DT_UNROLL_ALL
        for (int c = 0; c < 3; c++)
            v[4 * p + c] = table[c * LEVELS + bytes[3 * p + c]];
        v[4 * p + 3] = 0.0F;
    }
    dt_store8<T>(y, v);
    dt_store8<T>(y + 8, v + 8);
}

/* Pixels after the last whole group of four. */
template <typename T> static __device__ void store_one_pixel(const uint8_t *pixel, const float *table, T *y)
{
    for (int c = 0; c < 3; c++)
        y[c] = dt_from_float<T>(table[c * LEVELS + pixel[c]]);
    y[3] = dt_from_float<T>(0.0F);
}

template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS)
    normalize_input(const uint8_t *pixels, normalisation norm, int64_t n_pixels, T *y)
{
    DT_SHARED(float, table, TABLE_ELEMS);
    const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
    const int64_t thread = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const int64_t n_fours = n_pixels / PIXELS;
    fill_table(norm, table);
    for (int64_t i = thread; i < n_fours; i += step) {
        const unsigned *words = reinterpret_cast<const unsigned *>(pixels + i * 3 * PIXELS);
        const unsigned three[3] = {words[0], words[1], words[2]};
        unsigned char bytes[12];
        memcpy(bytes, three, sizeof bytes);
        store_pixels<T>(bytes, table, y + i * 4 * PIXELS);
    }
    const int64_t last = n_fours * PIXELS + thread;
    if (last < n_pixels)
        store_one_pixel<T>(pixels + last * 3, table, y + last * 4);
}

struct image_blocks {
    int h, w, pad;     /* pixels */
    int rows, columns; /* blocks */
};

/* Load the pixel at (row, column) of an image, which may be outside of it. */
static __device__ __forceinline__ void load_pixel(const uint8_t *image, const image_blocks &b, int row,
                                                  int column, const float *table, float v[4])
{
    const bool is_inside = row >= 0 && row < b.h && column >= 0 && column < b.w;
    const uint8_t *pixel = image + (is_inside ? (static_cast<int64_t>(row) * b.w + column) * 3 : 0);
    DT_UNROLL_ALL
    for (int c = 0; c < 3; c++) {
        const float value = table[c * LEVELS + pixel[c]];
        v[c] = is_inside ? value : 0.0F;
    }
    v[3] = 0.0F;
}

template <typename T>
static __global__ void __launch_bounds__(DT_BLOCK_THREADS)
    normalize_blocks(const uint8_t *pixels, normalisation norm, image_blocks b, unsigned n_blocks, T *y)
{
    DT_SHARED(float, table, TABLE_ELEMS);
    const unsigned step = gridDim.x * blockDim.x, columns = static_cast<unsigned>(b.columns);
    fill_table(norm, table);
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < n_blocks; i += step) {
        const unsigned line = i / columns, n = line / static_cast<unsigned>(b.rows);
        const int row = static_cast<int>(line - n * static_cast<unsigned>(b.rows)) * 2 - b.pad;
        const int column = static_cast<int>(i - line * columns) * 2 - b.pad;
        const uint8_t *image = pixels + static_cast<int64_t>(n) * b.h * b.w * 3;
        float v[16];
        DT_UNROLL_ALL
        for (int p = 0; p < 4; p++)
            load_pixel(image, b, row + p / 2, column + p % 2, table, v + 4 * p);
        dt_store8<T>(y + static_cast<int64_t>(i) * 16, v);
        dt_store8<T>(y + static_cast<int64_t>(i) * 16 + 8, v + 8);
    }
}

static normalisation normalisation_of(const float mean[3], const float std[3])
{
    normalisation norm;
    memcpy(norm.mean, mean, sizeof norm.mean);
    memcpy(norm.std, std, sizeof norm.std);
    return norm;
}

static dim3 grid_of(int64_t n_threads)
{
    return dim3(static_cast<unsigned>(dt_least(dt_divide_up(n_threads, DT_BLOCK_THREADS),
                                               16 * static_cast<int64_t>(dt_multiprocessors()))));
}

int dt_cuda_normalize_input(dt_cuda_stream stream, const uint8_t *pixels, const float mean[3],
                            const float std[3], const dt_tensor *y)
{
    const int64_t n_pixels = dt_rows_of(y);
    const normalisation norm = normalisation_of(mean, std);
    if (n_pixels == 0)
        return 0;
    return dt_for_dtype(y->dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((normalize_input<T>), grid_of(dt_divide_up(n_pixels, PIXELS)),
                         dim3(DT_BLOCK_THREADS), 0, stream, pixels, norm, n_pixels,
                         static_cast<T *>(y->data));
    });
}

int dt_cuda_normalize_blocks(dt_cuda_stream stream, const uint8_t *pixels, const float mean[3],
                             const float std[3], const dt_tensor *y, int64_t pad, int64_t rows,
                             int64_t columns)
{
    const int64_t n_blocks = y->n * rows * columns;
    const normalisation norm = normalisation_of(mean, std);
    const image_blocks b = {static_cast<int>(y->h), static_cast<int>(y->w), static_cast<int>(pad),
                            static_cast<int>(rows), static_cast<int>(columns)};
    assert(n_blocks < (int64_t{1} << 31));
    if (n_blocks == 0)
        return 0;
    return dt_for_half(y->dtype, [&](auto type) {
        using T = decltype(type);
        return DT_LAUNCH((normalize_blocks<T>), grid_of(n_blocks), dim3(DT_BLOCK_THREADS), 0, stream, pixels,
                         norm, b, static_cast<unsigned>(n_blocks), static_cast<T *>(y->data));
    });
}
