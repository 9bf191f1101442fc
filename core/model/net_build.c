/* net_build.c: creates the layers, with the builder functions that they call, and plans the memory of
 * activations and their gradients.
 *
 * Time is counted in ticks: with L layers, layer i runs forward at tick i and backward at tick 2L-1-i. Each
 * block of memory has a first and a last tick at which it holds data; memory_plan.c gives the same memory to
 * blocks that never hold data at the same time. A net without training ends at tick L-1, so its activations
 * live only until the last layer that reads them. */
#include "core/base/alloc.h"
#include "core/base/units.h"
#include "core/model/net_internal.h"

#include <stdio.h>
#include <string.h>

static int64_t forward_tick(int64_t layer)
{
    return layer < 0 ? 0 : layer;
}

static int64_t backward_tick(const dt_net *net, int64_t layer)
{
    return 2 * net->n_layers - 1 - (layer < 0 ? 0 : layer);
}

static int64_t last_tick(const dt_net *net)
{
    return net->options.training ? 2 * net->n_layers : net->n_layers;
}

/* Reserve memory for one more element after n of `size` bytes each. */
static dt_status reserve(void **array, int64_t n, int64_t *max, size_t size, dt_error *err)
{
    if (n < *max)
        return DT_OK;
    int64_t more = *max ? 2 * *max : 64;
    void *p = dt_realloc(*array, (size_t)*max * size, (size_t)more * size);
    if (!p)
        return dt_fail_memory(err, (size_t)more * size, "the net's tables");
    *array = p;
    *max = more;
    return DT_OK;
}

static dt_status add_block(dt_net *net, int64_t bytes, int64_t first, int64_t last, int64_t *block,
                           dt_error *err)
{
    DT_TRY(reserve((void **)&net->blocks, net->n_blocks, &net->max_blocks, sizeof *net->blocks, err));
    net->blocks[net->n_blocks] = (dt_planned_block){.bytes = bytes, .first = first, .last = last};
    *block = net->n_blocks++;
    return DT_OK;
}

static dt_status add_patch(dt_net *net, int64_t block, void **where, dt_error *err)
{
    DT_TRY(reserve((void **)&net->patches, net->n_patches, &net->max_patches, sizeof *net->patches, err));
    net->patches[net->n_patches++] = (dt_patch){block, where};
    return DT_OK;
}

static dt_status add_patched_block(dt_net *net, int64_t bytes, int64_t first, int64_t last, void **where,
                                   dt_error *err)
{
    int64_t block = 0;
    DT_TRY(add_block(net, bytes, first, last, &block, err));
    return add_patch(net, block, where, err);
}

/* -- builder functions, which layers call ---------------------------------------------------------------- */

dt_status dt_builder_param(dt_net_builder *b, const dt_param_request *request, dt_error *err)
{
    dt_net *net = b->net;
    DT_TRY(reserve((void **)&net->params, net->n_params, &net->max_params, sizeof *net->params, err));
    dt_param *p = &net->params[net->n_params];
    *p = (dt_param){.kind = request->kind,
                    .init = request->init,
                    .last_of_branch = b->spec->last_of_branch && request->init == DT_INIT_ONE &&
                                      request->kind == DT_PARAM_BN,
                    .n_dims = request->n_dims,
                    .fan = request->fan,
                    .n_canonical = 1,
                    .n_native = request->n_elems,
                    .layer = b->layer,
                    .which = b->n_params_of_layer++,
                    .value = request->value,
                    .grad = request->grad};
    snprintf(p->name, sizeof p->name, "%s.%s", b->spec->name, request->suffix);
    for (int i = 0; i < request->n_dims; i++) {
        p->dims[i] = request->dims[i];
        p->n_canonical *= request->dims[i];
    }
    net->n_params++;
    return DT_OK;
}

dt_status dt_builder_vector(dt_net_builder *b, int64_t bytes, void **where, dt_error *err)
{
    return add_patched_block(b->net, bytes, 0, last_tick(b->net), where, err);
}

dt_status dt_builder_kept(dt_net_builder *b, int64_t bytes, void **where, dt_error *err)
{
    int64_t last = b->net->options.training ? backward_tick(b->net, b->layer) : b->layer;
    return add_patched_block(b->net, bytes, b->layer, last, where, err);
}

dt_status dt_builder_scratch(dt_net_builder *b, int64_t bytes, bool in_backward, void **where, dt_error *err)
{
    int64_t tick = in_backward ? backward_tick(b->net, b->layer) : b->layer;
    return add_patched_block(b->net, bytes, tick, tick, where, err);
}

