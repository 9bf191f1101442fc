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

begin "configure_does_not_touch_the_core_folder"
need_clean_source && {
    mkdir core
    expect_exit 1 "$TOP_SRCDIR/configure" --enable-sanitizer=nonsense
    expect_no_output "cannot remove 'core'"
    expect test -d core
}

finish
