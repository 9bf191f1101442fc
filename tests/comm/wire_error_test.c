/* How far sums of 16-bit gradients are from the exact ones, by the number of ranks: the table in
 * comm/README.md. Simulates NCCL's ring: every rank rounds its gradient, and each hop adds its own to the sum
 * that arrives and rounds the result. */
#include "core/base/rng.h"
#include "core/tensor.h"
#include "layers/half.h"
#include "tests/testing.h"

#include <math.h>

enum { N = 20000 /* sums; the error varies by 1% between seeds */ };

static float rounded(float v, dt_dtype wire)
{
    return wire == DT_F16 ? dt_half_to_float(dt_half_from_float(v))
                          : dt_bfloat_to_float(dt_bfloat_from_float(v));
}

/* Root mean square of the error, relative to that of the sums. The ranks' gradients are independent, and
 * normally distributed. */
static double ring_error(int n_ranks, dt_dtype wire)
{
    dt_rng rng = dt_rng_at(1, DT_RNG_TEST, 0, 0);
    double error = 0, size = 0;
    for (int i = 0; i < N; i++) {
        double exact = 0;
        float sum = 0;
        for (int r = 0; r < n_ranks; r++) {
            const float v = (float)dt_rng_normal(&rng);
            exact += (double)v;
            sum = rounded(sum + rounded(v, wire), wire);
        }
        error += ((double)sum - exact) * ((double)sum - exact);
        size += exact * exact;
    }
    return sqrt(error / size);
}

static void errors_are_those_of_the_table(void)
{
    static const struct {
        int n_ranks;
        double bf16, fp16; /* percent */
    } table[] = {{8, 0.41, 0.051}, {16, 0.53, 0.065}, {32, 0.71, 0.09}, {64, 0.98, 0.12}, {256, 1.92, 0.24}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const double bf16 = 100 * ring_error(table[i].n_ranks, DT_BF16),
                     fp16 = 100 * ring_error(table[i].n_ranks, DT_F16);
        DT_CHECK_CLOSE(bf16, table[i].bf16, 0.05 * table[i].bf16);
        DT_CHECK_CLOSE(fp16, table[i].fp16, 0.05 * table[i].fp16);
    }
}

static const dt_test tests[] = {DT_TEST(errors_are_those_of_the_table)};

DT_TEST_MAIN("comm/wire_error", tests)
