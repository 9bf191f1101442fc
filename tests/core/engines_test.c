/* Lists of engines, and how ranks come to have the same ones. */
#include "core/engines.h"

#include "core/base/alloc.h"
#include "core/collective/engines_build.h"
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_comm.h"
#include "tests/testing.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* -- lists ----------------------------------------------------------------------------------------------- */

static void put(dt_engines *engines, const char *kind, const char *name, const char *value)
{
    dt_error err = {0};
    DT_REQUIRE_MSG(dt_engines_put(engines, kind, name, value, &err) == DT_OK, "%s", err.message);
}

static void choices_are_sorted_and_replaced(void)
{
    dt_engines e = {0};
    DT_CHECK(dt_engines_find(&e, "B", "conv") == NULL);
    put(&e, "B", "conv", "1");
    put(&e, "A", "wgrad", "2");
    put(&e, "B", "bias", "3");
    put(&e, "A", "conv", "4");
    put(&e, "B", "conv", "5 0.25");
    DT_REQUIRE(e.n == 4);
    static const char *const sorted[][3] = {
        {"A", "conv", "4"}, {"A", "wgrad", "2"}, {"B", "bias", "3"}, {"B", "conv", "5 0.25"}};
    for (int i = 0; i < 4; i++) {
        DT_CHECK_STR(e.list[i].kind, sorted[i][0]);
        DT_CHECK_STR(e.list[i].name, sorted[i][1]);
        DT_CHECK_STR(e.list[i].value, sorted[i][2]);
        DT_CHECK_STR(dt_engines_find(&e, sorted[i][0], sorted[i][1]), sorted[i][2]);
    }
    DT_CHECK(dt_engines_find(&e, "C", "conv") == NULL && dt_engines_find(&e, "A", "bias") == NULL);
    DT_CHECK(dt_engines_have_kind(&e, "A") && dt_engines_have_kind(&e, "B"));
    DT_CHECK(!dt_engines_have_kind(&e, "") && !dt_engines_have_kind(&e, "AB") &&
             !dt_engines_have_kind(&e, "C"));
    dt_engines_clear(&e);
    DT_CHECK_INT(e.n, 0);
}

static void a_copy_grows_by_itself(void)
{
    dt_engines a = {0}, b = {0}, none = {0};
    dt_error err = {0};
    put(&a, "A", "conv", "1");
    DT_REQUIRE(dt_engines_copy(&a, &b, &err) == DT_OK);
    put(&b, "A", "dgrad", "2");
    DT_CHECK_INT(a.n, 1);
    DT_CHECK_INT(b.n, 2);
    put(&a, "A", "wgrad", "3");
    put(&a, "A", "conv", "4");
    DT_REQUIRE(dt_engines_put_all(&b, &a, &err) == DT_OK);
    DT_CHECK_INT(b.n, 3);
    DT_CHECK_STR(dt_engines_find(&b, "A", "conv"), "4");
    dt_engines_clear(&b);
    DT_REQUIRE(dt_engines_copy(&none, &b, &err) == DT_OK);
    DT_CHECK(b.list == NULL);
    dt_engines_clear(&a);
}

static void a_full_list_keeps_what_it_has(void)
{
    dt_engines e = {0};
    char name[32];
    for (int i = 0; i < DT_ENGINES_MAX + 10; i++) {
        snprintf(name, sizeof name, "%d", i);
        put(&e, "A", name, name);
    }
    DT_CHECK_INT(e.n, DT_ENGINES_MAX);
    put(&e, "A", "7", "other");
    DT_CHECK_STR(dt_engines_find(&e, "A", "7"), "other");
    dt_engines_clear(&e);
}

