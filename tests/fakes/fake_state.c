#include "tests/fakes/fake_state.h"

#include "core/base/alloc.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

static dt_status get(void *context, int64_t tensor, float *canonical, dt_error *err)
{
    const fake_state *s = context;
    const dt_state_tensor *t = &s->tensors[tensor];
    if (tensor == s->fail_get_at)
        return dt_fail(err, s->fail_status, "the device has lost %s", t->name);
    memcpy(canonical, s->values + t->first, (size_t)t->n_elems * sizeof *canonical);
    return DT_OK;
}

static dt_status set(void *context, int64_t tensor, const float *canonical, dt_error *err)
{
    fake_state *s = context;
    const dt_state_tensor *t = &s->tensors[tensor];
    if (tensor == s->fail_set_at)
        return dt_fail(err, s->fail_status, "the device refuses %s", t->name);
    memcpy(s->values + t->first, canonical, (size_t)t->n_elems * sizeof *canonical);
    s->n_set++;
    return DT_OK;
}

static void *host_alloc(dt_device *device, int64_t bytes)
{
    (void)device;
    return dt_alloc((size_t)bytes);
}

static void host_free(dt_device *device, void *p)
{
    (void)device;
    dt_free(p);
}

static dt_status copy(dt_device *device, void *dst, const void *src, int64_t bytes, dt_copy_kind kind,
                      dt_stream *stream, dt_error *err)
{
    const fake_state *s =
        (const fake_state *)(const void *)((const char *)device - offsetof(fake_state, device));
    (void)kind, (void)stream;
    if (s->fail_get_at >= 0 && src == s->address[s->fail_get_at].values)
        return dt_fail(err, s->fail_status, "the device has lost %s", s->tensors[s->fail_get_at].name);
    memcpy(dst, src, (size_t)bytes);
    return DT_OK;
}

static void info(dt_device *device, dt_device_info *info)
{
    (void)device;
    *info = (dt_device_info){.is_host = true};
}

static const dt_device_ops device_ops = {
    .name = "state", .host_alloc = host_alloc, .host_free = host_free, .copy = copy, .info = info};

void fake_state_init(fake_state *s, uint64_t seed)
{
    static const dt_state_tensor shapes[FAKE_STATE_TENSORS] = {
        {.name = "param/conv1.weight", .n_dims = 4, .dims = {16, 3, 3, 3}},
        {.name = "param/bn1.weight", .n_dims = 1, .dims = {16}},
        {.name = "param/layer1.0.conv1.weight", .n_dims = 4, .dims = {16, 16, 3, 3}},
        {.name = "param/fc.weight", .n_dims = 2, .dims = {10, 16}},
        {.name = "momentum/deep/er/conv1.weight", .n_dims = 3, .dims = {2, 3, 5}},
        {.name = "buffer/bn1.running_mean", .n_dims = 1, .dims = {1}},
        {.name = "steps", .n_dims = 0},
    };
    *s = (fake_state){.fail_get_at = -1, .fail_set_at = -1, .fail_status = DT_ERR_DEVICE};
    memcpy(s->tensors, shapes, sizeof shapes);
    int64_t n = 0;
    for (int i = 0; i < FAKE_STATE_TENSORS; i++) {
        s->tensors[i].first = n;
        s->tensors[i].n_elems = 1;
        for (int d = 0; d < s->tensors[i].n_dims; d++)
            s->tensors[i].n_elems *= s->tensors[i].dims[d];
        n += s->tensors[i].n_elems;
    }
    s->layout = (dt_state_layout){FAKE_STATE_TENSORS, n, s->tensors};
    s->io = (dt_state_io){s, get, set, &s->addresses};
    s->values = malloc((size_t)n * sizeof *s->values);
    if (!s->values)
        abort();
    dt_test_fill_random(s->values, n, seed);
    s->device = (dt_device){&device_ops};
    s->addresses =
        (dt_state_addresses){.device = &s->device, .n_tensors = FAKE_STATE_TENSORS, .tensors = s->address};
    for (int i = 0; i < FAKE_STATE_TENSORS; i++)
        s->address[i] =
            (dt_state_address){.values = s->values + s->tensors[i].first,
                               .vector = s->values + i, /* each as if in an allocation of its own */
                               .n_elems = s->tensors[i].n_elems,
                               .order = dt_weights_order_plain(s->tensors[i].n_elems)};
}

void fake_state_clear(fake_state *s)
{
    free(s->values);
    s->values = NULL;
}

dt_manifest fake_manifest(int64_t step)
{
    dt_manifest m = {.format_version = DT_MANIFEST_VERSION,
                     .step = step,
                     .epoch = 3,
                     .position = 128,
                     .seed = UINT64_MAX - 5,
                     .loss_scale = 1024.0,
                     .n_good_steps = 77,
                     .n_skipped_steps = 5,
                     .world_size = 2,
                     .global_batch = 64,
                     .arch = "resnet18",
                     .n_classes = 10,
                     .image_size = 32,
                     .data_fingerprint = 0x0123456789abcdefULL,
                     .best_top1 = 0.123456789012345,
                     .best_epoch = 2,
                     .best_step = step < 17 ? step : 17,
                     .computed_by = {2, {{"oneDNN", "2.6.3"}, {"isa", "avx512_core + avx2"}}},
                     .config_text = dt_strdup("lr = 0.1;\nout = \"runs/\\\"é\\\"\";\n")};
    static const char *const names[] = {"zebra", "aé", "b\"c", "d\\x80", "\x80\xff",
                                        "f\ng",  " ",  "-",    "'",      "cat"};
    for (int i = 0; i < 10; i++)
        if (dt_class_names_add(&m.class_names, names[i], NULL) != DT_OK)
            break;
    static const char *const engines[FAKE_STATE_ENGINES][3] = {
        {"GPU A, driver 1", "conv 1x1", "22:2=1 0.125"},
        {"GPU A, driver 1", "dgrad += 3x3", "none"},
        {"GPU B", "conv 1x1", "7 0"},
    };
    for (int i = 0; i < FAKE_STATE_ENGINES; i++)
        if (dt_engines_put(&m.engines, engines[i][0], engines[i][1], engines[i][2], NULL) != DT_OK)
            break;
    return m;
}
