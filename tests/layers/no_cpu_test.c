/* In place of the tests of layers/cpu, where oneDNN is missing. */
#include "tests/testing.h"

static void the_cpu_backend(void)
{
    DT_SKIP("the cpu backend needs oneDNN, and this build was configured without it");
}

static const dt_test tests[] = {DT_TEST(the_cpu_backend)};
DT_TEST_MAIN("layers/no_cpu", tests)
