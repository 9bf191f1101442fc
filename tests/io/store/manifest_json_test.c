/* A hostile manifest.json: the parser reports what is wrong, and accepts nothing of it. */
#include "io/store/manifest_json.h"

#include "core/base/alloc.h"
#include "io/durable.h"
#include "tests/fakes/fake_state.h"
#include "tests/testing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fake_state state;
static dt_shard_entry shards[2];

static dt_manifest whole_manifest(void)
{
    dt_manifest m = fake_manifest(42);
    int64_t half = state.layout.n_elems / 2;
    shards[0] =
        (dt_shard_entry){"shard-0000-of-0002.h5", 100000, "0123456789abcdef0123456789abcdef", 0, half};
    shards[1] = (dt_shard_entry){"shard-0001-of-0002.h5", 200000, "fedcba9876543210fedcba9876543210", half,
                                 state.layout.n_elems - half};
    m.n_tensors = state.layout.n_tensors;
    m.tensors = state.tensors;
    m.n_shards = 2;
    m.shards = shards;
    return m;
}

/* What whole_manifest has allocated: the arrays are static. */
static void free_own(dt_manifest *m)
{
    dt_class_names_clear(&m->class_names);
    dt_engines_clear(&m->engines);
    dt_free(m->config_text);
}

static char *whole_text(int64_t *bytes)
{
    char *text = NULL;
    dt_error err = {0};
    dt_manifest m = whole_manifest();
    dt_status status = dt_manifest_write(&m, &text, bytes, &err);
    DT_REQUIRE_MSG(status == DT_OK, "%s", err.message);
    free_own(&m);
    return text;
}

/* Update the hash at the end after an edit. */
static void rehash(char *text, size_t n)
{
    char hex[33];
    char *digits = text + n - 4 - 32; /* "\n}\n follows them */
    memset(digits, '0', 32);
    dt_durable_hash_memory(text, (int64_t)n, hex);
    memcpy(digits, hex, 32);
}

