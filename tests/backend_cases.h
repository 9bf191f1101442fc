/* backend_cases.h: every operation of a backend against another backend's, for the shapes of ResNet-18 and
 * ResNet-50.
 *
 *   dt_kernels *cpu = ..., *ref = ...;
 *   DT_CHECK_INT(dt_backend_cases_run(cpu, ref, 32, 2, 1e-4, NULL), 0);          all cases
 *   DT_CHECK_INT(dt_backend_cases_run(cpu, ref, 32, 2, 1e-4, "conv_forward"), 0);  some of them
 *
 * For each distinct convolution of the two networks (walked, not typed in): forward, data gradient and weight
 * gradient, plain and with each fusion that conv_fusions() names; BatchNorm, residual joins, pools, linear,
 * loss, optimizer, layouts.
 *
 * Each case has fresh random inputs, away from the kinks of relu and max; what the candidate's dtype cannot
 * hold exactly is rounded before both sides see it. Outputs are filled with NaN before the call. Every buffer
 * lies between guard bands; a call that writes there, changes an input, leaves an output element unwritten or
 * gives other bits the second time fails. Memory is only touched through dt_device, so the candidate may live
 * on a GPU.
 */
#ifndef DTRAIN_TESTS_BACKEND_CASES_H
#define DTRAIN_TESTS_BACKEND_CASES_H

#include "core/kernels.h"

/* Run the cases whose name contains `filter` (NULL or "": all) and return how many failed; each failure is
 * printed with the case's name, which holds the operation and its shape, for instance
 *   conv_backward_data n2 c64 h8 w8 k64 r3 s3 stride1 pad1 add bn
 * The candidate's outputs may be off by `tolerance` relative to the largest expected element, and as much in
 * the 2-norm. A filter that matches no case counts as one failure. `image_size` in pixels (32 or more),
 * `batch` in images. With DTRAIN_TEST_VERBOSE=1 in the environment every case is printed with its error. */
int dt_backend_cases_run(dt_kernels *candidate, dt_kernels *reference, int64_t image_size, int64_t batch,
                         double tolerance, const char *filter);

/* Set it to leave failures unprinted: for the test of these cases themselves. */
extern bool dt_backend_cases_quiet;

#endif
