/* Requests to stop from everywhere: which comes first, how early a limit asks, what Slurm is asked and what
 * happens when it does not answer. */
#include "launch/stop/events.h"

#include "core/base/clock.h"
#include "launch/hardware/machine.h"
#include "launch/stop/slurm_limit.h"
#include "tests/testing.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static dt_events *open_events(const dt_events_options *options)
{
    dt_events *events = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(dt_events_create(options, &events, &err) == DT_OK, "%s", err.message);
    return events;
}

static void nobody_asks_where_nobody_knows_of_an_end(void)
{
    dt_events *e = open_events(&(dt_events_options){.spot = DT_SPOT_OFF});
    e->ops->reserve(e, INFINITY);
    DT_CHECK_STR(e->ops->stop_requested(e), NULL);
    DT_CHECK_STR(e->ops->save_requested(e), NULL);
    DT_CHECK(isinf(e->ops->seconds_left(e)));
    e->ops->destroy(e);
}

static void a_time_limit_counts_from_the_start_and_asks_as_early_as_needed(void)
{
    dt_events *e = open_events(
        &(dt_events_options){.spot = DT_SPOT_OFF, .start_s = dt_clock_s() - 1000.0, .time_limit_s = 5400.0});
    const double left_s = e->ops->seconds_left(e);
    DT_CHECK(left_s > 4300.0 && left_s <= 4400.0);
    e->ops->reserve(e, 3600.0);
    DT_CHECK_STR(e->ops->stop_requested(e), NULL);
    e->ops->reserve(e, 4500.0);
    DT_CHECK_STR(e->ops->stop_requested(e), "the time limit of 1h30m");
    raise(SIGTERM); /* that one knows more */
    DT_CHECK_STR(e->ops->stop_requested(e), "SIGTERM");
    e->ops->destroy(e);
}

/* -- Slurm ----------------------------------------------------------------------------------------------- */

/* A squeue in front of the PATH, and a job. */
static void pretend_squeue(const char *body)
{
    const char *folder = dt_test_temp_dir(), *path = dt_test_path("%s/squeue", folder);
    static char search[8192];
    if (!strstr(search, folder))
        snprintf(search, sizeof search, "%s:/usr/bin:/bin", folder);
    dt_test_write_file(dt_test_path("%s/squeue.new", folder), body, strlen(body));
    DT_REQUIRE(chmod(dt_test_path("%s/squeue.new", folder), 0755) == 0 &&
               rename(dt_test_path("%s/squeue.new", folder), path) == 0);
    DT_REQUIRE(setenv("PATH", search, 1) == 0 && setenv("SLURM_JOB_ID", "4711", 1) == 0);
    unsetenv("SLURM_JOB_END_TIME");
}

static dt_slurm_limit *ask_slurm(double patience_s)
{
    dt_slurm_limit *end = NULL;
    dt_error err = {0};
    DT_REQUIRE(dt_slurm_limit_create(
                   &(dt_slurm_limit_options){.least_s = 0.05, .most_s = 0.05, .patience_s = patience_s}, &end,
                   &err) == DT_OK);
    return end;
}

/* Until it is so; the program's time limit ends what never comes. */
#define WAIT_UNTIL(condition)                                                                                \
    while (!(condition))                                                                                     \
    dt_clock_sleep_s(0.01)

static bool about(double actual, double expected)
{
    return actual > expected - 60.0 && actual <= expected;
}

static void slurm_is_asked_and_asked_again(void)
{
    pretend_squeue("#!/bin/sh\n[ \"$*\" = '-h -j 4711 -o %L' ] && echo 1-00:10:00\n");
    dt_slurm_limit *end = ask_slurm(60.0);
    WAIT_UNTIL(about(dt_slurm_limit_seconds_left(end), 87000.0));
    pretend_squeue("#!/bin/sh\necho '2:00:00   '\n"); /* somebody changed it */
    WAIT_UNTIL(about(dt_slurm_limit_seconds_left(end), 7200.0));
    /* what was known stands */
    pretend_squeue("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller'; exit 1\n");
    dt_clock_sleep_s(0.2);
    DT_CHECK(about(dt_slurm_limit_seconds_left(end), 7200.0));
    pretend_squeue("#!/bin/sh\necho UNLIMITED\n");
    WAIT_UNTIL(isinf(dt_slurm_limit_seconds_left(end)));
    dt_slurm_limit_destroy(end);
}

static void slurms_end_is_a_time_limit(void)
{
    pretend_squeue("#!/bin/sh\necho 10:00\n");
    dt_events *e = open_events(&(dt_events_options){
        .spot = DT_SPOT_OFF, .start_s = dt_clock_s(), .time_limit_s = 5400.0, .asks_slurm = true});
    e->ops->reserve(e, 700.0);
    WAIT_UNTIL(e->ops->stop_requested(e));
    DT_CHECK_STR(e->ops->stop_requested(e), "Slurm's time limit");
    DT_CHECK(about(e->ops->seconds_left(e), 600.0));
    e->ops->destroy(e);
}

