/* Random numbers: the published vectors, independence of streams, distributions, permutations. */
#include "core/base/rng.h"
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void philox_gives_the_published_values(void)
{
    /* The known answers of Random123 (D. E. Shaw Research) for philox4x32-10. */
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint32_t out[4];
        dt_rng_philox4x32(known[i].counter, known[i].key, out);
        for (int j = 0; j < 4; j++)
            DT_CHECK_INT(out[j], known[i].out[j]);
    }
}

static void the_same_arguments_give_the_same_numbers(void)
{
    dt_rng a = dt_rng_at(7, DT_RNG_AUGMENT, 3, 11), b = dt_rng_at(7, DT_RNG_AUGMENT, 3, 11);
    for (int i = 0; i < 1000; i++)
        DT_CHECK_INT(dt_rng_u32(&a), dt_rng_u32(&b));
}

/* A change of these numbers changes the order of samples, the augmentation and the initial weights of all
 * runs. */
static void the_numbers_are_those_of_earlier_versions(void)
{
    dt_rng g = dt_rng_at(0x0123456789abcdef, DT_RNG_INIT, 0x1111222233334444, 0x5555666677778888);
    DT_CHECK_INT(dt_rng_u32(&g), 0xc1f019f0);
    DT_CHECK_INT(dt_rng_u64(&g), (int64_t)0x7465b16dafb83266);
    DT_CHECK_CLOSE(dt_rng_normal(&g), 1.65612686, 1e-7);
    DT_CHECK_INT(dt_rng_permute(1, 2, 1281167, 3), 700272);
    g = dt_rng_at(0x0123456789abcdef, DT_RNG_INIT, 0x1111222233334444, 0x5555666677778888);
    DT_CHECK(dt_rng_uniform(&g) == 0x1.83e032p-1F);              /* 0xc1f019 / 2^24 */
    DT_CHECK(dt_rng_uniform_double(&g) == 0x1.d196c5b6bee0cp-2); /* the upper 53 bits of 0x7465b16dafb83266 */
    static const int64_t middles[][2] = {{2, 1},   {4, 1},   {5, 2},    {16, 12},    {17, 3},
                                         {64, 34}, {65, 56}, {256, 34}, {4096, 799}, {65536, 15161}};
    for (size_t i = 0; i < sizeof middles / sizeof *middles; i++) /* powers of 4 and others */
        DT_CHECK_INT(dt_rng_permute(1, 2, middles[i][0], middles[i][0] / 2), middles[i][1]);
}

static void every_argument_changes_the_numbers(void)
{
    const struct {
        uint64_t seed;
        dt_rng_purpose purpose;
        uint64_t a, b;
    } arguments[] = {
        {0, DT_RNG_ORDER, 0, 0},   {1, DT_RNG_ORDER, 0, 0},          {1ULL << 32, DT_RNG_ORDER, 0, 0},
        {0, DT_RNG_AUGMENT, 0, 0}, {0, DT_RNG_INIT, 0, 0},           {0, DT_RNG_REPLACE, 0, 0},
        {0, DT_RNG_TEST, 0, 0},    {0, DT_RNG_ORDER, 1, 0},          {0, DT_RNG_ORDER, 1ULL << 32, 0},
        {0, DT_RNG_ORDER, 0, 1},   {0, DT_RNG_ORDER, 0, 1ULL << 32},
    };
    enum { N = sizeof arguments / sizeof arguments[0], PER_GENERATOR = 64 };
    static uint32_t values[N][PER_GENERATOR];
    for (int p = 0; p < N; p++) {
        dt_rng g = dt_rng_at(arguments[p].seed, arguments[p].purpose, arguments[p].a, arguments[p].b);
        for (int i = 0; i < PER_GENERATOR; i++)
            values[p][i] = dt_rng_u32(&g);
    }
    /* 11 * 64 values of 32 bits: by chance one pair is equal in one of 17,000 such sets. */
    int n_equal = 0;
    for (int i = 0; i < N * PER_GENERATOR; i++)
        for (int j = 0; j < i; j++)
            n_equal +=
                values[i / PER_GENERATOR][i % PER_GENERATOR] == values[j / PER_GENERATOR][j % PER_GENERATOR];
    DT_CHECK_INT(n_equal, 0);
}

/* Chi-square against equal counts, as a number of standard deviations. */
static double chi_square_z(const int64_t *counts, int64_t n_bins, double expected)
{
    double chi_square = 0;
    for (int64_t i = 0; i < n_bins; i++)
        chi_square += ((double)counts[i] - expected) * ((double)counts[i] - expected) / expected;
    const double freedom = (double)(n_bins - 1);
    return (chi_square - freedom) / sqrt(2 * freedom);
}

