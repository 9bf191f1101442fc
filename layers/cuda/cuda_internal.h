/* cuda_internal.h: what the host files of layers/cuda share. Contracts of the operations: core/kernels.h.
 *
 * To add an operation: its kernel and launcher (layers/cuda/launch.h, a .cu file) or its graph
 * (graph_conv.h), a function here, a row in the table of kernels_cuda.c, a case in tests/backend_cases_*.c.
 */
#ifndef DT_LAYERS_CUDA_CUDA_INTERNAL_H
#define DT_LAYERS_CUDA_CUDA_INTERNAL_H

#include "layers/cuda/graph_conv.h"
#include "layers/cuda/kernels_cuda.h"
#include "layers/cuda/launch.h"

#include <assert.h>

/* Memory that grows in create-calls and never shrinks. */
typedef struct dt_cuda_block {
    char *data;
    int64_t bytes;
} dt_cuda_block;

/* A graph that a convolution or a linear layer has requested, and its plan. */
typedef struct dt_cuda_plan {
    dt_graph_plan *plan; /* NULL: not requested, or refused */
    bool is_refused, is_fused;
    int64_t bytes_moved;
    double flops;
    char name[96];
    char reason[160]; /* of a refusal */
} dt_cuda_plan;

/* Scale and bias of a lazy activation in 16 bits: bn_finalize writes them, a convolution's prologue reads
 * them. */
typedef struct dt_cuda_half_scale {
    const float *scale, *bias; /* the key */
    int64_t c;
    char *halves; /* [2][c] */
} dt_cuda_half_scale;

typedef struct dt_cuda_kernels {
    dt_kernels base;
    dt_graph_runner *runner;
    dt_cuda_stream stream;
    bool plan_only;
    dt_engine_choices engines; /* of its graphs, by name */
    bool is_half;              /* F16 or BF16 */
    dt_conv *convs;            /* in the order of creation */
    dt_linear *linears;

    dt_cuda_block workspace; /* of graphs */
    dt_cuda_block reduction; /* scratch of launch.h's reductions */
    dt_cuda_block weights;   /* weights or weight gradients of one layer in the dtype */
    dt_cuda_block vectors;   /* per channel: outputs of graphs that are not used; scale and bias in 16 bits */
    dt_cuda_block constants; /* zeros and ones, per channel: operands of graphs */
    dt_cuda_block not_finite; /* BatchNorm's flags, which the loss reads: dt_cuda_bn_outputs */
    dt_cuda_block spare;      /* a data gradient before it is added; usually empty */

    const float *values; /* values_bind */
    int64_t n_values;
    void *mirror; /* of values, in 16 bits; NULL: float32 is read */

    const float *grads;   /* values_bind; NULL in evaluation */
    uint16_t *half_grads; /* weight gradients as graphs write them, at their places in the flat vector; NULL:
                             converted one by one */
    dt_cuda_gradient incomplete[DT_CUDA_MAX_GRADIENTS]; /* those that are not yet in grads */
    int64_t n_incomplete;

    dt_cuda_block halves; /* memory of half_scales */
    int64_t halves_used_bytes, halves_wanted_bytes;
    dt_cuda_half_scale *half_scales;
    int64_t n_half_scales, max_half_scales;
} dt_cuda_kernels;

/* The tensors of one execution of a graph. */
enum { DT_CUDA_MAX_BOUND = 32 };
typedef struct dt_cuda_call {
    dt_graph_binding tensors[DT_CUDA_MAX_BOUND];
    int n;
} dt_cuda_call;

static inline void dt_cuda_bind(dt_cuda_call *c, int id, const void *data)
{
    assert(c->n < DT_CUDA_MAX_BOUND);
    c->tensors[c->n++] = (dt_graph_binding){id, (void *)(uintptr_t)data}; /* inputs are only read */
}

static inline dt_cuda_kernels *dt_cuda(dt_kernels *k)
{
    return (dt_cuda_kernels *)k;
}

/* If a launcher of launch.h fails, return from the calling function with CUDA's error message. */
#define DT_CUDA_LAUNCH(what, call)                                                                           \
    do {                                                                                                     \
        int dt_cuda_code = (call);                                                                           \
        if (dt_cuda_code != 0)                                                                               \
            return dt_fail(err, DT_ERR_DEVICE, "%s: %s", (what), dt_cuda_launch_error(dt_cuda_code));        \
    } while (0)

