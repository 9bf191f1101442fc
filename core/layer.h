/* layer.h: the door for layers: what a kind of layer implements so that core/model/net can build, run and
 * save it.
 *
 * A net is a list of layers in order; each reads one or two values and makes one. A value is a lazily
 * normalised activation (core/tensor.h) with its gradient. To add a kind of layer: one file in layers/ with
 * its mathematics on top and a dt_layer_ops at its end, and one row in layers/registry.c.
 *
 * create   checks the inputs, prepares kernels, asks the builder for memory and parameters, describes the
 *          output value
 * bind     (may be NULL) memory has been assigned: copy pointers between values
 * forward  reads inputs' act, fills output's act
 * backward reads output's grad, writes or adds to the inputs' grads (dt_value_begin_grad, dt_value_end_grad),
 * fills the
 *          gradients of its parameters
 */
#ifndef DT_CORE_LAYER_H
#define DT_CORE_LAYER_H

#include "core/kernels.h"

#define DT_LAYER_NAME_BYTES 64
#define DT_LAYER_MAX_INPUTS 2

/* What to build. Fields that a kind does not use are 0. */
typedef struct dt_layer_spec {
    const char *kind;               /* a row of the registry: "conv", "batchnorm", ... */
    char name[DT_LAYER_NAME_BYTES]; /* the prefix of its parameters' names: "layer1.0.conv1" */
    int n_inputs;
    int inputs[DT_LAYER_MAX_INPUTS]; /* values: 0 is the image, i + 1 the output of layer i */
    int64_t channels;                /* conv: filters; linear: outputs */
    int64_t kernel, stride, pad;     /* conv, pooling */
    bool relu;                       /* batchnorm: with a ReLU behind it */
    bool last_of_branch;             /* batchnorm: gamma may be initialised to zero */
} dt_layer_spec;

/* How an image becomes logits. */
typedef struct dt_net_spec {
    char arch[32];
    int64_t n_classes;
    int64_t n_layers;
    dt_layer_spec *layers; /* dt_alloc */
} dt_net_spec;

/* An activation between layers, with its gradient. */
typedef struct dt_value {
    dt_act act;
    void *sums;        /* not NULL: whoever makes raw fills the BatchNorm sums too */
    bool has_bn;       /* act is normalised, and bn says how for backward */
    dt_bn_backward bn; /* x points to act */
    dt_tensor grad;    /* of the value; of raw, where a BatchNorm has passed it on */
    int n_consumers;
    int n_pending;     /* consumers that have not added to grad in this pass */
    bool grad_reduced; /* grad is dz of dt_bn_backward, and bn.sums are filled */
} dt_value;

/* What one pass through the net is for. */
typedef struct dt_pass {
    bool training;         /* BatchNorm: this batch's statistics; false: the running ones */
    bool accumulate;       /* parameters' gradients and statistics are added up, not overwritten */
    float stat_weight;     /* of this micro-batch's BatchNorm statistics: 1 / (ranks * micro-batches) */
    const int32_t *labels; /* device memory [n] */
    float label_smoothing;
    float grad_scale;        /* d(objective) / d(mean loss of a row): 1 / (ranks * micro-batches * n) */
    const float *loss_scale; /* device memory: gradients are multiplied with it; NULL: 1 */
    dt_loss_sums *loss;      /* device memory: += */
} dt_pass;

typedef enum dt_param_kind {
    DT_PARAM_WEIGHT, /* decays */
    DT_PARAM_BIAS,   /* of a linear layer: decays, as in PyTorch */
    DT_PARAM_BN,     /* gamma and beta: decay unless --no-bn-decay */
    /* running mean and variance: a buffer, not trained; its "gradient" is the batch's statistic */
    DT_PARAM_STATISTIC
} dt_param_kind;

typedef enum dt_param_init {
    DT_INIT_ZERO,
    DT_INIT_ONE,
    DT_INIT_HE_FAN_OUT,
    DT_INIT_UNIFORM_FAN_IN
} dt_param_init;

typedef struct dt_layer dt_layer;
typedef struct dt_net_builder dt_net_builder;

/* A parameter or statistic, as a layer asks for it. */
typedef struct dt_param_request {
    const char *suffix; /* "weight": behind the layer's name and a dot */
    dt_param_kind kind;
    dt_param_init init;
    int n_dims;
    int64_t dims[4];       /* canonical shape: OIHW, [out][in], [c] */
    int64_t fan;           /* for init */
    int64_t n_elems;       /* in the backend's order, padding included */
    float **value, **grad; /* set before bind; device memory */
} dt_param_request;

