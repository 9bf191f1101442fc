/* weights_order.h: the order in which a backend stores the weights of a convolution, described by numbers.
 * With them any thread can convert a copy of the weights to the canonical order, without the backend or the
 * net.
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
    int64_t k_block, c_block;     /* filters, and channels, of one block; at least 1 */
    int64_t k_step, k_block_step; /* elements from one filter to the next in a block, and from one block to
                                     the next */
    int64_t c_step, c_block_step; /* the same of channels */
    int64_t tap_step;             /* elements from one tap to the next */
} dt_weights_order;

/* The canonical order of n elements. */
dt_weights_order dt_weights_order_plain(int64_t n);

/* Convert between host memory and host memory, of n_k * n_c * n_taps canonical elements. Padding of the
 * native weights is neither read nor written. */
void dt_weights_to_canonical(const dt_weights_order *order, const float *native, float *canonical);
void dt_weights_from_canonical(const dt_weights_order *order, const float *canonical, float *native);

#endif
