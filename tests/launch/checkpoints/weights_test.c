/* Weights to a .safetensors file and back. */
#include "config.h"

#include "tests/fakes/captured_log.h"
#include "tests/testing.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "launch/checkpoints/weights.h"
#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "layers/registry.h"
#include "layers/resnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_device *device;
static dt_kernels *kernels;
static dt_error err;

void dt_test_set_up(void)
{
    if (dt_device_host_create(1, &device, &err) != DT_OK ||
        dt_kernels_ref_create(device, DT_F32, &kernels, &err) != DT_OK)
        exit(99);
}

void dt_test_tear_down(void)
{
    kernels->ops->destroy(kernels);
    device->ops->destroy(device);
}

static dt_net *make_net(const char *arch, int64_t n_classes, uint64_t seed)
{
    const dt_net_options options = {.batch = 1, .image_size = 32, .training = false};
    dt_net_spec spec;
    dt_net *net = NULL;
    DT_REQUIRE(dt_resnet_spec(arch, n_classes, &spec, &err) == DT_OK);
    dt_status status = dt_net_create(&spec, dt_layer_registry(), kernels, &options, &net, &err);
    dt_free(spec.layers);
    DT_REQUIRE_MSG(status == DT_OK && dt_net_init(net, seed, false, &err) == DT_OK, "%s", err.message);
    return net;
}

static const char *export_named(dt_net *net, const char *arch, const dt_class_names *names)
{
    const char *path = dt_test_path("%s/%s.safetensors", dt_test_temp_dir(), arch);
    const dt_weights_export_options options = {
        .arch = arch, .config_text = "image-size = 32;\n", .class_names = names, .n_batches = 7};
    const dt_state_io io = dt_net_state_io(net);
    DT_REQUIRE_MSG(dt_weights_export(dt_net_state_layout(net), &io, path, &options, &err) == DT_OK, "%s",
                   err.message);
    return path;
}

static const char *export_net(dt_net *net, const char *arch)
{
    return export_named(net, arch, NULL);
}

/* n names, the first of bytes that are not UTF-8. */
static dt_class_names make_names(int n)
{
    dt_class_names names = {0};
    DT_REQUIRE(dt_class_names_add(&names, "caf\xe9 \xee\xbf\xa9 \"\\\n", &err) == DT_OK);
    for (int i = 1; i < n; i++)
        DT_REQUIRE(dt_class_names_add(&names, dt_test_path("class %d", i), &err) == DT_OK);
    return names;
}

/* Whether all values of two nets have the same bits. */
static bool same_values(dt_net *a, dt_net *b)
{
    dt_net_vectors va, vb;
    dt_net_get_vectors(a, &va);
    dt_net_get_vectors(b, &vb);
    size_t n = (size_t)(va.n_trained + va.n_statistics);
    return memcmp(va.values, vb.values, n * sizeof *va.values) == 0;
}

static void exported_weights_load_to_the_same_bits(void)
{
    dt_net *a = make_net("resnet18", 10, 1), *b = make_net("resnet18", 10, 2);
    const char *path = export_net(a, "resnet18");
    DT_CHECK(!same_values(a, b));
    DT_CHECK_INT(dt_weights_load(b, path, DT_WEIGHTS_HEAD_SAME, &err), DT_OK);
    DT_CHECK(same_values(a, b));
    dt_net_destroy(a);
    dt_net_destroy(b);
}

static void the_same_weights_give_the_same_file(void)
{
    size_t n_a = 0, n_b = 0;
    dt_net *net = make_net("resnet18", 10, 1);
    char *a = dt_test_read_file(export_net(net, "resnet18"), &n_a);
    char *b = dt_test_read_file(export_net(net, "resnet18"), &n_b);
    DT_REQUIRE(a && b && n_a == n_b);
    DT_CHECK(memcmp(a, b, n_a) == 0);
    free(a);
    free(b);
    dt_net_destroy(net);
}

static void a_file_identifies_its_network(void)
{
    static const char *const archs[] = {"resnet18", "resnet34", "resnet50"};
    for (size_t i = 0; i < sizeof archs / sizeof archs[0]; i++) {
        dt_weights_info info = {0};
        dt_net *net = make_net(archs[i], 7, 1);
        DT_REQUIRE(dt_weights_describe(export_net(net, archs[i]), &info, &err) == DT_OK);
        DT_CHECK_STR(info.arch, archs[i]);
        DT_CHECK_INT(info.n_classes, 7);
        DT_CHECK_STR(info.config_text, "image-size = 32;\n");
        dt_weights_info_clear(&info);
        dt_net_destroy(net);
    }
}

