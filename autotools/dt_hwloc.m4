# DT_HWLOC: hwloc, for binding ranks and their threads to cores.
AC_DEFUN([DT_HWLOC], [
DT_LIBRARY([HWLOC], [hwloc], [hwloc], [hwloc], [hwloc.h], [hwloc], [hwloc_topology_init],
           [HWLOC_VERSION], [libhwloc-dev], [hwloc-devel], [binding to cores])
])
