# DT_SIMD: for which wider instruction sets the kernels in layers/cpu are compiled a second and third time.
# The choice among them is made at run time (__builtin_cpu_supports), so the program still starts on any CPU.
# Sets AVX2_CFLAGS, AVX512_CFLAGS, the conditionals BUILD_AVX2, BUILD_AVX512 and the same names (DT_BUILD_...) in config.h.
AC_DEFUN([DT_SIMD], [
dt_simd_list=
DT_SIMD_ONE([AVX2], [-mavx2 -mfma -mf16c], [__m256i a = _mm256_set1_epi32(1); (void)_mm256_add_epi32(a, a);])
DT_SIMD_ONE([AVX512], [-mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma -mf16c],
            [__m512 a = _mm512_set1_ps(1); (void)_mm512_fmadd_ps(a, a, a);])
test -n "$dt_simd_list" || dt_simd_list=" none"
])

# DT_SIMD_ONE(NAME, FLAGS, CODE)
AC_DEFUN([DT_SIMD_ONE], [
AC_MSG_CHECKING([whether $CC compiles for $1])
dt_save_CFLAGS=$CFLAGS
CFLAGS="$CFLAGS $2"
AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <immintrin.h>]], [[$3]])], [dt_simd=yes], [dt_simd=no])
CFLAGS=$dt_save_CFLAGS
AC_MSG_RESULT([$dt_simd])
$1_CFLAGS=
AS_IF([test $dt_simd = yes],
      [$1_CFLAGS="$2"
       dt_simd_list="$dt_simd_list $1"
       AC_DEFINE([DT_BUILD_$1], [1], [Define to 1 if the kernels of layers/cpu are compiled for $1 too])])
AC_SUBST([$1_CFLAGS])
AM_CONDITIONAL([BUILD_$1], [test $dt_simd = yes])
])
