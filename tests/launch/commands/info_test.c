/* What dtrain info reports about this machine, against what the test reads itself. */
#include "core/base/cpus.h"
#include "core/base/units.h"
#include "launch/hardware/machine.h"
#include "tests/launch/commands/commands_kit.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void clear_launchers(void)
{
    static const char *const names[] = {
        "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMI_SIZE",    "PMI_RANK",
        "MPI_LOCALNRANKS",      "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

/* The value beside a name in the first column, without what continues in later lines. */
static const char *value_of(const commands_kit_result *r, const char *name)
{
    static char value[128];
    char begin[64];
    snprintf(begin, sizeof begin, "\n%s ", name);
    const char *row = r->out ? strstr(r->out, begin) : NULL, *bar = row ? strchr(row, '|') : NULL;
    snprintf(value, sizeof value, "%.*s", bar ? (int)strcspn(bar + 2, "\n") : 0, bar ? bar + 2 : "");
    return value;
}

static void processors_and_memory_are_those_of_the_machine(void)
{
    char expected[128];
    dt_machine m;
    dt_cpus cpus;
    clear_launchers();
    dt_machine_read(&m);
    (void)dt_cpus_read(0, &cpus);
    commands_kit_result r = commands_kit_run(dt_command_info, "info", NULL);
    DT_CHECK_INT(r.code, 0);
    DT_CHECK_STR(value_of(&r, "host"), m.host);
    snprintf(expected, sizeof expected, "%d of %lld may be used: ", dt_cpus_count(&cpus),
             (long long)m.n_cpus_online);
    DT_CHECK_CONTAINS(value_of(&r, "CPUs"), expected);
    snprintf(expected, sizeof expected, "%.1f GiB, ", DT_TO_GIB(m.memory_bytes));
    DT_CHECK_CONTAINS(value_of(&r, "memory"), expected);
    DT_CHECK(strncmp(value_of(&r, "memory"), expected, strlen(expected)) ==
             0); /* first all of it, then what is free */
    DT_CHECK_CONTAINS(value_of(&r, "started by"), "hand: one rank; ");
    commands_kit_clear(&r);
}

static void the_launcher_is_named_with_rank_and_size(void)
{
    clear_launchers();
    setenv("OMPI_COMM_WORLD_SIZE", "3", 1);
    setenv("OMPI_COMM_WORLD_RANK", "0", 1);
    commands_kit_result r = commands_kit_run(dt_command_info, "info", NULL);
    DT_CHECK_STR(value_of(&r, "started by"), "mpirun (Open MPI), rank 0 of 3");
    commands_kit_clear(&r);
    setenv("OMPI_COMM_WORLD_RANK", "2", 1);
    r = commands_kit_run(dt_command_info, "info", NULL);
    DT_CHECK_STR(value_of(&r, "started by"), "mpirun (Open MPI), rank 2 of 3");
    commands_kit_clear(&r);
    clear_launchers();
    setenv("SLURM_STEP_NUM_TASKS", "5", 1);
    setenv("SLURM_PROCID", "4", 1);
    r = commands_kit_run(dt_command_info, "info", NULL);
    DT_CHECK_STR(value_of(&r, "started by"), "srun, rank 4 of 5");
    commands_kit_clear(&r);
    clear_launchers();
}

static const dt_test tests[] = {
    DT_TEST(processors_and_memory_are_those_of_the_machine),
    DT_TEST(the_launcher_is_named_with_rank_and_size),
};
DT_TEST_MAIN("launch/commands/info", tests)
