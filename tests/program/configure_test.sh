#!/bin/bash
# What configure reports when something is wrong. Each case runs it in a fresh build folder.
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

begin "a_malformed_list_of_gpus_is_refused"
need_clean_source && {
    for list in sm_80 '80,' 80,,90 '80 90'; do
        expect_exit 1 "$TOP_SRCDIR/configure" --enable-cuda-archs="$list"
        expect_output "enable-cuda-archs=$list: give a list of numbers, for example 80,90"
    done
}

begin "a_onednn_with_another_openmp_is_refused"
# It defines the functions that clang's code calls; omp_set_num_threads is GCC's.
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

# An MPI like MPICH, whose wrapper prints its whole command; Intel's has -Xlinker in it.
fake_mpich()
{
    mkdir -p include bin
    printf '%s\n' '#define MPICH 1' '#define MPICH_VERSION "9.8.7"' 'int MPI_Init_thread(int *, char ***, int, int *);' >include/mpi.h
    echo 'int MPI_Init_thread(int *a, char ***b, int c, int *d) { return a && b && c && d; }' >mpi.c
    ${CC:-cc} -c mpi.c -o mpi.o && ar rc libfake.a mpi.o
    printf '%s\n' '#!/bin/sh' "[ \"\$1\" = -show ] && echo 'gcc -DFAKE -I$PWD/include -Xlinker -rpath -Xlinker $PWD/lib -L$PWD -lfake -pthread'" >bin/mpicc.fake
    printf '%s\n' '#!/bin/sh' 'echo HYDRA build details:' >bin/mpiexec.fake
    chmod +x bin/*
}

begin "the_flags_of_mpich_are_those_that_its_wrapper_prints"
need_clean_source && {
    fake_mpich
    expect_exit 0 env -u MPIRUN PATH="$PWD/bin:$PATH" "$TOP_SRCDIR/configure" --without-cuda MPICC=mpicc.fake
    expect_output "^  MPI +yes +MPICH 9\.8\.7 +$PWD/bin/mpicc\.fake"
    expect grep -qx "MPIRUN = $PWD/bin/mpiexec.fake" Makefile
    expect grep -qx "MPI_CFLAGS =  *-DFAKE -I$PWD/include -pthread" Makefile
    expect grep -qx "MPI_LIBS =  *-Xlinker -rpath -Xlinker $PWD/lib -L$PWD -lfake -pthread" Makefile
}

begin "a_launcher_of_another_mpi_gives_a_warning"
need_clean_source && {
    fake_mpich
    printf '%s\n' '#!/bin/sh' 'echo "mpirun (Open MPI) 5.0.7"; echo "Report bugs to https://www.open-mpi.org/community/help/"' >bin/mpirun.fake
    chmod +x bin/mpirun.fake
    expect_exit 0 "$TOP_SRCDIR/configure" --without-cuda MPICC="$PWD/bin/mpicc.fake" MPIRUN="$PWD/bin/mpirun.fake"
    expect_output 'WARNING: .*/mpirun\.fake is not the launcher of MPICH 9\.8\.7'
}

begin "a_missing_wrapper_or_launcher_is_named"
need_clean_source && {
    expect_exit 1 "$TOP_SRCDIR/configure" MPICC=mpicc.nonesuch
    expect_output 'MPICC=mpicc\.nonesuch: there is no such program'
    expect_exit 1 "$TOP_SRCDIR/configure" MPIRUN=/nonexistent/mpirun
    expect_output 'MPIRUN=/nonexistent/mpirun: there is no such program'
    expect_exit 1 "$TOP_SRCDIR/configure" MPICC=gcc
    expect_output 'MPICC=.*/gcc prints no flags'
}

begin "configure_does_not_touch_the_core_folder"
need_clean_source && {
    mkdir core
    expect_exit 1 "$TOP_SRCDIR/configure" --enable-sanitizer=nonsense
    expect_no_output "cannot remove 'core'"
    expect test -d core
}

finish
