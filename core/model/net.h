/* net.h: a network: builds the layers of a spec, plans their memory, and runs them forward and backward.
 *
 *   dt_net_create(&spec, dt_layer_registry(), kernels, &options, &net, err);
 *   dt_net_init(net, seed, zero_init_gamma, err);
 *   dt_net_forward(net, pixels, &pass, err);  dt_net_backward(net, &pass, ready, context, err);
 *
 * The parameters are parts of one flat vector, in the order of the layers, each at a multiple of 16 elements:
 *
 *   values, grads:  [ trained parameters | BatchNorm statistics | 16 floats of the step: loss sums, votes ]
 *   momentum:       [ trained parameters ]
 *   ema:            [ trained parameters | BatchNorm statistics ]; running averages of values, if requested
 *
 * So one all-reduce carries everything that ranks exchange in a step, and one launch updates all parameters.
 * BatchNorm statistics are reduced like gradients: all ranks average them in every step, and hold the same
 * running statistics.
 *
 * All functions are local and are called by one thread; work is enqueued on the main stream (core/kernels.h).
 */
#ifndef DT_CORE_MODEL_NET_H
#define DT_CORE_MODEL_NET_H

#include "core/collective/grad_buckets.h"
#include "core/layer.h"
#include "core/store.h"

typedef struct dt_net dt_net;

typedef struct dt_net_options {
    int64_t batch;      /* images of a pass */
    int64_t image_size; /* pixels, height and width */
    bool training;      /* false: forward only, in less memory */
    bool ema;           /* for training: allocate the vector of running averages, too */
    bool plan_only;     /* allocate no device memory: for dt_net_get_info and dt_net_layer_traffic only */
} dt_net_options;

/* Create the layers, plan and allocate all memory. `registry` ends with NULL. Borrows kernels and registry;
 * copies the spec. Parameters are zero until dt_net_init, dt_net_state_io's set, or a copy fills them.
 * DT_ERR_USAGE: the images are too small; DT_ERR_MEMORY; DT_ERR_INTERNAL: the spec is invalid; errors of the
 * kernels. */
dt_status dt_net_create(const dt_net_spec *spec, const dt_layer_ops *const *registry, dt_kernels *kernels,
                        const dt_net_options *options, dt_net **net, dt_error *err);
void dt_net_destroy(dt_net *net); /* NULL is fine */

/* Set the initial values: He et al. 2015 with fan-out for convolutions; uniform +-1/sqrt(fan-in) for the
 * linear layer; gamma 1 (0 for the last BatchNorm of each branch if zero_init_gamma), beta 0; running mean 0
 * and variance 1; momentum 0. Averages start from these values. The values depend on the seed alone, not on
 * the backend. Blocking. */
dt_status dt_net_init(dt_net *net, uint64_t seed, bool zero_init_gamma, dt_error *err);

/* Enqueue a forward pass. Pixels: uint8 [batch][size][size][3] RGB in device memory; the net normalises them
 * with ImageNet's mean and standard deviation. Adds to *pass->loss. */
dt_status dt_net_forward(dt_net *net, const uint8_t *pixels, const dt_pass *pass, dt_error *err);

/* Called by dt_net_backward after it has enqueued the layer's work on the gradients of part `part`
 * (dt_net_grad_parts). `ready` calls dt_net_complete_grads before it enqueues anything that reads them. */
typedef dt_status dt_net_ready(void *context, int64_t part, dt_error *err);
/* Enqueue the backward pass of the last forward pass. `ready` may be NULL. Work that is enqueued later finds
 * all gradients complete. */
dt_status dt_net_backward(dt_net *net, const dt_pass *pass, dt_net_ready *ready, void *context,
                          dt_error *err);
/* Complete the gradients that backward has computed so far: gradients_complete of core/kernels.h. */
dt_status dt_net_complete_grads(dt_net *net, dt_error *err);

/* Refresh what the backend and the layers derive from `values`. Call _updated after kernels->optimizer_step,
 * which refreshes the backend's FP16 copy itself, and _changed after anything else changed `values`. */
dt_status dt_net_weights_changed(dt_net *net, dt_error *err);
dt_status dt_net_weights_updated(dt_net *net, dt_error *err);

/* Change the image size, for progressive resizing: creates the layers and plans their memory again. The flat
 * vectors keep their addresses and contents. Call it between steps. After an error the net can only be
 * destroyed. */
