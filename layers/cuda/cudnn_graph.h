/* cudnn_graph.h: translates a dt_graph into descriptors of cuDNN's backend API. Inside layers/cuda, with CUDA
 * only.
 *
 *   dt_cudnn_graph g;
 *   DT_TRY(dt_cudnn_graph_create(&graph, handle, &g, err));       handle NULL: for a GPU that is described,
 *                                                                 not present
 *   ... g.operation_graph ...
 *   dt_cudnn_graph_destroy(&g);
 */
#ifndef DT_LAYERS_CUDA_CUDNN_GRAPH_H
#define DT_LAYERS_CUDA_CUDNN_GRAPH_H

#include "layers/cuda/graph.h"

#include <cudnn.h>

/* tensors, two for an operation, and the graph */
#define DT_CUDNN_GRAPH_MAX (DT_GRAPH_MAX_TENSORS + 2 * DT_GRAPH_MAX_OPS + 1)

typedef struct dt_cudnn_graph {
    cudnnBackendDescriptor_t operation_graph;
    int n;
    cudnnBackendDescriptor_t descriptors[DT_CUDNN_GRAPH_MAX]; /* owned, in the order in which they were
                                                                 made */
} dt_cudnn_graph;

/* DT_ERR_UNSUPPORTED: cuDNN does not support the graph; DT_ERR_DEVICE: another failure. */
dt_status dt_cudnn_graph_create(const dt_graph *graph, cudnnHandle_t handle, dt_cudnn_graph *out,
                                dt_error *err);
void dt_cudnn_graph_destroy(dt_cudnn_graph *graph); /* may be zeroed */

/* Convert cuDNN's error to ours: DT_ERR_UNSUPPORTED for "not supported", DT_ERR_MEMORY for a failed
 * allocation, else DT_ERR_DEVICE. The message gives the operation (`what`), the graph and cuDNN's text. */
dt_status dt_cudnn_fail(dt_error *err, cudnnStatus_t status, const char *graph_name, const char *what);

/* Create a descriptor, set one attribute, or finalize it. `what` goes into error messages. */
dt_status dt_cudnn_make(const char *graph_name, cudnnBackendDescriptorType_t type,
                        cudnnBackendDescriptor_t *out, dt_error *err);
dt_status dt_cudnn_set(const char *graph_name, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                       cudnnBackendAttributeType_t type, int64_t n, const void *values, const char *what,
                       dt_error *err);

#endif
