# DT_XXHASH: xxHash 0.8 or later (XXH3), for the hashes of checkpoint shards.
AC_DEFUN([DT_XXHASH], [
DT_LIBRARY([XXHASH], [xxHash], [xxhash], [libxxhash], [xxhash.h], [xxhash], [XXH3_128bits_update],
           [XXH_VERSION_MAJOR.XXH_VERSION_MINOR.XXH_VERSION_RELEASE], [libxxhash-dev], [xxhash-devel], [hashes of checkpoints])
])
