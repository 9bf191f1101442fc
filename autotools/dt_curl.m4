# DT_CURL: libcurl 7.68 or later, for --spot imds; 7.88 or later for plan's requests to AWS. Optional.
AC_DEFUN([DT_CURL], [
DT_LIBRARY([CURL], [libcurl], [curl], [libcurl], [curl/curl.h], [curl], [curl_multi_wakeup],
           [LIBCURL_VERSION], [], [libcurl-devel], [notices of spot instances, requests to AWS])
AS_IF([test $dt_found_CURL = no], [DT_NOTE([no --spot imds, no plan --refresh-prices, no plan --check, no S3: libcurl speaks with AWS])
       DT_WHY_NOT([CURL], [libcurl], [curl], [libcurl])])
])
