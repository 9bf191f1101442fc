/* Which folder a shard is read from, what an error is about, and which checkpoint is the newest whole one. */
#include "launch/checkpoints/reader.h"

#include "tests/fakes/captured_log.h"
#include "tests/launch/checkpoints/checkpoints_kit.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CUT = 100 }; /* elements of the first shard: a part of the first tensor */

static fake_state state;
static dt_checkpoints g;
static dt_error err;

void dt_test_set_up(void)
{
    fake_state_init(&state, 1);
}

void dt_test_tear_down(void)
{
    fake_state_clear(&state);
}

static const char *path_of(const char *name)
{
    return dt_test_path("%s/%s", dt_test_temp_dir(), name);
}

/* A run whose config.conf names the folders `own` and `mirror`. */
static void make_run(void)
{
    char config[8400];
    DT_REQUIRE(mkdir(path_of("run"), 0755) == 0);
    const int n = snprintf(config, sizeof config, "checkpoint-dir = \"%s\";\ncheckpoint-mirror = \"%s\";\n",
                           path_of("own"), path_of("mirror"));
    dt_test_write_file(path_of("run/config.conf"), config, (size_t)n);
}

static void write_both(int64_t step)
{
    checkpoints_kit_write(path_of("own"), &state, CUT, fake_manifest(step));
    checkpoints_kit_write(path_of("mirror"), &state, CUT, fake_manifest(step));
}

static dt_status open_newest(const char *dir, int64_t step, dt_checkpoint_reader **reader)
{
    *reader = NULL;
    err = (dt_error){0};
    DT_REQUIRE_MSG(dt_checkpoints_open(path_of(dir), &g, &err) == DT_OK, "%s", err.message);
    captured_log_begin(DT_LOG_INFO);
    const dt_status status = dt_checkpoints_newest_whole(&g, step, reader, &err);
    captured_log_end();
    return status;
}

static void close_all(dt_checkpoint_reader *reader)
{
    dt_checkpoint_reader_close(reader);
    dt_checkpoints_close(&g);
}

static void check_values(dt_checkpoint_reader *reader)
{
    float *values = malloc((size_t)state.layout.n_elems * sizeof *values);
    DT_REQUIRE(values != NULL);
    for (int t = FAKE_STATE_TENSORS - 1; t >= 0; t--) { /* in another order than that of the shards */
        const dt_state_tensor *tensor = &state.tensors[t];
        DT_CHECK_INT(dt_checkpoint_reader_get(reader, t, values, &err), DT_OK);
        DT_CHECK_MSG(memcmp(values, state.values + tensor->first, (size_t)tensor->n_elems * sizeof *values) ==
                         0,
                     "%s", tensor->name);
    }
    free(values);
}

static void each_shard_is_read_from_the_folder_where_it_is_whole(void)
{
    dt_checkpoint_reader *reader;
    make_run();
    write_both(1);
    DT_REQUIRE(unlink(checkpoints_kit_shard(path_of("own"), 1, 0)) == 0);
    checkpoints_kit_damage(checkpoints_kit_shard(path_of("mirror"), 1, 1));
    DT_REQUIRE_MSG(open_newest("run", -1, &reader) == DT_OK, "%s", err.message);
    DT_CHECK_INT(captured_log_lines(), 0);
    DT_CHECK(g.n_folders == 2 && !g.folders[0].is_mirror && g.folders[1].is_mirror);
    check_values(reader);
    close_all(reader);
}

/* A shard that could not be read leaves nothing that counts as the one before. */
static void after_a_shard_that_cannot_be_read_the_others_have_their_values(void)
{
    dt_checkpoint_reader *reader;
    float *values = calloc((size_t)state.layout.n_elems, sizeof *values);
    const char *away = path_of("away"), *folder = path_of("checkpoints");
    DT_REQUIRE(values != NULL);
    checkpoints_kit_write(folder, &state, CUT, fake_manifest(1));
    DT_REQUIRE_MSG(open_newest("checkpoints", -1, &reader) == DT_OK, "%s", err.message);
    DT_REQUIRE(rename(checkpoints_kit_shard(folder, 1, 1), away) == 0);
    for (int i = 0; i < 2; i++) { /* fails, and again */
        DT_CHECK_INT(dt_checkpoint_reader_get(reader, FAKE_STATE_TENSORS - 1, values, &err), DT_ERR_IO);
        DT_CHECK_CONTAINS(err.message, checkpoints_kit_shard(folder, 1, 1));
    }
    DT_REQUIRE(rename(away, checkpoints_kit_shard(folder, 1, 1)) == 0);
    const dt_state_tensor *first = &state.tensors[0]; /* begins in shard 0, which was loaded before */
    DT_CHECK_INT(dt_checkpoint_reader_get(reader, 0, values, &err), DT_OK);
    DT_CHECK(memcmp(values, state.values, (size_t)first->n_elems * sizeof *values) == 0);
    check_values(reader);
    free(values);
    close_all(reader);
}

