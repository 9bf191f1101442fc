/* Profiles of layers, on the reference backend: the number of passes, times that add up, and the net's
 * traffic. */
#include "config.h"

#include "tests/testing.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/training/profile.h"
#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "layers/registry.h"
#ifdef DT_WITH_CUDA
#    include "layers/cuda/nvtx.h"
#endif
#include "layers/resnet.h"

#include <string.h>

#define BATCH 2
#define SIZE 32

static dt_error err;
static dt_device *device;
static dt_kernels *ref;

static dt_net *create_net(void)
{
    dt_net_spec spec;
    dt_net *net = NULL;
    const dt_net_options options = {.batch = BATCH, .image_size = SIZE, .training = true};
    DT_REQUIRE(dt_device_host_create(1, &device, &err) == DT_OK &&
               dt_kernels_ref_create(device, DT_F32, &ref, &err) == DT_OK);
    DT_REQUIRE(dt_resnet_spec("resnet18", 10, &spec, &err) == DT_OK);
    dt_status status = dt_net_create(&spec, dt_layer_registry(), ref, &options, &net, &err);
    dt_free(spec.layers);
    DT_REQUIRE_MSG(status == DT_OK, "%s", err.message);
    DT_REQUIRE(dt_net_init(net, 7, false, &err) == DT_OK);
    return net;
}

static void destroy(dt_net *net)
{
    dt_net_destroy(net);
    ref->ops->destroy(ref);
    device->ops->destroy(device);
}

static void train(dt_net *net, int n)
{
    static uint8_t pixels[BATCH * SIZE * SIZE * 3];
    static const int32_t labels[BATCH] = {1, 2};
    dt_net_vectors v;
    dt_net_get_vectors(net, &v);
    for (int i = 0; i < n; i++) {
        const dt_pass pass = {
            .training = true, .stat_weight = 1.0f, .labels = labels, .grad_scale = 1.0f, .loss = v.loss};
        memset(v.loss, 0, sizeof *v.loss);
        DT_REQUIRE(dt_net_forward(net, pixels, &pass, &err) == DT_OK &&
                   dt_net_backward(net, &pass, NULL, NULL, &err) == DT_OK);
    }
}

static void times_add_up_to_no_more_than_the_passes(void)
{
    dt_net *net = create_net();
    dt_profile *profile = NULL;
    dt_profile_summary s;
    dt_net_info info;
    dt_layer_traffic traffic;
    dt_net_get_info(net, &info);
    DT_REQUIRE(dt_profile_create(net, device, 1, 2, &profile, &err) == DT_OK);
    double start = dt_clock_s();
    train(net, 5);
    double all_ms = 1e3 * (dt_clock_s() - start);
    DT_REQUIRE(dt_profile_finish(profile, &s, &err) == DT_OK);
    DT_CHECK_INT(s.n_passes, 2);
    DT_CHECK_INT(s.n_rows, info.n_layers + 1);
    DT_CHECK_STR(s.rows[0].name, "input");
    DT_CHECK(s.bandwidth_bytes_per_s > 1e8 && s.bandwidth_is_measured);
    DT_CHECK(s.forward.ms > 0.0 && s.backward.ms > 0.0);
    DT_CHECK_MSG(s.forward.ms + s.backward.ms <= s.pass_ms, "%g + %g ms in layers, %g in a pass",
                 s.forward.ms, s.backward.ms, s.pass_ms);
    DT_CHECK_MSG(s.forward.ms + s.backward.ms > 0.5 * s.pass_ms, "%g + %g ms in layers, %g in a pass",
                 s.forward.ms, s.backward.ms, s.pass_ms);
    DT_CHECK_MSG(2.0 * s.pass_ms < all_ms, "two passes of %g ms, five in %g", s.pass_ms, all_ms);
    double forward_ms = 0.0;
    for (int64_t i = 0; i < s.n_rows; i++) {
        const dt_profile_row *row = &s.rows[i];
        dt_net_layer_traffic(net, i - 1, DT_LAYER_BACKWARD, &traffic);
        DT_CHECK_STR(row->name, traffic.name);
        DT_CHECK_INT(row->backward.bytes, traffic.bytes);
        DT_CHECK(row->forward.ms >= 0.0 && row->backward.ms >= 0.0);
        if (strcmp(row->kind, "conv") == 0) {
            DT_CHECK(row->forward.ms > 0.0 && row->forward.bytes > 0 && row->forward.bytes_per_s > 0.0 &&
                     row->forward.of_roof > 0.0);
            DT_CHECK_CLOSE(row->forward.bytes_per_s, (double)row->forward.bytes / (row->forward.ms * 1e-3),
                           1e-6 * row->forward.bytes_per_s);
        }
        forward_ms += row->forward.ms;
    }
    DT_CHECK_CLOSE(forward_ms, s.forward.ms, 1e-9 * forward_ms);
    dt_profile_destroy(profile);
    train(net, 1); /* the observer is removed */
    destroy(net);
}

