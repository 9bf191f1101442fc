/* What dtrain export writes besides the weights: how the training evaluated, and the number of
 * batches, from a checkpoint's configuration, or from one that cannot be read. */
#include "core/base/alloc.h"
#include "io/weights/safetensors.h"
#include "tests/launch/checkpoints/checkpoints_kit.h"
#include "tests/launch/commands/commands_kit.h"
#include "tests/testing.h"

#include <string.h>
#include <unistd.h>

static fake_state state;

/* One tensor is a running variance, which a count of batches follows in the file. */
void dt_test_set_up(void)
{
    fake_state_init(&state, 1);
    strcpy(state.tensors[5].name, "buffer/bn1.running_var");
    state.values[state.tensors[5].first] = 0.5f;
}

void dt_test_tear_down(void)
{
    fake_state_clear(&state);
}

static const char *output(void)
{
    return dt_test_path("%s/w.safetensors", dt_test_temp_dir());
}

static const char *run(void)
{
    return dt_test_path("%s/checkpoints", dt_test_temp_dir());
}

static void check_file(const char *config, int64_t n_batches, const char *names)
{
    dt_safetensors *file = NULL;
    dt_error err = {0};
    int64_t n = -1;
    DT_REQUIRE_MSG(dt_safetensors_open(output(), &file, &err) == DT_OK, "%s", err.message);
    DT_CHECK_STR(dt_safetensors_metadata(file, "config"), config);
    DT_CHECK_STR(dt_safetensors_metadata(file, "arch"), "resnet18");
    DT_CHECK_CONTAINS(dt_safetensors_metadata(file, "class_names"), names);
    const int64_t at = dt_safetensors_find(file, "bn1.num_batches_tracked");
    DT_REQUIRE(at >= 0);
    DT_CHECK_INT(dt_safetensors_read_i64(file, at, &n, &err), DT_OK);
    DT_CHECK_INT(n, n_batches);
    dt_safetensors_close(file);
    DT_CHECK(unlink(output()) == 0);
}

static void the_configuration_of_the_training_is_written(void)
{
    checkpoints_kit_write(
        run(), &state, 100,
        checkpoints_kit_manifest(
            40, "image-size = 96;\neval-crop = 0.75;\neval-resize = \"none\";\naccumulate = 3;\n"));
    commands_kit_result r = commands_kit_run(dt_command_export, "export", run(), "--output", output(), NULL);
    DT_CHECK_INT(r.code, 0);
    DT_CHECK_STR(r.err, dt_test_path("dtrain: the weights of step 40 are in %s\n", output()));
    commands_kit_clear(&r);
    check_file("image-size = 96;\neval-crop = 0.75;\neval-resize = \"none\";\n", 120, "\"zebra\"");
}

/* A later dtrain's, or an option that is gone: the others count. */
static void an_option_that_is_not_known_changes_no_other(void)
{
    checkpoints_kit_write(
        run(), &state, 100,
        checkpoints_kit_manifest(
            7, "eval-crop = 0.5;\nno-such-option = 1;\naccumulate = 2;\nimage-size = 64;\n"));
    commands_kit_result r = commands_kit_run(dt_command_export, "export", run(), "--output", output(), NULL);
    DT_CHECK_INT(r.code, 0);
    DT_CHECK(r.err && !strstr(r.err, "default"));
    commands_kit_clear(&r);
    check_file("image-size = 64;\neval-crop = 0.5;\neval-resize = \"auto\";\n", 14, "\"zebra\"");
}

/* The weights are exported nevertheless, with the manifest's image size and the defaults for the rest:
 * nothing of what stands before the mistake is used. */
static void with_an_unreadable_configuration_the_defaults_are_written(void)
{
    static const char *const configs[] = {"eval-crop = 0.5;\naccumulate = 9;\nimage-size = ;\n", "",
                                          "@include \"x\"\n", "{\"json\": 1}"};
    for (int i = 0; i < 4; i++) {
        checkpoints_kit_write(run(), &state, 100, checkpoints_kit_manifest(5, configs[i]));
        commands_kit_result r =
            commands_kit_run(dt_command_export, "export", run(), "--output", output(), NULL);
        DT_CHECK_INT(r.code, 0);
        if (configs[i][0]) /* an empty one can be read, and names nothing */
            DT_CHECK_CONTAINS(r.err,
                              "dtrain: warning: the checkpoint of step 5: the training's configuration:");
        if (configs[i][0])
            DT_CHECK_CONTAINS(r.err, ": exporting with the default --eval-crop and --eval-resize");
        commands_kit_clear(&r);
        check_file("image-size = 32;\neval-crop = 0.875;\neval-resize = \"auto\";\n", 5, "\"zebra\"");
    }
}

static const dt_test tests[] = {
    DT_TEST(the_configuration_of_the_training_is_written),
    DT_TEST(an_option_that_is_not_known_changes_no_other),
    DT_TEST(with_an_unreadable_configuration_the_defaults_are_written),
};
DT_TEST_MAIN("launch/commands/export", tests)
