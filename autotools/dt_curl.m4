# DT_CURL: libcurl 7.68 or later, for --spot imds. Optional.
AC_DEFUN([DT_CURL], [
DT_LIBRARY([CURL], [libcurl], [curl], [libcurl], [curl/curl.h], [curl], [curl_multi_wakeup],
           [LIBCURL_VERSION], [], [libcurl-devel], [notices of spot instances])
AS_IF([test $dt_found_CURL = no], [DT_NOTE([no --spot imds: libcurl reads the notices of spot instances])
       DT_WHY_NOT([CURL], [libcurl], [curl], [reading of spot notices])])
])