static void no_memory_is_an_error_and_leaks_nothing(void)
{
    const int64_t blocks = dt_alloc_live_blocks();
    dt_engines a = {0}, b = {0};
    dt_error err = {0};
    dt_alloc_fail_after(1);
    DT_CHECK_INT(dt_engines_put(&a, "A", "conv", "1", &err), DT_ERR_MEMORY);
    dt_alloc_fail_after(0);
    put(&a, "A", "conv", "1");
    dt_alloc_fail_after(1);
    DT_CHECK_INT(dt_engines_copy(&a, &b, &err), DT_ERR_MEMORY);
    dt_alloc_fail_after(0);
    dt_engines_clear(&a);
    DT_CHECK_INT(dt_alloc_live_blocks(), blocks);
}

static void only_other_engines_count_as_differences(void)
{
    dt_engines before = {0}, now = {0};
    char names[100], small[8];
    DT_CHECK(dt_engine_is_same("22:2=1 0.5", "22:2=1 0.75") && dt_engine_is_same("22", "22 1"));
    DT_CHECK(!dt_engine_is_same("22", "222") && !dt_engine_is_same("none", "22 0.5"));
    put(&before, "A", "conv", "22 0.5");
    put(&before, "A", "gone", "1");
    put(&before, "B", "conv", "22");
    put(&now, "A", "conv", "22 0.75");
    put(&now, "A", "new", "1");
    put(&now, "B", "conv", "22");
    DT_CHECK_INT(dt_engines_compare(&before, &now, names, sizeof names), 0);
    DT_CHECK_STR(names, "");
    put(&now, "B", "conv", "23");
    DT_CHECK_INT(dt_engines_compare(&before, &now, names, sizeof names), 1);
    DT_CHECK_STR(names, "conv");
    static const char *const more[] = {"p", "q", "r", "s"};
    for (int i = 0; i < 4; i++) {
        put(&before, "A", more[i], "1");
        put(&now, "A", more[i], "2");
    }
    DT_CHECK_INT(dt_engines_compare(&before, &now, names, sizeof names), 5);
    DT_CHECK_STR(names, "p, q, r and 2 more");
    DT_CHECK_INT(dt_engines_compare(&before, &now, small, sizeof small), 5);
    DT_CHECK_STR(small, "p, q, r");
    dt_engines_clear(&before);
    dt_engines_clear(&now);
}

/* -- ranks ----------------------------------------------------------------------------------------------- */

#define MAX_RANKS 5

typedef struct rank {
    dt_kernels kernels;
    dt_kernels_ops ops;
    dt_engine_choices choices;
    const char *kind;             /* NULL: these kernels choose no engines */
    const char *engine;           /* that this rank would choose */
    const char *cannot;           /* an engine that it cannot use; NULL: none */
    dt_status fails;              /* what its build returns */
    int n_built, n_chosen, place; /* place: in the order in which ranks built */
    dt_status status;
    dt_error error;
    int64_t n_heartbeats;
} rank;

static rank ranks[MAX_RANKS];
static int n_begun; /* builds, of all ranks */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static dt_engine_choices *engines_of(dt_kernels *k)
{
    rank *r = (rank *)k;
    return r->kind ? &r->choices : NULL;
}

static void choose(rank *r, const char *name)
{
    char value[64];
    dt_error err = {0};
    const char *chosen = dt_engines_find(&r->choices.list, r->kind, name);
    if (chosen && r->cannot && dt_engine_is_same(chosen, r->cannot))
        chosen = NULL;
    r->n_chosen += chosen == NULL;
    snprintf(value, sizeof value, "%s", chosen ? chosen : r->engine);
    DT_CHECK_INT(dt_engine_choices_note(&r->choices, name, value, &err), DT_OK);
}

static dt_status build(void *context, dt_error *err)
{
    rank *r = context;
    (void)pthread_mutex_lock(&mutex);
    r->place = n_begun++;
    (void)pthread_mutex_unlock(&mutex);
    r->n_built++;
    if (r->fails != DT_OK)
        return dt_fail(err, r->fails, "the build fails");
    if (r->kind) {
        choose(r, "conv");
        choose(r, "dgrad");
    }
    return DT_OK;
}

