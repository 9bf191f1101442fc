/* input_cpu.c: pixels to the image tensor, in plain NCHW, the order that oneDNN's first convolution reads
 * fastest. */
#include "layers/arithmetic.h"
#include "layers/cpu/cpu_internal.h"

typedef struct input_pass {
    const uint8_t *pixels;
    float *out;
    int64_t n_pixels;    /* of an image */
    float table[3][256]; /* the value of each pixel value, per channel */
} input_pass;

static void normalize_work(void *context, int thread, int64_t begin, int64_t end)
{
    const input_pass *p = context;
    (void)thread;
    for (int64_t image = begin; image < end; image++) {
        const uint8_t *from = p->pixels + image * p->n_pixels * 3;
        float *red = p->out + image * 3 * p->n_pixels, *green = red + p->n_pixels,
              *blue = green + p->n_pixels;
        for (int64_t i = 0; i < p->n_pixels; i++) {
            red[i] = p->table[0][from[3 * i]];
            green[i] = p->table[1][from[3 * i + 1]];
            blue[i] = p->table[2][from[3 * i + 2]];
        }
    }
}

dt_status dt_cpu_normalize_input(dt_kernels *k, const uint8_t *pixels, const float mean[3],
                                 const float std[3], const dt_tensor *y, dt_error *err)
{
    input_pass pass = {.pixels = pixels, .out = dt_cpu_data(y, y->n, 3, y->h, y->w), .n_pixels = y->h * y->w};
    (void)err;
    for (int c = 0; c < 3; c++)
        for (int value = 0; value < 256; value++)
            pass.table[c][value] = dt_pixel_value((uint8_t)value, mean[c], std[c]);
    dt_cpu_parallel(dt_cpu(k), y->n, normalize_work, &pass);
    return DT_OK;
}
