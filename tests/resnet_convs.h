/* resnet_convs.h: the distinct convolutions of ResNet-18 and ResNet-50 at 224 pixels, and the graphs of each,
 * for tests of the cuda backend. */
#ifndef DTRAIN_TESTS_RESNET_CONVS_H
#define DTRAIN_TESTS_RESNET_CONVS_H

#include "layers/cuda/graph_conv.h"

#define DT_RESNET_N_CONVS 29

typedef enum dt_conv_graph_kind {
    DT_CONV_GRAPH_FORWARD,
    DT_CONV_GRAPH_FORWARD_SUMS,
    DT_CONV_GRAPH_PROLOGUE_FORWARD,
    DT_CONV_GRAPH_PROLOGUE_FORWARD_SUMS,
    DT_CONV_GRAPH_FORWARD_JOIN,      /* the skip is plain */
    DT_CONV_GRAPH_FORWARD_JOIN_LAZY, /* the skip is normalised */
    DT_CONV_GRAPH_DATA,
    DT_CONV_GRAPH_DATA_ADD,
    DT_CONV_GRAPH_DATA_BN,
    DT_CONV_GRAPH_DATA_JOIN,      /* the skip is plain */
    DT_CONV_GRAPH_DATA_JOIN_LAZY, /* the skip is normalised */
    DT_CONV_GRAPH_WEIGHTS,
    DT_CONV_GRAPH_PROLOGUE_WEIGHTS,
    DT_CONV_N_GRAPHS
} dt_conv_graph_kind;

/* Convolution number i; 0 is the stem (its 3 channels padded to 4). */
dt_conv_desc dt_resnet_conv(int i, int64_t batch);
bool dt_resnet_conv_is_in(int i, const char *arch);

void dt_conv_graph(const dt_conv_desc *desc, dt_dtype dtype, dt_conv_graph_kind kind, dt_graph *graph);
const char *dt_conv_graph_name(dt_conv_graph_kind kind);

#endif