static void rank_main(dt_comm *comm, void *context)
{
    (void)context;
    rank *r = &ranks[comm->rank];
    const int64_t before = fake_comm_progress_calls(comm);
    r->status = dt_engines_build(comm, &r->kernels, build, r, &r->error);
    r->n_heartbeats = fake_comm_progress_calls(comm) - before;
    DT_CHECK(!r->choices.follows && r->choices.progress == NULL);
}

/* Forgets all ranks, and gives them these kinds and engines of their own. */
static void set_up(const char *const *kinds, int n)
{
    static const char *const engines[] = {"10 0.5", "11 0.5", "12 0.5", "13 0.5", "14 0.5"};
    n_begun = 0;
    memset(ranks, 0, sizeof ranks);
    for (int i = 0; i < n; i++) {
        rank *r = &ranks[i];
        r->ops = (dt_kernels_ops){.name = "fake", .engines = engines_of};
        r->kernels.ops = &r->ops;
        r->kind = kinds[i];
        r->engine = engines[i];
        snprintf(r->choices.kind, sizeof r->choices.kind, "%s", kinds[i] ? kinds[i] : "");
    }
}

static void tear_down(void)
{
    for (int i = 0; i < MAX_RANKS; i++)
        dt_engines_clear(&ranks[i].choices.list);
}

static void ranks_of_one_kind_choose_once(void)
{
    static const char *const kinds[] = {"A", "A", "A", "A"};
    set_up(kinds, 4);
    fake_comm_run(4, rank_main, NULL);
    for (int i = 0; i < 4; i++) {
        DT_CHECK_INT(ranks[i].status, DT_OK);
        DT_CHECK_INT(ranks[i].n_built, 1);
        DT_CHECK_INT(ranks[i].n_chosen, i == 0 ? 2 : 0);
        DT_CHECK_STR(dt_engines_find(&ranks[i].choices.list, "A", "conv"), "10 0.5");
    }
    DT_CHECK_INT(ranks[0].place, 0);
    DT_CHECK_INT(ranks[0].n_heartbeats, 2); /* others wait for it meanwhile */
    tear_down();
}

static void each_kind_chooses_for_itself_and_all_ranks_know_all_choices(void)
{
    static const char *const kinds[] = {"B", NULL, "A", "B", "A"};
    static const char *const names[] = {"conv", "dgrad"};
    set_up(kinds, 5);
    fake_comm_run(5, rank_main, NULL);
    for (int i = 0; i < 5; i++) {
        DT_CHECK_INT(ranks[i].status, DT_OK);
        DT_CHECK_INT(ranks[i].n_built, 1);
        DT_CHECK_INT(ranks[i].n_chosen, i == 0 || i == 2 ? 2 : 0);
        DT_CHECK((ranks[i].place < 3) == (i < 3));
        if (!kinds[i])
            continue;
        DT_CHECK_INT(ranks[i].choices.list.n, 4);
        for (int k = 0; k < 2; k++) {
            DT_CHECK_STR(dt_engines_find(&ranks[i].choices.list, "A", names[k]), "12 0.5");
            DT_CHECK_STR(dt_engines_find(&ranks[i].choices.list, "B", names[k]), "10 0.5");
        }
        DT_CHECK_BYTES(ranks[i].choices.list.list, ranks[0].choices.list.list, 4 * sizeof(dt_engine));
    }
    tear_down();
}

static void a_rank_that_cannot_follow_says_so_and_changes_no_list(void)
{
    static const char *const kinds[] = {"A", "A"};
    set_up(kinds, 2);
    ranks[1].cannot = "10";
    captured_log_begin(DT_LOG_INFO);
    fake_comm_run(2, rank_main, NULL);
    captured_log_end();
    DT_CHECK_CONTAINS(captured_log_text(),
                      "conv: the first rank with this kind of device (A) computes it with engine 10, which "
                      "cannot be used here: this rank uses 11, and may differ in the last bits");
    DT_CHECK_INT(ranks[1].status, DT_OK);
    DT_CHECK_STR(dt_engines_find(&ranks[1].choices.list, "A", "conv"), "10 0.5");
    DT_CHECK_INT(ranks[1].choices.list.n, 2);
    tear_down();
}

