/* A ticker calls its function again and again in a thread of its own, until it is destroyed. */
#include "core/base/ticker.h"

#include "core/base/alloc.h"
#include "tests/testing.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

typedef struct ticks {
    atomic_int n;
    int n_fast; /* so many ticks follow each other at once; then the next is far away */
    pthread_t thread;
    bool blocks_signals;
} ticks;

static double tick(void *context)
{
    ticks *t = context;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    t->thread = pthread_self();
    t->blocks_signals = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGUSR1) == 1;
    return atomic_fetch_add(&t->n, 1) + 1 < t->n_fast ? 0.0 : INFINITY;
}

static void wait_for(const ticks *t, int n)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    while (atomic_load(&t->n) < n)
        nanosleep(&moment, NULL);
}

static void a_tick_returns_the_time_to_the_next(void)
{
    ticks t = {.n_fast = 5};
    dt_error err = {0};
    dt_ticker *ticker = NULL;
    sigset_t before, after;
    const int64_t blocks = dt_alloc_live_blocks();
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    DT_REQUIRE(dt_ticker_create(tick, &t, "the test", &ticker, &err) == DT_OK);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    DT_CHECK_INT(sigismember(&after, SIGTERM),
                 sigismember(&before, SIGTERM)); /* the caller's mask is restored */
    wait_for(&t, 5);
    dt_ticker_destroy(ticker); /* does not wait for the next tick, which would never come */
    DT_CHECK_INT(atomic_load(&t.n), 5);
    DT_CHECK(!pthread_equal(t.thread, pthread_self()));
    DT_CHECK(t.blocks_signals);
    DT_CHECK_INT(dt_alloc_live_blocks(), blocks);
}

static void the_first_tick_comes_at_once(void)
{
    ticks t = {.n_fast = 1};
    dt_ticker *ticker = NULL;
    DT_REQUIRE(dt_ticker_create(tick, &t, "the test", &ticker, NULL) == DT_OK);
    wait_for(&t, 1);
    dt_ticker_destroy(ticker);
    DT_CHECK_INT(atomic_load(&t.n), 1);
    dt_ticker_destroy(NULL);
}

static void without_memory_there_is_no_ticker(void)
{
    ticks t = {0};
    dt_error err = {0};
    dt_ticker *ticker = NULL;
    dt_alloc_fail_after(1);
    DT_CHECK_INT(dt_ticker_create(tick, &t, "the test", &ticker, &err), DT_ERR_MEMORY);
    dt_alloc_fail_after(0);
    DT_CHECK(ticker == NULL);
    DT_CHECK_CONTAINS(err.message, "the test");
    DT_CHECK_INT(atomic_load(&t.n), 0);
}

static const dt_test tests[] = {
    DT_TEST(a_tick_returns_the_time_to_the_next),
    DT_TEST(the_first_tick_comes_at_once),
    DT_TEST(without_memory_there_is_no_ticker),
};
DT_TEST_MAIN("core/base/ticker", tests)
