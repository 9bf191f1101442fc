/* The sources that commands open for a session. */
#include "launch/commands/session.h"

#include "core/base/clock.h"
#include "tests/launch/commands/commands_kit.h"
#include "tests/testing.h"

#include <dirent.h>
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

/* Counts the decoding threads that may run on this one processor alone. */
static int n_threads_on(const char *cpu)
{
    char line[4096];
    int n = 0;
    DIR *folder = opendir("/proc/self/task");
    DT_REQUIRE(folder != NULL);
    for (struct dirent *e; (e = readdir(folder)) != NULL;) {
        bool decodes = false, is_there = false;
        FILE *f = fopen(dt_test_path("/proc/self/task/%s/status", e->d_name), "r");
        while (f && fgets(line, sizeof line, f)) {
            decodes = decodes || strcmp(line, "Name:\tdtrain-load\n") == 0;
            is_there = is_there || strcmp(line, dt_test_path("Cpus_allowed_list:\t%s\n", cpu)) == 0;
        }
        if (f)
            fclose(f);
        n += decodes && is_there;
    }
    closedir(folder);
    return n;
}

/* Those of the rank, and cores that are near no GPU, although the rank itself runs elsewhere. */
static void decoding_threads_run_on_their_processors(void)
{
    static dt_options options;
    static dt_comm comm = {.size = 1};
    static dt_session session = {.comm = &comm, .affinity = {.n_workers = 3}};
    char last[16];
    dt_cpus own;
    dt_source *source = NULL;
    dt_error err = {0};
    (void)dt_cpus_read(0, &own);
    int cpu = 0;
    for (int next = 0; (next = dt_cpus_next(&own, next)) >= 0; next++)
        cpu = next;
    if (dt_cpus_count(&own) < 2)
        DT_SKIP("this process may use one processor only");
    dt_cpus_add(&session.affinity.worker_cpus, cpu);
    snprintf(last, sizeof last, "%d", cpu);
    commands_kit_images(dt_test_temp_dir(), "val", "a", 11, 16);
    dt_options_set_defaults(&options, DT_COMMAND_TRAIN);
    snprintf(options.config.data, sizeof options.config.data, "%s", dt_test_temp_dir());
    options.config.image_size = 16;
    options.config.batch = 2;
    DT_REQUIRE_MSG(dt_session_source(&session, &options, false, &source, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE(source->ops->start(source, 0, 0, 1, &err) == DT_OK);
    const double until_s = dt_clock_s() + 30;
    while (n_threads_on(last) < 3 && dt_clock_s() < until_s)
        dt_clock_sleep_s(0.01);
    DT_CHECK_INT(n_threads_on(last), 3);
    source->ops->destroy(source);
}

static const dt_test tests[] = {
    DT_TEST(decoding_threads_run_on_their_processors),
    DT_TEST(random_images_differ_between_ranks_and_seeds),
    DT_TEST(an_evaluation_has_every_image_once_whatever_accumulates),
};
DT_TEST_MAIN("launch/commands/session", tests)
