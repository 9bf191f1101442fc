/* The cuda backend's operation graphs: the builders make valid graphs, and no two keys are equal. */
#include "layers/cuda/graph_conv.h"
#include "layers/cuda/graph_residual_backward.h"
#include "layers/cuda/graph_sample.h"
#include "tests/resnet_convs.h"
#include "tests/testing.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void every_graph_is_valid_and_has_its_own_key(void)
{
    static char keys[DT_RESNET_N_CONVS * 5 * 2][DT_GRAPH_KEY_BYTES];
    static dt_graph graph;
    for (int kind = 0; kind < DT_CONV_N_GRAPHS; kind++) {
        int n_keys = 0;
        for (int i = 0; i < DT_RESNET_N_CONVS; i++)
            for (int batch = 32; batch <= 256; batch *= 8)
                for (dt_dtype dtype = DT_F32; dtype <= DT_TF32; dtype++) {
                    dt_error err = {0};
                    dt_conv_desc d = dt_resnet_conv(i, batch);
                    dt_conv_graph(&d, dtype, (dt_conv_graph_kind)kind, &graph);
                    DT_CHECK_MSG(dt_graph_check(&graph, &err) == DT_OK, "%s", err.message);
                    dt_graph_key(&graph, keys[n_keys]);
                    size_t length = strlen(keys[n_keys++]);
                    DT_CHECK_MSG(length > 50 && length < DT_GRAPH_KEY_BYTES - 100,
                                 "%s: the key has %zu bytes", graph.name, length);
                    for (size_t c = 0; c < length; c++)
                        DT_CHECK(isgraph((unsigned char)keys[n_keys - 1][c]));
                }
        qsort(keys, (size_t)n_keys, sizeof keys[0], (int (*)(const void *, const void *))strcmp);
        for (int i = 1; i < n_keys; i++)
            DT_CHECK_MSG(strcmp(keys[i - 1], keys[i]) != 0, "twice: %s", keys[i]);
    }
}

static void the_key_depends_on_the_structure_and_not_on_the_name(void)
{
    dt_graph a, b;
    char key_a[DT_GRAPH_KEY_BYTES], key_b[DT_GRAPH_KEY_BYTES];
    dt_conv_desc d = dt_resnet_conv(3, 8);
    dt_graph_conv_backward_data(&d, DT_F16, false, &a);
    dt_graph_key(&a, key_a);
    b = a;
    strcpy(b.name, "another");
    dt_graph_key(&b, key_b);
    DT_CHECK_STR(key_a, key_b);
    b.ops[0].beta = 1;
    dt_graph_key(&b, key_b);
    DT_CHECK(strcmp(key_a, key_b) != 0);
    b = a;
    b.tensors[0].strides[2]++;
    dt_graph_key(&b, key_b);
    DT_CHECK(strcmp(key_a, key_b) != 0);
}

/* Caches on disk hold keys of older versions of the program. If a key changes without need, every user has to
 * tune again. */
static void keys_stay_the_same_between_versions(void)
{
    dt_graph g;
    char key[DT_GRAPH_KEY_BYTES];
    dt_conv_desc d = {.n = 2, .c = 16, .h = 8, .w = 6, .k = 32, .r = 3, .s = 3, .stride = 2, .pad = 1};
    dt_graph_conv_forward(&d, DT_F16, false, true, &g);
    dt_graph_key(&g, key);
    DT_CHECK_STR(key, "fp16;1:fp16:2/768,16/1,8/96,6/16;2:fp16:32/144,16/1,3/48,3/16;3o:fp16:2/384,32/1,4/"
                      "96,3/32;9o:fp32:1/32,32/1,1/32,1/32;"
                      "10o:fp32:1/32,32/1,1/32,1/32;conv(1,2>3)p1,1,s2,2,d1,1,a1,b0;sums(3>9,10)");
}

static void bytes_and_operations_match_a_count_by_hand(void)
{
    dt_graph g;
    /* y is 4 x 3 */
    dt_conv_desc d = {.n = 2, .c = 16, .h = 8, .w = 6, .k = 32, .r = 3, .s = 3, .stride = 2, .pad = 1};
    const int64_t x = 2 * 16 * 8 * 6 * 2, y = 2 * 32 * 4 * 3 * 2, w = 32 * 16 * 9 * 2;
    const double flops = 2.0 * 2 * 32 * 4 * 3 * 16 * 9;
    dt_graph_conv_forward(&d, DT_F16, true, true, &g);
    DT_CHECK_INT(dt_graph_bytes_moved(&g), x + w + y + 2 * 16 * 2 + 2 * 32 * 4);
    DT_CHECK_CLOSE(dt_graph_flops(&g), flops, 0);
    dt_graph_conv_backward_data(&d, DT_F16, true, &g);
    DT_CHECK_INT(dt_graph_bytes_moved(&g), 2 * x + w + y);
    DT_CHECK_CLOSE(dt_graph_flops(&g), flops, 0);
    dt_graph_conv_backward_data_bn(&d, DT_F16, &g);
    DT_CHECK_INT(dt_graph_bytes_moved(&g), 2 * x + w + y + 9 * 16 * 4);
    dt_graph_conv_backward_data_join(&d, DT_F16, false, &g);
    DT_CHECK_INT(dt_graph_bytes_moved(&g), 4 * x + w + y + 12 * 16 * 4);
    dt_graph_conv_backward_data_join(&d, DT_F16, true, &g);
    DT_CHECK_INT(dt_graph_bytes_moved(&g), 4 * x + w + y + 22 * 16 * 4);
    dt_graph_conv_backward_weights(&d, DT_TF32, false, &g);
    DT_CHECK_INT(dt_graph_bytes_moved(&g), 2 * (x + w + y));
    DT_CHECK_CLOSE(dt_graph_flops(&g), flops, 0);
    dt_graph_linear_forward(4, 64, 10, DT_F16, &g);
    DT_CHECK_INT(dt_graph_bytes_moved(&g), 2 * (4 * 64 + 10 * 64 + 4 * 10));
    DT_CHECK_CLOSE(dt_graph_flops(&g), 2.0 * 4 * 64 * 10, 0);
}

