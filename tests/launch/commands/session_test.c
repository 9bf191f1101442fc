/* The sources that commands open for a session. */
#include "launch/commands/session.h"

#include "tests/launch/commands/commands_kit.h"
#include "tests/testing.h"

#include <stdio.h>

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

static const dt_test tests[] = {
    DT_TEST(an_evaluation_has_every_image_once_whatever_accumulates),
};
DT_TEST_MAIN("launch/commands/session", tests)