static void an_engine_of_an_earlier_start_that_cannot_be_used_is_replaced_and_logged(void)
{
    static const char *const kinds[] = {"A", "A"};
    set_up(kinds, 2);
    ranks[0].cannot = "99";
    put(&ranks[0].choices.list, "A", "conv", "99 1");
    put(&ranks[0].choices.list, "A", "dgrad", "98 1");
    captured_log_begin(DT_LOG_INFO);
    fake_comm_run(2, rank_main, NULL);
    captured_log_end();
    DT_CHECK_STR(captured_log_text(), "conv: engine 99 cannot be used here: 10 computes it from now on\n");
    for (int i = 0; i < 2; i++) {
        DT_CHECK_INT(ranks[i].n_chosen, i == 0);
        DT_CHECK_STR(dt_engines_find(&ranks[i].choices.list, "A", "conv"), "10 0.5");
        DT_CHECK_STR(dt_engines_find(&ranks[i].choices.list, "A", "dgrad"), "98 1");
    }
    tear_down();
}

/* Rank 0 has choices for both kinds from a checkpoint. Rank 1 has built without them, so they are not what it
 * computes with. */
static void choices_of_an_earlier_start_for_another_kind_give_way_to_those_of_its_rank(void)
{
    static const char *const kinds[] = {"A", "B"};
    set_up(kinds, 2);
    put(&ranks[0].choices.list, "A", "conv", "98 1");
    put(&ranks[0].choices.list, "B", "conv", "99 1");
    fake_comm_run(2, rank_main, NULL);
    for (int i = 0; i < 2; i++) {
        DT_CHECK_STR(dt_engines_find(&ranks[i].choices.list, "A", "conv"), "98 1");
        DT_CHECK_STR(dt_engines_find(&ranks[i].choices.list, "B", "conv"), "11 0.5");
    }
    tear_down();
}

static void a_build_that_fails_on_any_rank_fails_on_all(void)
{
    static const char *const kinds[] = {"A", "B", "A"};
    for (int failing = 0; failing < 3; failing++) {
        set_up(kinds, 3);
        ranks[failing].fails = DT_ERR_MEMORY;
        fake_comm_run(3, rank_main, NULL);
        for (int i = 0; i < 3; i++) {
            DT_CHECK_INT(ranks[i].status, DT_ERR_MEMORY);
            DT_CHECK(ranks[i].error.shared);
            DT_CHECK_CONTAINS(ranks[i].error.message, "the build fails");
        }
        DT_CHECK_INT(ranks[2].n_built, failing == 2);
        tear_down();
    }
}

static const dt_test tests[] = {
    DT_TEST(choices_are_sorted_and_replaced),
    DT_TEST(a_copy_grows_by_itself),
    DT_TEST(a_full_list_keeps_what_it_has),
    DT_TEST(no_memory_is_an_error_and_leaks_nothing),
    DT_TEST(only_other_engines_count_as_differences),
    DT_TEST(ranks_of_one_kind_choose_once),
    DT_TEST(each_kind_chooses_for_itself_and_all_ranks_know_all_choices),
    DT_TEST(a_rank_that_cannot_follow_says_so_and_changes_no_list),
    DT_TEST(an_engine_of_an_earlier_start_that_cannot_be_used_is_replaced_and_logged),
    DT_TEST(choices_of_an_earlier_start_for_another_kind_give_way_to_those_of_its_rank),
    DT_TEST(a_build_that_fails_on_any_rank_fails_on_all),
};
DT_TEST_MAIN("core/engines", tests)