/* Inputs of a data gradient; *context is an element of raw. */
static double input(void *context, const dt_graph_tensor *t, const int64_t at[4])
{
    (void)at;
    switch (t->id) {
    case DT_GRAPH_DX:
        return 3; /* what is added to */
    case DT_GRAPH_W:
        return 0.5;
    case DT_GRAPH_RAW:
        return *(const double *)context;
    case DT_GRAPH_MEAN:
        return 0;
    default:
        return 1; /* dy, invstd, gamma, beta */
    }
}

/* An element of dx, with raw + 1 under the ReLU. */
static dt_graph_value sample_of(const dt_graph *graph, double raw)
{
    dt_graph_sampler sampler;
    dt_graph_sampler_init(&sampler, graph);
    sampler.initial = input;
    sampler.context = &raw;
    return dt_graph_sample(&sampler, DT_GRAPH_DX, (const int64_t[4]){1, 2, 0, 0});
}

static void a_sample_has_the_size_of_its_terms_and_is_unsure_at_the_edge_of_a_relu(void)
{
    dt_graph g;
    const dt_conv_desc d = {.n = 2, .c = 16, .h = 3, .w = 3, .k = 16, .r = 1, .s = 1, .stride = 1};
    dt_graph_conv_backward_data(&d, DT_F16, true, &g);
    dt_graph_value v = sample_of(&g, 0);
    DT_CHECK_CLOSE(v.value, 16 * 0.5 + 3, 1e-12);
    DT_CHECK_CLOSE(v.scale, sqrt(16 * 0.25 + 9), 1e-12);
    dt_graph_conv_backward_data_bn(&d, DT_F16, &g);
    v = sample_of(&g, 1);
    DT_CHECK_CLOSE(v.value, 8, 1e-12);
    DT_CHECK_CLOSE(v.scale, 2, 1e-12);
    DT_CHECK(!v.is_unsure);
    DT_CHECK_CLOSE(sample_of(&g, -1.1).value, 0, 0);
    DT_CHECK(!sample_of(&g, -1.1).is_unsure && !sample_of(&g, -0.9).is_unsure);
    DT_CHECK(sample_of(&g, -1.01).is_unsure && sample_of(&g, -0.99).is_unsure);
}

static void a_planted_mistake_in_a_graph_is_found(void)
{
    dt_graph good, bad;
    dt_error err = {0};
    dt_conv_desc d = dt_resnet_conv(3, 8);
    dt_graph_conv_backward_data_bn(&d, DT_F16, &good);
    DT_REQUIRE(dt_graph_check(&good, &err) == DT_OK);

    bad = good;
    bad.ops[0].stride[0]++;
    DT_CHECK_INT(dt_graph_check(&bad, &err), DT_ERR_INTERNAL);
    DT_CHECK_CONTAINS(err.message, "do not make a convolution");
    bad = good;
    bad.ops[1].in[1] = DT_GRAPH_SCALE;
    DT_CHECK_INT(dt_graph_check(&bad, &err), DT_ERR_INTERNAL);
    bad = good;
    bad.ops[2] = good.ops[1], bad.ops[1] = good.ops[2];
    DT_CHECK_INT(dt_graph_check(&bad, &err), DT_ERR_INTERNAL);
    DT_CHECK_CONTAINS(err.message, "which no operation has written");
    bad = good;
    bad.n_ops--;
    DT_CHECK_INT(dt_graph_check(&bad, &err), DT_ERR_INTERNAL);
    DT_CHECK_CONTAINS(err.message, "no operation writes tensor");
    bad = good;
    bad.tensors[3].dims[1]++; /* the mean */
    DT_CHECK_INT(dt_graph_check(&bad, &err), DT_ERR_INTERNAL);
    bad = good;
    bad.tensors[3].id = bad.tensors[2].id;
    DT_CHECK_INT(dt_graph_check(&bad, &err), DT_ERR_INTERNAL);
    bad = good;
    bad.tensors[3].is_virtual = true;
    DT_CHECK_INT(dt_graph_check(&bad, &err), DT_ERR_INTERNAL);
}

static const dt_test tests[] = {
    DT_TEST(every_graph_is_valid_and_has_its_own_key),
    DT_TEST(the_key_depends_on_the_structure_and_not_on_the_name),
    DT_TEST(keys_stay_the_same_between_versions),
    DT_TEST(bytes_and_operations_match_a_count_by_hand),
    DT_TEST(a_sample_has_the_size_of_its_terms_and_is_unsure_at_the_edge_of_a_relu),
    DT_TEST(a_planted_mistake_in_a_graph_is_found)};
DT_TEST_MAIN("layers/cuda_graph", tests)
