/* Agreement between ranks. Ranks are threads; the test checks each rank's result when all have returned. */
#include "core/base/alloc.h"
#include "core/collective/agreement.h"
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_comm.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

#define MAX_RANKS 40

/* -- dt_agree -------------------------------------------------------------------------------------------- */

typedef struct vote {
    dt_status mine[MAX_RANKS];
    const char *message[MAX_RANKS];
    bool no_error_struct[MAX_RANKS];
    dt_status got[MAX_RANKS], after[MAX_RANKS];
    dt_error error[MAX_RANKS];
} vote;

static void vote_main(dt_comm *comm, void *context)
{
    vote *v = context;
    int r = comm->rank;
    dt_error *err = v->no_error_struct[r] ? NULL : &v->error[r];
    if (v->message[r])
        dt_fail(err, v->mine[r], "%s", v->message[r]);
    v->got[r] = dt_agree(comm, v->mine[r], err);
    v->after[r] = comm->ops->barrier(comm, NULL); /* fails unless all ranks are at the same collective */
}

static void check_vote(vote *v, int size, dt_status status, const char *message)
{
    fake_comm_run(size, vote_main, v);
    for (int r = 0; r < size; r++) {
        DT_CHECK_INT(v->got[r], status);
        DT_CHECK_INT(v->after[r], DT_OK);
        if (v->no_error_struct[r])
            continue;
        DT_CHECK_STR(v->error[r].message, message);
        DT_CHECK_INT(v->error[r].status, status);
        DT_CHECK(v->error[r].shared == (status != DT_OK));
    }
}

static void all_ok_is_ok(void)
{
    for (int size = 1; size <= 4; size++)
        check_vote(&(vote){0}, size, DT_OK, "");
}

static void one_ranks_failure_fails_all_ranks(void)
{
    check_vote(&(vote){.mine = {[2] = DT_ERR_IO}, .message = {[2] = "no space"}}, 4, DT_ERR_IO,
               "rank 2 on host1: no space");
    check_vote(&(vote){.mine = {DT_ERR_DATA}, .message = {"no images"}}, 2, DT_ERR_DATA,
               "rank 0 on host0: no images");
}

static void all_ranks_get_the_line_of_the_failure(void)
{
    vote v = {.mine = {[1] = DT_ERR_IO}, .message = {[1] = "no space"}};
    dt_error here = {0};
    fake_comm_run(3, vote_main, &v);
    for (int r = 0; r < 3; r++)
        DT_CHECK(v.error[r].line > 0 && v.error[r].line == v.error[1].line);
    dt_fail(&here, DT_ERR_IO, "no space");
    DT_CHECK(v.error[0].line < here.line); /* vote_main's, which is above */
}

static void the_lowest_rank_that_failed_is_reported(void)
{
    check_vote(&(vote){.mine = {[1] = DT_ERR_MEMORY, [3] = DT_ERR_IO},
                       .message = {[1] = "out of memory", [3] = "no space"}},
               4, DT_ERR_MEMORY, "rank 1 on host0: out of memory");
}

static void an_error_of_all_ranks_is_reported_without_a_rank(void)
{
    check_vote(&(vote){.mine = {DT_ERR_USAGE, DT_ERR_USAGE, DT_ERR_USAGE},
                       .message = {"--lr: no", "--lr: no", "--lr: no"}},
               3, DT_ERR_USAGE, "--lr: no");
    check_vote(&(vote){.mine = {DT_ERR_USAGE}, .message = {"--lr: no"}}, 1, DT_ERR_USAGE, "--lr: no");
}

static void ranks_with_the_same_error_are_counted(void)
{
    check_vote(&(vote){.mine = {[1] = DT_ERR_IO, [2] = DT_ERR_IO}, .message = {[1] = "gone", [2] = "gone"}},
               4, DT_ERR_IO, "2 of 4 ranks, the first is rank 1 on host0: gone");
}

static void a_failure_without_a_message_is_reported_by_its_status(void)
{
    check_vote(&(vote){.mine = {[1] = DT_ERR_DEVICE}, .no_error_struct = {[1] = true}}, 2, DT_ERR_DEVICE,
               "rank 1 on host0: device");
    check_vote(&(vote){.mine = {[0] = DT_ERR_DEVICE}}, 2, DT_ERR_DEVICE, "rank 0 on host0: device");
}

