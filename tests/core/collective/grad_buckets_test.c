/* Cutting gradients into buckets, and starting the sum of each as soon as it is ready. */
#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/collective/grad_buckets.h"
#include "tests/testing.h"

#include <stdlib.h>

#define MAX_STARTS 128

/* -- a communicator that only records its calls ---------------------------------------------------------- */

typedef struct recorder {
    dt_comm head;
    const float *grads;
    int64_t first[MAX_STARTS], n[MAX_STARTS];
    bool open[MAX_STARTS];
    dt_dtype wire[MAX_STARTS];
    int n_starts, n_progress, n_waits;
    int fail_start, fail_progress, fail_wait; /* the n-th one fails; 0: none */
    double wait_s;
} recorder;

static dt_status start(dt_comm *comm, float *buffer, int64_t n, dt_dtype wire, dt_comm_request **request,
                       dt_error *err)
{
    recorder *r = (recorder *)comm;
    int i = r->n_starts++;
    if (r->n_starts == r->fail_start)
        return dt_fail(err, DT_ERR_COMM, "start fails");
    if (i < MAX_STARTS) {
        r->first[i] = buffer - r->grads;
        r->n[i] = n;
        r->wire[i] = wire;
        r->open[i] = true;
        *request = (dt_comm_request *)&r->open[i];
    }
    return DT_OK;
}

static dt_status progress(dt_comm *comm, dt_error *err)
{
    recorder *r = (recorder *)comm;
    return ++r->n_progress == r->fail_progress ? dt_fail(err, DT_ERR_COMM, "progress fails") : DT_OK;
}

static dt_status wait_request(dt_comm *comm, dt_comm_request *request, dt_error *err)
{
    recorder *r = (recorder *)comm;
    if (++r->n_waits == r->fail_wait)
        return dt_fail(err, DT_ERR_COMM, "wait fails");
    *(bool *)request = false;
    dt_clock_sleep_s(r->wait_s);
    return DT_OK;
}

static const dt_comm_ops recorder_ops = {
    .name = "recorder", .all_reduce_start = start, .progress = progress, .wait = wait_request};

typedef struct layout {
    recorder comm;
    float *grads;
    int64_t n, n_parts;
    dt_grad_part *parts;
    dt_grad_buckets *buckets;
} layout;

static void set_up(layout *l, int ranks, int64_t n_parts, const int64_t *sizes, int64_t bucket_bytes)
{
    dt_error err = {0};
    *l = (layout){.comm = {.head = {.ops = &recorder_ops, .size = ranks}}, .n_parts = n_parts};
    l->parts = calloc((size_t)n_parts + 1, sizeof *l->parts);
    DT_REQUIRE(l->parts != NULL);
    for (int64_t i = 0; i < n_parts; i++) {
        l->parts[i] = (dt_grad_part){l->n, sizes[i], false};
        l->n += sizes[i];
    }
    l->grads = calloc((size_t)l->n + 1, sizeof *l->grads);
    DT_REQUIRE(l->grads != NULL);
    l->comm.grads = l->grads;
    DT_REQUIRE_MSG(dt_grad_buckets_create(&l->comm.head, l->grads, l->n, l->parts, n_parts, bucket_bytes,
                                          DT_F32, &l->buckets, &err) == DT_OK,
                   "%s", err.message);
}

static void tear_down(layout *l)
{
    dt_grad_buckets_destroy(l->buckets);
    free(l->parts);
    free(l->grads);
}

static void report_backwards(layout *l)
{
    dt_error err = {0};
    dt_grad_buckets_begin(l->buckets);
    for (int64_t i = l->n_parts - 1; i >= 0; i--) {
        const int n_before = l->comm.n_starts, n_new = dt_grad_buckets_starts_sum(l->buckets, i) ? 1 : 0;
        DT_CHECK_INT(dt_grad_buckets_ready(l->buckets, i, &err), DT_OK);
        DT_CHECK_INT(l->comm.n_starts, n_before + n_new);
    }
}

/* The sums that were started cover every element once. */
static void check_all_started_once(const layout *l)
{
    int64_t total = 0;
    char *times = calloc((size_t)l->n + 1, 1);
    DT_REQUIRE(times != NULL);
    for (int i = 0; i < l->comm.n_starts; i++)
        for (int64_t k = 0; k < l->comm.n[i]; k++)
            total += ++times[l->comm.first[i] + k] == 1;
    DT_CHECK_INT(total, l->n);
    free(times);
}

