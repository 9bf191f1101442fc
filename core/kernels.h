/* kernels.h: interface to the arithmetic: fused operations, which save passes over memory.
 *
 *   k->ops->conv_forward(k, conv, &x, w, &y, sums, err);       y = conv(act(x)), sums = per-channel sum and
 *                                                              sum of squares
 *   k->ops->bn_finalize(k, &bn, err);                          sums -> scale and bias
 *   dt_act z = {y, bn.scale, bn.bias, true};                   relu(batchnorm(y)) without a pass over memory
 *
 * Three backends implement it: layers/ref (plain C with float64 sums, the reference of tests), layers/cpu
 * (oneDNN), layers/cuda.
 *
 * Rules for all of them:
 * - Tensors are device memory in the backend's own layout (tensor_bytes, tensor_import, tensor_export).
 *   Tensors with h = w = 1 (features, logits) are [n][c] row-major in every backend. Per-channel vectors are
 *   float32 [c].
 * - Activations have n * c * h * w elements of the backend's dtype; channels are a multiple of 16, except the
 *   image's 3.
 * - Calls enqueue their work on the backend's main stream, in order. A later call can return the error of an
 *   earlier one. One thread makes all calls.
 * - Only create-functions and values_bind allocate memory, scratch memory included; a step allocates none.
 * - Outputs may alias inputs only where a comment says so. "=" overwrites an output, "+=" adds to it, and
 *   `accumulate` selects "+=".
 * - relu (v < 0 ? 0 : v) and max pooling keep a NaN, so a training that has diverged shows it in the loss.
 *   Where a library's relu, fused into a convolution, makes it 0, a scale or bias of bn_finalize or
 *   bn_inference that is not finite makes the sum of the next softmax_loss NaN. The sums of a training make
 *   scale and bias so; an evaluation may lose a NaN of a raw tensor (layers/cuda/README.md).
 * - The same inputs and shapes give the same bits, for any number of threads.
 * - Errors: DT_ERR_DEVICE; DT_ERR_MEMORY and DT_ERR_UNSUPPORTED from functions that allocate.
 */
#ifndef DT_CORE_KERNELS_H
#define DT_CORE_KERNELS_H

#include "core/base/error.h"
#include "core/device.h"
#include "core/engines.h"
#include "core/tensor.h"
#include "core/weights_order.h"

typedef struct dt_kernels dt_kernels;
typedef struct dt_conv dt_conv;     /* a convolution prepared for one shape */
typedef struct dt_linear dt_linear; /* a fully connected layer prepared for one shape */

/* The form of input that the calls of a convolution will have; some backends prepare each form separately.
 * For another form a backend may compose slower operations, or return an error. */
typedef enum dt_conv_input {
    DT_CONV_INPUT_ANY,
    DT_CONV_INPUT_PLAIN, /* x->scale is NULL in every call */
    DT_CONV_INPUT_LAZY,  /* x is lazy wherever conv_fusions allows it; backward_data mostly with `bn` */
    /* x is the output of a residual join of which this convolution is the first reader. The branch is lazy
     * without a relu; the skip is plain (JOIN), or lazy without a relu (JOIN_LAZY). Forward is
     * conv_forward_join where conv_fusions allows it; x is plain in every other call. */
    DT_CONV_INPUT_JOIN,
    DT_CONV_INPUT_JOIN_LAZY
} dt_conv_input;

/* A convolution without a bias: x [n, c, h, w] -> y [n, k, p, q], p = (h + 2 pad - r) / stride + 1, q
 * likewise. */
typedef struct dt_conv_desc {
    int64_t n, c, h, w;
    int64_t k, r, s;     /* filters, their height and width */
    int64_t stride, pad; /* the same in both directions */
    bool for_training;   /* false: only forward is prepared */
    bool reads_image;    /* the stem: x has 3 channels, and dx is never computed */
    dt_conv_input input;
} dt_conv_desc;

static inline int64_t dt_conv_out_h(const dt_conv_desc *d)
{
    return (d->h + 2 * d->pad - d->r) / d->stride + 1;
}
static inline int64_t dt_conv_out_w(const dt_conv_desc *d)
{
    return (d->w + 2 * d->pad - d->s) / d->stride + 1;
}