static void agreeing_allocates_nothing(void)
{
    vote v = {.mine = {[1] = DT_ERR_MEMORY}, .message = {[1] = "out of memory"}};
    dt_alloc_fail_after(1);
    check_vote(&v, 3, DT_ERR_MEMORY, "rank 1 on host0: out of memory");
    void *p = dt_alloc(1); /* the first allocation fails, so none was made before */
    DT_CHECK(p == NULL);
    dt_free(p);
    dt_alloc_fail_after(0);
}

static void a_message_of_full_length_gets_its_rank_in_front(void)
{
    char message[DT_ERROR_MESSAGE_BYTES];
    vote v = {.mine = {[1] = DT_ERR_IO}};
    memset(message, 'x', sizeof message - 1);
    message[sizeof message - 1] = '\0';
    v.message[1] = message;
    fake_comm_run(2, vote_main, &v);
    DT_CHECK_CONTAINS(v.error[0].message, "rank 1 on host0: xxxx");
    DT_CHECK(strlen(v.error[0].message) > 800);
    DT_CHECK_STR(v.error[1].message, v.error[0].message);
}

static void vote_without_rank_1(dt_comm *comm, void *context)
{
    vote *v = context;
    if (comm->rank == 1)
        fake_comm_leave(comm);
    else
        v->got[comm->rank] = dt_agree(comm, DT_OK, &v->error[comm->rank]);
}

static void an_error_of_the_vote_itself_is_not_shared(void)
{
    vote v = {.error = {[0] = {.shared = true}}};
    fake_comm_run(2, vote_without_rank_1, &v);
    DT_CHECK_INT(v.got[0], DT_ERR_PEER);
    DT_CHECK(!v.error[0].shared);
}

/* -- dt_first_error -------------------------------------------------------------------------------------- */

static void the_first_of_two_errors_is_returned_and_the_second_logged_once(void)
{
    dt_comm comm = {.rank = 0, .size = 2};
    dt_error first = {0}, second = {0}, own = {0};
    captured_log_begin(DT_LOG_INFO);
    DT_CHECK_INT(dt_first_error(&comm, DT_OK, &first, DT_OK, &second), DT_OK);
    dt_fail_shared(&second, DT_ERR_IO, "the second");
    DT_CHECK_INT(dt_first_error(&comm, DT_OK, &first, DT_ERR_IO, &second), DT_ERR_IO);
    DT_CHECK_STR(first.message, "the second");
    DT_CHECK_STR(captured_log_text(), "");
    dt_fail_shared(&first, DT_ERR_DATA, "the first");
    DT_CHECK_INT(dt_first_error(&comm, DT_ERR_DATA, &first, DT_ERR_IO, &second), DT_ERR_DATA);
    comm.rank = 1;
    DT_CHECK_INT(dt_first_error(&comm, DT_ERR_DATA, &first, DT_ERR_IO, &second), DT_ERR_DATA);
    DT_CHECK_STR(first.message, "the first");
    captured_log_end();
    DT_CHECK_STR(captured_log_text(), "the second\n");
    dt_fail(&own, DT_ERR_PEER, "rank 0 is lost"); /* the others may wait */
    DT_CHECK_INT(dt_first_error(&comm, DT_ERR_DATA, &first, DT_ERR_PEER, &own), DT_ERR_PEER);
    DT_CHECK(!first.shared);
}

/* -- dt_check_same --------------------------------------------------------------------------------------- */

#define MAX_FIELDS 3

typedef struct comparison {
    int64_t n;
    const char *field[MAX_FIELDS];
    char value[MAX_RANKS][MAX_FIELDS][400];
    dt_status got[MAX_RANKS], after[MAX_RANKS];
    dt_error error[MAX_RANKS];
} comparison;