/* -- cutting --------------------------------------------------------------------------------------------- */

static void buckets_are_cut_from_the_end_and_the_first_is_small(void)
{
    const int64_t sizes[] = {100, 100, 100, 100, 100, 50, 50};
    layout l;
    set_up(&l, 2, 7, sizes, 4 * 400); /* 400 elements; the first 50 */
    DT_CHECK_INT(dt_grad_buckets_count(l.buckets), 3);
    report_backwards(&l);
    DT_CHECK_INT(l.comm.n_starts, 3);
    DT_CHECK_INT(l.comm.first[0], 550);
    DT_CHECK_INT(l.comm.n[0], 50);
    DT_CHECK_INT(l.comm.first[1], 200);
    DT_CHECK_INT(l.comm.n[1], 350);
    DT_CHECK_INT(l.comm.first[2], 0);
    DT_CHECK_INT(l.comm.n[2], 200);
    check_all_started_once(&l);
    tear_down(&l);
}

static void a_part_larger_than_a_bucket_gets_a_bucket_of_its_own(void)
{
    const int64_t sizes[] = {10, 5000, 10, 5};
    layout l;
    set_up(&l, 2, 4, sizes, 4 * 400);
    report_backwards(&l);
    DT_CHECK_INT(l.comm.n_starts, 3);
    DT_CHECK_INT(l.comm.n[0], 15);
    DT_CHECK_INT(l.comm.n[1], 5000);
    DT_CHECK_INT(l.comm.n[2], 10);
    check_all_started_once(&l);
    tear_down(&l);
}

/* 1000 elements, one a part: a bucket takes all that fit. */
static void buckets_are_filled_to_their_limit(void)
{
    static const int64_t expected[] = {50, 400, 400, 150};
    static const int64_t before_an_empty_one[] = {10, 60, 0};
    int64_t sizes[1000];
    layout l;
    for (int i = 0; i < 1000; i++)
        sizes[i] = 1;
    set_up(&l, 2, 1000, sizes, 4 * 400);
    report_backwards(&l);
    DT_CHECK_INT(l.comm.n_starts, 4);
    for (int i = 0; i < 4; i++)
        DT_CHECK_INT(l.comm.n[i], expected[i]);
    tear_down(&l);
    /* an empty part gets no bucket of its own */
    set_up(&l, 2, 3, before_an_empty_one, 4 * 400);
    report_backwards(&l);
    DT_CHECK_INT(l.comm.n_starts, 2);
    DT_CHECK_INT(l.comm.n[0], 60);
    DT_CHECK_INT(l.comm.n[1], 10);
    tear_down(&l);
}

/* 3100 elements, one a part, in buckets of a 31st at least, because the last part is exact; with float32 on
 * the wire of a 32nd. */
static void an_exact_part_leaves_one_bucket_fewer(void)
{
    for (int exact = 0; exact <= 1; exact++) {
        static dt_grad_part parts[3100];
        static float grads[3100];
        recorder comm = {.head = {.ops = &recorder_ops, .size = 2}, .grads = grads};
        dt_grad_buckets *buckets = NULL;
        dt_error err = {0};
        for (int i = 0; i < 3100; i++)
            parts[i] = (dt_grad_part){i, 1, exact && i == 3099};
        DT_REQUIRE(dt_grad_buckets_create(&comm.head, grads, 3100, parts, 3100, 4, exact ? DT_F16 : DT_F32,
                                          &buckets, &err) == DT_OK);
        for (int64_t i = 3099; i >= 0; i--)
            DT_REQUIRE(dt_grad_buckets_ready(buckets, i, &err) == DT_OK);
        DT_CHECK_INT(comm.n[0], exact ? 1 : 96 / 8);
        DT_CHECK_INT(comm.n[1], exact ? 100 / 8 : 96);
        DT_CHECK_INT(comm.n[2], exact ? 100 : 96);
        DT_CHECK_INT(comm.n_starts, dt_grad_buckets_count(buckets));
        DT_CHECK_INT(dt_grad_buckets_finish(buckets, NULL, &err), DT_OK);
        dt_grad_buckets_destroy(buckets);
    }
}

