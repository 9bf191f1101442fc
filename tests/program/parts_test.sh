#!/bin/bash
# A build without each optional part: what configure and dtrain info report, which tests remain, and that those pass. Only `make check-parts` and
# `make check-long` compile; otherwise only configure runs. One folder is configured again for each case, first without any part, so that objects that do
# not depend on a part are compiled only once.
. "$(dirname "$0")/../lib.sh"

TIME_LIMIT_S=$((600 * ${DTRAIN_TEST_SLOWER:-1}))
parts=$_base/parts
unset MAKEFLAGS MAKELEVEL # make itself starts this
mkdir "$parts"

# configure_parts OPTION...
configure_parts()
{
    need_clean_source || return
    want_build || set -- --disable-dependency-tracking "$@" # half the time
    cd "$parts" && expect_exit 0 "$TOP_SRCDIR/configure" --cache-file="$_base/config.cache" --enable-werror CFLAGS=-O1 "$@" || return
    printf 'list: ; @echo $(TESTS) $(BENCHMARKS)\ninclude Makefile\n' | make -s -f - list >"$_base/list"
    cp "$OUTPUT" "$_base/summary"
}

expect_summary()
{
    cp "$_base/summary" "$OUTPUT"
    expect_output "$1"
}

# Tests and benchmarks that are, or are not, in this build.
expect_listed() { expect grep -qF -e " $1 " <<<" $(tr '\n' ' ' <"$_base/list") "; }
expect_unlisted() { expect_no_match "$1" "$_base/list"; }
expect_no_match() { [ "$_state" = skipped ] || ! grep -qF -e "$1" "$2" || fail "$1 is part of this build"; }

want_build()
{
    [ "$_state" = passed ] && [ "${DTRAIN_TEST_PARTS:-0}${DTRAIN_TEST_LONG:-0}" != 00 ]
}

# build_and_run TEST...: everything compiles; these tests pass or are skipped. A test is SCRIPT or SCRIPT:CASE, or a unit test.
build_and_run()
{
    local test case
    want_build || return
    # The archives must not keep objects of a part that is gone.
    rm -f ./*.a tests/*.a
    # One after the other: `all` starts a make of its own.
    expect_exit 0 make -j2 all || return
    expect_exit 0 make -j2 check-programs bench || return
    for test in "$@" tests/program/commands_test.sh:info; do
        case=
        [[ $test != *:* ]] || case=${test#*:}
        test=${test%%:*}
        case $test in *.sh) set -- bash "$TOP_SRCDIR/$test" ;; *) set -- "./$test" ;; esac
        env TOP_BUILDDIR="$parts" DTRAIN="$parts/dtrain" timeout "$TIME_LIMIT_S" "$@" ${case:+"$case"} >"$OUTPUT" 2>&1 </dev/null
        case $? in 0 | 77) continue ;; esac
        fail "$test $case"
        tail -n 30 "$OUTPUT" | sed 's/^/    | /'
    done
}

begin "without_any_optional_part"
configure_parts --without-onednn --without-curl --without-expat --without-hwloc --without-cuda --without-nccl --without-cunit && {
    for library in oneDNN libcurl expat hwloc CUDA cuDNN NCCL CUnit; do expect_summary "^  $library +no +- +turned off with --without-"; done
    for part in '--backend cpu' '--backend cuda' '--spot imds' 'unit tests'; do expect_summary "^  no $part"; done
    expect_unlisted error_test
    expect_listed tests/program/no_cunit_test.sh
    build_and_run tests/program/no_cunit_test.sh "tests/program/errors_test.sh:without oneDNN" tests/comm/mpi_test.sh:abort
}

begin "without_onednn"
configure_parts --without-onednn --without-cuda && {
    for library in CUDA cuDNN NCCL nvcc; do expect_summary "^  $library +no +- +turned off with --without-cuda\$"; done
    expect_summary '^  autotools/README.md says '
    expect_summary '^  oneDNN +no +- +turned off with --without-onednn'
    expect_summary '^  no --backend cpu: '
    expect_unlisted tests/layers/cpu_
    expect_unlisted conv_bench
    expect_listed tests/layers/no_cpu_test
    build_and_run tests/layers/no_cpu_test tests/layers/ref_create_test \
        tests/launch/options/options_file_test tests/launch/options/options_test \
        "tests/program/errors_test.sh:without oneDNN" "tests/program/errors_test.sh:another optimizer"
}

begin "without_curl"
configure_parts --without-curl --without-cuda && {
    expect_summary '^  libcurl +no +- +turned off with --without-curl'
    expect_summary '^  no --spot imds, no plan --refresh-prices, no plan --check, no S3: '
    build_and_run tests/launch/cloud/http_test tests/launch/cloud/spot_notice_test tests/launch/cloud/aws_test tests/program/spot_test.sh:libcurl \
        "tests/program/plan_aws_test.sh:without libcurl" tests/launch/cloud/transfers_test tests/launch/cloud/s3_test "tests/program/s3_test.sh:without libcurl"
}

begin "without_expat"
configure_parts --without-expat --without-cuda && {
    expect_summary '^  expat +no +- +turned off with --without-expat'
    expect_summary '^  no plan --refresh-prices, no plan --check, no S3: '
    build_and_run tests/launch/cloud/aws_test "tests/program/plan_aws_test.sh:without libcurl" tests/launch/cloud/s3_test "tests/program/s3_test.sh:without libcurl"
}

begin "without_hwloc"
configure_parts --without-hwloc --without-cuda && {
    expect_summary '^  hwloc +no +- +turned off with --without-hwloc'
    expect_summary '^  no ranks near their GPUs, no ranks spread over sockets and caches: '
    build_and_run tests/launch/hardware/topology_test tests/launch/hardware/affinity_test "tests/program/binding_test.sh:without hwloc"
}

begin "without_cuda"
configure_parts --without-cuda && {
    expect_summary '^  nvcc +no '
    expect_summary '^  no --backend cuda: '
    expect_unlisted tests/layers/cuda_kernels_test
    expect_listed tests/emulated/no_headers_test
    build_and_run tests/emulated/no_headers_test tests/layers/cpu_create_test tests/comm/nccl_network_test tests/program/plans_test.sh:cuDNN
}

begin "without_cunit"
configure_parts --without-cunit --without-cuda && {
    expect_summary '^  CUnit +no +- +turned off with --without-cunit'
    expect_summary '^  no unit tests: .*libcunit1-dev'
    expect_unlisted error_test
    want_build && {
        rm -f ./*.a tests/*.a
        expect_exit 0 make -j2 check TESTS="tests/program/no_cunit_test.sh tests/program/lib_test.sh"
        expect_output '^SKIP: tests/program/no_cunit_test.sh'
        expect_output '^PASS: tests/program/lib_test.sh'
    }
}

# Last: nvcc is slow.
begin "without_nccl"
configure_parts --without-nccl --enable-cuda-archs=80 && {
    if grep -Eq '^  nvcc +yes' "$_base/summary"; then
        expect_summary '^  NCCL +no +- +turned off with --without-nccl'
        expect_summary '^  no --comm nccl: '
        build_and_run tests/comm/nccl_network_test tests/comm/nccl_gpu_test.sh
    else
        skip "configure found no CUDA"
    fi
}

finish
