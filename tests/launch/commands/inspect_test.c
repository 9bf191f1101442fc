/* The lines and figures of dtrain inspect, of checkpoints that the test has made. */
#include "tests/launch/checkpoints/checkpoints_kit.h"
#include "tests/launch/commands/commands_kit.h"
#include "tests/testing.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static fake_state state;

/* fc.weight gets 10,000 rows, so that a checkpoint has more than half a megabyte. */
void dt_test_set_up(void)
{
    fake_state_init(&state, 1);
    state.tensors[3].dims[0] = 10000;
    int64_t n = 0;
    for (int i = 0; i < FAKE_STATE_TENSORS; i++) {
        dt_state_tensor *t = &state.tensors[i];
        t->first = n;
        t->n_elems = 1;
        for (int d = 0; d < t->n_dims; d++)
            t->n_elems *= t->dims[d];
        n += t->n_elems;
    }
    state.layout.n_elems = n;
    free(state.values);
    state.values = calloc((size_t)n, sizeof *state.values);
    if (!state.values)
        exit(99);
}

void dt_test_tear_down(void)
{
    fake_state_clear(&state);
}

static const char *folder(void)
{
    return dt_test_path("%s/checkpoints", dt_test_temp_dir());
}

/* The bytes of both shards. */
static int64_t bytes_of(int64_t step)
{
    struct stat st;
    int64_t bytes = 0;
    for (int i = 0; i < 2; i++) {
        DT_REQUIRE(stat(checkpoints_kit_shard(folder(), step, i), &st) == 0);
        bytes += st.st_size;
    }
    return bytes;
}

/* Makes a checkpoint look n days old. */
static void age(int64_t step, int days)
{
    struct timespec now, times[2];
    DT_REQUIRE(clock_gettime(CLOCK_REALTIME, &now) == 0);
    times[0] = times[1] = (struct timespec){.tv_sec = now.tv_sec - days * 86400};
    DT_REQUIRE(utimensat(AT_FDCWD, dt_test_path("%s/step-%08lld/manifest.json", folder(), (long long)step),
                         times, 0) == 0);
}

/* Two, of which that of step 9 is three days younger. */
static void write_two(void)
{
    dt_manifest m = fake_manifest(9);
    m.position = 0;
    m.world_size = 3;
    checkpoints_kit_write(folder(), &state, 100000, m);
    age(9, 4);
    checkpoints_kit_write(folder(), &state, 50000, fake_manifest(40));
    age(40, 7);
}

static void the_table_has_the_figures_of_each_checkpoint(void)
{
    char expected[2048];
    write_two();
    commands_kit_result r = commands_kit_run(dt_command_inspect, "inspect", folder(), NULL);
    DT_CHECK_INT(r.code, 0);
    snprintf(expected, sizeof expected,
             "%s\n"
             "step | epoch |   size | ranks |      age | state\n"
             "-----+-------+--------+-------+----------+---------\n"
             "  40 |     4 | %.1f MB |     2 | 7.0 days | complete\n"
             "   9 |     3 | %.1f MB |     3 | 4.0 days | complete\n"
             "steps 9 to 40 were computed with oneDNN 2.6.3, isa avx512_core + avx2\n",
             folder(), (double)bytes_of(40) / 1e6, (double)bytes_of(9) / 1e6);
    DT_CHECK_CONTAINS(r.out, expected);
    DT_CHECK_CONTAINS(r.out, "\nonly sizes were compared; --verify reads the shards\n");
    commands_kit_clear(&r);
}

