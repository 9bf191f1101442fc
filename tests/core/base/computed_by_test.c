/* The libraries and processors that compute a training: pairs, what differs between two, what several ranks
 * have together; and what the trainer makes of it. */
#include "core/base/computed_by.h"
#include "core/base/log.h"
#include "tests/fakes/fake_store.h"
#include "tests/fakes/trainer_job.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

/* -- pairs ----------------------------------------------------------------------------------------------- */

static dt_computed_by with(const char *onednn, const char *isa)
{
    dt_computed_by c = {0};
    dt_computed_by_add(&c, "backend", "cpu");
    if (onednn)
        dt_computed_by_add(&c, "oneDNN", "%s", onednn);
    if (isa)
        dt_computed_by_add(&c, "isa", "%s", isa);
    return c;
}

static void pairs_are_found_by_name(void)
{
    const dt_computed_by c = with("2.6.3", "avx2");
    DT_CHECK_INT(c.n, 3);
    DT_CHECK_STR(c.fields[1].name, "oneDNN");
    DT_CHECK_STR(dt_computed_by_find(&c, "isa"), "avx2");
    DT_CHECK(dt_computed_by_find(&c, "GPU") == NULL);
}

static void values_are_cut_and_made_plain(void)
{
    char longest[DT_COMPUTED_BY_VALUE_BYTES + 1];
    dt_computed_by c = {0};
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    dt_computed_by_add(&c, "a", "%s", longest);
    DT_CHECK_INT(strlen(c.fields[0].value), DT_COMPUTED_BY_VALUE_BYTES - 1);
    DT_CHECK_STR(c.fields[0].value + DT_COMPUTED_BY_VALUE_BYTES - 5, "x...");
    dt_computed_by_add(&c, "b", "%s", longest + 1);
    DT_CHECK_STR(c.fields[1].value, longest + 1);
    dt_computed_by_add(&c, "c", "\x1b[2J \"\\ \xc3\xa9~");
    DT_CHECK_STR(c.fields[2].value, "?[2J ?? ??~");
    dt_computed_by_add(&c, "d", "%s", "");
    DT_CHECK_STR(c.fields[3].value, "unknown");
}

static void differences_are_listed_on_both_sides(void)
{
    char was[200], is[200];
    const dt_computed_by a = with("2.6.3", "avx2"), b = with("3.7.2", "avx2"), c = with(NULL, "sse41");
    DT_CHECK(!dt_computed_by_compare(&a, &a, was, is, sizeof was));
    DT_CHECK_STR(was, "");
    DT_CHECK(dt_computed_by_compare(&a, &b, was, is, sizeof was));
    DT_CHECK_STR(was, "oneDNN 2.6.3");
    DT_CHECK_STR(is, "oneDNN 3.7.2");
    DT_CHECK(dt_computed_by_compare(&a, &c, was, is, sizeof was));
    DT_CHECK_STR(was, "oneDNN 2.6.3, isa avx2");
    DT_CHECK_STR(is, "no oneDNN, isa sse41");
    DT_CHECK(dt_computed_by_compare(&c, &a, was, is, sizeof was));
    DT_CHECK_STR(was, "isa sse41, no oneDNN");
    DT_CHECK(dt_computed_by_compare(&a, &c, was, is, 16));
    DT_CHECK_STR(was, "oneDNN 2.6.3...");
    DT_CHECK_STR(is, "no oneDNN, i...");
    DT_CHECK(dt_computed_by_compare(&a, &c, was, is, 8)); /* cut again and again */
    DT_CHECK_STR(was, "oneD...");
}

static void joined_ranks_have_each_value_once(void)
{
    dt_computed_by joined;
    const dt_computed_by ranks[] = {with("2.6.3", "avx2"), with("2.6.3", "sse41"), with("3.7.2", "avx2"),
                                    with("2.6.3", NULL)};
    dt_computed_by_join(ranks, 4, &joined);
    DT_CHECK_INT(joined.n, 3);
    DT_CHECK_STR(dt_computed_by_find(&joined, "backend"), "cpu");
    DT_CHECK_STR(dt_computed_by_find(&joined, "oneDNN"), "2.6.3 + 3.7.2");
    DT_CHECK_STR(dt_computed_by_find(&joined, "isa"), "avx2 + sse41");
    dt_computed_by_join(ranks + 3, 1, &joined);
    DT_CHECK_BYTES(&joined, &ranks[3], sizeof joined);
}

