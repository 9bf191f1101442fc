# DT_JANSSON: Jansson, for manifests, safetensors headers and metrics.
AC_DEFUN([DT_JANSSON], [
DT_LIBRARY([JANSSON], [Jansson], [jansson], [jansson], [jansson.h], [jansson], [json_loads],
           [JANSSON_VERSION], [libjansson-dev], [jansson-devel], [JSON])
])