static void comparison_main(dt_comm *comm, void *context)
{
    comparison *c = context;
    int r = comm->rank;
    dt_same fields[MAX_FIELDS];
    for (int64_t i = 0; i < c->n; i++)
        fields[i] = (dt_same){c->field[i], c->value[r][i]};
    c->got[r] = dt_check_same(comm, fields, c->n, &c->error[r]);
    c->after[r] = comm->ops->barrier(comm, NULL);
}

static void check_comparison(comparison *c, int size, dt_status status, const char *message)
{
    const int64_t before = dt_alloc_live_blocks();
    fake_comm_run(size, comparison_main, c);
    for (int r = 0; r < size; r++) {
        DT_CHECK_INT(c->got[r], status);
        DT_CHECK_INT(c->after[r], DT_OK);
        DT_CHECK_STR(c->error[r].message, message);
        DT_CHECK(c->error[r].shared == (status != DT_OK));
    }
    DT_CHECK_INT(dt_alloc_live_blocks(), before);
}

/* Rank r has values[r] in a field "--batch". */
static comparison batches(int size, const char *const *values)
{
    comparison c = {.n = 1, .field = {"--batch"}};
    for (int r = 0; r < size; r++)
        snprintf(c.value[r][0], sizeof c.value[r][0], "%s", values[r]);
    return c;
}

static void equal_values_pass(void)
{
    comparison c = batches(3, (const char *[]){"32", "32", "32"});
    check_comparison(&c, 3, DT_OK, "");
    comparison one = batches(1, (const char *[]){"32"});
    check_comparison(&one, 1, DT_OK, "");
    comparison none = {.n = 0};
    check_comparison(&none, 3, DT_OK, "");
}

static void a_difference_names_field_values_ranks_and_host(void)
{
    comparison c = batches(4, (const char *[]){"32", "32", "32", "64"});
    check_comparison(&c, 4, DT_ERR_USAGE,
                     "--batch differs between ranks: 32 on ranks 0-2, 64 on rank 3 (host1)");
    comparison first = batches(2, (const char *[]){"32", "64"});
    check_comparison(&first, 2, DT_ERR_USAGE,
                     "--batch differs between ranks: 32 on rank 0 (host0), 64 on rank 1 (host0)");
    comparison last = batches(3, (const char *[]){"64", "32", "32"});
    check_comparison(&last, 3, DT_ERR_USAGE,
                     "--batch differs between ranks: 64 on rank 0 (host0), 32 on ranks 1-2");
    comparison mixed = batches(6, (const char *[]){"1", "1", "1", "2", "3", "1"});
    check_comparison(
        &mixed, 6, DT_ERR_USAGE,
        "--batch differs between ranks: 1 on ranks 0-2, 5, 2 on rank 3 (host1), 3 on rank 4 (host2)");
    comparison nothing = batches(2, (const char *[]){"", "a"});
    check_comparison(&nothing, 2, DT_ERR_USAGE,
                     "--batch differs between ranks: (nothing) on rank 0 (host0), a on rank 1 (host0)");
}

static void the_first_field_that_differs_is_reported(void)
{
    comparison c = {.n = 3, .field = {"same", "other", "too"}};
    for (int r = 0; r < 2; r++) {
        strcpy(c.value[r][0], "x");
        snprintf(c.value[r][1], sizeof c.value[r][1], "y%d", r);
        snprintf(c.value[r][2], sizeof c.value[r][2], "z%d", r);
    }
    check_comparison(&c, 2, DT_ERR_USAGE,
                     "other differs between ranks: y0 on rank 0 (host0), y1 on rank 1 (host0)");
}

static void long_values_are_shown_where_they_differ(void)
{
    char long_a[301], long_b[301], shown[200];
    memset(long_a, 'a', sizeof long_a);
    long_a[300] = '\0';
    memcpy(long_b, long_a, sizeof long_b);
    long_b[200] = 'b';
    comparison c = batches(2, (const char *[]){long_a, long_b});
    fake_comm_run(2, comparison_main, &c);
    DT_CHECK_INT(c.got[0], DT_ERR_USAGE);
    snprintf(shown, sizeof shown, "...%.20sb", long_a);
    DT_CHECK_CONTAINS(c.error[0].message, shown);
    long_b[200] = 'a';
    long_b[255] = 'b'; /* beyond the bytes that are compared */
    comparison d = batches(2, (const char *[]){long_a, long_b});
    check_comparison(&d, 2, DT_OK, "");
}

