/* Every operation of layers/cpu against layers/ref. */
#include "core/model/device_host.h"
#include "layers/cpu/kernels_cpu.h"
#include "layers/ref/kernels_ref.h"
#include "tests/backend_cases.h"
#include "tests/testing.h"

static dt_device *device;
static dt_kernels *cpu, *ref;

static void begin(int64_t n_threads)
{
    dt_error err = {0};
    DT_CHECK_INT(dt_device_host_create(2, &device, &err), DT_OK);
    DT_CHECK_INT(dt_kernels_cpu_create(device, n_threads, &cpu, &err), DT_OK);
    DT_CHECK_INT(dt_kernels_ref_create(device, &ref, &err), DT_OK);
}

static void end(void)
{
    cpu->ops->destroy(cpu);
    ref->ops->destroy(ref);
    device->ops->destroy(device);
}

static void one_thread_agrees_with_ref(void)
{
    begin(1);
    DT_CHECK_INT(dt_backend_cases_run(cpu, ref, 32, 3, 1e-4, NULL), 0);
    end();
}

static void two_threads_agree_with_ref(void)
{
    begin(2);
    DT_CHECK_INT(dt_backend_cases_run(cpu, ref, 32, 5, 1e-4, NULL), 0);
    end();
}

static const dt_test tests[] = {
    DT_TEST(one_thread_agrees_with_ref),
    DT_TEST(two_threads_agree_with_ref),
};
DT_TEST_MAIN("layers/cpu_against_ref", tests)
