#include "layers/cpu/onednn.h"

#include "core/base/alloc.h"

#include <stdio.h>
#include <string.h>
#ifdef _OPENMP
#    include <omp.h>
#endif

static const char *const direction_names[] = {"forward", "data gradient", "weight gradient"};

/* Call this before each call of oneDNN, which uses as many threads as the calling thread's OpenMP setting
 * says. Inside a parallel region too: in a team of one thread, OMP_NUM_THREADS=4,2 would make it two. */
static void use_one_thread(void)
{
#ifdef _OPENMP
    omp_set_num_threads(1);
#endif
}

dt_status dt_onednn_status(dnnl_status_t status)
{
    if (status == dnnl_success)
        return DT_OK;
    return status == dnnl_out_of_memory   ? DT_ERR_MEMORY
           : status == dnnl_unimplemented ? DT_ERR_UNSUPPORTED
                                          : DT_ERR_DEVICE;
}

const char *dt_onednn_status_text(dnnl_status_t status)
{
    switch ((int)status) { /* oneDNN 3 has more values; none of our calls returns them */
    case dnnl_success:
        return "success";
    case dnnl_out_of_memory:
        return "out of memory";
    case dnnl_invalid_arguments:
        return "invalid arguments";
    case dnnl_unimplemented:
        return "oneDNN has no implementation of this";
    case dnnl_runtime_error:
        return "run-time error";
    case dnnl_not_required:
        return "not required";
    default:
        return "unknown status";
    }
}

static dt_status fail(dnnl_status_t status, dt_direction direction, const dt_conv_desc *d, int64_t n_images,
                      dt_error *err)
{
    return dt_fail(err, dt_onednn_status(status),
                   "oneDNN: %s of convolution %lldx%lldx%lld -> %lld, %lldx%lld, stride %lld, pad %lld, at "
                   "batch %lld: %s (status %d)",
                   direction_names[direction], (long long)d->c, (long long)d->h, (long long)d->w,
                   (long long)d->k, (long long)d->r, (long long)d->s, (long long)d->stride, (long long)d->pad,
                   (long long)n_images, dt_onednn_status_text(status), (int)status);
}

/* -- what is asked of oneDNN ----------------------------------------------------------------------------- */

typedef struct descriptors {
    dt_onednn_conv_spec spec;
    dt_onednn_desc *weights; /* in our order, independent of spec.w */
} descriptors;

static dnnl_format_tag_t weights_tag(const dt_cpu_kernels *cpu, const dt_conv_desc *d)
{
    if (d->reads_image)
        return cpu->block == 16 ? dnnl_Ohwi16o : dnnl_Ohwi8o;
    return cpu->block == 16 ? dnnl_OIhw16i16o : dnnl_OIhw8i8o;
}

static dnnl_status_t describe(const dt_cpu_kernels *cpu, const dt_conv_desc *d, dt_direction direction,
                              int64_t n_images, descriptors *made)
{
    static const dnnl_prop_kind_t kinds[] = {dnnl_forward_training, dnnl_backward_data,
                                             dnnl_backward_weights};
    const dnnl_dims_t x = {n_images, d->c, d->h, d->w}, w = {d->k, d->c, d->r, d->s};
    const dnnl_dims_t y = {n_images, d->k, dt_conv_out_h(d), dt_conv_out_w(d)};
    const dnnl_format_tag_t blocked = cpu->block == 16 ? dnnl_nChw16c : dnnl_nChw8c;
    /* The direct data gradient's order differs between 1x1 and larger windows. */
    const dnnl_format_tag_t w_tag = direction == DT_BACKWARD_DATA ? dnnl_format_tag_any : weights_tag(cpu, d);
    dt_onednn_conv_spec *spec = &made->spec;
    *made = (descriptors){
        .spec = {.kind = kinds[direction], .strides = {d->stride, d->stride}, .pads = {d->pad, d->pad}}};
    dnnl_status_t status = dt_onednn_desc_create(x, d->reads_image ? dnnl_nchw : blocked, &spec->x);
    if (status == dnnl_success)
        status = dt_onednn_desc_create(w, weights_tag(cpu, d), &made->weights);
    if (status == dnnl_success)
        status = dt_onednn_desc_create(w, w_tag, &spec->w);
    if (status == dnnl_success)
        status = dt_onednn_desc_create(y, blocked, &spec->y);
    return status;
}

static void undescribe(descriptors *made)
{
    dt_onednn_desc_destroy(made->spec.x);
    dt_onednn_desc_destroy(made->spec.w);
    dt_onednn_desc_destroy(made->spec.y);
    dt_onednn_desc_destroy(made->weights);
}

