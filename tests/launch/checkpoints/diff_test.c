/* The figures of dtrain inspect --diff, of values that the test chooses. */
#include "launch/checkpoints/diff.h"

#include "core/base/alloc.h"
#include "tests/launch/checkpoints/checkpoints_kit.h"
#include "tests/testing.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static fake_state state;

static const char *folder(int side)
{
    return dt_test_path("%s/%c", dt_test_temp_dir(), side ? 'b' : 'a');
}

static float *values_of(int tensor)
{
    return state.values + state.tensors[tensor].first;
}

static void fill(int tensor, float value)
{
    for (int64_t i = 0; i < state.tensors[tensor].n_elems; i++)
        values_of(tensor)[i] = value;
}

/* Compares the two checkpoints of step 40; the caller calls free(). */
static char *compare(bool json, bool expect_same)
{
    dt_checkpoints g[2];
    dt_checkpoint_reader *readers[2];
    dt_error err = {0};
    char *text = NULL;
    size_t n;
    bool same = !expect_same;
    for (int i = 0; i < 2; i++) {
        DT_REQUIRE_MSG(dt_checkpoints_open(folder(i), &g[i], &err) == DT_OK, "%s", err.message);
        DT_REQUIRE_MSG(dt_checkpoints_newest_whole(&g[i], -1, &readers[i], &err) == DT_OK, "%s", err.message);
    }
    FILE *f = open_memstream(&text, &n);
    DT_REQUIRE(f != NULL);
    DT_CHECK_MSG(dt_checkpoint_diff(readers[0], readers[1], json, f, &same, &err) == DT_OK, "%s",
                 err.message);
    fclose(f);
    DT_CHECK_INT(same, expect_same);
    for (int i = 0; i < 2; i++) {
        dt_checkpoint_reader_close(readers[i]);
        dt_checkpoints_close(&g[i]);
    }
    return text;
}

void dt_test_set_up(void)
{
    setenv("LC_ALL", "C", 1); /* ASCII tables */
    fake_state_init(&state, 1);
}

void dt_test_tear_down(void)
{
    fake_state_clear(&state);
}

enum { CONV1, BN1, LAYER1, FC, MOMENTUM, MEAN, STEPS };

/* bn1.weight (16): of 2s, one becomes 2.5: 0.5 / sqrt(16 * 4). fc.weight (160): of zeros, two become -3 and
 * 4: infinite. The momentum (30): of 1s, one becomes 1.25: 0.25 / sqrt(30). */
static void write_values(void)
{
    fill(BN1, 2.0f);
    fill(FC, 0.0f);
    fill(MOMENTUM, 1.0f);
    checkpoints_kit_write(folder(0), &state, 100, fake_manifest(40));
    values_of(BN1)[15] = 2.5f;
    values_of(FC)[0] = -3.0f;
    values_of(FC)[159] = 4.0f;
    values_of(MOMENTUM)[3] = 1.25f;
    checkpoints_kit_write(folder(1), &state, 700, fake_manifest(40));
}

static void the_measures_are_those_of_the_elements(void)
{
    write_values();
    char *text = compare(false, false);
    DT_CHECK_STR(text, "tensor                        |    elements | max |A-B| | |A-B|/|A| | NaNs in A,\n"
                       "                              | that differ |           |           | B\n"
                       "------------------------------+-------------+-----------+-----------+-----------\n"
                       "param/bn1.weight              |     1 of 16 |       0.5 |    0.0625 | \n"
                       "param/fc.weight               |    2 of 160 |         4 |       inf | \n"
                       "momentum/deep/er/conv1.weight |     1 of 30 |      0.25 |    0.0456 | \n"
                       "\n"
                       "3 of 7 tensors differ\n");
    free(text);
}

static void json_has_the_same_figures_in_full(void)
{
    write_values();
    char *text = compare(true, false);
    json_t *root = json_loads(text, 0, NULL), *tensors = json_object_get(root, "tensors");
    DT_REQUIRE(root && json_array_size(tensors) == 3);
    static const struct {
        const char *name;
        int elements, different;
        double max_abs;
    } expected[] = {{"param/bn1.weight", 16, 1, 0.5},
                    {"param/fc.weight", 160, 2, 4.0},
                    {"momentum/deep/er/conv1.weight", 30, 1, 0.25}};
    for (size_t i = 0; i < 3; i++) {
        const json_t *t = json_array_get(tensors, i);
        DT_CHECK_STR(json_string_value(json_object_get(t, "name")), expected[i].name);
        DT_CHECK_INT(json_integer_value(json_object_get(t, "elements")), expected[i].elements);
        DT_CHECK_INT(json_integer_value(json_object_get(t, "different")), expected[i].different);
        DT_CHECK_CLOSE(json_real_value(json_object_get(t, "max_abs")), expected[i].max_abs, 0);
    }
    DT_CHECK_CLOSE(json_real_value(json_object_get(json_array_get(tensors, 0), "relative")), 0.0625, 1e-15);
    DT_CHECK(json_is_null(json_object_get(json_array_get(tensors, 1), "relative")));
    DT_CHECK_CLOSE(json_real_value(json_object_get(json_array_get(tensors, 2), "relative")),
                   0.25 / sqrt(30.0), 1e-15);
    DT_CHECK_INT(json_integer_value(json_object_get(root, "tensors_compared")), 7);
    DT_CHECK(json_is_false(json_object_get(root, "same")));
    json_decref(root);
    free(text);
}

