# DT_HDF5: the serial library; every rank writes its own shard.
AC_DEFUN([DT_HDF5], [
DT_LIBRARY([HDF5], [HDF5], [hdf5], [hdf5], [hdf5.h], [hdf5], [H5Fcreate],
           [H5_VERS_MAJOR.H5_VERS_MINOR.H5_VERS_RELEASE], [libhdf5-dev], [hdf5-devel], [checkpoints])
])
