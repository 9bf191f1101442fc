# shellcheck shell=bash
# compare.sh: what the compare_*.sh share: their options, running a program, ratios and medians; they source it.
#
# They run two programs alternately, A B A B, so that a machine that gets slower or busier slows both down.

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

# parse_options SPEC ARGUMENT...: sets the variables of the options that are among the arguments, $image_size for --image-size; the caller has
# set the defaults. SPEC has a word for each option, --arch for a text, --pairs>=1 for a whole number; and DATA/train for an argument, a folder
# that has a subfolder train, in $data.
parse_options() {
    local spec=" $1 " option_name least_value subfolder # no names that an option could have
    shift
    while (($#)); do
        [[ $1 != --help ]] || print_help
        if [[ $1 != -* && -z ${data:-} && $spec == *" DATA/"* ]]; then
            data=$1
            shift
            continue
        fi
        [[ $1 =~ ^--[a-z-]+$ && $spec =~ " $1"(">="([0-9]+))?" " ]] || usage_error "$1 is no option"
        least_value=${BASH_REMATCH[2]:-}
        option_name=${1#--}
        (($# >= 2)) || usage_error "$1: its value is missing"
        if [[ -n $least_value ]] && { [[ ! $2 =~ ^[0-9]+$ ]] || ((10#$2 < least_value)); }; then
            usage_error "$1 $2: a whole number of at least $least_value is wanted"
        fi
        printf -v "${option_name//-/_}" %s "$2"
        shift 2
    done
    [[ $spec != *" DATA/"* || -n ${data:-} ]] || usage_error "a data folder is wanted"
    for subfolder in $spec; do
        [[ $subfolder != DATA/* || -d $data/${subfolder#DATA/} ]] || usage_error "$data/${subfolder#DATA/}: no such folder"
    done
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

# median FORMAT: of the numbers on standard input, one a line.
median() {
    sort -g | awk -v format="$1" '{ v[NR] = $1 } END { printf format, (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2) }'
}

print_machine() {
    echo "machine: $(sed -n 's/^model name[[:space:]]*: //p;T;q' /proc/cpuinfo), $(nproc) cores, load average $(cut -d' ' -f1 /proc/loadavg)"
}
