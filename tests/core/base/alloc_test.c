/* Memory, and allocations that tests make fail. */
#include "core/base/alloc.h"
#include "tests/testing.h"

#include <pthread.h>
#include <string.h>

static bool aligned(const void *p)
{
    return (uintptr_t)p % DT_ALIGNMENT == 0;
}

static void blocks_of_any_size_are_aligned(void)
{
    for (size_t bytes = 0; bytes < 300; bytes++) {
        char *p = dt_alloc(bytes);
        char *q = dt_realloc(dt_alloc(3), 3, bytes);
        DT_CHECK(p != NULL && aligned(p));
        DT_CHECK(q != NULL && aligned(q));
        memset(p, 1, bytes);
        dt_free(p);
        dt_free(q);
    }
}

static void calloc_zeroes_memory_that_was_used_before(void)
{
    static const char zeros[4096];
    char *dirty = dt_alloc(4096);
    memset(dirty, 0xff, 4096);
    dt_free(dirty);
    char *p = dt_calloc(64, 64);
    DT_CHECK_BYTES(p, zeros, 4096);
    dt_free(p);
}

static void calloc_refuses_a_product_that_overflows(void)
{
    const volatile size_t half = SIZE_MAX / 2 + 1; /* twice that is 0 */
    DT_CHECK(dt_calloc(half, 2) == NULL);
    DT_CHECK(dt_calloc(2, half) == NULL);
    void *none = dt_calloc(half, 0);
    DT_CHECK(none != NULL);
    dt_free(none);
}

static void a_request_beyond_all_memory_returns_null(void)
{
    const volatile size_t huge = SIZE_MAX / 2;
    const int64_t before = dt_alloc_live_blocks();
    DT_CHECK(dt_alloc(huge) == NULL);
    DT_CHECK_INT(dt_alloc_live_blocks(), before);
}

static void realloc_keeps_the_content_that_fits(void)
{
    char *p = dt_realloc(NULL, 0, 6);
    memcpy(p, "ABCDE", 6);
    p = dt_realloc(p, 6, 1000);
    DT_CHECK_STR(p, "ABCDE");
    p = dt_realloc(p, 1000, 2);
    DT_CHECK_BYTES(p, "AB", 2);
    dt_free(p);
}

static void a_failed_realloc_leaves_the_old_block(void)
{
    char *p = dt_strdup("ABCDE");
    dt_alloc_fail_after(1);
    DT_CHECK(dt_realloc(p, 6, 12) == NULL);
    DT_CHECK_STR(p, "ABCDE");
    dt_free(p);
}

static void strings_are_copied_and_printed(void)
{
    char *copy = dt_strdup("");
    char *printed = dt_strprintf("%s-%d", "step", 12);
    char *longer = dt_strprintf("%*s", 5000, "x");
    DT_CHECK_STR(copy, "");
    DT_CHECK_STR(printed, "step-12");
    DT_CHECK_INT(strlen(longer), 5000);
    dt_free(copy);
    dt_free(printed);
    dt_free(longer);
}

static void live_blocks_count_what_is_not_freed(void)
{
    const int64_t before = dt_alloc_live_blocks();
    void *blocks[] = {dt_alloc(1), dt_calloc(2, 2), dt_strdup("a"), dt_strprintf("b"),
                      dt_realloc(NULL, 0, 4)};
    DT_CHECK_INT(dt_alloc_live_blocks(), before + 5);
    blocks[0] = dt_realloc(blocks[0], 1, 100);
    DT_CHECK_INT(dt_alloc_live_blocks(), before + 5);
    for (int i = 0; i < 5; i++)
        dt_free(blocks[i]);
    dt_free(NULL);
    DT_CHECK_INT(dt_alloc_live_blocks(), before);
}

static void the_nth_allocation_alone_fails(void)
{
    dt_alloc_fail_after(3);
    void *p[] = {dt_alloc(1), dt_calloc(1, 1), dt_strdup("c"), dt_strprintf("d")};
    DT_CHECK(p[0] != NULL);
    DT_CHECK(p[1] != NULL);
    DT_CHECK(p[2] == NULL);
    DT_CHECK(p[3] != NULL);
    for (int i = 0; i < 4; i++)
        dt_free(p[i]);
}

static void fail_after_0_turns_it_off(void)
{
    dt_alloc_fail_after(1);
    dt_alloc_fail_after(0);
    void *p = dt_alloc(1);
    DT_CHECK(p != NULL);
    dt_free(p);
}

enum { N_THREADS = 4, N_ROUNDS = 2000 };

static void *allocate_and_free(void *n_failed)
{
    for (int i = 0; i < N_ROUNDS; i++) {
        void *p = dt_alloc(64);
        *(int *)n_failed += p == NULL;
        dt_free(p);
    }
    return NULL;
}

static void among_threads_one_allocation_fails_and_none_is_miscounted(void)
{
    const int64_t before = dt_alloc_live_blocks();
    int n_failed[N_THREADS] = {0}, total = 0;
    pthread_t threads[N_THREADS];
    dt_alloc_fail_after(N_THREADS * N_ROUNDS / 2);
    for (int i = 0; i < N_THREADS; i++)
        DT_REQUIRE(pthread_create(&threads[i], NULL, allocate_and_free, &n_failed[i]) == 0);
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
        total += n_failed[i];
    }
    DT_CHECK_INT(total, 1);
    DT_CHECK_INT(dt_alloc_live_blocks(), before);
}

static void out_of_memory_is_reported_with_size_and_purpose(void)
{
    dt_error err;
    DT_CHECK_INT(dt_fail_memory(&err, 123456, "the momentum"), DT_ERR_MEMORY);
    DT_CHECK_STR(err.message, "out of memory: 123456 bytes for the momentum");
}

static const dt_test tests[] = {
    DT_TEST(blocks_of_any_size_are_aligned),
    DT_TEST(calloc_zeroes_memory_that_was_used_before),
    DT_TEST(calloc_refuses_a_product_that_overflows),
    DT_TEST(a_request_beyond_all_memory_returns_null),
    DT_TEST(realloc_keeps_the_content_that_fits),
    DT_TEST(a_failed_realloc_leaves_the_old_block),
    DT_TEST(strings_are_copied_and_printed),
    DT_TEST(live_blocks_count_what_is_not_freed),
    DT_TEST(the_nth_allocation_alone_fails),
    DT_TEST(fail_after_0_turns_it_off),
    DT_TEST(among_threads_one_allocation_fails_and_none_is_miscounted),
    DT_TEST(out_of_memory_is_reported_with_size_and_purpose),
};

DT_TEST_MAIN("core/base/alloc", tests)
