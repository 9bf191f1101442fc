/* The memory that a hostile manifest.json can take. */
#include "io/store/manifest_json.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Texts that are small on the disk and large in memory, up to the largest file that is read. */
static void the_memory_for_a_hostile_text_is_limited(void)
{
    static const char *const units[] = {"[],", "{},", "0,", "[", "{\"a\":", "\"\","};
    enum { BYTES = 16 << 20, MOST_KB = 400 << 10 };
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        const size_t n = strlen(units[i]);
        char *text = malloc(BYTES);

        dt_error err = {0};
        dt_manifest m;
        DT_REQUIRE(text != NULL);
        for (size_t k = 0; k < BYTES; k++)
            text[k] = units[i][k % n];
        text[0] = '[';
        DT_CHECK_INT(dt_manifest_parse(text, BYTES, &m, &err), DT_ERR_FORMAT);
        getrusage(RUSAGE_SELF, &after);
        DT_CHECK_MSG(after.ru_maxrss - before.ru_maxrss < MOST_KB, "%s took %ld kB", units[i],
                     after.ru_maxrss - before.ru_maxrss);
        free(text);
    }
}

static const dt_test tests[] = {DT_TEST(the_memory_for_a_hostile_text_is_limited)};
DT_TEST_MAIN("io/store/manifest_memory", tests)
