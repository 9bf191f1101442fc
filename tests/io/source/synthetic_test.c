/* The source of random batches: its values, repetition, other image sizes, and failed allocations. */
#include "tests/testing.h"

#include "core/base/alloc.h"
#include "io/source/synthetic.h"

#include <string.h>

static dt_error error;

static dt_source *make(int rank, int64_t size)
{
    dt_source *source = NULL;
    const dt_synthetic_options o = {
        .n_samples = 1000, .n_classes = 7, .image_size = size, .batch = 3, .rank = rank, .seed = 5};
    DT_CHECK_INT(dt_synthetic_create(&o, &source, &error), DT_OK);
    return source;
}

static dt_batch *next(dt_source *s)
{
    dt_batch *b = NULL;
    DT_CHECK_INT(s->ops->next(s, &b, &error), DT_OK);
    return b;
}

static void batches_are_random_in_range_and_repeat(void)
{
    dt_source *s = make(0, 9);
    DT_REQUIRE(s);
    dt_batch *seen[DT_SYNTHETIC_BATCHES];
    bool has_seen_all_values[4] = {false};
    DT_REQUIRE(s->ops->start(s, 0, 0, 2 * DT_SYNTHETIC_BATCHES, &error) == DT_OK);
    for (int i = 0; i < DT_SYNTHETIC_BATCHES; i++) {
        seen[i] = next(s);
        DT_REQUIRE(seen[i]);
        DT_CHECK_INT(seen[i]->n, 3);
        DT_CHECK_INT(seen[i]->size, 9);
        for (int64_t k = 0; k < 3 * 9 * 9 * 3; k++)
            has_seen_all_values[seen[i]->pixels[k] / 64] = true;
        for (int k = 0; k < 3; k++)
            DT_CHECK(seen[i]->labels[k] >= 0 && seen[i]->labels[k] < 7);
        s->ops->release(s, seen[i]);
    }
    DT_CHECK(has_seen_all_values[0] && has_seen_all_values[1] && has_seen_all_values[2] &&
             has_seen_all_values[3]);
    DT_CHECK(memcmp(seen[0]->pixels, seen[1]->pixels, 3 * 9 * 9 * 3) != 0);
    for (int i = 0; i < DT_SYNTHETIC_BATCHES; i++)
        DT_CHECK(next(s) == seen[i]);
    dt_batch *more = NULL;
    DT_CHECK_INT(s->ops->next(s, &more, &error), DT_ERR_INTERNAL);
    s->ops->destroy(s);
}

static void ranks_get_different_batches_and_a_seed_the_same(void)
{
    dt_source *a = make(0, 8), *b = make(1, 8), *c = make(0, 8);
    DT_REQUIRE(a && b && c);
    dt_source *all[] = {a, b, c};
    for (int i = 0; i < 3; i++)
        DT_REQUIRE(all[i]->ops->start(all[i], 0, 0, 1, &error) == DT_OK);
    const dt_batch *of_a = next(a), *of_b = next(b), *of_c = next(c);
    DT_CHECK(memcmp(of_a->pixels, of_b->pixels, 3 * 8 * 8 * 3) != 0);
    DT_CHECK_BYTES(of_a->pixels, of_c->pixels, 3 * 8 * 8 * 3);
    for (int i = 0; i < 3; i++)
        all[i]->ops->destroy(all[i]);
}

static void info_reports_the_given_sizes(void)
{
    dt_source_info info;
    dt_source *s = make(0, 16);
    DT_REQUIRE(s);
    s->ops->info(s, &info);
    DT_CHECK_INT(info.n_samples, 1000);
    DT_CHECK_INT(info.n_classes, 7);
    DT_CHECK_INT(info.image_size, 16);
    DT_CHECK(s->ops->class_name(s, 6) == NULL); /* random pixels belong to no class that has a name */
    DT_CHECK_INT(s->ops->set_image_size(s, 24, &error), DT_OK);
    DT_REQUIRE(s->ops->start(s, 3, 0, 1, &error) == DT_OK);
    DT_CHECK_INT(next(s)->size, 24);
    s->ops->info(s, &info);
    DT_CHECK_INT(info.image_size, 24);
    DT_CHECK_INT(s->ops->set_image_size(s, 0, &error), DT_ERR_USAGE);
    s->ops->info(s, &info);
    DT_CHECK_INT(info.image_size, 24);
    s->ops->destroy(s);
}

