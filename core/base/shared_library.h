/* shared_library.h: opens a library when it is first needed, where linking it would keep the program from
 * starting on machines that lack it.
 *
 *   static const dt_shared_library cudnn = {.name = "cuDNN", .file = "libcudnn.so.9",
 *                                           .wanted_by = "--backend cuda", ...};
 *   DT_TRY(dt_shared_library_open(&cudnn, &handle, err));
 *   DT_TRY(dt_shared_library_symbol(&cudnn, handle, "cudnnCreate", &address, err));
 *
 * The library is looked for in these places, in this order; the first file that loads is taken:
 *
 *   1. the folders that the variables `homes` name (CUDNN_HOME): DIR/lib64, DIR/lib, DIR
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

typedef struct dt_shared_library {
    const char *name;          /* "cuDNN", for messages */
    const char *file;          /* "libcudnn.so.9": the name and the major version */
    const char *wanted_by;     /* "--backend cuda", for messages */
    const char *const *homes;  /* variables, NULL after the last; homes[0] is the one that messages advise */
    const char *built_dir;     /* "": configure was given no folder */
    const char *const *wheels; /* folders in nvidia/, "cudnn"; NULL after the last */
} dt_shared_library;

/* Open the library and return dlopen's handle, which stays open until the process ends.
 * DT_ERR_UNSUPPORTED: no place has it, or what is there does not load; the message says which library, what
 * wants it, where it was looked for, and why a file that is there did not load. */
dt_status dt_shared_library_open(const dt_shared_library *library, void **handle, dt_error *err);

/* Return the address of a function. DT_ERR_UNSUPPORTED: the library does not have it, so it is too old; the
 * message has its path. */
dt_status dt_shared_library_symbol(const dt_shared_library *library, void *handle, const char *symbol,
                                   void **address, dt_error *err);

/* Write the path from which the library was loaded, or its name if that is not known. */
void dt_shared_library_path(const dt_shared_library *library, void *handle, char *path, size_t path_bytes);

#endif
