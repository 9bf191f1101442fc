/* Whether the user asked for a binding: with Open MPI 5 from the command line and environment of mpirun, with
 * Open MPI 4 from this process's environment. */
#include "launch/hardware/binding.h"

#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

/* sizeof includes the last zero byte */
#define OF(command, environment)                                                                             \
    dt_binding_of_mpirun(command, sizeof(command), environment, sizeof(environment))

static void a_command_without_binding_options_is_the_default(void)
{
    DT_CHECK_INT(OF("prterun\0-np\0002\0dtrain", "HOME=/root"), DT_BINDING_DEFAULT);
    DT_CHECK_INT(OF("/usr/bin/mpirun\0--oversubscribe\0-np\0002\0dtrain", ""), DT_BINDING_DEFAULT);
    DT_CHECK_INT(OF("prterun\0--map-by=:oversubscribe\0-np\0002\0dtrain", ""), DT_BINDING_DEFAULT);
    DT_CHECK_INT(OF("prterun\0--map-by\0:OVERSUBSCRIBE\0-np\0002\0dtrain", "OMPI_MCA_btl=tcp,self"),
                 DT_BINDING_DEFAULT);
    DT_CHECK_INT(OF("prterun\0--map-by\0:nooversubscribe\0dtrain", ""), DT_BINDING_DEFAULT);
    DT_CHECK_INT(OF("prterun\0-np\0002\0dtrain", "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe"),
                 DT_BINDING_DEFAULT);
    DT_CHECK_INT(
        OF("prterun\0--report-bindings\0--rank-by\0slot\0dtrain", "MY_MCA_hwloc_default_binding_policy=core"),
        DT_BINDING_DEFAULT);
}

static void binding_options_of_the_command_are_kept(void)
{
    DT_CHECK_INT(OF("prterun\0-np\0002\0--bind-to\0core\0dtrain", ""), DT_BINDING_ASKED_FOR);
    DT_CHECK_INT(OF("mpirun\0-bind-to\0none\0dtrain", ""), DT_BINDING_ASKED_FOR);
    DT_CHECK_INT(OF("prterun\0--bind-to=core\0dtrain", ""), DT_BINDING_ASKED_FOR);
    DT_CHECK_INT(OF("prterun\0--map-by=:oversubscribe\0--cpu-set=0\0dtrain", ""), DT_BINDING_ASKED_FOR);
    DT_CHECK_INT(OF("mpirun\0--bind-to-core\0dtrain", ""), DT_BINDING_ASKED_FOR);
    DT_CHECK_INT(OF("mpirun\0--map-by\0slot:PE=4\0dtrain", ""), DT_BINDING_ASKED_FOR);
    DT_CHECK_INT(OF("mpirun\0--cpu-set\0000-3\0dtrain", ""), DT_BINDING_ASKED_FOR);
    DT_CHECK_INT(OF("mpirun\0--prtemca\0hwloc_default_binding_policy\0core\0dtrain", ""),
                 DT_BINDING_ASKED_FOR);
}

static void binding_parameters_in_the_environment_are_kept(void)
{
    DT_CHECK_INT(OF("prterun\0dtrain", "A=b\0PRTE_MCA_hwloc_default_binding_policy=core\0C=d"),
                 DT_BINDING_ASKED_FOR);
    DT_CHECK_INT(OF("prterun\0dtrain", "OMPI_MCA_rmaps_base_mapping_policy=numa"), DT_BINDING_ASKED_FOR);
}

static void a_daemon_or_a_shell_as_parent_is_unknown(void)
{
    DT_CHECK_INT(OF("prted\0--prtemca\0ess\0env", ""), DT_BINDING_UNKNOWN);
    DT_CHECK_INT(OF("sh\0-c\0mpirun --bind-to core dtrain", ""), DT_BINDING_UNKNOWN);
    DT_CHECK_INT(dt_binding_of_mpirun("", 0, "", 0), DT_BINDING_UNKNOWN);
}

static void open_mpi_4_is_read_from_the_environment(void)
{
    unsetenv("PRTE_LAUNCHED");
    unsetenv("OMPI_MCA_hwloc_base_binding_policy");
    DT_CHECK_INT(dt_binding_read(), DT_BINDING_ASKED_FOR); /* no launcher has bound this process */
    setenv("OMPI_MCA_orte_bound_at_launch", "0", 1);
    DT_CHECK_INT(dt_binding_read(), DT_BINDING_ASKED_FOR);
    setenv("OMPI_MCA_orte_bound_at_launch", "1", 1);
    DT_CHECK_INT(dt_binding_read(), DT_BINDING_DEFAULT);
    setenv("OMPI_MCA_hwloc_base_binding_policy", "core", 1);
    DT_CHECK_INT(dt_binding_read(), DT_BINDING_ASKED_FOR);
    unsetenv("OMPI_MCA_hwloc_base_binding_policy");
    setenv("PRTE_LAUNCHED", "1", 1); /* Open MPI 5, and the parent is no mpirun */
    DT_CHECK_INT(dt_binding_read(), DT_BINDING_UNKNOWN);
    unsetenv("PRTE_LAUNCHED");
    unsetenv("OMPI_MCA_orte_bound_at_launch");
}

static const dt_test tests[] = {
    DT_TEST(a_command_without_binding_options_is_the_default),
    DT_TEST(binding_options_of_the_command_are_kept),
    DT_TEST(binding_parameters_in_the_environment_are_kept),
    DT_TEST(a_daemon_or_a_shell_as_parent_is_unknown),
    DT_TEST(open_mpi_4_is_read_from_the_environment),
};

DT_TEST_MAIN("launch/binding", tests)
