# DT_ONEDNN: oneDNN, whose library is still named dnnl.
AC_DEFUN([DT_ONEDNN], [
DT_LIBRARY([ONEDNN], [oneDNN], [onednn], [dnnl], [oneapi/dnnl/dnnl.h], [dnnl], [dnnl_primitive_create],
           [DNNL_VERSION_MAJOR.DNNL_VERSION_MINOR.DNNL_VERSION_PATCH], [libdnnl-dev], [onednn-devel], [the CPU backend])
])