dt_status dt_net_resize(dt_net *net, int64_t image_size, dt_error *err);
/* The same with the present size, for kernels that are to use other engines. */
dt_status dt_net_rebuild(dt_net *net, dt_error *err);

/* The flat vectors: device memory, owned by the net. */
typedef struct dt_net_vectors {
    float *values, *grads, *momentum;       /* grads and momentum: NULL without training */
    float *ema;                             /* NULL: none */
    int64_t n_trained, n_statistics, n_all; /* elements; n_all = n_trained + n_statistics + 16 */
    dt_loss_sums *loss;                     /* the first 4 of the step's 16 floats, in grads (without
                                               training in memory of its own) */
    float *votes;                           /* [DT_N_VOTES], the next floats; NULL without training */
} dt_net_vectors;
void dt_net_get_vectors(dt_net *net, dt_net_vectors *vectors);

/* The *n parts of `grads` in the order of the vector: one for each layer with trained parameters, then one
 * for the statistics and the step's floats, which backward reports first. Owned by the net. */
const dt_grad_part *dt_net_grad_parts(const dt_net *net, int64_t *n);

/* The update rule of each parameter, one segment each, for kernels->optimizer_create. *segments is
 * dt_alloc'ed; the caller frees it. DT_ERR_MEMORY. */
typedef struct dt_update_options {
    double weight_decay;
    bool bn_decay;   /* gamma and beta have weight decay, too */
    bool bias_decay; /* those named "bias" have it, too: of a linear layer; beta only with bn_decay */
    bool lars;       /* DT_UPDATE_LARS for weights; BatchNorm's parameters and biases still use SGD */
} dt_update_options;
dt_status dt_net_update_segments(const dt_net *net, const dt_update_options *options,
                                 dt_update_segment **segments, int64_t *n, dt_error *err);

/* Swap values and their running averages, before an evaluation and after it; does nothing without averages.
 * Call it between steps: it overwrites grads. Calls dt_net_weights_changed. */
dt_status dt_net_swap_ema(dt_net *net, dt_error *err);
/* Set the running averages to the current values; does nothing without averages. */
dt_status dt_net_start_ema(dt_net *net, dt_error *err);

/* The tensors of a checkpoint: "param/NAME", "buffer/NAME" and, with training, "momentum/NAME" and, if there
 * are averages, "ema/NAME", with torchvision's names. The net owns the layout. io reads and writes one tensor
 * at a time in canonical order; both block. Call dt_net_weights_changed after set. */
const dt_state_layout *dt_net_state_layout(const dt_net *net);
dt_state_io dt_net_state_io(dt_net *net);

typedef struct dt_net_info {
    int64_t n_params;         /* elements of trained parameters, without padding */
    int64_t activation_bytes; /* planned memory for activations, their gradients and masks */
    int64_t parameter_bytes;  /* of the flat vectors */
    int64_t state_bytes;      /* of the tensors of a checkpoint, in the flat vectors: values, statistics,
                                 momentum, averages */
    int64_t largest_bytes;    /* of the largest of those tensors */
    int64_t backend_bytes;    /* of the backend's scratch memory and derived weights (scratch_bytes) */
    int64_t forward_macs;     /* multiply-adds of one image */
    int64_t n_layers;
    double activation_bytes_unplanned; /* if no two blocks shared memory */
} dt_net_info;
void dt_net_get_info(const dt_net *net, dt_net_info *info);

/* Functions that the net calls before and after it enqueues a layer's part of a pass, for profiles. Layer -1
 * is the normalisation of the input (forward only). Inside a capture they may only do what can be
 * captured. */
typedef struct dt_net_observer {
    void *context;
    dt_status (*before)(void *context, int64_t layer, dt_layer_phase phase, dt_error *err); /* may be NULL */
    dt_status (*after)(void *context, int64_t layer, dt_layer_phase phase, dt_error *err);  /* may be NULL */
} dt_net_observer;
/* Copies *observer; NULL removes it. */
void dt_net_set_observer(dt_net *net, const dt_net_observer *observer);

/* What a layer (-1 to n_layers - 1) moves and computes, at least, in one phase of a training pass over one
 * micro-batch. */
typedef struct dt_layer_traffic {
    const char *name, *kind; /* "layer1.0.conv1", "conv"; owned by the net */
    int64_t bytes;
    double flops; /* a multiply-add is two */
} dt_layer_traffic;
void dt_net_layer_traffic(const dt_net *net, int64_t layer, dt_layer_phase phase, dt_layer_traffic *traffic);

#endif
