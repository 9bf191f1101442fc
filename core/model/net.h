/* net.h: a network: builds the layers of a spec, plans their memory, runs them forward and backward.
 *
 *   dt_net_create(&spec, dt_layer_registry(), kernels, &options, &net, err);
 *   dt_net_init(net, seed, zero_init_gamma, err);
 *   dt_net_forward(net, pixels, &pass, err);  dt_net_backward(net, &pass, ready, context, err);
 *
 * All parameters lie in one flat vector, in the order of the layers, each at a multiple of 16 elements:
 *   values, grads:  [ trained parameters | BatchNorm statistics | 16 floats for the step: loss sums, stop request ]
 *   momentum:       [ trained parameters ]
 * so that one all-reduce can carry everything that a step tells the other ranks, and one launch updates everything.
 * BatchNorm statistics travel as if they were gradients: all ranks average them in every step, and hold the same running ones.
 */
#ifndef DT_CORE_MODEL_NET_H
#define DT_CORE_MODEL_NET_H

#include "core/layer.h"
#include "core/store.h"
#include "core/training/grad_buckets.h"

typedef struct dt_net dt_net;

typedef struct dt_net_options {
    int64_t batch, image_size;
    bool training; /* false: forward only, in less memory */
} dt_net_options;

/* `registry` ends with NULL. Kernels and registry are borrowed; the spec is copied. */
dt_status dt_net_create(const dt_net_spec *spec, const dt_layer_ops *const *registry, dt_kernels *kernels, const dt_net_options *options, dt_net **net,
                        dt_error *err);
void dt_net_destroy(dt_net *net);

/* He et al. 2015, fan-out, for convolutions; uniform +-1/sqrt(fan in) for the linear layer; gamma 1 (0 for the last of each branch
 * if zero_init_gamma), beta 0; running mean 0 and variance 1; momentum 0. A function of the seed alone. */
dt_status dt_net_init(dt_net *net, uint64_t seed, bool zero_init_gamma, dt_error *err);

/* Pixels: uint8 [batch][size][size][3] RGB in device memory, normalised with ImageNet's mean and standard deviation. */
dt_status dt_net_forward(dt_net *net, const uint8_t *pixels, const dt_pass *pass, dt_error *err);

/* Called after the gradients of part `part` (dt_net_grad_parts) are complete; may be NULL. */
typedef dt_status dt_net_ready(void *context, int64_t part, dt_error *err);
dt_status dt_net_backward(dt_net *net, const dt_pass *pass, dt_net_ready *ready, void *context, dt_error *err);

/* To be called after `values` has changed. */
dt_status dt_net_weights_changed(dt_net *net, dt_error *err);

/* The flat vectors; device memory, owned by the net. */
typedef struct dt_net_vectors {
    float *values, *grads, *momentum;       /* grads and momentum: NULL if not for training */
    int64_t n_trained, n_statistics, n_all; /* elements; n_all = n_trained + n_statistics + 16 */
    dt_loss_sums *loss;                     /* in grads: the first 4 of the step's 16 floats (in memory of its own without training) */
    float *stop;                            /* in grads: the fifth */
} dt_net_vectors;
void dt_net_get_vectors(dt_net *net, dt_net_vectors *vectors);

/* Parts of `grads` in the order of the vector; backward reports the last one (statistics and the step's floats) first. */
const dt_grad_part *dt_net_grad_parts(const dt_net *net, int64_t *n);

/* Update rules for kernels->optimizer_step; *segments is dt_alloc'ed and the caller's. */
dt_status dt_net_update_segments(const dt_net *net, double weight_decay, bool bn_decay, dt_update_segment **segments, int64_t *n, dt_error *err);

/* The state to be saved: "param/NAME", "buffer/NAME" and, with training, "momentum/NAME", under torchvision's names.
 * The layout is the net's; io reads and writes canonical order. After set: dt_net_weights_changed. */
const dt_state_layout *dt_net_state_layout(const dt_net *net);
dt_state_io dt_net_state_io(dt_net *net);

typedef struct dt_net_info {
    int64_t n_params;         /* trained, without padding */
    int64_t activation_bytes; /* planned memory for activations, gradients, masks */
    int64_t parameter_bytes;  /* the flat vectors */
    int64_t forward_macs;     /* per image */
    int64_t n_layers;
    double activation_bytes_unplanned; /* what it would be if nothing were reused */
} dt_net_info;
void dt_net_get_info(const dt_net *net, dt_net_info *info);

#endif
