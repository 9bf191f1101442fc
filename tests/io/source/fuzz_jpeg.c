/* fuzz_jpeg.c: reads any bytes as a JPEG file. For libFuzzer:
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -I. tests/io/source/fuzz_jpeg.c \
 *         io/source/{augment,buffer,jpeg,resize,resize_kernels,sample}.c \
 *         core/base/{alloc,error,fault,log,rng,clock}.c -ljpeg -lm -lpthread -o fuzz_jpeg
 *     ./fuzz_jpeg CORPUS
 *
 * tests/io/source/fuzz_jpeg_test.c passes mutated files to it in every `make check`.
 */
#include "io/source/sample.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

enum { N = 24 };

static dt_status decode(dt_sample *sample, const uint8_t *bytes, size_t n_bytes, const dt_crop *crop,
                        bool check_whole, uint8_t *pixels)
{
    int64_t width = 0, height = 0;
    dt_error err;
    dt_status status = dt_sample_open_bytes(sample, bytes, n_bytes, &width, &height, &err);
    return status == DT_OK ? dt_sample_decode(sample, crop, check_whole, pixels, &err) : status;
}

/* Decode a random crop, chosen by the bytes themselves, and the centre crop. A broken file must give an
 * error, not a crash. A whole file must decode to the same pixels again, with a used decoder and with a new
 * one. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    static dt_sample *sample; /* kept: a decoder must survive all files before */
    static uint8_t pixels[N * N * 3], again[N * N * 3];
    int64_t width = 0, height = 0;
    dt_error err;
    if (!sample && dt_sample_create(&sample, &err) != DT_OK)
        abort();
    if (dt_sample_open_bytes(sample, bytes, n_bytes, &width, &height, &err) != DT_OK)
        return 0;
    if (width * height > 1000000)
        return 0; /* slow, and finds nothing more */
    const dt_crop_centre_settings evaluation = {.share = 0.875};
    dt_crop_random_settings settings = {.scale_min = 0.08, .scale_max = 1, .flip = 0.5};
    dt_rng g = dt_rng_at(n_bytes, DT_RNG_TEST, bytes[n_bytes / 2], bytes[n_bytes / 3]);
    dt_crop crop = dt_crop_random(&settings, width, height, N, &g),
            centre = dt_crop_centre(&evaluation, width, height, N);
    crop.may_shrink = true;
    if (decode(sample, bytes, n_bytes, &crop, true, pixels) != DT_OK) {
        (void)decode(sample, bytes, n_bytes, &centre, false, again);
        return 0;
    }
    dt_sample *fresh = NULL;
    if (decode(sample, bytes, n_bytes, &centre, true, again) != DT_OK ||
        dt_sample_create(&fresh, &err) != DT_OK ||
        decode(fresh, bytes, n_bytes, &crop, false, again) != DT_OK ||
        memcmp(pixels, again, sizeof pixels) != 0)
        abort();
    dt_sample_destroy(fresh);
    return 0;
}
