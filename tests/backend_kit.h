/* backend_kit.h: the functions that the cases of backend_cases.h use: one operation, two backends, guarded
 * buffers.
 *
 * To add a case, write a function that creates the buffers and another that makes the call, here for an
 * imaginary operation `halve`:
 *
 *     struct halve { dt_kit_tensor x, y; };
 *     static dt_status halve_call(dt_kernels *k, int side, void *arg, dt_error *err)
 *     {
 *         struct halve *a = arg;
 *         return DT_KIT_OPERATION(k, halve, &a->x.t[side], &a->y.t[side], err);
 *     }
 *     void dt_kit_halve_cases(dt_kit *kit, int64_t n, const dt_kit_shape *s)
 *     {
 *         if (!dt_kit_begin(kit, "halve n%lld c%lld", (long long)n, (long long)s->c))
 *             return;
 *         float *nchw = dt_kit_random(kit, n * s->c * s->h * s->w, -1, 1);
 *         struct halve a = {dt_kit_tensor_in(kit, n, s->c, s->h, s->w, nchw),
 *                           dt_kit_tensor_out(kit, n, s->c, s->h, s->w)};
 *         dt_kit_execute(kit, halve_call, &a);
 *         dt_kit_expect_tensor(kit, "y", &a.y);
 *         dt_kit_end(kit);
 *     }
 *
 * Declare it below and call it in run_all (backend_cases.c).
 *
 * All memory that a case requests belongs to the kit; dt_kit_end frees it. After a failure the later calls of
 * the case do nothing, and dt_kit_end prints the first reason.
 */
#ifndef DTRAIN_TESTS_BACKEND_KIT_H
#define DTRAIN_TESTS_BACKEND_KIT_H

#include "core/kernels.h"

enum { DT_KIT_CANDIDATE, DT_KIT_REFERENCE, DT_KIT_SIDES };

/* What the call does with a buffer: it only reads it; it writes all of it; it reads and writes it. */
typedef enum dt_kit_role { DT_KIT_IN, DT_KIT_OUT, DT_KIT_INOUT } dt_kit_role;

/* Device memory on both sides, between guard bands. */
typedef struct dt_kit_buffer {
    dt_kit_role role;
    void *data[DT_KIT_SIDES]; /* device memory; NULL where a side needs 0 bytes */
    int64_t bytes[DT_KIT_SIDES];
    unsigned char *before[DT_KIT_SIDES]; /* host copy of its content before the call */
} dt_kit_buffer;

typedef struct dt_kit_tensor {
    dt_kit_buffer *buffer;
    dt_tensor t[DT_KIT_SIDES];
} dt_kit_tensor;

/* A lazily normalised activation with everything that forward and backward read of it. */
typedef struct dt_kit_act {
    dt_kit_tensor raw;
    dt_kit_buffer *scale, *bias, *mean, *invstd;
    dt_kit_buffer *gamma, *beta; /* that scale and bias came from */
    dt_act act[DT_KIT_SIDES];
} dt_kit_act;

typedef enum dt_kit_normalisation {
    DT_KIT_PLAIN,
    DT_KIT_NORMALISED,
    DT_KIT_NORMALISED_RELU
} dt_kit_normalisation;

typedef struct dt_kit_shape {
    int64_t c, h, w;
} dt_kit_shape;

enum { DT_KIT_MAX_BUFFERS = 40, DT_KIT_MAX_ARRAYS = 128 };

typedef struct dt_kit {
    dt_kernels *side[DT_KIT_SIDES];
    double tolerance;
    const char *filter;
    bool verbose, quiet;
    int n_run, n_failed;
    /* The running case. */
    char name[256];
    char reason[1200]; /* why it failed; empty: it has not */
    double worst_error;
    uint64_t seed;
    dt_kit_buffer buffers[DT_KIT_MAX_BUFFERS];
    int n_buffers;
    void *arrays[DT_KIT_MAX_ARRAYS];
    int n_arrays;
} dt_kit;

/* Begin a case; return false if its name does not match the filter. The name must give operation and
 * shape. */
bool dt_kit_begin(dt_kit *kit, const char *format, ...) __attribute__((format(printf, 2, 3)));
void dt_kit_end(dt_kit *kit);
/* Whether the filter matches the name: to plan nothing for cases that do not run. */
bool dt_kit_selects(const dt_kit *kit, const char *name);

