/* backend_kit.h: what the cases of backend_cases.h are written with: one operation, two backends, guarded
 * buffers.
 *
 * To add a case: write a function that describes the buffers and makes the call, here for an imaginary
 * operation `halve`:
 *
 *     struct halve { dt_kit_tensor x, y; };
 *     static dt_status halve_call(dt_kernels *k, int side, void *arg, dt_error *err)
 *     {
 *         struct halve *a = arg;
 *         return k->ops->halve(k, &a->x.t[side], &a->y.t[side], err);
 *     }
 *     if (dt_kit_begin(kit, "halve n%d", n)) {
 *         struct halve a = {dt_kit_tensor_in(kit, n, c, h, w, dt_kit_random(kit, n * c * h * w, -1, 1)),
 *         dt_kit_tensor_out(kit, n, c, h, w)}; dt_kit_execute(kit, halve_call, &a);
 *         dt_kit_expect_tensor(kit, "y", &a.y);
 *         dt_kit_end(kit);
 *     }
 *
 * and call it from one of the groups that dt_backend_cases_run (backend_cases.c) goes through.
 *
 * Everything that a case asks for belongs to the kit and is given back by dt_kit_end. A case that went wrong
 * stays quiet from there on: later calls do nothing, dt_kit_end prints the first reason.
 */
#ifndef DTRAIN_TESTS_BACKEND_KIT_H
#define DTRAIN_TESTS_BACKEND_KIT_H

#include "core/kernels.h"

enum { DT_KIT_CANDIDATE, DT_KIT_REFERENCE, DT_KIT_SIDES };

/* What the call does with a buffer: only reads it; writes all of it; reads and writes it. */
typedef enum dt_kit_role { DT_KIT_IN, DT_KIT_OUT, DT_KIT_INOUT } dt_kit_role;

/* Device memory on both sides, between guard bands. */
typedef struct dt_kit_buffer {
    dt_kit_role role;
    void *data[DT_KIT_SIDES]; /* device memory; NULL where a side wants 0 bytes */
    int64_t bytes[DT_KIT_SIDES];
    unsigned char *before[DT_KIT_SIDES]; /* host copy of what was in it before the call */
} dt_kit_buffer;

typedef struct dt_kit_tensor {
    dt_kit_buffer *buffer;
    dt_tensor t[DT_KIT_SIDES];
} dt_kit_tensor;

/* A lazily normalised activation with everything that forward and backward need of it. */
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

/* Begin a case; false if the filter does not want it. The name must tell operation and shape. */
bool dt_kit_begin(dt_kit *kit, const char *format, ...) __attribute__((format(printf, 2, 3)));
void dt_kit_end(dt_kit *kit);

/* Call it off with a reason; the first one counts. */
void dt_kit_fail(dt_kit *kit, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool dt_kit_failed(const dt_kit *kit);

/* Host arrays that live until dt_kit_end: zeros; numbers in [low, high), other ones in each case and at each
 * call. */
void *dt_kit_array(dt_kit *kit, int64_t n_elems, int64_t elem_bytes);
float *dt_kit_random(dt_kit *kit, int64_t n_elems, float low, float high);

/* Tensors. `nchw` is imported into both sides; first it is rounded to what the candidate's dtype holds. */
dt_kit_tensor dt_kit_tensor_in(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w, float *nchw);
dt_kit_tensor dt_kit_tensor_out(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w);
dt_kit_tensor dt_kit_tensor_inout(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w, float *nchw);

/* Flat memory: the same content on both sides (content NULL: NaN), or of each backend's own size and
 * meaning. */
dt_kit_buffer *dt_kit_bytes(dt_kit *kit, dt_kit_role role, const void *content, int64_t n_bytes);
dt_kit_buffer *dt_kit_floats(dt_kit *kit, dt_kit_role role, const float *content, int64_t n_elems);
dt_kit_buffer *dt_kit_opaque(dt_kit *kit, const int64_t n_bytes[DT_KIT_SIDES]);
/* The memory that sums of c channels take on each side. */
dt_kit_buffer *dt_kit_sums(dt_kit *kit, int64_t c);

/* Remember what is in a buffer of both sides now as its content before the call. For buffers filled by an
 * import. */
void dt_kit_remember(dt_kit *kit, dt_kit_buffer *buffer);

/* An activation with random values at a distance from relu's kink; statistics that fit it. */
dt_kit_act dt_kit_act_in(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w,
                         dt_kit_normalisation normalisation);
/* As dt_kit_act_in for values that the case chose: `scale` and `bias` are per channel, NULL for
 * DT_KIT_PLAIN. */
dt_kit_act dt_kit_act_from(dt_kit *kit, int64_t n, int64_t c, int64_t h, int64_t w, float *nchw,
                           const float *scale, const float *bias, bool relu);
dt_bn_backward dt_kit_bn_backward(const dt_kit_act *act, dt_kit_buffer *sums, int side);

/* The call: on the reference once; on the candidate twice, from the same state, which must give the same
 * bits. Then guard bands and inputs are inspected. */
typedef dt_status dt_kit_call(dt_kernels *k, int side, void *arg, dt_error *err);
void dt_kit_execute(dt_kit *kit, dt_kit_call *call, void *arg);

/* Compare what the sides made of an output. The error is relative to the largest expected element, or to
 * `scale` where that is larger: for values that are small differences of large ones. */
void dt_kit_expect_tensor(dt_kit *kit, const char *what, const dt_kit_tensor *tensor);
void dt_kit_expect_floats(dt_kit *kit, const char *what, const dt_kit_buffer *buffer, int64_t n_elems,
                          double scale);
void dt_kit_expect(dt_kit *kit, const char *what, const float *actual, const float *expected, int64_t n_elems,
                   double scale);

/* A buffer's content on the host, in an array of the kit's. */
void *dt_kit_download(dt_kit *kit, const dt_kit_buffer *buffer, int side);

/* DT_TRY for operations that a backend may have left out: the case fails and names it. */
#define DT_KIT_OPERATION(kernels, operation, ...)                                                            \
    ((kernels)->ops->operation == NULL ? dt_fail(err, DT_ERR_UNSUPPORTED, "%s is missing", #operation)       \
                                       : (kernels)->ops->operation((kernels), __VA_ARGS__))

/* The groups of cases; backend_cases.c runs them all. `n` images. */
typedef struct dt_kit_shape {
    int64_t c, h, w;
} dt_kit_shape;

void dt_kit_conv_cases(dt_kit *kit, const dt_conv_desc *desc);                  /* backend_cases_conv.c */
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
