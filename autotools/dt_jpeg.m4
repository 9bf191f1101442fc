# DT_JPEG: libjpeg-turbo, for jpeg_crop_scanline and jpeg_skip_scanlines, which the original libjpeg lacks.
AC_DEFUN([DT_JPEG], [
DT_LIBRARY([JPEG], [libjpeg-turbo], [jpeg], [libjpeg], [jpeglib.h], [jpeg], [jpeg_crop_scanline],
           [LIBJPEG_TURBO_VERSION], [libjpeg62-turbo-dev (Ubuntu: libjpeg-turbo8-dev)], [libjpeg-turbo-devel], [decoding of images])
])
