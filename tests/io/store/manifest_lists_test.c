/* Lists and texts of a manifest are read back as they were written, up to the longest ones. (What is refused:
 * manifest_json_test.c.) */
#include "io/store/manifest_json.h"

#include "core/base/alloc.h"
#include "tests/fakes/fake_state.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

static fake_state state;
static dt_shard_entry shard = {"shard-0000-of-0001.h5", 100000, "0123456789abcdef0123456789abcdef", 0, 0};

void dt_test_set_up(void)
{
    fake_state_init(&state, 1);
}

void dt_test_tear_down(void)
{
    fake_state_clear(&state);
}

static dt_manifest whole_manifest(void)
{
    dt_manifest m = fake_manifest(42);
    shard.n_elems = state.layout.n_elems;
    m.n_tensors = state.layout.n_tensors;
    m.tensors = state.tensors;
    m.n_shards = 1;
    m.shards = &shard;
    return m;
}

/* What whole_manifest has allocated: the arrays are static. */
static void free_own(dt_manifest *m)
{
    dt_class_names_clear(&m->class_names);
    dt_engines_clear(&m->engines);
    dt_free(m->config_text);
}

static void computed_by_is_read_back(void)
{
    dt_manifest m = whole_manifest(), again = {0};
    char *text = NULL;
    int64_t bytes = 0;
    dt_error err = {0};
    memset(&m.computed_by, 0, sizeof m.computed_by);
    for (int n = 0; n <= DT_COMPUTED_BY_MAX; n++) {
        DT_REQUIRE(dt_manifest_write(&m, &text, &bytes, &err) == DT_OK);
        DT_REQUIRE_MSG(dt_manifest_parse(text, bytes, &again, &err) == DT_OK, "%s", err.message);
        DT_CHECK_BYTES(&again.computed_by, &m.computed_by, sizeof m.computed_by);
        dt_free(text);
        dt_manifest_clear(&again);
        char name[DT_COMPUTED_BY_NAME_BYTES];
        /* the last names are not in alphabetical order */
        snprintf(name, sizeof name, "%u is a name of the most length", (unsigned)(n + 10) % 100U);
        if (n < DT_COMPUTED_BY_MAX)
            dt_computed_by_add(&m.computed_by, name, "%095d", n);
    }
    free_own(&m);
}

static void class_names_of_any_bytes_are_read_back(void)
{
    dt_manifest m = whole_manifest(), again = {0};
    char *text = NULL, name[2] = "";
    int64_t bytes = 0;
    dt_error err = {0};
    dt_class_names_clear(&m.class_names);
    for (m.n_classes = 0; m.n_classes < 254; m.n_classes++) { /* one class for each byte but 0 and '/' */
        name[0] = (char)(m.n_classes + 1 + (m.n_classes + 1 >= '/'));
        DT_REQUIRE(dt_class_names_add(&m.class_names, name, &err) == DT_OK);
    }
    DT_REQUIRE(dt_manifest_write(&m, &text, &bytes, &err) == DT_OK);
    DT_REQUIRE_MSG(dt_manifest_parse(text, bytes, &again, &err) == DT_OK, "%s", err.message);
    DT_CHECK(dt_class_names_equal(&again.class_names, &m.class_names));
    DT_CHECK_INT(again.best_epoch, 2);
    DT_CHECK_INT(again.best_step, 17);
    dt_free(text);
    dt_manifest_clear(&again);
    dt_class_names_clear(&m.class_names); /* a source may not know them */
    DT_REQUIRE(dt_manifest_write(&m, &text, &bytes, &err) == DT_OK);
    DT_REQUIRE(dt_manifest_parse(text, bytes, &again, &err) == DT_OK);
    DT_CHECK_INT(again.class_names.n, 0);
    dt_free(text);
    dt_manifest_clear(&again);
    free_own(&m);
}

