/* The engines that a start gets from the newest checkpoint before it builds its net. */
#include "launch/run/run_engines.h"

#include "tests/launch/checkpoints/checkpoints_kit.h"
#include "tests/testing.h"

#include <stdio.h>

static fake_state state;
static dt_options options;
static dt_engine_choices choices;

static dt_engine_choices *engines_of(dt_kernels *k)
{
    (void)k;
    return &choices;
}

void dt_test_set_up(void)
{
    fake_state_init(&state, 1);
}

void dt_test_tear_down(void)
{
    fake_state_clear(&state);
    dt_engines_clear(&choices.list);
}

static const char *folder(const char *name)
{
    return dt_test_path("%s/%s", dt_test_temp_dir(), name);
}

/* Writes a checkpoint that has one choice, of this engine. */
static void write_checkpoint(const char *name, int64_t step, const char *engine)
{
    dt_error err = {0};
    dt_manifest m = fake_manifest(step);
    dt_engines_clear(&m.engines);
    DT_REQUIRE(dt_engines_put(&m.engines, "GPU A", "conv", engine, &err) == DT_OK);
    checkpoints_kit_write(folder(name), &state, 100, m);
}

/* What a rank gets: the engine, or "nothing". */
static const char *read_engines(int rank, bool has_engines)
{
    const dt_kernels_ops ops = {.name = "fake", .engines = has_engines ? engines_of : NULL};
    const dt_comm comm = {.rank = rank, .size = 2};
    dt_kernels kernels = {.ops = &ops};
    dt_engines_clear(&choices.list);
    dt_run_engines_read(&options, folder("usual"), &comm, &kernels);
    const char *engine = dt_engines_find(&choices.list, "GPU A", "conv");
    return engine ? engine : "nothing";
}

static void begin(void)
{
    dt_options_set_defaults(&options, DT_COMMAND_TRAIN);
    options.config.resume = DT_RESUME_AUTO;
}

static void rank_0_gets_those_of_the_newest_checkpoint_that_can_be_read(void)
{
    begin();
    DT_CHECK_STR(read_engines(0, true), "nothing"); /* there is no folder */
    write_checkpoint("usual", 9, "1");
    write_checkpoint("usual", 40, "2");
    DT_CHECK_STR(read_engines(0, true), "2");
    DT_CHECK_STR(read_engines(1, true), "nothing");
    DT_CHECK_STR(read_engines(0, false), "nothing");
    checkpoints_kit_damage(dt_test_path("%s/step-00000040/manifest.json", folder("usual")));
    DT_CHECK_STR(read_engines(0, true), "1");
    options.config.resume = DT_RESUME_MUST;
    DT_CHECK_STR(read_engines(0, true), "1");
    options.config.resume = DT_RESUME_NEVER;
    DT_CHECK_STR(read_engines(0, true), "nothing");
}

static void the_mirror_is_read_where_the_folder_has_none(void)
{
    begin();
    write_checkpoint("mirror", 7, "3");
    write_checkpoint("given", 5, "4");
    snprintf(options.checkpoint_mirror, sizeof options.checkpoint_mirror, "%s", folder("mirror"));
    DT_CHECK_STR(read_engines(0, true), "3");
    snprintf(options.checkpoint_dir, sizeof options.checkpoint_dir, "%s", folder("given"));
    DT_CHECK_STR(read_engines(0, true), "4");
}

static const dt_test tests[] = {
    DT_TEST(rank_0_gets_those_of_the_newest_checkpoint_that_can_be_read),
    DT_TEST(the_mirror_is_read_where_the_folder_has_none),
};
DT_TEST_MAIN("launch/run/run_engines", tests)
