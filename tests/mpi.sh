# shellcheck shell=bash
# mpi.sh: the options and exit codes of each MPI's launcher. No other file in tests/ uses an option of mpirun: scripts call these functions by
# lib.sh, programs and Python scripts start tests/ranks.
#
#   $MPI_KIND           openmpi4 (and before), openmpi5, mpich (also Intel's: both have Hydra), from what $MPIRUN --version says
#   $KILLED_CODE        what the launcher returns when a rank is killed: one code, or several with | between them
#   $STOPPED_CODE       what it returns when it has passed on a signal, and all ranks have stopped with 75
#   $LOST_HOST_CODE     what it returns when a host is lost; empty: the code with which the ranks on the others end the job
#   $KILLED_HOST_CODE   the same, when the processes of a host are killed and its kernel closes their connections
#   start_ranks [OPTION...] N CMD...   replaces this shell by the launcher, with CMD as N ranks
#       --keep-others             the other ranks continue when one is killed; Open MPI 4 only
#       --hosts A:2,B:2 --agent SCRIPT --net 10.0.0.0/24     on hosts on which SCRIPT HOST CMD... runs CMD, in place of ssh; Open MPI only
#       --pass NAME               an environment variable that ranks on other hosts get too; Open MPI only
#   net_options NET     prints the options of mpirun that keep it and its ranks to the network NET, as words; Open MPI only
MPIRUN=${MPIRUN:-mpirun}
if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
# There may be more ranks than cores: a rank that waits yields its core.
export OMPI_MCA_mpi_yield_when_idle=1

if [ "${MPI_KIND_OF:-}" != "$MPIRUN" ]; then # once for all scripts
    case $("$MPIRUN" --version 2>&1) in # "mpirun (Open MPI) 4.1.4", by another name "(OpenRTE)", and an address
    *') '[1-4].*open-mpi.org*) MPI_KIND=openmpi4 ;;
    *open-mpi.org*) MPI_KIND=openmpi5 ;;
    *) MPI_KIND=mpich ;;
    esac
    export MPI_KIND MPI_KIND_OF=$MPIRUN
fi

STOPPED_CODE=75 LOST_HOST_CODE=
case $MPI_KIND in
openmpi4) KILLED_CODE=137 KILLED_HOST_CODE='9|205' ;;
openmpi5) KILLED_CODE='137|14' KILLED_HOST_CODE='0|213' LOST_HOST_CODE=1 ;; # 14: between hosts, where a rank aborts because its connection is closed
mpich)
    KILLED_CODE='9|6|15' # the signal, or that of a rank that ends because of it: UCX aborts ranks that copy from the killed rank's memory
    STOPPED_CODE='75|0' # Hydra of MPICH 4.0 loses the ranks' code in about every third case, that of 4.2 does not
    ;;
esac

start_ranks()
{
    local keep= hosts= agent= net= pass=() command=("$MPIRUN")
    while :; do
        case $1 in
        --keep-others) keep=1; shift ;;
        --hosts) hosts=$2; shift 2 ;;
        --agent) agent=$2; shift 2 ;;
        --net) net=$2; shift 2 ;;
        --pass) pass+=("$2"); shift 2 ;;
        *) break ;;
        esac
    done
    "_options_of_$MPI_KIND"
    exec "${command[@]}" -np "$@"
}

net_options()
{
    case $MPI_KIND in
    openmpi4) echo "--mca btl tcp,vader,self --mca btl_tcp_if_include $1 --mca oob_tcp_if_include $1" ;;
    openmpi5) echo "--mca btl tcp,sm,self --mca btl_tcp_if_include $1 --prtemca prte_if_include $1" ;;
    esac
}

_options_of_openmpi4()
{
    local name
    command+=(--oversubscribe)
    [ -z "$keep" ] || command+=(--mca orte_abort_on_non_zero_status 0)
    # shellcheck disable=SC2207 # words
    [ -z "$hosts" ] || command+=(--mca plm_rsh_agent "$agent" --host "$hosts" $(net_options "$net"))
    for name in "${pass[@]}"; do command+=(-x "$name"); done
}

# With --oversubscribe Open MPI 5 puts all ranks on the first host, so this omits it, and unsets GNUmakefile's variable, where hosts are named. Open MPI 5
# then binds each host's ranks to the first cores, which are the same for all hosts here: --bind-to none.
_options_of_openmpi5()
{
    local name
    if [ -z "$hosts" ]; then
        command+=(--oversubscribe)
    else
        unset PRTE_MCA_rmaps_default_mapping_policy
        # shellcheck disable=SC2207 # words
        command+=(--bind-to none --prtemca plm_ssh_agent "$agent" --host "$hosts" $(net_options "$net"))
    fi
    for name in "${pass[@]}"; do command+=(-x "$name"); done
}

# Hydra needs no option to run as root or to start more ranks than cores.
_options_of_mpich()
{
    [ -z "$keep$hosts" ] || { echo "tests/mpi.sh: --keep-others and --hosts do not work with MPICH" >&2; exit 2; }
}
