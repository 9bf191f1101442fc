/* The sources that commands open for a session. */
#include "launch/commands/session.h"

#include "tests/launch/commands/commands_kit.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

enum { N_IMAGES = 16 };

/* How often ranks of a world of `world` get each of the 16 validation images. Evaluations do not accumulate,
 * whatever the training does. */
static void count(const dt_options *options, int world, int seen[N_IMAGES])
{
    dt_error err = {0};
    const int64_t per_round = options->config.batch * world,
                  n_batches = (N_IMAGES + per_round - 1) / per_round;
    for (int rank = 0; rank < world; rank++) {
        dt_comm comm = {.rank = rank, .size = world};
        const dt_session session = {.comm = &comm, .affinity = {.n_workers = 1}};
        dt_source *source = NULL;
        DT_REQUIRE_MSG(dt_session_source(&session, options, false, &source, &err) == DT_OK, "%s",
                       err.message);
        DT_REQUIRE(source->ops->start(source, 0, 0, n_batches, &err) == DT_OK);
        for (int64_t b = 0; b < n_batches; b++) {
            dt_batch *batch = NULL;
            DT_REQUIRE_MSG(source->ops->next(source, &batch, &err) == DT_OK, "%s", err.message);
            DT_CHECK_INT(batch->n, options->config.batch);
            for (int64_t i = 0; i < batch->n; i++)
                if (batch->ids[i] >= 0)
                    seen[batch->ids[i]]++;
            source->ops->release(source, batch);
        }
        source->ops->destroy(source);
    }
}

static void an_evaluation_has_every_image_once_whatever_accumulates(void)
{
    static dt_options options;
    commands_kit_images(dt_test_temp_dir(), "val", "a", 11, 16);
    commands_kit_images(dt_test_temp_dir(), "val", "b", 5, 16);
    for (int world = 1; world <= 3; world++)
        for (int accumulate = 1; accumulate <= 3; accumulate++) {
            int seen[N_IMAGES] = {0};
            dt_options_set_defaults(&options, DT_COMMAND_TRAIN);
            snprintf(options.config.data, sizeof options.config.data, "%s", dt_test_temp_dir());
            options.config.image_size = 16;
            options.config.batch = 2;
            options.config.accumulate = accumulate;
            count(&options, world, seen);
            for (int i = 0; i < N_IMAGES; i++)
                DT_CHECK_MSG(seen[i] == 1, "image %d: %d times, %d ranks, --accumulate %d", i, seen[i], world,
                             accumulate);
        }
}

/* Copies the first random batch of this rank. */
static void copy_random(const dt_options *options, int rank, uint8_t pixels[2 * 16 * 16 * 3])
{
    dt_comm comm = {.rank = rank, .size = 2};
    const dt_session session = {.comm = &comm};
    dt_source *source = NULL;
    dt_batch *batch = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(dt_session_source(&session, options, true, &source, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE(source->ops->start(source, 0, 0, 1, &err) == DT_OK);
    DT_REQUIRE(source->ops->next(source, &batch, &err) == DT_OK);
    DT_CHECK(batch->n == 2 && batch->size == 16);
    memcpy(pixels, batch->pixels, 2 * 16 * 16 * 3);
    source->ops->release(source, batch);
    source->ops->destroy(source);
}

static void random_images_differ_between_ranks_and_seeds(void)
{
    static dt_options options;
    static uint8_t pixels[4][2 * 16 * 16 * 3];
    for (int i = 0; i < 4; i++) { /* rank 0, rank 1, rank 0 again, and with another seed */
        dt_options_set_defaults(&options, DT_COMMAND_TRAIN);
        options.input = DT_INPUT_SYNTHETIC;
        options.config.image_size = 16;
        options.config.batch = 2;
        options.config.seed = i == 3 ? 2 : 1;
        copy_random(&options, i == 1, pixels[i]);
        DT_CHECK_MSG((memcmp(pixels[i], pixels[0], sizeof pixels[0]) == 0) == (i % 2 == 0), "%d", i);
    }
}

static const dt_test tests[] = {
    DT_TEST(random_images_differ_between_ranks_and_seeds),
    DT_TEST(an_evaluation_has_every_image_once_whatever_accumulates),
};
DT_TEST_MAIN("launch/commands/session", tests)