dt_status dt_builder_output(dt_net_builder *b, int64_t n, int64_t c, int64_t h, int64_t w, dt_error *err)
{
    dt_value *out = &b->net->values[b->layer + 1];
    if (n < 1 || c < 1 || h < 1 || w < 1)
        return dt_fail(err, DT_ERR_USAGE, "%s: an image of %lld pixels is too small for this layer",
                       b->spec->name, (long long)b->net->options.image_size);
    out->act.raw = (dt_tensor){.dtype = b->net->kernels->dtype, .n = n, .c = c, .h = h, .w = w};
    b->net->value_plans[b->layer + 1].raw_of = b->layer + 1;
    return DT_OK;
}

dt_status dt_builder_output_view(dt_net_builder *b, int which, dt_error *err)
{
    dt_net *net = b->net;
    int input = b->spec->inputs[which];
    if (net->values[input].has_bn || input == 0)
        return dt_fail(err, DT_ERR_INTERNAL, "%s: its input must be a plain tensor that a layer made",
                       b->spec->name);
    net->value_plans[b->layer + 1].raw_of = input;
    net->value_plans[input].grad_over_raw = true;
    net->values[b->layer + 1].act.raw = net->values[input].act.raw;
    return DT_OK;
}

void dt_builder_fuse_join_grad(dt_net_builder *b, int which)
{
    int input = b->spec->inputs[which];
    b->net->values[input].join_grad_fused = true;
    b->net->value_plans[input].fused_at = b->layer;
}

int dt_builder_n_readers(const dt_net_builder *b, int which)
{
    int n = 0;
    for (int64_t i = 0; i < b->net->n_layers; i++)
        for (int k = 0; k < b->net->specs[i].n_inputs; k++)
            n += b->net->specs[i].inputs[k] == b->spec->inputs[which];
    return n;
}

void dt_builder_reads(dt_net_builder *b, const dt_value *value)
{
    dt_value_plan *plan = &b->net->value_plans[value - b->net->values];
    if (!b->net->options.training && plan->last_consumer < b->layer)
        plan->last_consumer = b->layer;
}

static int64_t grad_root(const dt_net *net, int64_t value)
{
    while (net->value_plans[value].grad_of != value)
        value = net->value_plans[value].grad_of;
    return value;
}

dt_status dt_builder_share_grad(dt_net_builder *b, int which, dt_error *err)
{
    dt_net *net = b->net;
    const dt_tensor *in = &net->values[b->spec->inputs[which]].act.raw,
                    *out = &net->values[b->layer + 1].act.raw;
    if (in->n != out->n || in->c != out->c || in->h != out->h || in->w != out->w)
        return dt_fail(err, DT_ERR_INTERNAL,
                       "%s: input %d has another shape than the output: they cannot share a gradient",
                       b->spec->name, which);
    if (net->values[b->spec->inputs[which]].join_grad_fused)
        net->value_plans[b->spec->inputs[which]].earlier_grad_of = b->layer + 1;
    else
        net->value_plans[grad_root(net, b->spec->inputs[which])].grad_of = grad_root(net, b->layer + 1);
    return DT_OK;
}

void *dt_builder_layer(dt_net_builder *b, size_t bytes)
{
    dt_layer *layer = dt_calloc(1, bytes);
    if (!layer)
        return NULL;
    layer->ops = b->ops;
    layer->kernels = b->net->kernels;
    for (int i = 0; i < b->spec->n_inputs; i++)
        layer->inputs[i] = &b->net->values[b->spec->inputs[i]];
    layer->output = &b->net->values[b->layer + 1];
    memcpy(layer->name, b->spec->name, sizeof layer->name);
    return layer;
}

bool dt_builder_training(const dt_net_builder *b)
{
    return b->net->options.training;
}

void dt_value_begin_grad(dt_value *value, const dt_tensor **add, const dt_bn_backward **bn)
{
    *add = value->n_pending < value->n_consumers ? &value->earlier_grad : NULL;
    *bn = value->n_pending == 1 && value->has_bn ? &value->bn : NULL;
}

const dt_tensor *dt_value_grad_target(const dt_value *value)
{
    return value->n_pending > 1 ? &value->earlier_grad : &value->grad;
}

void dt_value_end_grad(dt_value *value, bool reduced)
{
    value->n_pending--;
    value->grad_reduced = reduced;
}

/* -- for net.c ------------------------------------------------------------------------------------------- */

static const dt_layer_ops *find_kind(const dt_layer_ops *const *registry, const char *kind)
{
    for (; *registry; registry++)
        if (strcmp((*registry)->kind, kind) == 0)
            return *registry;
    return NULL;
}

