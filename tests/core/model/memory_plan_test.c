/* The memory plan: blocks that live at the same time never overlap, and memory is reused. */
#include "core/base/alloc.h"
#include "core/base/rng.h"
#include "core/model/memory_plan.h"
#include "tests/testing.h"

#define MAX_BLOCKS 200

static int64_t plan(dt_planned_block *blocks, int64_t n)
{
    dt_error err = {0};
    int64_t total = -1;
    DT_REQUIRE_MSG(dt_memory_plan(blocks, n, &total, &err) == DT_OK, "%s", err.message);
    return total;
}

static bool collide(const dt_planned_block *a, const dt_planned_block *b)
{
    bool same_time = a->first <= b->last && b->first <= a->last;
    bool same_place = a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
    return same_time && same_place;
}

/* The bytes that live at the busiest tick, which every plan needs at least. */
static int64_t least_bytes(const dt_planned_block *blocks, int64_t n, int64_t ticks)
{
    int64_t most = 0;
    for (int64_t t = 0; t < ticks; t++) {
        int64_t alive = 0;
        for (int64_t i = 0; i < n; i++)
            alive += blocks[i].first <= t && t <= blocks[i].last ? blocks[i].bytes : 0;
        most = alive > most ? alive : most;
    }
    return most;
}

static void blocks_that_live_together_never_overlap(void)
{
    enum { TICKS = 60 };
    for (uint64_t seed = 0; seed < 50; seed++) {
        dt_planned_block blocks[MAX_BLOCKS];
        dt_rng g = dt_rng_at(seed, DT_RNG_TEST, 0, 0);
        int64_t n = 1 + (int64_t)dt_rng_below(&g, MAX_BLOCKS), sum = 0;
        for (int64_t i = 0; i < n; i++) {
            int64_t first = (int64_t)dt_rng_below(&g, TICKS),
                    last = first + (int64_t)dt_rng_below(&g, (uint64_t)(TICKS - first));
            blocks[i] = (dt_planned_block){
                .bytes = 1 + (int64_t)dt_rng_below(&g, 5000), .first = first, .last = last, .offset = -1};
            sum += blocks[i].bytes;
        }
        int64_t total = plan(blocks, n);
        for (int64_t i = 0; i < n; i++) {
            DT_CHECK(blocks[i].offset >= 0 && blocks[i].offset % DT_ALIGNMENT == 0 &&
                     blocks[i].offset + blocks[i].bytes <= total);
            for (int64_t k = 0; k < i; k++)
                DT_CHECK_MSG(!collide(&blocks[i], &blocks[k]), "seed %llu: blocks %lld and %lld",
                             (unsigned long long)seed, (long long)i, (long long)k);
        }
        DT_CHECK_MSG(total >= least_bytes(blocks, n, TICKS) && total <= sum + n * DT_ALIGNMENT,
                     "seed %llu: %lld bytes", (unsigned long long)seed, (long long)total);
    }
}

/* A chain like a net's backward pass: each block lives until the next one is made. */
static void a_chain_needs_the_memory_of_two_blocks(void)
{
    dt_planned_block blocks[20];
    for (int64_t i = 0; i < 20; i++)
        blocks[i] = (dt_planned_block){.bytes = 640, .first = i, .last = i + 1};
    DT_CHECK_INT(plan(blocks, 20), 2 * 640);
}

/* The largest first, each at the lowest offset that is free while it lives. */
static void a_block_fills_the_lowest_gap_that_is_large_enough(void)
{
    dt_planned_block b[] = {{.bytes = 64, .first = 0, .last = 10},  /* lives with all but the last */
                            {.bytes = 700, .first = 2, .last = 10}, /* where `900` was */
                            {.bytes = 1000, .first = 0, .last = 10},
                            {.bytes = 900, .first = 0, .last = 1},
                            {.bytes = 800, .first = 0, .last = 10},
                            {.bytes = 960, .first = 11, .last = 12}}; /* after all of them */
    DT_CHECK_INT(plan(b, 6), 1024 + 960 + 832 + 64);
    DT_CHECK_INT(b[2].offset, 0);
    DT_CHECK_INT(b[5].offset, 0);
    DT_CHECK_INT(b[3].offset, 1024);
    DT_CHECK_INT(b[4].offset, 1024 + 960);
    DT_CHECK_INT(b[1].offset, 1024);
    DT_CHECK_INT(b[0].offset, 1024 + 960 + 832);
}

/* Blocks that live in the same tick, be it one's last and the other's first, do not share memory; those of
 * neighbouring ticks do. */
static void a_tick_that_two_blocks_share_keeps_them_apart(void)
{
    dt_planned_block touching[] = {{.bytes = 64, .first = 0, .last = 3},
                                   {.bytes = 64, .first = 3, .last = 5}};
    dt_planned_block apart[] = {{.bytes = 64, .first = 0, .last = 3}, {.bytes = 65, .first = 4, .last = 5}};
    DT_CHECK_INT(plan(touching, 2), 128);
    DT_CHECK_INT(touching[0].offset, 0); /* of equal sizes the first comes first */
    DT_CHECK_INT(touching[1].offset, 64);
    DT_CHECK_INT(plan(apart, 2), 128); /* 65 bytes take 128 */
    DT_CHECK_INT(apart[0].offset + apart[1].offset, 0);
}

static void no_blocks_need_no_memory(void)
{
    DT_CHECK_INT(plan(NULL, 0), 0);
}

static void a_failed_allocation_is_reported(void)
{
    dt_error err = {0};
    int64_t total = 7, before = dt_alloc_live_blocks();
    dt_planned_block block = {.bytes = 1};
    for (int64_t n = 1; n <= 2; n++) {
        dt_alloc_fail_after(n);
        DT_CHECK_INT(dt_memory_plan(&block, 1, &total, &err), DT_ERR_MEMORY);
        dt_alloc_fail_after(0);
        DT_CHECK_INT(total, 7);
    }
    DT_CHECK_INT(dt_alloc_live_blocks(), before);
}

static const dt_test tests[] = {
    DT_TEST(blocks_that_live_together_never_overlap),
    DT_TEST(a_chain_needs_the_memory_of_two_blocks),
    DT_TEST(a_block_fills_the_lowest_gap_that_is_large_enough),
    DT_TEST(a_tick_that_two_blocks_share_keeps_them_apart),
    DT_TEST(no_blocks_need_no_memory),
    DT_TEST(a_failed_allocation_is_reported),
};
DT_TEST_MAIN("core/model/memory_plan", tests)
