/* The emulator of CUDA: what a kernel may rely on, and the mistakes that the emulator must report. */
#include "tests/emulator/emulator.h"

#include "tests/emulator/samples.h"
#include "tests/testing.h"

#include <math.h>

static void threads_have_their_indices_in_three_dimensions(void)
{
    enum { N = 2 * 3 * 4 * 5 * 3 * 2 };
    unsigned out[N + 1];
    int at = 0;
    out[N] = 7;
    DT_CHECK_INT(sample_indices(out), 0);
    for (unsigned bz = 0; bz < 4; bz++)
        for (unsigned by = 0; by < 3; by++)
            for (unsigned bx = 0; bx < 2; bx++)
                for (unsigned z = 0; z < 2; z++)
                    for (unsigned y = 0; y < 3; y++)
                        for (unsigned x = 0; x < 5; x++)
                            DT_REQUIRE(out[at++] ==
                                       ((((bz * 10 + by) * 10 + bx) * 10 + z) * 10 + y) * 10 + x);
    DT_CHECK_INT(out[N], 7);
}

static int n_wrong_after_turning(unsigned n_blocks, unsigned n_threads, bool dynamic)
{
    static int x[3 * SAMPLE_MAX_THREADS];
    int n_wrong = 0, n = (int)n_threads;
    for (int i = 0; i < (int)n_blocks * n; i++)
        x[i] = i;
    DT_CHECK_INT(sample_turn(x, n_blocks, n_threads, dynamic), 0);
    for (int i = 0; i < (int)n_blocks * n; i++)
        n_wrong += x[i] != i / n * n + n - 1 - i % n;
    return n_wrong;
}

static void shared_memory_is_visible_after_a_barrier(void)
{
    static const unsigned n_threads[] = {1, 2, 31, 33, 256, 1024};
    for (unsigned order = 0; order < 4; order++) {
        dt_emulator_set_order(order);
        for (size_t i = 0; i < sizeof n_threads / sizeof *n_threads; i++) {
            DT_CHECK_INT(n_wrong_after_turning(3, n_threads[i], false), 0);
            DT_CHECK_INT(n_wrong_after_turning(3, n_threads[i], true), 0);
        }
    }
    dt_emulator_set_order(0);
}

static void warps_shuffle_and_vote(void)
{
    double by_xor[40];
    float by_down[2];
    unsigned ballots[40];
    int from_lane_2[40];
    DT_CHECK_INT(sample_warps(by_xor, by_down, ballots, from_lane_2), 0);
    for (int i = 0; i < 40; i++) {
        DT_CHECK(by_xor[i] == (i < 32 ? 496 : 284));
        DT_CHECK_INT(ballots[i], i < 32 ? 0x49249249U : 0x49U);
        DT_CHECK_INT(from_lane_2[i], i < 32 ? 2 : 34);
    }
    DT_CHECK(by_down[0] == 496);
}

static void shared_memory_begins_as_nan_in_every_block(void)
{
    float out[3] = {0};
    for (int i = 0; i < 2; i++)
        DT_CHECK_INT(sample_unwritten(out, 3), 0);
    DT_CHECK(isnan(out[0]) && isnan(out[1]) && isnan(out[2]));
}

static void a_missing_barrier_is_detected(void)
{
    dt_emulator_plant("turn", DT_EMULATOR_NO_BARRIERS);
    int n_wrong = n_wrong_after_turning(1, 64, false);
    dt_emulator_plant(NULL, DT_EMULATOR_NO_BARRIERS);
    DT_CHECK_MSG(n_wrong > 0, "64 threads that read what the next ones write");
}

