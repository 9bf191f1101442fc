/* Estimates of memory, for a device whose free memory a test sets. */
#include "tests/testing.h"

#include "core/base/alloc.h"
#include "core/checkpoint/snapshot.h"
#include "launch/estimate/memory.h"
#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "layers/registry.h"
#include "layers/resnet.h"

#include <stdio.h>
#include <stdlib.h>

static dt_error err;
static dt_device *host;
static dt_kernels *ref;
static dt_net_spec spec;
static int64_t free_bytes;
static bool is_host;

static int64_t get_free(dt_device *device)
{
    (void)device;
    return free_bytes;
}

static void get_info(dt_device *device, dt_device_info *info)
{
    (void)device;
    *info = (dt_device_info){.is_host = is_host};
}

static const dt_device_ops ops = {.name = "fake", .memory_free = get_free, .info = get_info};
static dt_device device = {&ops};

void dt_test_set_up(void)
{
    if (dt_device_host_create(1, &host, &err) != DT_OK ||
        dt_kernels_ref_create(host, DT_F32, &ref, &err) != DT_OK ||
        dt_resnet_spec("resnet18", 10, &spec, &err) != DT_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    is_host = true;
}

void dt_test_tear_down(void)
{
    dt_free(spec.layers);
    ref->ops->destroy(ref);
    host->ops->destroy(host);
}

static dt_memory_query query_of(int64_t size)
{
    return (dt_memory_query){.spec = &spec,
                             .kernels = ref,
                             .device = &device,
                             .n_sharing = 1,
                             .image_size = size,
                             .training = true};
}

static int64_t largest(const dt_memory_query *query, int64_t most)
{
    int64_t batch = -1;
    DT_CHECK_INT(dt_memory_largest_batch(query, most, &batch, &err), DT_OK);
    return batch;
}

static void the_estimate_is_what_a_net_allocates(void)
{
    dt_memory_query query = query_of(64);
    dt_memory_estimate estimate;
    dt_net *net = NULL;
    dt_net_info info;
    free_bytes = INT64_C(10) << 30;
    DT_REQUIRE(dt_memory_estimate_batch(&query, 4, &estimate, &err) == DT_OK);
    const dt_net_options options = {.batch = 4, .image_size = 64, .training = true};
    DT_REQUIRE(dt_net_create(&spec, dt_layer_registry(), ref, &options, &net, &err) == DT_OK);
    dt_net_get_info(net, &info);
    dt_net_destroy(net);
    DT_CHECK_INT(estimate.activation_bytes, info.activation_bytes);
    DT_CHECK_INT(estimate.parameter_bytes, info.parameter_bytes);
    DT_CHECK_INT(estimate.free_bytes, free_bytes);
    DT_CHECK_INT(estimate.total_bytes, estimate.activation_bytes + estimate.parameter_bytes +
                                           estimate.backend_bytes + estimate.input_bytes +
                                           estimate.reserve_bytes);
}

/* The parts that do not come from the net: 4 images of 64 x 64 x 3 bytes, and the figures in memory.c. */
static void each_part_of_the_estimate_has_its_figure(void)
{
    dt_memory_query query = query_of(64);
    dt_memory_estimate estimate, shared;
    dt_net *net = NULL;
    dt_net_info info;
    free_bytes = INT64_C(10) << 30;
    const dt_net_options options = {.batch = 4, .image_size = 64, .training = true};
    DT_REQUIRE(dt_net_create(&spec, dt_layer_registry(), ref, &options, &net, &err) == DT_OK);
    dt_net_get_info(net, &info);
    dt_net_destroy(net);
    for (int host_memory = 0; host_memory < 2; host_memory++) {
        is_host = host_memory;
        for (query.n_writers = 0; query.n_writers <= 4; query.n_writers++) {
            query.n_sharing = 1;
            DT_REQUIRE(dt_memory_estimate_batch(&query, 4, &estimate, &err) == DT_OK);
            DT_CHECK_INT(estimate.input_bytes, (is_host ? 8 : 2) * 4 * 64 * 64 * 3);
            DT_CHECK_INT(estimate.reserve_bytes, is_host ? free_bytes / 20 : INT64_C(1536) << 20);
            DT_CHECK_INT(estimate.snapshot_bytes,
                         query.n_writers == 0 ? 0
                         : query.n_writers == 1
                             ? info.state_bytes
                             : info.state_bytes / query.n_writers + 2 * info.largest_bytes);
            query.n_sharing = 4;
            DT_REQUIRE(dt_memory_estimate_batch(&query, 4, &shared, &err) == DT_OK);
            DT_CHECK_INT(shared.free_bytes, free_bytes / 4);
            DT_CHECK_INT(estimate.total_bytes - estimate.reserve_bytes,
                         shared.total_bytes - shared.reserve_bytes);
        }
    }
    is_host = true;
}

/* On a GPU, of weights and, in training, of their gradients. */
static void copies_in_16_bits_are_counted(void)
{
    dt_memory_query query = query_of(64);
    dt_memory_estimate wide, half;
    dt_kernels *halves = NULL;
    DT_REQUIRE(dt_kernels_ref_create(host, DT_F16, &halves, &err) == DT_OK);
    is_host = false;
    for (int training = 0; training < 2; training++) {
        query.training = training;
        query.kernels = ref;
        DT_REQUIRE(dt_memory_estimate_batch(&query, 4, &wide, &err) == DT_OK);
        query.kernels = halves;
        DT_REQUIRE(dt_memory_estimate_batch(&query, 4, &half, &err) == DT_OK);
        const int64_t n_params = 11181642; /* of ResNet-18 with 10 classes */
        DT_CHECK_INT(half.backend_bytes - wide.backend_bytes, n_params * (training ? 4 : 2));
    }
    is_host = true;
    halves->ops->destroy(halves);
}

static void an_estimate_that_is_exactly_what_is_free_fits(void)
{
    DT_CHECK(dt_memory_estimate_fits(&(dt_memory_estimate){.total_bytes = 100, .free_bytes = 100}));
    DT_CHECK(!dt_memory_estimate_fits(&(dt_memory_estimate){.total_bytes = 101, .free_bytes = 100}));
    DT_CHECK(
        dt_memory_estimate_fits(&(dt_memory_estimate){.total_bytes = 101, .free_bytes = 0})); /* not known */
}

/* For one rank the estimate is exact, apart from the rounding of each vector and a few floats that are not
 * part of the net. For several ranks it is an upper bound, less than three times the real size. */
static void the_snapshot_of_a_checkpoint_is_counted(void)
{
    dt_memory_query query = query_of(64);
    dt_memory_estimate estimate, without;
    dt_net *net = NULL;
    free_bytes = INT64_C(10) << 30;
    DT_REQUIRE(dt_memory_estimate_batch(&query, 4, &without, &err) == DT_OK);
    DT_CHECK_INT(without.snapshot_bytes, 0);
    const dt_net_options options = {.batch = 4, .image_size = 64, .training = true};
    DT_REQUIRE(dt_net_create(&spec, dt_layer_registry(), ref, &options, &net, &err) == DT_OK);
    const dt_state_layout *layout = dt_net_state_layout(net);
    const dt_state_io io = dt_net_state_io(net);
    for (query.n_writers = 1; query.n_writers <= 4; query.n_writers += 3) {
        DT_REQUIRE(dt_memory_estimate_batch(&query, 4, &estimate, &err) == DT_OK);
        DT_CHECK_INT(estimate.total_bytes, without.total_bytes + estimate.snapshot_bytes);
        for (int r = 0; r < query.n_writers; r++) {
            dt_snapshot *snapshot = NULL;
            const int64_t n = layout->n_elems / query.n_writers;
            DT_REQUIRE(dt_snapshot_create(NULL, layout, &io, r * n, n, &snapshot, &err) == DT_OK);
            const int64_t taken = dt_snapshot_get_memory(snapshot).host_bytes;
            DT_CHECK_MSG(taken <= estimate.snapshot_bytes + 4 * DT_ALIGNMENT, "%lld of %lld",
                         (long long)taken, (long long)estimate.snapshot_bytes);
            DT_CHECK(taken > estimate.snapshot_bytes / 3 &&
                     (query.n_writers > 1 || taken >= estimate.snapshot_bytes));
            dt_snapshot_destroy(snapshot);
        }
    }
    dt_net_destroy(net);
}

static void estimating_allocates_no_device_memory(void)
{
    dt_memory_query query = query_of(224);
    dt_memory_estimate estimate;
    int64_t live = dt_alloc_live_blocks();
    free_bytes = INT64_C(10) << 30;
    DT_REQUIRE(dt_memory_estimate_batch(&query, 4096, &estimate, &err) == DT_OK);
    DT_CHECK(estimate.activation_bytes > INT64_C(50) << 30);
    DT_CHECK_INT(dt_alloc_live_blocks(), live);
}

static void the_largest_batch_fits_and_the_next_does_not(void)
{
    dt_memory_query query = query_of(64);
    static const int64_t next[][2] = {{8, 16},  {16, 24},  {24, 32},   {32, 48},  {48, 64},
                                      {64, 96}, {96, 128}, {128, 192}, {192, 256}};
    for (size_t i = 0; i < sizeof next / sizeof next[0]; i++) {
        dt_memory_estimate estimate, more;
        is_host = i % 2 == 0;
        free_bytes = INT64_C(4) << 30;
        DT_REQUIRE(dt_memory_estimate_batch(&query, next[i][0], &estimate, &err) == DT_OK &&
                   dt_memory_estimate_batch(&query, next[i][1], &more, &err) == DT_OK);
        /* just enough free memory; on a host the reserve depends on it */
        free_bytes =
            is_host ? (estimate.total_bytes - estimate.reserve_bytes) * 20 / 19 + 64 : estimate.total_bytes;
        DT_CHECK_INT(largest(&query, 65536), next[i][0]);
        DT_CHECK_INT(largest(&query, next[i][0] - 1) < next[i][0], true);
        free_bytes = is_host ? (more.total_bytes - more.reserve_bytes) * 20 / 19 + 64 : more.total_bytes;
        DT_CHECK_INT(largest(&query, 65536), next[i][1]);
    }
    is_host = true;
}

static void ranks_of_a_host_share_its_memory_and_unknown_memory_fits_everything(void)
{
    dt_memory_query query = query_of(64);
    free_bytes = INT64_C(2) << 30;
    int64_t alone = largest(&query, 65536);
    query.n_sharing = 4;
    int64_t shared = largest(&query, 65536);
    DT_CHECK_MSG(alone >= 2 * shared && shared > 0, "%lld alone, %lld shared", (long long)alone,
                 (long long)shared);
    free_bytes = 0;
    DT_CHECK_INT(largest(&query, 1000), 768);
    free_bytes = 1 << 20;
    DT_CHECK_INT(largest(&query, 65536), 0);
}

static const dt_test tests[] = {
    DT_TEST(the_estimate_is_what_a_net_allocates),
    DT_TEST(each_part_of_the_estimate_has_its_figure),
    DT_TEST(copies_in_16_bits_are_counted),
    DT_TEST(an_estimate_that_is_exactly_what_is_free_fits),
    DT_TEST(the_snapshot_of_a_checkpoint_is_counted),
    DT_TEST(estimating_allocates_no_device_memory),
    DT_TEST(the_largest_batch_fits_and_the_next_does_not),
    DT_TEST(ranks_of_a_host_share_its_memory_and_unknown_memory_fits_everything),
};

DT_TEST_MAIN("launch/memory", tests)
