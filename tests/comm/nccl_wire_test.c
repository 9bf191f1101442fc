/* The kernels of comm/nccl/wire.cu, emulated on the CPU, against layers/half.h: every 16-bit value, any
 * alignment. */
#include "comm/nccl/wire.h"
#include "layers/half.h"
#include "tests/emulator/emulator.h"
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint16_t bits_of(float v, dt_dtype wire)
{
    return wire == DT_F16 ? dt_half_from_float(v) : dt_bfloat_from_float(v);
}

static float value_of(uint16_t bits, dt_dtype wire)
{
    return wire == DT_F16 ? dt_half_to_float(bits) : dt_bfloat_to_float(bits);
}

static const dt_nccl_mark none = {NULL, NULL};

/* Pack and unpack n floats that begin `offset` floats after an aligned address and end with their allocation,
 * so that AddressSanitizer detects accesses beyond. */
static void there_and_back(int64_t n, int64_t offset, dt_dtype wire)
{
    float *memory = aligned_alloc(32, (size_t)((n + offset) * 4 + 31) / 32 * 32), *v = memory + offset;
    uint16_t *packed = aligned_alloc(16, (size_t)(n * 2 + 16 + 15) / 16 * 16);
    int64_t wrong = 0;
    DT_REQUIRE(memory && packed);
    dt_test_fill_random(memory, n + offset, (uint64_t)(n * 7 + offset));
    for (int64_t i = 0; i < n; i++)
        v[i] *= ldexpf(1.0f, (int)(i % 60) - 40);
    memset(packed, 0x5A, (size_t)(n * 2 + 16));
    DT_CHECK_INT(dt_nccl_wire_pack(NULL, v, packed, n, wire, none), 0);
    for (int64_t i = 0; i < n; i++)
        wrong += packed[i] != bits_of(v[i], wire);
    for (int64_t i = n; i < n + 8; i++)
        wrong += packed[i] != 0x5A5A;
    DT_CHECK_MSG(wrong == 0, "packing %lld, offset %lld: %lld wrong", (long long)n, (long long)offset,
                 (long long)wrong);
    DT_CHECK_INT(dt_nccl_wire_unpack(NULL, packed, v, n, wire, none), 0);
    for (int64_t i = 0; i < n; i++)
        wrong += v[i] != value_of(packed[i], wire);
    DT_CHECK_MSG(wrong == 0, "unpacking %lld, offset %lld: %lld wrong", (long long)n, (long long)offset,
                 (long long)wrong);
    free(memory);
    free(packed);
}

static void arrays_of_any_size_and_alignment_are_converted(void)
{
    const int64_t sizes[] = {0, 1, 7, 8, 9, 31, 2047, 2048, 2049, 5003};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int64_t offset = 0; offset < 5; offset++) {
            there_and_back(sizes[k], offset, DT_F16);
            there_and_back(sizes[k], offset, DT_BF16);
        }
}

static void arrays_larger_than_the_grid_are_converted(void)
{
    there_and_back(64 * 256 * 8 * 2 + 77, 0, DT_F16);
}

static void every_16_bit_value_is_converted_both_ways(void)
{
    enum { N = 65536 };
    static uint16_t bits[N] __attribute__((aligned(16))), again[N] __attribute__((aligned(16)));
    static float v[N] __attribute__((aligned(16)));
    for (int k = 0; k < 2; k++) {
        const dt_dtype wire = k ? DT_BF16 : DT_F16;
        int64_t wrong = 0;
        for (int i = 0; i < N; i++)
            bits[i] = (uint16_t)i;
        DT_CHECK_INT(dt_nccl_wire_unpack(NULL, bits, v, N, wire, none), 0);
        DT_CHECK_INT(dt_nccl_wire_pack(NULL, v, again, N, wire, none), 0);
        for (int i = 0; i < N; i++) {
            const float expected = value_of(bits[i], wire);
            wrong += isnan(expected) ? !isnan(v[i]) || !isnan(value_of(again[i], wire))
                                     : v[i] != expected || again[i] != bits[i];
        }
        DT_CHECK_INT(wrong, 0);
    }
}

static void values_between_are_rounded_to_even(void)
{
    static const uint32_t ends[] = {0x7FFF, 0x8000, 0x8001, 0x0FFF, 0x1000, 0x1001, 0x17FF, 0x3000, 0x18000};
    static float v[4096] __attribute__((aligned(16)));
    static uint16_t bits[4096] __attribute__((aligned(16)));
    int64_t wrong = 0;
    for (uint32_t i = 0; i < 4096; i++)
        v[i] = dt_float_of_bits((i * 1048573U & 0xFFFE0000U) | ends[i % 9]);
    for (int k = 0; k < 2; k++) {
        const dt_dtype wire = k ? DT_BF16 : DT_F16;
        DT_CHECK_INT(dt_nccl_wire_pack(NULL, v, bits, 4096, wire, none), 0);
        for (int i = 0; i < 4096; i++)
            wrong += isnan(v[i]) ? !isnan(value_of(bits[i], wire)) : bits[i] != bits_of(v[i], wire);
    }
    DT_CHECK_INT(wrong, 0);
}

static void marks_count_once_a_kernel(void)
{
    float v[5000] = {0};
    uint16_t bits[5000] __attribute__((aligned(16)));
    uint32_t count = 41;
    volatile uint32_t seen = 7;
    const dt_nccl_mark mark = {&count, &seen};
    for (int reverse = 0; reverse < 2; reverse++) {
        dt_emulator_set_order(reverse != 0 ? DT_EMULATOR_DESCENDING | DT_EMULATOR_AHEAD : 0);
        DT_CHECK_INT(dt_nccl_wire_pack(NULL, v, bits, 5000, DT_F16, mark), 0);
        DT_CHECK_INT(dt_nccl_wire_mark(NULL, mark), 0);
        DT_CHECK_INT(dt_nccl_wire_unpack(NULL, bits, v, 5000, DT_BF16, mark), 0);
    }
    dt_emulator_set_order(0);
    DT_CHECK_INT(count, 47);
    DT_CHECK_INT(seen, 47);
}

static void a_planted_mistake_is_seen(void)
{
    float v[5000];
    uint16_t bits[5000] __attribute__((aligned(16))) = {0};
    for (int i = 0; i < 5000; i++)
        v[i] = 1.0f;
    dt_emulator_plant("pack", DT_EMULATOR_NO_LAST_BLOCK);
    DT_CHECK_INT(dt_nccl_wire_pack(NULL, v, bits, 5000, DT_F16, none), 0);
    dt_emulator_plant(NULL, DT_EMULATOR_NO_LAUNCH);
    DT_CHECK(bits[0] == bits_of(1.0f, DT_F16) && bits[4999] == 0);
    DT_CHECK_STR(dt_nccl_wire_error(0), "no error");
}

static const dt_test tests[] = {
    DT_TEST(arrays_of_any_size_and_alignment_are_converted),
    DT_TEST(arrays_larger_than_the_grid_are_converted),
    DT_TEST(every_16_bit_value_is_converted_both_ways),
    DT_TEST(values_between_are_rounded_to_even),
    DT_TEST(marks_count_once_a_kernel),
    DT_TEST(a_planted_mistake_is_seen),
};

DT_TEST_MAIN("comm/nccl_wire", tests)
