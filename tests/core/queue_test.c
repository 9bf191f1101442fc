/* The bounded queue, alone and between threads. */
#include "core/base/clock.h"
#include "core/base/queue.h"
#include "tests/testing.h"

#include <pthread.h>

static char items[16]; /* &items[i] is item i */

static dt_queue *new_queue(int64_t capacity)
{
    dt_queue *queue = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(dt_queue_create(capacity, &queue, &err) == DT_OK, "%s", err.message);
    return queue;
}

static void items_come_out_in_the_order_they_went_in(void)
{
    dt_queue *queue = new_queue(3);
    void *item = NULL;
    int next_out = 0;
    for (int i = 0; i < 15; i++) { /* around the ring several times, two in it at most */
        DT_CHECK(dt_queue_push(queue, &items[i]));
        if (i % 2 == 1) {
            for (int k = 0; k < 2; k++) {
                DT_CHECK(dt_queue_pop(queue, &item));
                DT_CHECK(item == &items[next_out++]);
            }
        }
    }
    DT_CHECK_INT(dt_queue_length(queue), 1);
    dt_queue_destroy(queue);
}

static void a_null_item_is_an_item(void)
{
    dt_queue *queue = new_queue(1);
    void *item = items;
    DT_CHECK(dt_queue_push(queue, NULL));
    DT_CHECK(dt_queue_pop(queue, &item));
    DT_CHECK(item == NULL);
    dt_queue_destroy(queue);
}

static void after_closing_pops_drain_and_pushes_fail(void)
{
    dt_queue *queue = new_queue(4);
    void *item = NULL;
    bool timed_out = true;
    dt_queue_push(queue, &items[0]);
    dt_queue_push(queue, &items[1]);
    dt_queue_close(queue);
    dt_queue_close(queue);
    DT_CHECK(!dt_queue_push(queue, &items[2]));
    DT_CHECK(dt_queue_pop(queue, &item) && item == &items[0]);
    DT_CHECK(dt_queue_pop_timed(queue, 10, &item, &timed_out) && item == &items[1] && !timed_out);
    item = NULL;
    DT_CHECK(!dt_queue_pop(queue, &item));
    timed_out = true;
    DT_CHECK(!dt_queue_pop_timed(queue, 10, &item, &timed_out));
    DT_CHECK(!timed_out);
    DT_CHECK(item == NULL);
    dt_queue_destroy(queue);
}

static void a_timed_pop_gives_up_in_time(void)
{
    dt_queue *queue = new_queue(1);
    void *item = NULL;
    bool timed_out = false;
    const double start = dt_clock_s();
    DT_CHECK(!dt_queue_pop_timed(queue, 0.05, &item, &timed_out));
    DT_CHECK(timed_out);
    DT_CHECK(dt_clock_s() - start >= 0.0499);
    timed_out = false;
    DT_CHECK(!dt_queue_pop_timed(queue, 0, &item, &timed_out)); /* a glance */
    DT_CHECK(timed_out);
    dt_queue_push(queue, &items[3]);
    DT_CHECK(dt_queue_pop_timed(queue, 0, &item, &timed_out));
    DT_CHECK(item == &items[3] && !timed_out);
    dt_queue_destroy(queue);
}

static void impossible_capacities_are_refused(void)
{
    dt_queue *queue = (dt_queue *)items;
    dt_error err;
    DT_CHECK_INT(dt_queue_create(0, &queue, &err), DT_ERR_INTERNAL);
    DT_CHECK_INT(dt_queue_create(-1, &queue, &err), DT_ERR_INTERNAL);
    DT_CHECK_INT(dt_queue_create(INT64_MAX, &queue, &err), DT_ERR_INTERNAL);
    DT_CHECK(queue == (dt_queue *)items); /* set on success only */
    dt_queue_destroy(NULL);
}

/* -- threads ------------------------------------------------------------------------------------------------------ */

typedef struct waiter {
    dt_queue *queue;
    double after_s;
    void *item;
    bool result, timed_out;
} waiter;

static void *pop_one(void *context)
{
    waiter *w = context;
    w->result = dt_queue_pop(w->queue, &w->item);
    return NULL;
}

static void *pop_one_timed(void *context)
{
    waiter *w = context;
    w->result = dt_queue_pop_timed(w->queue, 1e12, &w->item, &w->timed_out);
    return NULL;
}

static void *push_one(void *context)
{
    waiter *w = context;
    w->result = dt_queue_push(w->queue, w->item);
    return NULL;
}

static void *close_later(void *context)
{
    waiter *w = context;
    dt_clock_sleep_s(w->after_s);
    dt_queue_close(w->queue);
    return NULL;
}

static void closing_wakes_everybody_who_waits(void)
{
    enum { N = 6 };
    dt_queue *empty = new_queue(1), *full = new_queue(1);
    dt_queue_push(full, &items[0]);
    waiter waiters[N];
    pthread_t threads[N];
    for (int i = 0; i < N; i++) {
        waiters[i] = (waiter){.queue = i < 4 ? empty : full, .item = &items[1], .result = true, .timed_out = true};
        DT_REQUIRE(pthread_create(&threads[i], NULL, i < 2 ? pop_one : i < 4 ? pop_one_timed : push_one, &waiters[i]) == 0);
    }
    dt_clock_sleep_s(0.02);
    dt_queue_close(empty);
    dt_queue_close(full);
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        DT_CHECK(!waiters[i].result);
    }
    DT_CHECK(!waiters[2].timed_out && !waiters[3].timed_out);
    DT_CHECK_INT(dt_queue_length(full), 1);
    dt_queue_destroy(empty);
    dt_queue_destroy(full);
}

