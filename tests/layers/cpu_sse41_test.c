/* layers/cpu as on a processor without instruction sets newer than SSE4.1. */
#include "tests/cpu_cases.h"
#include "tests/testing.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>

int dt_test_time_limit_s = 600; /* for the long case */

/* oneDNN accepts this setting only before its first use, so this test is a program of its own. */
void dt_test_set_up(void)
{
#if defined __x86_64__
    if (dnnl_set_max_cpu_isa(dnnl_cpu_isa_sse41) != dnnl_success)
        abort();
#endif
}

static void the_operations_agree_with_ref(void)
{
    if (dt_cpu_cases_need_x86())
        dt_cpu_cases_check(2, 32, 2, dt_cpu_cases_few);
}

static void every_operation_agrees_with_ref(void)
{
    static const char *const everything[] = {"", NULL};
    DT_LONG_TEST();
    if (dt_cpu_cases_need_x86())
        dt_cpu_cases_check(2, 32, 3, everything);
}

static const dt_test tests[] = {
    DT_TEST(the_operations_agree_with_ref),
    DT_TEST(every_operation_agrees_with_ref),
};
DT_TEST_MAIN("layers/cpu_sse41", tests)
