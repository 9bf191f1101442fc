/* The order of samples and their distribution over ranks and micro-batches, as core/source.h defines it. */
#include "io/source/sampler.h"

#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

static void every_position_is_used_once_at_any_world_size(void)
{
    static const int64_t shapes[][3] = {
        {1, 1, 12}, {2, 3, 2}, {3, 1, 4}, {4, 2, 3}, {6, 2, 1}}; /* world, accumulate, batch */
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        int64_t world = shapes[s][0], accumulate = shapes[s][1], batch = shapes[s][2],
                global = world * accumulate * batch;
        int seen[200] = {0};
        for (int64_t rank = 0; rank < world; rank++) {
            dt_sampler sampler = {
                .n_samples = 200, .batch = batch, .accumulate = accumulate, .rank = rank, .world = world};
            for (int64_t k = 0; k < 3 * accumulate; k++)
                for (int64_t row = 0; row < batch; row++) {
                    int64_t position = dt_sampler_position(&sampler, 10, k, row);
                    DT_REQUIRE(position >= 10 && position < 10 + 3 * global);
                    /* the k-th micro-batch is of step k / accumulate */
                    DT_CHECK_INT((position - 10) / global, k / accumulate);
                    seen[position]++;
                }
        }
        for (int64_t p = 10; p < 10 + 3 * global; p++)
            DT_CHECK_INT(seen[p], 1);
    }
}

/* 2 ranks and 1 rank that accumulates twice compute the same micro-batches in the same order. */
static void two_ranks_equal_one_that_accumulates_twice(void)
{
    dt_sampler one = {.n_samples = 100, .batch = 5, .accumulate = 2, .world = 1};
    for (int64_t k = 0; k < 8; k++) {
        dt_sampler two = {.n_samples = 100, .batch = 5, .accumulate = 1, .world = 2, .rank = k % 2};
        for (int64_t row = 0; row < 5; row++)
            DT_CHECK_INT(dt_sampler_position(&two, 0, k / 2, row), dt_sampler_position(&one, 0, k, row));
    }
}

static void a_rank_gets_consecutive_micro_batches(void)
{
    dt_sampler rank1 = {.n_samples = 1000, .batch = 10, .accumulate = 2, .world = 3, .rank = 1};
    static const int64_t expected[] = {20, 30, 80, 90, 140, 150};
    for (int64_t k = 0; k < 6; k++)
        DT_CHECK_INT(dt_sampler_position(&rank1, 0, k, 0), expected[k]);
}

static void a_shuffled_epoch_is_a_permutation_of_its_own(void)
{
    enum { N = 1000 };
    dt_sampler sampler = {
        .n_samples = N, .seed = 5, .shuffle = true, .batch = 1, .accumulate = 1, .world = 1};
    char seen[N] = {0};
    int64_t same_place = 0, same_as_next_epoch = 0;
    for (int64_t p = 0; p < N; p++) {
        int64_t id = dt_sampler_id(&sampler, 3, p);
        DT_REQUIRE(id >= 0 && id < N && !seen[id]);
        seen[id] = 1;
        same_place += id == p;
        same_as_next_epoch += id == dt_sampler_id(&sampler, 4, p);
    }
    DT_CHECK(same_place < 10);
    DT_CHECK(same_as_next_epoch < 10);
}

static void without_shuffling_the_order_is_that_of_the_files(void)
{
    dt_sampler sampler = {.n_samples = 10, .batch = 4, .accumulate = 1, .world = 1};
    for (int64_t p = 0; p < 10; p++)
        DT_CHECK_INT(dt_sampler_id(&sampler, 7, p), p);
}

static void beyond_the_last_sample_there_is_none(void)
{
    dt_sampler sampler = {.n_samples = 10, .shuffle = true, .batch = 4, .accumulate = 1, .world = 1};
    DT_CHECK_INT(dt_sampler_id(&sampler, 0, 10), -1);
    DT_CHECK_INT(dt_sampler_id(&sampler, 0, 99), -1);
}

static const dt_test tests[] = {
    DT_TEST(every_position_is_used_once_at_any_world_size),
    DT_TEST(two_ranks_equal_one_that_accumulates_twice),
    DT_TEST(a_rank_gets_consecutive_micro_batches),
    DT_TEST(a_shuffled_epoch_is_a_permutation_of_its_own),
    DT_TEST(without_shuffling_the_order_is_that_of_the_files),
    DT_TEST(beyond_the_last_sample_there_is_none),
};
DT_TEST_MAIN("io/source/sampler", tests)