static void what_slurm_sets_in_the_environment_is_known_at_once(void)
{
    char text[32];
    pretend_squeue("#!/bin/sh\nexec sleep 1000\n");
    snprintf(text, sizeof text, "%.0f", dt_clock_unix_s() + 900.0);
    DT_REQUIRE(setenv("SLURM_JOB_END_TIME", text, 1) == 0);
    dt_slurm_limit *end = ask_slurm(1000.0);
    DT_CHECK(about(dt_slurm_limit_seconds_left(end), 901.0));
    dt_slurm_limit_destroy(end); /* does not wait for the squeue that hangs */
}

static void a_squeue_that_is_missing_or_hangs_or_babbles_does_no_harm(void)
{
    static const char *const bodies[] = {"#!/bin/sh\nexec sleep 1000\n",
                                         "#!/bin/sh\necho NOT_SET\n",
                                         "#!/bin/sh\necho INVALID\n",
                                         "#!/bin/sh\nexit 1\n",
                                         "#!/bin/sh\necho 17\n",
                                         "#!/no/such/interpreter\n",
                                         "#!/bin/sh\nkill -9 $$\n",
                                         "#!/bin/sh\nexec yes\n",
                                         "#!/bin/sh\nsleep 1000 & echo 1:00:0x\n"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        pretend_squeue(bodies[i]);
        dt_slurm_limit *end = ask_slurm(0.1);
        dt_clock_sleep_s(0.25);
        DT_CHECK_MSG(isinf(dt_slurm_limit_seconds_left(end)), "%s", bodies[i]);
        dt_slurm_limit_destroy(end);
    }
    DT_REQUIRE(setenv("PATH", dt_test_path("%s/none", dt_test_temp_dir()), 1) == 0);
    dt_slurm_limit *end = ask_slurm(0.1);
    dt_clock_sleep_s(0.1);
    DT_CHECK(isinf(dt_slurm_limit_seconds_left(end)));
    dt_slurm_limit_destroy(end);
    DT_REQUIRE(setenv("SLURM_JOB_ID", "1; touch x", 1) == 0); /* not a job */
    end = ask_slurm(0.1);
    DT_CHECK(end == NULL && isinf(dt_slurm_limit_seconds_left(end)));
    dt_slurm_limit_destroy(end);
    unsetenv("SLURM_JOB_ID");
}

/* -- EC2 ------------------------------------------------------------------------------------------------- */

static void firmware_tells_of_ec2(void)
{
    static const struct {
        const char *folder, *file, *text;
        bool is_ec2;
    } cases[] = {
        {"class/dmi/id", "sys_vendor", "Amazon EC2\n", true},
        {"class/dmi/id", "sys_vendor", "QEMU\n", false},
        {"class/dmi/id", "board_asset_tag", "i-0abc\n", true},
        {"class/dmi/id", "board_asset_tag", "", false},
        {"hypervisor", "uuid", "ec2e1916-9099\n", true},
        {"hypervisor", "uuid", "0ec2\n", false},
    };
    DT_CHECK(!dt_machine_is_ec2(dt_test_path("%s/none", dt_test_temp_dir())));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *sys = dt_test_path("%s/sys%d", dt_test_temp_dir(), (int)i);
        static const char *const parts[] = {"", "/class", "/class/dmi", "/class/dmi/id", "/hypervisor"};
        for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++)
            DT_REQUIRE(mkdir(dt_test_path("%s%s", sys, parts[k]), 0755) == 0);
        dt_test_write_file(dt_test_path("%s/%s/%s", sys, cases[i].folder, cases[i].file), cases[i].text,
                           strlen(cases[i].text));
        DT_CHECK_MSG(dt_machine_is_ec2(sys) == cases[i].is_ec2, "%s: %s", cases[i].file, cases[i].text);
    }
}

static const dt_test tests[] = {
    DT_TEST(nobody_asks_where_nobody_knows_of_an_end),
    DT_TEST(a_time_limit_counts_from_the_start_and_asks_as_early_as_needed),
    DT_TEST(slurm_is_asked_and_asked_again),
    DT_TEST(slurms_end_is_a_time_limit),
    DT_TEST(what_slurm_sets_in_the_environment_is_known_at_once),
    DT_TEST(a_squeue_that_is_missing_or_hangs_or_babbles_does_no_harm),
    DT_TEST(firmware_tells_of_ec2),
};
DT_TEST_MAIN("launch/events", tests)
