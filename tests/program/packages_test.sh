#!/bin/bash
# autotools/install-packages with a fake package manager; the file `installed` lists its packages.
. "$(dirname "$0")/../lib.sh"

install=$TOP_SRCDIR/autotools/install-packages
unset DTRAIN_NO_INSTALL # a user's, who forbids it for the real machine

# pretend COMMAND: puts a COMMAND on the PATH whose body is standard input.
pretend()
{
    mkdir -p bin
    { echo '#!/bin/bash'; cat; } >"bin/$1"
    chmod +x "bin/$1"
}

# A machine with only these tools and the package manager.
bare_machine()
{
    local tool
    mkdir -p bin
    for tool in awk bash cat dirname env grep sed touch; do ln -sf "$(command -v $tool)" bin/$tool; done
    echo 0 >uid
    pretend id <<<'cat uid'
    : >installed
    : >log
}

debian()
{
    bare_machine
    pretend dpkg-query <<<'sed "s/^/ii  /" installed'
    pretend apt-get <<'EOF'
echo "apt-get $*" >>log
[ "$1" = update ] || [ -e fresh ] || { echo "E: Unable to locate package" >&2; exit 100; }
[ "$1" != update ] || [ -e refuse ] || touch fresh
EOF
}

begin "missing_packages_are_named_and_installed"
debian
expect_exit 0 env PATH="$PWD/bin" "$install" build
expect_output 'installing .*libopenmpi-dev'
expect_no_output 'python3-torch'
expect grep -q '^apt-get install -y .* libhdf5-dev' log
expect_no_output 'E: Unable to locate'

begin "nothing_happens_if_no_package_is_missing"
debian
awk '!/^#/ && ($3 == "build" || $3 == "option") { print $1 }' "$TOP_SRCDIR/autotools/packages.txt" >installed
expect_exit 0 env PATH="$PWD/bin" "$install" build
expect_no_output .
expect test ! -s log

begin "DTRAIN_NO_INSTALL_forbids_installing_and_prints_the_command"
debian
expect_exit 1 env PATH="$PWD/bin" DTRAIN_NO_INSTALL=1 "$install" build
expect_output 'DTRAIN_NO_INSTALL=1 forbids'
expect_output ' apt-get install .* libhdf5-dev'
expect test ! -s log

begin "without_root_and_sudo_the_command_is_printed"
debian
echo 1000 >uid
expect_exit 1 env PATH="$PWD/bin" "$install" build
expect_output 'only root may install'
expect_output 'sudo apt-get install .* libhdf5-dev'
expect_no_output 'DTRAIN_NO_INSTALL'
expect test ! -s log

begin "a_package_that_cannot_be_installed_prints_the_command"
debian
touch refuse
expect_exit 1 env PATH="$PWD/bin" "$install" build
expect_output 'E: Unable to locate package'
expect_output 'installing failed'
expect_output ' apt-get install .* libhdf5-dev'

begin "fedora_and_amazon_linux_use_dnf"
bare_machine
pretend rpm <<<'exit 1'
pretend dnf <<<'echo "dnf $*" >>log'
expect_exit 0 env PATH="$PWD/bin" "$install" build test
expect grep -q '^dnf install -y .*openmpi-devel.* libasan' log

# amazon_linux PACKAGE...: a dnf that has all packages but these.
amazon_linux()
{
    bare_machine
    printf '%s\n' "$@" >unknown
    pretend rpm <<<'exit 1'
    pretend dnf <<'EOF'
echo "dnf $*" >>log
code=0
for name; do ! grep -qx -e "$name" unknown || { echo "No match for argument: $name" >&2; code=1; }; done
exit $code
EOF
}

begin "packages_that_no_repository_has_are_named_and_the_others_are_installed"
amazon_linux hdf5-devel onednn-devel CUnit-devel
expect_exit 1 env PATH="$PWD/bin" "$install" build
expect_output 'no repository of this machine has hdf5-devel \(checkpoints\)$'
expect_output 'no repository of this machine has onednn-devel \(convolutions on the CPU\)$'
expect_output 'no repository of this machine has CUnit-devel \(unit tests\): dtrain is built without'
expect_output 'autotools/README.md says where to get them'
expect_output 'spal-release'
expect_no_output 'no repository .* openmpi-devel'
expect grep -q '^dnf install -y -q .*openmpi-devel .*xxhash-devel' log
expect test "$(grep '^dnf install' log | tail -n 1 | grep -c 'hdf5\|onednn\|CUnit')" = 0

begin "options_of_the_build_may_be_missing"
amazon_linux CUnit-devel
pretend rpm <<<'[ "$3" != CUnit-devel ]'
expect_exit 0 env PATH="$PWD/bin" "$install" build
expect_output 'no repository of this machine has CUnit-devel'
amazon_linux CUnit-devel libcurl-devel
expect_exit 0 env PATH="$PWD/bin" "$install" build
expect_output 'no repository of this machine has libcurl-devel \(notices of spot instances\): dtrain is built without'
expect_no_output 'autotools/README.md'
debian
awk '!/^#/ && $3 == "build" { print $1 }' "$TOP_SRCDIR/autotools/packages.txt" >installed
expect_exit 0 env PATH="$PWD/bin" DTRAIN_NO_INSTALL=1 "$install" build
expect_output 'dtrain is built without: libcurl4-openssl-dev libexpat1-dev libhwloc-dev libcunit1-dev$'
expect test ! -s log

begin "a_use_without_packages_here_installs_nothing"
bare_machine
pretend rpm <<<'exit 1'
pretend dnf <<<'echo "dnf $*" >>log'
expect_exit 0 env PATH="$PWD/bin" "$install" aarch64
expect_no_output .
expect test ! -s log

begin "the_cross_compiler_is_a_use_of_its_own"
debian
expect_exit 0 env PATH="$PWD/bin" "$install" aarch64
expect grep -q '^apt-get install -y .* gcc-aarch64-linux-gnu .*qemu-user-static' log
expect_exit 0 env PATH="$PWD/bin" "$install" build demo test bench
expect_no_output 'aarch64'

begin "an_unknown_use_is_refused"
debian
expect_exit 2 env PATH="$PWD/bin" "$install" everything
expect_output 'everything'

finish