static void an_epoch_has_exact_limits_and_starts_with_the_first_batch(void)
{
    dt_source *s = make(0, 4);
    DT_REQUIRE(s);
    DT_CHECK_INT(s->ops->start(s, 0, 1000, 0, &error), DT_OK);
    DT_CHECK_INT(s->ops->start(s, 0, 1001, 0, &error), DT_ERR_INTERNAL);
    DT_CHECK_STR(error.message, "synthetic source: epoch 0, position 1001, 0 batches");
    DT_CHECK_INT(s->ops->start(s, -1, 0, 0, &error), DT_ERR_INTERNAL);
    DT_CHECK_INT(s->ops->start(s, 0, -1, 0, &error), DT_ERR_INTERNAL);
    DT_CHECK_INT(s->ops->start(s, 0, 0, -1, &error), DT_ERR_INTERNAL);
    DT_REQUIRE(s->ops->start(s, 0, 0, DT_SYNTHETIC_BATCHES, &error) == DT_OK);
    dt_batch *first = next(s), *second = next(s), *none = NULL;
    for (int i = 0; i < 3; i++) {
        DT_CHECK_INT(first->ids[i], i);
        DT_CHECK_INT(second->ids[i], 3 + i);
    }
    DT_REQUIRE(s->ops->start(s, 1, 0, 2, &error) == DT_OK);
    DT_CHECK(next(s) == first);
    DT_CHECK_INT(s->ops->set_image_size(s, 5, &error), DT_OK); /* ends the epoch */
    DT_CHECK_INT(s->ops->next(s, &none, &error), DT_ERR_INTERNAL);
    s->ops->destroy(s);
}

static void every_class_and_seed_has_its_values(void)
{
    dt_source *sources[2] = {NULL, NULL};
    int n_of_class[3] = {0};
    uint8_t *pixels[2];
    for (uint64_t seed = 0; seed < 2; seed++) {
        const dt_synthetic_options o = {
            .n_samples = 300, .n_classes = 3, .image_size = 2, .batch = 100, .seed = 7 + seed};
        DT_REQUIRE(dt_synthetic_create(&o, &sources[seed], &error) == DT_OK);
        DT_REQUIRE(sources[seed]->ops->start(sources[seed], 0, 0, 1, &error) == DT_OK);
        const dt_batch *batch = next(sources[seed]);
        for (int i = 0; i < 100; i++)
            n_of_class[batch->labels[i]]++;
        pixels[seed] = batch->pixels;
    }
    DT_CHECK(n_of_class[0] > 40 && n_of_class[1] > 40 && n_of_class[2] > 40);
    DT_CHECK(memcmp(pixels[0], pixels[1], 100 * 2 * 2 * 3) != 0);
    for (int i = 0; i < 2; i++)
        sources[i]->ops->destroy(sources[i]);
}

static void failed_allocations_are_reported_and_leak_nothing(void)
{
    for (int64_t n = 1;; n++) {
        int64_t live = dt_alloc_live_blocks();
        dt_source *s = NULL;
        const dt_synthetic_options o = {.n_samples = 10, .n_classes = 2, .image_size = 4, .batch = 2};
        dt_alloc_fail_after(n);
        dt_status status = dt_synthetic_create(&o, &s, &error);
        if (status == DT_OK)
            status = s->ops->set_image_size(s, 5, &error);
        dt_alloc_fail_after(0);
        if (s)
            s->ops->destroy(s);
        DT_CHECK_INT(dt_alloc_live_blocks(), live);
        if (status == DT_OK)
            return;
        DT_CHECK_INT(status, DT_ERR_MEMORY);
        DT_REQUIRE(n < 100);
    }
}

static const dt_test tests[] = {
    DT_TEST(batches_are_random_in_range_and_repeat),
    DT_TEST(ranks_get_different_batches_and_a_seed_the_same),
    DT_TEST(info_reports_the_given_sizes),
    DT_TEST(an_epoch_has_exact_limits_and_starts_with_the_first_batch),
    DT_TEST(every_class_and_seed_has_its_values),
    DT_TEST(failed_allocations_are_reported_and_leak_nothing),
};

DT_TEST_MAIN("io/source/synthetic", tests)
