/* The kernels on tensors of known size, for `make kernel-report`. Run with DTRAIN_TEST_PTX, each case prints
 * the number of elements, and DTRAIN_TEST_PTX_REPORT has the bytes of global memory that one launch of each
 * kernel moved. One multiprocessor, so that few threads read what each thread reads once. FP16. */
#include "comm/nccl/wire.h"
#include "layers/cuda/kernels_cuda.h"
#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "tests/backend_kit.h"
#include "tests/emulated/device_emulated.h"
#include "tests/emulated/graph_interpreter.h"
#include "tests/emulator/emulator.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>

static dt_device *host, *gpu;
static dt_graph_runner *runner;
static dt_kernels *cuda, *ref;

void dt_test_set_up(void)
{
    dt_error err;
    dt_emulator_set_multiprocessors(1);
    if (dt_device_host_create(1, &host, &err) != DT_OK ||
        dt_device_emulated_create(&(dt_emulated_options){0}, &gpu, &err) != DT_OK ||
        dt_graph_interpreter_create(gpu, &(dt_interpreter_options){.gpu = DT_INTERPRET_ALL}, &runner, &err) !=
            DT_OK ||
        dt_kernels_ref_create(host, DT_F16, &ref, &err) != DT_OK ||
        dt_kernels_cuda_create(gpu, runner, &(dt_cuda_options){.dtype = DT_F16}, &cuda, &err) != DT_OK)
        abort();
}

void dt_test_tear_down(void)
{
    cuda->ops->destroy(cuda);
    ref->ops->destroy(ref);
    runner->ops->destroy(runner);
    gpu->ops->destroy(gpu);
    host->ops->destroy(host);
}

static dt_kit kit_of(void)
{
    return (dt_kit){.side = {cuda, ref}, .tolerance = 1.1e-3};
}

static void finish(const dt_kit *kit, int64_t n_elems)
{
    DT_CHECK(kit->n_run > 0 && kit->n_failed == 0);
    printf("elements %lld\n", (long long)n_elems);
}

static const dt_kit_shape stem = {64, 56, 56};
enum { IMAGES = 4, STEM_ELEMS = IMAGES * 64 * 56 * 56 };

static void batchnorm(void)
{
    dt_kit kit = kit_of();
    dt_kit_batchnorm_cases(&kit, IMAGES, &stem);
    finish(&kit, STEM_ELEMS);
}

static void residual(void)
{
    dt_kit kit = kit_of();
    dt_kit_residual_cases(&kit, IMAGES, &stem, false);
    dt_kit_residual_cases(&kit, IMAGES, &stem, true);
    finish(&kit, STEM_ELEMS);
}

static void max_pool(void)
{
    dt_kit kit = kit_of();
    dt_kit_max_pool_cases(&kit, IMAGES, &stem, &(dt_pool_desc){3, 2, 1});
    finish(&kit, STEM_ELEMS);
}

static void average_pool(void)
{
    dt_kit kit = kit_of();
    dt_kit_average_pool_cases(&kit, IMAGES, &stem);
    finish(&kit, STEM_ELEMS);
}

static void softmax_loss(void)
{
    dt_kit kit = kit_of();
    dt_kit_loss_cases(&kit, 64, 1000);
    finish(&kit, 64 * 1000);
}

static void linear(void)
{
    dt_kit kit = kit_of();
    dt_kit_linear_cases(&kit, 64, 64, 1000);
    finish(&kit, 64 * 1000);
}

static void wire(void)
{
    enum { N = 1 << 16 };
    static float values[N] __attribute__((aligned(16)));
    static uint16_t packed[N] __attribute__((aligned(16)));
    DT_CHECK_INT(dt_nccl_wire_pack(NULL, values, packed, N, DT_F16, (dt_nccl_mark){NULL, NULL}), 0);
    DT_CHECK_INT(dt_nccl_wire_unpack(NULL, packed, values, N, DT_F16, (dt_nccl_mark){NULL, NULL}), 0);
    printf("elements %d\n", N);
}

static const dt_test tests[] = {
    DT_TEST(batchnorm),    DT_TEST(residual), DT_TEST(max_pool), DT_TEST(average_pool),
    DT_TEST(softmax_loss), DT_TEST(linear),   DT_TEST(wire),
};
DT_TEST_MAIN("ptx/traffic", tests)
