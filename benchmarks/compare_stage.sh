#!/usr/bin/env bash
# compare_stage.sh: `dtrain stage` beside `aws s3 sync`, from the same server on this machine.
#
#   benchmarks/compare_stage.sh [--pairs N] [--small N] [--small-kb KB] [--large N] [--large-mb MB] [--tls 0|1]
#
# Two buckets: --small objects of --small-kb (default 10000 of 110 kB) and --large of --large-mb (default 40 of 256 MB). Both programs fetch each of
# them into an empty folder, alternately, --pairs times (default 3). The server is nginx, whose files are those of peers/s3_files.py: answers of
# moto, in Python, take longer than either program. Everything is in a temporary folder: TMPDIR names the disk, which needs the objects twice.
# What `curl` takes to fetch the same to /dev/null says how fast the server is. README.md in this folder defines every column.
# Environment: DTRAIN, NGINX_PROGRAM and AWS, the paths of the programs. nginx is not among the packages of `make bench`, since Debian's package starts a server:
# `apt-get download nginx && dpkg -x nginx_*.deb DIR` and NGINX_PROGRAM=DIR/usr/sbin/nginx do. AWS: `make check-cloud` installs one in build/build-cloud/venv.

set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$0")/compare.sh"

pairs=3 small=10000 small_kb=110 large=40 large_mb=256 tls=0
parse_options '--pairs>=1 --small>=0 --small-kb>=1 --large>=0 --large-mb>=1 --tls>=0' "$@"

dtrain=${DTRAIN:-$here/../build/dtrain}
[[ -x $dtrain ]] || fail "no program dtrain: \`make\` builds it; DTRAIN=PATH names it"
nginx=${NGINX_PROGRAM:-$(command -v nginx || true)}
[[ -x $nginx ]] || fail "there is no nginx: NGINX_PROGRAM=PATH names it; --help says where to get one"
aws=${AWS:-$here/../build/build-cloud/venv/bin/aws}
[[ -x $aws ]] || aws=$(command -v aws || true)
[[ -x $aws ]] || fail "there is no program aws: \`make check-cloud\` installs one; AWS=PATH names it"

server=
stop_server() {
    [[ -z $server ]] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    server=
}
trap 'stop_server; rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

free_port() {
    "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_server() {
    local certificate=()
    port=$(free_port)
    scheme=http
    if ((tls)); then
        scheme=https
        openssl req -x509 -newkey rsa:2048 -nodes -keyout "$scratch/key.pem" -out "$scratch/cert.pem" -days 2 -subj /CN=127.0.0.1 \
            -addext subjectAltName=IP:127.0.0.1 2>"$scratch/openssl" || fail "openssl: $(tail -n 1 "$scratch/openssl")"
        certificate=("$scratch/cert.pem" "$scratch/key.pem")
        export AWS_CA_BUNDLE=$scratch/cert.pem
    fi
    "$python" "$here/peers/s3_files.py" "$scratch/s3" "$port" "$small" $((small_kb * 1000)) "$large" $((large_mb * 1000000)) "${certificate[@]}"
    "$nginx" -p "$scratch/s3" -c "$scratch/s3/nginx.conf" -e "$scratch/s3/error.log" &
    server=$!
    for _ in {1..100}; do
        curl -sfk -o "$scratch/first" "$scheme://127.0.0.1:$port/small?list-type=2" && return
        kill -0 "$server" 2>/dev/null || fail "nginx has ended: $(tail -n 3 "$scratch/s3/error.log")"
        sleep 0.1
    done
    fail "nginx does not answer: $(tail -n 3 "$scratch/s3/error.log")"
}

