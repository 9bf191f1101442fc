/* dtrain: runs a command, prints its error, and returns its exit code. */
#include "config.h"

#include "core/base/clock.h"
#include "core/base/waits.h"
#include "launch/commands/commands.h"
#include "launch/hardware/machine.h"
#include "launch/hardware/openmp.h"
#include "launch/hardware/transports.h"
#include "launch/options/suggest.h"
#include "launch/show/console.h"
#include "launch/stop/exit_report.h"
#include "launch/stop/signals.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *name;
    dt_command *run;
    bool cleans_up; /* a signal ends it after it has removed what is half written; others end at once */
} commands[] = {
    {"train", dt_command_train, true}, /* also if no command is named; it stops on request */
    {"eval", dt_command_eval, false},          {"inspect", dt_command_inspect, false},
    {"export", dt_command_export, true},       {"info", dt_command_info, false},
    {"bench", dt_command_bench, true},         {"plan", dt_command_plan, false},
    {"cluster", dt_command_cluster, false},    {"stage", dt_command_stage, true},
    {"demo-data", dt_command_demo_data, true}, {"where", dt_command_where, false},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static dt_status unknown_command(const char *name, dt_error *err)
{
    const char *names[N_COMMANDS + 3] = {[N_COMMANDS] = "help", [N_COMMANDS + 1] = "version"};
    struct stat st;
    for (int i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i].name;
    const char *meant = dt_suggest(name, names);
    if (meant)
        return dt_fail(err, DT_ERR_USAGE, "unknown command '%s'; did you mean '%s'?", name, meant);
    if (stat(name, &st) == 0 && S_ISDIR(st.st_mode))
        return dt_fail(err, DT_ERR_USAGE, "unknown command '%s'; to train on this folder, use --data %s",
                       name, name);
    return dt_fail(
        err, DT_ERR_USAGE,
        "unknown command '%s'; there are train, eval, inspect, export, plan, cluster, stage, bench, info "
        "and demo-data",
        name);
}

/* `dtrain help [COMMAND]` is `dtrain [COMMAND] --help`. */
static dt_status help(int argc, char **argv, dt_session *session, dt_error *err)
{
    static char option[] = "--help";
    if (argc > 3)
        return dt_fail(err, DT_ERR_USAGE, "unexpected argument '%s'; help takes one command", argv[3]);
    char *name = argv[argc - 1], *words[] = {name, option, NULL};
    if (argc == 3 && (name[0] == '-' || strcmp(name, "help") == 0 || strcmp(name, "version") == 0))
        return dt_command_train(2, words, session, err); /* dtrain help --help */
    for (int i = 0; i < N_COMMANDS && argc == 3; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(2, words, session, err);
    return argc == 3 ? unknown_command(name, err) : dt_command_train(2, words, session, err);
}

static dt_status version(int argc, char **argv, dt_session *session, dt_error *err)
{
    static char option[] = "--version";
    char *words[] = {argv[0], option, NULL};
    if (argc == 3 && strcmp(argv[2], "--help") == 0)
        return dt_command_train(2, argv + 1, session, err);
    if (argc > 2)
        return dt_fail(err, DT_ERR_USAGE, "unexpected argument '%s'; version takes none", argv[2]);
    return dt_command_train(2, words, session, err);
}

static bool is_training(int argc, char **argv)
{
    return argc < 2 || argv[1][0] == '-' || strcmp(argv[1], commands[0].name) == 0;
}

static dt_status run(int argc, char **argv, dt_session *session, dt_error *err)
{
    if (argc < 2 || argv[1][0] == '-')
        return dt_command_train(argc, argv, session, err);
    if (strcmp(argv[1], "help") == 0)
        return help(argc, argv, session, err);
    if (strcmp(argv[1], "version") == 0)
        return version(argc, argv, session, err);
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1, session, err);
    return unknown_command(argv[1], err);
}

static bool cleans_up(int argc, char **argv)
{
    for (int i = 0; i < N_COMMANDS && !is_training(argc, argv); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].cleans_up;
    return is_training(argc, argv);
}

static const char *ask_signals(void *context)
{
    (void)context;
    return dt_signals_stop_requested();
}

/* Comes first of all: a signal that arrives before has its usual effect. */
static void prepare_for_signals(int argc, char **argv, bool prints)
{
    dt_signals_ignore_file_size();
    if (cleans_up(argc, argv)) {
        dt_signals_install(prints && is_training(argc, argv));
        dt_waits_set_stop(ask_signals, NULL);
    }
    dt_signals_hold();
    dt_openmp_limit_spinning(argv); /* may execute this program again */
    dt_signals_release();
}

int main(int argc, char **argv)
{
    static dt_error err; /* zeroed; also for a status without a message */
    dt_session session = {.start_s = dt_clock_s()};
    dt_console_open_descriptors();
    dt_launch_env env;
    dt_launch_env_read(&env);
    prepare_for_signals(argc, argv, env.rank == 0);
    dt_console_open();
    dt_status status = dt_machine_check_stack(&err);
    if (status == DT_OK)
        status = dt_start_watch_create(env.rank == 0, is_training(argc, argv), &session.watch, &err);
    if (status == DT_OK)
        status = run(argc, argv, &session, &err);
    if (status == DT_ERR_INTERRUPTED && !is_training(argc, argv))
        dt_signals_end();
    int code = dt_status_exit_code(status);
    if (status != DT_OK && !err.message[0])
        dt_fail(&err, status, "an error without a message (%s): this is a bug in dtrain",
                dt_status_name(status));
    /* Some ranks may notice that a peer is lost or late, and others not. */
    const bool shared =
        err.shared && status != DT_ERR_COMM && status != DT_ERR_PEER && status != DT_ERR_TIMEOUT;
    if (status != DT_OK && !shared && session.comm && session.comm->size > 1) {
        dt_console_fail_here(&err);
        dt_exit_report(code);
        session.comm->ops->abort(session.comm, code);
    }
    if (status != DT_OK)
        dt_console_fail(&err);
    if (env.rank == 0)
        dt_exit_report(code); /* before MPI ends: after another rank's 75 the launcher kills this one */
    dt_session_close(&session);
    dt_start_watch_destroy(session.watch);
    if (dt_waits_has_left_threads()) {
        fflush(NULL);
        _exit(code);
    }
    return code;
}
