/* weights_order.h: in which order a backend keeps the weights of a convolution, said in numbers, so that they
 * can be put into the canonical order wherever they lie, long after the backend gave them away: in any
 * thread, without a net.
 *
 *   dt_weights_order order;
 *   kernels->ops->conv_weights_order(kernels, conv, &order);
 *   dt_weights_to_canonical(&order, native, oihw);              both in host memory
 *
 * Element (k, c, tap) of k filters over c channels, tap = r * width + s, lies at
 *
 *   k / k_block * k_block_step + k % k_block * k_step + c / c_block * c_block_step + c % c_block * c_step +
 *   tap * tap_step
 */
#ifndef DT_CORE_WEIGHTS_ORDER_H
#define DT_CORE_WEIGHTS_ORDER_H

#include <stdint.h>

typedef struct dt_weights_order {
    int64_t n_k, n_c, n_taps;     /* canonical: [n_k][n_c][n_taps] */
    int64_t k_block, c_block;     /* how many filters, and channels, lie together; at least 1 */
    int64_t k_step, k_block_step; /* elements from one to the next in a block, and from one block to the
                                     next */
    int64_t c_step, c_block_step;
    int64_t tap_step;
} dt_weights_order;

/* n elements whose order is the canonical one. */
dt_weights_order dt_weights_order_plain(int64_t n);

/* From host memory to host memory. Padding is not looked at, and left as it is. */
void dt_weights_to_canonical(const dt_weights_order *order, const float *native, float *canonical);
void dt_weights_from_canonical(const dt_weights_order *order, const float *canonical, float *native);

#endif
