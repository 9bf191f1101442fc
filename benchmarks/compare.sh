# shellcheck shell=bash
# compare.sh: what compare_step.sh and compare_loader.sh share; it is sourced by them.
#
# The two programs run alternately, A B A B, so that a machine that gets slower or busier meets both.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-/usr/bin/python3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

usage_error() {
    echo "${0##*/}: $*; see ${0##*/} --help" >&2
    exit 2
}

# The text of the script's own head comment.
print_help() {
    sed -n '2,/^$/{s/^# \{0,1\}//;p}' "$0"
    exit 0
}

# whole_number NAME VALUE LEAST
whole_number() {
    if [[ ! $2 =~ ^[0-9]+$ ]] || ((10#$2 < $3)); then
        usage_error "$1 $2: a whole number of at least $3 is wanted"
    fi
}

# The benchmark program of ours: $2 if given (an environment variable's value), else from the build folder.
our_program() {
    local name=$1 given=$2 candidate
    for candidate in "$given" "./benchmarks/$name" "$here/../build/benchmarks/$name"; do
        if [[ -n $candidate && -x $candidate ]]; then
            echo "$candidate"
            return
        fi
    done
    fail "no program $name: \`make bench\` builds it; ${name^^}=PATH names it"
}

peer_is_there() {
    "$python" -c 'import torch, torchvision' 2>"$scratch/import" ||
        fail "$python has no PyTorch ($(tail -n 1 "$scratch/import")); on Debian: apt-get install python3-torch python3-torchvision"
}

# run FILE COMMAND...: its standard output into FILE
run() {
    local out=$1
    shift
    "$@" >"$out" || fail "exit code $? from: $*"
}

# field KEY FILE: a value of the one flat JSON object in FILE
field() {
    local value
    value=$(sed -n "s/.*\"$1\": *\"\{0,1\}\([^,\"}]*\).*/\1/p" "$2")
    [[ -n $value ]] || fail "no \"$1\" in: $(head -c 300 "$2")"
    echo "$value"
}

# quotient A B: A / B with three decimals
quotient() {
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", (b > 0 ? a / b : 0) }'
}

mib() {
    awk -v bytes="$1" 'BEGIN { printf "%.0f", bytes / 1048576 }'
}

# The median of the numbers on standard input, one a line.
median() {
    sort -g | awk '{ v[NR] = $1 } END { printf "%.3f", (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2) }'
}

print_machine() {
    echo "machine: $(sed -n 's/^model name[[:space:]]*: //p;T;q' /proc/cpuinfo), $(nproc) cores, load average $(cut -d' ' -f1 /proc/loadavg)"
}
