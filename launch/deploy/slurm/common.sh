# common.sh: for submit, job and check-nodes, which read it: messages, the program, and the two kinds of options.
# shellcheck shell=bash disable=SC2034,SC2154 # they use what is set here, and set `here`

# dtrain's bin folder, as in the source tree and as installed, if PATH has none.
command -v dtrain-run >/dev/null || PATH=$PATH:$here/..:${here%/*/*/*}/bin

n_errors=0
say() { echo "dtrain: $*" >&2; }
warn() { say "warning: $*"; }
error() {
    say "error: $*"
    n_errors=$((n_errors + 1))
}

# split_options [the job's and dtrain-run's options --] [dtrain's options]: sets
#   checks, scratch   of the job: --no-checks, --scratch DIR:GB
#   run_options       dtrain-run's; of them `ranks` (--ranks or --per-host), `max_restarts`, and `program` as dtrain-run chooses it
#   options           dtrain's
split_options() {
    local run
    checks=yes scratch='' run_options=() ranks='' program='' max_restarts=3
    while [ $# -gt 0 ]; do
        case $1 in
        --) shift; break ;;
        --no-checks) checks=no; shift; continue ;;
        --scratch=*) scratch=${1#*=}; shift; continue ;;
        --once | --ranks=* | --per-host=* | --hostfile=* | --rsh=* | --mpirun=* | --program=* | --max-restarts=* | --pause=* | --grace=*) ;;
        --scratch | --ranks | --per-host | --hostfile | --rsh | --mpirun | --program | --max-restarts | --pause | --grace)
            set -- "$1=${2:-}" "${@:3}" # as one word
            continue
            ;;
        *) break ;;
        esac
        case $1 in
        --ranks=* | --per-host=*) ranks=${1#*=} ;;
        --program=*) program=${1#*=} ;;
        --max-restarts=*) max_restarts=${1#*=} ;;
        esac
        run_options+=("$1")
        shift
    done
    options=("$@")
    [ -z "$program" ] || return 0
    run=$(command -v dtrain-run)
    program=${run%/*}/dtrain
    [ -x "$program" ] || program=dtrain
}

# option NAME: the last value of dtrain's option, --NAME VALUE or --NAME=VALUE.
option() {
    local name=$1 value='' word next=''
    for word in "${options[@]}"; do
        [ -z "$next" ] || value=$word
        next=''
        case $word in
        "--$name") next=1 ;;
        "--$name="*) value=${word#*=} ;;
        esac
    done
    printf '%s\n' "$value"
}