static void there_are_at_most_64_buckets(void)
{
    int64_t sizes[1000];
    const int64_t bucket_bytes[] = {4, 40, 4000, 1 << 20};
    for (size_t k = 0; k < sizeof bucket_bytes / sizeof *bucket_bytes; k++)
        for (int uneven = 0; uneven < 3; uneven++) {
            layout l;
            for (int i = 0; i < 1000; i++)
                sizes[i] = uneven == 0 ? 16 : uneven == 1 ? i * 37 % 100 : (i % 100 == 0 ? 100000 : 1);
            set_up(&l, 2, 1000, sizes, bucket_bytes[k]);
            DT_CHECK(dt_grad_buckets_count(l.buckets) >= 1 && dt_grad_buckets_count(l.buckets) <= 64);
            report_backwards(&l);
            DT_CHECK_INT(l.comm.n_starts, dt_grad_buckets_count(l.buckets));
            check_all_started_once(&l);
            if (uneven < 2 && bucket_bytes[k] < 4000) /* buckets grow evenly */
                for (int i = 0; i < l.comm.n_starts; i++)
                    DT_CHECK(l.comm.n[i] <= l.n / 32);
            tear_down(&l);
        }
}

static void empty_parts_and_empty_vectors_are_accepted(void)
{
    const int64_t sizes[] = {0, 7, 0, 0, 9, 0};
    dt_error err = {0};
    layout l;
    set_up(&l, 2, 6, sizes, 4 * 8);
    report_backwards(&l);
    check_all_started_once(&l);
    DT_CHECK_INT(dt_grad_buckets_finish(l.buckets, NULL, &err), DT_OK);
    tear_down(&l);
    set_up(&l, 2, 0, NULL, 64);
    report_backwards(&l);
    DT_CHECK_INT(dt_grad_buckets_finish(l.buckets, NULL, &err), DT_OK);
    tear_down(&l);
}

static void parts_that_do_not_cover_the_vector_are_refused(void)
{
    const struct {
        dt_grad_part parts[3];
        const char *message;
    } cases[] = {{{{0, 10, false}, {11, 9, false}, {20, 10, false}}, "begins at 11, expected 10"},
                 {{{0, 10, false}, {9, 11, false}, {20, 10, false}}, "begins at 9, expected 10"},
                 {{{0, 10, false}, {10, 10, false}, {20, 9, false}}, "cover 29 of 30"},
                 {{{0, 10, false}, {10, 10, false}, {20, 11, false}}, "cover 31 of 30"},
                 {{{0, 20, false}, {20, -5, false}, {15, 15, false}}, "part 1"},
                 {{{1, 9, false}, {10, 10, false}, {20, 10, false}}, "begins at 1, expected 0"}};
    recorder comm = {.head = {.ops = &recorder_ops, .size = 2}};
    float grads[30];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_grad_buckets *buckets = NULL;
        dt_error err = {0};
        DT_CHECK_INT(
            dt_grad_buckets_create(&comm.head, grads, 30, cases[i].parts, 3, 64, DT_F32, &buckets, &err),
            DT_ERR_INTERNAL);
        DT_CHECK_CONTAINS(err.message, cases[i].message);
        DT_CHECK(buckets == NULL);
    }
}

/* -- starting -------------------------------------------------------------------------------------------- */

static void a_bucket_starts_when_its_last_part_is_ready_in_any_order(void)
{
    const int64_t sizes[] = {10, 10, 10, 10, 10, 10};
    const int order[] = {2, 0, 5, 3, 4, 1}, started_after[] = {0, 0, 1, 1, 2, 3};
    dt_error err = {0};
    layout l;
    set_up(&l, 2, 6, sizes, 4 * 30); /* {5}, {4, 3, 2}, {1, 0} */
    for (int step = 0; step < 3; step++) {
        l.comm.n_starts = 0;
        dt_grad_buckets_begin(l.buckets);
        for (int i = 0; i < 6; i++) {
            int n_progress = l.comm.n_progress;
            DT_CHECK_INT(dt_grad_buckets_ready(l.buckets, order[i], &err), DT_OK);
            DT_CHECK_INT(l.comm.n_starts, started_after[i]);
            DT_CHECK(l.comm.n_progress > n_progress);
        }
        DT_CHECK_INT(dt_grad_buckets_finish(l.buckets, NULL, &err), DT_OK);
        for (int i = 0; i < 3; i++)
            DT_CHECK(!l.comm.open[i]);
    }
    DT_CHECK_INT(l.comm.n_waits, 9);
    tear_down(&l);
}

