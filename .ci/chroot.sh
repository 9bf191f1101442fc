# shellcheck shell=bash
# chroot.sh: a bare system in a temporary folder, for .ci/suite and .ci/container. A script that sources it has set $here, the checkout, and
# $suite, the release to install. Then $work is a temporary folder, and run_inside SCRIPT runs SCRIPT in namespaces of its own with chroot-inside.sh's
# functions. Where no such system can be made, the script ends here, skipped with the reason.

skip() {
    echo "skipped $suite: $*"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}

[ "$(id -u)" = 0 ] || skip "only root can make a system in a folder"
command -v apt-get >/dev/null || skip "there is no apt-get, whose settings name the sources of packages"
command -v debootstrap >/dev/null || skip "there is no debootstrap: autotools/install-packages ci"
unshare --mount --pid --fork --kill-child true 2>/dev/null || skip "this machine does not allow new namespaces"

work=$(mktemp -d "${TMPDIR:-/tmp}/dtrain-suite-XXXXXX")
inside=
clean_up() {
    trap '' INT TERM HUP
    if [ -n "$inside" ]; then
        kill -KILL "$inside" 2>/dev/null || true
        wait "$inside" 2>/dev/null || true
    fi
    # The last processes may still be ending.
    for _ in {1..50}; do
        rm -rf --one-file-system "$work" 2>/dev/null && break
        sleep 0.2
    done
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Where this machine installs from: lines `URI RELEASE COMPONENT`.
places() { apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u; }

# is_there URI RELEASE: the release exists there, and has the origin of this system, not of a third party that adds packages.
is_there() {
    timeout 120 /usr/lib/apt/apt-helper download-file "${1%/}/dists/$2/InRelease" "$work/InRelease" >"$work/there.log" 2>&1 &&
        grep -qix "Origin: $distribution" "$work/InRelease"
}

# Sets $mirror and debootstrap's $script, and writes sources.list: the sources of this machine's own release, with the suite's name in its place.
find_suite() {
    local own uri release components why="apt-get names no source for this machine's own release"
    # This machine may not have fetched its lists of packages yet.
    [ -n "$(places)" ] || timeout 300 apt-get update -qq || true
    own=$(. /etc/os-release && echo "${VERSION_CODENAME:-none}")
    distribution=$(. /etc/os-release && echo "$ID")
    mirror=
    : >"$work/sources.list"
    while read -r uri release components; do
        release=$suite${release#"$own"}
        if is_there "$uri" "$release"; then
            echo "deb $uri $release $components" >>"$work/sources.list"
            [ "$release" != "$suite" ] || mirror=$uri
        elif [ "$release" = "$suite" ]; then
            why="it is not where this machine's packages come from: $(grep -v '^[A-Z]:' "$work/there.log" | tail -n 1 | tr -s ' ')"
        fi
    done < <(places | awk -v own="$own" '$2 == own || index($2, own "-") == 1 { names[$1 " " $2] = names[$1 " " $2] " " $3 }
        END { for (place in names) print place names[place] }')
    [ -n "$mirror" ] || skip "$why"
    # For a release that is newer than this debootstrap, take the script of this machine's own.
    script=/usr/share/debootstrap/scripts/$suite
    [ -e "$script" ] || script=${script%/*}/$own
}

# All work is done in namespaces that end with this process, so nothing stays mounted or running, however it ends.
run_inside() {
    local code=0
    find_suite
    # This machine's network settings of apt, for the new system; and for debootstrap, which reads the environment.
    apt-config dump | grep -E '^Acquire::(https?::|Retries|Check-Valid-Until|Check-Date|Languages)' >"$work/apt.conf" || true
    eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
    for name in http_proxy https_proxy; do
        [ "${!name:-DIRECT}" = DIRECT ] || export "${name?}"
    done
    # --pdeathsig ends it also after kill -9 of this shell. A background job ignores Ctrl-C, and so would the tests of Ctrl-C in it: restore the default.
    export suite here work mirror script
    env --default-signal=INT,QUIT setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child "$1" &
    inside=$!
    wait "$inside" || code=$?
    inside=
    exit "$code"
}
