/* layer.h: interface that a kind of layer implements so that core/model/net can build, run and save it.
 *
 * A net is a list of layers in the order in which they run; each reads one or two values and makes one. A
 * value is a lazily normalised activation (core/tensor.h) with its gradient. To add a kind of layer, write a
 * file in layers/ with its mathematics at the top and a dt_layer_ops at the end, and add a row to
 * layers/registry.c. layers/add.c is the shortest example.
 *
 *   create    checks the inputs, prepares kernels, requests memory and parameters from the builder, describes
 *             the output value
 *   complete  (may be NULL) runs once all layers have been created: requests memory that depends on
 *             the layers that read the output
 *   bind      (may be NULL) runs once memory has been assigned: copies pointers between values
 *   forward   reads the inputs' act, fills the output's act
 *   backward  reads the output's grad, writes or adds to the inputs' grads (dt_value_begin_grad,
 *             dt_value_end_grad), fills the gradients of its parameters
 *
 * All functions are local and run on the trainer's thread. forward and backward enqueue work and allocate
 * nothing.
 */
#ifndef DT_CORE_LAYER_H
#define DT_CORE_LAYER_H

#include "core/kernels.h"

#define DT_LAYER_NAME_BYTES 64
#define DT_LAYER_MAX_INPUTS 2

/* One layer of a net, as layers/resnet.c describes it. Fields that a kind does not use are 0. */
typedef struct dt_layer_spec {
    const char *kind;               /* a row of the registry: "conv", "batchnorm", ... */
    char name[DT_LAYER_NAME_BYTES]; /* the prefix of its parameters' names: "layer1.0.conv1" */
    int n_inputs;
    int inputs[DT_LAYER_MAX_INPUTS]; /* values: 0 is the image, i + 1 the output of layer i */
    int64_t channels;                /* conv: filters; linear: outputs */
    int64_t kernel, stride, pad;     /* conv, pooling */
    bool relu;                       /* batchnorm: followed by a ReLU */
    bool last_of_branch;             /* batchnorm: gamma may be initialised to zero */
} dt_layer_spec;

/* A whole net, from the image to the logits and the loss. */
typedef struct dt_net_spec {
    char arch[32];
    int64_t n_classes;
    int64_t n_layers;
    dt_layer_spec *layers; /* [n_layers]; dt_alloc'ed, freed by the caller of the function that fills it */
} dt_net_spec;

/* An activation between layers, with its gradient. */
typedef struct dt_value {
    dt_act act;
    void *sums;        /* not NULL: the layer that makes raw fills these BatchNorm sums, too */
    bool has_bn;       /* act is normalised, and bn holds what backward needs for it */
    dt_bn_backward bn; /* x points to act */
    dt_tensor grad;    /* of the value; after BatchNorm's backward, of raw */
    int n_consumers;   /* layers that read the value */
    int n_pending;     /* consumers that have not added to grad in this pass */
    bool grad_reduced; /* grad is dz of dt_bn_backward, and bn.sums are filled */
    /* Not NULL in the output of a residual join, relu(branch + skip): the join's inputs. */
    struct dt_value *branch, *skip;
    bool join_deferred;   /* the first reader computes the join in its forward, and the join itself nothing */
    bool join_grad_fused; /* the last reader in backward computes the join's backward, too */
    /* The sum of the gradients of the readers that run before the last one in backward. The last one adds its
     * own: its memory is grad's, or other memory if join_grad_fused. */
    dt_tensor earlier_grad;
} dt_value;

/* The parameters of one pass through the net: one micro-batch, forward and backward. */
typedef struct dt_pass {
    bool training;         /* BatchNorm uses this batch's statistics; false: the running ones */
    bool accumulate;       /* add parameters' gradients and statistics (+=); false: overwrite them (=) */
    float stat_weight;     /* of this micro-batch's BatchNorm statistics: 1 / (ranks * micro-batches) */
    const int32_t *labels; /* [n] device memory; -1: padding */
    float label_smoothing;
    float grad_scale;        /* d(objective) / d(loss of an image): 1 / (ranks * micro-batches * n) */
    const float *loss_scale; /* factor of all gradients, in device memory; NULL: 1 */
    dt_loss_sums *loss;      /* device memory; += */
} dt_pass;

