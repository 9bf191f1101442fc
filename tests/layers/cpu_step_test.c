/* layers/cpu in whole steps of a net reorders nothing and allocates nothing; and its statistics far from
 * zero. */
#include "core/base/alloc.h"
#include "core/model/net.h"
#include "layers/registry.h"
#include "layers/resnet.h"
#include "tests/cpu_cases.h"
#include "tests/testing.h"

#include <fcntl.h>
#include <math.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLASSES = 10 };

static dt_cpu_pair pair;
static uint8_t *pixels;
static int32_t labels[64];

void dt_test_set_up(void)
{
    const size_t n = 4 * 64 * 64 * 3;
    pair = dt_cpu_pair_create(2);
    pixels = malloc(n);
    if (pixels == NULL)
        abort();
    for (size_t i = 0; i < n; i++)
        pixels[i] = (uint8_t)(i * 2654435761U >> 24);
    for (int i = 0; i < 64; i++)
        labels[i] = i % CLASSES;
}

void dt_test_tear_down(void)
{
    free(pixels);
    dt_cpu_pair_destroy(&pair);
}

static dt_net *create_net(const char *arch, int64_t batch, int64_t image_size)
{
    dt_error err = {0};
    dt_net_spec spec;
    dt_net *net = NULL;
    const dt_net_options options = {.batch = batch, .image_size = image_size, .training = true};
    DT_REQUIRE_MSG(dt_resnet_spec(arch, CLASSES, &spec, &err) == DT_OK, "%s", err.message);
    const dt_status status = dt_net_create(&spec, dt_layer_registry(), pair.cpu, &options, &net, &err);
    dt_free(spec.layers);
    DT_REQUIRE_MSG(status == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_net_init(net, 7, false, &err) == DT_OK, "%s", err.message);
    return net;
}

static void step(dt_net *net)
{
    dt_error err = {0};
    dt_net_vectors v;
    dt_net_get_vectors(net, &v);
    const dt_pass pass = {
        .training = true, .stat_weight = 1.0f, .labels = labels, .grad_scale = 1.0f, .loss = v.loss};
    DT_REQUIRE_MSG(dt_net_forward(net, pixels, &pass, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_net_backward(net, &pass, NULL, NULL, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE_MSG(dt_net_weights_changed(net, &err) == DT_OK, "%s", err.message);
}

/* -- what oneDNN is asked to do -------------------------------------------------------------------------- */

/* Run a step with oneDNN's trace, which goes to standard output, redirected to a file. Return the trace; the
 * caller frees it. */
static char *trace_of_step(dt_net *net)
{
    const char *path = dt_test_path("%s/trace", dt_test_temp_dir());
    fflush(stdout);
    const int before = dup(STDOUT_FILENO), file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    DT_REQUIRE(before >= 0 && file >= 0 && dup2(file, STDOUT_FILENO) >= 0);
    const dnnl_status_t on = dnnl_set_verbose(1);
    step(net);
    fflush(stdout);
    (void)dnnl_set_verbose(0);
    DT_REQUIRE(dup2(before, STDOUT_FILENO) >= 0);
    close(before);
    close(file);
    DT_CHECK_INT(on, dnnl_success);
    return dt_test_read_file(path, NULL);
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + strlen(part), part))
        n++;
    return n;
}

static void check_trace(const char *arch, int64_t batch, int64_t image_size)
{
    dt_net *net = create_net(arch, batch, image_size);
    step(net); /* oneDNN prints its header lines */
    char *trace = trace_of_step(net);
    DT_REQUIRE(trace != NULL);
    if (strstr(trace, "onednn_verbose") == NULL) {
        free(trace);
        dt_net_destroy(net);
        DT_SKIP("this oneDNN was built without its trace");
    }
    DT_CHECK(count(trace, ",convolution,") >= 20); /* most other convolutions run our own code */
    DT_CHECK_INT(count(trace, ",reorder,"), 0);
    if (dnnl_get_effective_cpu_isa() >= dnnl_cpu_isa_avx2)
        DT_CHECK_INT(count(trace, ",ref"), 0);
    free(trace);
    dt_net_destroy(net);
}

static void no_step_reorders_a_tensor(void)
{
    check_trace("resnet18", 3, 32);
    check_trace("resnet50", 4, 64);
}

static void nothing_is_allocated_in_a_step(void)
{
    dt_net *net = create_net("resnet18", 3, 32);
    step(net);
    const int64_t blocks = dt_alloc_live_blocks(), scratch_bytes = pair.cpu->ops->scratch_bytes(pair.cpu);
    dt_alloc_fail_after(1); /* an allocation would fail, even one that is freed again */
    step(net);
    dt_alloc_fail_after(0);
    DT_CHECK_INT(dt_alloc_live_blocks(), blocks);
    DT_CHECK_INT(pair.cpu->ops->scratch_bytes(pair.cpu), scratch_bytes);
    dt_net_destroy(net);
}

/* -- statistics ------------------------------------------------------------------------------------------ */

/* float32 values around `mean` with a standard deviation of about 0.58; the expected variance is computed
 * from the values themselves. */
static void check_variance(float mean)
{
    enum { N = 3, C = 16, PIXELS = 35 * 35, M = N * PIXELS };
    static float values[N * C * PIXELS], vectors[8][C];
    dt_error err = {0};
    const dt_tensor y = {values, DT_F32, N, C, 35, 35};
    double exact_mean = 0.0, exact_var = 0.0;
    dt_test_fill_random(values, N * C * PIXELS, 5);
    for (int64_t i = 0; i < N * C * PIXELS; i++)
        values[i] += mean;
    float *nchw = malloc(sizeof values);
    void *sums = malloc((size_t)pair.cpu->ops->bn_sums_bytes(pair.cpu, C));
    DT_REQUIRE(nchw != NULL && sums != NULL &&
               pair.cpu->ops->tensor_export(pair.cpu, &y, nchw, &err) == DT_OK);
    for (int64_t n = 0; n < N; n++)
        for (int64_t i = 0; i < PIXELS; i++)
            exact_mean += (double)nchw[(n * C + 3) * PIXELS + i] / (double)M;
    for (int64_t n = 0; n < N; n++)
        for (int64_t i = 0; i < PIXELS; i++)
            exact_var += pow((double)nchw[(n * C + 3) * PIXELS + i] - exact_mean, 2.0) / (M - 1);
    for (int64_t c = 0; c < C; c++)
        vectors[0][c] = 1.0F; /* gamma */
    const dt_bn_forward bn = {C,          M,          sums,       vectors[0], vectors[1], 1e-5F, vectors[2],
                              vectors[3], vectors[4], vectors[5], vectors[6], vectors[7], 1.0F,  false};
    DT_CHECK_INT(pair.cpu->ops->bn_sums(pair.cpu, &y, sums, &err), DT_OK);
    DT_CHECK_INT(pair.cpu->ops->bn_finalize(pair.cpu, &bn, &err), DT_OK);
    DT_CHECK_CLOSE((double)vectors[6][3], exact_mean, 1e-6 * (double)mean);
    DT_CHECK_CLOSE((double)vectors[7][3] / exact_var, 1.0, 1e-5);
    free(nchw);
    free(sums);
}

static void the_variance_survives_a_large_mean(void)
{
    check_variance(1.0F);
    check_variance(100.0F);
    check_variance(10000.0F);
}

static const dt_test tests[] = {
    DT_TEST(no_step_reorders_a_tensor),
    DT_TEST(nothing_is_allocated_in_a_step),
    DT_TEST(the_variance_survives_a_large_mean),
};
DT_TEST_MAIN("layers/cpu_step", tests)
