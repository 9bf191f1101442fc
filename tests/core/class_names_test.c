/* Names of classes: the same set in another order is mapped, another set is refused with the difference. */
#include "core/class_names.h"

#include "core/base/alloc.h"
#include "tests/fakes/fake_source.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

static dt_error error;

static dt_class_names list(const char *const *names)
{
    dt_class_names made = {0};
    for (; *names; names++)
        DT_REQUIRE(dt_class_names_add(&made, *names, NULL) == DT_OK);
    return made;
}

#define LIST(...) list((const char *const[]){__VA_ARGS__, NULL})

static void names_are_kept_in_order(void)
{
    dt_class_names a = LIST("b", "a", "\xff\xfe", "c d"), copy = {0};
    DT_CHECK_INT(a.n, 4);
    DT_CHECK_STR(dt_class_names_at(&a, 0), "b");
    DT_CHECK_STR(dt_class_names_at(&a, 2), "\xff\xfe");
    DT_CHECK_STR(dt_class_names_at(&a, 3), "c d");
    DT_CHECK_INT(dt_class_names_copy(&a, &copy, &error), DT_OK);
    DT_CHECK(dt_class_names_equal(&a, &copy) && copy.text != a.text);
    dt_class_names other = LIST("a", "b", "\xff\xfe", "c d"), none = {0};
    DT_CHECK(!dt_class_names_equal(&a, &other));
    DT_CHECK(!dt_class_names_equal(&a, &none));
    DT_CHECK(dt_class_names_equal(&none, &none));
    dt_class_names_clear(&other);
    dt_class_names_clear(&copy);
    dt_class_names_clear(&a);
}

static void another_order_is_mapped(void)
{
    dt_class_names trained = LIST("cat", "dog", "ant"), data = LIST("ant", "cat", "dog");
    int32_t labels[3];
    DT_CHECK_INT(dt_class_names_match(&trained, &data, labels, &error), DT_OK);
    DT_CHECK_INT(labels[0], 2);
    DT_CHECK_INT(labels[1], 0);
    DT_CHECK_INT(labels[2], 1);
    DT_CHECK_INT(dt_class_names_match(&trained, &data, NULL, &error), DT_OK);
    dt_class_names_clear(&trained);
    dt_class_names_clear(&data);
}

static void check_refused(dt_class_names trained, dt_class_names data, const char *message)
{
    int32_t labels[16];
    DT_CHECK_INT(dt_class_names_match(&trained, &data, labels, &error), DT_ERR_USAGE);
    DT_CHECK_STR(error.message, message);
    dt_class_names_clear(&trained);
    dt_class_names_clear(&data);
}

static void another_set_is_refused_with_the_difference(void)
{
    check_refused(LIST("a", "b"), LIST("a", "c"), "the classes differ: the data lacks 'b' and has 'c'");
    check_refused(LIST("a", "b"), LIST("b"), "the classes differ: the data lacks 'a'");
    check_refused(LIST("b"), LIST("b", "A"), "the classes differ: the data has 'A'");
    check_refused(LIST("1", "2", "3", "z"), LIST("4", "5", "6", "z"),
                  "the classes differ: the data lacks '1', '2', '3' and has '4', '5', '6'");
    check_refused(LIST("1", "2", "3", "4", "z"), LIST("z"),
                  "the classes differ: the data lacks '1', '2', '3' and 1 more");
    check_refused(
        LIST("1", "2", "3", "4", "5", "6"), LIST("6", "7", "8", "9", "10"),
        "the classes differ: the data lacks '1', '2', '3' and 2 more and has '10', '7', '8' and 1 more");
}

static void names_of_more_than_60_bytes_are_cut(void)
{
    char names[2][64] = {"", ""}, text[256];
    memset(names[0], 'a', 60);
    memset(names[1], 'b', 61);
    snprintf(text, sizeof text, "the classes differ: the data lacks '%s', '%.60s...'", names[0], names[1]);
    check_refused(LIST("A", names[0], names[1]), LIST("A"), text);
}

static void a_sources_labels_follow_the_trained_order(void)
{
    dt_source *source = fake_source_create(&(fake_source_options){.n_samples = 6,
                                                                  .n_classes = 3,
                                                                  .image_size = 2,
                                                                  .batch = 6,
                                                                  .accumulate = 1,
                                                                  .size = 1,
                                                                  .evaluation = true});
    dt_class_names trained = LIST("class 2", "class 0", "class 1"), now = {0}, other = LIST("x", "y", "z");
    bool moved = false;
    DT_CHECK_INT(dt_class_names_apply(&trained, source, &moved, &error), DT_OK);
    DT_CHECK(moved);
    DT_CHECK_INT(dt_class_names_of_source(source, &now, &error), DT_OK);
    DT_CHECK(dt_class_names_equal(&now, &trained));
    DT_CHECK_INT(dt_class_names_apply(&trained, source, &moved, &error), DT_OK);
    DT_CHECK(!moved);
    DT_CHECK_INT(dt_class_names_apply(&other, source, &moved, &error), DT_ERR_USAGE);
    dt_batch *batch = NULL;
    DT_REQUIRE(source->ops->start(source, 0, 0, 1, &error) == DT_OK);
    DT_REQUIRE(source->ops->next(source, &batch, &error) == DT_OK);
    for (int i = 0; i < 6; i++)
        DT_CHECK_INT(batch->labels[i], (i + 1) % 3);
    dt_class_names_clear(&now);
    dt_class_names_clear(&trained);
    dt_class_names_clear(&other);
    source->ops->destroy(source);
}

static void every_allocation_may_fail(void)
{
    dt_class_names trained = LIST("b", "a"), data = LIST("a", "b");
    const int64_t live = dt_alloc_live_blocks();
    for (int64_t n = 1;; n++) {
        dt_class_names copy = {0};
        int32_t labels[2];
        dt_alloc_fail_after(n);
        dt_status status = dt_class_names_copy(&data, &copy, &error);
        if (status == DT_OK)
            status = dt_class_names_add(&copy, "c", &error);
        if (status == DT_OK)
            status = dt_class_names_match(&trained, &data, labels, &error);
        dt_alloc_fail_after(0);
        dt_class_names_clear(&copy);
        DT_CHECK_INT(dt_alloc_live_blocks(), live);
        if (status == DT_OK)
            break;
        DT_CHECK_INT(status, DT_ERR_MEMORY);
        DT_REQUIRE(n < 20);
    }
    dt_class_names_clear(&trained);
    dt_class_names_clear(&data);
}

static const dt_test tests[] = {
    DT_TEST(names_are_kept_in_order),
    DT_TEST(another_order_is_mapped),
    DT_TEST(another_set_is_refused_with_the_difference),
    DT_TEST(names_of_more_than_60_bytes_are_cut),
    DT_TEST(a_sources_labels_follow_the_trained_order),
    DT_TEST(every_allocation_may_fail),
};
DT_TEST_MAIN("core/class_names", tests)