static dt_status check_spec(const dt_net *net, int64_t layer, const dt_layer_spec *spec,
                            const dt_layer_ops *ops, dt_error *err)
{
    if (!ops)
        return dt_fail(err, DT_ERR_INTERNAL, "layer %s: there is no kind \"%s\" in the registry", spec->name,
                       spec->kind);
    if (spec->n_inputs != ops->n_inputs)
        return dt_fail(err, DT_ERR_INTERNAL, "layer %s: %s takes %d inputs, not %d", spec->name, spec->kind,
                       ops->n_inputs, spec->n_inputs);
    for (int i = 0; i < spec->n_inputs; i++)
        if (spec->inputs[i] < 0 || spec->inputs[i] > layer || net->value_plans[spec->inputs[i]].raw_of < 0)
            return dt_fail(err, DT_ERR_INTERNAL, "layer %s: input %d is not a value made before it",
                           spec->name, spec->inputs[i]);
    return DT_OK;
}

dt_status dt_net_build_layers(dt_net *net, dt_error *err)
{
    for (int64_t i = 0; i <= net->n_layers; i++)
        net->value_plans[i] = (dt_value_plan){.raw_of = i == 0 ? 0 : -1,
                                              .grad_of = i,
                                              .producer = i - 1,
                                              .last_consumer = i - 1,
                                              .earlier_grad_of = -1};
    net->values[0].act.raw = (dt_tensor){.dtype = net->kernels->dtype,
                                         .n = net->options.batch,
                                         .c = 3,
                                         .h = net->options.image_size,
                                         .w = net->options.image_size};
    for (int64_t i = 0; i < net->n_layers; i++) {
        const dt_layer_spec *layer = &net->specs[i];
        const dt_layer_ops *ops = find_kind(net->registry, layer->kind);
        DT_TRY(check_spec(net, i, layer, ops, err));
        for (int k = 0; k < layer->n_inputs; k++) {
            net->values[layer->inputs[k]].n_consumers++;
            net->value_plans[layer->inputs[k]].last_consumer = i;
        }
        dt_net_builder builder = {.net = net, .layer = i, .spec = layer, .ops = ops};
        DT_TRY(ops->create(&builder, layer, &net->layers[i], err));
    }
    for (int64_t i = 0; i < net->n_layers; i++) {
        const dt_layer_ops *ops = net->layers[i]->ops;
        dt_net_builder builder = {.net = net, .layer = i, .spec = &net->specs[i], .ops = ops};
        if (ops->complete)
            DT_TRY(ops->complete(&builder, net->layers[i], err));
    }
    return DT_OK;
}

static int64_t raw_bytes(const dt_net *net, int64_t v)
{
    const dt_tensor *t = &net->values[v].act.raw;
    return net->kernels->ops->tensor_bytes(net->kernels, t->n, t->c, t->h, t->w);
}

static bool has_own_grad(const dt_net *net, int64_t v)
{
    return v > 0 && net->value_plans[v].raw_of >= 0 && !net->value_plans[v].grad_over_raw;
}

/* The last tick at which a gradient is read that shares its memory with value `root`'s. */
static int64_t last_grad_tick(const dt_net *net, int64_t root)
{
    int64_t last = 0;
    for (int64_t v = 1; v <= net->n_layers; v++) {
        const dt_value_plan *plan = &net->value_plans[v];
        int64_t end = 0;
        if (has_own_grad(net, v) && grad_root(net, v) == root)
            end = backward_tick(net, plan->producer);
        if (plan->earlier_grad_of >= 0 && grad_root(net, plan->earlier_grad_of) == root &&
            backward_tick(net, plan->fused_at) > end)
            end = backward_tick(net, plan->fused_at);
        last = end > last ? end : last;
    }
    return last;
}

/* A block for each value with a raw of its own; it lives as long as any value that shares it, or as the
 * gradient that overwrites it. */
static dt_status plan_raws(dt_net *net, dt_error *err)
{
    for (int64_t v = 0; v <= net->n_layers; v++) {
        if (net->value_plans[v].raw_of != v)
            continue;
        int64_t last = net->options.training ? backward_tick(net, net->value_plans[v].producer) : 0;
        for (int64_t u = v; u <= net->n_layers; u++)
            if (net->value_plans[u].raw_of == v && !net->options.training &&
                net->value_plans[u].last_consumer > last)
                last = net->value_plans[u].last_consumer;
        if (net->values[v].join_grad_fused)
            last = last_grad_tick(net, v);
        DT_TRY(add_patched_block(net, raw_bytes(net, v), forward_tick(net->value_plans[v].producer), last,
                                 &net->values[v].act.raw.data, err));
    }
    return DT_OK;
}

/* The first tick at which a gradient is written that shares its memory with value `root`'s: the last consumer
 * of a member writes it when it runs backward (the loss in its forward call). */