static void planted_gaps_skip_their_part(void)
{
    dt_emulator_plant("turn", DT_EMULATOR_NO_LAST_BLOCK);
    DT_CHECK_INT(n_wrong_after_turning(2, 64, false), 64);
    dt_emulator_plant("turn_static", DT_EMULATOR_NO_LAUNCH);
    DT_CHECK_INT(n_wrong_after_turning(2, 64, false), 128);
    DT_CHECK_INT(n_wrong_after_turning(2, 64, true), 0);
    unsigned out[720];
    out[719] = 1;
    dt_emulator_plant("indices", DT_EMULATOR_NO_LAST_THREAD);
    DT_CHECK_INT(sample_indices(out), 0);
    DT_CHECK_INT(out[719], 1);
    DT_CHECK_INT(out[718], 321123);
    dt_emulator_plant(NULL, DT_EMULATOR_NO_LAUNCH);
    DT_CHECK_INT(n_wrong_after_turning(2, 64, false), 0);
}

typedef struct divergence {
    sample_mistake_kind kind;
    int thread;
    const char *kernel, *message;
} divergence;

/* After each of them the emulator works as before. */
static void threads_that_diverge_are_reported(void)
{
    static const divergence divergences[] = {
        {SAMPLE_LEAVES, 0, "kernel leaves, block (0,0,0) of (2,1,1)", "thread 0 has left"},
        {SAMPLE_LEAVES, 37, "kernel leaves", "thread 37 has left, and thread 32 waits for it in line"},
        {SAMPLE_LEAVES, 63, "kernel leaves", "63 wait"},
        {SAMPLE_OTHER_BARRIER, 5, "kernel other_barrier", "thread 5 comes to line"},
        {SAMPLE_OTHER_BARRIER, 0, "kernel other_barrier", "while thread 0 waits in line"},
        {SAMPLE_LANE_IS_MISSING, 33, "kernel lane_is_missing", "thread 33 has left, and thread 32 waits"},
        {SAMPLE_MASK_IS_WRONG, 40, "kernel mask_is_wrong", "thread 40: in line"},
    };
    for (size_t i = 0; i < sizeof divergences / sizeof *divergences; i++) {
        const divergence *d = &divergences[i];
        DT_CHECK_INT(sample_mistake(d->kind, d->thread), DT_EMULATOR_LAUNCH_FAILED);
        DT_CHECK_CONTAINS(dt_emulator_message(), d->kernel);
        DT_CHECK_CONTAINS(dt_emulator_message(), d->message);
        DT_CHECK_INT(n_wrong_after_turning(2, 256, true), 0);
        DT_CHECK_INT(sample_mistake(SAMPLE_LEAVES, -1), 0);
    }
}

static void a_launch_beyond_the_limits_of_gpus_is_refused(void)
{
    DT_CHECK_INT(sample_configuration(1, 1024, 48 << 10), 0);
    DT_CHECK_INT(sample_configuration(0, 32, 0), DT_EMULATOR_INVALID_CONFIGURATION);
    DT_CHECK_INT(sample_configuration(1, 0, 0), DT_EMULATOR_INVALID_CONFIGURATION);
    DT_CHECK_INT(sample_configuration(1, 1025, 0), DT_EMULATOR_INVALID_CONFIGURATION);
    DT_CHECK_INT(sample_configuration(1, 32, (48 << 10) + 1), DT_EMULATOR_INVALID_CONFIGURATION);
    DT_CHECK_CONTAINS(dt_emulator_message(), "no GPU accepts this");
}

static const dt_test tests[] = {
    DT_TEST(threads_have_their_indices_in_three_dimensions),
    DT_TEST(shared_memory_is_visible_after_a_barrier),
    DT_TEST(warps_shuffle_and_vote),
    DT_TEST(shared_memory_begins_as_nan_in_every_block),
    DT_TEST(a_missing_barrier_is_detected),
    DT_TEST(planted_gaps_skip_their_part),
    DT_TEST(threads_that_diverge_are_reported),
    DT_TEST(a_launch_beyond_the_limits_of_gpus_is_refused),
};
DT_TEST_MAIN("emulator/emulator", tests)