/* What the backend can fuse into this convolution. Where a bit is missing, layers/conv.c composes separate
 * operations. */
typedef enum dt_conv_fusion {
    DT_CONV_FUSE_PROLOGUE = 1 << 0,          /* conv_forward reads a lazy x */
    DT_CONV_FUSE_SUMS = 1 << 1,              /* conv_forward yields sums */
    DT_CONV_FUSE_BACKWARD_EPILOGUE = 1 << 2, /* conv_backward_data with `bn` */
    DT_CONV_FUSE_BACKWARD_ADD = 1 << 3,      /* conv_backward_data with `add` */
    DT_CONV_FUSE_WEIGHTS_PROLOGUE = 1 << 4,  /* conv_backward_weights reads a lazy x */
    DT_CONV_FUSE_JOIN = 1 << 5,              /* conv_forward_join, with sums */
    DT_CONV_FUSE_BACKWARD_JOIN = 1 << 6      /* conv_backward_data_join */
} dt_conv_fusion;

/* BatchNorm forward in training (Ioffe and Szegedy 2015): m = count values per channel,
 *   mean = sum / m, var = sumsq / m - mean^2 (biased), invstd = 1 / sqrt(var + eps),
 *   scale = gamma * invstd, bias = beta - mean * scale.
 * For the running statistics: stat_mean +=|= stat_weight * mean,
 *   stat_var +=|= stat_weight * var * m / (m - 1) (unbiased; if m = 1: stat_weight * var). */
typedef struct dt_bn_forward {
    int64_t c, count;
    const void *sums; /* from conv_forward or bn_sums */
    const float *gamma, *beta;
    float eps;
    float *mean, *invstd;        /* [c] kept for backward */
    float *scale, *bias;         /* [c] outputs: of the lazy activation */
    float *stat_mean, *stat_var; /* [c] */
    float stat_weight;
    bool accumulate; /* += for stat_mean and stat_var */
} dt_bn_forward;

/* BatchNorm (and ReLU) backward, first half. With dv the gradient of the activation's value:
 *   dz = dv where scale * raw + bias > 0 (all of dv if there is no relu), else 0
 *   dgamma = sum of dz * (raw - mean) * invstd, dbeta = sum of dz (unscaled, per channel, into sums). */
typedef struct dt_bn_backward {
    const dt_act *x;            /* the normalised activation: raw, scale, bias, relu */
    const float *mean, *invstd; /* [c] from bn_finalize */
    const float *gamma, *beta;  /* [c] as in bn_finalize, for a library that computes the relu's mask from
                                   them instead of from scale and bias */
    void *sums;                 /* bn_sums_bytes(c): overwritten */
} dt_bn_backward;

/* Backward of a residual join, relu(act(branch) + act(skip)): g = the gradient of its output where the sum of
 * its inputs is above 0, else 0. The sum is computed as residual_forward computes it: from scale and bias of
 * branch->x and skip_bn->x. */
typedef struct dt_join_backward {
    const dt_bn_backward *branch; /* without a relu; its sums are filled */
    const dt_tensor *skip;        /* raw of the skip */
    const dt_bn_backward
        *skip_bn; /* of a normalised skip, without a relu, whose sums are filled; else NULL */
} dt_join_backward;

/* BatchNorm backward, second half: m = count,
 *   dgamma +=|= sums.dgamma, dbeta +=|= sums.dbeta,
 *   a = gamma * invstd, b = -a * invstd * sums.dgamma / m, c = -a * sums.dbeta / m - b * mean,
 * so that the gradient of raw is a * dz + b * raw + c. */
typedef struct dt_bn_backward_apply {
    int64_t c, count;
    const void *sums;
    const float *gamma, *mean, *invstd;
    float *dgamma, *dbeta; /* [c] */
    bool accumulate;
    float *coefficients; /* [3][c], overwritten: a, then b, then c */
} dt_bn_backward_apply;

/* Max pooling window: the stem's is 3x3, stride 2, pad 1. */
typedef struct dt_pool_desc {
    int64_t window, stride, pad;
} dt_pool_desc;