/* Gives conv1.weight another shape of as many elements. */
static void a_convolution_of_another_shape_is_of_no_known_network(void)
{
    static const char shape[] = "\"conv1.weight\":{\"dtype\":\"F32\",\"shape\":[64,3,7,7]";
    static const char *const others[] = {"[32,6,7,7]", "[64,7,3,7]", "[64,3,7,7]"};
    dt_net *net = make_net("resnet18", 10, 1);
    const char *path = export_net(net, "resnet18");
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        size_t n = 0;
        dt_weights_info info = {0};
        char *bytes = dt_test_read_file(path, &n), *at = bytes ? strstr(bytes + 8, shape) : NULL;
        DT_REQUIRE(at != NULL);
        memcpy(at + strlen(shape) - strlen(others[i]), others[i], strlen(others[i]));
        const char *edited = dt_test_path("%s/edited.safetensors", dt_test_temp_dir());
        dt_test_write_file(edited, bytes, n);
        free(bytes);
        DT_REQUIRE_MSG(dt_weights_describe(edited, &info, &err) == DT_OK, "%s", err.message);
        DT_CHECK_STR(info.arch, i == 2 ? "resnet18" : "");
        dt_weights_info_clear(&info);
    }
    dt_net_destroy(net);
}

static void names_of_classes_are_read_back(void)
{
    dt_net *net = make_net("resnet18", 7, 1);
    dt_class_names names = make_names(7), more = make_names(8);
    dt_weights_info info = {0};
    DT_REQUIRE(dt_weights_describe(export_named(net, "resnet18", &names), &info, &err) == DT_OK);
    DT_CHECK(dt_class_names_equal(&info.class_names, &names));
    dt_weights_info_clear(&info);
    /* those of another classifier are not */
    DT_REQUIRE(dt_weights_describe(export_named(net, "resnet18", &more), &info, &err) == DT_OK);
    DT_CHECK_INT(info.class_names.n, 0);
    dt_weights_info_clear(&info);
    dt_class_names_clear(&names);
    dt_class_names_clear(&more);
    dt_net_destroy(net);
}

