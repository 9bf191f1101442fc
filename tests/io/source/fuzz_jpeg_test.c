/* Mutated JPEGs through tests/io/source/fuzz_jpeg.c: a few thousand in every run, a hundred times as many in
 * long ones. */
#include "tests/io/source/jpeg_kit.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static uint64_t state;

static size_t below(size_t n)
{
    state = state * 6364136223846793005U + 1442695040888963407U;
    return (size_t)((state >> 33) % n);
}

/* Overwrite bytes, flip bits, cut out a piece, repeat a piece, cut off the end, or insert a marker. Returns
 * the new length, at most `capacity` bytes. */
static size_t mutate(uint8_t *bytes, size_t n, size_t capacity)
{
    size_t at = below(n), length = 1 + below(64);
    if (at + length > n)
        length = n - at;
    switch (below(6)) {
    case 0:
        for (size_t i = 0; i < length; i++)
            bytes[at + i] = (uint8_t)below(256);
        return n;
    case 1:
        bytes[at] ^= (uint8_t)(1 << below(8));
        return n;
    case 2:
        memmove(bytes + at, bytes + at + length, n - at - length);
        return n - length;
    case 3:
        if (n + length > capacity)
            return n;
        memmove(bytes + at + length, bytes + at, n - at);
        return n + length;
    case 4:
        return below(4) ? n : at + 1;
    default:
        bytes[at] = 0xff;
        if (at + 1 < n)
            bytes[at + 1] = (uint8_t)(0xc0 + below(64));
        return n;
    }
}

static void run(int n_rounds)
{
    static const jpeg_kit_recipe seeds[] = {
        {.width = 40, .height = 30},
        {.width = 70, .height = 50, .h_samp = 2, .v_samp = 2},
        {.width = 50, .height = 70, .h_samp = 2},
        {.width = 60, .height = 40, .h_samp = 2, .v_samp = 2, .progressive = true},
        {.width = 60, .height = 40, .h_samp = 4, .v_samp = 2},
        {.width = 33, .height = 31, .colour = JPEG_KIT_GREY, .restart_rows = 1},
        {.width = 33, .height = 31, .colour = JPEG_KIT_YCCK, .h_samp = 2},
        {.width = 200, .height = 200, .h_samp = 2, .v_samp = 2, .quality = 20},
        {.width = 1, .height = 1},
    };
    for (size_t s = 0; s < sizeof seeds / sizeof seeds[0]; s++) {
        size_t n_bytes, n;
        uint8_t *seed = jpeg_kit_encode(&seeds[s], &n_bytes);
        for (int round = 0; round < n_rounds; round++) {
            uint8_t *bytes = malloc(n_bytes + 256);
            memcpy(bytes, seed, n_bytes);
            n = n_bytes;
            for (size_t k = 0; k < 1 + (size_t)round % 4 && n > 1; k++)
                n = mutate(bytes, n, n_bytes + 256);
            uint8_t *exact = malloc(n); /* so that a sanitizer sees reads beyond the end */
            memcpy(exact, bytes, n);
            LLVMFuzzerTestOneInput(exact, n);
            free(exact);
            free(bytes);
        }
        free(seed);
    }
}

static void mutated_files_do_not_crash(void)
{
    state = 1;
    run(2000);
}

static void many_mutated_files_do_not_crash(void)
{
    DT_LONG_TEST();
    state = 2;
    run(40000);
}

static const dt_test tests[] = {DT_TEST(mutated_files_do_not_crash),
                                DT_TEST(many_mutated_files_do_not_crash)};
DT_TEST_MAIN("io/source/fuzz_jpeg", tests)