static void the_engines_are_counted_and_those_of_one_checkpoint_listed(void)
{
    write_two();
    commands_kit_result r = commands_kit_run(dt_command_inspect, "inspect", folder(), NULL);
    DT_CHECK_CONTAINS(r.out, "\nsteps 9 to 40 have the engines of 2 operations on GPU A, driver 1\n"
                             "steps 9 to 40 have the engines of 1 operation on GPU B\n");
    DT_CHECK(strstr(r.out, "22:2=1") == NULL);
    commands_kit_clear(&r);
    r = commands_kit_run(dt_command_inspect, "inspect", dt_test_path("%s/step-00000040", folder()), NULL);
    DT_CHECK_CONTAINS(r.out, "\nstep 40 has the engines of 2 operations on GPU A, driver 1\n"
                             "operation    | engine |     ms\n"
                             "-------------+--------+-------\n"
                             "conv 1x1     | 22:2=1 | 0.1250\n"
                             "dgrad += 3x3 | none   |       \n"
                             "step 40 has the engines of 1 operation on GPU B\n"
                             "operation | engine | ms\n"
                             "----------+--------+---\n"
                             "conv 1x1  | 7      |   \n");
    commands_kit_clear(&r);
    r = commands_kit_run(dt_command_inspect, "inspect", folder(), "--json", NULL);
    json_t *root = json_loads(r.out ? r.out : "", 0, NULL);
    const json_t *here = json_array_get(json_object_get(root, "folders"), 0),
                 *row = json_array_get(json_object_get(here, "generations"), 0);
    json_t *expected = json_pack("{s:{s:s, s:s}, s:{s:s}}", "GPU A, driver 1", "conv 1x1", "22:2=1 0.125",
                                 "dgrad += 3x3", "none", "GPU B", "conv 1x1", "7 0");
    DT_CHECK(json_equal(json_object_get(row, "engines"), expected));
    json_decref(expected);
    json_decref(root);
    commands_kit_clear(&r);
}

static void the_summary_adds_up_what_was_read(void)
{
    char expected[64];
    write_two();
    commands_kit_result r = commands_kit_run(dt_command_inspect, "inspect", folder(), "--verify", NULL);
    DT_CHECK_INT(r.code, 0);
    snprintf(expected, sizeof expected, "\n%.1f MB read and verified in ",
             (double)(bytes_of(9) + bytes_of(40)) / 1e6);
    DT_CHECK_CONTAINS(r.out, expected);
    commands_kit_clear(&r);
}

static int64_t get(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    DT_CHECK_MSG(json_is_integer(value) || json_is_boolean(value), "%s", key);
    return json_is_boolean(value) ? json_is_true(value) : json_integer_value(value);
}

static void json_has_each_figure_under_its_key(void)
{
    write_two();
    checkpoints_kit_damage(checkpoints_kit_shard(folder(), 9, 1));
    commands_kit_result r =
        commands_kit_run(dt_command_inspect, "inspect", folder(), "--verify", "--json", NULL);
    DT_CHECK_INT(r.code, 1);
    DT_CHECK_CONTAINS(r.err, ": 1 of 2 checkpoints is damaged\n");
    json_t *root = json_loads(r.out ? r.out : "", 0, NULL);
    const json_t *here = json_array_get(json_object_get(root, "folders"), 0),
                 *rows = json_object_get(here, "generations"), *row = json_array_get(rows, 0);
    DT_REQUIRE(json_array_size(rows) == 2);
    static const struct {
        const char *key;
        int64_t value;
    } of_root[] = {{"verified", 1}, {"n_generations", 2}, {"n_sound", 1}, {"n_damaged", 1}},
      of_row[] = {{"step", 40},  {"epoch", 4},       {"position", 128}, {"world_size", 2},
                  {"shards", 2}, {"shards_here", 2}, {"classes", 10},   {"best_step", 17}};
    for (size_t i = 0; i < sizeof of_root / sizeof *of_root; i++)
        DT_CHECK_INT(get(root, of_root[i].key), of_root[i].value);
    for (size_t i = 0; i < sizeof of_row / sizeof *of_row; i++)
        DT_CHECK_INT(get(row, of_row[i].key), of_row[i].value);
    DT_CHECK_INT(get(row, "bytes"), bytes_of(40));
    DT_CHECK_INT(get(row, "bytes_read"), bytes_of(40));
    DT_CHECK_STR(json_string_value(json_object_get(row, "state")), "whole");
    DT_CHECK_STR(json_string_value(json_object_get(row, "problem")), "");
    DT_CHECK_CLOSE(json_real_value(json_object_get(row, "best_top1")), 0.123456789012345, 0);
    const double age_s = json_number_value(json_object_get(row, "age_s"));
    DT_CHECK_MSG(age_s >= 7 * 86400.0 && age_s < 7 * 86400.0 + 600.0, "%g s", age_s);
    row = json_array_get(rows, 1);
    DT_CHECK_INT(get(row, "step"), 9);
    DT_CHECK_INT(get(row, "epoch"), 3);
    DT_CHECK_STR(json_string_value(json_object_get(row, "state")), "damaged");
    DT_CHECK_INT(get(row, "bytes"), bytes_of(9));
    DT_CHECK(get(row, "bytes_read") < bytes_of(9));
    json_decref(root);
    commands_kit_clear(&r);
}

