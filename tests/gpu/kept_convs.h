/* kept_convs.h: keeps each convolution that a test destroys until the end. Convolutions of one shape share
 * their plans while one of them exists (layers/cuda/conv_cuda.c), and the cases of tests/backend_cases.h
 * create each shape some twenty times: on a GPU each time would choose and check engines again.
 *
 *   dt_kept_convs *kept = dt_keep_convs(kernels);
 *   ... dt_backend_cases_run(kernels, ref, ...) ...
 *   dt_release_convs(kept);
 */
#ifndef DTRAIN_TESTS_GPU_KEPT_CONVS_H
#define DTRAIN_TESTS_GPU_KEPT_CONVS_H

#include "core/kernels.h"

typedef struct dt_kept_convs dt_kept_convs;

/* One at a time. NULL: no memory. */
dt_kept_convs *dt_keep_convs(dt_kernels *kernels);
void dt_release_convs(dt_kept_convs *kept); /* NULL is fine */

#endif
