/* onednn_desc3.c: onednn_desc.h with oneDNN 3. */
#include "layers/cpu/onednn_desc.h"

dnnl_status_t dt_onednn_desc_create(const dnnl_dims_t dims, dnnl_format_tag_t tag, dt_onednn_desc **made)
{
    return dnnl_memory_desc_create_with_tag(made, 4, dims, dnnl_f32, tag);
}

void dt_onednn_desc_destroy(dt_onednn_desc *desc)
{
    if (desc != NULL)
        (void)dnnl_memory_desc_destroy(desc);
}

bool dt_onednn_desc_order(const dt_onednn_desc *desc, dt_onednn_order *order)
{
    dnnl_format_kind_t kind = dnnl_format_kind_undef;
    const dnnl_dims_t *strides = NULL, *blocks = NULL, *dims = NULL;
    int n_dims = 0, n_blocks = 0;
    if (dnnl_memory_desc_query(desc, dnnl_query_format_kind, &kind) != dnnl_success || kind != dnnl_blocked ||
        dnnl_memory_desc_query(desc, dnnl_query_ndims_s32, &n_dims) != dnnl_success || n_dims != 4 ||
        dnnl_memory_desc_query(desc, dnnl_query_inner_nblks_s32, &n_blocks) != dnnl_success ||
        dnnl_memory_desc_query(desc, dnnl_query_strides, &strides) != dnnl_success ||
        dnnl_memory_desc_query(desc, dnnl_query_inner_blks, &blocks) != dnnl_success ||
        dnnl_memory_desc_query(desc, dnnl_query_inner_idxs, &dims) != dnnl_success)
        return false;
    *order = (dt_onednn_order){.n_blocks = n_blocks};
    for (int i = 0; i < 4; i++)
        order->strides[i] = (*strides)[i];
    for (int i = 0; i < 2 && i < n_blocks; i++) {
        order->blocks[i] = (*blocks)[i];
        order->dims[i] = (*dims)[i];
    }
    return true;
}

bool dt_onednn_desc_is_none(const dt_onednn_desc *desc)
{
    int n_dims = 0;
    return dnnl_memory_desc_query(desc, dnnl_query_ndims_s32, &n_dims) != dnnl_success || n_dims == 0;
}

dnnl_status_t dt_onednn_conv_desc_create(dnnl_engine_t engine, const dt_onednn_conv_spec *spec,
                                         const_dnnl_primitive_desc_t hint,
                                         const_dnnl_primitive_attr_t attributes, dnnl_primitive_desc_t *made)
{
    const dt_onednn_conv_spec *s = spec;
    if (s->kind == dnnl_backward_data)
        return dnnl_convolution_backward_data_primitive_desc_create(made, engine, dnnl_convolution_direct,
                                                                    s->x, s->w, s->y, s->strides, NULL,
                                                                    s->pads, s->pads, hint, attributes);
    if (s->kind == dnnl_backward_weights)
        return dnnl_convolution_backward_weights_primitive_desc_create(
            made, engine, dnnl_convolution_direct, s->x, s->w, NULL, s->y, s->strides, NULL, s->pads, s->pads,
            hint, attributes);
    return dnnl_convolution_forward_primitive_desc_create(made, engine, s->kind, dnnl_convolution_direct,
                                                          s->x, s->w, NULL, s->y, s->strides, NULL, s->pads,
                                                          s->pads, attributes);
}
