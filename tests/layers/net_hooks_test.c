/* What a net offers besides forward and backward: planning alone, another image size, an observer, running
 * averages, a backend's mirror of the weights. */
#include "comm/self.h"
#include "core/base/alloc.h"
#include "core/base/rng.h"
#include "core/model/net.h"
#include "core/training/step.h"
#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "layers/registry.h"
#include "layers/resnet.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, CLASSES = 10, LARGEST = 64 };

int dt_test_time_limit_s = 300;

static dt_device *device;
static dt_device_ops counting_ops; /* the host's, and they count */
static int n_allocs, fail_alloc_at;
static dt_kernels *ref;
static uint8_t pixels[BATCH * LARGEST * LARGEST * 3];
static const int32_t labels[BATCH] = {3, 7};
static dt_error err;

static void *counted_alloc(dt_device *d, int64_t bytes)
{
    n_allocs++;
    return n_allocs == fail_alloc_at || bytes < 0 ? NULL : d->ops->host_alloc(d, bytes);
}

void dt_test_set_up(void)
{
    if (dt_device_host_create(2, &device, &err) != DT_OK ||
        dt_kernels_ref_create(device, DT_F32, &ref, &err) != DT_OK)
        exit(1);
    counting_ops = *device->ops;
    counting_ops.alloc = counted_alloc;
    device->ops = &counting_ops;
    dt_rng g = dt_rng_at(1, DT_RNG_TEST, 0, 0);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)dt_rng_below(&g, 256);
}

void dt_test_tear_down(void)
{
    ref->ops->destroy(ref);
    device->ops->destroy(device);
}

static dt_net *create(const dt_net_options *options)
{
    dt_net_spec spec;
    dt_net *net = NULL;
    DT_REQUIRE(dt_resnet_spec("resnet18", CLASSES, &spec, &err) == DT_OK);
    dt_status status = dt_net_create(&spec, dt_layer_registry(), ref, options, &net, &err);
    dt_free(spec.layers);
    DT_REQUIRE_MSG(status == DT_OK, "%s", err.message);
    return net;
}

static dt_net *create_at(int64_t image_size, bool ema)
{
    dt_net *net =
        create(&(dt_net_options){.batch = BATCH, .image_size = image_size, .training = true, .ema = ema});
    DT_REQUIRE(dt_net_init(net, 7, false, &err) == DT_OK);
    return net;
}