dt_status dt_builder_param(dt_net_builder *b, const dt_param_request *request, dt_error *err);
/* Device memory of the layer's own for as long as the net lives (vectors per channel). *where is set before
 * bind. */
dt_status dt_builder_vector(dt_net_builder *b, int64_t bytes, void **where, dt_error *err);
/* Device memory from this layer's forward to its backward (masks), or for the length of one call, forward or
 * backward (scratch). */
dt_status dt_builder_kept(dt_net_builder *b, int64_t bytes, void **where, dt_error *err);
dt_status dt_builder_scratch(dt_net_builder *b, int64_t bytes, bool in_backward, void **where, dt_error *err);

/* The output is a tensor of its own: memory for raw is planned. (A BatchNorm's is not: it shares its
 * input's.) */
dt_status dt_builder_output(dt_net_builder *b, int64_t n, int64_t c, int64_t h, int64_t w, dt_error *err);
/* The output is the input `which`, seen another way: raw is shared, and the gradient of the input is written
 * over it. The input must be a plain tensor with no other consumer. */
dt_status dt_builder_output_view(dt_net_builder *b, int which, dt_error *err);
/* The gradient of input `which` is the output's gradient, the same memory. */
dt_status dt_builder_share_grad(dt_net_builder *b, int which, dt_error *err);

typedef enum dt_layer_phase { DT_LAYER_FORWARD, DT_LAYER_BACKWARD } dt_layer_phase;

typedef struct dt_layer_ops {
    const char *kind;
    int n_inputs;
    dt_status (*create)(dt_net_builder *b, const dt_layer_spec *spec, dt_layer **layer, dt_error *err);
    dt_status (*bind)(dt_layer *layer, dt_error *err);
    dt_status (*forward)(dt_layer *layer, const dt_pass *pass, dt_error *err);
    dt_status (*backward)(dt_layer *layer, const dt_pass *pass, dt_error *err);
    /* The parameters have new values (NULL: nothing to do). */
    dt_status (*weights_changed)(dt_layer *layer, dt_error *err);
    /* The backend's order of parameter `which` (0 is the first that the layer asked for), of its gradient and
     * of its momentum. NULL: the canonical one. The same for every layer of these shapes. */
    void (*param_order)(const dt_layer *layer, int which, dt_weights_order *order);
    int64_t (*forward_macs)(const dt_layer *layer); /* multiply-adds per pass; NULL: few */
    /* Bytes of activations, weights and gradients that a training pass has to move to and from memory in one
     * direction, at the backend's element size, as the fusions at hand allow; NULL: none. For tables and
     * rooflines. */
    int64_t (*traffic_bytes)(const dt_layer *layer, dt_layer_phase phase);
    void (*destroy)(dt_layer *layer);
} dt_layer_ops;

/* Implementations begin with this; the builder fills all of it before create returns to the net. */
struct dt_layer {
    const dt_layer_ops *ops;
    dt_kernels *kernels;
    dt_value *inputs[DT_LAYER_MAX_INPUTS];
    dt_value *output;
    char name[DT_LAYER_NAME_BYTES];
};

/* Bytes of a tensor, for traffic_bytes. */
static inline int64_t dt_layer_tensor_bytes(const dt_layer *layer, const dt_tensor *t)
{
    return layer->kernels->ops->tensor_bytes(layer->kernels, t->n, t->c, t->h, t->w);
}

/* For create: a zeroed layer of `bytes` with its head filled in, to be freed with dt_free in destroy; NULL
 * when out of memory. */
void *dt_builder_layer(dt_net_builder *b, size_t bytes);
bool dt_builder_training(const dt_net_builder *b);

/* Backward of a consumer of `value`. begin_grad: *add is the gradient so far, or NULL if this is the first
 * consumer to write it; *bn is the BatchNorm (and ReLU) to put behind the sum, if this is the last one and
 * the value has one, else NULL. A consumer that honours bn says so to end_grad. */
void dt_value_begin_grad(dt_value *value, const dt_tensor **add, const dt_bn_backward **bn);
void dt_value_end_grad(dt_value *value, bool reduced);

#endif
