#include "layers/cuda/cudnn_graph.h"

#include <stdio.h>
#include <string.h>

dt_status dt_cudnn_fail(dt_error *err, cudnnStatus_t status, const char *graph_name, const char *what)
{
    char words[512] = "";
    bool unsupported = CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED;
    bool memory = status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
                  status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
    cudnnGetLastErrorString(words, sizeof words);
    for (char *c = words; *c; c++)
        if (*c == '\n')
            *c = ' ';
    return dt_fail(err,
                   unsupported ? DT_ERR_UNSUPPORTED
                   : memory    ? DT_ERR_MEMORY
                               : DT_ERR_DEVICE,
                   "cuDNN, graph %s, %s: %s%s%s", graph_name, what, cudnnGetErrorString(status),
                   words[0] ? ": " : "", words);
}

dt_status dt_cudnn_make(const char *graph_name, cudnnBackendDescriptorType_t type,
                        cudnnBackendDescriptor_t *out, dt_error *err)
{
    cudnnStatus_t status = cudnnBackendCreateDescriptor(type, out);
    return status == CUDNN_STATUS_SUCCESS ? DT_OK
                                          : dt_cudnn_fail(err, status, graph_name, "creating a descriptor");
}

dt_status dt_cudnn_set(const char *graph_name, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                       cudnnBackendAttributeType_t type, int64_t n, const void *values, const char *what,
                       dt_error *err)
{
    cudnnStatus_t status = cudnnBackendSetAttribute(d, name, type, n, values);
    return status == CUDNN_STATUS_SUCCESS ? DT_OK : dt_cudnn_fail(err, status, graph_name, what);
}

/* -- a graph being made: what it is made of, and the first error ----------------------------------------- */

typedef struct maker {
    const dt_graph *graph;
    dt_cudnn_graph *out;
    cudnnBackendDescriptor_t tensors[DT_GRAPH_MAX_TENSORS]; /* by position in graph->tensors */
    dt_status status;                                       /* the first error; later calls do nothing */
    dt_error *err;
} maker;

static cudnnBackendDescriptor_t make(maker *m, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t d = NULL;
    if (m->status != DT_OK)
        return NULL;
    m->status = dt_cudnn_make(m->graph->name, type, &d, m->err);
    if (m->status == DT_OK)
        m->out->descriptors[m->out->n++] = d;
    return d;
}

static void set(maker *m, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t n, const void *values, const char *what)
{
    if (m->status == DT_OK)
        m->status = dt_cudnn_set(m->graph->name, d, name, type, n, values, what, m->err);
}

static void finalize(maker *m, cudnnBackendDescriptor_t d, const char *what)
{
    if (m->status != DT_OK)
        return;
    cudnnStatus_t status = cudnnBackendFinalize(d);
    if (status != CUDNN_STATUS_SUCCESS)
        m->status = dt_cudnn_fail(m->err, status, m->graph->name, what);
}

/* -- tensors --------------------------------------------------------------------------------------------- */

