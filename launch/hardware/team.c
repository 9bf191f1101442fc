#include "config.h"

#include "launch/hardware/team.h"

#include "core/base/log.h"
#include "launch/hardware/settings.h"

#include <stdio.h>

dt_status dt_team_check(const dt_backend *backend, int64_t *n_threads, dt_error *err)
{
    const dt_cpu_team *team = &backend->team;
    char settings[512], because[600] = "";
    if (!backend->has_team)
        return DT_OK;
    dt_settings_of_threads(settings, sizeof settings);
    if (settings[0])
        snprintf(because, sizeof because, " (%s)", settings);
    if (team->least_stack_bytes < DT_CPU_LEAST_STACK_BYTES)
        return dt_fail(
            err, DT_ERR_USAGE,
            "OpenMP's threads have stacks of %lld KiB%s, and computing needs %lld; raise OMP_STACKSIZE or "
            "unset it",
            (long long)(team->least_stack_bytes >> 10), because, (long long)(DT_CPU_LEAST_STACK_BYTES >> 10));
    if (team->n_threads < *n_threads)
        dt_log_warn(
            "OpenMP provides %d of %lld compute threads%s: the results are the same, the speed is not",
            team->n_threads, (long long)*n_threads, because);
    else if (team->n_cpus < team->n_threads && settings[0])
        dt_log_warn("%d compute threads share %d processor%s%s: the results are the same, the speed is not",
                    team->n_threads, team->n_cpus, team->n_cpus == 1 ? "" : "s", because);
    *n_threads = team->n_threads;
    return DT_OK;
}
