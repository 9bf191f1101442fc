/* shared_library.h: opens a library when it is first needed, where linking it would keep the program from
 * starting on machines that lack it.
 *
 *   static const dt_shared_library cudnn = {.name = "cuDNN", .file = "libcudnn.so.9",
 *                                           .wanted_by = "--backend cuda", ...};
 *   DT_TRY(dt_shared_library_load(&cudnn, find_functions, &handle, err));        handle is NULL before
 *   ... find_functions calls dt_shared_library_symbol(&cudnn, handle, "cudnnCreate", &address, err) ...
 *
 * The library is looked for in these places, in this order; the first file that loads is taken:
 *
 *   1. the folders that the variables `homes` name (CUDNN_HOME): DIR/lib64, DIR/lib, DIR. A file there that
 *      does not load ends the search, unless another of these folders has one that does
 *   2. the folders in LD_LIBRARY_PATH
 *   3. `built_dir`, the folder that configure was given
 *   4. where the system looks: the loader's cache and its default folders
 *   5. lib64 and lib of CUDA_HOME, CUDA_PATH and /usr/local/cuda
 *   6. CONDA_PREFIX/lib
 *   7. NVIDIA's Python packages, lib/python3.X/{site,dist}-packages/nvidia/WHEEL/lib, in
 *      VIRTUAL_ENV, CONDA_PREFIX, ~/.local, /usr/local and /usr
 *
 * All functions may be called by several threads.
 */
#ifndef DT_CORE_BASE_SHARED_LIBRARY_H
#define DT_CORE_BASE_SHARED_LIBRARY_H

#include "core/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct dt_shared_library {
    const char *name;          /* "cuDNN", for messages */
    const char *file;          /* "libcudnn.so.9": the name and the major version */
    const char *wanted_by;     /* "--backend cuda", for messages */
    const char *const *homes;  /* variables, NULL after the last; homes[0] is the one that messages advise */
    const char *built_dir;     /* "": configure was given no folder */
    const char *const *wheels; /* folders in nvidia/, "cudnn"; NULL after the last */
    int64_t oldest;            /* version that is accepted, as the library gives it: 90000 */
} dt_shared_library;

/* Open the library and return dlopen's handle, which stays open until the process ends.
 * DT_ERR_UNSUPPORTED: no place has it, or what is there does not load; the message says which library, what
 * wants it, where it was looked for, and why a file that is there did not load. */
dt_status dt_shared_library_open(const dt_shared_library *library, void **handle, dt_error *err);

/* Return the address of a function. DT_ERR_UNSUPPORTED: the library does not have it, so it is too old; the
 * message has its path. */
dt_status dt_shared_library_symbol(const dt_shared_library *library, void *handle, const char *symbol,
                                   void **address, dt_error *err);

/* Find the functions of an open library with dt_shared_library_symbol, and return its version. */
typedef dt_status dt_shared_library_finder(void *handle, int64_t *version, dt_error *err);

/* Unless *handle is set already: open the library, call `find`, check the version, and set *handle.
 * DT_ERR_UNSUPPORTED: as above, or the library is too old; the message has its path and version. The error of
 * `find`. */
dt_status dt_shared_library_load(const dt_shared_library *library, dt_shared_library_finder *find,
                                 void **handle, dt_error *err);

/* Write "9.19.0" for 91900, as cuDNN since 9 and NCCL since 2.9 number their versions, and "8.9.7" for 8907,
 * as earlier ones do. */
void dt_shared_library_version(int64_t version, char *text, size_t text_bytes);

/* Write the path from which the library was loaded, or its name if that is not known. */
void dt_shared_library_path(const dt_shared_library *library, void *handle, char *path, size_t path_bytes);

#endif
