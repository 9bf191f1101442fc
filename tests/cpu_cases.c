#include "tests/cpu_cases.h"

#include "layers/cpu/kernels_cpu.h"
#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "tests/backend_cases.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>

/* Direct convolution is within 1e-6, Winograd within 5e-6. */
#define TOLERANCE 1e-5

const char *const dt_cpu_cases_few[] = {"c64 ",
                                        "c3 ",
                                        "c256 h2 w2 k512",
                                        "c512 h1 w1 k512",
                                        "c512 h1 w1 k2048",
                                        "pool",
                                        "normalize_input",
                                        "optimizer",
                                        "step_",
                                        "linear",
                                        "softmax_loss",
                                        NULL};

dt_cpu_pair dt_cpu_pair_create(int64_t n_threads)
{
    dt_cpu_pair pair;
    dt_error err = {0};
    if (dt_device_host_create(n_threads, &pair.device, &err) == DT_OK &&
        dt_kernels_cpu_create(pair.device, n_threads, &pair.cpu, &err) == DT_OK &&
        dt_kernels_ref_create(pair.device, DT_F32, &pair.ref, &err) == DT_OK)
        return pair;
    fprintf(stderr, "%s\n", err.message);
    exit(99);
}

void dt_cpu_pair_destroy(dt_cpu_pair *pair)
{
    pair->cpu->ops->destroy(pair->cpu);
    pair->ref->ops->destroy(pair->ref);
    pair->device->ops->destroy(pair->device);
}

bool dt_cpu_cases_need_x86(void)
{
#if !defined __x86_64__
    dt_test_skip("the instruction set is x86-64's");
    return false;
#else
    return true;
#endif
}

void dt_cpu_cases_check(int64_t n_threads, int64_t image_size, int64_t batch, const char *const *filters)
{
    dt_cpu_pair pair = dt_cpu_pair_create(n_threads);
    printf("%s, %lld threads\n", pair.cpu->ops->layout_name(pair.cpu), (long long)n_threads);
    for (; *filters != NULL; filters++)
        DT_CHECK_INT(dt_backend_cases_run(pair.cpu, pair.ref, image_size, batch, TOLERANCE, *filters), 0);
    dt_cpu_pair_destroy(&pair);
}
