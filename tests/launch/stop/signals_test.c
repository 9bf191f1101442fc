/* Signals request a stop; a second SIGINT ends the program at once. */
#include "config.h"

#include "tests/testing.h"

#include "launch/stop/signals.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs `body` in a child, because handlers stay. Returns its exit code; 1000 + the signal if one kills it. */
static int end_of_child(void (*body)(const int *numbers), const int *numbers)
{
    const pid_t pid = fork();
    if (pid == 0) {
        alarm(0);
        body(numbers);
        _exit(0);
    }
    int status = 0;
    DT_REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void require_that(bool condition)
{
    if (!condition)
        _exit(99);
}

static bool is_requested_on(const char *name)
{
    const char *why = dt_signals_stop_requested();
    return name ? why && strcmp(why, name) == 0 : !why;
}

static void check_first_signal(const int *numbers)
{
    static const char *const names[] = {"SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"};
    dt_signals_install(false);
    require_that(is_requested_on(NULL));
    raise(numbers[0]);
    require_that(is_requested_on(names[numbers[1]]));
    raise(SIGTERM); /* the first one stays */
    require_that(is_requested_on(names[numbers[1]]));
}

static void each_signal_requests_a_stop(void)
{
    static const int numbers[][2] = {{SIGINT, 0},  {SIGTERM, 1}, {SIGHUP, 2},
                                     {SIGUSR1, 3}, {SIGUSR2, 4}, {SIGXCPU, 5}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        DT_CHECK_INT(end_of_child(check_first_signal, numbers[i]), 0);
}

static void raise_two(const int *numbers)
{
    dt_signals_install(false);
    raise(numbers[0]);
    raise(numbers[1]);
}

static void a_second_interrupt_ends_at_once(void)
{
    DT_CHECK_INT(end_of_child(raise_two, (const int[]){SIGINT, SIGINT}), 130);
    DT_CHECK_INT(end_of_child(raise_two, (const int[]){SIGTERM, SIGTERM}), 0);
    DT_CHECK_INT(end_of_child(raise_two, (const int[]){SIGTERM, SIGINT}), 0);
}

/* Another process sends it on purpose. */
static void be_sent(int number)
{
    if (fork() == 0) {
        (void)kill(getppid(), number);
        _exit(0);
    }
    (void)wait(NULL);
}

static void write_without_reader(const int *numbers)
{
    int ends[2];
    dt_signals_install(false);
    require_that(pipe(ends) == 0 && close(ends[0]) == 0);
    require_that(write(ends[1], "x", 1) < 0 && is_requested_on(NULL));
    be_sent(SIGPIPE);
    require_that(is_requested_on("SIGPIPE"));
    (void)numbers;
}

static void a_pipe_without_a_reader_requests_nothing(void)
{
    DT_CHECK_INT(end_of_child(write_without_reader, NULL), 0);
}

static void hang_up_ignored(const int *numbers)
{
    (void)numbers;
    signal(SIGHUP, SIG_IGN); /* nohup */
    dt_signals_install(false);
    dt_signals_install(false);
    raise(SIGHUP);
    require_that(is_requested_on(NULL));
}

static void a_hangup_that_was_ignored_stays_ignored(void)
{
    DT_CHECK_INT(end_of_child(hang_up_ignored, NULL), 0);
}

static void lose_handlers(const int *numbers)
{
    dt_signals_reinstall(); /* nothing was installed */
    struct sigaction now;
    require_that(sigaction(SIGTERM, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
    dt_signals_install(false);
    signal(numbers[0], SIG_DFL);
    dt_signals_reinstall();
    raise(numbers[0]);
    require_that(is_requested_on("SIGUSR1"));
}

static void handlers_that_a_library_has_replaced_are_installed_again(void)
{
    DT_CHECK_INT(end_of_child(lose_handlers, (const int[]){SIGUSR1}), 0);
}

static void hold_over_exec(const int *numbers)
{
    dt_signals_install(false);
    if (numbers[1])
        raise(numbers[0]);
    dt_signals_hold();
    if (!numbers[1])
        raise(numbers[0]);
    require_that(is_requested_on(NULL));
    dt_signals_release();
    require_that(is_requested_on(numbers[0] == SIGINT ? "SIGINT" : "SIGTERM"));
}

/* Sent again by this process it would ask for nothing. */
static void hold_a_pipes_signal(const int *numbers)
{
    dt_signals_install(false);
    be_sent(SIGPIPE);
    dt_signals_hold();
    require_that(is_requested_on(NULL));
    dt_signals_release();
    require_that(is_requested_on("SIGTERM"));
    (void)numbers;
}

static void a_signal_around_an_exec_waits_for_the_new_program(void)
{
    DT_CHECK_INT(end_of_child(hold_over_exec, (const int[]){SIGTERM, 0}), 0);
    DT_CHECK_INT(end_of_child(hold_over_exec, (const int[]){SIGTERM, 1}), 0);
    /* the first Ctrl-C comes once, and does not count as a second one */
    DT_CHECK_INT(end_of_child(hold_over_exec, (const int[]){SIGINT, 0}), 0);
    DT_CHECK_INT(end_of_child(hold_over_exec, (const int[]){SIGINT, 1}), 0);
    DT_CHECK_INT(end_of_child(hold_a_pipes_signal, NULL), 0);
}

static const dt_test tests[] = {
    DT_TEST(each_signal_requests_a_stop),
    DT_TEST(a_second_interrupt_ends_at_once),
    DT_TEST(a_pipe_without_a_reader_requests_nothing),
    DT_TEST(a_hangup_that_was_ignored_stays_ignored),
    DT_TEST(handlers_that_a_library_has_replaced_are_installed_again),
    DT_TEST(a_signal_around_an_exec_waits_for_the_new_program),
};

DT_TEST_MAIN("launch/signals", tests)