static cudnnDataType_t data_type(dt_dtype dtype)
{
    return dtype == DT_F16 ? CUDNN_DATA_HALF : dtype == DT_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

static cudnnBackendDescriptor_t make_tensor(maker *m, const dt_graph_tensor *t)
{
    /* Buffers are aligned to 256 bytes; cuDNN's vector loads need 16. */
    int64_t id = t->id, alignment = 16;
    cudnnDataType_t type = data_type(t->dtype);
    cudnnBackendDescriptor_t d = make(m, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set(m, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id, "a tensor's id");
    set(m, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type, "a tensor's type");
    set(m, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, t->dims, "a tensor's dimensions");
    set(m, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, t->strides, "a tensor's strides");
    set(m, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment, "a tensor's alignment");
    set(m, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &t->is_virtual,
        "a tensor that is virtual");
    finalize(m, d, "a tensor");
    return d;
}

static void set_tensor(maker *m, cudnnBackendDescriptor_t op, cudnnBackendAttributeName_t name, int id)
{
    const dt_graph_tensor *t = dt_graph_find(m->graph, id);
    set(m, op, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &m->tensors[t - m->graph->tensors],
        "an operation's tensor");
}

/* -- operations ------------------------------------------------------------------------------------------ */

static const cudnnDataType_t compute_type = CUDNN_DATA_FLOAT;

static cudnnBackendDescriptor_t make_convolution(maker *m, const dt_graph_op *op)
{
    int64_t spatial_dims = 2;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    cudnnBackendDescriptor_t d = make(m, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    set(m, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &spatial_dims,
        "a convolution's dimensions");
    set(m, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute_type,
        "a convolution's type");
    set(m, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode,
        "a convolution's mode");
    set(m, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, op->pad, "a convolution's padding");
    set(m, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, op->pad, "a convolution's padding");
    set(m, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, op->stride,
        "a convolution's stride");
    set(m, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, op->dilation,
        "a convolution's dilation");
    finalize(m, d, "a convolution");
    return d;
}

/* The three convolutions differ in names only. */
typedef struct conv_names {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t convolution, in0, in1, out, alpha, beta;
} conv_names;

static const conv_names conv_forward_names = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                                              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                                              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                                              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                                              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                                              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                                              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
static const conv_names conv_data_names = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                           CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
static const conv_names conv_filter_names = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};

static cudnnBackendDescriptor_t make_conv_op(maker *m, const dt_graph_op *op, const conv_names *names)
{
    cudnnBackendDescriptor_t convolution = make_convolution(m, op), d = make(m, names->type);
    set(m, d, names->convolution, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &convolution, "a convolution");
    set_tensor(m, d, names->in0, op->in[0]);
    set_tensor(m, d, names->in1, op->in[1]);
    set_tensor(m, d, names->out, op->out[0]);
    set(m, d, names->alpha, CUDNN_TYPE_FLOAT, 1, &op->alpha, "alpha");
    set(m, d, names->beta, CUDNN_TYPE_FLOAT, 1, &op->beta, "beta");
    return d;
}

static cudnnBackendDescriptor_t make_pointwise_op(maker *m, const dt_graph_op *op, cudnnPointwiseMode_t mode)
{
    bool is_backward = op->kind == DT_GRAPH_OP_RELU_BACKWARD;
    cudnnBackendDescriptor_t pointwise = make(m, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    set(m, pointwise, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode, "a pointwise mode");
    set(m, pointwise, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &compute_type,
        "a pointwise type");
    finalize(m, pointwise, "a pointwise operation");
    cudnnBackendDescriptor_t d = make(m, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set(m, d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &pointwise,
        "a pointwise operation");
    set_tensor(m, d,
               is_backward ? CUDNN_ATTR_OPERATION_POINTWISE_DYDESC : CUDNN_ATTR_OPERATION_POINTWISE_XDESC,
               op->in[0]);
    if (op->in[1])
        set_tensor(m, d,
                   is_backward ? CUDNN_ATTR_OPERATION_POINTWISE_XDESC : CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                   op->in[1]);
    set_tensor(m, d,
               is_backward ? CUDNN_ATTR_OPERATION_POINTWISE_DXDESC : CUDNN_ATTR_OPERATION_POINTWISE_YDESC,
               op->out[0]);
    return d;
}

static cudnnBackendDescriptor_t make_sums_op(maker *m, const dt_graph_op *op)
{
    cudnnGenStatsMode_t mode = CUDNN_GENSTATS_SUM_SQSUM;
    cudnnBackendDescriptor_t d = make(m, CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR);
    set(m, d, CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_TYPE_GENSTATS_MODE, 1, &mode, "the sums' mode");
    set(m, d, CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &compute_type,
        "the sums' type");
    set_tensor(m, d, CUDNN_ATTR_OPERATION_GENSTATS_XDESC, op->in[0]);
    set_tensor(m, d, CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, op->out[0]);
    set_tensor(m, d, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, op->out[1]);
    return d;
}

static cudnnBackendDescriptor_t make_bn_op(maker *m, const dt_graph_op *op)
{
    static const cudnnBackendAttributeName_t in[] = {
        CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_X_DESC, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DY_DESC,
        CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_MEAN_DESC, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_INVSTD_DESC,
        CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_BN_SCALE_DESC};
    static const cudnnBackendAttributeName_t out[] = {
        CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DBN_SCALE_DESC, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DBN_BIAS_DESC,
        CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_DY_SCALE_DESC,
        CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_X_SCALE_DESC, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_BIAS};
    cudnnBackendDescriptor_t d = make(m, CUDNN_BACKEND_OPERATION_BN_BWD_WEIGHTS_DESCRIPTOR);
    set(m, d, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &compute_type,
        "BatchNorm's type");
    for (int i = 0; i < 5; i++)
        set_tensor(m, d, in[i], op->in[i]);
    for (int i = 0; i < 5; i++)
        set_tensor(m, d, out[i], op->out[i]);
    return d;
}

static cudnnBackendDescriptor_t make_op(maker *m, const dt_graph_op *op)
{
    switch (op->kind) {
    case DT_GRAPH_OP_CONV_FORWARD:
        return make_conv_op(m, op, &conv_forward_names);
    case DT_GRAPH_OP_CONV_BACKWARD_DATA:
        return make_conv_op(m, op, &conv_data_names);
    case DT_GRAPH_OP_CONV_BACKWARD_FILTER:
        return make_conv_op(m, op, &conv_filter_names);
    case DT_GRAPH_OP_ADD:
        return make_pointwise_op(m, op, CUDNN_POINTWISE_ADD);
    case DT_GRAPH_OP_SUB:
        return make_pointwise_op(m, op, CUDNN_POINTWISE_SUB);
    case DT_GRAPH_OP_MUL:
        return make_pointwise_op(m, op, CUDNN_POINTWISE_MUL);
    case DT_GRAPH_OP_RELU:
        return make_pointwise_op(m, op, CUDNN_POINTWISE_RELU_FWD);
    case DT_GRAPH_OP_RELU_BACKWARD:
        return make_pointwise_op(m, op, CUDNN_POINTWISE_RELU_BWD);
    case DT_GRAPH_OP_CHANNEL_SUMS:
        return make_sums_op(m, op);
    case DT_GRAPH_OP_BN_BACKWARD_WEIGHTS:
        return make_bn_op(m, op);
    }
    m->status =
        dt_fail(m->err, DT_ERR_INTERNAL, "graph %s: operation of kind %d", m->graph->name, (int)op->kind);
    return NULL;
}

/* -- the graph ------------------------------------------------------------------------------------------- */

dt_status dt_cudnn_graph_create(const dt_graph *graph, cudnnHandle_t handle, dt_cudnn_graph *out,
                                dt_error *err)
{
    dt_cudnn_graph made = {0};
    cudnnBackendDescriptor_t ops[DT_GRAPH_MAX_OPS];
    maker m = {.graph = graph, .out = &made, .err = err};
    m.status = dt_graph_check(graph, err);
    for (int i = 0; i < graph->n_tensors; i++)
        m.tensors[i] = make_tensor(&m, &graph->tensors[i]);
    for (int i = 0; i < graph->n_ops && m.status == DT_OK; i++) {
        ops[i] = make_op(&m, &graph->ops[i]);
        finalize(&m, ops[i], "an operation");
    }
    made.operation_graph = make(&m, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(&m, made.operation_graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, graph->n_ops,
        ops, "the operations");
    if (handle)
        set(&m, made.operation_graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle,
            "the handle");
    finalize(&m, made.operation_graph, "the operation graph");
    if (m.status == DT_OK)
        *out = made;
    else
        dt_cudnn_graph_destroy(&made);
    return m.status;
}

void dt_cudnn_graph_destroy(dt_cudnn_graph *graph)
{
    while (graph->n > 0)
        cudnnBackendDestroyDescriptor(graph->descriptors[--graph->n]);
    graph->operation_graph = NULL;
}