static const dt_device_ops *host_ops;
static double roof_bytes_per_s, roof_flops;

static void info_with_roofs(dt_device *d, dt_device_info *info)
{
    host_ops->info(d, info);
    info->bandwidth_bytes_per_s = roof_bytes_per_s;
    info->compute_flops = roof_flops;
}

/* The larger of the two least times, over the time measured. */
static void check_roof(const dt_profile_part *part)
{
    const double memory_s = (double)part->bytes / roof_bytes_per_s,
                 compute_s = roof_flops > 0.0 ? part->flops / roof_flops : 0.0;
    const double least_s = memory_s > compute_s ? memory_s : compute_s;
    if (part->ms > 0.0)
        DT_CHECK_CLOSE(part->of_roof, least_s / (part->ms * 1e-3), 1e-9 * part->of_roof);
    else
        DT_CHECK(part->of_roof == 0.0);
}

/* A convolution of this net does some ten operations for each byte that it moves, other layers none. */
static void the_share_of_the_roof_is_that_of_the_slower_limit(void)
{
    static const double flops[] = {0.0, 1e6, 1e10, 1e15};
    for (size_t i = 0; i < sizeof flops / sizeof *flops; i++) {
        dt_net *net = create_net();
        dt_profile *profile = NULL;
        dt_profile_summary s;
        host_ops = device->ops;
        dt_device_ops ops = *host_ops;
        ops.info = info_with_roofs;
        device->ops = &ops;
        roof_bytes_per_s = 1e9;
        roof_flops = flops[i];
        DT_REQUIRE(dt_profile_create(net, device, 0, 1, &profile, &err) == DT_OK);
        train(net, 2);
        DT_REQUIRE(dt_profile_finish(profile, &s, &err) == DT_OK);
        DT_CHECK(!s.bandwidth_is_measured && s.bandwidth_bytes_per_s == roof_bytes_per_s &&
                 s.compute_flops == roof_flops);
        DT_CHECK_INT(s.n_passes, 1);
        for (int64_t r = 0; r < s.n_rows; r++) {
            check_roof(&s.rows[r].forward);
            check_roof(&s.rows[r].backward);
        }
        check_roof(&s.forward);
        check_roof(&s.backward);
        dt_profile_destroy(profile);
        device->ops = host_ops;
        destroy(net);
    }
}

static void a_profile_of_too_few_passes_reports_how_many(void)
{
    dt_net *net = create_net();
    dt_profile *profile = NULL;
    dt_profile_summary s;
    DT_REQUIRE(dt_profile_create(net, device, 2, 5, &profile, &err) == DT_OK);
    train(net, 1);
    DT_REQUIRE(dt_profile_finish(profile, &s, &err) == DT_OK);
    DT_CHECK_INT(s.n_passes, 0);
    DT_CHECK_CLOSE(s.forward.ms, 0.0, 0);
    dt_profile_destroy(profile);
    DT_REQUIRE(dt_profile_create(net, device, 1, 5, &profile, &err) == DT_OK);
    train(net, 3);
    DT_REQUIRE(dt_profile_finish(profile, &s, &err) == DT_OK);
    DT_CHECK_INT(s.n_passes, 2);
    DT_CHECK(s.forward.ms > 0.0 && s.pass_ms > s.forward.ms);
    dt_profile_destroy(profile);
    destroy(net);
}

/* Counted by hand for ResNet-50 at 224 with all fusions but the last: 289 MB an image at 2 bytes an
 * element. */
static void the_traffic_of_resnet50_matches_a_count_by_hand(void)
{
    dt_net_spec spec;
    dt_net *net = NULL;
    dt_net_info info;
    dt_layer_traffic traffic;
    const dt_net_options options = {.batch = 256, .image_size = 224, .training = true, .plan_only = true};
    DT_REQUIRE(dt_device_host_create(1, &device, &err) == DT_OK &&
               dt_kernels_ref_create(device, DT_F32, &ref, &err) == DT_OK);
    DT_REQUIRE(dt_resnet_spec("resnet50", 1000, &spec, &err) == DT_OK);
    dt_status status = dt_net_create(&spec, dt_layer_registry(), ref, &options, &net, &err);
    dt_free(spec.layers);
    DT_REQUIRE_MSG(status == DT_OK, "%s", err.message);
    double bytes = 0.0, flops = 0.0;
    dt_net_get_info(net, &info);
    for (int64_t i = -1; i < info.n_layers; i++)
        for (int phase = 0; phase < 2; phase++) {
            dt_net_layer_traffic(net, i, (dt_layer_phase)phase, &traffic);
            bytes += (double)traffic.bytes;
            flops += traffic.flops;
        }
    DT_CHECK_CLOSE(bytes / 256 / 2 / 1e6, 289.0, 20.0);
    DT_CHECK_CLOSE(flops / 256 / 1e9, 24.3, 0.3);
    destroy(net);
}

