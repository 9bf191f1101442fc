# DT_CURL: libcurl 7.68 or later, for --spot imds. Optional.
AC_DEFUN([DT_CURL], [
DT_LIBRARY([CURL], [libcurl], [curl], [libcurl], [curl/curl.h], [curl], [curl_multi_wakeup],
           [LIBCURL_VERSION], [], [libcurl-devel], [notices of spot instances])
])
