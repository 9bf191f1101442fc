/* fuzz_jpeg.c: any bytes as a JPEG file. For libFuzzer:
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -I. tests/fuzz_jpeg.c io/{augment,buffer,jpeg,resize,resize_kernels,sample}.c \
 *         core/base/{alloc,error,fault,log,rng,clock}.c -ljpeg -lm -lpthread -o fuzz_jpeg && ./fuzz_jpeg CORPUS
 *
 * tests/io/fuzz_jpeg_test.c feeds it mutated files in every `make check`.
 */
#include "io/sample.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

/* Decode a random crop, chosen by the bytes themselves, and the centre crop. Broken files must give an error, not a crash; what decodes
 * with a check to the end must decode again. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    enum { N = 24 };
    static dt_sample *sample; /* kept: a decoder must survive whatever came before */
    static uint8_t pixels[N * N * 3];
    int64_t width = 0, height = 0;
    dt_error err;
    if (!sample && dt_sample_create(&sample, &err) != DT_OK)
        abort();
    if (dt_sample_open_bytes(sample, bytes, n_bytes, &width, &height, &err) != DT_OK)
        return 0;
    if (width * height > 4000000)
        return 0; /* slow, and nothing new */
    dt_crop_random_settings settings = {.scale_min = 0.08, .scale_max = 1, .flip = 0.5};
    dt_rng g = dt_rng_at(n_bytes, DT_RNG_TEST, bytes[n_bytes / 2], bytes[n_bytes / 3]);
    dt_crop crop = dt_crop_random(&settings, width, height, N, &g);
    dt_status whole = dt_sample_decode(sample, &crop, true, pixels, &err);
    crop = dt_crop_centre(0.875, width, height, N);
    if (dt_sample_open_bytes(sample, bytes, n_bytes, &width, &height, &err) != DT_OK)
        abort();
    if (dt_sample_decode(sample, &crop, false, pixels, &err) != DT_OK && whole == DT_OK)
        abort();
    return 0;
}