static inline int64_t dt_cuda_elem_bytes(const dt_cuda_kernels *ck)
{
    return ck->is_half ? 2 : 4;
}

/* Channels in memory: an image's 3 channels are stored as 4. [n][3] logits are not. */
static inline int64_t dt_cuda_channels(int64_t c, int64_t h, int64_t w)
{
    return c == 3 && (h != 1 || w != 1) ? 4 : c;
}

/* memory_cuda.c: make sure that a block has `bytes`. Earlier pointers into it become invalid. `what` follows
 * "for" in the error message. */
dt_status dt_cuda_reserve(dt_cuda_kernels *ck, dt_cuda_block *block, int64_t bytes, const char *what,
                          dt_error *err);
void dt_cuda_release(dt_cuda_kernels *ck, dt_cuda_block *block);
int64_t dt_cuda_tensor_bytes(dt_kernels *k, int64_t n, int64_t c, int64_t h, int64_t w);
dt_status dt_cuda_tensor_import(dt_kernels *k, const float *nchw, const dt_tensor *t, dt_error *err);
dt_status dt_cuda_tensor_export(dt_kernels *k, const dt_tensor *t, float *nchw, dt_error *err);

/* plans_cuda.c. `try`: a refusal by the runner is no error, and plan->plan stays NULL. `need`: a refusal is
 * an error. plans_reserve: allocate the workspace of the plans that are kept. */
dt_status dt_cuda_plan_try(dt_cuda_kernels *ck, const dt_graph *graph, dt_cuda_plan *plan, dt_error *err);
dt_status dt_cuda_plan_need(dt_cuda_kernels *ck, const dt_graph *graph, dt_cuda_plan *plan, dt_error *err);
dt_status dt_cuda_plans_reserve(dt_cuda_kernels *ck, const dt_cuda_plan *plans, int n, dt_error *err);
void dt_cuda_plan_destroy(dt_cuda_kernels *ck, dt_cuda_plan *plan);
/* fused_cuda.c. plan_ms: milliseconds of a plan; 0: not measured, or no plan. plan_compare: mark `fused` as
 * refused if it was measured to take longer than `plain` and those passes over memory that it saves, which
 * move saved_bytes. */
double dt_cuda_plan_ms(const dt_cuda_kernels *ck, const dt_cuda_plan *plan);
void dt_cuda_plan_compare(dt_cuda_kernels *ck, dt_cuda_plan *fused, const dt_cuda_plan *plain,
                          int64_t saved_bytes);
dt_status dt_cuda_plan_run(dt_cuda_kernels *ck, const dt_cuda_plan *plan, const dt_graph_binding *tensors,
                           int n_tensors, dt_error *err);
void dt_cuda_plan_visit(const dt_cuda_kernels *ck, const dt_cuda_plan *plan, const dt_conv_desc *conv,
                        int n_layers, void (*visit)(void *context, const dt_cuda_plan_row *row),
                        void *context);

/* values_cuda.c: weights as a graph reads them: the mirror, or the float32 values. Weights outside of the
 * bound vector (in tests) are converted into ck->weights, which the next call may overwrite. */
dt_status dt_cuda_weights(dt_cuda_kernels *ck, const float *w, int64_t n_elems, void **data, dt_error *err);
/* target: where a graph has to write a weight gradient. finish: once the graph is enqueued, move the gradient
 * from there into grads, now or in gradients_complete. */
void *dt_cuda_gradient_target(dt_cuda_kernels *ck, float *grads, int64_t n_elems, bool accumulate);
dt_status dt_cuda_gradient_finish(dt_cuda_kernels *ck, const void *target, int64_t n_elems, float *grads,
                                  bool accumulate, dt_error *err);
dt_status dt_cuda_values_bind(dt_kernels *k, const float *values, const float *grads, int64_t n_elems,
                              dt_error *err);
dt_status dt_cuda_values_changed(dt_kernels *k, dt_error *err);
dt_status dt_cuda_gradients_complete(dt_kernels *k, dt_error *err);
void dt_cuda_values_release(dt_cuda_kernels *ck); /* the memory of values_bind */
int64_t dt_cuda_values_bytes(const dt_cuda_kernels *ck);
dt_status dt_cuda_optimizer_create(dt_kernels *k, const dt_optimizer_desc *desc,
                                   const dt_update_segment *segments, int64_t n_segments,
                                   dt_optimizer **optimizer, dt_error *err);
