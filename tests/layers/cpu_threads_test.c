/* layers/cpu: training steps give the same bits for every number of threads. tests/program/settings_test.sh
 * tries what makes OpenMP provide fewer than that. */
#include "core/base/alloc.h"
#include "core/model/net.h"
#include "layers/cpu/cpu_internal.h"
#include "layers/registry.h"
#include "layers/resnet.h"
#include "tests/cpu_cases.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

int dt_test_time_limit_s = 400;

enum { CLASSES = 70, STEPS = 2 }; /* 70: a part of 64 outputs, and a smaller one */

typedef struct job {
    const char *arch;
    int64_t batch, image_size, accumulate, chunk_bytes; /* 0: no accumulation; the backend's own choice */
    bool lars;
} job;

static void one_step(dt_net *net, dt_optimizer *optimizer, dt_kernels *k, const job *j, int64_t step)
{
    dt_error err = {0};
    dt_net_vectors v;
    int32_t labels[64];
    const int64_t n = j->batch * j->image_size * j->image_size * 3;
    const int64_t n_parts = j->accumulate > 0 ? j->accumulate : 1;
    const float part = 1.0F / (float)n_parts;
    uint8_t *pixels = malloc((size_t)n);
    DT_REQUIRE(pixels != NULL && j->batch <= 64);
    dt_net_get_vectors(net, &v);
    for (int64_t a = 0; a < n_parts; a++) {
        for (int64_t i = 0; i < n; i++)
            pixels[i] = (uint8_t)((uint64_t)(i + 977 * (step * n_parts + a)) * 2654435761U >> 24);
        for (int i = 0; i < 64; i++)
            labels[i] = (int32_t)((i * 7 + step) % CLASSES);
        const dt_pass pass = {.training = true,
                              .accumulate = a > 0,
                              .stat_weight = part,
                              .labels = labels,
                              .grad_scale = part / (float)j->batch,
                              .loss = v.loss};
        DT_REQUIRE_MSG(dt_net_forward(net, pixels, &pass, &err) == DT_OK, "%s", err.message);
        DT_REQUIRE_MSG(dt_net_backward(net, &pass, NULL, NULL, &err) == DT_OK, "%s", err.message);
    }
    free(pixels);
    const dt_optimizer_vectors vectors = {v.values, v.grads, v.momentum, NULL};
    const dt_step_inputs inputs = {.lr = 0.05F};
    dt_step_state state = {.loss_scale = 1.0F};
    DT_REQUIRE_MSG(k->ops->optimizer_step(k, optimizer, &vectors, &inputs, &state, &err) == DT_OK, "%s",
                   err.message);
    DT_REQUIRE_MSG(dt_net_weights_changed(net, &err) == DT_OK, "%s", err.message);
}

/* Values, then momentum, after some steps. The caller frees them. */
static float *train(const job *j, int64_t n_threads, int64_t *n)
{
    const dt_optimizer_desc desc = {
        .momentum = 0.9F, .running_average_rate = 0.1F, .lars_trust = 0.001F, .lars_eps = 1e-9F};
    const dt_update_options update = {.weight_decay = 1e-4, .bias_decay = true, .lars = j->lars};
    const dt_net_options options = {.batch = j->batch, .image_size = j->image_size, .training = true};
    dt_cpu_pair pair = dt_cpu_pair_create(n_threads);
    dt_error err = {0};
    dt_net_spec spec;
    dt_net *net = NULL;
    dt_update_segment *segments = NULL;
    dt_optimizer *optimizer = NULL;
    dt_net_vectors v;
    int64_t n_segments = 0;
    if (j->chunk_bytes > 0)
        dt_cpu(pair.cpu)->chunk_bytes = j->chunk_bytes;
    DT_REQUIRE(dt_resnet_spec(j->arch, CLASSES, &spec, &err) == DT_OK);
    DT_REQUIRE_MSG(dt_net_create(&spec, dt_layer_registry(), pair.cpu, &options, &net, &err) == DT_OK, "%s",
                   err.message);
    dt_free(spec.layers);
    DT_REQUIRE(dt_net_init(net, 7, false, &err) == DT_OK);
    DT_REQUIRE(dt_net_update_segments(net, &update, &segments, &n_segments, &err) == DT_OK);
    DT_REQUIRE(pair.cpu->ops->optimizer_create(pair.cpu, &desc, segments, n_segments, &optimizer, &err) ==
               DT_OK);
    dt_free(segments);
    for (int64_t step = 0; step < STEPS; step++)
        one_step(net, optimizer, pair.cpu, j, step);
    dt_net_get_vectors(net, &v);
    *n = v.n_all + v.n_trained;
    float *all = malloc((size_t)*n * sizeof *all);
    DT_REQUIRE(all != NULL);
    memcpy(all, v.values, (size_t)v.n_all * sizeof *all);
    memcpy(all + v.n_all, v.momentum, (size_t)v.n_trained * sizeof *all);
    pair.cpu->ops->optimizer_destroy(pair.cpu, optimizer);
    dt_net_destroy(net);
    dt_cpu_pair_destroy(&pair);
    return all;
}