/* The text with the first `from` replaced by `to`; free() it. */
static char *edited(const char *from, const char *to, bool rehashed)
{
    int64_t bytes;
    char *text = whole_text(&bytes), *at = strstr(text, from);
    DT_REQUIRE_MSG(at != NULL, "no %s in the manifest", from);
    size_t n = (size_t)bytes - strlen(from) + strlen(to);
    char *out = malloc(n + 1);
    snprintf(out, n + 1, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    if (rehashed)
        rehash(out, n);
    dt_free(text);
    return out;
}

#define TEN "1234567890"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define PAIR(name) "\"" name "\": \"x\", "
#define PAIRS(name)                                                                                          \
    PAIR(name "1")                                                                                           \
    PAIR(name "2") PAIR(name "3") PAIR(name "4") PAIR(name "5") PAIR(name "6") PAIR(name "7") PAIR(name "8")

static const struct {
    const char *from, *to, *message;
} wrong_fields[] = {
    {"\"step\": 42", "\"step\": -1", "\"step\" is -1, not in 0"},
    {"\"step\": 42", "\"step\": 42.5", "\"step\" is not an integer"},
    {"\"step\": 42", "\"step\": \"42\"", "\"step\" is not an integer"},
    {"\"step\": 42", "\"step\": 99999999999999999999", "not valid JSON"},
    {"\"step\": 42", "\"steps\": 42", "\"step\" is missing"},
    {"\"step\": 42", "\"step\": 42, \"step\": 43", "not valid JSON"},
    {"\"step\": 42", "\"step\": 42, \"extra\": {}", "1 unknown field"},
    {"\"format_version\": 5", "\"format_version\": 0", "\"format_version\" is 0"},
    {"\"format_version\": 5", "\"format_version\": \"3\"", "\"format_version\" is not an integer"},
    {"\"seed\": \"18446744073709551610\"", "\"seed\": \"18446744073709551616\"",
     "\"seed\" is not a number without sign"},
    {"\"seed\": \"18446744073709551610\"", "\"seed\": \"-6\"", "\"seed\" is not a number without sign"},
    {"\"seed\": \"18446744073709551610\"", "\"seed\": 7", "\"seed\" is not a string"},
    {"0123456789abcdef\",\n  \"best", "0123456789ABCDEF\",\n  \"best", "\"data_fingerprint\" is not 16"},
    {"\"loss_scale\": 1024.0", "\"loss_scale\": true", "\"loss_scale\" is not a number"},
    {"\"good_steps\": 77", "\"good_steps\": -2", "\"good_steps\" is -2"},
    {"\"skipped_steps\": 5", "\"skipped_steps\": -1", "\"skipped_steps\" is -1"},
    {"\"skipped_steps\": 5", "\"jumped_steps\": 5", "\"skipped_steps\" is missing"},
    {"\"computed_by\": {", "\"computed\": {", "\"computed_by\" is missing"},
    {"\"computed_by\": {", "\"computed_by\": [], \"x\": {", "\"computed_by\" is not an object"},
    {"\"2.6.3\"", "2.6", "\"computed_by\" has a value that is not a short plain text"},
    {"\"2.6.3\"", "\"\"", "\"computed_by\" has a value that is not a short"},
    {"\"2.6.3\"", "\"\\u001b[2J\"", "\"computed_by\" has a value that is not a short"},
    {"\"2.6.3\"", "\"\\u00e9\"", "\"computed_by\" has a value that is not a short"},
    {"\"2.6.3\"", "\"a\\\"b\"", "\"computed_by\" has a value that is not a short"},
    {"\"2.6.3\"", "\"" TEN TEN TEN TEN TEN TEN TEN TEN TEN "123456\"",
     "\"computed_by\" has a value that is not a short"},
    {"\"oneDNN\"", "\"\"", "\"computed_by\" has a name that is not a short plain text"},
    {"\"oneDNN\"", "\"\\n\"", "\"computed_by\" has a name that is not a short"},
    {"\"oneDNN\"", "\"" TEN TEN TEN "12\"", "\"computed_by\" has a name that is not a short"},
    {"\"oneDNN\"", "\"isa\": \"avx\", \"oneDNN\"", "not valid JSON"},
    {"\"oneDNN\": \"2.6.3\"", PAIRS("a") PAIRS("b") PAIRS("c") PAIRS("d") "\"z\": \"z\"",
     "\"computed_by\" has too many entries"},
    {"\"engines\": {", "\"engine\": {", "\"engines\" is missing"},
    {"\"engines\": {", "\"engines\": [], \"x\": {", "\"engines\" is not an object"},
    {"\"GPU B\": {", "\"GPU C\": 7, \"GPU B\": {", "\"engines\" has a kind of device without operations"},
    {"\"GPU B\": {", "\"GPU C\": {}, \"GPU B\": {", "\"engines\" has a kind of device without operations"},
    {"\"GPU B\": {", "\"GPU A, driver 1\": {", "not valid JSON"},
    {"\"GPU B\": {", "\"\": {", "\"engines\" has a kind of device that is not a short plain text"},
    {"\"GPU B\": {", "\"GPU \\n\": {", "\"engines\" has a kind of device that is not a short plain text"},
    {"\"dgrad += 3x3\"", "\"\\u001b\"", "\"engines\" has an operation that is not a short plain text"},
    {"\"dgrad += 3x3\"", "\"" TEN TEN TEN TEN TEN TEN TEN TEN TEN "123456\"",
     "\"engines\" has an operation that is not a short plain text"},
    {"\"none\"", "7", "\"engines\" has an engine that is not a short plain text"},
    {"\"none\"", "\"\"", "\"engines\" has an engine that is not a short plain text"},
    {"\"none\"", "\"" HUNDRED HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN "12345678\"",
     "\"engines\" has an engine that is not a short plain text"},
    {"\"zebra\"", "7", "\"class_names\" has an entry that is not a string"},
    {"\"zebra\"", "\"\"", "\"class_names\" has a name that is empty"},
    {"\"zebra\"", "\"a/b\"", "\"class_names\" has a name that is empty or contains '/'"},
    {"\"zebra\"", "\"cat\"", "\"class_names\" has a name twice"},
    {"\"zebra\", ", "", "\"class_names\" is not a list of as many names"},
    {"\"class_names\": [", "\"class_names\": {}, \"x\": [", "\"class_names\" is not an array"},
    {"\"best_step\": 17", "\"best_step\": -2", "\"best_step\" is -2"},
    {"\"world_size\": 2", "\"world_size\": 0", "\"world_size\" is 0"},
    {"\"resnet18\"", "\"resnet18resnet18resnet18resnet18\"", "\"arch\" is too long"},
    {"\"resnet18\"", "null", "\"arch\" is not a string"},
    {"\"resnet18\"", "\"resnet\\u001b[2J\"", "\"arch\" is not plain text"},
    {"\"step\": 42", "\"step\": 9223372036854775808", "not valid JSON"},
    {"\"epoch\": 3", "\"epoch\": 9223372036854775807",
     "\"epoch\" is 9223372036854775807, not in 0 to 1000000"},
    {"\"epoch\": 3", "\"epoch\": -1", "\"epoch\" is -1"},
    {"\"position\": 128", "\"position\": 9223372036854775807", "\"position\" is 9223372036854775807"},
    {"\"position\": 128", "\"position\": -1", "\"position\" is -1"},
    {"\"loss_scale\": 1024.0", "\"loss_scale\": 0.0", "\"loss_scale\" is 0, not in"},
    {"\"loss_scale\": 1024.0", "\"loss_scale\": -2.0", "\"loss_scale\" is -2"},
    {"\"loss_scale\": 1024.0", "\"loss_scale\": 1e300", "\"loss_scale\" is 1e+300"},
    {"\"loss_scale\": 1024.0", "\"loss_scale\": 1e-300", "\"loss_scale\" is 1e-300"}, /* 0 as a float */
    {"\"loss_scale\": 1024.0", "\"loss_scale\": 1e30", "not in 1 to 1.67772e+07"},
    {"\"loss_scale\": 1024.0", "\"loss_scale\": 1e999", "not valid JSON"},
    {"\"world_size\": 2", "\"world_size\": 2147483647", "\"world_size\" is 2147483647"},
    {"\"global_batch\": 64", "\"global_batch\": 9223372036854775807",
     "\"global_batch\" is 9223372036854775807"},
    {"\"global_batch\": 64", "\"global_batch\": 0", "\"global_batch\" is 0"},
    {"\"classes\": 10", "\"classes\": 9223372036854775807", "\"classes\" is 9223372036854775807"},
    {"\"image_size\": 32", "\"image_size\": 9223372036854775807", "\"image_size\" is 9223372036854775807"},
    {"\"best_top1\": 0.", "\"best_top1\": 7.", "\"best_top1\" is 7.12"},
    {"\"best_top1\": 0.", "\"best_top1\": -7.", "\"best_top1\" is -7.12"},
    {"\"param/bn1.weight\"", "\"param/conv1.weight\"", "tensors: \"param/conv1.weight\" is there twice"},
    {"\"param/bn1.weight\"", "\"param/conv1.weight/x\"", "\"param/conv1.weight/x\" is inside another tensor"},
    {"\"param/bn1.weight\"", "\"steps/x\"", "\"steps/x\" is inside another tensor"},
    {"\"param/bn1.weight\"", "\"param\"", "is inside another tensor"},
    {"\"param/bn1.weight\"", "\"/param/bn1.weight\"", "is not a tensor's name"},
    {"\"param/bn1.weight\"", "\"param//bn1.weight\"", "is not a tensor's name"},
    {"\"param/bn1.weight\"", "\"param/../bn1.weight\"", "is not a tensor's name"},
    {"\"param/bn1.weight\"", "\"./bn1.weight\"", "is not a tensor's name"},
    {"\"param/bn1.weight\"", "\"param/bn1.weight/\"", "is not a tensor's name"},
    {"\"bytes\": 100000", "\"bytes\": 100", "shards[0]: 100 bytes are too few for"},
    {"\"name\": \"param/bn1.weight\"", "\"name\": \"\"", "tensors[1]: \"name\" is empty"},
    {"\"name\": \"param/bn1.weight\"", "\"name\": \"param\\u001b[2J\"",
     "tensors[1]: \"name\" has characters"},
    {"\"name\": \"param/bn1.weight\"", "\"title\": \"param/bn1.weight\"", "tensors[1]: \"name\" is missing"},
    {"[16]", "[16, 0]", "tensors[1]: \"shape\" is not of positive"},
    {"[16]", "[4, 1, 1, 1, 4]", "tensors[1]: \"shape\" has more than 4"},
    {"[16]", "16", "tensors[1]: \"shape\" is not an array"},
    {"[16]", "[4294967296, 4294967296]", "tensors[1]: \"shape\" is not of positive"},
    {"[16]", "[9223372036854775807]", "tensors[1]: \"shape\" makes the state too large"},
    {"[16]", "[17]", "the shards hold"},
    {"{\"name\": \"param/bn1.weight\", \"shape\": [16]}", "17", "tensors[1]: not an object"},
    {"shard-0001-of-0002.h5", "../../../etc/passwd.h5", "shards[1]: \"file\" is not what"},
    {"shard-0001-of-0002.h5", "shard-0000-of-0002.h5", "shards[1]: \"file\" is not what"},
    {"\"bytes\": 200000", "\"bytes\": -2000", "shards[1]: \"bytes\" is -2000"},
    {"fedcba9876543210fedcba9876543210", "fedcba9876543210fedcba987654321",
     "shards[1]: \"xxh3_128\" is not 32"},
    {"fedcba9876543210fedcba9876543210", "fedcba9876543210fedcba987654321G",
     "shards[1]: \"xxh3_128\" is not 32"},
    {"\"first\": 0", "\"first\": 1", "shards[0]: \"first\" is 1"},
    {"\"elements\": ", "\"elements\": 1", "shards[1]: \"first\" is"},
    {"\"elements\": ", "\"elements\": -", "shards[0]: \"elements\" is -"},
    {"\"shards\": [", "\"shards\": [], \"fragments\": [", "unknown field"},
};

static void wrong_fields_are_named(void)
{
    for (size_t i = 0; i < sizeof wrong_fields / sizeof *wrong_fields; i++) {
        dt_error err = {0};
        dt_manifest m = {.step = -7};
        char *text = edited(wrong_fields[i].from, wrong_fields[i].to, true);
        DT_CHECK_MSG(dt_manifest_parse(text, (int64_t)strlen(text), &m, &err) == DT_ERR_FORMAT,
                     "accepted: %s", wrong_fields[i].to);
        DT_CHECK_CONTAINS(err.message, wrong_fields[i].message);
        DT_CHECK_INT(m.step, -7);
        free(text);
    }
}

/* Fields that an older format does not have are refused. */
static void check_newer_fields_refused(int version, const char *message)
{
    dt_error err = {0};
    dt_manifest m;
    char now[32];
    snprintf(now, sizeof now, "\"format_version\": %d", version);
    char *text = edited("\"format_version\": 5", now, true);
    DT_CHECK_INT(dt_manifest_parse(text, (int64_t)strlen(text), &m, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, message);
    free(text);
}

static void older_formats_are_read(void)
{
    dt_error err = {0};
    char *text = NULL;
    int64_t bytes = 0;
    dt_manifest m = whole_manifest(), again = {0};
    for (m.format_version = 1; m.format_version < DT_MANIFEST_VERSION; m.format_version++) {
        DT_REQUIRE(dt_manifest_write(&m, &text, &bytes, &err) == DT_OK);
        DT_CHECK((strstr(text, "computed_by") == NULL) == (m.format_version < 3));
        DT_CHECK((strstr(text, "class_names") == NULL) == (m.format_version < 4));
        DT_CHECK((strstr(text, "best_step") == NULL) == (m.format_version < 4));
        DT_CHECK(strstr(text, "engines") == NULL);
        DT_CHECK((strstr(text, "skipped_steps") == NULL) == (m.format_version == 1));
        DT_CHECK_INT(dt_manifest_parse(text, bytes, &again, &err), DT_OK);
        DT_CHECK_INT(again.step, 42);
        DT_CHECK_INT(again.n_good_steps, m.format_version == 1 ? -1 : 77);
        DT_CHECK_INT(again.n_skipped_steps, m.format_version == 1 ? 0 : 5);
        DT_CHECK_INT(again.computed_by.n, m.format_version < 3 ? 0 : 2);
        DT_CHECK_INT(again.class_names.n, m.format_version < 4 ? 0 : 10);
        DT_CHECK_INT(again.best_epoch, m.format_version < 4 ? -1 : 2);
        DT_CHECK_INT(again.best_step, m.format_version < 4 ? -1 : 17);
        DT_CHECK_INT(again.engines.n, 0);
        dt_free(text);
        dt_manifest_clear(&again);
    }
    free_own(&m);
    check_newer_fields_refused(1, "7 unknown fields");
    check_newer_fields_refused(2, "5 unknown fields");
    check_newer_fields_refused(3, "4 unknown fields");
    check_newer_fields_refused(4, "1 unknown field");
}

static void a_manifest_that_was_read_has_its_hash_as_identity(void)
{
    int64_t bytes = 0;
    char *text = whole_text(&bytes);
    dt_manifest m = {0};
    DT_CHECK_INT(dt_manifest_parse(text, bytes, &m, NULL), DT_OK);
    DT_CHECK_INT(strlen(m.identity), 32);
    DT_CHECK_BYTES(m.identity, text + bytes - 4 - 32, 32);
    dt_manifest_clear(&m);
    dt_free(text);
}

static void a_newer_format_is_refused_with_advice(void)
{
    dt_error err = {0};
    dt_manifest m;
    char *text = edited("\"format_version\": 5", "\"format_version\": 6", true);
    DT_CHECK_INT(dt_manifest_parse(text, (int64_t)strlen(text), &m, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "format_version is 6, this dtrain reads up to 5: a newer dtrain wrote it");
    free(text);
    /* also if it looks quite different */
    static const char future[] = "{\"format_version\": 6, \"hashes\": []}";
    DT_CHECK_INT(dt_manifest_parse(future, (int64_t)strlen(future), &m, &err), DT_ERR_UNSUPPORTED);
    /* but a flipped bit in the version is damage */
    text = edited("\"format_version\": 5", "\"format_version\": 6", false);
    DT_CHECK_INT(dt_manifest_parse(text, (int64_t)strlen(text), &m, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "damaged or edited");
    free(text);
}

static void an_edit_without_the_hash_is_damage(void)
{
    dt_error err = {0};
    dt_manifest m;
    char *text = edited("\"position\": 128", "\"position\": 129", false);
    DT_CHECK_INT(dt_manifest_parse(text, (int64_t)strlen(text), &m, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "damaged or edited");
    free(text);
}

static void other_texts_are_refused(void)
{
    static const char *const texts[] = {
        "", "{", "[]", "null", "{}", "\"manifest\"", "{\"format_version\": 1}", "\xff\xfe", "[[[[[[[["};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        dt_error err = {0};
        dt_manifest m;
        DT_CHECK_INT(dt_manifest_parse(texts[i], (int64_t)strlen(texts[i]), &m, &err), DT_ERR_FORMAT);
        DT_CHECK(err.message[0]);
    }
    char *deep = malloc(100000); /* nesting that would overflow a recursive parser's stack */
    dt_error err = {0};
    dt_manifest m;
    memset(deep, '[', 100000);
    DT_CHECK_INT(dt_manifest_parse(deep, 100000, &m, &err), DT_ERR_FORMAT);
    free(deep);
}

static void numbers_and_texts_that_json_cannot_hold_are_not_written(void)
{
    dt_error err = {0};
    char *text;
    int64_t bytes;
    dt_manifest m = whole_manifest();
    m.loss_scale = 1.0 / 0.0;
    DT_CHECK_INT(dt_manifest_write(&m, &text, &bytes, &err), DT_ERR_INTERNAL);
    m.loss_scale = 1.0;
    snprintf(m.arch, sizeof m.arch, "\xff");
    DT_CHECK_INT(dt_manifest_write(&m, &text, &bytes, &err), DT_ERR_INTERNAL);
    free_own(&m);
}

static void every_allocation_may_fail(void)
{
    int64_t live = dt_alloc_live_blocks();
    for (int64_t i = 1;; i++) {
        dt_error err = {0};
        char *text = NULL;
        int64_t bytes;
        dt_manifest m = whole_manifest(), again = {0};
        dt_alloc_fail_after(i);
        dt_status status = dt_manifest_write(&m, &text, &bytes, &err);
        if (status == DT_OK)
            status = dt_manifest_parse(text, bytes, &again, &err);
        dt_alloc_fail_after(0);
        dt_manifest_clear(&again);
        dt_free(text);
        free_own(&m);
        DT_CHECK_INT(dt_alloc_live_blocks(), live);
        if (status == DT_OK)
            break;
        DT_CHECK_INT(status, DT_ERR_MEMORY);
        DT_REQUIRE(i < 100);
    }
}

/* Cut and mutated texts, with and without a good hash, do not crash. A sanitizer finds reads beyond the
 * end. */
static void random_damage_never_crashes(void)
{
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 3000; i++) {
        int64_t bytes;
        char *text = whole_text(&bytes);
        for (int k = 0; k < 1 + i % 3; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            text[x % (uint64_t)(bytes - 40)] = "{}[]\",:0-9e.x\\u\0"[x >> 32 & 15];
        }
        rehash(text, (size_t)bytes);
        char *exact = malloc((size_t)bytes);
        memcpy(exact, text, (size_t)bytes);
        dt_manifest m = {0};
        if (dt_manifest_parse(exact, i % 4 ? bytes : (int64_t)(x % (uint64_t)bytes), &m, NULL) == DT_OK)
            dt_manifest_clear(&m);
        free(exact);
        dt_free(text);
    }
}

void dt_test_set_up(void)
{
    fake_state_init(&state, 1);
}

void dt_test_tear_down(void)
{
    fake_state_clear(&state);
}

static const dt_test tests[] = {
    DT_TEST(wrong_fields_are_named),
    DT_TEST(older_formats_are_read),
    DT_TEST(a_manifest_that_was_read_has_its_hash_as_identity),
    DT_TEST(a_newer_format_is_refused_with_advice),
    DT_TEST(an_edit_without_the_hash_is_damage),
    DT_TEST(other_texts_are_refused),
    DT_TEST(numbers_and_texts_that_json_cannot_hold_are_not_written),
    DT_TEST(every_allocation_may_fail),
    DT_TEST(random_damage_never_crashes),
};
DT_TEST_MAIN("io/store/manifest_json", tests)
