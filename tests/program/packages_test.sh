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
    for tool in awk bash cat dirname env grep sed; do ln -sf "$(command -v $tool)" bin/$tool; done
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
[ "$1" != install ] || { [ ! -e refuse ] || exit 100; }
EOF
}

begin "what_is_missing_is_said_and_installed"
debian
expect_exit 0 env PATH="$PWD/bin" "$install" build
expect_output 'installing .*libopenmpi-dev'
expect_no_output 'python3-torch'
expect grep -q '^apt-get install .* libhdf5-dev' log

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

begin "an_old_package_list_is_fetched_before_the_second_try"
debian
touch refuse
expect_exit 1 env PATH="$PWD/bin" "$install" build
expect_output 'installing failed'
expect test "$(grep -c '^apt-get install' log)" = 2
expect grep -q '^apt-get update' log

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
