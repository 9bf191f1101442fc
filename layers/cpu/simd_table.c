/* simd_table.c: the table of one instruction set's kernels. */
#include "layers/cpu/simd_vec.h"

#if defined __AVX512F__
#    define ISA_NAME "AVX-512"
#elif defined __AVX2__
#    define ISA_NAME "AVX2"
#else
#    define ISA_NAME "baseline"
#endif

const dt_cpu_simd DT_SIMD_NAME(simd) = {
    .name = ISA_NAME,
    .act = DT_SIMD_NAME(act),
    .sums = DT_SIMD_NAME(sums),
    .reduce = DT_SIMD_NAME(reduce),
    .bn_backward = DT_SIMD_NAME(bn_backward),
    .add = DT_SIMD_NAME(add),
    .residual = DT_SIMD_NAME(residual),
    .residual_backward = DT_SIMD_NAME(residual_backward),
    .max_pool = DT_SIMD_NAME(max_pool),
    .max_pool_backward = DT_SIMD_NAME(max_pool_backward),
    .weight_gradient = DT_SIMD_NAME(weight_gradient),
    .winograd_input = DT_SIMD_NAME(winograd_input),
    .winograd_output = DT_SIMD_NAME(winograd_output),
    .winograd_output_gradient = DT_SIMD_NAME(winograd_output_gradient),
    .winograd_weights = DT_SIMD_NAME(winograd_weights),
    .winograd_weight_gradient = DT_SIMD_NAME(winograd_weight_gradient),
    .winograd_product = DT_SIMD_NAME(winograd_product),
    .winograd_outer = DT_SIMD_NAME(winograd_outer),
    .transpose = DT_SIMD_NAME(transpose),
    .sgd = DT_SIMD_NAME(sgd),
};
