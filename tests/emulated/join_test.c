/* Evaluations whose residual joins run inside the graphs of convolutions:
 * which joins do, and that the loss is ref's. */
#include "core/base/alloc.h"
#include "core/model/net.h"
#include "layers/registry.h"
#include "layers/resnet.h"
#include "tests/emulated/gpu_emulated.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

enum { BATCH = 2, SIZE = 64, CLASSES = 10 };

static dt_error err;

static dt_net *create_net(dt_kernels *kernels, const char *arch)
{
    dt_net_spec spec;
    dt_net *net = NULL;
    const dt_net_options options = {.batch = BATCH, .image_size = SIZE};
    DT_REQUIRE(dt_resnet_spec(arch, CLASSES, &spec, &err) == DT_OK);
    dt_status status = dt_net_create(&spec, dt_layer_registry(), kernels, &options, &net, &err);
    dt_free(spec.layers);
    DT_REQUIRE_MSG(status == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_net_init(net, 1, false, &err) == DT_OK, "%s", err.message);
    return net;
}

/* The loss of an evaluation of random images. */
static double evaluate(dt_kernels *kernels, const char *arch)
{
    static uint8_t images[BATCH * SIZE * SIZE * 3];
    static const int32_t classes[BATCH] = {3, 7};
    dt_device *device = kernels->device;
    dt_net *net = create_net(kernels, arch);
    dt_net_vectors v;
    dt_loss_sums loss = {0};
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)(i * i * 31 + i * 7 + i / 97);
    void *pixels = device->ops->alloc(device, sizeof images),
         *labels = device->ops->alloc(device, sizeof classes);
    DT_REQUIRE(pixels != NULL && labels != NULL);
    dt_net_get_vectors(net, &v);
    const dt_pass pass = {.labels = labels, .loss = v.loss};
    DT_REQUIRE(device->ops->copy(device, pixels, images, sizeof images, DT_COPY_TO_DEVICE, NULL, &err) ==
               DT_OK);
    DT_REQUIRE(device->ops->copy(device, labels, classes, sizeof classes, DT_COPY_TO_DEVICE, NULL, &err) ==
               DT_OK);
    DT_REQUIRE(device->ops->zero(device, v.loss, sizeof loss, NULL, &err) == DT_OK);
    DT_REQUIRE_MSG(dt_net_forward(net, pixels, &pass, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE(device->ops->copy(device, &loss, v.loss, sizeof loss, DT_COPY_TO_HOST, NULL, &err) == DT_OK);
    DT_REQUIRE_MSG(device->ops->stream_wait(device, NULL, &err) == DT_OK, "%s", err.message);
    device->ops->free(device, pixels);
    device->ops->free(device, labels);
    dt_net_destroy(net);
    DT_CHECK_INT(loss.n, BATCH);
    return (double)loss.loss;
}

/* The number of joins that make a pass of their own in forward. */
static int own_passes(dt_kernels *kernels, const char *arch)
{
    dt_net *net = create_net(kernels, arch);
    dt_net_info info;
    int n = 0;
    dt_net_get_info(net, &info);
    for (int64_t i = 0; i < info.n_layers; i++) {
        dt_layer_traffic traffic;
        dt_net_layer_traffic(net, i, DT_LAYER_FORWARD, &traffic);
        n += strcmp(traffic.kind, "add") == 0 && traffic.bytes > 0;
    }
    dt_net_destroy(net);
    return n;
}

static void check(const char *arch, dt_interpreted_gpu which, int n_own_passes)
{
    dt_emulated_gpu g =
        dt_emulated_gpu_create(&(dt_emulated_gpu_options){.dtype = DT_F16, .interpreter = {.gpu = which}});
    DT_CHECK_INT(own_passes(g.kernels, arch), n_own_passes);
    double wanted = evaluate(g.ref, arch), got = evaluate(g.kernels, arch);
    printf("%s: loss %.5f, ref %.5f\n", arch, got, wanted);
    DT_CHECK_CLOSE(got, wanted, 0.01);
    dt_emulated_gpu_destroy(&g);
}

/* Average pooling reads the last join's output. */
static void only_the_last_join_makes_a_pass_of_its_own(void)
{
    check("resnet18", DT_INTERPRET_A100, 1);
    check("resnet50", DT_INTERPRET_A100, 1);
}

static void without_a_graph_every_join_makes_a_pass_of_its_own(void)
{
    check("resnet18", DT_INTERPRET_T4, 8);
}

static const dt_test tests[] = {
    DT_TEST(only_the_last_join_makes_a_pass_of_its_own),
    DT_TEST(without_a_graph_every_join_makes_a_pass_of_its_own),
};
DT_TEST_MAIN("emulated/join", tests)