/* ResNet-18 on two images of 32 pixels in fp32, on a backend that fuses all it can and keeps no masks: bytes
 * are those that the comments of layers' files list, worked out by hand; the multiply-adds are those of
 * forward. */
static void bytes_and_flops_of_each_kind_of_layer_are_exact(void)
{
    static const struct {
        const char *name;
        int64_t forward, backward, macs;
    } rows[] = {
        {"input", 6144 + 24576, 0, 0},
        {"conv1", 24576 + 37632 + 131072, 24576 + 37632 + 131072, 2 * 64 * 16 * 16 * 3 * 49},
        {"bn1", 0, 3 * 131072, 0},
        {"maxpool", 131072 + 32768 + 8192, 2 * 131072 + 32768 + 8192, 0},
        /* the first of two readers of a plain value adds to what the other one has written */
        {"layer1.0.conv1", 2 * 32768 + 147456, 5 * 32768 + 2 * 147456, 2 * 64 * 8 * 8 * 64 * 9},
        /* the only reader of a normalised value sums the gradient of its BatchNorm */
        {"layer1.0.conv2", 2 * 32768 + 147456, 5 * 32768 + 2 * 147456, 2 * 64 * 8 * 8 * 64 * 9},
        {"layer1.0.bn2", 0, 3 * 32768, 0},
        {"layer1.0.add", 3 * 32768, 4 * 32768, 0},
        {"layer2.0.conv1", 32768 + 294912 + 16384, 3 * 32768 + 2 * 294912 + 2 * 16384,
         2 * 128 * 4 * 4 * 64 * 9},
        {"layer2.0.downsample.0", 32768 + 32768 + 16384, 2 * (32768 + 32768 + 16384), 2 * 128 * 4 * 4 * 64},
        {"layer2.0.add", 3 * 16384, 5 * 16384, 0},
        {"avgpool", 4096 + 4096, 4096 + 4096, 0},
        {"fc", 4096 + 20480 + 80, 2 * 4096 + 20480 + 2 * 80 + 20480, 2 * 512 * 10},
        {"loss", 2 * 80, 0, 0},
    };
    dt_net *net = create_net();
    dt_net_info info;
    size_t found = 0;
    dt_net_get_info(net, &info);
    for (int64_t i = -1; i < info.n_layers; i++)
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
            dt_layer_traffic forward, backward;
            dt_net_layer_traffic(net, i, DT_LAYER_FORWARD, &forward);
            dt_net_layer_traffic(net, i, DT_LAYER_BACKWARD, &backward);
            if (strcmp(forward.name, rows[k].name) != 0)
                continue;
            found++;
            DT_CHECK_MSG(forward.bytes == rows[k].forward && backward.bytes == rows[k].backward,
                         "%s: %lld and %lld bytes", rows[k].name, (long long)forward.bytes,
                         (long long)backward.bytes);
            DT_CHECK_CLOSE(forward.flops, 2.0 * (double)rows[k].macs, 0);
            DT_CHECK_CLOSE(backward.flops, (i == 0 ? 2.0 : 4.0) * (double)rows[k].macs, 0);
        }
    DT_CHECK_INT(found, sizeof rows / sizeof *rows);
    destroy(net);
}

#ifdef DT_WITH_CUDA
/* No tool listens here, but all calls of NVTX are made. */
static void nvtx_ranges_change_no_result(void)
{
    dt_net *net = create_net();
    dt_nvtx_observe(net);
    train(net, 2);
    destroy(net);
}
#endif

static void every_failing_allocation_gives_an_error_and_no_leak(void)
{
    dt_net *net = create_net();
    for (int64_t n = 1;; n++) {
        int64_t live = dt_alloc_live_blocks();
        dt_profile *profile = NULL;
        dt_alloc_fail_after(n);
        dt_status status = dt_profile_create(net, device, 1, 1, &profile, &err);
        dt_alloc_fail_after(0);
        dt_profile_destroy(profile);
        DT_CHECK_INT(dt_alloc_live_blocks(), live);
        if (status == DT_OK)
            break;
        DT_CHECK_INT(status, DT_ERR_MEMORY);
        DT_REQUIRE(n < 1000);
    }
    destroy(net);
}

static const dt_test tests[] = {
    DT_TEST(times_add_up_to_no_more_than_the_passes),
    DT_TEST(the_share_of_the_roof_is_that_of_the_slower_limit),
    DT_TEST(a_profile_of_too_few_passes_reports_how_many),
    DT_TEST(the_traffic_of_resnet50_matches_a_count_by_hand),
    DT_TEST(bytes_and_flops_of_each_kind_of_layer_are_exact),
#ifdef DT_WITH_CUDA
    DT_TEST(nvtx_ranges_change_no_result),
#endif
    DT_TEST(every_failing_allocation_gives_an_error_and_no_leak),
};

DT_TEST_MAIN("core/training/profile", tests)