/* The last of what `change` changes. */
static void change_what_does_not_count(dt_manifest *m, int field)
{
    switch (field) {
    case 13:
        m->world_size++;
        break;
    case 14:
        m->config_text[0]++;
        break;
    case 15:
        strcpy(m->engines.list[0].value, "45:1=2 0.125");
        break;
    default:
        strcpy(m->computed_by.fields[0].value, "3.0");
        /* neither another time nor an operation that one side lacks is another engine */
        strcpy(m->engines.list[0].value, "22:2=1 9");
        strcpy(m->engines.list[2].name, "conv 5x5");
    }
}

/* Each scalar of a manifest, changed alone. */
static void change(dt_manifest *m, int field)
{
    switch (field) {
    case 0:
        m->epoch++;
        break;
    case 1:
        m->position++;
        break;
    case 2:
        m->seed++;
        break;
    case 3:
        m->loss_scale *= 2;
        break;
    case 4:
        m->n_good_steps++;
        break;
    case 5:
        m->n_skipped_steps++;
        break;
    case 6:
        strcpy(m->arch, "resnet34");
        break;
    case 7:
        m->image_size++;
        break;
    case 8:
        m->data_fingerprint++;
        break;
    case 9:
        m->best_top1 += 1e-15;
        break;
    case 10:
        m->class_names.text[0]++;
        break;
    case 11:
        m->best_step--;
        break;
    case 12:
        m->global_batch++;
        break;
    default:
        change_what_does_not_count(m, field);
    }
}

static void each_scalar_that_differs_is_reported_and_counts_or_not(void)
{
    static const struct {
        const char *name, *a, *b;
        bool counts;
    } rows[] = {{"epochs done", "3", "4", true},
                {"position", "128", "129", true},
                {"seed", "18446744073709551610", "18446744073709551611", true},
                {"loss_scale", "1024", "2048", true},
                {"good_steps", "77", "78", true},
                {"skipped_steps", "5", "6", true},
                {"arch", "resnet18", "resnet34", true},
                {"image_size", "32", "33", true},
                {"data_fingerprint", "0123456789abcdef", "0123456789abcdf0", true},
                {"best_top1", "0.123456789012345", "0.123456789012346", true},
                {"class_names", "one list", "another list", true},
                {"best_step", "17", "16", false},
                {"global_batch", "64", "65", false},
                {"world_size", "2", "3", false},
                {"config", "one", "another", false},
                {"engine of conv 1x1", "22:2=1", "45:1=2", false},
                {"computed_by oneDNN", "2.6.3", "3.0", false}};
    checkpoints_kit_write(folder(0), &state, 100, fake_manifest(40));
    for (int i = 0; i < (int)(sizeof rows / sizeof *rows); i++) {
        dt_manifest m = fake_manifest(40);
        change(&m, i);
        checkpoints_kit_write(folder(1), &state, 100, m);
        char *text = compare(true, !rows[i].counts);
        json_t *root = json_loads(text, 0, NULL), *scalars = json_object_get(root, "scalars");
        const json_t *row = json_array_get(scalars, 0);
        DT_CHECK_INT(json_array_size(scalars), 1);
        DT_CHECK_STR(json_string_value(json_object_get(row, "name")), rows[i].name);
        if (i != 9) {
            DT_CHECK_STR(json_string_value(json_object_get(row, "a")), rows[i].a);
            DT_CHECK_STR(json_string_value(json_object_get(row, "b")), rows[i].b);
        }
        DT_CHECK_INT(json_is_true(json_object_get(row, "counts")), rows[i].counts);
        json_decref(root);
        free(text);
    }
}

static void equal_checkpoints_are_the_same_however_they_are_cut(void)
{
    checkpoints_kit_write(folder(0), &state, 1, fake_manifest(40));
    checkpoints_kit_write(folder(1), &state, 2000, fake_manifest(40));
    char *text = compare(false, true);
    DT_CHECK_STR(text, "all 7 tensors are the same bits\n");
    free(text);
    values_of(MEAN)[0] = 0.0f;
    checkpoints_kit_write(folder(0), &state, 1, fake_manifest(40));
    values_of(MEAN)[0] = -0.0f; /* another bit, and the same number */
    checkpoints_kit_write(folder(1), &state, 1, fake_manifest(40));
    text = compare(false, false);
    DT_CHECK_CONTAINS(text, "buffer/bn1.running_mean |          1 of 1 |         0 |         0 | \n"
                            "\n"
                            "1 of 7 tensors differs\n");
    free(text);
}

static const dt_test tests[] = {
    DT_TEST(the_measures_are_those_of_the_elements),
    DT_TEST(json_has_the_same_figures_in_full),
    DT_TEST(each_scalar_that_differs_is_reported_and_counts_or_not),
    DT_TEST(equal_checkpoints_are_the_same_however_they_are_cut),
};
DT_TEST_MAIN("launch/checkpoints/diff", tests)
