/* ref_create_test.c: creating and destroying layers/ref: threads, memory, errors. */
#include "tests/gradients.h"
#include "tests/testing.h"

#include "core/base/alloc.h"
#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "layers/ref/ref_internal.h"

static void with_threads(int64_t n_threads, float *y, float *dx, float *dw, double *sums)
{
    dt_conv_desc d = {.n = 3,
                      .c = 16,
                      .h = 9,
                      .w = 7,
                      .k = 32,
                      .r = 3,
                      .s = 3,
                      .stride = 2,
                      .pad = 1,
                      .for_training = true};
    static float x[3 * 16 * 63], w[32 * 16 * 9], dy[3 * 32 * 20];
    dt_device *device = NULL;
    dt_kernels *kernels = NULL;
    dt_conv *conv = NULL;
    dt_test_fill_random(x, 3 * 16 * 63, 1);
    dt_test_fill_random(w, 32 * 16 * 9, 2);
    dt_test_fill_random(dy, 3 * 32 * 20, 3);
    dt_act act = {.raw = tensor_of(x, 3, 16, 9, 7)};
    dt_tensor out = tensor_of(y, 3, 32, 5, 4), dout = tensor_of(dy, 3, 32, 5, 4),
              din = tensor_of(dx, 3, 16, 9, 7);
    OK(dt_device_host_create(n_threads, &device, &gradient_error));
    OK(dt_kernels_ref_create(device, DT_F32, &kernels, &gradient_error));
    OK(kernels->ops->conv_create(kernels, &d, &conv, &gradient_error));
    OK(kernels->ops->conv_forward(kernels, conv, &act, w, &out, sums, &gradient_error));
    OK(kernels->ops->conv_backward_data(kernels, conv, &dout, w, NULL, NULL, &din, &gradient_error));
    OK(kernels->ops->conv_backward_weights(kernels, conv, &act, &dout, dw, false, &gradient_error));
    kernels->ops->conv_destroy(kernels, conv);
    kernels->ops->destroy(kernels);
    device->ops->destroy(device);
}

static void the_number_of_threads_does_not_change_a_bit(void)
{
    static float y[2][3 * 32 * 20], dx[2][3 * 16 * 63], dw[2][32 * 16 * 9];
    static double sums[2][64];
    with_threads(1, y[0], dx[0], dw[0], sums[0]);
    for (int n_threads = 2; n_threads <= 3; n_threads++) {
        with_threads(n_threads, y[1], dx[1], dw[1], sums[1]);
        DT_CHECK_BYTES(y[1], y[0], sizeof y[0]);
        DT_CHECK_BYTES(dx[1], dx[0], sizeof dx[0]);
        DT_CHECK_BYTES(dw[1], dw[0], sizeof dw[0]);
        DT_CHECK_BYTES(sums[1], sums[0], sizeof sums[0]);
    }
}

static dt_status make_and_destroy(void)
{
    dt_conv_desc d = {.n = 1, .c = 16, .h = 4, .w = 4, .k = 16, .r = 3, .s = 3, .stride = 1, .pad = 1};
    dt_kernels *kernels = NULL;
    dt_conv *conv = NULL, *larger = NULL;
    dt_linear *linear = NULL;
    dt_status status = dt_kernels_ref_create(ref->device, DT_F32, &kernels, &gradient_error);
    if (status == DT_OK)
        status = kernels->ops->conv_create(kernels, &d, &conv, &gradient_error);
    d.h = 40; /* needs more scratch memory than the first one */
    if (status == DT_OK)
        status = kernels->ops->conv_create(kernels, &d, &larger, &gradient_error);
    if (status == DT_OK)
        status = kernels->ops->linear_create(kernels, 1, 16, 16, &linear, &gradient_error);
    if (kernels != NULL) {
        DT_CHECK(status != DT_OK || kernels->ops->scratch_bytes(kernels) > 0);
        kernels->ops->linear_destroy(kernels, linear);
        kernels->ops->conv_destroy(kernels, larger);
        kernels->ops->conv_destroy(kernels, conv);
        kernels->ops->destroy(kernels);
    }
    return status;
}

static void every_allocation_may_fail(void)
{
    int64_t n_before = dt_alloc_live_blocks();
    int n_failures = 0;
    for (;; n_failures++) {
        dt_alloc_fail_after(n_failures + 1);
        dt_status status = make_and_destroy();
        dt_alloc_fail_after(0);
        DT_CHECK_INT(dt_alloc_live_blocks(), n_before);
        if (status == DT_OK)
            break;
        DT_CHECK_INT(status, DT_ERR_MEMORY);
    }
    DT_CHECK_INT(n_failures, 6); /* the kernels, two convolutions, scratch memory for each, a linear layer */
}

static void gpu_info(dt_device *device, dt_device_info *info)
{
    (void)device;
    *info = (dt_device_info){.name = "some GPU"};
}

static void a_device_with_memory_of_its_own_is_refused(void)
{
    static const dt_device_ops ops = {.name = "gpu", .info = gpu_info};
    dt_device gpu = {.ops = &ops};
    dt_kernels *kernels = NULL;
    dt_error err = {0};
    DT_CHECK_INT(dt_kernels_ref_create(&gpu, DT_F32, &kernels, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK(kernels == NULL);
    DT_CHECK_CONTAINS(err.message, "some GPU");
}

/* Convolutions of one 1x1 filter with stride 2 on images of 1 x w pixels: a patch, an output, a weight and
 * the gradients of w pixels, 1 or 2. */
static void scratch_memory_grows_by_a_single_element(void)
{
    dt_device *device = NULL;
    dt_kernels *kernels = NULL;
    dt_conv *conv[3];
    OK(dt_device_host_create(1, &device, &gradient_error));
    OK(dt_kernels_ref_create(device, DT_F32, &kernels, &gradient_error));
    for (int i = 0; i < 3; i++) {
        const int64_t w = i == 1 ? 2 : 1;
        const dt_conv_desc d = {.n = 1, .c = 1, .h = 1, .w = w, .k = 1, .r = 1, .s = 1, .stride = 2};
        OK(kernels->ops->conv_create(kernels, &d, &conv[i], &gradient_error));
        DT_CHECK_INT(dt_ref(kernels)->scratch_elems, i == 0 ? 4 : 5); /* it does not shrink */
    }
    for (int i = 0; i < 3; i++)
        kernels->ops->conv_destroy(kernels, conv[i]);
    kernels->ops->destroy(kernels);
    device->ops->destroy(device);
}

static const dt_test tests[] = {
    DT_TEST(the_number_of_threads_does_not_change_a_bit),
    DT_TEST(every_allocation_may_fail),
    DT_TEST(scratch_memory_grows_by_a_single_element),
    DT_TEST(a_device_with_memory_of_its_own_is_refused),
};
DT_TEST_MAIN("layers/ref_create", tests)
