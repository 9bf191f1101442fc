/* The thread that ends a start which hangs: in children, whose main thread waits for ever. */
#include "launch/stop/start_watch.h"

#include "core/base/clock.h"
#include "core/base/waits.h"
#include "launch/stop/signals.h"
#include "tests/testing.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HANGS_S = 20 }; /* after which the child ends itself, with SIGALRM */

/* Runs `body` in a child whose stderr is a file. Returns its exit code; 1000 + the signal that ended it. */
static int end_of_child(void (*body)(void))
{
    int status = 0;
    const char *path = dt_test_path("%s/stderr", dt_test_temp_dir());
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        if (!freopen(path, "w", stderr))
            _exit(98);
        signal(SIGALRM, SIG_DFL);
        alarm(HANGS_S);
        body();
        for (;;)
            pause();
    }
    DT_REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void check_printed(const char *expected)
{
    char *text = dt_test_read_file(dt_test_path("%s/stderr", dt_test_temp_dir()), NULL);
    DT_CHECK_STR(text, expected);
    free(text);
}

static dt_start_watch *begin(bool prints, bool trains)
{
    dt_start_watch *w = NULL;
    dt_signals_install(false);
    if (dt_start_watch_create(prints, trains, &w, NULL) != DT_OK)
        _exit(99);
    return w;
}

static void hang_before_the_first_step(void)
{
    (void)begin(true, true);
    raise(SIGTERM);
}

static void hang_in_another_command(void)
{
    (void)begin(true, false);
    dt_waits_set_unfinished("unfinished");
    raise(SIGTERM);
}

static void hang_beyond_the_limit(void)
{
    dt_start_watch *w = begin(true, true);
    dt_start_watch_set_limit(w, "the time limit of 1s", dt_clock_s() - 60.0);
}

static void hang_beyond_the_limit_silently(void)
{
    dt_start_watch *w = begin(false, true);
    dt_start_watch_set_limit(w, "the time limit of 1s", dt_clock_s() - 60.0);
}

/* The first step has begun: a signal and the limit are the trainer's now. */
static void train(void)
{
    dt_start_watch *w = begin(true, true);
    dt_start_watch_set_trains(w);
    dt_start_watch_set_limit(w, "the time limit of 1s", dt_clock_s() - 60.0);
    raise(SIGTERM);
    dt_clock_sleep_s(1.5);
    dt_start_watch_destroy(w);
    _exit(7);
}

static void no_request(void)
{
    dt_start_watch *w = begin(true, true);
    dt_start_watch_set_limit(w, "the time limit of 1h", dt_clock_s() + 3600.0);
    dt_clock_sleep_s(0.3);
    dt_start_watch_destroy(w);
    _exit(7);
}

static void a_signal_ends_a_start_that_hangs_a_second_later(void)
{
    const double start = dt_clock_s();
    DT_CHECK_INT(end_of_child(hang_before_the_first_step), 75);
    DT_CHECK(dt_clock_s() - start > 1.0); /* ranks may leave together until then */
    check_printed(
        "dtrain: stopped on SIGTERM before the first step; nothing was lost, and the same command starts "
        "again\n");
}

static void a_signal_ends_another_command_as_usual_without_what_is_half_written(void)
{
    DT_REQUIRE(chdir(dt_test_temp_dir()) == 0);
    dt_test_write_file("unfinished", "x", 1);
    DT_CHECK_INT(end_of_child(hang_in_another_command), 1000 + SIGTERM);
    check_printed("");
    DT_CHECK(access("unfinished", F_OK) != 0);
}

static void a_limit_that_has_passed_ends_a_start_with_code_2(void)
{
    DT_CHECK_INT(end_of_child(hang_beyond_the_limit), 2);
    check_printed("dtrain: the time limit of 1s is too short: it has passed before the first step\n");
    DT_CHECK_INT(end_of_child(hang_beyond_the_limit_silently), 2);
    check_printed(""); /* rank 0 prints */
}

static void the_watch_is_over_with_the_first_step(void)
{
    DT_CHECK_INT(end_of_child(train), 7);
    DT_CHECK_INT(end_of_child(no_request), 7);
    check_printed("");
}

static const dt_test tests[] = {
    DT_TEST(a_signal_ends_a_start_that_hangs_a_second_later),
    DT_TEST(a_signal_ends_another_command_as_usual_without_what_is_half_written),
    DT_TEST(a_limit_that_has_passed_ends_a_start_with_code_2),
    DT_TEST(the_watch_is_over_with_the_first_step),
};
DT_TEST_MAIN("launch/stop/start_watch", tests)