static void a_single_rank_sends_nothing(void)
{
    const int64_t sizes[] = {10, 10};
    dt_error err = {0};
    double wait_s = -1;
    layout l;
    set_up(&l, 1, 2, sizes, 4 * 10);
    report_backwards(&l);
    DT_CHECK_INT(dt_grad_buckets_finish(l.buckets, &wait_s, &err), DT_OK);
    DT_CHECK_INT(l.comm.n_starts + l.comm.n_waits, 0);
    DT_CHECK(wait_s >= 0 && wait_s < 1);
    tear_down(&l);
}

static void the_time_blocked_is_returned(void)
{
    const int64_t sizes[] = {10, 10, 10};
    dt_error err = {0};
    double wait_s = -1;
    layout l;
    set_up(&l, 2, 3, sizes, 4 * 10);
    l.comm.wait_s = 0.02;
    report_backwards(&l);
    DT_CHECK_INT(dt_grad_buckets_finish(l.buckets, &wait_s, &err), DT_OK);
    DT_CHECK(wait_s >= 0.06 && wait_s < 30);
    tear_down(&l);
}

static void wrong_use_is_refused(void)
{
    const int64_t sizes[] = {10, 10, 10};
    dt_error err = {0};
    layout l;
    set_up(&l, 2, 3, sizes, 4 * 10);
    dt_grad_buckets_begin(l.buckets);
    DT_CHECK_INT(dt_grad_buckets_ready(l.buckets, 3, &err), DT_ERR_INTERNAL);
    DT_CHECK_INT(dt_grad_buckets_ready(l.buckets, -1, &err), DT_ERR_INTERNAL);
    DT_CHECK_INT(dt_grad_buckets_ready(l.buckets, 1, &err), DT_OK);
    DT_CHECK_INT(dt_grad_buckets_ready(l.buckets, 1, &err), DT_ERR_INTERNAL);
    DT_CHECK_CONTAINS(err.message, "part 1 of the gradients was reported twice");
    DT_CHECK_INT(dt_grad_buckets_ready(l.buckets, 2, &err), DT_OK);
    DT_CHECK_INT(l.comm.n_starts, 2);
    DT_CHECK_INT(dt_grad_buckets_finish(l.buckets, NULL, &err), DT_ERR_INTERNAL);
    DT_CHECK_CONTAINS(err.message, "never reported");
    tear_down(&l);
}

static void errors_of_the_communicator_are_passed_on(void)
{
    const int64_t sizes[] = {10, 10};
    for (int which = 0; which < 3; which++) {
        dt_error err = {0};
        layout l;
        set_up(&l, 2, 2, sizes, 4 * 10);
        l.comm.fail_start = which == 0 ? 2 : 0;
        l.comm.fail_progress = which == 1 ? 2 : 0;
        l.comm.fail_wait = which == 2 ? 2 : 0;
        dt_grad_buckets_begin(l.buckets);
        DT_CHECK_INT(dt_grad_buckets_ready(l.buckets, 1, &err), DT_OK);
        DT_CHECK_INT(dt_grad_buckets_ready(l.buckets, 0, &err), which < 2 ? DT_ERR_COMM : DT_OK);
        if (which == 2)
            DT_CHECK_INT(dt_grad_buckets_finish(l.buckets, NULL, &err), DT_ERR_COMM);
        DT_CHECK_CONTAINS(err.message, " fails");
        tear_down(&l);
    }
}