static void uniform_numbers_fill_their_range_evenly(void)
{
    enum { BINS = 256, N = 256 * 1000 };
    int64_t counts[BINS] = {0}, counts_double[BINS] = {0};
    dt_rng g = dt_rng_at(1, DT_RNG_TEST, 0, 0);
    for (int i = 0; i < N; i++) {
        const float u = dt_rng_uniform(&g);
        const double v = dt_rng_uniform_double(&g);
        DT_REQUIRE(u >= 0 && u < 1 && v >= 0 && v < 1);
        counts[(int)(u * (float)BINS)]++;
        counts_double[(int)(v * (double)BINS)]++;
    }
    DT_CHECK_CLOSE(chi_square_z(counts, BINS, N / BINS), 0, 5);
    DT_CHECK_CLOSE(chi_square_z(counts_double, BINS, N / BINS), 0, 5);
}

static void the_extremes_stay_in_range(void)
{
    dt_rng g = {.n_left = 4, .buffer = {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}};
    DT_CHECK(dt_rng_uniform(&g) < 1);
    DT_CHECK(dt_rng_uniform_double(&g) < 1);
    g = (dt_rng){.n_left = 4, .buffer = {0x800}}; /* all 53 bits count */
    DT_CHECK(dt_rng_uniform_double(&g) == 0x1p-53);
    g = (dt_rng){.n_left = 4};
    const float farthest = dt_rng_normal(&g); /* log of the smallest number, not of 0 */
    DT_CHECK_CLOSE(farthest, sqrt(-2 * log(0x1p-32)), 1e-5);
}

static void below_is_even_and_stays_below(void)
{
    const int N = 700 * 1000;
    int64_t counts[7] = {0};
    dt_rng g = dt_rng_at(2, DT_RNG_TEST, 0, 0);
    for (int i = 0; i < N; i++) {
        const uint64_t value = dt_rng_below(&g, 7);
        DT_REQUIRE(value < 7);
        counts[value]++;
    }
    DT_CHECK_CLOSE(chi_square_z(counts, 7, N / 7.0), 0, 5);
    DT_CHECK_INT(dt_rng_below(&g, 1), 0);
}

static void below_a_huge_bound_has_no_bias(void)
{
    /* A 64-bit number modulo 3/4 * 2^64 without rejection would lie in the lower third of the range half of
     * the time. */
    const int N = 30000;
    int64_t counts[3] = {0};
    const uint64_t third = 1ULL << 62;
    dt_rng g = dt_rng_at(3, DT_RNG_TEST, 0, 0);
    for (int i = 0; i < N; i++)
        counts[dt_rng_below(&g, 3 * third) / third]++;
    DT_CHECK_CLOSE(chi_square_z(counts, 3, N / 3.0), 0, 5);
}

static void normal_numbers_have_the_moments_of_the_normal_distribution(void)
{
    const int N = 1000000;
    double sum[5] = {0}, lag = 0, previous = 0;
    dt_rng g = dt_rng_at(4, DT_RNG_TEST, 0, 0);
    for (int i = 0; i < N; i++) {
        const double x = dt_rng_normal(&g);
        for (int k = 1; k <= 4; k++)
            sum[k] += pow(x, k);
        lag += x * previous;
        previous = x;
    }
    /* Five standard deviations of each mean: Var(x^k) = E x^2k - (E x^k)^2 = 1, 2, 15, 96. */
    DT_CHECK_CLOSE(sum[1] / N, 0, 5 * sqrt(1.0 / N));
    DT_CHECK_CLOSE(sum[2] / N, 1, 5 * sqrt(2.0 / N));
    DT_CHECK_CLOSE(sum[3] / N, 0, 5 * sqrt(15.0 / N));
    DT_CHECK_CLOSE(sum[4] / N, 3, 5 * sqrt(96.0 / N));
    DT_CHECK_CLOSE(lag / N, 0, 5 * sqrt(1.0 / N));
}

static void normal_numbers_fill_the_quantiles_evenly(void)
{
    enum { BINS = 100, N = 200000 };
    int64_t counts[BINS] = {0};
    dt_rng g = dt_rng_at(5, DT_RNG_TEST, 0, 0);
    for (int i = 0; i < N; i++) {
        const double quantile = 0.5 * erfc(-(double)dt_rng_normal(&g) / sqrt(2));
        counts[(int)fmin(quantile * (double)BINS, BINS - 1)]++;
    }
    DT_CHECK_CLOSE(chi_square_z(counts, BINS, (double)N / (double)BINS), 0, 5);
}

static bool is_permutation(uint64_t seed, uint64_t epoch, int64_t n, unsigned char *seen)
{
    memset(seen, 0, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        const int64_t place = dt_rng_permute(seed, epoch, n, i);
        if (place < 0 || place >= n || seen[place])
            return false;
        seen[place] = 1;
    }
    return true;
}

static void a_permutation_maps_no_two_positions_to_one_value(void)
{
    static unsigned char seen[300000];
    for (int64_t n = 1; n <= 2000; n++)
        DT_CHECK_MSG(is_permutation((uint64_t)n, 3, n, seen), "n = %lld", (long long)n);
    static const int64_t larger[] = {4095, 4096, 4097, 50000, 65535, 65536, 65537, 262143, 262144, 262145};
    for (size_t i = 0; i < sizeof larger / sizeof larger[0]; i++)
        DT_CHECK_MSG(is_permutation(9, i, larger[i], seen), "n = %lld", (long long)larger[i]);
}

