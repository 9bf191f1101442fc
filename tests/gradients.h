/* gradients.h: compares layers/ref's gradients with finite differences of naive formulas.
 *
 * In each case the loss is the sum of fixed random weights times the output, computed by naive code
 * (tests/naive.h) in doubles. Its derivative by central differences must equal what ref's backward operations
 * give. The step is far smaller than the distance to the next kink (checked), so the only remaining error is
 * ref's rounding to float32.
 *
 * To add an operation: declare its inputs as `variable`s, write the loss from their values, run ref forward
 * and backward into their gradients, call check_gradients, then release.
 */
#ifndef DTRAIN_TESTS_GRADIENTS_H
#define DTRAIN_TESTS_GRADIENTS_H

#include "core/kernels.h"
#include "tests/testing.h"

#include <stddef.h>

/* The reference backend. The harness's set-up and tear-down, which gradients.c defines, create and destroy
 * it. */
extern dt_kernels *ref;
extern dt_error gradient_error;

#define OK(call)                                                                                             \
    do {                                                                                                     \
        dt_status ok_status = (call);                                                                        \
        DT_REQUIRE_MSG(ok_status == DT_OK, "%s: %s", #call, gradient_error.message);                         \
    } while (0)

/* Zeroed memory; release() frees all of it. */
void *allocate(int64_t n_elems, size_t elem_bytes);
void release(void);

/* An input that the loss depends on: the same numbers for ref and for the naive code, and the gradient that
 * ref computed. */
typedef struct variable {
    const char *name;
    int64_t n_elems;
    double *values;
    float *floats;
    float *gradient;
} variable;

variable random_variable(const char *name, int64_t n_elems, float low, float high);
dt_tensor tensor_of(float *data, int64_t n, int64_t c, int64_t h, int64_t w);
double dot(const variable *weights, const double *y);

/* Compare every variable's gradient with differences of the loss, at up to 300 elements of each. The list
 * ends with NULL. */
typedef double loss_function(void *arg);
void check_gradients(loss_function *loss, void *arg, const variable *const *variables);

/* Compare ref's values with naive ones, to float32's accuracy of the largest. */
void check_near(const char *what, const float *actual, const double *expected, int64_t n);

/* A raw tensor with its BatchNorm: variables, and all vectors that ref keeps of it. */
typedef struct norm {
    int64_t n, c, h, w;
    variable raw, gamma, beta;
    float *mean, *invstd, *scale, *bias, *stat_mean, *stat_var, *coefficients;
    double *sums;
    dt_act act;
    dt_bn_backward backward;
} norm;

void norm_make(norm *b, const char *name, int64_t n, int64_t c, int64_t h, int64_t w);
/* Run ref from the sums to scale and bias. has_sums: a convolution has filled the sums; else they are
 * computed here. */
void norm_forward(norm *b, bool relu, bool has_sums);
/* Run ref from dz and the sums to the gradients of gamma, beta and raw. */
void norm_backward(norm *b, const dt_tensor *dz);
/* Compute the values of the normalised tensor by naive code. */
void norm_values(const norm *b, bool relu, double *z);

#endif
