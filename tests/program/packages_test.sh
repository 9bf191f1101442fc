#!/bin/bash
# autotools/install-packages, with a package manager that only pretends. $INSTALLED lists what it has.
. "$(dirname "$0")/../lib.sh"

install=$TOP_SRCDIR/autotools/install-packages

# pretend COMMAND: puts a COMMAND on the PATH whose body is standard input.
pretend()
{
    mkdir -p bin
    { echo '#!/bin/bash'; cat; } >"bin/$1"
    chmod +x "bin/$1"
}

# A machine with nothing but these tools and the package manager.
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

begin "what_is_missing_is_said_and_installed"
debian
expect_exit 0 env PATH="$PWD/bin" "$install" build
expect_output 'installing .*libopenmpi-dev'
expect_no_output 'python3-torch'
expect grep -q '^apt-get install -y .* libhdf5-dev' log
expect_no_output 'E: Unable to locate'

begin "nothing_happens_when_all_is_there"
debian
awk '!/^#/ && $3 == "build" { print $1 }' "$TOP_SRCDIR/autotools/packages.txt" >installed
expect_exit 0 env PATH="$PWD/bin" "$install" build
expect_no_output .
expect test ! -s log

begin "DTRAIN_NO_INSTALL_forbids_and_tells_the_command"
debian
expect_exit 1 env PATH="$PWD/bin" DTRAIN_NO_INSTALL=1 "$install" build
expect_output 'DTRAIN_NO_INSTALL=1 forbids'
expect_output ' apt-get install .* libhdf5-dev'
expect test ! -s log

begin "without_root_and_sudo_the_command_is_told"
debian
echo 1000 >uid
expect_exit 1 env PATH="$PWD/bin" "$install" build
expect_output 'only root may install'
expect_output 'sudo apt-get install .* libhdf5-dev'
expect_no_output 'DTRAIN_NO_INSTALL'
expect test ! -s log

begin "a_package_that_cannot_be_had_ends_with_the_command"
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

begin "an_unknown_use_is_refused"
debian
expect_exit 2 env PATH="$PWD/bin" "$install" everything
expect_output 'everything'

finish