static void an_age_of_two_days_is_written_in_days(void)
{
    checkpoints_kit_write(folder(), &state, 100000, fake_manifest(9));
    age(9, 2);
    commands_kit_result r = commands_kit_run(dt_command_inspect, "inspect", folder(), NULL);
    DT_CHECK_CONTAINS(r.out, " | 2.0 days | complete\n");
    commands_kit_clear(&r);
    age(9, 1);
    r = commands_kit_run(dt_command_inspect, "inspect", folder(), NULL);
    DT_CHECK_CONTAINS(r.out, " | 24:0"); /* hours, and some seconds of this test */
    commands_kit_clear(&r);
}

/* Runs inspect with --verify if `verify`, and checks its code and a part of what it prints. */
static void check_output(const char *dir, bool verify, int code, const char *part, bool there)
{
    commands_kit_result r =
        commands_kit_run(dt_command_inspect, "inspect", dir, verify ? "--verify" : NULL, NULL);
    DT_CHECK_INT(r.code, code);
    DT_CHECK_MSG(r.out && (strstr(r.out, part) != NULL) == there, "%s", r.out);
    commands_kit_clear(&r);
}

static void a_checkpoint_of_a_newer_dtrain_does_not_pass(void)
{
    static const char newer[] = "{\"format_version\": 999}\n";
    write_two();
    dt_test_write_file(dt_test_path("%s/step-00000009/manifest.json", folder()), newer, sizeof newer - 1);
    check_output(folder(), false, 0, " | newer\n", true);
    check_output(folder(), true, 1, " | newer\n", true);
}

static void what_is_beside_one_checkpoint_is_not_listed_with_it(void)
{
    write_two();
    DT_REQUIRE(mkdir(dt_test_path("%s/step-00000050.tmp", folder()), 0755) == 0);
    DT_REQUIRE(mkdir(dt_test_path("%s/step-00000003.old", folder()), 0755) == 0);
    DT_REQUIRE(mkdir(dt_test_path("%s/old-2", folder()), 0755) == 0);
    check_output(folder(), false, 0, "step-00000050.tmp: unfinished, or being written\n", true);
    check_output(folder(), false, 0, "step-00000003.old: removed in part\n", true);
    check_output(folder(), false, 0, "old-2: put aside by --resume never\n", true);
    const char *one = dt_test_path("%s/step-00000009", folder());
    check_output(one, false, 0, "step-00000050.tmp", false);
    check_output(one, false, 0, "step-00000003.old", false);
    check_output(one, false, 0, "old-2", false);
    check_output(one, false, 0, "\n   9 |     3 | ", true);
}

static const dt_test tests[] = {
    DT_TEST(the_table_has_the_figures_of_each_checkpoint),
    DT_TEST(the_engines_are_counted_and_those_of_one_checkpoint_listed),
    DT_TEST(the_summary_adds_up_what_was_read),
    DT_TEST(json_has_each_figure_under_its_key),
    DT_TEST(an_age_of_two_days_is_written_in_days),
    DT_TEST(a_checkpoint_of_a_newer_dtrain_does_not_pass),
    DT_TEST(what_is_beside_one_checkpoint_is_not_listed_with_it),
};
DT_TEST_MAIN("launch/commands/inspect", tests)