static void too_many_names_and_values_are_cut(void)
{
    dt_computed_by ranks[3] = {{0}}, joined;
    for (int r = 0; r < 3; r++)
        for (int i = 0; i < DT_COMPUTED_BY_MAX; i++) {
            char name[DT_COMPUTED_BY_NAME_BYTES];
            snprintf(name, sizeof name, "name%d", i + r);
            dt_computed_by_add(&ranks[r], name, "%d %080d", r, i);
        }
    dt_computed_by_join(ranks, 3, &joined);
    DT_CHECK_INT(joined.n, DT_COMPUTED_BY_MAX);
    DT_CHECK_INT(strlen(dt_computed_by_find(&joined, "name3")), DT_COMPUTED_BY_VALUE_BYTES - 1);
    DT_CHECK_CONTAINS(dt_computed_by_find(&joined, "name3"), "...");
}

/* -- the trainer ----------------------------------------------------------------------------------------- */

static char log_text[2000];

static void keep_line(void *context, dt_log_level level, const char *line)
{
    (void)context, (void)level;
    const size_t used = strlen(log_text);
    if (strncmp(line, "recorder: ", strlen("recorder: ")) == 0) /* the fake sink always fails */
        return;
    snprintf(log_text + used, sizeof log_text - used, "%s\n", line);
}

/* Train on two ranks with these lists for so many steps; the warnings go to log_text. */
static void train(dt_store *store, int64_t steps, const dt_computed_by *first, const dt_computed_by *second)
{
    job j = new_job(2);
    j.store = store;
    j.config.steps = steps;
    j.computed_by[0] = first;
    j.computed_by[1] = second;
    log_text[0] = '\0';
    dt_log_set_sink(keep_line, NULL, DT_LOG_WARN);
    run(&j);
    dt_log_set_sink(NULL, NULL, DT_LOG_INFO);
    check_all(&j, DT_OK);
    free_job(&j);
}

static void check_carried(dt_store *store, int64_t step, const dt_computed_by *expected)
{
    dt_manifest m = {0};
    DT_REQUIRE(store->ops->read_manifest(store, step, &m, NULL) == DT_OK);
    DT_CHECK_BYTES(&m.computed_by, expected, sizeof *expected);
    dt_manifest_clear(&m);
}

static void a_resume_with_other_libraries_is_reported_once(void)
{
    const dt_computed_by a = with("2.6.3", "avx2"), b = with("3.7.2", "avx2");
    dt_store *store = fake_store_create(&(fake_store_options){0});
    train(store, 2, &a, &a);
    DT_CHECK_STR(log_text, "");
    check_carried(store, 2, &a);
    train(store, 4, &a, &a);
    DT_CHECK_STR(log_text, "");
    train(store, 6, &b, &b);
    DT_CHECK_STR(log_text, "step 4 was computed with oneDNN 2.6.3, this start computes with oneDNN 3.7.2: "
                           "training goes on correctly, but later bits may differ "
                           "from those of an uninterrupted run\n");
    check_carried(store, 6, &b);
    train(store, 8, &b, &b);
    DT_CHECK_STR(log_text, "");
    store->ops->destroy(store);
}

static void nothing_is_reported_where_nothing_is_known(void)
{
    const dt_computed_by a = with("2.6.3", "avx2"), none = {0};
    dt_store *store = fake_store_create(&(fake_store_options){0});
    train(store, 2, NULL, NULL);
    check_carried(store, 2, &none);
    train(store, 4, &a, &a);
    train(store, 6, NULL, NULL);
    DT_CHECK_STR(log_text, "");
    store->ops->destroy(store);
}

static void ranks_that_differ_are_named_and_their_values_joined(void)
{
    const dt_computed_by a = with("2.6.3", "avx2"), b = with("2.6.3", "sse41");
    dt_computed_by both = with("2.6.3", "avx2 + sse41");
    dt_store *store = fake_store_create(&(fake_store_options){0});
    train(store, 2, &a, &b);
    DT_CHECK_CONTAINS(log_text, "what computes differs between ranks: isa avx2 on rank 0 (host0), isa sse41 "
                                "on rank 1 (host0): to get the same bits again, run the same "
                                "ranks on the same hosts\n");
    check_carried(store, 2, &both);
    train(store, 4, &a, &b);
    DT_CHECK(strstr(log_text, "was computed with") == NULL);
    train(store, 6, &b, &a);
    DT_CHECK_CONTAINS(
        log_text, "step 4 was computed with isa avx2 + sse41, this start computes with isa sse41 + avx2: ");
    store->ops->destroy(store);
}

static const dt_test tests[] = {
    DT_TEST(pairs_are_found_by_name),
    DT_TEST(values_are_cut_and_made_plain),
    DT_TEST(differences_are_listed_on_both_sides),
    DT_TEST(joined_ranks_have_each_value_once),
    DT_TEST(too_many_names_and_values_are_cut),
    DT_TEST(a_resume_with_other_libraries_is_reported_once),
    DT_TEST(nothing_is_reported_where_nothing_is_known),
    DT_TEST(ranks_that_differ_are_named_and_their_values_joined),
};
DT_TEST_MAIN("core/base/computed_by", tests)
