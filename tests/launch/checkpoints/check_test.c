/* The figures that dtrain inspect shows of a checkpoint, against the manifest and the files. */
#include "launch/checkpoints/check.h"

#include "core/base/alloc.h"
#include "tests/launch/checkpoints/checkpoints_kit.h"
#include "tests/testing.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static fake_state state;
static dt_checkpoints g;

void dt_test_set_up(void)
{
    fake_state_init(&state, 1);
}

void dt_test_tear_down(void)
{
    fake_state_clear(&state);
}

static const char *folder(void)
{
    return dt_test_path("%s/checkpoints", dt_test_temp_dir());
}

static dt_checkpoint_check_result check(int64_t step, bool verify)
{
    dt_checkpoint_check_result r;
    dt_error err = {0};
    DT_REQUIRE_MSG(dt_checkpoints_open(folder(), &g, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_checkpoint_check(&g, 0, step, verify, &r, &err) == DT_OK, "%s", err.message);
    dt_checkpoints_close(&g);
    return r;
}

static int64_t bytes_of(int64_t step, int shard)
{
    struct stat st;
    DT_REQUIRE(stat(checkpoints_kit_shard(folder(), step, shard), &st) == 0);
    return st.st_size;
}

static void the_figures_are_the_manifests_and_the_files(void)
{
    dt_manifest m = fake_manifest(40);
    m.position = 0;
    checkpoints_kit_write(folder(), &state, 100, m);
    m = fake_manifest(41); /* epoch 3, and 128 images of the fourth */
    m.best_step = 17;
    checkpoints_kit_write(folder(), &state, 100, m);
    for (int verify = 0; verify < 2; verify++) {
        dt_checkpoint_check_result r = check(40, verify);
        DT_CHECK_INT(r.epoch, 3);
        DT_CHECK_INT(r.position, 0);
        dt_checkpoint_check_result_clear(&r);
        r = check(41, verify);
        DT_CHECK_INT(r.state, verify ? DT_CHECKPOINT_WHOLE : DT_CHECKPOINT_COMPLETE);
        DT_CHECK_STR(r.problem, "");
        DT_CHECK(r.has_manifest);
        DT_CHECK_INT(r.step, 41);
        DT_CHECK_INT(r.epoch, 4);
        DT_CHECK_INT(r.position, 128);
        DT_CHECK_INT(r.world_size, 2);
        DT_CHECK_INT(r.n_classes, 10);
        DT_CHECK_INT(r.n_shards, 2);
        DT_CHECK_INT(r.n_here, 2);
        DT_CHECK_INT(r.bytes, bytes_of(41, 0) + bytes_of(41, 1));
        DT_CHECK_INT(r.bytes_read, verify ? r.bytes : 0);
        DT_CHECK_CLOSE(r.best_top1, 0.123456789012345, 0);
        DT_CHECK_INT(r.best_step, 17);
        DT_CHECK_STR(dt_computed_by_find(&r.computed_by, "oneDNN"), "2.6.3");
        DT_CHECK_INT(r.class_names.n, 10);
        DT_CHECK_INT(r.engines.n, 3);
        DT_CHECK(verify ? r.seconds > 0.0 : r.seconds == 0.0);
        dt_checkpoint_check_result_clear(&r);
    }
}

static void the_age_is_the_manifests(void)
{
    checkpoints_kit_write(folder(), &state, 100, fake_manifest(1));
    const char *manifest = dt_test_path("%s/step-00000001/manifest.json", folder());
    static const int ages[] = {3600, -3600}; /* the second: of a host whose clock is ahead */
    for (int i = 0; i < 2; i++) {
        struct timespec now, times[2];
        DT_REQUIRE(clock_gettime(CLOCK_REALTIME, &now) == 0);
        times[0] = times[1] = (struct timespec){.tv_sec = now.tv_sec - ages[i]};
        DT_REQUIRE(utimensat(AT_FDCWD, manifest, times, 0) == 0);
        dt_checkpoint_check_result r = check(1, false);
        if (i == 0)
            DT_CHECK_MSG(r.age_s >= 3600.0 && r.age_s < 3900.0, "%g s", r.age_s);
        else
            DT_CHECK_CLOSE(r.age_s, 0, 0);
        dt_checkpoint_check_result_clear(&r);
    }
}

/* Only a run that had a mirror elsewhere has folders with a part of the shards. */
static void a_part_of_the_shards_is_partial_only_with_a_mirror_elsewhere(void)
{
    static const char *const mirrors[] = {NULL, "mirror",
                                          "checkpoints"}; /* the last one: this folder itself */
    DT_REQUIRE(mkdir(dt_test_path("%s/mirror", dt_test_temp_dir()), 0755) == 0);
    for (int i = 0; i < 3; i++) {
        const int64_t step = i + 1;
        const bool partial = i == 1;
        char config[4200] = "lr = 0.1;\n";
        if (mirrors[i])
            snprintf(config, sizeof config, "checkpoint-mirror = \"%s/%s\";\n", dt_test_temp_dir(),
                     mirrors[i]);
        checkpoints_kit_write(folder(), &state, 100, checkpoints_kit_manifest(step, config));
        DT_REQUIRE(unlink(checkpoints_kit_shard(folder(), step, 1)) == 0);
        for (int verify = 0; verify < 2; verify++) {
            dt_checkpoint_check_result r = check(step, verify);
            DT_CHECK_INT(r.state, partial ? DT_CHECKPOINT_PARTIAL : DT_CHECKPOINT_DAMAGED);
            DT_CHECK_INT(r.n_here, 1);
            DT_CHECK_INT(r.bytes, bytes_of(step, 0));
            DT_CHECK_INT(r.bytes_read, verify && partial ? r.bytes : 0);
            DT_CHECK_STR(r.problem, partial ? "" : "shard-0001-of-0002.h5 is missing");
            dt_checkpoint_check_result_clear(&r);
        }
    }
    dt_checkpoint_check_result r;
    DT_REQUIRE(dt_checkpoints_open(folder(), &g, NULL) == DT_OK);
    g.folders[0].is_mirror = true; /* a mirror has every shard, whatever other mirror there was */
    DT_REQUIRE(dt_checkpoint_check(&g, 0, 2, false, &r, NULL) == DT_OK);
    DT_CHECK_INT(r.state, DT_CHECKPOINT_DAMAGED);
    dt_checkpoint_check_result_clear(&r);
    dt_checkpoints_close(&g);
    DT_REQUIRE(unlink(checkpoints_kit_shard(folder(), 2, 0)) == 0); /* now none is here */
    r = check(2, false);
    DT_CHECK_INT(r.state, DT_CHECKPOINT_DAMAGED);
    DT_CHECK_STR(r.problem, "shard-0000-of-0002.h5 is missing"); /* the first one */
    dt_checkpoint_check_result_clear(&r);
}

static void of_several_problems_the_first_is_reported(void)
{
    checkpoints_kit_write(folder(), &state, 100, fake_manifest(1));
    const int64_t bytes = bytes_of(1, 0);
    DT_REQUIRE(truncate(checkpoints_kit_shard(folder(), 1, 0), 1000) == 0);
    DT_REQUIRE(truncate(checkpoints_kit_shard(folder(), 1, 1), 2000) == 0);
    dt_checkpoint_check_result r = check(1, true);
    char problem[128];
    snprintf(problem, sizeof problem, "shard-0000-of-0002.h5 has 1000 bytes, the manifest says %lld",
             (long long)bytes);
    DT_CHECK_INT(r.state, DT_CHECKPOINT_DAMAGED);
    DT_CHECK_STR(r.problem, problem);
    DT_CHECK_INT(r.bytes, 3000);
    DT_CHECK_INT(r.bytes_read, 0); /* what is damaged is not read */
    dt_checkpoint_check_result_clear(&r);
}

static void the_shards_that_are_whole_count_as_read(void)
{
    checkpoints_kit_write(folder(), &state, 100, fake_manifest(1));
    checkpoints_kit_damage(checkpoints_kit_shard(folder(), 1, 0));
    dt_checkpoint_check_result r = check(1, false);
    DT_CHECK_INT(r.state, DT_CHECKPOINT_COMPLETE); /* the sizes are right */
    dt_checkpoint_check_result_clear(&r);
    r = check(1, true);
    DT_CHECK_INT(r.state, DT_CHECKPOINT_DAMAGED);
    DT_CHECK_CONTAINS(r.problem, "XXH3");
    DT_CHECK_INT(r.bytes_read, bytes_of(1, 1));
    dt_checkpoint_check_result_clear(&r);
}

static void a_checkpoint_of_a_newer_dtrain_is_not_damaged(void)
{
    static const char newer[] = "{\"format_version\": 999}\n";
    checkpoints_kit_write(folder(), &state, 100, fake_manifest(1));
    dt_test_write_file(dt_test_path("%s/step-00000001/manifest.json", folder()), newer, sizeof newer - 1);
    for (int verify = 0; verify < 2; verify++) {
        dt_checkpoint_check_result r = check(1, verify);
        DT_CHECK_INT(r.state, DT_CHECKPOINT_NEWER);
        DT_CHECK_CONTAINS(r.problem, "999");
        dt_checkpoint_check_result_clear(&r);
    }
}

static const dt_test tests[] = {
    DT_TEST(the_figures_are_the_manifests_and_the_files),
    DT_TEST(the_age_is_the_manifests),
    DT_TEST(a_part_of_the_shards_is_partial_only_with_a_mirror_elsewhere),
    DT_TEST(of_several_problems_the_first_is_reported),
    DT_TEST(the_shards_that_are_whole_count_as_read),
    DT_TEST(a_checkpoint_of_a_newer_dtrain_is_not_damaged),
};
DT_TEST_MAIN("launch/checkpoints/check", tests)
