# DT_LIBCONFIG: libconfig, for --config FILE and dtrain.conf.
AC_DEFUN([DT_LIBCONFIG], [
DT_LIBRARY([LIBCONFIG], [libconfig], [libconfig], [libconfig], [libconfig.h], [config], [config_init],
           [LIBCONFIG_VER_MAJOR.LIBCONFIG_VER_MINOR.LIBCONFIG_VER_REVISION], [libconfig-dev], [libconfig-devel], [configuration files])
])