/* The rule by which optimizer_step updates one parameter tensor w, with v its momentum and g its gradient
 * divided by the loss scale:
 *   SGD:              g' = g + decay * w;  v = momentum * v + g';
 *                     w -= lr * (nesterov ? g' + momentum * v : v)
 *   LARS:             (You, Gitman and Ginsburg 2017) local = trust * |w| / (|g| + decay * |w| + eps), or
 *                     trust if |w| or |g| is 0; g' = local * (g + decay * w), then v and w as for SGD; |.| is
 *                     the 2-norm of the whole tensor
 *   With rate_in_velocity g' of both rules has the factor lr, and w -= nesterov ? g' + momentum * v : v.
 *   RUNNING_AVERAGE:  w += rate * (g - w) for BatchNorm's running statistics; g is the batch's statistic, and
 *                     is not divided */
typedef enum dt_update_rule { DT_UPDATE_SGD, DT_UPDATE_RUNNING_AVERAGE, DT_UPDATE_LARS } dt_update_rule;

/* One parameter tensor in the flat vectors. (LARS needs the norm of each tensor.) */
typedef struct dt_update_segment {
    int64_t first, n; /* elements; both multiples of 16; padding is zero and stays zero */
    dt_update_rule rule;
    float weight_decay;
} dt_update_segment;

typedef struct dt_optimizer dt_optimizer; /* a desc and its segments; in device memory on a GPU */

typedef struct dt_optimizer_desc {
    float momentum;
    bool nesterov;
    bool rate_in_velocity;
    float running_average_rate; /* BatchNorm's "momentum": 0.1 */
    float lars_trust, lars_eps;
    /* Dynamic loss scaling (Micikevicius et al. 2018). false: optimizer_step does not check whether gradients
     * are finite, and the scale never changes. */
    bool loss_scaling;
    float growth, backoff;   /* factors: 2 and 0.5 */
    int32_t growth_interval; /* consecutive good steps before the scale grows: 2000 */
} dt_optimizer_desc;

/* The flat vectors, in device memory. */
typedef struct dt_optimizer_vectors {
    float *values;
    const float *grads;
    float *momentum;
    float *ema; /* of values and statistics, at the same offsets as in values, or NULL: after the update
                   ema = ema_decay * ema + (1 - ema_decay) * w */
} dt_optimizer_vectors;

/* The number of votes in a step: each rank contributes 0 or 1 to each, and after the step all ranks have the
 * sums over the ranks. core/collective/votes.h gives their meaning. */
enum { DT_N_VOTES = 4 };

/* What the host writes before each step; in device memory. */
typedef struct dt_step_inputs {
    float lr;
    float ema_decay; /* of this step */
    float votes[DT_N_VOTES];
} dt_step_inputs;

/* What persists from step to step; in device memory. */
typedef struct dt_step_state {
    float loss_scale;
    int32_t n_good;     /* good steps since the scale changed */
    int32_t found_inf;  /* 1: the last step was skipped, because a gradient was not finite */
    int32_t n_skipped;  /* steps skipped so far */
    int32_t n_recorded; /* calls of step_record so far */
} dt_step_state;

/* Sums over the images of a step; in device memory; softmax_loss adds to them. loss is a sum, top1 and top5
 * are counts of images that are right, n counts the labels that are not -1. */
typedef struct dt_loss_sums {
    float loss, top1, top5, n;
} dt_loss_sums;

/* The results of a finished step; in device memory. */
typedef struct dt_step_record {
    dt_loss_sums global, local; /* of all ranks; of this one */
    float votes[DT_N_VOTES];    /* summed over the ranks */
    float loss_scale;           /* for the next step */
    int32_t n_skipped;          /* steps skipped so far, this one included */
    int32_t index;              /* the number of records before this one */
} dt_step_record;

