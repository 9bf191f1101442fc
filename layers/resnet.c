#include "layers/resnet.h"

#include "core/base/alloc.h"

#include <stdio.h>
#include <string.h>

/* Table 1 of He et al. 2016: residual blocks in each of the four stages; bottlenecks have three convolutions
 * and four times the channels at their end. */
typedef struct resnet_arch {
    const char *name;
    int blocks[4];
    bool bottleneck;
} resnet_arch;

static const resnet_arch archs[] = {
    {"resnet18", {2, 2, 2, 2}, false},  {"resnet34", {3, 4, 6, 3}, false},  {"resnet50", {3, 4, 6, 3}, true},
    {"resnet101", {3, 4, 23, 3}, true}, {"resnet152", {3, 8, 36, 3}, true},
};
#define N_ARCHS ((int)(sizeof archs / sizeof *archs))

/* stem: conv, bn, pool; a bottleneck with projection: 3 * 2 + 2 + 1; head: pool, linear, loss */
#define MAX_LAYERS (3 + 50 * 7 + 4 * 2 + 3)

typedef struct maker {
    dt_net_spec *spec;
    int64_t channels; /* of the last block's output */
} maker;

const char *const *dt_resnet_names(void)
{
    static const char *names[N_ARCHS + 1];
    for (int i = 0; i < N_ARCHS; i++)
        names[i] = archs[i].name;
    return names;
}

/* Append a layer that reads the value `input`; return the number of the value that it writes. */
static int append(maker *m, dt_layer_spec layer, int input, const char *prefix, const char *name)
{
    layer.n_inputs = layer.n_inputs ? layer.n_inputs : 1;
    layer.inputs[0] = input;
    snprintf(layer.name, sizeof layer.name, "%s%s", prefix, name);
    m->spec->layers[m->spec->n_layers++] = layer;
    return (int)m->spec->n_layers;
}

static int conv_bn(maker *m, int input, int64_t channels, int64_t kernel, int64_t stride, const char *prefix,
                   const char *conv, const char *bn, bool relu, bool last)
{
    int y = append(
        m,
        (dt_layer_spec){
            .kind = "conv", .channels = channels, .kernel = kernel, .stride = stride, .pad = kernel / 2},
        input, prefix, conv);
    return append(m, (dt_layer_spec){.kind = "batchnorm", .relu = relu, .last_of_branch = last}, y, prefix,
                  bn);
}

/* One residual block of `width` channels inside. */
static int block(maker *m, int input, const resnet_arch *arch, int64_t width, int64_t stride,
                 const char *prefix)
{
    int64_t out_channels = arch->bottleneck ? 4 * width : width;
    int branch = input, skip = input;
    if (arch->bottleneck) {
        branch = conv_bn(m, branch, width, 1, 1, prefix, "conv1", "bn1", true, false);
        branch = conv_bn(m, branch, width, 3, stride, prefix, "conv2", "bn2", true, false);
        branch = conv_bn(m, branch, out_channels, 1, 1, prefix, "conv3", "bn3", false, true);
    } else {
        branch = conv_bn(m, branch, width, 3, stride, prefix, "conv1", "bn1", true, false);
        branch = conv_bn(m, branch, width, 3, 1, prefix, "conv2", "bn2", false, true);
    }
    if (stride != 1 || m->channels != out_channels)
        skip =
            conv_bn(m, input, out_channels, 1, stride, prefix, "downsample.0", "downsample.1", false, false);
    m->channels = out_channels;
    return append(m, (dt_layer_spec){.kind = "add", .n_inputs = 2, .inputs = {0, skip}}, branch, prefix,
                  "add");
}

static void make(maker *m, const resnet_arch *arch)
{
    int value = conv_bn(m, 0, 64, 7, 2, "", "conv1", "bn1", true, false);
    value = append(m, (dt_layer_spec){.kind = "max_pool", .kernel = 3, .stride = 2, .pad = 1}, value, "",
                   "maxpool");
    m->channels = 64;
    for (int stage = 0; stage < 4; stage++)
        for (int i = 0; i < arch->blocks[stage]; i++) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "layer%d.%d.", stage + 1, i);
            value = block(m, value, arch, (int64_t)64 << stage, stage > 0 && i == 0 ? 2 : 1, prefix);
        }
    value = append(m, (dt_layer_spec){.kind = "average_pool"}, value, "", "avgpool");
    value = append(m, (dt_layer_spec){.kind = "linear", .channels = m->spec->n_classes}, value, "", "fc");
    append(m, (dt_layer_spec){.kind = "softmax_loss"}, value, "", "loss");
}

dt_status dt_resnet_spec(const char *name, int64_t n_classes, dt_net_spec *spec, dt_error *err)
{
    const resnet_arch *arch = NULL;
    for (int i = 0; i < N_ARCHS; i++)
        if (strcmp(archs[i].name, name) == 0)
            arch = &archs[i];
    if (!arch)
        return dt_fail(
            err, DT_ERR_USAGE,
            "there is no architecture \"%s\": use resnet18, resnet34, resnet50, resnet101 or resnet152",
            name);
    if (n_classes < 1)
        return dt_fail(err, DT_ERR_USAGE, "%s needs at least one class, not %lld", name,
                       (long long)n_classes);
    *spec = (dt_net_spec){.n_classes = n_classes, .layers = dt_calloc(MAX_LAYERS, sizeof(dt_layer_spec))};
    if (!spec->layers)
        return dt_fail_memory(err, MAX_LAYERS * sizeof(dt_layer_spec), "the architecture");
    snprintf(spec->arch, sizeof spec->arch, "%s", name);
    make(&(maker){.spec = spec}, arch);
    return DT_OK;
}
