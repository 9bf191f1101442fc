/* In place of the tests that run the whole CUDA backend on the CPU, where CUDA's headers (cuda_fp16.h,
 * cuda_bf16.h) are missing. */
#include "tests/testing.h"

static void the_whole_cuda_backend_on_the_cpu(void)
{
    DT_SKIP("the kernels need CUDA's headers for FP16 and BF16, and configure found none");
}

static const dt_test tests[] = {DT_TEST(the_whole_cuda_backend_on_the_cpu)};
DT_TEST_MAIN("emulated/no_headers", tests)
