/* Mutated manifests and shards of other layouts through tests/io/store/fuzz_checkpoint.c: a second in every
 * run, a minute under AddressSanitizer, an hour in long ones. */
#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/checkpoint/load.h"
#include "io/store/manifest_json.h"
#include "tests/fakes/fake_state.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_S 20 /* for one input */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static uint64_t state;

static size_t below(size_t n)
{
    state = state * 6364136223846793005U + 1442695040888963407U;
    return (size_t)((state >> 33) % n);
}

/* A valid manifest: two shards of the fake state. */
static char *good_manifest(size_t *n)
{
    fake_state s;
    char *text;
    int64_t bytes;
    dt_error err;
    fake_state_init(&s, 1);
    dt_manifest m = fake_manifest(1234);
    m.format_version = DT_MANIFEST_VERSION;
    m.n_tensors = s.layout.n_tensors;
    m.tensors = dt_alloc((size_t)m.n_tensors * sizeof *m.tensors);
    m.n_shards = 2;
    m.shards = dt_calloc(2, sizeof *m.shards);
    DT_REQUIRE(m.tensors && m.shards);
    memcpy(m.tensors, s.layout.tensors, (size_t)m.n_tensors * sizeof *m.tensors);
    for (int i = 0; i < 2; i++) {
        dt_shard_entry *e = &m.shards[i];
        snprintf(e->file, sizeof e->file, "shard-%04d-of-0002.h5", i);
        snprintf(e->xxh3_128, sizeof e->xxh3_128, "0123456789abcdef0123456789abcdef");
        e->bytes = 1000;
        e->first = i * (s.layout.n_elems / 2);
        e->n_elems = i == 0 ? s.layout.n_elems / 2 : s.layout.n_elems - e->first;
    }
    DT_REQUIRE(dt_manifest_write(&m, &text, &bytes, &err) == DT_OK);
    dt_manifest_clear(&m);
    fake_state_clear(&s);
    *n = (size_t)bytes;
    return text;
}

/* What a mutation inserts into a manifest: pieces of manifests, numbers at the ends of their ranges, other
 * JSON values. */
static const char *const words[] = {"0",
                                    "-1",
                                    "9223372036854775807",
                                    "9223372036854775808",
                                    "1e308",
                                    "1e999",
                                    "null",
                                    "true",
                                    "[]",
                                    "{}",
                                    "\"\"",
                                    "\\u0000",
                                    "\"step\": 1,",
                                    "]",
                                    "}",
                                    ",",
                                    "\"../../etc/passwd\"",
                                    "4294967296",
                                    "0.5",
                                    "\xff\xfe",
                                    "[[[[[[[[",
                                    "\"format_version\": 5,"};

static size_t mutate_text(char *text, size_t n, size_t capacity)
{
    const size_t at = below(n), length = 1 + below(40);
    const size_t cut = at + length > n ? n - at : length;
    const char *word = words[below(sizeof words / sizeof words[0])];
    switch (below(6)) {
    case 0:
        text[at] = (char)below(256);
        return n;
    case 1:
        text[at] = (char)(text[at] ^ 1 << below(8));
        return n;
    case 2: /* cut out */
        memmove(text + at, text + at + cut, n - at - cut);
        return n - cut;
    case 3: /* repeated */
        if (n + cut > capacity)
            return n;
        memmove(text + at + cut, text + at, n - at);
        return n + cut;
    case 4: { /* a number or a text in place of the next one */
        size_t from = at, to;
        while (from < n && text[from] != ':')
            from++;
        for (to = from; to < n && text[to] != ',' && text[to] != '}'; to++)
            ;
        const size_t w = strlen(word);
        if (from + 1 >= n || n - (to - from - 1) + w > capacity)
            return n;
        memmove(text + from + 1 + w, text + to, n - to);
        memcpy(text + from + 1, word, w);
        return n - (to - from - 1) + w;
    }
    default:
        return below(8) ? n : at + 1;
    }
}

static void one_manifest(const char *good, size_t n_good)
{
    const size_t capacity = n_good + 512;
    char *input = malloc(1 + capacity);
    DT_REQUIRE(input != NULL);
    size_t n = n_good;
    input[0] = 'm';
    memcpy(input + 1, good, n);
    for (size_t k = 1 + below(4); k > 0 && n > 1; k--)
        n = mutate_text(input + 1, n, capacity);
    LLVMFuzzerTestOneInput((const uint8_t *)input, 1 + n);
    free(input);
}

static void one_shard(void)
{
    uint8_t input[15] = {'s'};
    for (size_t i = 1; i < sizeof input; i++)
        input[i] = (uint8_t)below(256);
    if (below(2)) /* read with the layout it was written with, except for one thing */
        memcpy(input + 8, input + 1, 7);
    if (below(4))
        input[8 + below(7)] = (uint8_t)below(256);
    LLVMFuzzerTestOneInput(input, sizeof input);
}

static void run_for(double seconds, uint64_t seed)
{
    size_t n_good;
    long n_manifests = 0, n_shards = 0;
    char *good = good_manifest(&n_good);
    state = seed;
    for (const double until = dt_clock_s() + seconds; dt_clock_s() < until;) {
        alarm(PATIENCE_S); /* a hang ends the test program */
        for (int i = 0; i < 50; i++, n_manifests++)
            one_manifest(good, n_good);
        for (int i = 0; i < 5; i++, n_shards++)
            one_shard();
    }
    alarm(0);
    dt_free(good);
    printf("  %ld manifests and %ld shards in %g s\n", n_manifests, n_shards, seconds);
    DT_CHECK(n_manifests > 0 && n_shards > 0);
}

static void mutated_manifests_and_shards_do_not_crash(void)
{
#ifdef __SANITIZE_ADDRESS__
    run_for(60.0, 1);
#else
    run_for(2.0, 2);
#endif
}

static void an_hour_of_mutations_does_not_crash(void)
{
    DT_LONG_TEST();
    run_for(3600.0, 3);
}

static const dt_test tests[] = {DT_TEST(mutated_manifests_and_shards_do_not_crash),
                                DT_TEST(an_hour_of_mutations_does_not_crash)};
DT_TEST_MAIN("io/store/fuzz_checkpoint", tests)
