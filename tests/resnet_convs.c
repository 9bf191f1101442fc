#include "tests/resnet_convs.h"

#include "layers/cuda/graph_residual.h"
#include "layers/cuda/graph_residual_backward.h"

#include <string.h>

/* From table 1 of He et al. 2016: input channels, height and width, filters, kernel, stride; the
 * architectures that have it. */
typedef struct row {
    int c, size, k, kernel, stride;
    bool in_18, in_50;
} row;

static const row rows[DT_RESNET_N_CONVS] = {
    {4, 224, 64, 7, 2, true, true},
    {64, 56, 64, 3, 1, true, true},
    {128, 28, 128, 3, 1, true, true},
    {256, 14, 256, 3, 1, true, true},
    {512, 7, 512, 3, 1, true, true},
    /* ResNet-18: the stages' first blocks */
    {64, 56, 128, 3, 2, true, false},
    {64, 56, 128, 1, 2, true, false},
    {128, 28, 256, 3, 2, true, false},
    {128, 28, 256, 1, 2, true, false},
    {256, 14, 512, 3, 2, true, false},
    {256, 14, 512, 1, 2, true, false},
    /* ResNet-50 */
    {64, 56, 64, 1, 1, false, true},
    {64, 56, 256, 1, 1, false, true},
    {256, 56, 64, 1, 1, false, true},
    {256, 56, 128, 1, 1, false, true},
    {128, 56, 128, 3, 2, false, true},
    {128, 28, 512, 1, 1, false, true},
    {256, 56, 512, 1, 2, false, true},
    {512, 28, 128, 1, 1, false, true},
    {512, 28, 256, 1, 1, false, true},
    {256, 28, 256, 3, 2, false, true},
    {256, 14, 1024, 1, 1, false, true},
    {512, 28, 1024, 1, 2, false, true},
    {1024, 14, 256, 1, 1, false, true},
    {1024, 14, 512, 1, 1, false, true},
    {512, 14, 512, 3, 2, false, true},
    {512, 7, 2048, 1, 1, false, true},
    {1024, 14, 2048, 1, 2, false, true},
    {2048, 7, 512, 1, 1, false, true},
};

dt_conv_desc dt_resnet_conv(int i, int64_t batch)
{
    const row *r = &rows[i];
    return (dt_conv_desc){.n = batch,
                          .c = r->c,
                          .h = r->size,
                          .w = r->size,
                          .k = r->k,
                          .r = r->kernel,
                          .s = r->kernel,
                          .stride = r->stride,
                          .pad = r->kernel / 2,
                          .for_training = true,
                          .reads_image = i == 0};
}

bool dt_resnet_conv_is_in(int i, const char *arch)
{
    return strcmp(arch, "resnet18") == 0 ? rows[i].in_18 : rows[i].in_50;
}

void dt_conv_graph(const dt_conv_desc *d, dt_dtype dtype, dt_conv_graph_kind kind, dt_graph *g)
{
    switch (kind) {
    case DT_CONV_GRAPH_FORWARD:
        dt_graph_conv_forward(d, dtype, false, false, g);
        break;
    case DT_CONV_GRAPH_FORWARD_SUMS:
        dt_graph_conv_forward(d, dtype, false, true, g);
        break;
    case DT_CONV_GRAPH_PROLOGUE_FORWARD:
        dt_graph_conv_forward(d, dtype, true, false, g);
        break;
    case DT_CONV_GRAPH_PROLOGUE_FORWARD_SUMS:
        dt_graph_conv_forward(d, dtype, true, true, g);
        break;
    case DT_CONV_GRAPH_FORWARD_JOIN:
    case DT_CONV_GRAPH_FORWARD_JOIN_LAZY:
        dt_graph_conv_forward_join(d, dtype, kind == DT_CONV_GRAPH_FORWARD_JOIN_LAZY, g);
        break;
    case DT_CONV_GRAPH_DATA:
        dt_graph_conv_backward_data(d, dtype, false, g);
        break;
    case DT_CONV_GRAPH_DATA_ADD:
        dt_graph_conv_backward_data(d, dtype, true, g);
        break;
    case DT_CONV_GRAPH_DATA_BN:
        dt_graph_conv_backward_data_bn(d, dtype, g);
        break;
    case DT_CONV_GRAPH_DATA_JOIN:
    case DT_CONV_GRAPH_DATA_JOIN_LAZY:
        dt_graph_conv_backward_data_join(d, dtype, kind == DT_CONV_GRAPH_DATA_JOIN_LAZY, g);
        break;
    case DT_CONV_GRAPH_WEIGHTS:
        dt_graph_conv_backward_weights(d, dtype, false, g);
        break;
    case DT_CONV_GRAPH_PROLOGUE_WEIGHTS:
        dt_graph_conv_backward_weights(d, dtype, true, g);
        break;
    case DT_CONV_N_GRAPHS:
        break;
    }
}

const char *dt_conv_graph_name(dt_conv_graph_kind kind)
{
    static const char *const names[] = {"conv",
                                        "conv+sums",
                                        "bnrelu+conv",
                                        "bnrelu+conv+sums",
                                        "bn+add+relu+conv+sums",
                                        "bn+bn+add+relu+conv+sums",
                                        "dgrad",
                                        "dgrad+=",
                                        "dgrad+drelu+dbn",
                                        "dgrad+add+drelu+dbn",
                                        "dgrad+add+drelu+2dbn",
                                        "wgrad",
                                        "bnrelu+wgrad"};
    return names[kind];
}
