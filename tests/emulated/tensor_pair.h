/* tensor_pair.h: a tensor of FP32 twice: NCHW on the host for ref, NHWC on a device for a graph.
 *
 *   dt_pair x = dt_pair_create(device, n, c, h, w, seed);     both with the same random values
 *   ... ref writes dt_pair_tensor(&x), a graph writes x.nhwc
 *   dt_pair_check(&x, 1e-5);                                  both are equal
 *   dt_pair_free(device, &x);
 *
 * The host must be able to read the device's memory, as it can that of device_emulated.h. */
#ifndef DT_TESTS_EMULATED_TENSOR_PAIR_H
#define DT_TESTS_EMULATED_TENSOR_PAIR_H

#include "core/device.h"
#include "core/tensor.h"

typedef struct dt_pair {
    int64_t n, c, h, w;
    float *nchw, *nhwc;
} dt_pair;

dt_pair dt_pair_create(dt_device *device, int64_t n, int64_t c, int64_t h, int64_t w, uint64_t seed);
void dt_pair_free(dt_device *device, dt_pair *pair);

/* The host's. */
dt_tensor dt_pair_tensor(const dt_pair *pair);

/* tolerance: relative to the largest value. */
void dt_pair_check(const dt_pair *pair, double tolerance);

#endif