static void values_that_fit_are_shown_whole(void)
{
    char a[81], b[81], message[300];
    memset(a, 'a', sizeof a);
    a[80] = '\0';
    memcpy(b, a, sizeof b);
    b[79] = 'b';
    comparison c = batches(2, (const char *[]){a, b});
    snprintf(message, sizeof message,
             "--batch differs between ranks: %s on rank 0 (host0), %s on rank 1 (host0)", a, b);
    check_comparison(&c, 2, DT_ERR_USAGE, message);
}

static void long_lists_of_ranks_are_cut_short(void)
{
    comparison c = {.n = 1, .field = {"--seed"}};
    for (int r = 0; r < MAX_RANKS; r++)
        snprintf(c.value[r][0], sizeof c.value[r][0], "%d", r % 2);
    fake_comm_run(MAX_RANKS, comparison_main, &c);
    DT_CHECK_CONTAINS(c.error[7].message, "0 on ranks 0, 2, 4, 6");
    DT_CHECK_CONTAINS(c.error[7].message, ", ..., 1 on ranks 1, 3, 5");
    for (int r = 0; r < MAX_RANKS; r++)
        snprintf(c.value[r][0], sizeof c.value[r][0], "%0100d", r);
    fake_comm_run(MAX_RANKS, comparison_main, &c);
    DT_CHECK_CONTAINS(c.error[0].message, "on rank 0 (host0), ");
    DT_CHECK(strlen(c.error[0].message) < 900 &&
             strcmp(c.error[0].message + strlen(c.error[0].message) - 5, ", ...") == 0);
}

/* Fails the nth allocation of two ranks, which allocate so often in all, in any order. */
static void check_failing_allocations(const char *second, int64_t n_allocations, dt_status whole)
{
    for (int64_t n = 1; n <= n_allocations + 4; n++) {
        comparison c = batches(2, (const char *[]){"1", second});
        const int64_t before = dt_alloc_live_blocks();
        dt_alloc_fail_after(n);
        fake_comm_run(2, comparison_main, &c);
        dt_alloc_fail_after(0);
        DT_CHECK_INT(c.got[0], n <= n_allocations ? DT_ERR_MEMORY : whole);
        DT_CHECK_INT(c.got[1], c.got[0]);
        DT_CHECK_INT(c.after[0], DT_OK);
        DT_CHECK_STR(c.error[1].message, c.error[0].message);
        DT_CHECK_INT(dt_alloc_live_blocks(), before);
    }
}

static void out_of_memory_on_one_rank_fails_all_ranks(void)
{
    check_failing_allocations("1", 4, DT_OK);
    check_failing_allocations("2", 8, DT_ERR_USAGE);
}

static const dt_test tests[] = {
    DT_TEST(all_ok_is_ok),
    DT_TEST(one_ranks_failure_fails_all_ranks),
    DT_TEST(all_ranks_get_the_line_of_the_failure),
    DT_TEST(the_lowest_rank_that_failed_is_reported),
    DT_TEST(an_error_of_all_ranks_is_reported_without_a_rank),
    DT_TEST(ranks_with_the_same_error_are_counted),
    DT_TEST(a_failure_without_a_message_is_reported_by_its_status),
    DT_TEST(agreeing_allocates_nothing),
    DT_TEST(a_message_of_full_length_gets_its_rank_in_front),
    DT_TEST(an_error_of_the_vote_itself_is_not_shared),
    DT_TEST(the_first_of_two_errors_is_returned_and_the_second_logged_once),
    DT_TEST(equal_values_pass),
    DT_TEST(a_difference_names_field_values_ranks_and_host),
    DT_TEST(the_first_field_that_differs_is_reported),
    DT_TEST(long_values_are_shown_where_they_differ),
    DT_TEST(values_that_fit_are_shown_whole),
    DT_TEST(long_lists_of_ranks_are_cut_short),
    DT_TEST(out_of_memory_on_one_rank_fails_all_ranks),
};

DT_TEST_MAIN("core/agreement", tests)
