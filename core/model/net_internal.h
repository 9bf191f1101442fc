/* net_internal.h: what the files of a net share. net.c calls net_build.c, net_params.c, net_run.c and
 * net_state.c; net_init.c calls net_run.c and net_state.c; the others call none.
 *
 *   net_build.c   layers, and the memory of activations
 *   net_params.c  the flat vectors of parameters and gradients
 *   net_state.c   names, shapes and addresses of the tensors in a checkpoint
 *   net_init.c    initial values, running averages
 *   net_run.c     forward, backward
 */
#ifndef DT_CORE_MODEL_NET_INTERNAL_H
#define DT_CORE_MODEL_NET_INTERNAL_H

#include "core/model/memory_plan.h"
#include "core/model/net.h"
#include "core/model/state_addresses.h"

#define DT_STEP_FLOATS 16     /* at the end of grads: loss sums, votes, the rest zero */
#define DT_PARAM_ALIGNMENT 16 /* elements: optimizer_step's vectors */

typedef struct dt_param {
    char name[DT_STATE_NAME_BYTES];
    dt_param_kind kind;
    dt_param_init init;
    bool last_of_branch; /* the gamma of a residual branch's last BatchNorm */
    int n_dims;
    int64_t dims[4];
    int64_t fan;
    int64_t n_canonical; /* elements without padding */
    int64_t n_native;    /* elements with the backend's padding */
    int64_t first;       /* the offset of its first element in the flat vectors */
    int64_t layer;
    int which;             /* 0 is the first parameter that the layer requested */
    float **value, **grad; /* the layer's pointers, to set */
} dt_param;

static inline bool dt_param_is_trained(const dt_param *p)
{
    return p->kind != DT_PARAM_STATISTIC;
}

/* Elements that it takes in a flat vector: the next parameter begins after them. */
static inline int64_t dt_param_padded_elems(const dt_param *p)
{
    return (p->n_native + DT_PARAM_ALIGNMENT - 1) / DT_PARAM_ALIGNMENT * DT_PARAM_ALIGNMENT;
}

/* A pointer to set to a block's address once memory is allocated. */
typedef struct dt_patch {
    int64_t block;
    void **where;
} dt_patch;

/* How the memory of a value is planned. */
typedef struct dt_value_plan {
    int64_t raw_of;   /* the value whose raw this one shares; itself if it has its own; -1: it has no tensor
                           (the loss) */
    int64_t grad_of;  /* union-find parent of values whose gradients share memory */
    int64_t producer; /* layer; -1 for the image */
    int64_t last_consumer;
    bool grad_over_raw; /* the gradient overwrites raw (of a BatchNorm's input) */
    /* If the value's join_grad_fused: the layer that reads earlier_grad, and the value whose gradient that
     * is; -1: it has memory of its own. */
    int64_t fused_at, earlier_grad_of;
} dt_value_plan;

struct dt_net {
    dt_kernels *kernels;
    dt_net_options options;
    char arch[32];
    int64_t n_layers, n_classes;
    dt_layer_spec *specs;                /* [n_layers]; owned; dt_net_resize reads them, too */
    const dt_layer_ops *const *registry; /* borrowed */
    dt_net_observer observer;
    bool values_bound;
    dt_layer **layers;
    dt_value *values;           /* [n_layers + 1] */
    dt_value_plan *value_plans; /* [n_layers + 1] */

    dt_planned_block *blocks;
    int64_t n_blocks, max_blocks;
    dt_patch *patches;
    int64_t n_patches, max_patches;
    char *memory; /* all blocks; device */
    int64_t memory_bytes;
    double unplanned_bytes;

    dt_param *params; /* trained ones first, in the order of the layers, then statistics */
    int64_t n_params, max_params;
    dt_net_vectors vectors;
    dt_loss_sums *eval_loss; /* without training: the loss sums' own memory */
    dt_grad_part *parts;
    int64_t *part_of_layer; /* -1: the layer has no trained parameter */
    int64_t n_parts;
    dt_state_layout layout;
    dt_state_tensor *state_tensors;
    dt_state_address *tensor_addresses; /* [layout.n_tensors]; the first n_params are the parameters */
    dt_state_addresses addresses;       /* of all of them */
};

struct dt_net_builder {
    dt_net *net;
    int64_t layer; /* the one that is being created */
    const dt_layer_spec *spec;
    const dt_layer_ops *ops;
    int n_params_of_layer;
};

/* net_build.c: create layers, plan and assign memory. */
dt_status dt_net_build_layers(dt_net *net, dt_error *err);
dt_status dt_net_build_memory(dt_net *net, dt_error *err);
/* Destroy the layers and free the activations: undoes build_layers and build_memory. */
void dt_net_clear_layers(dt_net *net);

/* net_params.c: lay out and allocate the flat vectors, fill the pointers that layers asked for. Vectors and
 * parts that are there already stay. */
dt_status dt_net_build_params(dt_net *net, dt_error *err);

/* net_state.c: describe the state's tensors and their addresses in the flat vectors. A description that is
 * there already stays. */
dt_status dt_net_build_state(dt_net *net, dt_error *err);
/* Copy one tensor from host memory, in canonical order, to its address. Blocking. */
dt_status dt_net_import(dt_net *net, const dt_state_address *address, const float *canonical, dt_error *err);

#endif