static int64_t first_grad_tick(const dt_net *net, int64_t root)
{
    int64_t first = last_tick(net);
    for (int64_t v = 1; v <= net->n_layers; v++) {
        if (!has_own_grad(net, v) || grad_root(net, v) != root)
            continue;
        int64_t consumer = net->value_plans[v].last_consumer;
        bool by_loss = net->value_plans[consumer + 1].raw_of < 0;
        int64_t begin = by_loss ? forward_tick(consumer) : backward_tick(net, consumer);
        first = begin < first ? begin : first;
    }
    return first;
}

/* A block for each group of values that share a gradient, unless it overwrites the root's raw. */
static dt_status plan_grads(dt_net *net, dt_error *err)
{
    for (int64_t root = 1; root <= net->n_layers; root++) {
        dt_value *value = &net->values[root];
        const dt_value_plan *plan = &net->value_plans[root];
        if (!has_own_grad(net, root) || grad_root(net, root) != root)
            continue;
        if (value->join_grad_fused && plan->earlier_grad_of < 0)
            DT_TRY(add_patched_block(net, raw_bytes(net, root), backward_tick(net, plan->last_consumer),
                                     backward_tick(net, plan->fused_at), &value->earlier_grad.data, err));
        if (value->join_grad_fused)
            continue;
        DT_TRY(add_patched_block(net, raw_bytes(net, root), first_grad_tick(net, root),
                                 last_grad_tick(net, root), &value->grad.data, err));
    }
    return DT_OK;
}

/* The memory of v's gradient, once that of the blocks is known. */
static void *grad_data(const dt_net *net, int64_t v)
{
    if (net->value_plans[v].grad_over_raw)
        return net->values[v].act.raw.data;
    const dt_value *root = &net->values[grad_root(net, v)];
    return root->join_grad_fused ? root->act.raw.data : root->grad.data;
}

/* Set the shapes of gradients, and the pointers of views and of gradients that share memory. */
static void complete_values(dt_net *net)
{
    for (int64_t v = 0; v <= net->n_layers; v++) {
        dt_value *value = &net->values[v];
        if (net->value_plans[v].raw_of >= 0)
            value->act.raw.data = net->values[net->value_plans[v].raw_of].act.raw.data;
    }
    for (int64_t v = 0; net->options.training && v <= net->n_layers; v++) {
        dt_value *value = &net->values[v];
        const dt_value_plan *plan = &net->value_plans[v];
        if (plan->raw_of < 0)
            continue;
        void *grad = grad_data(net, v), *earlier = value->earlier_grad.data;
        value->grad = value->earlier_grad = value->act.raw;
        value->grad.data = value->earlier_grad.data = grad;
        if (value->join_grad_fused)
            value->earlier_grad.data =
                plan->earlier_grad_of < 0 ? earlier : grad_data(net, plan->earlier_grad_of);
    }
}

void dt_net_clear_layers(dt_net *net)
{
    for (int64_t i = 0; net->layers && i < net->n_layers; i++)
        if (net->layers[i]) {
            net->layers[i]->ops->destroy(net->layers[i]);
            net->layers[i] = NULL;
        }
    net->kernels->device->ops->free(net->kernels->device, net->memory);
    net->memory = NULL;
    net->memory_bytes = 0;
    net->unplanned_bytes = 0.0;
    net->n_blocks = net->n_patches = net->n_params = 0;
    if (net->values)
        memset(net->values, 0, ((size_t)net->n_layers + 1) * sizeof *net->values);
}

dt_status dt_net_build_memory(dt_net *net, dt_error *err)
{
    DT_TRY(plan_raws(net, err));
    if (net->options.training)
        DT_TRY(plan_grads(net, err));
    DT_TRY(dt_memory_plan(net->blocks, net->n_blocks, &net->memory_bytes, err));
    for (int64_t i = 0; i < net->n_blocks; i++)
        net->unplanned_bytes += (double)net->blocks[i].bytes;
    if (net->options.plan_only)
        return DT_OK;
    net->memory = net->kernels->device->ops->alloc(net->kernels->device, net->memory_bytes);
    if (!net->memory)
        return dt_fail(err, DT_ERR_MEMORY,
                       "the activations of %s at batch %lld and %lld pixels need %.2f GiB, and there is "
                       "not enough memory: use a smaller --batch",
                       net->arch, (long long)net->options.batch, (long long)net->options.image_size,
                       DT_TO_GIB(net->memory_bytes));
    for (int64_t i = 0; i < net->n_patches; i++)
        *net->patches[i].where = net->memory + net->blocks[net->patches[i].block].offset;
    complete_values(net);
    for (int64_t i = 0; i < net->n_layers; i++)
        if (net->layers[i]->ops->bind)
            DT_TRY(net->layers[i]->ops->bind(net->layers[i], err));
    return DT_OK;
}
