#include "core/base/program.h"

#include "core/base/clock.h"
#include "tests/testing.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef struct outcome {
    dt_status status;
    dt_error err;
    int code;
    char out[16], errors[16];
} outcome;

static outcome run_shell(const char *script, double timeout_s, const atomic_bool *leave)
{
    char *arguments[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
    outcome o = {.code = -1};
    o.status = dt_program_run(&(dt_program){.arguments = arguments,
                                            .timeout_s = timeout_s,
                                            .leave = leave,
                                            .out = o.out,
                                            .out_bytes = sizeof o.out,
                                            .errors = o.errors,
                                            .errors_bytes = sizeof o.errors},
                              &o.code, &o.err);
    return o;
}

static void output_errors_and_code_are_returned(void)
{
    const outcome o = run_shell("echo one; echo two >&2; exit 7", 30.0, NULL);
    DT_CHECK_INT(o.status, DT_OK);
    DT_CHECK_INT(o.code, 7);
    DT_CHECK_STR(o.out, "one\n");
    DT_CHECK_STR(o.errors, "two\n");
    DT_CHECK_INT(run_shell("kill -9 $$", 30.0, NULL).code, 128 + 9);
}

static void more_output_than_fits_is_cut(void)
{
    const outcome o = run_shell(
        "head -c 200000 /dev/zero | tr '\\0' x; head -c 200000 /dev/zero | tr '\\0' y >&2", 30.0, NULL);
    DT_CHECK_INT(o.status, DT_OK);
    DT_CHECK_STR(o.out, "xxxxxxxxxxxxxxx");
    DT_CHECK_STR(o.errors, "yyyyyyyyyyyyyyy");
}

static void a_missing_program_is_an_error_with_its_name(void)
{
    char *arguments[] = {(char *)"there-is-no-such-program", NULL}, out[8];
    int code = -1;
    dt_error err = {0};
    DT_CHECK_INT(
        dt_program_run(
            &(dt_program){.arguments = arguments, .timeout_s = 30.0, .out = out, .out_bytes = sizeof out},
            &code, &err),
        DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "there-is-no-such-program: ");
    DT_CHECK_INT(code, -1);
    /* as where posix_spawn learns it too late */
    const outcome late = run_shell("exit 127", 30.0, NULL);
    DT_CHECK_INT(late.status, DT_ERR_IO);
    DT_CHECK_STR(late.err.message, "sh: not found, or it does not start (code 127)");
}

static void the_input_is_empty(void)
{
    const outcome o = run_shell("cat; echo done", 30.0, NULL);
    DT_CHECK_INT(o.status, DT_OK);
    DT_CHECK_STR(o.out, "done\n");
}

/* Also one that has closed its output, or whose child keeps it open. */
static void a_program_that_takes_too_long_is_killed(void)
{
    static const char *const scripts[] = {"sleep 1000", "exec >&- 2>&-; sleep 1000", "sleep 1000 & exit 0"};
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        const double start_s = dt_clock_s();
        const outcome o = run_shell(scripts[i], 0.3, NULL);
        DT_CHECK_MSG(o.status == (i == 2 ? DT_OK : DT_ERR_TIMEOUT), "'%s': status %d", scripts[i], o.status);
        DT_CHECK_MSG(i == 2 || strstr(o.err.message, "within 0.3 s"), "%s", o.err.message);
        DT_CHECK_MSG(dt_clock_s() - start_s < 20.0, "'%s' took %g s", scripts[i], dt_clock_s() - start_s);
    }
}

static void *leave_later(void *leave)
{
    dt_clock_sleep_s(0.2);
    atomic_store((atomic_bool *)leave, true);
    return NULL;
}

static void another_thread_ends_it_early(void)
{
    atomic_bool leave = false;
    pthread_t other;
    const double start_s = dt_clock_s();
    DT_REQUIRE(pthread_create(&other, NULL, leave_later, &leave) == 0);
    DT_CHECK_INT(run_shell("sleep 1000", 1000.0, &leave).status, DT_ERR_TIMEOUT);
    pthread_join(other, NULL);
    DT_CHECK(dt_clock_s() - start_s < 20.0);
}

static const dt_test tests[] = {
    DT_TEST(output_errors_and_code_are_returned),         DT_TEST(more_output_than_fits_is_cut),
    DT_TEST(a_missing_program_is_an_error_with_its_name), DT_TEST(the_input_is_empty),
    DT_TEST(a_program_that_takes_too_long_is_killed),     DT_TEST(another_thread_ends_it_early),
};
DT_TEST_MAIN("core/base/program", tests)