static void creation_survives_every_failed_allocation_and_steps_need_none(void)
{
    const int64_t sizes[] = {10, 10}, before = dt_alloc_live_blocks();
    const dt_grad_part parts[] = {{0, 10, false}, {10, 10, false}};
    recorder comm = {.head = {.ops = &recorder_ops, .size = 2}};
    float grads[20];
    dt_status status = DT_ERR_MEMORY;
    int n = 0;
    for (; status == DT_ERR_MEMORY && n < 20; n++) {
        dt_grad_buckets *buckets = NULL;
        dt_error err = {0};
        dt_alloc_fail_after(n + 1);
        status = dt_grad_buckets_create(&comm.head, grads, 20, parts, 2, 40, DT_F32, &buckets, &err);
        dt_alloc_fail_after(0);
        DT_CHECK((status == DT_OK) == (buckets != NULL));
        dt_grad_buckets_destroy(buckets);
        DT_CHECK_INT(dt_alloc_live_blocks(), before);
    }
    DT_CHECK(status == DT_OK && n > 1);
    dt_grad_buckets_destroy(NULL);

    layout l;
    dt_error err = {0};
    set_up(&l, 2, 2, sizes, 40);
    dt_alloc_fail_after(1);
    report_backwards(&l);
    DT_CHECK_INT(dt_grad_buckets_finish(l.buckets, NULL, &err), DT_OK);
    DT_CHECK(dt_alloc(1) == NULL); /* the first allocation fails, so none was made before */
    dt_alloc_fail_after(0);
    tear_down(&l);
}

/* With FP16 on the wire the statistics and counts at the end have a bucket of their own, as float32. So has
 * an exact part in the middle. */
static void exact_parts_are_sent_as_float32(void)
{
    static const int64_t sizes[] = {16, 32, 16, 64, 16, 8};
    dt_error err = {0};
    layout l;
    set_up(&l, 2, 6, sizes, 4096);
    dt_grad_buckets_destroy(l.buckets);
    l.parts[2].exact = l.parts[5].exact = true;
    DT_REQUIRE(dt_grad_buckets_create(&l.comm.head, l.grads, l.n, l.parts, 6, 4096, DT_F16, &l.buckets,
                                      &err) == DT_OK);
    DT_CHECK_INT(dt_grad_buckets_count(l.buckets), 4);
    report_backwards(&l);
    check_all_started_once(&l);
    static const int64_t expected[][2] = {{144, 8}, {64, 80}, {48, 16}, {0, 48}};
    static const dt_dtype wires[] = {DT_F32, DT_F16, DT_F32, DT_F16};
    for (int i = 0; i < 4; i++)
        DT_CHECK(l.comm.first[i] == expected[i][0] && l.comm.n[i] == expected[i][1] &&
                 l.comm.wire[i] == wires[i]);
    tear_down(&l);
    /* There are at most 64 buckets, however the vector is cut. */
    int64_t many[1000];
    for (int i = 0; i < 1000; i++)
        many[i] = i * 37 % 1900;
    set_up(&l, 2, 1000, many, 64);
    dt_grad_buckets_destroy(l.buckets);
    l.parts[999].exact = true;
    DT_REQUIRE(dt_grad_buckets_create(&l.comm.head, l.grads, l.n, l.parts, 1000, 64, DT_BF16, &l.buckets,
                                      &err) == DT_OK);
    DT_CHECK(dt_grad_buckets_count(l.buckets) <= 64 && dt_grad_buckets_count(l.buckets) > 30);
    report_backwards(&l);
    check_all_started_once(&l);
    tear_down(&l);
    /* With a wire of float32 exact parts make no difference. */
    set_up(&l, 2, 6, sizes, 4096);
    DT_CHECK_INT(dt_grad_buckets_count(l.buckets), 2);
    report_backwards(&l);
    DT_CHECK_INT(l.comm.wire[0], DT_F32);
    tear_down(&l);
}

static const dt_test tests[] = {
    DT_TEST(buckets_are_cut_from_the_end_and_the_first_is_small),
    DT_TEST(a_part_larger_than_a_bucket_gets_a_bucket_of_its_own),
    DT_TEST(buckets_are_filled_to_their_limit),
    DT_TEST(an_exact_part_leaves_one_bucket_fewer),
    DT_TEST(there_are_at_most_64_buckets),
    DT_TEST(empty_parts_and_empty_vectors_are_accepted),
    DT_TEST(parts_that_do_not_cover_the_vector_are_refused),
    DT_TEST(a_bucket_starts_when_its_last_part_is_ready_in_any_order),
    DT_TEST(a_single_rank_sends_nothing),
    DT_TEST(the_time_blocked_is_returned),
    DT_TEST(wrong_use_is_refused),
    DT_TEST(errors_of_the_communicator_are_passed_on),
    DT_TEST(creation_survives_every_failed_allocation_and_steps_need_none),
    DT_TEST(exact_parts_are_sent_as_float32),
};

DT_TEST_MAIN("core/grad_buckets", tests)
