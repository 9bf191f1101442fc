# DT_EXPAT: expat 2.4 or later, for AWS's answers in XML. Optional.
AC_DEFUN([DT_EXPAT], [
DT_LIBRARY([EXPAT], [expat], [expat], [expat], [expat.h], [expat], [XML_SetStartDoctypeDeclHandler],
           [XML_MAJOR_VERSION.XML_MINOR_VERSION.XML_MICRO_VERSION], [], [expat-devel], [requests to AWS])
AS_IF([test $dt_found_EXPAT = no], [DT_NOTE([no plan --refresh-prices, no plan --check, no S3: expat reads AWS's answers])
       DT_WHY_NOT([EXPAT], [expat], [expat], [requests to AWS])])
])