/* Loss and gradients of one micro-batch. */
static float pass(dt_net *net)
{
    dt_net_vectors v;
    dt_net_get_vectors(net, &v);
    const dt_pass p = {
        .training = true, .stat_weight = 1.0f, .labels = labels, .grad_scale = 0.5f, .loss = v.loss};
    *v.loss = (dt_loss_sums){0};
    DT_REQUIRE_MSG(dt_net_forward(net, pixels, &p, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_net_backward(net, &p, NULL, NULL, &err) == DT_OK, "%s", err.message);
    return v.loss->loss;
}

/* -- planning alone -------------------------------------------------------------------------------------- */

static void planning_alone_allocates_no_device_memory_and_returns_the_same_info(void)
{
    for (int training = 0; training < 2; training++) {
        dt_net_options options = {
            .batch = BATCH, .image_size = 32, .training = training != 0, .ema = training != 0};
        dt_net_info real, planned;
        dt_net *net = create(&options);
        dt_net_get_info(net, &real);
        dt_net_destroy(net);
        options.plan_only = true;
        n_allocs = 0;
        net = create(&options);
        DT_CHECK_INT(n_allocs, 0);
        dt_net_get_info(net, &planned);
        dt_net_destroy(net);
        DT_CHECK(planned.activation_bytes == real.activation_bytes && real.activation_bytes > 0);
        DT_CHECK(planned.parameter_bytes == real.parameter_bytes && planned.n_params == real.n_params);
        DT_CHECK(planned.forward_macs == real.forward_macs && planned.n_layers == real.n_layers);
        const int64_t vectors = training ? 4 : 1; /* values; gradients, momentum, averages */
        DT_CHECK(real.parameter_bytes >= vectors * 4 * real.n_params &&
                 real.parameter_bytes < vectors * 4 * real.n_params + (1 << 20));
    }
}

/* -- another image size ---------------------------------------------------------------------------------- */

static void a_resized_net_equals_a_net_created_at_that_size(void)
{
    dt_net *net = create_at(32, true), *large = create_at(64, true);
    dt_net_vectors v, w;
    dt_net_get_vectors(net, &v);
    dt_net_get_vectors(large, &w);
    const size_t bytes = (size_t)v.n_all * sizeof(float);
    const float small_loss = pass(net);
    float *small_grads = malloc(bytes);
    DT_REQUIRE(small_grads != NULL);
    memcpy(small_grads, v.grads, bytes);
    const int64_t blocks = dt_alloc_live_blocks();
    v.momentum[5] = 0.25f;
    v.ema[7] = 0.5f;
    for (int round = 0; round < 2; round++) {
        DT_REQUIRE_MSG(dt_net_resize(net, 64, &err) == DT_OK, "%s", err.message);
        dt_net_vectors now;
        dt_net_get_vectors(net, &now);
        DT_CHECK(now.values == v.values && now.grads == v.grads && now.momentum == v.momentum &&
                 now.ema == v.ema);
        DT_CHECK(v.momentum[5] == 0.25f && v.ema[7] == 0.5f);
        DT_CHECK(pass(net) == pass(large));
        DT_CHECK_BYTES(v.grads, w.grads, bytes);
        dt_net_info a, b;
        dt_net_get_info(net, &a);
        dt_net_get_info(large, &b);
        DT_CHECK(a.activation_bytes == b.activation_bytes && a.forward_macs == b.forward_macs);
        DT_REQUIRE(dt_net_resize(net, 32, &err) == DT_OK);
        DT_CHECK(pass(net) == small_loss);
        DT_CHECK_BYTES(v.grads, small_grads, bytes);
        DT_CHECK_INT(dt_alloc_live_blocks(), blocks); /* all memory of the old size is freed */
    }
    free(small_grads);
    dt_net_destroy(net);
    dt_net_destroy(large);
}

static void a_resize_without_memory_leaves_a_net_that_can_be_destroyed(void)
{
    dt_net_destroy(create_at(64, false)); /* the backend's scratch memory has grown */
    const int64_t blocks = dt_alloc_live_blocks();
    dt_net *net = create_at(32, false);
    fail_alloc_at = n_allocs + 1;
    DT_CHECK_INT(dt_net_resize(net, 64, &err), DT_ERR_MEMORY);
    fail_alloc_at = 0;
    dt_net_destroy(net);
    int failed = 0;
    for (int64_t at = 1;; at += 7) { /* every seventh allocation of the host */
        net = create_at(32, false);
        dt_alloc_fail_after(at);
        const dt_status status = dt_net_resize(net, 64, &err);
        dt_alloc_fail_after(0);
        dt_net_destroy(net);
        if (status == DT_OK)
            break;
        failed++;
    }
    DT_CHECK(failed > 10);
    DT_CHECK_INT(dt_alloc_live_blocks(), blocks);
}

/* -- the observer ---------------------------------------------------------------------------------------- */

typedef struct witness {
    int64_t n_before, n_after, open; /* open: the layer between before and after; -2: none */
    int64_t last_forward, last_backward;
    bool out_of_order;
    int64_t fail_at; /* this call of `after` fails */
} witness;

static dt_status before(void *context, int64_t layer, dt_layer_phase phase, dt_error *e)
{
    witness *w = context;
    (void)e;
    w->n_before++;
    w->out_of_order |= w->open != -2 || (phase == DT_LAYER_FORWARD ? layer != w->last_forward + 1
                                                                   : layer != w->last_backward - 1);
    w->open = layer;
    return DT_OK;
}

static dt_status after(void *context, int64_t layer, dt_layer_phase phase, dt_error *e)
{
    witness *w = context;
    w->out_of_order |= w->open != layer;
    w->open = -2;
    *(phase == DT_LAYER_FORWARD ? &w->last_forward : &w->last_backward) = layer;
    return ++w->n_after == w->fail_at ? dt_fail(e, DT_ERR_DEVICE, "the observer has seen enough") : DT_OK;
}

static void the_observer_sees_every_layer_in_order(void)
{
    dt_net *net = create_at(32, false);
    dt_net_info info;
    dt_net_vectors v;
    dt_net_get_info(net, &info);
    dt_net_get_vectors(net, &v);
    witness w = {.open = -2, .last_forward = -2, .last_backward = info.n_layers};
    const dt_net_observer observer = {&w, before, after};
    const float loss = pass(net);
    dt_net_set_observer(net, &observer);
    DT_CHECK(pass(net) == loss);
    DT_CHECK(!w.out_of_order);
    DT_CHECK_INT(w.n_before, 2 * info.n_layers + 1); /* the input too */
    DT_CHECK_INT(w.n_after, w.n_before);
    DT_CHECK_INT(w.last_backward, 0);
    w.fail_at = w.n_after + 3;
    const dt_pass p = {
        .training = true, .stat_weight = 1.0f, .labels = labels, .grad_scale = 0.5f, .loss = v.loss};
    DT_CHECK_INT(dt_net_forward(net, pixels, &p, &err), DT_ERR_DEVICE);
    dt_net_set_observer(net, NULL);
    const int64_t n = w.n_after;
    (void)pass(net);
    DT_CHECK_INT(w.n_after, n);
    dt_net_destroy(net);
}

/* -- running averages ------------------------------------------------------------------------------------ */

static void averages_and_values_are_swapped(void)
{
    dt_net *net = create_at(32, true);
    dt_net_vectors v;
    dt_net_get_vectors(net, &v);
    const size_t n = (size_t)(v.n_trained + v.n_statistics);
    DT_CHECK_BYTES(v.ema, v.values, n * sizeof(float)); /* they start from the values */
    v.ema[3] = 5.0f;
    v.ema[n - 1] = 6.0f;
    const float three = v.values[3], last = v.values[n - 1];
    DT_CHECK_INT(dt_net_swap_ema(net, &err), DT_OK);
    DT_CHECK(v.values[3] == 5.0f && v.values[n - 1] == 6.0f && v.ema[3] == three && v.ema[n - 1] == last);
    DT_CHECK_INT(dt_net_swap_ema(net, &err), DT_OK);
    DT_CHECK(v.values[3] == three && v.ema[3] == 5.0f);
    dt_net_destroy(net);
    net = create_at(32, false); /* without averages the call does nothing */
    DT_CHECK(dt_net_swap_ema(net, &err) == DT_OK && dt_net_start_ema(net, &err) == DT_OK);
    dt_net_destroy(net);
}

/* -- a backend's mirror ---------------------------------------------------------------------------------- */

static const float *bound, *bound_grads;
static int n_bound, n_changed;

static dt_status values_bind(dt_kernels *k, const float *values, const float *grads, int64_t n_elems,
                             dt_error *e)
{
    (void)k;
    (void)e;
    DT_CHECK((values != NULL) == (n_elems > 0));
    bound = values;
    bound_grads = grads;
    n_bound++;
    return DT_OK;
}

static dt_status values_changed(dt_kernels *k, dt_error *e)
{
    (void)k;
    (void)e;
    DT_CHECK(bound != NULL);
    n_changed++;
    return DT_OK;
}

static void the_backend_is_notified_of_the_vector_and_of_its_changes(void)
{
    dt_kernels_ops ops = *ref->ops;
    const dt_kernels_ops *own = ref->ops;
    ops.values_bind = values_bind;
    ops.values_changed = values_changed;
    ref->ops = &ops;
    n_bound = n_changed = 0;
    dt_net *net = create_at(32, true);
    dt_net_vectors v;
    dt_net_get_vectors(net, &v);
    DT_CHECK(bound == v.values && n_bound == 1 && n_changed == 1); /* after the initialisation */
    DT_CHECK(bound_grads == v.grads);
    DT_CHECK(dt_net_swap_ema(net, &err) == DT_OK && n_changed == 2);
    /* the optimizer has refreshed it */
    DT_CHECK(dt_net_weights_updated(net, &err) == DT_OK && n_changed == 2);
    DT_CHECK(dt_net_resize(net, 64, &err) == DT_OK && n_bound == 1);
    dt_net_destroy(net);
    DT_CHECK(bound == NULL && bound_grads == NULL && n_bound == 2);
    net = create(&(dt_net_options){.batch = 1, .image_size = 32, .plan_only = true});
    dt_net_destroy(net);
    DT_CHECK_INT(n_bound, 2);
    ref->ops = own;
}

/* -- the step on top ------------------------------------------------------------------------------------- */

static void creating_a_step_survives_every_failed_allocation(void)
{
    dt_comm *comm = NULL;
    dt_net *net = create_at(32, true);
    DT_REQUIRE(dt_comm_self_create(&comm, &err) == DT_OK);
    const dt_step_options options = {.net = net,
                                     .kernels = ref,
                                     .comm = comm,
                                     .batch = BATCH,
                                     .image_size = 32,
                                     .accumulate = 1,
                                     .optimizer = {.momentum = 0.9f, .running_average_rate = 0.1f},
                                     .ema_decay = 0.9,
                                     .loss_scale = 1.0f};
    const int64_t blocks = dt_alloc_live_blocks();
    int failed = 0;
    for (int64_t at = 1;; at++) {
        dt_step *step = NULL;
        dt_alloc_fail_after(at);
        const dt_status status = dt_step_create(&options, &step, &err);
        dt_alloc_fail_after(0);
        if (status == DT_OK) {
            DT_CHECK(dt_step_resize(step, 64, &err) == DT_OK && dt_step_resize(step, 32, &err) == DT_OK);
            dt_step_destroy(step);
            break;
        }
        DT_CHECK_INT(status, DT_ERR_MEMORY);
        DT_CHECK(step == NULL);
        failed++;
    }
    DT_CHECK(failed >= 6);
    DT_CHECK_INT(dt_alloc_live_blocks(), blocks);
    dt_net_destroy(net);
    comm->ops->destroy(comm);
}

static const dt_test tests[] = {
    DT_TEST(planning_alone_allocates_no_device_memory_and_returns_the_same_info),
    DT_TEST(a_resized_net_equals_a_net_created_at_that_size),
    DT_TEST(a_resize_without_memory_leaves_a_net_that_can_be_destroyed),
    DT_TEST(the_observer_sees_every_layer_in_order),
    DT_TEST(averages_and_values_are_swapped),
    DT_TEST(the_backend_is_notified_of_the_vector_and_of_its_changes),
    DT_TEST(creating_a_step_survives_every_failed_allocation),
};
DT_TEST_MAIN("layers/net_hooks", tests)