typedef enum dt_param_kind {
    DT_PARAM_WEIGHT, /* has weight decay */
    DT_PARAM_BIAS,   /* of a linear layer; has weight decay unless --no-bias-decay */
    DT_PARAM_BN,     /* gamma or beta; has weight decay unless --no-bn-decay */
    /* A running mean or variance: not trained. Its "gradient" is the batch's statistic. */
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

/* A parameter or statistic that a layer requests. */
typedef struct dt_param_request {
    const char *suffix; /* "weight": the parameter is called LAYER.weight */
    dt_param_kind kind;
    dt_param_init init;
    int n_dims;
    int64_t dims[4];       /* canonical shape: OIHW, [out][in], [c] */
    int64_t fan;           /* fan-in or fan-out, whichever `init` needs */
    int64_t n_elems;       /* in the backend's order, padding included */
    float **value, **grad; /* the builder sets them before bind: [n_elems] device memory, owned by the net */
} dt_param_request;

/* Functions of the builder, for create and complete. Pointers to memory (`where`) are set before bind; the
 * net owns the memory. All return DT_ERR_MEMORY when out of host memory. */

dt_status dt_builder_param(dt_net_builder *b, const dt_param_request *request, dt_error *err);
/* Device memory that the layer keeps for the life of the net, for vectors per channel. */
dt_status dt_builder_vector(dt_net_builder *b, int64_t bytes, void **where, dt_error *err);
/* Device memory that keeps its contents from this layer's forward to its backward (for masks), or during one
 * call, of forward or of backward (scratch). Other blocks share it at other times. */
dt_status dt_builder_kept(dt_net_builder *b, int64_t bytes, void **where, dt_error *err);
dt_status dt_builder_scratch(dt_net_builder *b, int64_t bytes, bool in_backward, void **where, dt_error *err);

/* The output is a tensor of this shape with memory of its own for raw. DT_ERR_USAGE: a dimension is below 1,
 * because the image is too small. */
dt_status dt_builder_output(dt_net_builder *b, int64_t n, int64_t c, int64_t h, int64_t w, dt_error *err);
/* The output is a view of input `which`, as of BatchNorm: they share raw, and the gradient of the input
 * overwrites it. The input must be a plain tensor with no other consumer. */
dt_status dt_builder_output_view(dt_net_builder *b, int which, dt_error *err);
/* The gradient of input `which` and that of the output share their memory. Both have the same shape. */
dt_status dt_builder_share_grad(dt_net_builder *b, int which, dt_error *err);

/* This layer is the first reader of input `which`, the output of a join, and computes the join's backward
 * with its own: it reads the input's earlier_grad, and writes the input's grad over raw, which nothing reads
 * any more. The input must have another reader; n_readers counts them, those after this layer included. */
void dt_builder_fuse_join_grad(dt_net_builder *b, int which);
int dt_builder_n_readers(const dt_net_builder *b, int which);

/* In evaluation the layer reads the value, too, though it is not one of its inputs: a join's input that the
 * join's reader reads. (In training every value keeps its memory until backward.) */
void dt_builder_reads(dt_net_builder *b, const dt_value *value);

typedef enum dt_layer_phase { DT_LAYER_FORWARD, DT_LAYER_BACKWARD } dt_layer_phase;

typedef struct dt_layer_ops {
    const char *kind;
    int n_inputs;
    dt_status (*create)(dt_net_builder *b, const dt_layer_spec *spec, dt_layer **layer, dt_error *err);
    dt_status (*complete)(dt_net_builder *b, dt_layer *layer, dt_error *err);
    dt_status (*bind)(dt_layer *layer, dt_error *err);
    dt_status (*forward)(dt_layer *layer, const dt_pass *pass, dt_error *err);
    dt_status (*backward)(dt_layer *layer, const dt_pass *pass, dt_error *err);
    /* Called after the parameters changed. NULL: the layer derives nothing from them. */
    dt_status (*weights_changed)(dt_layer *layer, dt_error *err);
    /* The backend's order of parameter `which` (0 is the first that the layer requested), of its gradient and
     * its momentum. Equal for all layers with these shapes. NULL: the canonical order. */
    void (*param_order)(const dt_layer *layer, int which, dt_weights_order *order);
    /* Multiply-adds of a forward pass over one micro-batch; NULL: too few to count. */
    int64_t (*forward_macs)(const dt_layer *layer);
    /* Bytes of activations, weights and gradients that `phase` of a training pass moves to and from memory at
     * least, with the backend's element size and fusions; NULL: none. For tables and rooflines. */
    int64_t (*traffic_bytes)(const dt_layer *layer, dt_layer_phase phase);
    void (*destroy)(dt_layer *layer);
} dt_layer_ops;

/* A layer's struct begins with this; dt_builder_layer fills it. */
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

/* For create: a layer struct of `bytes`, zeroed except for its dt_layer, which is filled. destroy frees it
 * with dt_free. NULL when out of memory. */
void *dt_builder_layer(dt_net_builder *b, size_t bytes);
/* Whether the net is built for training; false: forward only. */
bool dt_builder_training(const dt_net_builder *b);

/* For the backward of a layer that reads `value`, before and after it writes the value's gradient.
 * begin_grad: *add is the gradient to add its own to, or NULL if this layer is the first to write it. *bn is
 * the BatchNorm (and ReLU) backward to apply to the sum, if this layer is the last to write it and the value
 * has one; else NULL. grad_target: where to write: value->grad, or earlier_grad before the last reader.
 * end_grad: `reduced` is whether the layer applied bn. */
void dt_value_begin_grad(dt_value *value, const dt_tensor **add, const dt_bn_backward **bn);
const dt_tensor *dt_value_grad_target(const dt_value *value);
void dt_value_end_grad(dt_value *value, bool reduced);

#endif