static void check(const job *j, int64_t n_threads, const float *expected)
{
    int64_t n = 0, n_different = 0;
    float *got = train(j, n_threads, &n);
    for (int64_t i = 0; i < n; i++)
        n_different += memcmp(&got[i], &expected[i], sizeof(float)) != 0;
    DT_CHECK_MSG(n_different == 0,
                 "%s, batch %lld, %lld pixels, %lld threads: %lld of %lld values have other bits than with 1",
                 j->arch, (long long)j->batch, (long long)j->image_size, (long long)n_threads,
                 (long long)n_different, (long long)n);
    free(got);
}

static void check_all(const job *j)
{
    static const int64_t more[] = {3, 8, 2, 4, 5};
    const int n_more = dt_test_long_wanted() ? 5 : 2;
    int64_t n = 0;
    float *one = train(j, 1, &n);
    for (int i = 0; i < n_more; i++)
        check(j, more[i], one);
    free(one);
}

static void every_number_of_threads_gives_the_same_bits(void)
{
    check_all(&(job){.arch = "resnet18", .batch = 16, .image_size = 32});
}

static void larger_networks_and_images_too(void)
{
    DT_LONG_TEST();
    check_all(&(job){.arch = "resnet18", .batch = 9, .image_size = 64});
    check_all(&(job){.arch = "resnet50", .batch = 5, .image_size = 64});
    check_all(&(job){.arch = "resnet50", .batch = 16, .image_size = 32});
}

static void batches_of_one_and_accumulated_ones_too(void)
{
    check_all(&(job){.arch = "resnet18", .batch = 1, .image_size = 64});
    if (dt_test_long_wanted())
        check_all(&(job){.arch = "resnet18", .batch = 7, .image_size = 32, .accumulate = 3});
    check_all(&(job){.arch = "resnet50", .batch = 3, .image_size = 32, .accumulate = 2});
}

static void many_small_chunks_too(void)
{
    if (dt_test_long_wanted())
        check_all(&(job){.arch = "resnet18", .batch = 11, .image_size = 32, .chunk_bytes = 4096});
    check_all(&(job){.arch = "resnet18", .batch = 5, .image_size = 40, .chunk_bytes = 4096});
}

/* LARS sums up squares of weights and of gradients. */
static void lars_too(void)
{
    check_all(&(job){.arch = "resnet18", .batch = 6, .image_size = 32, .lars = true});
}

static const dt_test tests[] = {
    DT_TEST(every_number_of_threads_gives_the_same_bits),
    DT_TEST(larger_networks_and_images_too),
    DT_TEST(batches_of_one_and_accumulated_ones_too),
    DT_TEST(many_small_chunks_too),
    DT_TEST(lars_too),
};
DT_TEST_MAIN("layers/cpu_threads", tests)