typedef struct dt_kernels_ops {
    const char *name; /* "ref", "cpu", "cuda" */
    void (*destroy)(dt_kernels *k);

    /* -- layouts ----------------------------------------------------------------------------------------- */
    int64_t (*tensor_bytes)(dt_kernels *k, int64_t n, int64_t c, int64_t h, int64_t w);
    /* Between host float32 NCHW and the backend's layout; for tests and tools, blocking. */
    dt_status (*tensor_import)(dt_kernels *k, const float *nchw, const dt_tensor *t, dt_error *err);
    dt_status (*tensor_export)(dt_kernels *k, const dt_tensor *t, float *nchw, dt_error *err);
    /* A short text that names all layouts in use. It must be equal on all ranks, which add up their
     * gradients. Static storage, or owned by the kernels. */
    const char *(*layout_name)(dt_kernels *k);
    /* Bytes of scratch memory and derived weights that the backend holds now; the net did not allocate
     * them. */
    int64_t (*scratch_bytes)(dt_kernels *k);
    /* The engines that conv_create and linear_create choose, and those that they must use if they can; owned
     * by the kernels, whose create-calls change it. It is NULL, or returns NULL, in backends that have
     * nothing to choose. */
    dt_engine_choices *(*engines)(dt_kernels *k);

    /* -- input: y = (pixels / 255 - mean) / std, pixels uint8 [n][h][w][3] in device memory -------------- */
    dt_status (*normalize_input)(dt_kernels *k, const uint8_t *pixels, const float mean[3],
                                 const float std[3], const dt_tensor *y, dt_error *err);

    /* -- convolution ------------------------------------------------------------------------------------- */
    dt_status (*conv_create)(dt_kernels *k, const dt_conv_desc *desc, dt_conv **conv, dt_error *err);
    void (*conv_destroy)(dt_kernels *k, dt_conv *conv);
    unsigned (*conv_fusions)(dt_kernels *k, const dt_conv *conv); /* bits of dt_conv_fusion */
    /* The number of float32 elements of the weights, their gradient and their momentum in the backend's
     * order, padding included, which is zero. In one backend the order depends on (k, c, r, s) alone, not on
     * n, h and w. */
    int64_t (*conv_weights_elems)(dt_kernels *k, const dt_conv *conv);
    /* The backend's order of the weights; the canonical order is OIHW. */
    void (*conv_weights_order)(dt_kernels *k, const dt_conv *conv, dt_weights_order *order);
    /* Refresh what the backend derives from w for this convolution (weights in other orders). The caller
     * calls it after each change of w, before the next use. values_changed refreshes what is derived from the
     * whole flat vector. */
    dt_status (*conv_weights_changed)(dt_kernels *k, dt_conv *conv, const float *w, dt_error *err);

    /* y = conv(act(x), w). sums (may be NULL) = sums per channel of y over n, p, q; bn_sums_bytes(k)
     * bytes. */
    dt_status (*conv_forward)(dt_kernels *k, dt_conv *conv, const dt_act *x, const float *w,
                              const dt_tensor *y, void *sums, dt_error *err);
    /* x = relu(act(branch) + act(skip)), y = conv(x, w); sums as in conv_forward. For a convolution whose
     * conv_fusions has DT_CONV_FUSE_JOIN; NULL in backends that have none. x overlaps no input. */
    dt_status (*conv_forward_join)(dt_kernels *k, dt_conv *conv, const dt_act *branch, const dt_act *skip,
                                   const dt_tensor *x, const float *w, const dt_tensor *y, void *sums,
                                   dt_error *err);
    /* dx = dgrad(dy, w) + add (may be NULL, may be dx itself); then, if bn is not NULL, dx = dz of
     * dt_bn_backward with dv = that sum, and bn->sums is filled. */
    dt_status (*conv_backward_data)(dt_kernels *k, dt_conv *conv, const dt_tensor *dy, const float *w,
                                    const dt_tensor *add, const dt_bn_backward *bn, const dt_tensor *dx,
                                    dt_error *err);
    /* dx = g of dt_join_backward for the gradient dgrad(dy, w) + add. For a convolution whose conv_fusions
     * has DT_CONV_FUSE_BACKWARD_JOIN; NULL in backends that have none. dx overlaps no input. g is masked by
     * the sum before it is rounded to the dtype of the join's output. */
    dt_status (*conv_backward_data_join)(dt_kernels *k, dt_conv *conv, const dt_tensor *dy, const float *w,
                                         const dt_tensor *add, const dt_join_backward *join,
                                         const dt_tensor *dx, dt_error *err);
    /* dw (= or +=) wgrad(act(x), dy). dw is float32. If it is in the vector of values_bind, then it is
     * complete after gradients_complete. */
    dt_status (*conv_backward_weights)(dt_kernels *k, dt_conv *conv, const dt_act *x, const dt_tensor *dy,
                                       float *dw, bool accumulate, dt_error *err);

    /* -- batch normalisation ----------------------------------------------------------------------------- */
    int64_t (*bn_sums_bytes)(dt_kernels *k, int64_t c);
    /* sums = sum and sum of squares per channel of y, for a convolution that does not yield them. */
    dt_status (*bn_sums)(dt_kernels *k, const dt_tensor *y, void *sums, dt_error *err);
    dt_status (*bn_finalize)(dt_kernels *k, const dt_bn_forward *bn, dt_error *err);
    /* Evaluation: scale = gamma / sqrt(running_var + eps), bias = beta - running_mean * scale. */
    dt_status (*bn_inference)(dt_kernels *k, int64_t c, const float *gamma, const float *beta,
                              const float *running_mean, const float *running_var, float eps, float *scale,
                              float *bias, dt_error *err);
    /* dz and bn->sums from dv, as dt_bn_backward says. dz may be dv; then a backend may leave dv as it is,
     * and apply the ReLU's mask in bn_backward_apply. */
    dt_status (*bn_backward_reduce)(dt_kernels *k, const dt_bn_backward *bn, const dt_tensor *dv,
                                    const dt_tensor *dz, dt_error *err);
    /* dgamma and dbeta as dt_bn_backward_apply says, and dy = a * dz + b * raw + c, with x->raw. x->relu: dz
     * comes from bn_backward_reduce with dz = dv. dy may be dz, or x->raw: the net overwrites a convolution's
     * output with its gradient, because nothing reads the output any more. */
    dt_status (*bn_backward_apply)(dt_kernels *k, const dt_bn_backward_apply *bn, const dt_act *x,
                                   const dt_tensor *dz, const dt_tensor *dy, dt_error *err);
    /* y = the value of x; y may be x->raw. */
    dt_status (*act_materialize)(dt_kernels *k, const dt_act *x, const dt_tensor *y, dt_error *err);

    /* -- residual join: y = relu(act(branch) + act(skip)) ------------------------------------------------ */
    int64_t (*residual_mask_bytes)(dt_kernels *k, const dt_tensor *y); /* 0: the backend reads y instead */
    dt_status (*residual_forward)(dt_kernels *k, const dt_act *branch, const dt_act *skip, const dt_tensor *y,
                                  void *mask, dt_error *err);
    /* g = dy where y > 0 (from mask or y), else 0; g may be dy. branch and skip (NULL: that input is not
     * normalised) have no relu; fills their sums from g. */
    dt_status (*residual_backward)(dt_kernels *k, const dt_tensor *dy, const dt_tensor *y, const void *mask,
                                   const dt_bn_backward *branch, const dt_bn_backward *skip,
                                   const dt_tensor *g, dt_error *err);

    /* -- pooling ----------------------------------------------------------------------------------------- */
    /* y = maxpool(act(x)). argmax[elements of y] = the position in the window (row * window + column) of the
     * first maximum, for backward; NULL in evaluation. */
    dt_status (*max_pool_forward)(dt_kernels *k, const dt_pool_desc *pool, const dt_act *x,
                                  const dt_tensor *y, uint8_t *argmax, dt_error *err);
    /* dv = dy, scattered by argmax; dz and bn->sums from dv, as dt_bn_backward says. */
    dt_status (*max_pool_backward)(dt_kernels *k, const dt_pool_desc *pool, const dt_tensor *dy,
                                   const uint8_t *argmax, const dt_bn_backward *bn, const dt_tensor *dz,
                                   dt_error *err);
    /* y [n][c] = mean over h, w of x */
    dt_status (*average_pool_forward)(dt_kernels *k, const dt_tensor *x, const dt_tensor *y, dt_error *err);
    dt_status (*average_pool_backward)(dt_kernels *k, const dt_tensor *dy, const dt_tensor *dx,
                                       dt_error *err);

    /* -- fully connected: y [n][k] = x [n][c] w^T + bias, w [k][c] row-major, bias [k] ------------------- */
    dt_status (*linear_create)(dt_kernels *k, int64_t n, int64_t c, int64_t n_out, dt_linear **linear,
                               dt_error *err);
    void (*linear_destroy)(dt_kernels *k, dt_linear *linear);
    dt_status (*linear_forward)(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                const float *bias, const dt_tensor *y, dt_error *err);
    /* dw as in conv_backward_weights. */
    dt_status (*linear_backward)(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                 const dt_tensor *dy, const dt_tensor *dx, float *dw, float *dbias,
                                 bool accumulate, dt_error *err);

    /* -- loss: cross-entropy of softmax against (1 - smoothing) onehot + smoothing / classes ------------- */
    /* sums += loss and counts of the logits [n][classes] against labels[n]. Label -1 is padding: no loss, no
     * count, zero gradient. An image is right at top-k if fewer than k logits are greater than its label's
     * (of equal logits the lower index counts as greater); one with a NaN is never right. dlogits (NULL in
     * evaluation) = grad_scale * *loss_scale * (softmax - target); loss_scale is in device memory, NULL:
     * 1. */
    dt_status (*softmax_loss)(dt_kernels *k, const dt_tensor *logits, const int32_t *labels, float smoothing,
                              float grad_scale, const float *loss_scale, const dt_tensor *dlogits,
                              dt_loss_sums *sums, dt_error *err);

    /* -- the flat vectors of values and gradients -------------------------------------------------------- */
    /* For a backend with FP16 weights, which keeps FP16 copies of the flat vectors; all three pointers are
     * NULL in other backends. values_bind announces the vector (of n_elems) that contains all weights of
     * later calls, and that of their gradients (NULL in evaluation), and allocates the copies; values NULL
     * frees the copies, before the caller frees the vectors. optimizer_step refreshes the copy of the values
     * by itself; the caller calls values_changed after anything else has written values. */
    dt_status (*values_bind)(dt_kernels *k, const float *values, const float *grads, int64_t n_elems,
                             dt_error *err);
    dt_status (*values_changed)(dt_kernels *k, dt_error *err);
    /* Convert the weight gradients that conv_backward_weights and linear_backward have left in 16 bits to
     * float32, or add them, as `accumulate` of those calls says: all of them in one pass. The caller calls it
     * before anything else reads or adds to the gradients. Without such gradients it does nothing. */
    dt_status (*gradients_complete)(dt_kernels *k, dt_error *err);

    /* -- a step's beginning and end ---------------------------------------------------------------------- */
    /* Zero the n_step_floats floats that begin at `loss`, then copy in->votes to `votes`, which lies among
     * them. */
    dt_status (*step_begin)(dt_kernels *k, const dt_step_inputs *in, dt_loss_sums *loss, float *votes,
                            int64_t n_step_floats, dt_error *err);
    /* ring[state->n_recorded % n_ring] = the results of the step; n_recorded += 1. All in device memory. */
    dt_status (*step_record)(dt_kernels *k, dt_step_state *state, const dt_loss_sums *global,
                             const dt_loss_sums *local, const float *votes, dt_step_record *ring,
                             int64_t n_ring, dt_error *err);

    /* -- update of the flat vectors: checks that gradients are finite, and updates ----------------------- */
    /* Copies the segments, which ascend and do not overlap. */
    dt_status (*optimizer_create)(dt_kernels *k, const dt_optimizer_desc *desc,
                                  const dt_update_segment *segments, int64_t n_segments,
                                  dt_optimizer **optimizer, dt_error *err);
    void (*optimizer_destroy)(dt_kernels *k, dt_optimizer *optimizer); /* NULL is fine */
    /* If loss_scaling is set and any element of any segment's gradient (statistics included) is not finite,
     * changes nothing in v; found_inf = 1, n_skipped += 1, n_good = 0, loss_scale *= backoff, but not below
     * 1. Otherwise updates every segment by its rule, with gradients divided by loss_scale; then, if
     * loss_scaling is set, found_inf = 0 and n_good += 1, and at growth_interval n_good = 0 and loss_scale *=
     * growth, but not above 2^24. The formulas are in layers/arithmetic.h. */
    dt_status (*optimizer_step)(dt_kernels *k, dt_optimizer *optimizer, const dt_optimizer_vectors *v,
                                const dt_step_inputs *inputs, dt_step_state *state, dt_error *err);
} dt_kernels_ops;

/* Implementations begin with this. The device is borrowed. */
struct dt_kernels {
    const dt_kernels_ops *ops;
    dt_device *device;
    dt_dtype dtype; /* of activations, as --precision says: F32, F16, BF16 or TF32 */
};

#endif
