#!/bin/bash
# What configure says when something is wrong. Each case runs it from the source folder into a fresh build folder.
. "$(dirname "$0")/../lib.sh"

begin "one_error_names_every_missing_library_with_its_packages"
need_clean_source && {
    expect_exit 1 "$TOP_SRCDIR/configure" --with-hdf5=/nonexistent --without-jpeg
    expect_output 'HDF5 \(checkpoints\): there is no /nonexistent/include/hdf5\.h'
    expect_output 'apt-get install libhdf5-dev'
    expect_output 'dnf install hdf5-devel'
    expect_output 'libjpeg-turbo \(.*\): turned off with --without-jpeg'
    expect_output '--with-jpeg=DIR'
    expect_no_output 'Jansson \('
}

begin "an_unknown_sanitizer_is_refused"
need_clean_source && {
    expect_exit 1 "$TOP_SRCDIR/configure" --enable-sanitizer=address,nonsense
    expect_output '"nonsense" is none of address, undefined, thread'
}

begin "address_and_thread_sanitizers_exclude_each_other"
need_clean_source && {
    expect_exit 1 "$TOP_SRCDIR/configure" --enable-sanitizer=address,thread
    expect_output 'address and thread exclude each other'
}

begin "a_list_of_gpus_that_is_none_is_refused"
need_clean_source && {
    for list in sm_80 80, 80,,90 '80 90'; do
        expect_exit 1 "$TOP_SRCDIR/configure" --enable-cuda-archs="$list"
        expect_output "enable-cuda-archs=$list: a list of numbers is wanted, for example 80,90"
    done
}

begin "a_onednn_with_another_openmp_is_refused"
# It defines what code of clang calls; omp_set_num_threads is GCC's.
need_clean_source && {
    command -v gcc >/dev/null || skip "there is no gcc"
    mkdir -p other/include/oneapi/dnnl other/lib
    cat >other/include/oneapi/dnnl/dnnl.h <<'END'
#define DNNL_VERSION_MAJOR 3
#define DNNL_VERSION_MINOR 7
#define DNNL_VERSION_PATCH 0
#define DNNL_RUNTIME_SEQ 1
#define DNNL_RUNTIME_OMP 2
#define DNNL_CPU_THREADING_RUNTIME DNNL_RUNTIME_OMP
typedef struct { int major; } dnnl_version_t;
const dnnl_version_t *dnnl_version(void);
void dnnl_primitive_create(void);
END
    printf '#include <oneapi/dnnl/dnnl.h>\nconst dnnl_version_t *dnnl_version(void) { static dnnl_version_t v = {3}; return &v; }
void dnnl_primitive_create(void) {}\nvoid __kmpc_fork_call(void) {}\n' >other.c
    gcc -shared -fPIC -Iother/include other.c -o other/lib/libdnnl.so || fail "the library is not made"
    expect_exit 1 "$TOP_SRCDIR/configure" CC=gcc --with-onednn="$PWD/other"
    expect_output 'oneDNN 3\.7\.0 in .*/other has the OpenMP of LLVM or Intel, and gcc has that of GCC'
}

begin "configure_does_not_touch_the_core_folder"
need_clean_source && {
    mkdir core
    expect_exit 1 "$TOP_SRCDIR/configure" --enable-sanitizer=nonsense
    expect_no_output "cannot remove 'core'"
    expect test -d core
}

finish