# Processor seconds of nginx so far.
server_cpu() {
    local pid ticks=0
    for pid in "$server" $(cat "/proc/$server/task/$server/children" 2>/dev/null); do
        ticks=$((ticks + $(awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$pid/stat")))
    done
    awk -v ticks="$ticks" -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.2f", ticks / hz }'
}

# measure COMMAND...: sets wall, cpu and of_server, in seconds, and synced, those of a sync afterwards.
measure() {
    local times before after TIMEFORMAT='%R %U %S'
    sync
    before=$(server_cpu)
    times=$({ time "$@" >"$scratch/log" 2>&1; } 2>&1) || fail "exit code $? from $*: $(tail -n 3 "$scratch/log")"
    after=$(server_cpu)
    read -r wall user system <<<"$times"
    cpu=$(awk "BEGIN { printf \"%.2f\", $user + $system }")
    of_server=$(awk "BEGIN { printf \"%.2f\", $after - $before }")
    TIMEFORMAT=%R
    synced=$({ time sync; } 2>&1)
}

by_dtrain() {
    measure "${client[@]}" "$dtrain" stage "s3://$1" "$scratch/got"
}

by_aws() {
    measure "${client[@]}" "$aws" s3 sync --only-show-errors "s3://$1" "$scratch/got"
}

# 16 connections, and nothing is written.
by_curl() {
    find "$scratch/s3/objects/$1" -type f -printf '%f\n' | sort |
        sed "s|.*|url = \"$scheme://127.0.0.1:$port/$1/&\"\noutput = /dev/null|" >"$scratch/urls"
    measure curl -sfkZ --parallel-max 16 -K "$scratch/urls"
}

complete() {
    local n
    n=$(find "$scratch/got" -type f -size "${2}c" | wc -l)
    [[ $n -ge $3 ]] || fail "$1 fetched $n of $3 objects"
    rm -rf "$scratch/got"
}

sum() {
    awk -v a="$1" -v b="$2" 'BEGIN { print a + b }'
}

row() {
    printf '| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n' "$@"
}

# compare BUCKET N BYTES SIZE: SIZE are the bytes in words.
compare() {
    local pair i ours theirs ratios
    (($2 > 0)) || return 0
    print_head "$2 objects of $4"
    rm -f "$scratch"/ratios?
    for ((pair = 1; pair <= pairs; pair++)); do
        by_dtrain "$1"
        complete dtrain "$3" "$2"
        ours=("$wall" "$synced" "$cpu" "$of_server")
        by_aws "$1"
        complete aws "$3" "$2"
        theirs=("$wall" "$synced" "$cpu" "$of_server")
        by_curl "$1"
        ratios=("$(quotient "${theirs[0]}" "${ours[0]}")" "$(quotient "$(sum "${theirs[@]:0:2}")" "$(sum "${ours[@]:0:2}")")"
            "$(quotient "${theirs[2]}" "${ours[2]}")")
        for i in 0 1 2; do echo "${ratios[i]}" >>"$scratch/ratios$i"; done
        row "$pair" "${ours[@]:0:3}" "${theirs[@]:0:3}" "${ratios[@]}" "${ours[3]}; ${theirs[3]}" "$wall"
    done
    row median "" "" "" "" "" "" "$(median %.2f <"$scratch/ratios0")" "$(median %.2f <"$scratch/ratios1")" "$(median %.2f <"$scratch/ratios2")" "" ""
}

print_head() {
    printf '\n%s\n\n' "$1"
    row pair dtrain_s sync_s cpu_s aws_s sync_s cpu_s ratio disk cpu server_s curl_s
    row --- ---: ---: ---: ---: ---: ---: ---: ---: ---: ---: ---:
}

start_server
client=(env -u AWS_PROFILE -u AWS_CONFIG_FILE -u AWS_SHARED_CREDENTIALS_FILE HOME="$scratch" AWS_ENDPOINT_URL="$scheme://127.0.0.1:$port" AWS_ACCESS_KEY_ID=AKIAANY AWS_SECRET_ACCESS_KEY=any AWS_REGION=us-east-1
    AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true)
print_machine
echo "dtrain stage beside $("$aws" --version 2>&1 | cut -d' ' -f1-2), from $("$nginx" -v 2>&1 | sed 's/.*: //') by $scheme"
compare small "$small" $((small_kb * 1000)) "$small_kb kB"
compare large "$large" $((large_mb * 1000000)) "$large_mb MB"