/* Mark the case as failed. Only the first reason is kept. */
void dt_kit_fail(dt_kit *kit, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool dt_kit_failed(const dt_kit *kit);

/* Host arrays that are freed by dt_kit_end. array: zeros. random: numbers in [low, high), different in each
 * case and for each call. */
void *dt_kit_array(dt_kit *kit, int64_t n_elems, int64_t elem_bytes);
float *dt_kit_random(dt_kit *kit, int64_t n_elems, float low, float high);

/* Tensors. `nchw` is rounded to what the candidate's dtype holds, then imported on both sides. */
dt_kit_tensor dt_kit_tensor_in(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w, float *nchw);
dt_kit_tensor dt_kit_tensor_out(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w);
dt_kit_tensor dt_kit_tensor_inout(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w, float *nchw);

/* Flat memory. bytes, floats: the same content on both sides (content NULL: NaN). opaque: each backend's own
 * size and meaning. */
dt_kit_buffer *dt_kit_bytes(dt_kit *kit, dt_kit_role role, const void *content, int64_t n_bytes);
dt_kit_buffer *dt_kit_floats(dt_kit *kit, dt_kit_role role, const float *content, int64_t n_elems);
dt_kit_buffer *dt_kit_opaque(dt_kit *kit, const int64_t n_bytes[DT_KIT_SIDES]);
/* Memory for the sums of c channels on each side (bn_sums_bytes). */
dt_kit_buffer *dt_kit_sums(dt_kit *kit, int64_t c);

/* Record the present content of a buffer, on both sides, as its content before the call; needed after an
 * import. */
void dt_kit_remember(dt_kit *kit, dt_kit_buffer *buffer);

/* An activation with random values that are not near relu's kink, and the statistics of these values. */
dt_kit_act dt_kit_act_in(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w,
                         dt_kit_normalisation normalisation);
/* A normalised activation with a relu; an eighth of its values are exactly 0 after the normalisation, where
 * the gradient is 0, and none is near it. */
dt_kit_act dt_kit_act_with_zeros(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w);
/* n random multiples of 1/4 in [low, high), which every dtype holds exactly; low and high are whole. */
float *dt_kit_quarters(dt_kit *kit, int64_t n_elems, float low, float high);
/* dt_kit_act_in for given values. `scale` and `bias` are per channel, NULL for DT_KIT_PLAIN. */
dt_kit_act dt_kit_act_from(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w, float *nchw,
                           const float *scale, const float *bias, bool relu);
dt_bn_backward dt_kit_bn_backward(const dt_kit_act *act, dt_kit_buffer *sums, int side);

/* Arguments of bn_backward_apply, after an operation that fills `sums`. */
typedef struct dt_kit_bn_gradient {
    int64_t count;
    bool accumulate;
    dt_kit_tensor dy;
    dt_kit_buffer *sums, *gamma, *dgamma, *dbeta, *coefficients;
} dt_kit_bn_gradient;
/* For the BatchNorm of a tensor of this shape. dy is apart from all other tensors. */
dt_kit_bn_gradient dt_kit_bn_gradient_in(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w,
                                         bool accumulate);
/* dz was reduced in place by bn_backward_reduce: is_masked is false, and the operation applies the ReLU's
 * mask. */
dt_status dt_kit_bn_apply(dt_kernels *k, int side, const dt_kit_bn_gradient *g, const dt_kit_act *x,
                          bool is_masked, const dt_kit_tensor *dz, dt_error *err);
/* Compare dgamma, dbeta, the coefficients and dy. */
void dt_kit_expect_bn_gradient(dt_kit *kit, const dt_kit_bn_gradient *g);

/* The inputs of a residual join: a normalised branch, and a skip that is plain or normalised; both without a
 * relu. No sum of the two is near relu's kink. */
void dt_kit_join_inputs(dt_kit *kit, int64_t n, const dt_kit_shape *shape, bool skip_is_lazy,
                        dt_kit_act *branch, dt_kit_act *skip);

/* A convolution that exists on both sides (backend_kit_conv.c); close destroys it. add_weights: those in
 * oihw, or random ones of He's variance. weights: a buffer for weights or their gradients, with the canonical
 * values `oihw` (NULL: NaN). expect_weights compares two such; padding must be zero, and a value that is not
 * finite shows an element that was left out. */
typedef struct dt_kit_conv {
    dt_conv_desc desc;
    dt_conv *conv[DT_KIT_SIDES];
    dt_kit_buffer *w, *dw;
    float *oihw; /* the values in w */
} dt_kit_conv;
void dt_kit_conv_text(const dt_conv_desc *desc, char *text, size_t n_bytes); /* for the names of cases */
unsigned dt_kit_conv_fusions(dt_kit *kit, const dt_conv_desc *desc);         /* the candidate's */
dt_kit_conv dt_kit_conv_open(dt_kit *kit, const dt_conv_desc *desc);
void dt_kit_conv_close(dt_kit *kit, dt_kit_conv *pair);
void dt_kit_conv_add_weights(dt_kit *kit, dt_kit_conv *pair);
dt_kit_buffer *dt_kit_conv_weights(dt_kit *kit, const dt_kit_conv *pair, dt_kit_role role, const float *oihw);
void dt_kit_conv_expect_weights(dt_kit *kit, const char *what, const dt_kit_conv *pair,
                                const dt_kit_buffer *buffer);

/* Make the call: once on the reference; twice on the candidate, from the same state, with the same bits
 * required. Then check guard bands and inputs. */
typedef dt_status dt_kit_call(dt_kernels *k, int side, void *arg, dt_error *err);
void dt_kit_execute(dt_kit *kit, dt_kit_call *call, void *arg);

/* Compare an output of the two sides. The error is relative to the largest expected element, or to `scale`
 * where that is larger (for values that are small differences of large ones). */
void dt_kit_expect_tensor(dt_kit *kit, const char *what, const dt_kit_tensor *tensor);
void dt_kit_expect_floats(dt_kit *kit, const char *what, const dt_kit_buffer *buffer, int64_t n_elems,
                          double scale);
void dt_kit_expect(dt_kit *kit, const char *what, const float *actual, const float *expected, int64_t n_elems,
                   double scale);

/* Copy a buffer's content to the host, into an array of the kit. */
void *dt_kit_download(dt_kit *kit, const dt_kit_buffer *buffer, int side);

/* Call an operation that a backend may lack; if it does, the case fails and the message names the
 * operation. */
#define DT_KIT_OPERATION(kernels, operation, ...)                                                            \
    ((kernels)->ops->operation == NULL ? dt_fail(err, DT_ERR_UNSUPPORTED, "%s is missing", #operation)       \
                                       : (kernels)->ops->operation((kernels), __VA_ARGS__))

/* The groups of cases; backend_cases.c runs them all. `n` images. */
void dt_kit_conv_cases(dt_kit *kit, const dt_conv_desc *desc);                  /* backend_cases_conv.c */
void dt_kit_join_cases(dt_kit *kit, const dt_conv_desc *desc);                  /* backend_cases_join.c */
void dt_kit_join_forward_cases(dt_kit *kit, const dt_conv_desc *desc);          /* ..._join_forward.c */
void dt_kit_batchnorm_cases(dt_kit *kit, int64_t n, const dt_kit_shape *shape); /* backend_cases_norm.c */
void dt_kit_residual_cases(dt_kit *kit, int64_t n, const dt_kit_shape *shape,
                           bool skip_is_lazy);                               /* backend_cases_norm.c */
void dt_kit_layout_cases(dt_kit *kit, int64_t n, const dt_kit_shape *shape); /* backend_cases_ends.c */
void dt_kit_input_cases(dt_kit *kit, int64_t n, int64_t image_size);
void dt_kit_max_pool_cases(dt_kit *kit, int64_t n, const dt_kit_shape *shape, const dt_pool_desc *pool);
void dt_kit_average_pool_cases(dt_kit *kit, int64_t n, const dt_kit_shape *shape);
void dt_kit_linear_cases(dt_kit *kit, int64_t n, int64_t c, int64_t n_classes);
void dt_kit_loss_cases(dt_kit *kit, int64_t n, int64_t n_classes);
void dt_kit_optimizer_cases(dt_kit *kit); /* backend_cases_update.c */
void dt_kit_step_cases(dt_kit *kit);

#endif