static void the_error_is_about_a_file_that_exists(void)
{
    dt_checkpoint_reader *reader;
    make_run();
    write_both(1);
    for (int damaged = 0; damaged < 2; damaged++) {
        const char *here = damaged ? "mirror" : "own", *missing = damaged ? "own" : "mirror";
        if (damaged)
            write_both(1);
        checkpoints_kit_damage(checkpoints_kit_shard(path_of(here), 1, 0));
        DT_REQUIRE(unlink(checkpoints_kit_shard(path_of(missing), 1, 0)) == 0);
        DT_CHECK_INT(open_newest("run", 1, &reader), DT_ERR_FORMAT);
        DT_CHECK_CONTAINS(err.message, checkpoints_kit_shard(path_of(here), 1, 0));
        DT_CHECK_CONTAINS(err.message, "damaged");
        close_all(reader);
    }
    DT_REQUIRE(unlink(checkpoints_kit_shard(path_of("mirror"), 1, 0)) == 0); /* it is in no folder now */
    DT_CHECK_INT(open_newest("run", 1, &reader), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, checkpoints_kit_shard(path_of("own"), 1, 0));
    close_all(reader);
}

static void the_newest_whole_checkpoint_of_both_folders_is_opened(void)
{
    dt_checkpoint_reader *reader;
    make_run();
    write_both(1);
    checkpoints_kit_write(path_of("own"), &state, CUT, fake_manifest(2));
    checkpoints_kit_write(path_of("mirror"), &state, CUT, fake_manifest(3));
    DT_REQUIRE(open_newest("run", -1, &reader) == DT_OK);
    DT_CHECK_INT(dt_checkpoint_reader_manifest(reader)->step, 3);
    close_all(reader);
    checkpoints_kit_damage(checkpoints_kit_shard(path_of("mirror"), 3, 1));
    checkpoints_kit_damage(checkpoints_kit_shard(path_of("own"), 2, 1));
    DT_REQUIRE(open_newest("run", -1, &reader) == DT_OK);
    DT_CHECK_INT(dt_checkpoint_reader_manifest(reader)->step, 1);
    DT_CHECK_INT(captured_log_lines(), 2);
    DT_CHECK_CONTAINS(captured_log_text(), "checkpoint: passing over step 3: ");
    DT_CHECK_CONTAINS(captured_log_text(), "checkpoint: passing over step 2: ");
    close_all(reader);
    DT_REQUIRE(open_newest("run", 1, &reader) == DT_OK); /* by its number */
    DT_CHECK_INT(dt_checkpoint_reader_manifest(reader)->step, 1);
    close_all(reader);
    DT_CHECK_INT(open_newest("run", 4, &reader), DT_ERR_USAGE);
    DT_CHECK_STR(
        err.message,
        dt_test_path("there is no checkpoint of step 4 in %s; 'dtrain inspect' lists them", path_of("own")));
    close_all(reader);
    write_both(5);
    DT_CHECK_INT(open_newest("run", 4, &reader), DT_ERR_USAGE); /* a later one is none of this step */
    close_all(reader);
}

static void one_checkpoints_folder_is_that_checkpoint_alone(void)
{
    dt_checkpoint_reader *reader;
    const char *folder = path_of("checkpoints");
    checkpoints_kit_write(folder, &state, CUT, fake_manifest(0));
    checkpoints_kit_write(folder, &state, CUT, fake_manifest(1));
    for (int64_t step = 0; step < 2; step++) {
        DT_REQUIRE(open_newest(step ? "checkpoints/step-00000001/" : "checkpoints/step-00000000", -1,
                               &reader) == DT_OK);
        DT_CHECK_INT(g.only_step, step);
        DT_CHECK_INT(dt_checkpoint_reader_manifest(reader)->step, step);
        close_all(reader);
    }
    DT_CHECK_INT(open_newest("checkpoints/step-00000000", 1, &reader), DT_ERR_USAGE);
    close_all(reader);
}

static void messages_count_the_checkpoints_that_are_not_whole(void)
{
    dt_checkpoint_reader *reader;
    const char *folder = path_of("checkpoints");
    DT_REQUIRE(mkdir(folder, 0755) == 0);
    DT_CHECK_INT(open_newest("checkpoints", -1, &reader), DT_ERR_USAGE);
    DT_CHECK_STR(err.message, dt_test_path("there is no checkpoint in %s", folder));
    close_all(reader);
    for (int64_t step = 1; step <= 3; step++) {
        checkpoints_kit_write(folder, &state, CUT, fake_manifest(step));
        checkpoints_kit_damage(checkpoints_kit_shard(folder, step, (int)(step % 2)));
        DT_CHECK_INT(open_newest("checkpoints", -1, &reader), DT_ERR_FORMAT);
        DT_CHECK_INT(captured_log_lines(), step);
        if (step == 1)
            DT_CHECK_STR(err.message, dt_test_path("%s: the only checkpoint there is not whole", folder));
        else
            DT_CHECK_STR(err.message, dt_test_path("%s: none of the %lld checkpoints there is whole", folder,
                                                   (long long)step));
        close_all(reader);
    }
}

static const dt_test tests[] = {
    DT_TEST(each_shard_is_read_from_the_folder_where_it_is_whole),
    DT_TEST(after_a_shard_that_cannot_be_read_the_others_have_their_values),
    DT_TEST(the_error_is_about_a_file_that_exists),
    DT_TEST(the_newest_whole_checkpoint_of_both_folders_is_opened),
    DT_TEST(one_checkpoints_folder_is_that_checkpoint_alone),
    DT_TEST(messages_count_the_checkpoints_that_are_not_whole),
};
DT_TEST_MAIN("launch/checkpoints/reader", tests)
