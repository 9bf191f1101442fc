/* cudnn_library.h: cuDNN, opened when it is first needed. Built WITH_CUDA only.
 *
 *   DT_TRY(dt_cudnn_library_open(err));
 *   cudnnCreate(&handle);                        as if cuDNN were linked
 *
 * The program is not linked with cuDNN, so it starts where there is none (a laptop, a login node).
 * cudnn_library.c defines those functions of <cudnn.h> that layers/cuda calls; each calls cuDNN's own. To
 * call another one, add it there.
 */
#ifndef DT_LAYERS_CUDA_CUDNN_LIBRARY_H
#define DT_LAYERS_CUDA_CUDNN_LIBRARY_H

#include "core/base/error.h"

#include <stddef.h>

/* Open cuDNN, if it is not open yet. No other function of cuDNN may be called before this has succeeded. Any
 * thread may call it. DT_ERR_UNSUPPORTED: cuDNN is not found, does not load, or is too old; see
 * core/base/shared_library.h. */
dt_status dt_cudnn_library_open(dt_error *err);

/* Write "9.19.0" into `version`, and the path of the open library into `path`; "none" and "" if it is not
 * open. */
void dt_cudnn_library_describe(char *version, size_t version_bytes, char *path, size_t path_bytes);

#endif
