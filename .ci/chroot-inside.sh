# shellcheck shell=bash
# chroot-inside.sh: for scripts that run_inside of chroot.sh has started: $suite, $mirror, $script (of debootstrap), $here (the checkout) and $work
# (the folder) are set, and the namespaces end with the script.
export DEBIAN_FRONTEND=noninteractive

. "$here/.ci/lib.sh"
cache=${DTRAIN_SUITE_CACHE:-}

# bare_system ROOT: installs the suite there.
bare_system() {
    # README's first lines expect `make`; an https mirror needs ca-certificates.
    local root=$1 include=make tarball
    [[ $mirror != https:* ]] || include+=,ca-certificates
    local command=(debootstrap --variant=minbase "--include=$include")
    if [ -n "$cache" ]; then
        tarball=$cache/$suite-$(dpkg --print-architecture).tar
        mkdir -p "$cache/archives"
        [ -s "$tarball" ] ||
            step "$suite: its packages" 300 "${command[@]}" "--make-tarball=$tarball" "$suite" "$work/packages" "$mirror" "$script" || return 1
        command+=("--unpack-tarball=$tarball")
    fi
    step "$suite: a bare system" 300 "${command[@]}" "$suite" "$root" "$mirror" "$script" || return 1
    cp "$work/sources.list" "$root/etc/apt/sources.list" &&
        cp "$work/apt.conf" "$root/etc/apt/apt.conf.d/10machine" &&
        cp -L /etc/resolv.conf /etc/hosts "$root/etc/" || return 1
    # The folder is temporary: dpkg need not sync to the disk.
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/temporary"
}

end() {
    title "$suite: done"
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit
}