static void permuted_positions_stay_in_range_for_the_largest_n(void)
{
    static const int64_t sizes[] = {INT32_MAX, 1LL << 32,       (1LL << 62) - 1,
                                    1LL << 62, (1LL << 62) + 1, INT64_MAX};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (int64_t i = 0; i < 100; i++) {
            const int64_t place = dt_rng_permute(1, 1, sizes[s], sizes[s] - 1 - i);
            DT_CHECK(place >= 0 && place < sizes[s]);
        }
    }
}

static void every_seed_and_epoch_has_another_order(void)
{
    enum { N = 1000 };
    int n_equal_epoch = 0, n_equal_seed = 0, n_fixed = 0, n_next = 0;
    for (int64_t i = 0; i < N; i++) {
        const int64_t place = dt_rng_permute(1, 1, N, i);
        n_equal_epoch += place == dt_rng_permute(1, 2, N, i);
        n_equal_seed += place == dt_rng_permute(2, 1, N, i);
        n_fixed += place == i;
        n_next += dt_rng_permute(1, 1, N, (i + 1) % N) == place + 1;
    }
    /* Each is Poisson distributed with mean 1: more than 9 happens once in 10^7. */
    DT_CHECK(n_equal_epoch <= 9);
    DT_CHECK(n_equal_seed <= 9);
    DT_CHECK(n_fixed <= 9);
    DT_CHECK(n_next <= 9);
}

static void every_order_of_few_samples_is_equally_likely(void)
{
    /* n = 2 to 6, all n! orders, over many seeds: the smallest networks mix the least. */
    enum { PER_ORDER = 300 };
    static int64_t counts[720];
    for (int64_t n = 2; n <= 6; n++) {
        int64_t n_orders = 1;
        for (int64_t k = 2; k <= n; k++)
            n_orders *= k;
        memset(counts, 0, sizeof counts);
        for (uint64_t seed = 0; seed < (uint64_t)(PER_ORDER * n_orders); seed++) {
            int64_t order = 0;
            int64_t values[6];
            for (int64_t i = 0; i < n; i++) {
                int64_t rank = values[i] = dt_rng_permute(seed, 0, n, i);
                for (int64_t j = 0; j < i; j++)
                    rank -= values[j] < values[i];
                order = order * (n - i) + rank;
            }
            counts[order]++;
        }
        const double z = chi_square_z(counts, n_orders, PER_ORDER);
        DT_CHECK_MSG(fabs(z) < 5, "n = %lld: %g standard deviations", (long long)n, z);
    }
}

static void every_value_is_equally_likely_at_every_position(void)
{
    /* All pairs (position, value) over many epochs, and the differences of neighbours. */
    static const int64_t sizes[] = {8, 16, 17, 50, 64};
    enum { EPOCHS = 20000 };
    static int64_t counts[64 * 64], differences[64];
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const int64_t n = sizes[s];
        memset(counts, 0, sizeof counts);
        memset(differences, 0, sizeof differences);
        for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
            int64_t previous = -1;
            for (int64_t i = 0; i < n; i++) {
                const int64_t value = dt_rng_permute(11, epoch, n, i);
                counts[i * n + value]++;
                if (i == 1)
                    differences[(value - previous + n) % n - 1]++;
                previous = value;
            }
        }
        const double z = chi_square_z(counts, n * n, (double)EPOCHS / (double)n);
        const double z_difference = chi_square_z(differences, n - 1, (double)EPOCHS / (double)(n - 1));
        DT_CHECK_MSG(fabs(z) < 5, "n = %lld: %g standard deviations", (long long)n, z);
        DT_CHECK_MSG(fabs(z_difference) < 5, "n = %lld: neighbours: %g standard deviations", (long long)n,
                     z_difference);
    }
}

static const dt_test tests[] = {
    DT_TEST(philox_gives_the_published_values),
    DT_TEST(the_same_arguments_give_the_same_numbers),
    DT_TEST(the_numbers_are_those_of_earlier_versions),
    DT_TEST(every_argument_changes_the_numbers),
    DT_TEST(uniform_numbers_fill_their_range_evenly),
    DT_TEST(the_extremes_stay_in_range),
    DT_TEST(below_is_even_and_stays_below),
    DT_TEST(below_a_huge_bound_has_no_bias),
    DT_TEST(normal_numbers_have_the_moments_of_the_normal_distribution),
    DT_TEST(normal_numbers_fill_the_quantiles_evenly),
    DT_TEST(a_permutation_maps_no_two_positions_to_one_value),
    DT_TEST(permuted_positions_stay_in_range_for_the_largest_n),
    DT_TEST(every_seed_and_epoch_has_another_order),
    DT_TEST(every_order_of_few_samples_is_equally_likely),
    DT_TEST(every_value_is_equally_likely_at_every_position),
};

DT_TEST_MAIN("core/base/rng", tests)
