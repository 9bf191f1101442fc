/* onednn_desc.h: one interface for the calls in which oneDNN 2 and oneDNN 3 differ. Either onednn_desc2.c or
 * onednn_desc3.c is compiled.
 *
 * A memory descriptor (shape and order of a tensor) is a struct in oneDNN 2 and an opaque object in oneDNN 3.
 * dt_onednn_desc names both, and a pointer to it is what the other functions of both versions take:
 * dnnl_memory_create, dnnl_memory_desc_equal, dnnl_primitive_desc_query_md.
 */
#ifndef DT_LAYERS_CPU_ONEDNN_DESC_H
#define DT_LAYERS_CPU_ONEDNN_DESC_H

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stdint.h>

#if DNNL_VERSION_MAJOR >= 3
typedef struct dnnl_memory_desc dt_onednn_desc;
#else
typedef dnnl_memory_desc_t dt_onednn_desc;
#endif

/* A float32 tensor of four dimensions. On success the caller owns *made. */
dnnl_status_t dt_onednn_desc_create(const dnnl_dims_t dims, dnnl_format_tag_t tag, dt_onednn_desc **made);
void dt_onednn_desc_destroy(dt_onednn_desc *desc); /* may be NULL */

/* The memory order of a blocked tensor of four dimensions: strides in elements, then the inner blocks, outer
 * ones first: the size of each, and the dimension that it divides. */
typedef struct dt_onednn_order {
    int64_t strides[4];
    int n_blocks;
    int64_t blocks[2], dims[2]; /* of the first two; n_blocks may be larger */
} dt_onednn_order;

/* Return false if the order has no blocks, or if there is no tensor. */
bool dt_onednn_desc_order(const dt_onednn_desc *desc, dt_onednn_order *order);
bool dt_onednn_desc_is_none(const dt_onednn_desc *desc);

/* A direct convolution to request from oneDNN. x, w and y stand for their gradients where the kind reads or
 * writes those. */
typedef struct dt_onednn_conv_spec {
    dnnl_prop_kind_t kind; /* dnnl_forward_training, dnnl_backward_data, dnnl_backward_weights */
    dt_onednn_desc *x, *w, *y;
    dnnl_dims_t strides, pads;
} dt_onednn_conv_spec;

/* hint: the descriptor of the forward direction, for gradients. On success the caller owns *made. */
dnnl_status_t dt_onednn_conv_desc_create(dnnl_engine_t engine, const dt_onednn_conv_spec *spec,
                                         const_dnnl_primitive_desc_t hint,
                                         const_dnnl_primitive_attr_t attributes, dnnl_primitive_desc_t *made);

#endif