/* A primitive descriptor whose scratchpad the caller provides. `hint`: the descriptor of the forward
 * direction, for gradients. */
static dnnl_status_t primitive_desc(const dt_cpu_kernels *cpu, const dt_onednn_conv_spec *spec,
                                    const_dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *made)
{
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attributes);
    if (status != dnnl_success)
        return status;
    status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dt_onednn_conv_desc_create(cpu->engine, spec, hint, attributes, made);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

static dnnl_status_t primitive_desc_with_hint(const dt_cpu_kernels *cpu, const dt_onednn_conv_spec *spec,
                                              dnnl_primitive_desc_t *made)
{
    dnnl_primitive_desc_t hint = NULL;
    dt_onednn_conv_spec forward = *spec;
    if (spec->kind == dnnl_forward_training)
        return primitive_desc(cpu, spec, NULL, made);
    forward.kind = dnnl_forward_training;
    dnnl_status_t status = primitive_desc(cpu, &forward, NULL, &hint);
    if (status == dnnl_success)
        status = primitive_desc(cpu, spec, hint, made);
    if (hint != NULL)
        dnnl_primitive_desc_destroy(hint);
    return status;
}

/* -- what comes back ------------------------------------------------------------------------------------- */

/* The direct data gradient's weights must be tiles [k in block][c in block] in some order of blocks, r and s
 * inside. */
static bool flip_is_known(const dt_cpu_kernels *cpu, const dt_conv_desc *d, const dt_onednn_order *order)
{
    const int64_t tile = cpu->block * cpu->block;
    return order->n_blocks == 2 && order->dims[0] == 0 && order->dims[1] == 1 &&
           order->blocks[0] == cpu->block && order->blocks[1] == cpu->block && order->strides[3] == tile &&
           order->strides[2] == tile * d->s;
}

/* Whether to use this implementation: not oneDNN's reference code, and in an order of weights that we can
 * provide. */
static bool inspect(const dt_cpu_kernels *cpu, const dt_conv_desc *d, const descriptors *at,
                    const_dnnl_primitive_desc_t from, dt_onednn_conv *made)
{
    const char *name = NULL;
    dt_onednn_order order = {0};
    const dt_onednn_desc *w = dnnl_primitive_desc_query_md(from, dnnl_query_weights_md, 0);
    if (dnnl_primitive_desc_query(from, dnnl_query_impl_info_str, 0, &name) != dnnl_success || name == NULL ||
        strncmp(name, "ref", 3) == 0)
        return false;
    snprintf(made->implementation, sizeof made->implementation, "%s", name);
    made->flips = !dt_onednn_desc_is_none(w) && !dnnl_memory_desc_equal(w, at->weights);
    if (!made->flips)
        return true;
    if (!dt_onednn_desc_order(w, &order))
        return false;
    made->k_stride = order.strides[0];
    made->c_stride = order.strides[1];
    return flip_is_known(cpu, d, &order);
}

static dnnl_status_t instantiate(const dt_cpu_kernels *cpu, dt_direction direction,
                                 const_dnnl_primitive_desc_t from, dt_onednn_conv *made)
{
    const bool dx = direction == DT_BACKWARD_DATA, dw = direction == DT_BACKWARD_WEIGHTS,
               dy = direction != DT_FORWARD;
    const int args[] = {dx ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, dw ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS,
                        dy ? DNNL_ARG_DIFF_DST : DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD};
    const dnnl_query_t queries[] = {dx ? dnnl_query_diff_src_md : dnnl_query_src_md,
                                    dw ? dnnl_query_diff_weights_md : dnnl_query_weights_md,
                                    dy ? dnnl_query_diff_dst_md : dnnl_query_dst_md,
                                    dnnl_query_scratchpad_md};
    dnnl_status_t status = dnnl_success;
    made->args = dt_calloc((size_t)cpu->n_threads, sizeof *made->args);
    if (made->args == NULL)
        return dnnl_out_of_memory;
    made->n_threads = cpu->n_threads;
    for (int i = 0; i < 4 * cpu->n_threads && status == dnnl_success; i++) {
        const dt_onednn_desc *desc = dnnl_primitive_desc_query_md(from, queries[i % 4], 0);
        dnnl_exec_arg_t *arg = &made->args[i / 4][i % 4];
        arg->arg = args[i % 4];
        status = dnnl_memory_create(&arg->memory, desc, cpu->engine, DNNL_MEMORY_NONE);
        made->scratchpad_bytes = (int64_t)dnnl_memory_desc_get_size(desc); /* of the last memory object */
    }
    return status == dnnl_success ? dnnl_primitive_create(&made->primitive, from) : status;
}

