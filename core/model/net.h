/* net.h: a network: builds the layers of a spec, plans their memory, runs them forward and backward.
 *
 *   dt_net_create(&spec, dt_layer_registry(), kernels, &options, &net, err);
 *   dt_net_init(net, seed, zero_init_gamma, err);
 *   dt_net_forward(net, pixels, &pass, err);  dt_net_backward(net, &pass, ready, context, err);
 *
 * All parameters lie in one flat vector, in the order of the layers, each at a multiple of 16 elements:
 *   values, grads:  [ trained parameters | BatchNorm statistics | 16 floats for the step: loss sums, votes ]
 *   momentum:       [ trained parameters ]
 *   ema:            [ trained parameters | BatchNorm statistics ], running averages of values, if asked for
 * so that one all-reduce can carry everything that a step tells the other ranks, and one launch updates
 * everything. BatchNorm statistics travel as if they were gradients: all ranks average them in every step,
 * and hold the same running ones.
 */
#ifndef DT_CORE_MODEL_NET_H
#define DT_CORE_MODEL_NET_H

#include "core/collective/grad_buckets.h"
#include "core/layer.h"
#include "core/store.h"

typedef struct dt_net dt_net;

typedef struct dt_net_options {
    int64_t batch, image_size;
    bool training;  /* false: forward only, in less memory */
    bool ema;       /* with training: keep the vector of running averages too */
    bool plan_only; /* nothing of device memory is allocated: for dt_net_get_info and dt_net_layer_traffic
                       only */
} dt_net_options;

/* `registry` ends with NULL. Kernels and registry are borrowed; the spec is copied. */
dt_status dt_net_create(const dt_net_spec *spec, const dt_layer_ops *const *registry, dt_kernels *kernels,
                        const dt_net_options *options, dt_net **net, dt_error *err);
void dt_net_destroy(dt_net *net);

/* He et al. 2015, fan-out, for convolutions; uniform +-1/sqrt(fan in) for the linear layer; gamma 1 (0 for
 * the last of each branch if zero_init_gamma), beta 0; running mean 0 and variance 1; momentum 0. A function
 * of the seed alone. */
dt_status dt_net_init(dt_net *net, uint64_t seed, bool zero_init_gamma, dt_error *err);

/* Pixels: uint8 [batch][size][size][3] RGB in device memory, normalised with ImageNet's mean and standard
 * deviation. */
dt_status dt_net_forward(dt_net *net, const uint8_t *pixels, const dt_pass *pass, dt_error *err);

/* Called after the gradients of part `part` (dt_net_grad_parts) are complete; may be NULL. */
typedef dt_status dt_net_ready(void *context, int64_t part, dt_error *err);
dt_status dt_net_backward(dt_net *net, const dt_pass *pass, dt_net_ready *ready, void *context,
                          dt_error *err);

/* To be called after `values` has changed; _updated after kernels->optimizer_step, which has refreshed the
 * backend's mirror by itself. */
dt_status dt_net_weights_changed(dt_net *net, dt_error *err);
dt_status dt_net_weights_updated(dt_net *net, dt_error *err);

/* Another size of images, for progressive resizing: layers are made and memory is planned anew, parameters,
 * momentum and averages stay. Between steps. After an error the net can only be destroyed. */
dt_status dt_net_resize(dt_net *net, int64_t image_size, dt_error *err);

/* The flat vectors; device memory, owned by the net. */
typedef struct dt_net_vectors {
    float *values, *grads, *momentum;       /* grads and momentum: NULL if not for training */
    float *ema;                             /* NULL: none */
    int64_t n_trained, n_statistics, n_all; /* elements; n_all = n_trained + n_statistics + 16 */
    dt_loss_sums *loss;                     /* in grads: the first 4 of the step's 16 floats (in memory of
                                               its own without training) */
    float *votes;                           /* in grads, behind them: [DT_N_VOTES] */
} dt_net_vectors;
void dt_net_get_vectors(dt_net *net, dt_net_vectors *vectors);

/* Parts of `grads` in the order of the vector; backward reports the last one (statistics and the step's
 * floats) first. */
const dt_grad_part *dt_net_grad_parts(const dt_net *net, int64_t *n);

/* Update rules for kernels->optimizer_create, one segment for each parameter; *segments is dt_alloc'ed and
 * the caller's. */
typedef struct dt_update_options {
    double weight_decay;
    bool bn_decay; /* gamma and beta decay too */
    bool lars;     /* weights take DT_UPDATE_LARS; BatchNorm's parameters and biases stay with SGD */
} dt_update_options;
dt_status dt_net_update_segments(const dt_net *net, const dt_update_options *options,
                                 dt_update_segment **segments, int64_t *n, dt_error *err);

/* Values and their running averages change places, for an evaluation and back; nothing if there are none.
 * Between steps: grads are overwritten. Calls dt_net_weights_changed. */
dt_status dt_net_swap_ema(dt_net *net, dt_error *err);
/* The running averages start from what values are now; nothing if there are none. */
dt_status dt_net_start_ema(dt_net *net, dt_error *err);

/* The state to be saved: "param/NAME", "buffer/NAME" and, with training, "momentum/NAME" and, if kept,
 * "ema/NAME", under torchvision's names. The layout is the net's; io reads and writes canonical order. After
 * set: dt_net_weights_changed. */
const dt_state_layout *dt_net_state_layout(const dt_net *net);
dt_state_io dt_net_state_io(dt_net *net);

typedef struct dt_net_info {
    int64_t n_params;         /* trained, without padding */
    int64_t activation_bytes; /* planned memory for activations, gradients, masks */
    int64_t parameter_bytes;  /* the flat vectors */
    int64_t state_bytes;      /* what a checkpoint holds of them: values and statistics, momentum, running
                                 averages */
    int64_t largest_bytes;    /* of a tensor of that */
    int64_t backend_bytes;    /* the backend's scratch memory and derived weights (kernels->scratch_bytes) */
    int64_t forward_macs;     /* per image */
    int64_t n_layers;
    double activation_bytes_unplanned; /* what it would be if nothing were reused */
} dt_net_info;
void dt_net_get_info(const dt_net *net, dt_net_info *info);

/* Called in order of the stream before and after every layer's part of a pass; for profiles and ranges. Layer
 * -1 is the input's normalisation (forward only). Not to be captured into a graph unless what it does can
 * be. */
typedef struct dt_net_observer {
    void *context;
    dt_status (*before)(void *context, int64_t layer, dt_layer_phase phase, dt_error *err); /* may be NULL */
    dt_status (*after)(void *context, int64_t layer, dt_layer_phase phase, dt_error *err);  /* may be NULL */
} dt_net_observer;
void dt_net_set_observer(dt_net *net, const dt_net_observer *observer); /* copied; NULL: none */

/* What a layer (-1 to n_layers - 1) has to move and to compute in one training pass over one micro-batch. */
typedef struct dt_layer_traffic {
    const char *name, *kind; /* "layer1.0.conv1", "conv"; owned by the net */
    int64_t bytes;
    double flops; /* a multiply-add is two */
} dt_layer_traffic;
void dt_net_layer_traffic(const dt_net *net, int64_t layer, dt_layer_phase phase, dt_layer_traffic *traffic);

#endif