void dt_cuda_optimizer_destroy(dt_kernels *k, dt_optimizer *optimizer);
dt_status dt_cuda_optimizer_update(dt_kernels *k, dt_optimizer *optimizer, const dt_optimizer_vectors *v,
                                   const dt_step_inputs *inputs, dt_step_state *state, dt_error *err);
dt_status dt_cuda_begin_step(dt_kernels *k, const dt_step_inputs *in, dt_loss_sums *loss, float *votes,
                             int64_t n_step_floats, dt_error *err);
dt_status dt_cuda_record_step(dt_kernels *k, dt_step_state *state, const dt_loss_sums *global,
                              const dt_loss_sums *local, const float *votes, dt_step_record *ring,
                              int64_t n_ring, dt_error *err);

/* half_scales_cuda.c. reserve: in create-calls, make space for one more pair of vectors of c channels. Every
 * pair is forgotten. */
dt_status dt_cuda_half_scales_reserve(dt_cuda_kernels *ck, int64_t c, dt_error *err);
void dt_cuda_half_scales_unreserve(dt_cuda_kernels *ck, int64_t c); /* after the convolution is destroyed */
void dt_cuda_half_scales_destroy(dt_cuda_kernels *ck);
/* put: where bn_finalize has to write the pair (NULL: no space, not needed). get: where a prologue reads that
 * of x. A pair that bn_finalize has not written is converted now, into the nth place (0 or 1) of
 * ck->vectors. */
void *dt_cuda_half_scales_put(dt_cuda_kernels *ck, const float *scale, const float *bias, int64_t c);
dt_status dt_cuda_half_scales_get(dt_cuda_kernels *ck, const dt_act *x, int nth, char **halves,
                                  dt_error *err);

/* conv_cuda.c, conv_run_cuda.c: a convolution's graphs. Convolutions of equal desc are one object. */
enum {
    DT_CUDA_FORWARD,
    DT_CUDA_FORWARD_SUMS,
    DT_CUDA_FORWARD_LAZY,
    DT_CUDA_FORWARD_LAZY_SUMS,
    DT_CUDA_FORWARD_JOIN,
    DT_CUDA_DATA,
    DT_CUDA_DATA_ADD,
    DT_CUDA_DATA_BN,
    DT_CUDA_DATA_JOIN,
    DT_CUDA_WEIGHTS,
    DT_CUDA_WEIGHTS_LAZY,
    DT_CUDA_N_PLANS
};
/* The convolution that reads the image, by space to depth: conv_stem_cuda.c. */
typedef struct dt_cuda_stem {
    bool is_used;
    int64_t pad;           /* of the convolution as requested */
    dt_conv_desc blocks;   /* what the graphs compute: stride 1, no padding, 16 channels */
    dt_cuda_block weights; /* [k][r][s][16] of blocks, in 16 bits */
} dt_cuda_stem;
struct dt_conv {
    dt_conv_desc desc; /* as requested */
    int64_t c;         /* channels of x in memory */
    int n_users;
    unsigned fusions;
    dt_cuda_plan plans[DT_CUDA_N_PLANS];
    dt_cuda_stem stem;
    dt_conv *next;
};
static inline int64_t dt_cuda_filter_elems(const dt_conv *conv)
{
    return conv->desc.k * conv->desc.r * conv->desc.s * conv->c;
}
dt_status dt_cuda_conv_create(dt_kernels *k, const dt_conv_desc *desc, dt_conv **conv, dt_error *err);
void dt_cuda_conv_destroy(dt_kernels *k, dt_conv *conv);
unsigned dt_cuda_conv_fusions(dt_kernels *k, const dt_conv *conv);
int64_t dt_cuda_conv_weights_elems(dt_kernels *k, const dt_conv *conv);
void dt_cuda_conv_weights_order(dt_kernels *k, const dt_conv *conv, dt_weights_order *order);
dt_status dt_cuda_conv_weights_changed(dt_kernels *k, dt_conv *conv, const float *w, dt_error *err);
dt_status dt_cuda_conv_forward(dt_kernels *k, dt_conv *conv, const dt_act *x, const float *w,
                               const dt_tensor *y, void *sums, dt_error *err);
dt_status dt_cuda_conv_backward_data(dt_kernels *k, dt_conv *conv, const dt_tensor *dy, const float *w,
                                     const dt_tensor *add, const dt_bn_backward *bn, const dt_tensor *dx,
                                     dt_error *err);
dt_status dt_cuda_conv_backward_weights(dt_kernels *k, dt_conv *conv, const dt_act *x, const dt_tensor *dy,
                                        float *dw, bool accumulate, dt_error *err);
