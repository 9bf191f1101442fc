/* onednn_desc2.c: onednn_desc.h with oneDNN 2.6 and 2.7. */
#include "layers/cpu/onednn_desc.h"

#include "core/base/alloc.h"

dnnl_status_t dt_onednn_desc_create(const dnnl_dims_t dims, dnnl_format_tag_t tag, dt_onednn_desc **made)
{
    dt_onednn_desc *desc = dt_calloc(1, sizeof *desc);
    if (desc == NULL)
        return dnnl_out_of_memory;
    const dnnl_status_t status = dnnl_memory_desc_init_by_tag(desc, 4, dims, dnnl_f32, tag);
    if (status == dnnl_success)
        *made = desc;
    else
        dt_free(desc);
    return status;
}

void dt_onednn_desc_destroy(dt_onednn_desc *desc)
{
    dt_free(desc);
}

bool dt_onednn_desc_order(const dt_onednn_desc *desc, dt_onednn_order *order)
{
    const dnnl_blocking_desc_t *blocking = &desc->format_desc.blocking;
    if (desc->format_kind != dnnl_blocked || desc->ndims != 4)
        return false;
    *order = (dt_onednn_order){.n_blocks = blocking->inner_nblks};
    for (int i = 0; i < 4; i++)
        order->strides[i] = blocking->strides[i];
    for (int i = 0; i < 2 && i < order->n_blocks; i++) {
        order->blocks[i] = blocking->inner_blks[i];
        order->dims[i] = blocking->inner_idxs[i];
    }
    return true;
}

bool dt_onednn_desc_is_none(const dt_onednn_desc *desc)
{
    return desc->format_kind == dnnl_format_kind_undef;
}

static dnnl_status_t operation(const dt_onednn_conv_spec *s, dnnl_convolution_desc_t *op)
{
    if (s->kind == dnnl_backward_data)
        return dnnl_convolution_backward_data_desc_init(op, dnnl_convolution_direct, s->x, s->w, s->y,
                                                        s->strides, s->pads, s->pads);
    if (s->kind == dnnl_backward_weights)
        return dnnl_convolution_backward_weights_desc_init(op, dnnl_convolution_direct, s->x, s->w, NULL,
                                                           s->y, s->strides, s->pads, s->pads);
    return dnnl_convolution_forward_desc_init(op, s->kind, dnnl_convolution_direct, s->x, s->w, NULL, s->y,
                                              s->strides, s->pads, s->pads);
}

dnnl_status_t dt_onednn_conv_desc_create(dnnl_engine_t engine, const dt_onednn_conv_spec *spec,
                                         const_dnnl_primitive_desc_t hint,
                                         const_dnnl_primitive_attr_t attributes, dnnl_primitive_desc_t *made)
{
    dnnl_convolution_desc_t op;
    const dnnl_status_t status = operation(spec, &op);
    return status == dnnl_success ? dnnl_primitive_desc_create(made, &op, attributes, engine, hint) : status;
}