/* A path in the configuration may hold any bytes but zero. */
static void a_configuration_of_any_bytes_is_read_back(void)
{
    dt_error err = {0};
    char every[256 + 64], *text = NULL;
    int64_t bytes = 0;
    for (int c = 1; c < 256; c++)
        every[c - 1] = (char)c;
    snprintf(every + 255, 64, "data = \"caf\xe9/caf\xc3\xa9/\xee\xbf\xa9\";\n");
    dt_manifest m = whole_manifest(), again = {0};
    free_own(&m);
    m.config_text = every;
    m.class_names.n = 0;
    DT_REQUIRE(dt_manifest_write(&m, &text, &bytes, &err) == DT_OK);
    DT_REQUIRE_MSG(dt_manifest_parse(text, bytes, &again, &err) == DT_OK, "%s", err.message);
    DT_CHECK_STR(again.config_text, every);
    dt_manifest_clear(&again);
    dt_class_names_clear(&m.class_names);
    dt_free(text);
}

static void engines_are_read_back(void)
{
    dt_manifest m = whole_manifest(), again = {0};
    char *text = NULL;
    int64_t bytes = 0;
    dt_error err = {0};
    dt_engines_clear(&m.engines);
    for (int n = 0; n <= DT_ENGINES_MAX; n += n < 8 ? 1 : DT_ENGINES_MAX / 4 - 2) {
        char kind[DT_ENGINE_KIND_BYTES], name[DT_ENGINE_NAME_BYTES], value[DT_ENGINE_VALUE_BYTES];
        while (m.engines.n < n) { /* texts of the most length, in three kinds */
            snprintf(kind, sizeof kind, "%0*d", (int)sizeof kind - 1, (int)m.engines.n % 3);
            snprintf(name, sizeof name, "%0*d", (int)sizeof name - 1, (int)m.engines.n);
            snprintf(value, sizeof value, "%0*d", (int)sizeof value - 1, (int)m.engines.n * 7);
            DT_REQUIRE(dt_engines_put(&m.engines, kind, name, value, &err) == DT_OK);
        }
        DT_REQUIRE(dt_manifest_write(&m, &text, &bytes, &err) == DT_OK);
        DT_REQUIRE_MSG(dt_manifest_parse(text, bytes, &again, &err) == DT_OK, "%s", err.message);
        DT_REQUIRE(again.engines.n == m.engines.n);
        if (n > 0)
            DT_CHECK_BYTES(again.engines.list, m.engines.list, (size_t)n * sizeof *m.engines.list);
        dt_free(text);
        dt_manifest_clear(&again);
    }
    free_own(&m);
}

static void engines_that_are_too_many_or_not_plain_are_refused(void)
{
    dt_manifest m = whole_manifest(), again = {0};
    char *text = NULL;
    int64_t bytes = 0;
    dt_error err = {0};
    DT_REQUIRE(dt_engines_put(&m.engines, "GPU", "conv \"", "1", &err) == DT_OK);
    DT_CHECK_INT(dt_manifest_write(&m, &text, &bytes, &err), DT_ERR_INTERNAL);
    DT_CHECK_CONTAINS(err.message, "holds a name that is not plain text");
    dt_engines_clear(&m.engines);
    m.engines.list = dt_calloc(DT_ENGINES_MAX + 1, sizeof *m.engines.list);
    m.engines.n = DT_ENGINES_MAX + 1;
    for (int i = 0; i <= DT_ENGINES_MAX; i++) {
        snprintf(m.engines.list[i].kind, sizeof m.engines.list[i].kind, "GPU");
        snprintf(m.engines.list[i].name, sizeof m.engines.list[i].name, "%06d", i);
        snprintf(m.engines.list[i].value, sizeof m.engines.list[i].value, "1");
    }
    DT_REQUIRE(dt_manifest_write(&m, &text, &bytes, &err) == DT_OK);
    DT_CHECK_INT(dt_manifest_parse(text, bytes, &again, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "\"engines\" has too many entries");
    dt_free(text);
    free_own(&m);
}

static const dt_test tests[] = {
    DT_TEST(computed_by_is_read_back),
    DT_TEST(class_names_of_any_bytes_are_read_back),
    DT_TEST(a_configuration_of_any_bytes_is_read_back),
    DT_TEST(engines_are_read_back),
    DT_TEST(engines_that_are_too_many_or_not_plain_are_refused),
};
DT_TEST_MAIN("io/manifest_lists", tests)
