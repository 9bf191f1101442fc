/* The options that a session hands to the transport, the backend and the threads, for each command that has
 * them. The linker calls the functions of this file where the session calls the real ones. */
#include "launch/commands/session.h"
#include "tests/launch/options/options_kit.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

static struct {
    char transport[16], attached[16], backend[16];
    double timeout_s, attach_timeout_s;
    dt_backend_options options;
    dt_affinity_options affinity;
    int n_plans, n_plans_before_the_backend;
} seen;

dt_status __real_dt_transport_create(const char *name, double timeout_s, dt_comm **comm, dt_error *err);
dt_status __wrap_dt_transport_create(const char *name, double timeout_s, dt_comm **comm, dt_error *err);
dt_status __real_dt_transport_attach_device(const char *name, double timeout_s, dt_device *device,
                                            dt_comm **comm, dt_error *err);
dt_status __wrap_dt_transport_attach_device(const char *name, double timeout_s, dt_device *device,
                                            dt_comm **comm, dt_error *err);
dt_status __real_dt_backend_create(const char *name, const dt_backend_options *options, dt_backend *backend,
                                   dt_error *err);
dt_status __wrap_dt_backend_create(const char *name, const dt_backend_options *options, dt_backend *backend,
                                   dt_error *err);
dt_status __real_dt_affinity_plan(dt_comm *comm, const dt_affinity_options *options, dt_affinity *affinity,
                                  dt_error *err);
dt_status __wrap_dt_affinity_plan(dt_comm *comm, const dt_affinity_options *options, dt_affinity *affinity,
                                  dt_error *err);

dt_status __wrap_dt_transport_create(const char *name, double timeout_s, dt_comm **comm, dt_error *err)
{
    snprintf(seen.transport, sizeof seen.transport, "%s", name);
    seen.timeout_s = timeout_s;
    return __real_dt_transport_create("self", timeout_s, comm, err);
}

dt_status __wrap_dt_transport_attach_device(const char *name, double timeout_s, dt_device *device,
                                            dt_comm **comm, dt_error *err)
{
    snprintf(seen.attached, sizeof seen.attached, "%s", name);
    seen.attach_timeout_s = timeout_s;
    return __real_dt_transport_attach_device("self", timeout_s, device, comm, err);
}

/* The reference backend has all precisions. */
dt_status __wrap_dt_backend_create(const char *name, const dt_backend_options *options, dt_backend *backend,
                                   dt_error *err)
{
    snprintf(seen.backend, sizeof seen.backend, "%s", name);
    seen.options = *options;
    seen.n_plans_before_the_backend = seen.n_plans;
    return __real_dt_backend_create("ref", options, backend, err);
}

dt_status __wrap_dt_affinity_plan(dt_comm *comm, const dt_affinity_options *options, dt_affinity *affinity,
                                  dt_error *err)
{
    seen.affinity = *options;
    seen.n_plans++;
    return __real_dt_affinity_plan(comm, options, affinity, err);
}

static const struct command {
    const dt_command_usage *usage;
    const char *more[3];
} commands[] = {{&options_kit_train, {NULL}}, {&options_kit_eval, {"--weights", "w", NULL}}};

/* Opens and closes a session of a command with these options. */
static void open_with(const struct command *command, const char *const *words)
{
    static dt_options options;
    dt_error err;
    dt_session session = {0};
    const char *all[40] = {"--data", "x"};
    int n = 2;
    for (int i = 0; command->more[i]; i++)
        all[n++] = command->more[i];
    for (int i = 0; words[i]; i++)
        all[n++] = words[i];
    memset(&seen, 0, sizeof seen);
    const dt_status parsed = options_kit_parse(command->usage, all, &options, &err);
    DT_REQUIRE_MSG(parsed == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_session_open(&options, command->usage->bit, parsed, &err, &session, &err) == DT_OK,
                   "%s", err.message);
    if (seen.affinity.threads > 0)
        DT_CHECK_INT(session.affinity.n_threads, seen.affinity.threads);
    if (seen.affinity.workers > 0)
        DT_CHECK_INT(session.affinity.n_workers, seen.affinity.workers);
    DT_CHECK_INT(seen.options.n_threads, session.affinity.n_threads);
    DT_CHECK_INT(seen.n_plans_before_the_backend, 1); /* the backend's memory is where the rank runs */
    DT_CHECK(session.kernels == session.backend.kernels && session.device == session.backend.device);
    dt_session_close(&session);
}

static void the_parts_get_what_is_given(void)
{
    static const char *const words[] = {
        "--comm",      "nccl", "--peer-timeout", "12.5",      "--backend", "cuda",
        "--precision", "bf16", "--autotune",     "heuristic", "--threads", "3",
        "--workers",   "5",    "--bind",         "none",      NULL};
    for (int i = 0; i < 2; i++) {
        open_with(&commands[i], words);
        DT_CHECK_STR(seen.transport, "nccl");
        DT_CHECK_STR(seen.attached, "nccl");
        DT_CHECK_CLOSE(seen.timeout_s, 12.5, 0);
        DT_CHECK_CLOSE(seen.attach_timeout_s, 12.5, 0);
        DT_CHECK_STR(seen.backend, "cuda");
        DT_CHECK_INT(seen.options.precision, DT_BF16);
        DT_CHECK(!seen.options.choose_precision);
        DT_CHECK_INT(seen.options.autotune, DT_AUTOTUNE_HEURISTIC);
        DT_CHECK_INT(seen.options.local_rank, 0);
        DT_CHECK_INT(seen.options.local_size, 1);
        DT_CHECK_INT(seen.affinity.threads, 3);
        DT_CHECK_INT(seen.affinity.workers, 5);
        DT_CHECK(seen.affinity.leaves_binding);
    }
}

static void the_parts_get_the_defaults(void)
{
    for (int i = 0; i < 2; i++) {
        open_with(&commands[i], (const char *const[]){NULL});
        DT_CHECK_STR(seen.transport, "auto");
        DT_CHECK_STR(seen.attached, "auto");
        DT_CHECK_CLOSE(seen.timeout_s, 600, 0);
        DT_CHECK_CLOSE(seen.attach_timeout_s, 600, 0);
        DT_CHECK_STR(seen.backend, "auto");
        DT_CHECK(seen.options.choose_precision);
        DT_CHECK_INT(seen.options.autotune, DT_AUTOTUNE_FULL);
        DT_CHECK_INT(seen.affinity.threads, 0);
        DT_CHECK_INT(seen.affinity.workers, 0);
        DT_CHECK(!seen.affinity.leaves_binding);
    }
}

static const dt_test tests[] = {
    DT_TEST(the_parts_get_what_is_given),
    DT_TEST(the_parts_get_the_defaults),
};
DT_TEST_MAIN("launch/commands/session_open", tests)
