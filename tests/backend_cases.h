/* backend_cases.h: runs every operation of a backend against another backend, for the shapes of two ResNets.
 *
 * To add the case of a new operation, here an imaginary `halve` of core/kernels.h:
 * 1. tests/backend_cases_norm.c, _conv.c, _ends.c or _update.c: write halve_call, which calls k->ops->halve
 *    on one side, and dt_kit_halve_cases, which creates the buffers (backend_kit.h has this example in full).
 * 2. tests/backend_kit.h: declare dt_kit_halve_cases. tests/backend_cases.c: call it in run_all for each
 *    shape.
 * 3. tests/layers/backend_cases_test.c: plant a defect of halve and check that the cases named "halve" fail.
 *    A new case of an operation that is there raises the number of failures of each defect that it detects
 *    too. The tolerance is relative to the largest element of a buffer.
 * 4. `make check-one T=layers/backend_cases_test`; then the same with layers/cpu_against_ref_test and
 *    emulated/cases_test, which run the case with the cpu and the cuda backend.
 *
 * To run the cases:
 *   dt_kernels *cpu = ..., *ref = ...;
 *   DT_CHECK_INT(dt_backend_cases_run(cpu, ref, 32, 2, 1e-4, NULL), 0);             all cases
 *   DT_CHECK_INT(dt_backend_cases_run(cpu, ref, 32, 2, 1e-4, "conv_forward"), 0);   some of them
 *
 * For each distinct convolution of ResNet-18 and ResNet-50 there are forward, data gradient and weight
 * gradient, plain and with each fusion that conv_fusions() names; then BatchNorm, residual joins, pools,
 * linear, loss, optimizer and layouts.
 *
 * Each case has its own random inputs, away from the kinks of relu and max. Values that the candidate's dtype
 * cannot hold exactly are rounded before both sides get them. Outputs are filled with NaN before the call.
 * Every buffer lies between guard bands. A call fails if it writes there, changes an input, leaves an output
 * element unwritten, or gives other bits the second time. Memory is accessed only through dt_device, so the
 * candidate may be on a GPU.
 */
#ifndef DTRAIN_TESTS_BACKEND_CASES_H
#define DTRAIN_TESTS_BACKEND_CASES_H

#include "core/kernels.h"

/* Run the cases whose name contains `filter` (NULL or "": all) and return how many failed. Each failure is
 * printed with the case's name, which gives the operation and its shape, for instance
 *   conv_backward_data n2 c64 h8 w8 k64 r3 s3 stride1 pad1 add bn
 * The candidate's outputs may be off by `tolerance` relative to the largest expected element, and as much in
 * the 2-norm. A filter that matches no case counts as one failure. `image_size` in pixels (32 or more),
 * `batch` in images. With DTRAIN_TEST_VERBOSE=1 in the environment every case is printed with its error. */
int dt_backend_cases_run(dt_kernels *candidate, dt_kernels *reference, int64_t image_size, int64_t batch,
                         double tolerance, const char *filter);

/* Set this to suppress the output of failures, in the test of the cases themselves. */
extern bool dt_backend_cases_quiet;

#endif
