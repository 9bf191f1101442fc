/* gradients.h: what the tests of layers/ref's gradients are written with: gradients against differences of
 * naive formulas.
 *
 * For each case the loss is the sum of fixed random weights times the output, computed by naive code
 * (tests/naive.h) in doubles; its derivative by central differences must be what ref's backward operations
 * give. The step is far smaller than the distance to the next kink (checked), and the only error left is
 * ref's rounding to float32.
 *
 * To add an operation: hold its inputs in `variable`s, write the loss from their values, run ref forward and
 * backward into their gradients, call check_gradients, then release.
 */
#ifndef DTRAIN_TESTS_GRADIENTS_H
#define DTRAIN_TESTS_GRADIENTS_H

#include "core/kernels.h"
#include "tests/testing.h"

#include <stddef.h>

/* The reference backend: made and given back by the harness's set-up and tear-down, which gradients.c
 * defines. */
extern dt_kernels *ref;
extern dt_error gradient_error;

#define OK(call)                                                                                             \
    do {                                                                                                     \
        dt_status ok_status = (call);                                                                        \
        DT_REQUIRE_MSG(ok_status == DT_OK, "%s: %s", #call, gradient_error.message);                         \
    } while (0)

/* Zeroed memory of the running test: all of it is given back by release(). */
void *allocate(int64_t n_elems, size_t elem_bytes);
void release(void);

/* Something the loss depends on: the same numbers for ref and for the naive code, and the gradient that ref
 * found. */
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

/* Every variable's gradient against differences of the loss, at up to 300 elements of each. The list ends
 * with NULL. */
typedef double loss_function(void *arg);
void check_gradients(loss_function *loss, void *arg, const variable *const *variables);

/* Values of ref against naive ones, to what float32 can hold of the largest. */
void check_near(const char *what, const float *actual, const double *expected, int64_t n);

/* A raw tensor with its BatchNorm: variables and everything ref keeps of it. */
typedef struct norm {
    int64_t n, c, h, w;
    variable raw, gamma, beta;
    float *mean, *invstd, *scale, *bias, *stat_mean, *stat_var, *coefficients;
    double *sums;
    dt_act act;
    dt_bn_backward backward;
} norm;

void norm_make(norm *b, const char *name, int64_t n, int64_t c, int64_t h, int64_t w);
/* Ref: sums to scale and bias; the sums are taken here unless a convolution has filled them. */
void norm_forward(norm *b, bool relu, bool has_sums);
/* Ref: from dz and the sums to the gradients of gamma, beta and raw. */
void norm_backward(norm *b, const dt_tensor *dz);
/* Naive: the values of the normalised tensor. */
void norm_values(const norm *b, bool relu, double *z);

#endif