static void weights_of_another_network_are_refused_with_the_tensors_name(void)
{
    dt_net *r18 = make_net("resnet18", 10, 1), *r34 = make_net("resnet34", 10, 1),
           *other = make_net("resnet18", 9, 1);
    const char *path18 = export_net(r18, "resnet18"), *path34 = export_net(r34, "resnet34");
    DT_CHECK_INT(dt_weights_load(r34, path18, DT_WEIGHTS_HEAD_SAME, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "has no tensor layer1.2.conv1.weight");
    DT_CHECK_INT(dt_weights_load(r18, path34, DT_WEIGHTS_HEAD_SAME, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "which this network does not have");
    DT_CHECK_INT(dt_weights_load(other, path18, DT_WEIGHTS_HEAD_SAME, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "fc.weight is [10, 512], and [9, 512] was expected");
    dt_net_destroy(r18);
    dt_net_destroy(r34);
    dt_net_destroy(other);
}

/* `outputs`: of the net that is loaded from a file with 10. */
static void check_new_head(int64_t outputs, dt_weights_head head)
{
    dt_net *ten = make_net("resnet18", 10, 1), *nine = make_net("resnet18", outputs, 2),
           *untouched = make_net("resnet18", outputs, 2);
    const dt_state_layout *layout = dt_net_state_layout(nine);
    DT_REQUIRE(dt_weights_load(nine, export_net(ten, "resnet18"), head, &err) == DT_OK);
    float *a = dt_alloc(5000 * 1024), *b = dt_alloc(5000 * 1024);
    const dt_state_io io_nine = dt_net_state_io(nine), io_ten = dt_net_state_io(ten),
                      io_untouched = dt_net_state_io(untouched);
    for (int64_t i = 0; i < layout->n_tensors; i++) {
        const dt_state_tensor *t = &layout->tensors[i];
        bool is_head = strncmp(t->name, "param/fc.", 9) == 0;
        if (t->n_elems > 5000 * 256)
            continue;
        DT_REQUIRE(io_nine.get(io_nine.context, i, a, &err) == DT_OK);
        DT_REQUIRE((is_head ? io_untouched.get(io_untouched.context, i, b, &err)
                            : io_ten.get(io_ten.context, i, b, &err)) == DT_OK);
        DT_CHECK_MSG(memcmp(a, b, (size_t)t->n_elems * sizeof *a) == 0, "%s", t->name);
    }
    dt_free(a);
    dt_free(b);
    dt_net_destroy(ten);
    dt_net_destroy(nine);
    dt_net_destroy(untouched);
}

static void a_new_head_keeps_its_initialisation(void)
{
    check_new_head(9, DT_WEIGHTS_HEAD_IF_IT_FITS);
    check_new_head(9, DT_WEIGHTS_HEAD_NEW);
    check_new_head(10, DT_WEIGHTS_HEAD_NEW); /* it would fit, but is for other classes */
}

/* Gives a tensor in the header of a file another name of the same length. */
static void rename_tensor(const char *path, const char *from, const char *to)
{
    size_t n = 0;
    char *bytes = dt_test_read_file(path, &n), *at = bytes ? strstr(bytes + 8, from) : NULL;
    DT_REQUIRE(at != NULL && strlen(to) == strlen(from));
    memcpy(at, to, strlen(to));
    dt_test_write_file(path, bytes, n);
    free(bytes);
}

/* A file without the classifier's bias, and then without its weights too. */
static void a_head_that_lacks_a_tensor_is_not_loaded_in_part(void)
{
    dt_net *ten = make_net("resnet18", 10, 1), *net = make_net("resnet18", 10, 2);
    const dt_state_layout *layout = dt_net_state_layout(net);
    const dt_state_io io = dt_net_state_io(net);
    const char *path = export_net(ten, "resnet18");
    static const char *const lines[] = {"%s: left out fc.bixx, which this network does not have\n",
                                        "%s: left out fc.weixxx and other tensors, which this network does "
                                        "not have\n"};
    float before[2][5120], after[5120];
    int64_t at[2] = {0, 0};
    for (int64_t i = 0; i < layout->n_tensors; i++)
        if (strncmp(layout->tensors[i].name, "param/fc.", 9) == 0)
            at[strcmp(layout->tensors[i].name, "param/fc.bias") == 0] = i;
    for (int k = 0; k < 2; k++)
        DT_REQUIRE(io.get(io.context, at[k], before[k], &err) == DT_OK);
    for (int i = 0; i < 2; i++) {
        rename_tensor(path, i ? "fc.weight" : "fc.bias", i ? "fc.weixxx" : "fc.bixx");
        captured_log_begin(DT_LOG_INFO);
        DT_CHECK_MSG(dt_weights_load(net, path, DT_WEIGHTS_HEAD_IF_IT_FITS, &err) == DT_OK, "%s",
                     err.message);
        captured_log_end();
        DT_CHECK_CONTAINS(captured_log_text(),
                          i ? dt_test_path(lines[1], path) : dt_test_path(lines[0], path));
        DT_CHECK_CONTAINS(captured_log_text(), " has no fc.bias: it keeps its random initialisation\n");
        for (int k = 0; k < 2; k++) {
            DT_REQUIRE(io.get(io.context, at[k], after, &err) == DT_OK);
            DT_CHECK(memcmp(after, before[k], (size_t)layout->tensors[at[k]].n_elems * sizeof *after) == 0);
        }
    }
    DT_CHECK_INT(dt_weights_load(net, path, DT_WEIGHTS_HEAD_SAME, &err), DT_ERR_USAGE);
    dt_net_destroy(ten);
    dt_net_destroy(net);
}

static char warnings[1024];

static void collect(void *context, dt_log_level level, const char *line)
{
    (void)context;
    (void)level;
    snprintf(warnings, sizeof warnings, "%s", line);
}

static dt_status give(void *context, int64_t tensor, float *values, dt_error *unused)
{
    static const float all[2][4] = {{1.0F, 65519.0F, 65520.0F, -1e30F}, {0.1F, 6e-8F, -0.0F, 2.0F}};
    (void)context;
    (void)unused;
    memcpy(values, all[tensor], sizeof all[tensor]);
    return DT_OK;
}

static void fp16_is_rounded_and_values_that_are_too_large_are_counted(void)
{
    static const dt_state_tensor state[] = {
        {.name = "param/w", .n_dims = 1, .dims = {4}, .n_elems = 4},
        {.name = "ema/w", .n_dims = 1, .dims = {4}, .n_elems = 4, .first = 4}};
    const dt_state_layout layout = {.n_tensors = 2, .n_elems = 8, .tensors = state};
    const dt_state_io io = {.get = give};
    dt_weights_export_options options = {.arch = "a", .config_text = "", .fp16 = true};
    const char *path = dt_test_path("%s/half.safetensors", dt_test_temp_dir());
    const uint16_t want[] = {0x3C00, 0x7BFF, 0x7C00, 0xFC00}, want_ema[] = {0x2E66, 0x0001, 0x8000, 0x4000};
    size_t n = 0;
    dt_log_set_sink(collect, NULL, DT_LOG_INFO);
    DT_REQUIRE_MSG(dt_weights_export(&layout, &io, path, &options, &err) == DT_OK, "%s", err.message);
    DT_CHECK_CONTAINS(warnings, "w: 2 of its 4 values are too large for FP16");
    char *file = dt_test_read_file(path, &n);
    DT_REQUIRE(file && n > sizeof want);
    DT_CHECK(memcmp(file + n - sizeof want, want, sizeof want) == 0);
    free(file);
    options.ema = true;
    warnings[0] = '\0';
    DT_REQUIRE_MSG(dt_weights_export(&layout, &io, path, &options, &err) == DT_OK, "%s", err.message);
    dt_log_set_sink(NULL, NULL, DT_LOG_INFO);
    DT_CHECK_STR(warnings, "");
    file = dt_test_read_file(path, &n);
    DT_REQUIRE(file && n > sizeof want_ema);
    DT_CHECK(memcmp(file + n - sizeof want_ema, want_ema, sizeof want_ema) == 0);
    free(file);
    const dt_state_layout empty = {.tensors = state};
    DT_CHECK_INT(dt_weights_export(&empty, &io, path, &options, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "trained without --ema");
    options.ema = false;
    DT_CHECK_INT(dt_weights_export(&empty, &io, path, &options, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "half.safetensors: there are no weights to write");
}

/* Lets each allocation of `call` fail once. Each must give an error and leak nothing. */
#define CHECK_SURVIVES_ALLOCATION_FAILURES(call, on_success)                                                 \
    for (int64_t n_th = 1;; n_th++) {                                                                        \
        int64_t live = dt_alloc_live_blocks();                                                               \
        dt_alloc_fail_after(n_th);                                                                           \
        dt_status status = (call);                                                                           \
        dt_alloc_fail_after(0);                                                                              \
        if (status == DT_OK)                                                                                 \
            on_success;                                                                                      \
        DT_CHECK_INT(dt_alloc_live_blocks(), live);                                                          \
        if (status == DT_OK)                                                                                 \
            break;                                                                                           \
        DT_CHECK_INT(status, DT_ERR_MEMORY);                                                                 \
        DT_REQUIRE(n_th < 3000);                                                                             \
    }

static void every_failing_allocation_is_an_error_and_no_leak(void)
{
    dt_weights_info info;
    dt_net *net = make_net("resnet18", 10, 1);
    dt_class_names names = make_names(10);
    const char *path = export_named(net, "resnet18", &names);
    const dt_weights_export_options options = {.arch = "a", .config_text = "", .class_names = &names};
    const dt_state_io io = dt_net_state_io(net);
    CHECK_SURVIVES_ALLOCATION_FAILURES(dt_weights_describe(path, &info, &err), dt_weights_info_clear(&info))
    CHECK_SURVIVES_ALLOCATION_FAILURES(dt_weights_export(dt_net_state_layout(net), &io, path, &options, &err),
                                       (void)0)
    dt_class_names_clear(&names);
    dt_net_destroy(net);
}

static const dt_test tests[] = {
    DT_TEST(exported_weights_load_to_the_same_bits),
    DT_TEST(the_same_weights_give_the_same_file),
    DT_TEST(a_file_identifies_its_network),
    DT_TEST(a_convolution_of_another_shape_is_of_no_known_network),
    DT_TEST(names_of_classes_are_read_back),
    DT_TEST(weights_of_another_network_are_refused_with_the_tensors_name),
    DT_TEST(a_new_head_keeps_its_initialisation),
    DT_TEST(a_head_that_lacks_a_tensor_is_not_loaded_in_part),
    DT_TEST(fp16_is_rounded_and_values_that_are_too_large_are_counted),
    DT_TEST(every_failing_allocation_is_an_error_and_no_leak),
};

DT_TEST_MAIN("launch/weights", tests)