static void push_waits_for_room_and_pop_for_an_item(void)
{
    dt_queue *queue = new_queue(1);
    waiter w = {.queue = queue, .item = &items[1]};
    pthread_t thread;
    void *item = NULL;
    dt_queue_push(queue, &items[0]);
    DT_REQUIRE(pthread_create(&thread, NULL, push_one, &w) == 0);
    dt_clock_sleep_s(0.02);
    DT_CHECK_INT(dt_queue_length(queue), 1); /* it is still waiting, or not there yet */
    DT_CHECK(dt_queue_pop(queue, &item) && item == &items[0]);
    DT_CHECK(dt_queue_pop(queue, &item) && item == &items[1]);
    pthread_join(thread, NULL);
    DT_CHECK(w.result);
    dt_queue_destroy(queue);
}

enum { N_PRODUCERS = 3, N_CONSUMERS = 3, PER_PRODUCER = 4000 };

typedef struct worker {
    dt_queue *queue;
    unsigned char *marks; /* producer: the first of its items; consumer: the first of all */
    int64_t n_done, n_out_of_order;
} worker;

static void *produce(void *context)
{
    worker *w = context;
    for (int i = 0; i < PER_PRODUCER; i++)
        w->n_done += dt_queue_push(w->queue, &w->marks[i]);
    return NULL;
}

static void *consume(void *context)
{
    worker *w = context;
    void *item;
    ptrdiff_t last[N_PRODUCERS] = {-1, -1, -1};
    while (dt_queue_pop(w->queue, &item)) {
        const ptrdiff_t at = (unsigned char *)item - w->marks;
        (*(unsigned char *)item)++;
        w->n_out_of_order += at % PER_PRODUCER <= last[at / PER_PRODUCER];
        last[at / PER_PRODUCER] = at % PER_PRODUCER;
        w->n_done++;
    }
    return NULL;
}

static void among_threads_nothing_is_lost_doubled_or_overtaken(void)
{
    static unsigned char marks[N_PRODUCERS * PER_PRODUCER];
    worker producers[N_PRODUCERS], consumers[N_CONSUMERS];
    pthread_t producing[N_PRODUCERS], consuming[N_CONSUMERS];
    dt_queue *queue = new_queue(4);
    for (int i = 0; i < N_CONSUMERS; i++) {
        consumers[i] = (worker){.queue = queue, .marks = marks};
        DT_REQUIRE(pthread_create(&consuming[i], NULL, consume, &consumers[i]) == 0);
    }
    for (int i = 0; i < N_PRODUCERS; i++) {
        producers[i] = (worker){.queue = queue, .marks = marks + (ptrdiff_t)i * PER_PRODUCER};
        DT_REQUIRE(pthread_create(&producing[i], NULL, produce, &producers[i]) == 0);
    }
    for (int i = 0; i < N_PRODUCERS; i++) {
        pthread_join(producing[i], NULL);
        DT_CHECK_INT(producers[i].n_done, PER_PRODUCER);
    }
    dt_queue_close(queue);
    int64_t n_consumed = 0;
    for (int i = 0; i < N_CONSUMERS; i++) {
        pthread_join(consuming[i], NULL);
        n_consumed += consumers[i].n_done;
        DT_CHECK_INT(consumers[i].n_out_of_order, 0);
    }
    DT_CHECK_INT(n_consumed, sizeof marks);
    for (size_t i = 0; i < sizeof marks; i++)
        DT_REQUIRE(marks[i] == 1);
    dt_queue_destroy(queue);
}

static void a_timed_pop_sees_a_queue_closed_meanwhile(void)
{
    dt_queue *queue = new_queue(1);
    waiter closer = {.queue = queue, .after_s = 0.02};
    pthread_t thread;
    void *item;
    bool timed_out = true;
    DT_REQUIRE(pthread_create(&thread, NULL, close_later, &closer) == 0);
    DT_CHECK(!dt_queue_pop_timed(queue, 60, &item, &timed_out));
    DT_CHECK(!timed_out);
    pthread_join(thread, NULL);
    dt_queue_destroy(queue);
}

static const dt_test tests[] = {
    DT_TEST(items_come_out_in_the_order_they_went_in),
    DT_TEST(a_null_item_is_an_item),
    DT_TEST(after_closing_pops_drain_and_pushes_fail),
    DT_TEST(a_timed_pop_gives_up_in_time),
    DT_TEST(impossible_capacities_are_refused),
    DT_TEST(closing_wakes_everybody_who_waits),
    DT_TEST(push_waits_for_room_and_pop_for_an_item),
    DT_TEST(among_threads_nothing_is_lost_doubled_or_overtaken),
    DT_TEST(a_timed_pop_sees_a_queue_closed_meanwhile),
};

DT_TEST_MAIN("core/queue", tests)