dt_status dt_onednn_conv_create(dt_cpu_kernels *cpu, const dt_conv_desc *desc, dt_direction direction,
                                int64_t n_images, dt_onednn_conv *made, dt_error *err)
{
    descriptors at;
    dnnl_primitive_desc_t from = NULL;
    memset(made, 0, sizeof *made);
    use_one_thread();
    dnnl_status_t status = describe(cpu, desc, direction, n_images, &at);
    if (status == dnnl_success)
        status = primitive_desc_with_hint(cpu, &at.spec, &from);
    if (status == dnnl_unimplemented)
        status = dnnl_success;
    else if (status == dnnl_success && inspect(cpu, desc, &at, from, made))
        status = instantiate(cpu, direction, from, made);
    if (from != NULL)
        dnnl_primitive_desc_destroy(from);
    undescribe(&at);
    if (status == dnnl_success)
        return DT_OK;
    dt_onednn_conv_destroy(made);
    return fail(status, direction, desc, n_images, err);
}

void dt_onednn_conv_destroy(dt_onednn_conv *conv)
{
    for (int i = 0; i < 4 * conv->n_threads; i++)
        if (conv->args[i / 4][i % 4].memory != NULL)
            dnnl_memory_destroy(conv->args[i / 4][i % 4].memory);
    dt_free(conv->args);
    if (conv->primitive != NULL)
        dnnl_primitive_destroy(conv->primitive);
    memset(conv, 0, sizeof *conv);
}

/* -- running it ------------------------------------------------------------------------------------------ */

dt_status dt_onednn_conv_run(const dt_cpu_kernels *cpu, const dt_onednn_conv *conv, const dt_conv_desc *desc,
                             dt_direction direction, int64_t n_images, int share,
                             const dt_onednn_arrays *arrays, dt_error *err)
{
    void *const data[] = {arrays->x, arrays->w, arrays->y, arrays->scratchpad};
    dnnl_exec_arg_t *args = conv->args[share];
    dnnl_status_t status = dnnl_success;
    use_one_thread();
    for (int i = 0; i < 4 && status == dnnl_success; i++)
        status = dnnl_memory_set_data_handle(args[i].memory, data[i]);
    if (status == dnnl_success)
        status = dnnl_primitive_execute(conv->primitive, cpu->streams[share], 4, args);
    return status == dnnl_success ? DT_OK : fail(status, direction, desc, n_images, err);
}

/* -- the other order of weights -------------------------------------------------------------------------- */

typedef struct flip_pass {
    const dt_cpu_kernels *cpu;
    const dt_onednn_conv *conv;
    int64_t n_c_blocks, n_group_blocks, n_taps; /* blocks of c, of all and of a group; taps: r s */
    int64_t group_elems;
    const float *from;
    float *to;
} flip_pass;

/* A unit of work is a pair of blocks: r s tiles. */
static void flip_work(void *context, int share, int64_t begin, int64_t end)
{
    const flip_pass *p = context;
    const int64_t tile = p->cpu->block * p->cpu->block;
    (void)share;
    for (int64_t i = begin; i < end; i++) {
        const int64_t k = i / p->n_c_blocks, c = i % p->n_c_blocks, group = c / p->n_group_blocks;
        const float *from = p->from + i * p->n_taps * tile;
        float *to = p->to + group * p->group_elems + k * p->conv->k_stride +
                    c % p->n_group_blocks * p->conv->c_stride;
        for (int64_t tap = 0; tap < p->n_taps; tap++)
            p->cpu->simd->transpose(p->cpu->block, from + tap * tile, to + tap * tile);
    }
}

void dt_onednn_conv_flip(const dt_cpu_kernels *cpu, const dt_onednn_conv *conv, const dt_conv_desc *whole,
                         int64_t n_groups, const float *w, float *flipped)
{
    const int64_t n_c_blocks = whole->c / cpu->block, n_taps = whole->r * whole->s;
    flip_pass pass = {.cpu = cpu,
                      .conv = conv,
                      .n_c_blocks = n_c_blocks,
                      .n_group_blocks = n_c_blocks / n_groups,
                      .n_taps = n_taps,
                      .group_elems = whole->k * whole->c * n_taps / n_groups,
                      .from = w,
                      .to = flipped};
    dt_cpu_parallel(cpu, whole->k / cpu->block * n_c_blocks, flip_work, &pass);
}

/* -- matrix products ------------------------------------------------------------------------------------- */

dnnl_status_t dt_onednn_sgemm(char trans_a, char trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                              const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                              int64_t ldc)
{
    use_one_thread();
    return dnnl_sgemm(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
