# mpi.sh: the launchers' dialects, for tests; nothing else in tests/ knows an option of mpirun. lib.sh reads it; programs and Python start tests/ranks.
#
#   $MPI_KIND           openmpi4 (and before), openmpi5, mpich (also Intel's: both have Hydra), from what $MPIRUN --version says
#   $KILLED_CODE        what the launcher returns when a rank is killed
#   start_ranks [OPTION...] N CMD...   replaces this shell by the launcher, with CMD as N ranks
#       --keep-others             the others go on when a rank is killed or fails
#       --hosts A:2,B:2 --agent SCRIPT --net 10.0.0.0/24     on hosts that SCRIPT HOST CMD... reaches in place of ssh
#       --pass NAME               an environment variable that ranks on other hosts get too
MPIRUN=${MPIRUN:-mpirun}
if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
# Ranks outnumber cores here: give the core away while waiting.
export OMPI_MCA_mpi_yield_when_idle=1

if [ "${MPI_KIND_OF:-}" != "$MPIRUN" ]; then # asked once
    case $("$MPIRUN" --version 2>&1) in
    *'Open MPI) '[1-4].*) MPI_KIND=openmpi4 ;;
    *'Open MPI'*) MPI_KIND=openmpi5 ;;
    *) MPI_KIND=mpich ;;
    esac
    export MPI_KIND MPI_KIND_OF=$MPIRUN
fi

case $MPI_KIND in
openmpi*) KILLED_CODE=137 ;;
mpich) KILLED_CODE=9 ;;
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

_options_of_openmpi4()
{
    local name
    command+=(--oversubscribe)
    [ -z "$keep" ] || command+=(--mca orte_abort_on_non_zero_status 0)
    [ -z "$hosts" ] || command+=(--mca plm_rsh_agent "$agent" --host "$hosts" --mca btl tcp,vader,self --mca btl_tcp_if_include "$net"
        --mca oob_tcp_if_include "$net")
    for name in "${pass[@]}"; do command+=(-x "$name"); done
}

_options_of_openmpi5()
{
    local name
    command+=(--oversubscribe)
    [ -z "$keep" ] || command+=(--runtime-options recoverable)
    [ -z "$hosts" ] || command+=(--prtemca plm_ssh_agent "$agent" --host "$hosts" --mca btl tcp,sm,self --mca btl_tcp_if_include "$net"
        --prtemca prte_if_include "$net")
    for name in "${pass[@]}"; do command+=(-x "$name"); done
}

# Every variable is passed.
_options_of_mpich()
{
    [ -z "$keep" ] || command+=(-disable-auto-cleanup)
    [ -z "$hosts" ] || command+=(-launcher ssh -launcher-exec "$agent" -hosts "$hosts")
}