/* Bind scale and bias of a lazy x in 16 bits; nth as in half_scales_get. */
dt_status dt_cuda_bind_scales(dt_cuda_kernels *ck, dt_cuda_call *c, const dt_act *x, int scale_id,
                              int bias_id, int nth, dt_error *err);
/* Memory for sums that the caller of a convolution does not want. */
float *dt_cuda_unwanted_sums(const dt_cuda_kernels *ck, const dt_conv *conv);

/* conv_join_cuda.c. plan_join: request the graph with the join. keep_join: once the other graphs are planned,
 * keep it if it is not slower than what it replaces, and set its bits of conv_fusions. */
bool dt_cuda_conv_reads_join(const dt_conv_desc *desc);
dt_status dt_cuda_conv_plan_join(dt_cuda_kernels *ck, dt_conv *conv, dt_error *err);
void dt_cuda_conv_keep_join(dt_cuda_kernels *ck, dt_conv *conv);
dt_status dt_cuda_conv_forward_join(dt_kernels *k, dt_conv *conv, const dt_act *branch, const dt_act *skip,
                                    const dt_tensor *x, const float *w, const dt_tensor *y, void *sums,
                                    dt_error *err);

/* stem_blocks_cuda.c. blocks: what the graphs compute for this stem. image_elems: the most elements that an
 * image needs. reads: whether it is a stem for such images. find: the stem that reads such images as blocks,
 * or NULL. position: the index of an element of the images among the blocks; -1: no filter reaches it. */
enum { DT_CUDA_STEM_CHANNELS = 16, DT_CUDA_STEM_MAX_FILTER = 7, DT_CUDA_STEM_MAX_PAD = 3 };
dt_conv_desc dt_cuda_stem_blocks(const dt_conv_desc *desc);
int64_t dt_cuda_stem_image_elems(int64_t h, int64_t w);
bool dt_cuda_stem_reads(const dt_conv *conv, int64_t n, int64_t h, int64_t w);
const dt_cuda_stem *dt_cuda_stem_find(const dt_cuda_kernels *ck, int64_t n, int64_t c, int64_t h, int64_t w);
int64_t dt_cuda_stem_position(const dt_cuda_stem *stem, int64_t n, int64_t c, int64_t h, int64_t w);

/* conv_stem_cuda.c. plan: use blocks if the library has their graphs; then conv->stem is set, and no other
 * graph is needed. */
dt_status dt_cuda_stem_plan(dt_cuda_kernels *ck, dt_conv *conv, dt_error *err);
dt_status dt_cuda_stem_weights_changed(dt_cuda_kernels *ck, const dt_conv *conv, const float *w,
                                       dt_error *err);
dt_status dt_cuda_stem_gradient_finish(dt_cuda_kernels *ck, const dt_conv *conv, const void *target,
                                       float *dw, bool accumulate, dt_error *err);

/* conv_join_backward_cuda.c. plan: after the other data gradients of a convolution are planned. */
dt_status dt_cuda_conv_join_backward_plan(dt_cuda_kernels *ck, dt_conv *conv, dt_error *err);
dt_status dt_cuda_conv_backward_data_join(dt_kernels *k, dt_conv *conv, const dt_tensor *dy, const float *w,
                                          const dt_tensor *add, const dt_join_backward *join,
                                          const dt_tensor *dx, dt_error *err);

/* linear_cuda.c */
enum { DT_CUDA_LINEAR_FORWARD, DT_CUDA_LINEAR_DATA, DT_CUDA_LINEAR_WEIGHTS, DT_CUDA_LINEAR_N_PLANS };
struct dt_linear {
    int64_t n, c, n_out;
    dt_cuda_plan plans[DT_CUDA_LINEAR_N_PLANS];
    dt_linear *next;
};
dt_status dt_cuda_linear_create(dt_kernels *k, int64_t n, int64_t c, int64_t n_out, dt_linear **linear,
                                dt_error *err);
void dt_cuda_linear_destroy(dt_kernels *k, dt_linear *linear);
dt_status dt_cuda_linear_forward(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                 const float *bias, const dt_tensor *y, dt_error *err);
dt_status dt_cuda_linear_backward(dt_kernels *k, dt_linear *linear, const dt_tensor *x, const float *w,
                                  const dt_tensor *dy, const dt_tensor *dx, float *dw, float *dbias,
                                  bool accumulate, dt_error *err);

#endif
