# DT_HWLOC: hwloc 2.1 or later, for the processors of ranks. Optional.
AC_DEFUN([DT_HWLOC], [
DT_LIBRARY([HWLOC], [hwloc], [hwloc], [hwloc], [hwloc.h], [hwloc], [hwloc_topology_set_components],
           [HWLOC_VERSION], [], [hwloc-devel], [processors near GPUs and in the same socket])
AS_IF([test $dt_found_HWLOC = no], [DT_NOTE([no ranks near their GPUs, no ranks spread over sockets and caches: hwloc knows where these are])
       DT_WHY_NOT([HWLOC], [hwloc], [hwloc], [hwloc])])
])
